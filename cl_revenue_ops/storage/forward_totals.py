"""The totals of forwards: moved with every row in its transaction, read without any row."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable

from cl_revenue_ops.storage.forward_rows import Compact, out_msat_of
from cl_revenue_ops.storage.forward_schema import BLOCK_DAYS, LIFETIME
from messages.forwards import FailureCount, ForwardFailures, ForwardTotals, ScidTotals

MOST_FAILURE_HOURS = 7 * 24
MOST_WINDOWS = 16

Sums = tuple[int, ...]

_SUMS = (
    "settled_in",
    "in_msat",
    "in_fees_msat",
    "settled_out",
    "out_msat",
    "out_fees_msat",
    "failed_in",
    "local_failed_in",
    "failed_out",
    "local_failed_out",
)
_COUNTS = _SUMS[6:]
_SETTLED = 0


def _upsert(table: str, key: tuple[str, ...], sums: tuple[str, ...]) -> str:
    names = ", ".join((*key, *sums))
    marks = ", ".join("?" * (len(key) + len(sums)))
    added = ", ".join(f"{name} = {name} + excluded.{name}" for name in sums)
    return (
        f"INSERT INTO {table} ({names}) VALUES ({marks})"
        f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {added}"
    )


def _emptied(table: str, key: tuple[str, ...], counts: tuple[str, ...]) -> str:
    conditions = [f"{name} = ?" for name in key] + [f"{name} = 0" for name in counts]
    return f"DELETE FROM {table} WHERE {' AND '.join(conditions)}"


_TOTAL_KEY, _FAILURE_KEY = ("span", "start", "scid_id"), ("hour", "scid_id", "failcode")
_ADD_TOTAL = _upsert("forward_total", _TOTAL_KEY, _SUMS)
_ADD_FAILURE = _upsert("forward_failure", _FAILURE_KEY, _COUNTS)
_DROP_TOTAL = _emptied("forward_total", _TOTAL_KEY, ("settled_in", "settled_out", *_COUNTS))
_DROP_FAILURE = _emptied("forward_failure", _FAILURE_KEY, _COUNTS)

_SPANS = """
    SELECT * FROM forward_total WHERE span = ?1 AND start >= ?2 AND start < ?3
    UNION ALL SELECT * FROM forward_total WHERE span = 1 AND start >= ?4 AND start < ?5
    UNION ALL SELECT * FROM forward_total WHERE span = 1 AND start >= ?6 AND start < ?7"""


def _summed(names: Iterable[str]) -> str:
    return ", ".join(f"sum({name})" for name in names)


_READ_TOTALS = (
    f"SELECT scid, sums.* FROM (SELECT scid_id, {_summed(_SUMS)} FROM ({_SPANS})"
    " GROUP BY scid_id) AS sums JOIN forward_scid ON id = scid_id ORDER BY scid"
)
_READ_FAILURES = (
    f"SELECT scid, sums.* FROM (SELECT scid_id, failcode, {_summed(_COUNTS)} FROM forward_failure"
    " WHERE hour >= ? AND hour < ? GROUP BY scid_id, failcode) AS sums"
    " JOIN forward_scid ON id = scid_id ORDER BY scid, failcode"
)


class Changes:
    """What the rows of one transaction add to the totals, or take from them."""

    def __init__(self) -> None:
        self._days: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0] * len(_SUMS))
        self._failures: dict[tuple[int, int, int], list[int]] = defaultdict(
            lambda: [0] * len(_COUNTS)
        )
        self._taken = False

    def count(self, row: Compact, sign: int = 1) -> None:
        """Add a row (or take it away) on both of its sides.

        A side without a channel of ours is counted under the number 0, so that the sums over
        all incoming sides are those over all outgoing sides.
        """
        in_id, _, out_ref, in_msat, _, fee_msat, status, received_at_s, resolved_at_s, code, _ = row
        hour = int(received_at_s if resolved_at_s is None else resolved_at_s) // 3600
        out_id = out_ref if type(out_ref) is int else 0
        into, out = self._days[hour // 24, in_id], self._days[hour // 24, out_id]
        self._taken = self._taken or sign < 0
        if status == _SETTLED:
            fees_msat = sign * (fee_msat or 0)
            into[0] += sign
            into[1] += sign * in_msat
            into[2] += fees_msat
            out[3] += sign
            out[4] += sign * out_msat_of(row)
            out[5] += fees_msat
        else:
            into[5 + status] += sign
            out[7 + status] += sign
            failcode = -1 if code is None else code
            self._failures[hour, in_id, failcode][status - 1] += sign
            self._failures[hour, out_id, failcode][status + 1] += sign

    @property
    def first_day(self) -> int | None:
        """The earliest day that changes, None where nothing does."""
        return min((day for day, _ in self._days), default=None)

    def write(self, connection: sqlite3.Connection) -> None:
        """Move the totals, one statement for each that changes."""
        totals: dict[tuple[int, int, int], list[int]] = {}
        for (day, scid_id), sums in self._days.items():
            totals[1, day, scid_id] = sums
            for key in ((BLOCK_DAYS, day // BLOCK_DAYS, scid_id), (LIFETIME, 0, scid_id)):
                had = totals.get(key)
                totals[key] = list(sums) if had is None else list(map(int.__add__, had, sums))
        connection.executemany(_ADD_TOTAL, _changed(totals))
        connection.executemany(_ADD_FAILURE, _changed(self._failures))
        if self._taken:
            connection.executemany(_DROP_TOTAL, totals)
            connection.executemany(_DROP_FAILURE, self._failures)


def _changed(sums: dict[tuple[int, int, int], list[int]]) -> list[tuple[int, ...]]:
    """Rows in the order of their keys, so that neighbours in the file are written together."""
    return [(*key, *sums[key]) for key in sorted(sums) if any(sums[key])]


class Past:
    """Sums of days that are over, kept until one of those days changes.

    Reports ask for the same windows again and again, and of all days only the last one grows.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], dict[str, Sums]] = {}

    def changed(self, first_day: int) -> None:
        """This day and later ones may have changed."""
        self._kept = {key: sums for key, sums in self._kept.items() if key[1] <= first_day}

    def sums(self, connection: sqlite3.Connection, begin: int, end: int) -> dict[str, Sums]:
        """Sums by scid from `begin` to before `end`."""
        kept = self._kept.get((begin, end))
        if kept is None:
            if len(self._kept) >= MOST_WINDOWS:
                self._kept.clear()
            kept = _sums(connection, blocks_and_days(begin, end))
            self._kept[begin, end] = kept
        return kept


def read_totals(
    connection: sqlite3.Connection, from_day: int, until_day: int | None, past: Past
) -> ForwardTotals:
    """Sums of each scid over the days from `from_day` to before `until_day` (None: no end)."""
    first, last = (_edge(connection, order) for order in ("ASC", "DESC"))
    if first is None or last is None:
        return ForwardTotals((), None, None)
    begin, end = max(from_day, first), last + 1 if until_day is None else min(until_day, last + 1)
    if (begin, end) == (first, last + 1):
        found = _sums(connection, (LIFETIME, 0, 1, 0, 0, 0, 0))
    elif begin < last < end:
        found = dict(past.sums(connection, begin, last))
        for scid, sums in _sums(connection, blocks_and_days(last, end)).items():
            had = found.get(scid)
            found[scid] = sums if had is None else tuple(map(int.__add__, had, sums))
    else:
        found = _sums(connection, blocks_and_days(begin, end))
    return ForwardTotals(
        tuple(ScidTotals(scid, *sums) for scid, sums in sorted(found.items())), first, last
    )


def _sums(connection: sqlite3.Connection, spans: tuple[int, ...]) -> dict[str, Sums]:
    return {row[0]: row[2:] for row in connection.execute(_READ_TOTALS, spans)}


def _edge(connection: sqlite3.Connection, order: str) -> int | None:
    row = connection.execute(
        f"SELECT start FROM forward_total WHERE span = 1 ORDER BY start {order} LIMIT 1"
    ).fetchone()
    return None if row is None else int(row[0])


def blocks_and_days(begin: int, end: int) -> tuple[int, ...]:
    """Whole blocks in the middle, and the days before and after them."""
    first, behind = -(-begin // BLOCK_DAYS), end // BLOCK_DAYS
    if first >= behind:
        return BLOCK_DAYS, 0, 0, begin, end, 0, 0
    return BLOCK_DAYS, first, behind, begin, first * BLOCK_DAYS, behind * BLOCK_DAYS, end


def read_failures(
    connection: sqlite3.Connection, from_hour: int, until_hour: int
) -> ForwardFailures:
    """Counts of each scid and failcode over a window of hours, MOST_FAILURE_HOURS at most."""
    if until_hour - from_hour > MOST_FAILURE_HOURS:
        raise ValueError(f"more than {MOST_FAILURE_HOURS} hours of failures at once")
    found = connection.execute(_READ_FAILURES, (from_hour, until_hour)).fetchall()
    return ForwardFailures(
        tuple(
            FailureCount(scid, None if failcode < 0 else failcode, *counts)
            for scid, _, failcode, *counts in found
        )
    )
