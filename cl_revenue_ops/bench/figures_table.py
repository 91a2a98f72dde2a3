"""What a figure is: rows of estimates over seeds, as a table for a terminal and as plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from cl_revenue_ops.bench.stats import Interval, interval

SHARE, CHANGE, NUMBER, SATS = "share", "change", "number", "sats"
_FORMATS = {SHARE: "{:.1%}", CHANGE: "{:+.1%}", NUMBER: "{:.2f}", SATS: "{:,.0f}"}


class Estimate(NamedTuple):
    """A quantity by seed; `pooled` is that of all seeds together, where that is another one.

    `form` is one of SHARE, CHANGE (a share with its sign), NUMBER and SATS.
    """

    by_seed: Mapping[int, float]
    form: str = SHARE
    pooled: float | None = None

    @property
    def interval(self) -> Interval:
        """The mean over the seeds with its 95 % interval."""
        return interval([self.by_seed[seed] for seed in sorted(self.by_seed)])

    def shown(self) -> str:
        """The mean with its interval, and what holds of all seeds together."""
        found = self.interval
        if found.size == 0:
            return "-"
        show = _FORMATS[self.form].format
        text = show(found.mean)
        if math.isfinite(found.half):
            text += f" ±{show(found.half).lstrip('+')}"
        return text if self.pooled is None else f"{text} ({show(self.pooled)})"


class Row(NamedTuple):
    """One line of a figure: its words under the first heads, then its estimates."""

    labels: tuple[str, ...]
    cells: tuple[Estimate, ...]


class Figure(NamedTuple):
    """A measurement: `heads` are those of the labels and of the cells, `notes` say how to read."""

    name: str
    about: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The figure as JSON can hold it; an unbounded interval is null."""
        return {
            "name": self.name,
            "about": self.about,
            "notes": list(self.notes),
            "rows": [
                {
                    "labels": list(row.labels),
                    "cells": {
                        head: _plain(cell)
                        for head, cell in zip(self.heads[len(row.labels) :], row.cells, strict=True)
                    },
                }
                for row in self.rows
            ],
        }


def _plain(cell: Estimate) -> dict[str, Any]:
    found = cell.interval
    numbers = {"mean": found.mean, "low": found.low, "high": found.high, "pooled": cell.pooled}
    return {
        "form": cell.form,
        "by_seed": {str(seed): value for seed, value in sorted(cell.by_seed.items())},
        **{k: v if v is not None and math.isfinite(v) else None for k, v in numbers.items()},
    }


def ratio(one: Mapping[int, float], other: Mapping[int, float], form: str = SHARE) -> Estimate:
    """Return `one` as a share of `other` by seed, and of the sums; seeds without `other` drop."""
    kept = [seed for seed in sorted(one) if other.get(seed, 0.0) > 0.0]
    whole = sum(other[seed] for seed in kept)
    pooled = sum(one[seed] for seed in kept) / whole if whole > 0.0 else None
    return Estimate({seed: one[seed] / other[seed] for seed in kept}, form, pooled)


def print_figure(console: Console, figure: Figure) -> None:
    """Print a figure as a table, with its notes below."""
    table = Table(box=box.SIMPLE_HEAD, title=figure.about, padding=(0, 1, 0, 0), pad_edge=False)
    labels = len(figure.rows[0].labels) if figure.rows else 1
    for place, head in enumerate(figure.heads):
        table.add_column(head, justify="left" if place < labels else "right")
    for row in figure.rows:
        table.add_row(*row.labels, *(cell.shown() for cell in row.cells))
    console.print(table)
    for note in figure.notes:
        console.print(note, style="dim", highlight=False, markup=False)
