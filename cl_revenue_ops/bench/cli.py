"""The bench command: chosen policies in chosen scenarios over seeds, tables and a page."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cl_revenue_ops.bench.plot import write_page
from cl_revenue_ops.bench.registry import PLUGINS, BadPolicy, Spec, all_names, names, option, parse
from cl_revenue_ops.bench.run import Told, cells_of, run
from cl_revenue_ops.bench.scenarios import ALL_SCENARIOS, CHANNELS, DAYS, SCENARIOS
from cl_revenue_ops.bench.table import Score, print_tables

ALL = "all"
WIDTH = 128
PAGE = "bench.html"
DEFAULT_OUT = Path("out") / "bench"


class _OneLine(argparse.ArgumentParser):
    """Answers wrong input with one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"bench: {message}\n")


def seeds_of(text: str) -> list[int]:
    """Read `1-8`, `1,5,7` or a mixture; ValueError for anything else."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"seeds are whole numbers such as 1-8 or 1,5,7, not {text!r}")
        found += range(int(first), int(last if dash else first) + 1)
    if not found:
        raise ValueError(f"no seeds in {text!r}")
    return list(dict.fromkeys(found))


def _scenarios_of(text: str) -> list[str]:
    if text == ALL:
        return list(SCENARIOS)
    asked = list(dict.fromkeys(text.split(",")))
    unknown = [name for name in asked if name not in ALL_SCENARIOS]
    if unknown:
        raise ValueError(f"no scenario {unknown[0]!r}; there are: {', '.join(ALL_SCENARIOS)}")
    return asked


def _policies_of(text: str, options: list[str]) -> list[Spec]:
    given = tuple(option(word) for word in options)
    asked = [name for word in text.split(",") for name in (all_names() if word == ALL else [word])]
    specs = [parse(word) for word in asked]
    if given and not any(spec.name in PLUGINS for spec in specs):
        raise BadPolicy(f"--plugin-option is for {' and '.join(PLUGINS)}")
    specs = [
        spec._replace(options=spec.options + given) if spec.name in PLUGINS else spec
        for spec in specs
    ]
    return list(dict.fromkeys(specs))


def _parser() -> argparse.ArgumentParser:
    parser = _OneLine(
        prog="python -m cl_revenue_ops.simnode bench",
        description="Compare fee policies on the same simulated markets.",
        epilog=f"policies: {', '.join(names())}; scenarios: {', '.join(ALL_SCENARIOS)}. "
        f"'all' policies are {', '.join(all_names())}. The plugin's options may also stand with "
        "its name: house+revenue-ops-min-fee-ppm=5",
    )
    add = parser.add_argument
    add("--policy", default=ALL, help="names, separated by commas (all)")
    add("--scenario", default=ALL, help="names, separated by commas (all)")
    add("--seeds", default="1-4", help="for example 1-8 or 1,5,7 (1-4)")
    add("--days", type=int, default=DAYS, help=f"virtual days ({DAYS})")
    add("--channels", type=int, default=CHANNELS, help=f"channels of the node ({CHANNELS})")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="processes (one for each CPU)")
    add("--out", type=Path, default=DEFAULT_OUT, help=f"folder of the results ({DEFAULT_OUT})")
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
    try:
        specs = _policies_of(chosen.policy, chosen.plugin_option)
        scenarios, seeds = _scenarios_of(chosen.scenario), seeds_of(chosen.seeds)
        labels = [spec.label for spec in specs]
        base = labels[0] if chosen.base is None else parse(chosen.base).label
        if base not in labels:
            raise BadPolicy(f"the base {base} is none of the policies: {', '.join(labels)}")
        chosen.out.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as wrong:
        parser.error(str(wrong))
    if chosen.days < 1 or chosen.channels < 2 or chosen.jobs < 1:
        parser.error("needs at least 1 day, 2 channels and 1 job")
    cells = cells_of(specs, scenarios, seeds, chosen.days, chosen.channels, not chosen.no_bound)
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
    notes = [
        f"{len(specs)} policies, {len(scenarios)} scenarios, seeds {chosen.seeds}, "
        f"{chosen.channels} channels, {chosen.days} days; differences are taken from {base}."
    ]
    page = chosen.out / PAGE
    write_page(page, score, base, notes)
    console.print(f"{len(cells)} runs, {time.monotonic() - began:.0f} s", highlight=False)
    console.print(f"page: {page.resolve()}", highlight=False, markup=False, soft_wrap=True)
    return 1 if results.failures else 0


def main(argv: list[str] | None = None) -> int:
    """Run the bench; 0 if every run went well, 1 if one failed, 2 for wrong input."""
    parser = _parser()
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    try:
        return _bench(parser.parse_args(argv), parser, console)
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on from here")
        return 130
