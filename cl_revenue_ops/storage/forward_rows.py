"""How a resolved forward is kept: its compact row, and the numbers that stand for scids."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from cl_revenue_ops.storage.forward_schema import STATUS_NUMBERS, UNKNOWN_NEXT_PEER
from messages.forwards import SETTLED

Compact = tuple[Any, ...]
"""The columns below, without `seq`; equal forwards have equal rows, and the other way round."""

COLUMNS = (
    "in_id, in_htlc_id, out_ref, in_msat, other_out_msat, fee_msat, status,"
    " received_at_s, resolved_at_s, failcode, created_index"
)

MOST_KNOWN = 50_000


class Scid(NamedTuple):
    """A scid's number; up to which HTLC its failed and its settled forwards may have been let go.

    A forward up to there that is neither in the log nor open was counted and let go: rows are
    let go after the node's whole list was read, and a channel numbers its HTLCs in order.
    """

    number: int
    failed_gone: int
    settled_gone: int

    def let_go(self, in_htlc_id: int, status: str) -> bool:
        """Whether a forward that is neither in the log nor open was counted before."""
        return in_htlc_id <= (self.settled_gone if status == SETTLED else self.failed_gone)


class Scids:
    """Scids within one transaction: known ones from memory, others from the disk.

    What is found or made here goes into `known` by `keep` alone, after the commit.
    """

    def __init__(self, connection: sqlite3.Connection, known: dict[str, Scid]) -> None:
        self._connection = connection
        self._known = known
        self._fresh: dict[str, Scid] = {}

    def find(self, scid: str) -> Scid | None:
        """None where no forward in the log ever named it."""
        found = self._known.get(scid) or self._fresh.get(scid)
        if found is not None:
            return found
        row = self._connection.execute(
            "SELECT id, failed_gone, settled_gone FROM forward_scid WHERE scid = ?", (scid,)
        ).fetchone()
        if row is None:
            return None
        self._fresh[scid] = found = Scid._make(row)
        return found

    def of(self, scid: str) -> Scid:
        """Its entry, made where there is none."""
        found = self._known.get(scid) or self.find(scid)
        if found is None:
            cursor = self._connection.execute("INSERT INTO forward_scid (scid) VALUES (?)", (scid,))
            assert cursor.lastrowid is not None
            self._fresh[scid] = found = Scid(cursor.lastrowid, -1, -1)
        return found

    def keep(self) -> None:
        """The transaction is committed."""
        if len(self._known) > MOST_KNOWN:
            self._known.clear()
        self._known.update(self._fresh)


def compact(row: Sequence[Any], scids: Scids) -> Compact:
    """The row that stands for the first eleven fields of a resolved Forward."""
    in_scid, in_htlc_id, out_scid, in_msat, out_msat, fee_msat, status = row[:7]
    out_ref: int | str | None = out_scid
    if out_scid is not None and (row[9] != UNKNOWN_NEXT_PEER or status == SETTLED):
        out_ref = scids.of(out_scid).number
    other_out_msat: int | str | None = out_msat
    if fee_msat is not None:
        if out_msat is None:
            other_out_msat = ""
        elif out_msat + fee_msat == in_msat:
            other_out_msat = None
    return (
        scids.of(in_scid).number,
        in_htlc_id,
        out_ref,
        in_msat,
        other_out_msat,
        fee_msat,
        STATUS_NUMBERS[status],
        *row[7:11],
    )


def out_msat_of(row: Compact) -> int:
    """What left by it, 0 where the node never said."""
    _, _, _, in_msat, other_out_msat, fee_msat = row[:6]
    if other_out_msat is None:
        return 0 if fee_msat is None else int(in_msat - fee_msat)
    return int(other_out_msat or 0)
