"""revenue-import and revenue-export: their arguments, and who carries them out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from cl_revenue_ops.commands import values
from cl_revenue_ops.commands.binding import BadInput, Param
from cl_revenue_ops.commands.desk import FrontDesk, HandOn
from cl_revenue_ops.config import echo
from messages.exchange import Export, ImportEarlier

PATIENCE_S = 600.0
LATEST_S = 10**11
LONGEST_PATH = 1_000
FORMATS = {
    "ledger": ("csv", "json", "beancount"),
    "forwards": ("csv", "json"),
    "decisions": ("csv", "json"),
}
_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?\Z")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?Z?)?\Z")


def moment(name: str) -> Callable[[object], float]:
    """Unix seconds, or a date of UTC with or without a time."""

    def read(raw: object) -> float:
        value: float | None = None
        text = raw if isinstance(raw, str) and raw.isascii() else ""
        number = isinstance(raw, (int, float)) and not isinstance(raw, bool)
        if number or _SECONDS.match(text):
            value = float(raw)  # type: ignore[arg-type]
        elif _DATE.match(text):
            value = _seconds(text.removesuffix("Z"))
        if value is None or not 0.0 <= value <= LATEST_S:
            raise BadInput(
                f"{name} must be Unix seconds or a date of UTC such as 2026-01-31 or"
                f" 2026-01-31T12:00:00, not {echo(raw)}"
            )
        return value

    return read


def _seconds(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None


def run_export(desk: FrontDesk, args: Mapping[str, Any]) -> HandOn:
    """Hand the export on to its actor."""
    what, chosen, path = args["what"], args["format"], args["path"]
    since_s, until_s = args["since"], args["until"]
    if chosen not in FORMATS[what]:
        raise BadInput(f"{what} is written as {' or '.join(FORMATS[what])}, not as {chosen}")
    if until_s is not None and until_s <= since_s:
        raise BadInput("until must lie after since: nothing lies between them")
    return HandOn(
        "exporter",
        lambda i, to, by: Export(i, to, by, what, chosen, path, since_s, until_s),
        patience_s=PATIENCE_S,
    )


def run_import(desk: FrontDesk, args: Mapping[str, Any]) -> HandOn:
    """Hand the import on to its actor."""
    path, dry_run = args["path"], args["dry_run"]
    return HandOn(
        "importer",
        lambda i, to, by: ImportEarlier(i, to, by, path, dry_run),
        patience_s=PATIENCE_S,
    )


PATH = Param("path", values.line("path", LONGEST_PATH), required=True)

IMPORT = (PATH, Param("dry_run", values.flag("dry_run"), default=False))

EXPORT = (
    Param("what", values.word("what", tuple(FORMATS)), required=True),
    Param("format", values.word("format", FORMATS["ledger"]), required=True),
    PATH,
    Param("since", moment("since"), default=0.0),
    Param("until", moment("until")),
)
