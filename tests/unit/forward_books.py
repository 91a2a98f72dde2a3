"""What the totals of forwards must be, in the plainest way, and forwards of every kind."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from hypothesis import strategies as st

from cl_revenue_ops.storage.forward_schema import COUNTED_ANEW
from cl_revenue_ops.storage.forward_store import SqliteForwardStore
from messages.forwards import FAILED, LOCAL_FAILED, SETTLED, FailureCount, Forward, ScidTotals

DAY_S = 86_400
TABLES = ("forward_total", "forward_failure")
IN_SCIDS, OUT_SCIDS = ("1x1x1", "2x1x0"), ("1x1x1", "3x1x0", None)
FIRST_DAY = 19_660

AMOUNTS = st.one_of(st.none(), st.integers(0, 5), st.integers(0, 2**45))
TIMES = st.one_of(
    st.integers(FIRST_DAY, FIRST_DAY + 40).map(lambda day: float(day * DAY_S)),
    st.integers(FIRST_DAY, FIRST_DAY + 40).map(lambda day: day * DAY_S - 2.0**-22),
    st.floats(FIRST_DAY * DAY_S, (FIRST_DAY + 40) * DAY_S),
    st.floats(0.0, 9e10),
)


@st.composite
def any_forwards(draw: st.DrawFn, most_htlcs: int = 12) -> Forward:
    """A resolved forward as the store may be given one, probable or not."""
    in_msat = draw(st.integers(0, 2**45))
    out_msat, fee_msat = draw(AMOUNTS), draw(AMOUNTS)
    if draw(st.booleans()):
        out_msat = draw(st.integers(0, in_msat))
        fee_msat = in_msat - out_msat
    return Forward(
        draw(st.sampled_from(IN_SCIDS)),
        draw(st.integers(0, most_htlcs)),
        draw(st.sampled_from(OUT_SCIDS)),
        in_msat,
        out_msat,
        fee_msat,
        draw(st.sampled_from([SETTLED, FAILED, LOCAL_FAILED])),
        draw(TIMES),
        draw(st.one_of(st.none(), TIMES)),
        draw(st.sampled_from([None, 4_103, 4_108, 16_394, 0])),
        draw(st.one_of(st.none(), st.integers(0, 2**62))),
        None,
    )


def _at_s(row: Forward) -> float:
    return row.received_at_s if row.resolved_at_s is None else row.resolved_at_s


def _left_by(row: Forward) -> str:
    foreign = row.status != SETTLED and row.failcode == 16_394
    return "" if row.out_scid is None or foreign else row.out_scid


def totals_of(
    rows: Iterable[Forward], from_day: int = 0, until_day: int = 10**9
) -> tuple[ScidTotals, ...]:
    """Sums by scid over some days."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0] * 10)
    for row in rows:
        if not from_day * DAY_S <= _at_s(row) < until_day * DAY_S:
            continue
        into, out = sums[row.in_scid], sums[_left_by(row)]
        if row.status == SETTLED:
            for at, amount in ((0, 1), (1, row.in_msat), (2, row.fee_msat or 0)):
                into[at] += amount
            for at, amount in ((3, 1), (4, row.out_msat or 0), (5, row.fee_msat or 0)):
                out[at] += amount
        else:
            into[6 if row.status == FAILED else 7] += 1
            out[8 if row.status == FAILED else 9] += 1
    return tuple(ScidTotals(scid, *sums[scid]) for scid in sorted(sums))


def failures_of(rows: Iterable[Forward], from_hour: int, until_hour: int) -> list[FailureCount]:
    """Failed forwards by scid and failcode over some hours."""
    sums: dict[tuple[str, int | None], list[int]] = defaultdict(lambda: [0] * 4)
    for row in rows:
        if row.status != SETTLED and from_hour * 3_600 <= _at_s(row) < until_hour * 3_600:
            status = 0 if row.status == FAILED else 1
            sums[row.in_scid, row.failcode][status] += 1
            sums[_left_by(row), row.failcode][2 + status] += 1
    keys = sorted(sums, key=lambda key: (key[0], -1 if key[1] is None else key[1]))
    return [FailureCount(*key, *sums[key]) for key in keys]


def require_books(store: SqliteForwardStore, path: Path, rows: Iterable[Forward]) -> None:
    """The totals are those of these rows, over everything and over windows of every kind."""
    rows = list(rows)
    told = store.totals(0, None)
    assert told.scids == totals_of(rows)
    days = [int(_at_s(row) // DAY_S) for row in rows]
    assert (told.first_day, told.last_day) == ((min(days), max(days)) if rows else (None, None))
    for begin in (0, FIRST_DAY - 1, FIRST_DAY + 3, FIRST_DAY + 4, FIRST_DAY + 17):
        for end in (begin, begin + 1, begin + 9, begin + 33, 10**7):
            assert store.totals(begin, end).scids == totals_of(rows, begin, end), (begin, end)
        assert store.totals(begin, None).scids == totals_of(rows, begin)
        hours = (begin + 1) * 24 + 5, (begin + 7) * 24
        assert list(store.failures(*hours).counts) == failures_of(rows, *hours)
    state = store.load()
    assert state.settled == sum(row.settled_out for row in told.scids)
    assert state.volume_msat == sum(row.out_msat for row in told.scids)
    assert state.fees_msat == sum(row.out_fees_msat for row in told.scids)
    assert state.fees_msat == sum(row.in_fees_msat for row in told.scids)
    assert state.failed == sum(row.failed_in + row.local_failed_in for row in told.scids)


def stored_totals(path: Path, *first: str) -> dict[str, list[tuple[int, ...]]]:
    """Both tables of totals, after these statements, which are taken back again."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        for statement in first:
            connection.execute(statement)
        found = {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall()
            for table in TABLES
        }
        connection.execute("ROLLBACK")
    return found


def require_rebuilt(path: Path) -> None:
    """Counting all rows anew gives the totals that were kept row by row."""
    assert stored_totals(path) == stored_totals(path, *COUNTED_ANEW)
