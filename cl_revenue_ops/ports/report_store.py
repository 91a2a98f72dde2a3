"""The repository of the Reporter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from cl_revenue_ops.ports.stores import Store


class DayRow(NamedTuple):
    """The snapshot of one day (days since 1970 in UTC) as JSON texts.

    `flows` were read from the totals at `read_s` (Unix seconds). `balances` are those at the end
    of the day, None where nobody looked then.
    """

    day: int
    read_s: float
    flows: str
    balances: str | None


class ClosingRow(NamedTuple):
    """A channel that closes or has closed.

    `seen_s` is when it was first seen closing, None where that was not seen; `mutual` whether both
    sides agreed, None where that was not seen. `body` is the archived record as JSON text, None
    until its costs are final.
    """

    channel_id: str
    seen_s: float | None
    mutual: bool | None
    archived_s: float | None = None
    body: str | None = None


class ReportStore(Store, Protocol):
    """One snapshot a day, and one record a closed channel."""

    def days(self) -> tuple[tuple[int, float, bool], ...]:
        """(day, when its flows were read, whether it has balances) of every snapshot, by day."""
        ...

    def newest_days(self, limit: int) -> tuple[DayRow, ...]:
        """The newest snapshots, oldest first."""
        ...

    def day_before(self, day: int) -> DayRow | None:
        """The newest snapshot with balances of a day before `day`, or the oldest with balances."""
        ...

    def save_day(self, row: DayRow, *, anew: bool) -> None:
        """Store a snapshot: its flows replace those of the same day.

        Balances replace stored ones only where the day's end was seen `anew`; None replaces none.
        """
        ...

    def closings(self) -> tuple[ClosingRow, ...]:
        """Every record, by channel_id."""
        ...

    def note_closing(self, rows: Sequence[ClosingRow]) -> None:
        """Store what was seen of channels that close; an archived record stays as it is."""
        ...

    def archive(self, rows: Sequence[ClosingRow]) -> int:
        """Store records, together, each once for ever; how many were new."""
        ...
