"""What the books look for in the log of forwards: sums up to a moment, single amounts, a lull."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import pairwise

from cl_revenue_ops.ports import SettledSums, Sought
from cl_revenue_ops.storage.forward_rows import Scids
from cl_revenue_ops.storage.forward_schema import STATUS_NUMBERS
from messages.forwards import SETTLED, Forward, ForwardLogPage, LoggedForward

# One call looks at this many rows at most.
MOST_SOUGHT = 100_000
MOST_TIMES = 20_000
LULL_S = 10.0

_SETTLED = STATUS_NUMBERS[SETTLED]
_AT_S = "coalesce(resolved_at_s, received_at_s)"
_OUT_MSAT = (
    "coalesce(CASE WHEN other_out_msat IS NULL THEN in_msat - fee_msat"
    " WHEN other_out_msat <> '' THEN other_out_msat END, 0)"
)
_SUMS = f"""
    SELECT scid, sum(came), sum(went)
    FROM (SELECT in_id AS id, sum(in_msat) AS came, 0 AS went FROM forward_row
            WHERE seq > ?1 AND seq <= ?2 AND status = {_SETTLED} AND {_AT_S} <= ?3 GROUP BY in_id
        UNION ALL
        SELECT out_ref, 0, sum({_OUT_MSAT}) FROM forward_row
            WHERE seq > ?1 AND seq <= ?2 AND status = {_SETTLED} AND {_AT_S} <= ?3
            AND out_ref IS NOT NULL GROUP BY out_ref)
    JOIN forward_scid USING (id) GROUP BY scid ORDER BY scid"""
_FEES = f"""
    SELECT coalesce(sum(fee_msat), 0) FROM forward_row
    WHERE seq > ? AND seq <= ? AND status = {_SETTLED} AND {_AT_S} <= ?"""
_SOUGHT = f"""
    SELECT seq, in_scid, out_scid, in_msat, out_msat, fee_msat, status, {_AT_S} AS at_s, failcode
    FROM forward_log WHERE seq IN (
        SELECT seq FROM forward_row WHERE seq > ? AND seq <= ? AND status = {_SETTLED}
        AND ((out_ref, {_OUT_MSAT} / 1000) IN (VALUES {{out}})
            OR (in_id, in_msat / 1000) IN (VALUES {{into}})))
    ORDER BY seq"""
_FEE = (
    f"SELECT fee_msat FROM forward_row WHERE in_id = ? AND in_htlc_id = ? AND status = {_SETTLED}"
)
_TIMES = f"SELECT {_AT_S} FROM forward_row ORDER BY seq DESC LIMIT {MOST_TIMES}"
_NOBODY = ["(-1, -1)"]


def sums_until(
    connection: sqlite3.Connection, after_seq: int, newest_seq: int, until_s: float
) -> SettledSums:
    """See ports.ForwardStore."""
    reach = min(after_seq + MOST_SOUGHT, newest_seq)
    found = connection.execute(_SUMS, (after_seq, reach, until_s)).fetchall()
    (fees_msat,) = connection.execute(_FEES, (after_seq, reach, until_s)).fetchone()
    return SettledSums(tuple(found), fees_msat, max(reach, after_seq), reach >= newest_seq)


def seek(
    connection: sqlite3.Connection, after_seq: int, newest_seq: int, sought: Sequence[Sought]
) -> ForwardLogPage:
    """See ports.ForwardStore."""
    reach = min(after_seq + MOST_SOUGHT, newest_seq)
    numbers = dict(connection.execute("SELECT scid, id FROM forward_scid").fetchall())
    pairs: dict[bool, list[str]] = {True: [], False: []}
    for one in sought:
        if one.scid in numbers:
            pairs[one.outgoing].append(f"({numbers[one.scid]}, {int(one.sat)})")
    query = _SOUGHT.format(
        out=", ".join(pairs[True] or _NOBODY), into=", ".join(pairs[False] or _NOBODY)
    )
    rows = connection.execute(query, (after_seq, reach)).fetchall()
    return ForwardLogPage(
        tuple(map(LoggedForward._make, rows)), max(reach, after_seq), reach >= newest_seq
    )


def fees_of(connection: sqlite3.Connection, rows: Sequence[Forward], scids: Scids) -> int:
    """See ports.ForwardStore."""
    found_msat = 0
    for row in {(row.in_scid, row.in_htlc_id): row for row in rows}.values():
        source = scids.find(row.in_scid)
        if source is None:
            continue
        ours = connection.execute(_FEE, (source.number, row.in_htlc_id)).fetchone()
        if ours is not None:
            found_msat += ours[0] or 0
        elif source.let_go(row.in_htlc_id, row.status):
            found_msat += row.fee_msat or 0
    return found_msat


def lull(connection: sqlite3.Connection, now_s: float) -> float:
    """See ports.ForwardStore."""
    times: list[float] = sorted(
        {now_s, *(at_s for (at_s,) in connection.execute(_TIMES) if at_s < now_s)}
    )
    if len(times) < 2:
        return now_s - LULL_S
    gaps = [(after - before, before) for before, after in pairwise(times)]
    wide = [gap for gap in gaps if gap[0] >= 2 * LULL_S]
    length_s, began_s = max(wide, key=lambda gap: gap[1]) if wide else max(gaps)
    return began_s + min(length_s / 2, LULL_S)
