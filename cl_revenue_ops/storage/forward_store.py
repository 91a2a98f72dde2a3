"""The forward log, the forwards still open, and how far the node's list has been read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any

from cl_revenue_ops.ports import IngestState
from cl_revenue_ops.storage.repository import Repository
from messages.forwards import (
    FAILED,
    LOCAL_FAILED,
    OFFERED,
    SETTLED,
    Earned,
    EarningsPage,
    Forward,
    ForwardLogPage,
    LoggedForward,
)

# A longer page is cut; a longer run of old rows is passed over in several calls.
MOST_ROWS = 10_000
MOST_SCANNED = 20_000
MOST_SUMMED = 100_000

_RESOLVED = frozenset({SETTLED, FAILED, LOCAL_FAILED})

# Below this many rows one look-up each is cheaper than trying them all at once.
_FEW = 8

_COLUMNS = (
    "in_scid, in_htlc_id, out_scid, in_msat, out_msat, fee_msat, status,"
    " received_at_s, resolved_at_s, failcode, created_index"
)
_APPEND = (
    f"INSERT INTO forward_log ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?)"
    " ON CONFLICT (in_scid, in_htlc_id) DO NOTHING"
)
_FIND = f"SELECT {_COLUMNS} FROM forward_log WHERE in_scid = ? AND in_htlc_id = ?"
_CORRECT = (
    "UPDATE forward_log SET out_scid = ?3, in_msat = ?4, out_msat = ?5, fee_msat = ?6,"
    " status = ?7, received_at_s = ?8, resolved_at_s = ?9, failcode = ?10, created_index = ?11"
    " WHERE in_scid = ?1 AND in_htlc_id = ?2"
)
_OPEN = (
    f"INSERT INTO forward_open ({_COLUMNS}, updated_index) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
    " ON CONFLICT (in_scid, in_htlc_id) DO NOTHING"
)
_REOPEN = f"REPLACE INTO forward_open ({_COLUMNS}, updated_index) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
_CLOSE = "DELETE FROM forward_open WHERE in_scid = ? AND in_htlc_id = ?"

_SUM = f"""
    SELECT out_scid,
        sum(CASE WHEN at_s < ?4 THEN fee_msat ELSE 0 END),
        sum(CASE WHEN at_s < ?4 THEN 0 ELSE fee_msat END)
    FROM (SELECT out_scid, fee_msat, coalesce(resolved_at_s, received_at_s) AS at_s
        FROM forward_log WHERE seq > ?1 AND seq <= ?2 AND status = '{SETTLED}'
        AND out_scid IS NOT NULL AND fee_msat IS NOT NULL)
    WHERE at_s >= ?3 AND at_s < ?5
    GROUP BY out_scid ORDER BY out_scid"""

_logged_part = itemgetter(slice(0, 11))
_key = itemgetter(0, 1)


class _Totals:
    """The running totals while a page is taken in; amounts in msat."""

    def __init__(self, state: IngestState) -> None:
        self.settled = state.settled
        self.volume_msat = state.volume_msat
        self.fees_msat = state.fees_msat
        self.failed = state.failed
        self.offered = state.offered
        self.log_seq = state.log_seq

    def count(self, rows: Iterable[Sequence[Any]], sign: int = 1) -> None:
        """Add resolved rows (or take them away): position 6 is the status, 4 and 5 out and fee."""
        for row in rows:
            if row[6] == SETTLED:
                self.settled += sign
                self.volume_msat += sign * (row[4] or 0)
                self.fees_msat += sign * (row[5] or 0)
            else:
                self.failed += sign


class SqliteForwardStore(Repository):
    """Implements ports.ForwardStore.

    Amounts and indexes are SQLite integers. A row or a total beyond 2^63 - 1 raises ValueError
    and changes nothing; in msat that is four times all bitcoin there will ever be, so the total
    volume reaches it after 2,500 years at 100 BTC a day.
    """

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
        resolved, offered = _parted(rows)
        try:
            with self._writing() as connection:
                before = _read_state(connection)
                totals = _Totals(before)
                # Resolved rows first: an offered one that they resolve is then never written.
                _take_resolved(connection, resolved, authoritative, totals)
                _take_offered(connection, offered, authoritative, totals)
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
        except (OverflowError, sqlite3.IntegrityError) as error:
            raise ValueError(f"a forward that cannot be stored: {error}") from error
        return after

    def read_log(self, after_seq: int, limit: int, not_before_s: float) -> ForwardLogPage:
        """See ports.ForwardStore. `limit` is cut to 10,000.

        One call looks at 20,000 rows at most, so a page may be empty and yet not the last: the
        cursor has moved past old rows.
        """
        if limit < 1:
            raise ValueError(f"limit {limit} is below 1")
        limit = min(limit, MOST_ROWS)
        with self._reading() as connection:
            newest: int = connection.execute(
                "SELECT coalesce(max(seq), 0) FROM forward_log"
            ).fetchone()[0]
            reach = min(after_seq + MOST_SCANNED, newest)
            found = connection.execute(
                "SELECT seq, in_scid, out_scid, in_msat, out_msat, fee_msat, status,"
                " coalesce(resolved_at_s, received_at_s), failcode FROM forward_log"
                " WHERE seq > ? AND seq <= ? AND coalesce(resolved_at_s, received_at_s) >= ?"
                " ORDER BY seq LIMIT ?",
                (after_seq, reach, not_before_s, limit),
            ).fetchall()
        rows = tuple(map(LoggedForward._make, found))
        next_seq = rows[-1].seq if len(rows) == limit else max(reach, after_seq)
        return ForwardLogPage(rows, next_seq, next_seq >= newest)

    def earnings(self, after_seq: int, from_s: float, mid_s: float, end_s: float) -> EarningsPage:
        """See ports.ForwardStore. One call looks at MOST_SUMMED rows at most."""
        with self._reading() as connection:
            first = connection.execute(
                "SELECT received_at_s FROM forward_log ORDER BY seq LIMIT 1"
            ).fetchone()
            newest: int = connection.execute(
                "SELECT coalesce(max(seq), 0) FROM forward_log"
            ).fetchone()[0]
            reach = min(after_seq + MOST_SUMMED, newest)
            found = connection.execute(_SUM, (after_seq, reach, from_s, mid_s, end_s))
            earned = tuple(map(Earned._make, found.fetchall()))
        next_seq = max(reach, after_seq)
        begins_s = None if first is None else first[0]
        return EarningsPage(earned, next_seq, next_seq >= newest, begins_s)

    def open_forwards(self, limit: int) -> tuple[Forward, ...]:
        """See ports.ForwardStore."""
        with self._reading() as connection:
            found = connection.execute(
                f"SELECT {_COLUMNS}, updated_index FROM forward_open"
                " ORDER BY received_at_s, in_scid, in_htlc_id LIMIT ?",
                (limit,),
            ).fetchall()
        return tuple(map(Forward._make, found))


def _parted(rows: Sequence[Forward]) -> tuple[list[Forward], list[Forward]]:
    """Rows that are resolved, and rows that wait; ValueError for any other status."""
    resolved: list[Forward] = []
    offered: list[Forward] = []
    for row in rows:
        status = row[6]
        if status in _RESOLVED:
            resolved.append(row)
        elif status == OFFERED:
            offered.append(row)
        else:
            raise ValueError(f"unknown status {status!r} of forward {row[:2]}")
    return resolved, offered


def _take_resolved(
    connection: sqlite3.Connection, rows: list[Forward], authoritative: bool, totals: _Totals
) -> None:
    if len(rows) < _FEW or not _append_all(connection, rows, totals):
        for row in rows:
            _take_one_resolved(connection, row, authoritative, totals)


def _append_all(connection: sqlite3.Connection, rows: list[Forward], totals: _Totals) -> bool:
    """Append the page in one go; False, and nothing done, unless every row is new."""
    connection.execute("SAVEPOINT page")
    appended = connection.executemany(_APPEND, map(_logged_part, rows)).rowcount
    if appended != len(rows):
        connection.execute("ROLLBACK TO page")
        connection.execute("RELEASE page")
        return False
    connection.execute("RELEASE page")
    if totals.offered:
        totals.offered -= connection.executemany(_CLOSE, map(_key, rows)).rowcount
    totals.log_seq += appended
    totals.count(rows)
    return True


def _take_one_resolved(
    connection: sqlite3.Connection, row: Forward, authoritative: bool, totals: _Totals
) -> None:
    logged = row[:11]
    stored = connection.execute(_FIND, row[:2]).fetchone()
    if stored is None:
        connection.execute(_APPEND, logged)
        totals.log_seq += 1
        totals.count((logged,))
        if totals.offered:
            totals.offered -= connection.execute(_CLOSE, row[:2]).rowcount
    elif authoritative and stored != logged:
        connection.execute(_CORRECT, logged)
        totals.count((stored,), -1)
        totals.count((logged,))


def _take_offered(
    connection: sqlite3.Connection, rows: list[Forward], authoritative: bool, totals: _Totals
) -> None:
    for row in rows:
        if connection.execute(_FIND, row[:2]).fetchone() is not None:
            continue
        new = connection.execute(_OPEN, row).rowcount
        totals.offered += new
        if authoritative and not new:
            connection.execute(_REOPEN, row)


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
