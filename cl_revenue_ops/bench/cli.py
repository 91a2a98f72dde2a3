"""The bench command: chosen policies in chosen scenarios over seeds, tables and a page."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cl_revenue_ops.bench.asking import (
    ALL,
    OneLine,
    ask_for_worlds,
    carried_out,
    names_of,
    seeds_of,
)
from cl_revenue_ops.bench.pairs import notes as notes_of
from cl_revenue_ops.bench.pairs import print_pairs
from cl_revenue_ops.bench.plot import write_page
from cl_revenue_ops.bench.rebalancers import REBALANCERS
from cl_revenue_ops.bench.registry import (
    PLUGINS,
    BadPolicy,
    Spec,
    all_names,
    fees_of,
    names,
    option,
    parse,
    rebalancing_names,
)
from cl_revenue_ops.bench.run import Told, cells_of, run
from cl_revenue_ops.bench.scenarios import ALL_SCENARIOS, SCENARIOS
from cl_revenue_ops.bench.table import Score, print_tables

WIDTH = 144
PAGE = "bench.html"
DEFAULT_OUT = Path("out") / "bench"
REBALANCING = "rebalancing"


def _policies_of(text: str, options: list[str]) -> list[Spec]:
    given = tuple(option(word) for word in options)
    sets = {ALL: all_names(), REBALANCING: rebalancing_names()}
    asked = [name for word in text.split(",") for name in sets.get(word, [word])]
    specs = [parse(word) for word in asked]
    if given and not any(fees_of(spec.name) in PLUGINS for spec in specs):
        raise BadPolicy(f"--plugin-option is for {' and '.join(PLUGINS)}")
    specs = [
        spec._replace(options=spec.options + given) if fees_of(spec.name) in PLUGINS else spec
        for spec in specs
    ]
    return list(dict.fromkeys(specs))


def _parser() -> argparse.ArgumentParser:
    parser = OneLine(
        prog="python -m cl_revenue_ops.simnode bench",
        description="Compare fee policies on the same simulated markets.",
        epilog=f"policies: {', '.join(names())}; scenarios: {', '.join(ALL_SCENARIOS)}. "
        f"'all' policies are {', '.join(all_names())}. With a rebalancer (fee rule/rebalancer): "
        f"{', '.join(REBALANCERS)}; 'rebalancing' are {', '.join(rebalancing_names())}. "
        "The plugin's options may also stand with its name: house+revenue-ops-min-fee-ppm=5",
    )
    add = parser.add_argument
    add("--policy", help="names, separated by commas (all, or rebalancing with --rebalancing)")
    add("--rebalancing", action="store_true", help="against the bound with rebalancing")
    add("--scenario", default=ALL, help="names, separated by commas (all)")
    ask_for_worlds(parser, "1-4", DEFAULT_OUT)
    add("--plugin-option", action="append", default=[], metavar="K=V", help="may be repeated")
    add("--base", help="the policy that differences are taken from (the first)")
    add("--no-bound", action="store_true", help="satoshi a day instead of shares of the bound")
    return parser


@contextmanager
def _progress(console: Console) -> Iterator[Told]:
    """Yield what hears of each finished run: a live bar on a terminal, else plain lines."""
    if not console.is_terminal:
        tenth = [0]

        def plain(done: int, of: int, what: str) -> None:
            if of and 10 * done // of > tenth[0]:
                tenth[0] = 10 * done // of
                console.print(f"{done} of {of} runs  {what}", highlight=False)

        yield plain
        return
    columns = (BarColumn(bar_width=30), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.description}"), console=console) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda done, of, what: bar.update(task, total=of, completed=done, description=what)


def _bench(chosen: argparse.Namespace, parser: argparse.ArgumentParser, console: Console) -> int:
    named = chosen.policy or (REBALANCING if chosen.rebalancing else ALL)
    try:
        specs = _policies_of(named, chosen.plugin_option)
        scenarios = names_of(chosen.scenario, list(ALL_SCENARIOS), list(SCENARIOS), "scenario")
        seeds = seeds_of(chosen.seeds)
        labels = [spec.label for spec in specs]
        base = labels[0] if chosen.base is None else parse(chosen.base).label
        if base not in labels:
            raise BadPolicy(f"the base {base} is none of the policies: {', '.join(labels)}")
        chosen.out.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as wrong:
        parser.error(str(wrong))
    if chosen.days < 1 or chosen.channels < 2 or chosen.jobs < 1:
        parser.error("needs at least 1 day, 2 channels and 1 job")
    world = (chosen.days, chosen.channels, not chosen.no_bound)
    moves = chosen.rebalancing or any(spec.is_pair for spec in specs)
    cells = cells_of(specs, scenarios, seeds, *world, rebalancing=moves)
    began = time.monotonic()
    with _progress(console) as told:
        results = run(cells, chosen.out, chosen.jobs, told)
    for failure in results.failures:
        line = f"failed: {failure}"
        console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
    if not results.outcomes:
        return 1
    score = Score(results)
    if base not in score.outcomes:
        base = next(iter(score.outcomes))
    print_tables(console, score, base)
    print_pairs(console, score)
    found = notes_of(score)
    for note in found:
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    notes = [
        f"{len(specs)} policies, {len(scenarios)} scenarios, seeds {chosen.seeds}, "
        f"{chosen.channels} channels, {chosen.days} days; differences are taken from {base}.",
        *found,
    ]
    page = chosen.out / PAGE
    write_page(page, score, base, notes)
    console.print(f"{len(cells)} runs, {time.monotonic() - began:.0f} s", highlight=False)
    console.print(f"page: {page.resolve()}", highlight=False, markup=False, soft_wrap=True)
    return 1 if results.failures else 0


def main(argv: list[str] | None = None) -> int:
    """Run the bench; 0 if every run went well, 1 if one failed, 2 for wrong input."""
    stopped = "stopped; the same command goes on from here"
    return carried_out(_parser(), argv, _bench, WIDTH, stopped)
