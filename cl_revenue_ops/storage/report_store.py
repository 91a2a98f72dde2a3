"""What the Reporter keeps: one snapshot a day, one record a closed channel."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from cl_revenue_ops.ports import ClosingRow, DayRow
from cl_revenue_ops.storage.repository import Repository

_SAVE_DAY = (
    "INSERT INTO daily_snapshot (day, read_s, flows, balances) VALUES (?1, ?2, ?3, ?4)"
    " ON CONFLICT (day) DO UPDATE SET read_s = excluded.read_s, flows = excluded.flows,"
    " balances = CASE WHEN ?5 THEN coalesce(excluded.balances, balances)"
    " ELSE coalesce(balances, excluded.balances) END"
)
_DAYS = "SELECT day, read_s, flows, balances FROM daily_snapshot"
_NOTE = (
    "INSERT INTO closed_channel (channel_id, seen_s, mutual) VALUES (?, ?, ?)"
    " ON CONFLICT (channel_id) DO UPDATE SET seen_s = excluded.seen_s, mutual = excluded.mutual"
    " WHERE archived_s IS NULL"
)
_ARCHIVE = (
    "INSERT INTO closed_channel (channel_id, seen_s, mutual, archived_s, body)"
    " VALUES (?, ?, ?, ?, ?) ON CONFLICT (channel_id) DO UPDATE SET"
    " archived_s = excluded.archived_s, body = excluded.body WHERE archived_s IS NULL"
)


class SqliteReportStore(Repository):
    """Implements ports.ReportStore. What it stores survives a loss of power."""

    def days(self) -> tuple[tuple[int, float, bool], ...]:
        """See ports.ReportStore."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT day, read_s, balances IS NOT NULL FROM daily_snapshot ORDER BY day"
            )
            return tuple((int(day), float(read_s), bool(known)) for day, read_s, known in rows)

    def newest_days(self, limit: int) -> tuple[DayRow, ...]:
        """See ports.ReportStore."""
        with self._reading() as connection:
            rows = connection.execute(f"{_DAYS} ORDER BY day DESC LIMIT ?", (limit,)).fetchall()
        return tuple(DayRow(*row) for row in reversed(rows))

    def day_before(self, day: int) -> DayRow | None:
        """See ports.ReportStore."""
        with self._reading() as connection:
            row = connection.execute(
                f"{_DAYS} WHERE balances IS NOT NULL"
                " ORDER BY day < ? DESC, CASE WHEN day < ? THEN -day ELSE day END LIMIT 1",
                (day, day),
            ).fetchone()
        return None if row is None else DayRow(*row)

    def save_day(self, row: DayRow, *, anew: bool) -> None:
        """See ports.ReportStore."""
        with self._writing(durable=True) as connection:
            connection.execute(_SAVE_DAY, (*row, anew))

    def closings(self) -> tuple[ClosingRow, ...]:
        """See ports.ReportStore."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT channel_id, seen_s, mutual, archived_s, body FROM closed_channel"
                " ORDER BY channel_id"
            ).fetchall()
        return tuple(_closing(row) for row in rows)

    def note_closing(self, rows: Sequence[ClosingRow]) -> None:
        """See ports.ReportStore."""
        with self._writing(durable=True) as connection:
            connection.executemany(_NOTE, [(r.channel_id, r.seen_s, r.mutual) for r in rows])

    def archive(self, rows: Sequence[ClosingRow]) -> int:
        """See ports.ReportStore."""
        with self._writing(durable=True) as connection:
            before = _archived(connection)
            connection.executemany(_ARCHIVE, rows)
            return _archived(connection) - before


def _archived(connection: sqlite3.Connection) -> int:
    found = connection.execute("SELECT count(archived_s) FROM closed_channel").fetchone()
    return int(found[0])


def _closing(row: tuple[str, float | None, int | None, float | None, str | None]) -> ClosingRow:
    channel_id, seen_s, mutual, archived_s, body = row
    return ClosingRow(
        channel_id, seen_s, None if mutual is None else bool(mutual), archived_s, body
    )
