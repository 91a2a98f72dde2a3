"""What the bench's two commands share: how they are asked, and how they end."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from cl_revenue_ops.bench.scenarios import CHANNELS, DAYS

ALL = "all"

Work = Callable[[argparse.Namespace, argparse.ArgumentParser, Console], int]


class OneLine(argparse.ArgumentParser):
    """Answers wrong input with one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog.split()[-1]}: {message}\n")


def ask_for_worlds(parser: argparse.ArgumentParser, seeds: str, out: Path) -> None:
    """Add the options that say which worlds are played, by how many, and where results go."""
    add = parser.add_argument
    add("--seeds", default=seeds, help=f"for example 1-8 or 1,5,7 ({seeds})")
    add("--days", type=int, default=DAYS, help=f"virtual days ({DAYS})")
    add("--channels", type=int, default=CHANNELS, help=f"channels of the node ({CHANNELS})")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="processes (one for each CPU)")
    add("--out", type=Path, default=out, help=f"folder of the results ({out})")


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


def names_of(text: str, known: Sequence[str], every: Sequence[str], what: str) -> list[str]:
    """Read names between commas; `all` stands for `every`. ValueError for one that there is not."""
    if text == ALL:
        return list(every)
    asked = list(dict.fromkeys(text.split(",")))
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise ValueError(f"no {what} {unknown[0]!r}; there are: {', '.join(known)}")
    return asked


def carried_out(
    parser: argparse.ArgumentParser, argv: list[str] | None, work: Work, width: int, stopped: str
) -> int:
    """Do the work on a console, `width` wide where that is no terminal; 130 when interrupted."""
    console = Console(width=None if sys.stdout.isatty() else width)
    try:
        return work(parser.parse_args(argv), parser, console)
    except KeyboardInterrupt:
        console.print(stopped)
        return 130
