"""The forward log, the forwards still open, and how far the node's list has been read."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from cl_revenue_ops.ports import IngestState, Lease, LetGo, SettledSums, Sought
from cl_revenue_ops.storage import forward_search, forward_totals
from cl_revenue_ops.storage.database import Database
from cl_revenue_ops.storage.forward_intake import (
    OPEN_COLUMNS,
    Intake,
    parted,
    take_offered,
    take_resolved,
)
from cl_revenue_ops.storage.forward_rows import Scid, Scids
from cl_revenue_ops.storage.forward_schema import STATUS_NUMBERS
from cl_revenue_ops.storage.repository import Repository
from messages.forwards import (
    SETTLED,
    Earned,
    EarningsPage,
    Forward,
    ForwardFailures,
    ForwardLogPage,
    ForwardTotals,
    LoggedForward,
)

# A longer page is cut; a longer run of old rows is passed over in several calls.
MOST_ROWS = 10_000
MOST_SCANNED = 20_000
MOST_SUMMED = 100_000
MOST_SWEPT = 1_000

_SETTLED = STATUS_NUMBERS[SETTLED]

_PAGE = """
    SELECT seq, in_scid, out_scid, in_msat, out_msat, fee_msat, status,
        coalesce(resolved_at_s, received_at_s) AS at_s, failcode
    FROM forward_log WHERE seq > ? AND seq <= ? AND coalesce(resolved_at_s, received_at_s) >= ?
    ORDER BY seq LIMIT ?"""
_SUM = f"""
    SELECT scid, sum(before_msat), sum(after_msat)
    FROM (SELECT out_ref,
            sum(CASE WHEN at_s < ?4 THEN fee_msat ELSE 0 END) AS before_msat,
            sum(CASE WHEN at_s < ?4 THEN 0 ELSE fee_msat END) AS after_msat
        FROM (SELECT out_ref, fee_msat, coalesce(resolved_at_s, received_at_s) AS at_s
            FROM forward_row WHERE seq > ?1 AND seq <= ?2 AND status = {_SETTLED}
            AND out_ref IS NOT NULL AND fee_msat IS NOT NULL)
        WHERE at_s >= ?3 AND at_s < ?5
        GROUP BY out_ref)
    JOIN forward_scid ON id = out_ref GROUP BY scid ORDER BY scid"""
_SWEEP = """
    SELECT seq, in_id, in_htlc_id, status = 0, coalesce(resolved_at_s, received_at_s)
    FROM forward_row WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"""
_GONE = {
    False: "UPDATE forward_scid SET failed_gone = max(failed_gone, ?) WHERE id = ?",
    True: "UPDATE forward_scid SET settled_gone = max(settled_gone, ?) WHERE id = ?",
}

_BEGIN = """
    UPDATE forward_state SET begins_at_s = (SELECT received_at_s FROM forward_row WHERE seq = 1)"""


class SqliteForwardStore(Repository):
    """Implements ports.ForwardStore.

    Amounts and indexes are SQLite integers. A row or a total beyond 2^63 - 1 raises ValueError
    and changes nothing; in msat that is four times all bitcoin there will ever be, so the total
    volume reaches it after 2,500 years at 100 BTC a day.
    """

    def __init__(self, database: Database, lease: Lease) -> None:
        super().__init__(database, lease)
        self._known: dict[str, Scid] = {}
        self._past = forward_totals.Past()

    def load(self) -> IngestState:
        """See ports.ForwardStore."""
        with self._reading() as connection:
            return _read_state(connection)

    def ingest(
        self,
        rows: Sequence[Forward],
        *,
        authoritative: bool,
        next_created: int | None = None,
        next_updated: int | None = None,
        caught_up: bool | None = None,
    ) -> IngestState:
        """See ports.ForwardStore. What is None stays; ValueError for a row that cannot be."""
        resolved, offered = parted(rows)
        try:
            with self._writing() as connection:
                before = _read_state(connection)
                totals, scids = Intake(before), Scids(connection, self._known)
                # Resolved rows first: an offered one that they resolve is then never written.
                take_resolved(connection, resolved, authoritative, totals, scids)
                take_offered(connection, offered, authoritative, totals, scids)
                totals.changes.write(connection)
                after = IngestState(
                    before.next_created if next_created is None else next_created,
                    before.next_updated if next_updated is None else next_updated,
                    totals.settled,
                    totals.volume_msat,
                    totals.fees_msat,
                    totals.failed,
                    totals.offered,
                    totals.log_seq,
                    before.caught_up_once if caught_up is None else caught_up,
                )
                if after != before:
                    _write_state(connection, after)
                if after.log_seq > before.log_seq == 0:
                    connection.execute(_BEGIN)
        except (OverflowError, sqlite3.IntegrityError) as error:
            raise ValueError(f"a forward that cannot be stored: {error}") from error
        scids.keep()
        first_day = totals.changes.first_day
        if first_day is not None:
            self._past.changed(first_day)
        return after

    def let_go(
        self, after_seq: int, up_to_seq: int, failed_before_s: float, settled_before_s: float
    ) -> LetGo:
        """See ports.ForwardStore. One call looks at MOST_SWEPT rows at most."""
        with self._reading() as connection:
            rows = connection.execute(_SWEEP, (after_seq, up_to_seq, MOST_SWEPT)).fetchall()
        before_s = {False: failed_before_s, True: settled_before_s}
        gone = [row for row in rows if row[4] < before_s[bool(row[3])]]
        if gone:
            with self._writing() as connection:
                _drop(connection, gone, settled_before_s)
            # What was known of these scids is out of date.
            self._known.clear()
        young = (row[0] for row in rows if 0 < before_s[bool(row[3])] <= row[4])
        next_seq = rows[-1][0] if len(rows) == MOST_SWEPT else max(after_seq, up_to_seq)
        return LetGo(next_seq, len(gone), next(young, None))

    def totals(self, from_day: int, until_day: int | None) -> ForwardTotals:
        """See ports.ForwardStore."""
        with self._reading() as connection:
            return forward_totals.read_totals(connection, from_day, until_day, self._past)

    def failures(self, from_hour: int, until_hour: int) -> ForwardFailures:
        """See ports.ForwardStore."""
        with self._reading() as connection:
            return forward_totals.read_failures(connection, from_hour, until_hour)

    def read_log(self, after_seq: int, limit: int, not_before_s: float) -> ForwardLogPage:
        """See ports.ForwardStore. `limit` is cut to 10,000.

        One call looks at 20,000 rows at most, so a page may be empty and yet not the last: the
        cursor has moved past old rows.
        """
        if limit < 1:
            raise ValueError(f"limit {limit} is below 1")
        limit = min(limit, MOST_ROWS)
        with self._reading() as connection:
            newest, _ = _reach(connection)
            reach = min(after_seq + MOST_SCANNED, newest)
            found = connection.execute(_PAGE, (after_seq, reach, not_before_s, limit)).fetchall()
        rows = tuple(map(LoggedForward._make, found))
        next_seq = rows[-1].seq if len(rows) == limit else max(reach, after_seq)
        return ForwardLogPage(rows, next_seq, next_seq >= newest)

    def earnings(self, after_seq: int, from_s: float, mid_s: float, end_s: float) -> EarningsPage:
        """See ports.ForwardStore. One call looks at MOST_SUMMED rows at most."""
        with self._reading() as connection:
            newest, begins_s = _reach(connection)
            reach = min(after_seq + MOST_SUMMED, newest)
            found = connection.execute(_SUM, (after_seq, reach, from_s, mid_s, end_s))
            earned = tuple(map(Earned._make, found.fetchall()))
        next_seq = max(reach, after_seq)
        return EarningsPage(earned, next_seq, next_seq >= newest, begins_s)

    def sums_until(self, after_seq: int, until_s: float) -> SettledSums:
        """See ports.ForwardStore."""
        with self._reading() as connection:
            newest, _ = _reach(connection)
            return forward_search.sums_until(connection, after_seq, newest, until_s)

    def seek(self, after_seq: int, sought: Sequence[Sought]) -> ForwardLogPage:
        """See ports.ForwardStore."""
        with self._reading() as connection:
            newest, _ = _reach(connection)
            return forward_search.seek(connection, after_seq, newest, sought)

    def fees_of(self, rows: Sequence[Forward]) -> int:
        """See ports.ForwardStore."""
        with self._reading() as connection:
            return forward_search.fees_of(connection, rows, Scids(connection, self._known))

    def lull(self, now_s: float) -> float:
        """See ports.ForwardStore."""
        with self._reading() as connection:
            return forward_search.lull(connection, now_s)

    def open_forwards(self, limit: int) -> tuple[Forward, ...]:
        """See ports.ForwardStore."""
        with self._reading() as connection:
            found = connection.execute(
                f"SELECT {OPEN_COLUMNS} FROM forward_open"
                " ORDER BY received_at_s, in_scid, in_htlc_id LIMIT ?",
                (limit,),
            ).fetchall()
        return tuple(map(Forward._make, found))


def _drop(connection: sqlite3.Connection, gone: list[Any], settled_before_s: float) -> None:
    """Drop rows of a sweep, and remember of each scid how far it goes."""
    connection.executemany("DELETE FROM forward_row WHERE seq = ?", [(row[0],) for row in gone])
    for settled, statement in _GONE.items():
        up_to: dict[int, int] = {}
        for _, in_id, in_htlc_id, is_settled, _ in gone:
            if bool(is_settled) is settled:
                up_to[in_id] = max(in_htlc_id, up_to.get(in_id, -1))
        connection.executemany(statement, [(htlc_id, in_id) for in_id, htlc_id in up_to.items()])
        if settled and up_to:
            connection.execute(
                "UPDATE forward_state SET settled_since_s = max(settled_since_s, ?)",
                (settled_before_s,),
            )


def _reach(connection: sqlite3.Connection) -> tuple[int, float | None]:
    """The newest seq that was ever given, and since when all settled forwards are in the log."""
    newest, begins_s = connection.execute(
        "SELECT log_seq, max(begins_at_s, settled_since_s) FROM forward_state"
    ).fetchone()
    return newest, begins_s


def _read_state(connection: sqlite3.Connection) -> IngestState:
    row = connection.execute(
        "SELECT next_created, next_updated, settled, volume_msat, fees_msat, failed, offered,"
        " log_seq, caught_up_once FROM forward_state"
    ).fetchone()
    return IngestState._make((*row[:8], bool(row[8])))


def _write_state(connection: sqlite3.Connection, state: IngestState) -> None:
    connection.execute(
        "UPDATE forward_state SET next_created = ?, next_updated = ?, settled = ?,"
        " volume_msat = ?, fees_msat = ?, failed = ?, offered = ?, log_seq = ?,"
        " caught_up_once = ?",
        state,
    )
