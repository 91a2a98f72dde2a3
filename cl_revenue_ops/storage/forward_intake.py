"""How forwards are taken in: exactly once each, with the totals moved beside them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from operator import itemgetter

from cl_revenue_ops.ports import IngestState
from cl_revenue_ops.storage import forward_totals
from cl_revenue_ops.storage.forward_rows import (
    COLUMNS,
    Compact,
    Scid,
    Scids,
    compact,
    out_msat_of,
)
from cl_revenue_ops.storage.forward_schema import STATUS_NUMBERS
from messages.forwards import OFFERED, SETTLED, Forward

# Below this many rows one look-up each is cheaper than trying them all at once.
_FEW = 8

OPEN_COLUMNS = (
    "in_scid, in_htlc_id, out_scid, in_msat, out_msat, fee_msat, status,"
    " received_at_s, resolved_at_s, failcode, created_index, updated_index"
)
_APPEND = (
    f"INSERT INTO forward_row (seq, {COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
    " ON CONFLICT (in_id, in_htlc_id) DO NOTHING"
)
_FIND = f"SELECT {COLUMNS} FROM forward_row WHERE in_id = ? AND in_htlc_id = ?"
_CORRECT = (
    "UPDATE forward_row SET out_ref = ?3, in_msat = ?4, other_out_msat = ?5, fee_msat = ?6,"
    " status = ?7, received_at_s = ?8, resolved_at_s = ?9, failcode = ?10, created_index = ?11"
    " WHERE in_id = ?1 AND in_htlc_id = ?2"
)
_OPEN = (
    f"INSERT INTO forward_open ({OPEN_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
    " ON CONFLICT (in_scid, in_htlc_id) DO NOTHING"
)
_REOPEN = f"REPLACE INTO forward_open ({OPEN_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
_IS_OPEN = "SELECT 1 FROM forward_open WHERE in_scid = ? AND in_htlc_id = ?"
_CLOSE = "DELETE FROM forward_open WHERE in_scid = ? AND in_htlc_id = ?"

_SETTLED = STATUS_NUMBERS[SETTLED]

_key = itemgetter(0, 1)


class Intake:
    """The running totals while a page is taken in; amounts in msat."""

    def __init__(self, state: IngestState) -> None:
        self.settled = state.settled
        self.volume_msat = state.volume_msat
        self.fees_msat = state.fees_msat
        self.failed = state.failed
        self.offered = state.offered
        self.log_seq = state.log_seq
        self.changes = forward_totals.Changes()

    def count(self, rows: Iterable[Compact], sign: int = 1) -> None:
        """Add resolved rows (or take them away)."""
        for row in rows:
            self.changes.count(row, sign)
            if row[6] == _SETTLED:
                self.settled += sign
                self.volume_msat += sign * out_msat_of(row)
                self.fees_msat += sign * (row[5] or 0)
            else:
                self.failed += sign


def parted(rows: Sequence[Forward]) -> tuple[list[Forward], list[Forward]]:
    """Rows that are resolved, and rows that wait; ValueError for any other status."""
    resolved: list[Forward] = []
    offered: list[Forward] = []
    for row in rows:
        status = row[6]
        if status in STATUS_NUMBERS:
            resolved.append(row)
        elif status == OFFERED:
            offered.append(row)
        else:
            raise ValueError(f"unknown status {status!r} of forward {row[:2]}")
    return resolved, offered


def take_resolved(
    connection: sqlite3.Connection,
    rows: list[Forward],
    authoritative: bool,
    totals: Intake,
    scids: Scids,
) -> None:
    if len(rows) < _FEW or not _append_all(connection, rows, totals, scids):
        for row in rows:
            _take_one_resolved(connection, row, authoritative, totals, scids)


def _append_all(
    connection: sqlite3.Connection, rows: list[Forward], totals: Intake, scids: Scids
) -> bool:
    """Append the page in one go; False, and nothing done, unless every row is new."""
    if any(scids.of(row.in_scid).let_go(row.in_htlc_id, row.status) for row in rows):
        return False
    packed = [compact(row, scids) for row in rows]
    connection.execute("SAVEPOINT page")
    numbered = [(seq, *row) for seq, row in enumerate(packed, totals.log_seq + 1)]
    appended = connection.executemany(_APPEND, numbered).rowcount
    if appended != len(rows):
        connection.execute("ROLLBACK TO page")
        connection.execute("RELEASE page")
        return False
    connection.execute("RELEASE page")
    if totals.offered:
        totals.offered -= connection.executemany(_CLOSE, map(_key, rows)).rowcount
    totals.log_seq += appended
    totals.count(packed)
    return True


def _take_one_resolved(
    connection: sqlite3.Connection,
    row: Forward,
    authoritative: bool,
    totals: Intake,
    scids: Scids,
) -> None:
    source = scids.of(row.in_scid)
    stored = connection.execute(_FIND, (source.number, row.in_htlc_id)).fetchone()
    if stored is None:
        closed = connection.execute(_CLOSE, row[:2]).rowcount if totals.offered else 0
        totals.offered -= closed
        if not closed and source.let_go(row.in_htlc_id, row.status):
            return
        logged = compact(row, scids)
        connection.execute(_APPEND, (totals.log_seq + 1, *logged))
        totals.log_seq += 1
        totals.count((logged,))
    elif authoritative and stored != (logged := compact(row, scids)):
        connection.execute(_CORRECT, logged)
        totals.count((stored,), -1)
        totals.count((logged,))


def take_offered(
    connection: sqlite3.Connection,
    rows: list[Forward],
    authoritative: bool,
    totals: Intake,
    scids: Scids,
) -> None:
    for row in rows:
        if _is_past(connection, row, scids.find(row.in_scid)):
            continue
        new = connection.execute(_OPEN, row).rowcount
        totals.offered += new
        if authoritative and not new:
            connection.execute(_REOPEN, row)


def _is_past(connection: sqlite3.Connection, row: Forward, source: Scid | None) -> bool:
    """Whether an offered row was resolved before: it is in the log, or was let go."""
    if source is None:
        return False
    if connection.execute(_FIND, (source.number, row.in_htlc_id)).fetchone() is not None:
        return True
    return (
        row.in_htlc_id <= max(source.failed_gone, source.settled_gone)
        and connection.execute(_IS_OPEN, row[:2]).fetchone() is None
    )
