"""Tables of plain text that fit a terminal of 100 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

WIDTH = 100
GAP = "  "
BAR = 12
# lightning-cli prints a text as it stands in the JSON, and turns back nothing but line ends.
_ESCAPED = str.maketrans({'"': "'", "\\": "/", "\t": " "})


class Column(NamedTuple):
    """A heading; numbers stand right. What is `elastic` is cut where the table is too wide."""

    heading: str
    right: bool = True
    elastic: bool = False


def number(value: object, decimals: int = 0) -> str:
    """With thousands separators; a dash where nothing is known."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "-" if value is None else plain(value)
    return f"{value:,.{decimals}f}" if decimals else f"{round(value):,}"


def plain(value: object) -> str:
    """Outside text as printable ASCII that lightning-cli prints as it is."""
    flat = " ".join(str(value).split()).encode("ascii", "replace").decode("ascii")
    return flat.translate(_ESCAPED)


def bar(share: object, width: int = BAR) -> str:
    """Our part of a balance: [####--------]."""
    part = share if isinstance(share, (int, float)) else 0.0
    full = round(min(1.0, max(0.0, part)) * width)
    return f"[{'#' * full}{'-' * (width - full)}]"


def table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[str]],
    total: Sequence[str] | None = None,
) -> list[str]:
    """Lines of at most WIDTH characters: headings, rows, and the totals under a line."""
    body = [list(row) for row in rows]
    lines = [[column.heading for column in columns], *body, *([list(total)] if total else [])]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    over = sum(widths) + len(GAP) * (len(widths) - 1) - WIDTH
    for place, column in enumerate(columns):
        if column.elastic and over > 0:
            cut = min(over, widths[place] - 4)
            widths[place] -= cut
            over -= cut

    def written(line: Sequence[str]) -> str:
        cells = [
            cell[:width].rjust(width) if column.right else cell[:width].ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ]
        return GAP.join(cells).rstrip()[:WIDTH]

    rule = "-" * min(WIDTH, sum(widths) + len(GAP) * (len(widths) - 1))
    shown = [written(lines[0]), rule, *map(written, body)]
    if total:
        shown += [rule, written(list(total))]
    return shown


def pairs(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Names with values, one a line."""
    found = list(rows)
    width = max((len(name) for name, _ in found), default=0)
    return [f"{name.ljust(width)}{GAP}{value}"[:WIDTH].rstrip() for name, value in found]


def wrapped(text: str, indent: str = "") -> list[str]:
    """A sentence in lines of at most WIDTH characters."""
    lines, line = [], ""
    for word in plain(text).split():
        if line and len(indent) + len(line) + 1 + len(word) > WIDTH:
            lines.append(indent + line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, (indent + line)[:WIDTH]] if line else lines
