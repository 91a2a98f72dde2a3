"""The bench-figures command: measurements of the pricing rule, as tables and as one JSON file."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from rich.console import Console

from cl_revenue_ops.bench import figures_attack, figures_coverage, figures_gossip, figures_time
from cl_revenue_ops.bench.asking import (
    ALL,
    OneLine,
    ask_for_worlds,
    carried_out,
    names_of,
    seeds_of,
)
from cl_revenue_ops.bench.attack import FIRST_DAY
from cl_revenue_ops.bench.figures_cpu import cost, cpu
from cl_revenue_ops.bench.figures_play import RULE, Play, Run, Runs, Setting, run_of
from cl_revenue_ops.bench.figures_table import Figure, print_figure
from cl_revenue_ops.bench.registry import fingerprint
from cl_revenue_ops.bench.scenarios import ALL_SCENARIOS, SCENARIOS

WIDTH = 150
FILE = "figures.json"
DEFAULT_OUT = Path("out") / "figures"
DEFAULT_SEEDS = "1001-1003"
CPU = "cpu"

Key = TypeVar("Key")
Value = TypeVar("Value")


class Measure(NamedTuple):
    """A figure: the runs that it needs, what it makes of them, and the days that it needs."""

    plays: Callable[[Setting], list[Play]]
    figure: Callable[[Runs, Setting], Figure]
    least_days: int


MEASURES: Mapping[str, Measure] = {
    "ramp": Measure(figures_time.ramp_plays, figures_time.ramp, figures_time.RAMP_LEAST_DAYS),
    "jump": Measure(figures_time.jump_plays, figures_time.jump, figures_time.JUMP_LEAST_DAYS),
    "coverage": Measure(figures_coverage.coverage_plays, figures_coverage.coverage, 5),
    "attack": Measure(figures_attack.attack_plays, figures_attack.attack, FIRST_DAY + 1),
    "gossip": Measure(figures_gossip.gossip_plays, figures_gossip.gossip, 1),
}
NAMES = (*MEASURES, CPU)


def _parser() -> argparse.ArgumentParser:
    parser = OneLine(
        prog="python -m cl_revenue_ops.simnode bench-figures",
        description="Measure the pricing rule on simulated markets.",
        epilog=f"figures: {', '.join(NAMES)}; scenarios (of coverage and gossip): "
        f"{', '.join(ALL_SCENARIOS)}",
    )
    add = parser.add_argument
    add("--only", default=ALL, help="names of figures, separated by commas (all)")
    add("--scenario", default=ALL, help="for coverage and gossip, separated by commas (all)")
    ask_for_worlds(parser, DEFAULT_SEEDS, DEFAULT_OUT)
    return parser


@contextmanager
def _workers(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Yield worker processes; each computes on one thread."""
    # Read by the numerical library when it is loaded, which a new process has before it.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class _Desk:
    """Makes the runs that figures need with some worker processes, each of them once."""

    def __init__(self, pool: ProcessPoolExecutor, console: Console) -> None:
        self.runs: dict[Play, Run] = {}
        self.failures = 0
        self._pool, self._console = pool, console
        self._begun: set[Play] = set()

    def play(self, plays: Iterable[Play]) -> None:
        """Make those runs that were not asked for before; one that fails is told of and left."""
        missing = [play for play in dict.fromkeys(plays) if play not in self._begun]
        self._begun.update(missing)
        self.runs.update(self._each(run_of, missing))

    def costs(self, seeds: Iterable[int]) -> dict[int, dict[str, float]]:
        """Measure what a cycle costs, by seed."""
        return self._each(cost, list(seeds))

    def _each(self, work: Callable[[Key], Value], keys: Sequence[Key]) -> dict[Key, Value]:
        waiting = {self._pool.submit(work, key): key for key in keys}
        found: dict[Key, Value] = {}
        with self._console.status(f"{len(keys)} runs"):
            for future in as_completed(waiting):
                lost = future.exception()
                if lost is None:
                    found[waiting[future]] = future.result()
                    continue
                self.failures += 1
                line = f"failed: {waiting[future]}: {type(lost).__name__}: {lost}".splitlines()[0]
                self._console.print(line, style="red", highlight=False, markup=False)
        return found

    def figure(self, name: str, setting: Setting) -> Figure:
        """Take one figure."""
        if name == CPU:
            return cpu(self.costs(setting.seeds))
        measure = MEASURES[name]
        self.play(measure.plays(setting))
        return measure.figure(self.runs, setting)


def _figures(chosen: argparse.Namespace, parser: argparse.ArgumentParser, console: Console) -> int:
    try:
        names = names_of(chosen.only, NAMES, NAMES, "figure")
        scenarios = names_of(chosen.scenario, list(ALL_SCENARIOS), list(SCENARIOS), "scenario")
        seeds = tuple(seeds_of(chosen.seeds))
        least = max((MEASURES[name].least_days for name in names if name in MEASURES), default=1)
        if chosen.days < least or chosen.channels < 2 or chosen.jobs < 1:
            raise ValueError(f"needs at least {least} days, 2 channels and 1 job")
        chosen.out.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as wrong:
        parser.error(str(wrong))
    setting = Setting(seeds, chosen.days, chosen.channels, tuple(scenarios))
    began_s = time.monotonic()
    # Taken before the runs: what is edited meanwhile is in none of them.
    told: dict[str, Any] = {
        "code": fingerprint(RULE),
        "seeds": list(seeds),
        "days": chosen.days,
        "channels": chosen.channels,
    }
    figures = []
    with _workers(chosen.jobs) as pool:
        desk = _Desk(pool, console)
        for name in names:
            figures.append(desk.figure(name, setting))
            print_figure(console, figures[-1])
    told["figures"] = [figure.as_json() for figure in figures]
    path = chosen.out / FILE
    path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    console.print(f"{time.monotonic() - began_s:.0f} s", highlight=False)
    console.print(f"data: {path.resolve()}", highlight=False, markup=False, soft_wrap=True)
    return 1 if desk.failures else 0


def main(argv: list[str] | None = None) -> int:
    """Take the figures; 0 if every run went well, 1 if one failed, 2 for wrong input."""
    return carried_out(_parser(), argv, _figures, WIDTH, "stopped")
