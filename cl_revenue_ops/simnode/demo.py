"""Owns the demo command: the real plugin on a simulated node through weeks of virtual time."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cl_revenue_ops.simnode import sling
from cl_revenue_ops.simnode.errors import UNKNOWN_METHOD, NodeDown, PluginDied, SimRpcError
from cl_revenue_ops.simnode.market import draw_market
from cl_revenue_ops.simnode.market_driver import MarketDriver
from cl_revenue_ops.simnode.market_parameters import MarketRanges
from cl_revenue_ops.simnode.node import SimulatedNode
from cl_revenue_ops.simnode.prices import DAY_S, HOUR_S
from cl_revenue_ops.simnode.rebalance_told import Line, books_line, cost_line, rebalance_lines
from cl_revenue_ops.simnode.report import print_tables, sat, write_page
from cl_revenue_ops.simnode.route_market import RouteMarket
from cl_revenue_ops.simnode.run_record import (
    RunRecord,
    Sample,
    Totals,
    flow_classes,
    measure,
    take_sample,
)
from cl_revenue_ops.simnode.sling_routes import MarketRoutes

PLUGIN_FILE = Path(__file__).resolve().parents[2] / "cl-revenue-ops.py"
SAMPLE_S = 6 * HOUR_S
# Time without new payments at the end, so that the plugin's own catching up has its turn.
SETTLING_S = 900.0
# How far time goes at once while sling rests, and while it works and the plugin watches its jobs.
STEPS_S = (300.0, 30.0)
WIDTH = 100
QUESTIONS = ("revenue-status", "revenue-analyze", "revenue-fee-debug")
REPORTS = ("rebalances", "reconcile")
SCORE, BOOKS = (f"revenue-report {name}" for name in REPORTS)
AGREED = ("settled", "volume_msat", "fees_msat")

Tell = Callable[[float, int, int], None]


@dataclass
class DemoRun:
    """What a demo is run with, and what it found; `trouble` is None if all went well."""

    driver: MarketDriver
    node: SimulatedNode
    step_s: float
    samples: list[Sample] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    trouble: str | None = None

    def __post_init__(self) -> None:
        self._sample(self.driver.market.start_s)

    def play(self, tell: Tell) -> None:
        """Run to the market's end, ask the plugin at the end; `tell` hears of each step."""
        market = self.driver.market
        self.node.on_step = self._bring
        now_s = market.start_s
        while now_s < market.end_s:
            now_s = min(now_s + self.step_s, market.end_s)
            self.node.advance(now_s)
            self._sample(now_s)
            tell(now_s, self.driver.settled, self.node.world.forwards.fees_collected_msat)
        self.node.on_step = None
        self.driver.settle()
        self.node.advance(market.end_s + SETTLING_S)
        for report in REPORTS:
            self._ask("revenue-report", report)
        for method in QUESTIONS:
            self._ask(method)

    def rebalances(self) -> list[Line]:
        """What the plugin says of its rebalances."""
        return rebalance_lines(self.answers.get(SCORE), self.answers.get("revenue-status"))

    def _bring(self, from_s: float, to_s: float) -> None:
        del from_s
        self.driver.step(to_s)

    def _sample(self, at_s: float) -> None:
        last_s = self.samples[-1].at_s if self.samples else float("-inf")
        if at_s >= last_s + SAMPLE_S or at_s >= self.driver.market.end_s:
            self.samples.append(take_sample(self.driver, at_s))

    def _ask(self, method: str, *words: str) -> None:
        question = " ".join((method, *words))
        try:
            answer = self.answers[question] = self.node.call(method, list(words))
        except SimRpcError as error:
            missing = error.code == UNKNOWN_METHOD
            why = "this plugin does not offer it" if missing else f"{error.message} ({error.code})"
            self.notes.append(f"{question}: {why}")
            return
        if isinstance(answer, dict) and answer.get("error"):
            self.notes.append(f"{question}: {answer['error']}")
        if isinstance(answer, dict) and answer.get("safe_mode"):
            self.notes.append(f"{method}: SAFE MODE, {answer.get('safe_mode_reason')}")


def agreement(status: Any, totals: Totals) -> tuple[bool, str]:
    """Compare the plugin's own totals with the node's; return (equal, one line)."""
    own = {name: getattr(totals, name) for name in AGREED}
    told = status.get("forwards") if isinstance(status, dict) else None
    if not isinstance(told, dict):
        return False, "check: revenue-status tells no forwards totals, nothing to compare"
    wrong = [name for name in AGREED if told.get(name) != own[name]]
    if wrong:
        pairs = ", ".join(f"{name}: plugin {told.get(name)}, node {own[name]}" for name in wrong)
        return False, f"check: plugin and node DISAGREE - {pairs}"
    sums = f"{own['settled']:,} forwards, {own['volume_msat']:,} msat, fees {own['fees_msat']:,}"
    return True, f"check: plugin and node agree - {sums} msat"


@contextmanager
def _progress(console: Console, start_s: float, days: int) -> Iterator[Tell]:
    """Yield a `Tell`: a live bar on a terminal, else a plain line every tenth of the way."""
    if not console.is_terminal:
        told = [0]

        def plain(now_s: float, forwards: int, fees_msat: int) -> None:
            day = (now_s - start_s) / DAY_S
            if day >= days * (told[0] + 1) / 10:
                told[0] = int(10 * day / days)
                text = f"day {day:5.1f} of {days}  forwards {forwards:>9,}"
                console.print(f"{text}  revenue {sat(fees_msat):>11} sat", highlight=False)

        yield plain
        return
    columns = (
        TextColumn("day {task.fields[day]:>5.1f} of {task.fields[days]}"),
        BarColumn(bar_width=30),
        TextColumn("forwards {task.fields[forwards]:>8,}  revenue {task.fields[fees]:>10} sat"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, refresh_per_second=5) as bar:
        task = bar.add_task("run", total=days, day=0.0, days=days, forwards=0, fees="0")

        def live(now_s: float, forwards: int, fees_msat: int) -> None:
            day = (now_s - start_s) / DAY_S
            bar.update(task, completed=day, day=day, forwards=forwards, fees=sat(fees_msat))

        yield live


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m cl_revenue_ops.simnode demo",
        description="Run the plugin on a simulated node with a market behind it.",
    )
    parser.add_argument("--days", type=int, default=30, help="virtual days (30)")
    parser.add_argument("--channels", type=int, default=20, help="channels of the node (20)")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same world (1)")
    parser.add_argument(
        "--attempts", type=float, default=50.0, help="payments tried per channel and day (50)"
    )
    parser.add_argument("--step-s", type=float, default=600.0, help="seconds per step (600)")
    parser.add_argument("--out", type=Path, help="directory of the page (a new temporary one)")
    parser.add_argument(
        "--plugin", type=Path, default=PLUGIN_FILE, help="plugin executable (this repository's)"
    )
    chosen = parser.parse_args(argv)
    if chosen.days < 1 or chosen.channels < 2 or chosen.step_s <= 0 or chosen.attempts <= 0:
        parser.error("needs at least 1 day, 2 channels, and a positive step and attempts")
    return chosen


def _run(chosen: argparse.Namespace, console: Console, directory: Path) -> DemoRun:
    ranges = MarketRanges().fixed(attempts_per_channel_day=chosen.attempts)
    market = draw_market(chosen.seed, chosen.channels, chosen.days, ranges=ranges)
    node = SimulatedNode(
        [sys.executable, str(chosen.plugin)],
        start_s=market.start_s,
        seed=chosen.seed,
        directory=directory,
        network="bitcoin",
        options={"revenue-ops-db-path": str(directory / "revenue_ops.db")},
        sling=sling.NEWEST,
        steps_s=STEPS_S,
    )
    run = DemoRun(MarketDriver(market, node.world), node, chosen.step_s)
    assert node.sling is not None
    node.sling.routes = MarketRoutes(RouteMarket(market), run.driver.peer_ids)
    try:
        with node, _progress(console, market.start_s, chosen.days) as tell:
            run.play(tell)
    except (PluginDied, NodeDown, SimRpcError) as error:
        run.trouble = f"the plugin failed: {error}"
    return run


def _show(console: Console, run: DemoRun, record: RunRecord) -> bool:
    """Print tables, notes and the check; return True if all is well."""
    print_tables(console, record, run.rebalances())
    for note in run.notes:
        console.print(note, highlight=False, markup=False)
    if run.trouble is not None:
        console.print(run.trouble, highlight=False, markup=False, soft_wrap=True)
        return False
    checks = [
        agreement(run.answers.get("revenue-status"), record.totals),
        cost_line(run.answers.get(SCORE), record.totals.rebalance_cost_msat),
        books_line(run.answers.get(BOOKS)),
    ]
    told = [check for check in checks if check is not None]
    for well, line in told:
        style = "green" if well else "bold red"
        console.print(line, highlight=False, markup=False, soft_wrap=True, style=style)
    return all(well for well, _ in told)


def _page(chosen: argparse.Namespace, run: DemoRun, record: RunRecord) -> Path:
    """Write the page and return where it lies."""
    # Late: matplotlib takes longer to import than the rest of the program together.
    from cl_revenue_ops.simnode.plots import draw_figures

    out: Path = chosen.out or Path(tempfile.mkdtemp(prefix="revenue-demo-"))
    out.mkdir(parents=True, exist_ok=True)
    page = out / f"demo-seed-{chosen.seed}.html"
    write_page(page, record, draw_figures(record), run.notes, run.rebalances())
    return page.resolve()


def main(argv: list[str] | None = None) -> int:
    """Run the demo; return 0 only if the plugin lived and its totals equal the node's."""
    chosen = _arguments(argv)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    if not chosen.plugin.is_file():
        console.print(f"no plugin at {chosen.plugin}", highlight=False, soft_wrap=True)
        return 1
    console.print(
        f"{chosen.channels} channels, {chosen.days} days, about {chosen.attempts:g} payments tried "
        f"per channel and day; plugin {chosen.plugin.name}",
        highlight=False,
    )
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="simnode-demo-") as directory:
        run = _run(chosen, console, Path(directory))
        seconds = time.monotonic() - began
        record = measure(run.driver, run.samples, flow_classes(list(run.answers.values())))
        well = _show(console, run, record)
        console.print(f"{chosen.days} virtual days took {seconds:.1f} s", highlight=False)
        page = _page(chosen, run, record)
    console.print(f"page: {page}", highlight=False, markup=False, soft_wrap=True)
    return 0 if well else 1
