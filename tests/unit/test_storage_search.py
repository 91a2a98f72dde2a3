"""What the books look for in the log: sums up to a moment, single amounts, a lull."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.ports import Sought
from cl_revenue_ops.storage import forward_search
from cl_revenue_ops.storage.forward_store import SqliteForwardStore
from messages.forwards import FAILED, SETTLED
from tests.unit.storage_support import RevocableLease, forward, forwards, opened

T0_S = 1_700_000_000.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteForwardStore]:
    with opened(tmp_path) as base:
        yield SqliteForwardStore(base, RevocableLease())


@pytest.fixture
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward_search, "MOST_SOUGHT", 7)


@pytest.mark.usefixtures("short_parts")
@pytest.mark.parametrize("until_s", [T0_S, T0_S + 1.5, T0_S + 20.5, T0_S + 99.0])
def test_the_parts_sum_up_to_what_settled_until_then(
    store: SqliteForwardStore, until_s: float
) -> None:
    rows = [*forwards(0, 30), *forwards(30, 5, FAILED), *forwards(35, 6)]
    rows[3] = rows[3]._replace(out_msat=rows[3].in_msat - 4)
    store.ingest(rows, authoritative=True)
    expected: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    fees_msat = 0
    for row in rows:
        if row.status == SETTLED and (row.resolved_at_s or 0.0) <= until_s:
            expected[row.in_scid][0] += row.in_msat
            expected[str(row.out_scid)][1] += row.out_msat or 0
            fees_msat += row.fee_msat or 0
    got: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    seq, last, calls, found_fees_msat = 0, False, 0, 0
    while not last:
        part = store.sums_until(seq, until_s)
        for scid, came, went in part.sums:
            got[scid][0] += came
            got[scid][1] += went
        found_fees_msat += part.fees_msat
        seq, last, calls = part.next_seq, part.last, calls + 1
    assert (dict(got), found_fees_msat, calls) == (dict(expected), fees_msat, 6)


@pytest.mark.usefixtures("short_parts")
def test_a_forward_is_found_by_what_came_or_went_in_whole_satoshis(
    store: SqliteForwardStore,
) -> None:
    rows = [
        forward(1, in_msat=20_007_888, out_msat=20_000_111, fee_msat=7_777),
        forward(2, in_msat=20_007_888, out_msat=20_000_111, fee_msat=7_777, status=FAILED),
        *forwards(10, 10),
    ]
    store.ingest(rows, authoritative=True)

    def seek(*sought: Sought) -> list[int]:
        seq, last, found = 0, False, []
        while not last:
            page = store.seek(seq, sought)
            found += [row.in_msat for row in page.rows]
            seq, last = page.next_seq, page.last
        return found

    assert seek(Sought("100x1x0", False, 20_007)) == [20_007_888]
    assert seek(Sought("200x1x1", True, 20_000)) == [20_007_888]
    assert seek(Sought("200x1x1", True, 20_007)) == []
    assert seek(Sought("100x1x0", True, 20_000)) == []
    assert seek(Sought("9x9x9", True, 20_000)) == []
    assert seek() == []
    both = seek(Sought("100x1x0", False, 20_007), Sought("100x3x0", False, 1_010))
    assert both == [20_007_888, rows[2].in_msat]


def test_without_forwards_there_is_a_lull_just_before_now(store: SqliteForwardStore) -> None:
    assert store.lull(T0_S) == T0_S - forward_search.LULL_S


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 500), max_size=30))
def test_around_a_lull_nothing_resolves_if_that_can_be(
    tmp_path_factory: pytest.TempPathFactory, after_s: list[float]
) -> None:
    now_s = T0_S + 600.0
    with opened(tmp_path_factory.mktemp("lull")) as base:
        store = SqliteForwardStore(base, RevocableLease())
        store.ingest(
            [
                forward(n, received_at_s=T0_S + at_s, resolved_at_s=T0_S + at_s)
                for n, at_s in enumerate(after_s)
            ],
            authoritative=True,
        )
        lull_s = store.lull(now_s)
    # The last hundred seconds are always quiet here.
    assert all(abs(T0_S + at_s - lull_s) >= forward_search.LULL_S for at_s in after_s)
    assert lull_s <= now_s - forward_search.LULL_S


def test_where_it_never_is_quiet_the_widest_gap_serves(store: SqliteForwardStore) -> None:
    times = [*range(0, 100, 5), 108, *range(110, 200, 5)]
    store.ingest(
        [
            forward(n, received_at_s=T0_S + at_s, resolved_at_s=T0_S + at_s)
            for n, at_s in enumerate(times)
        ],
        authoritative=True,
    )
    assert store.lull(T0_S + 196.0) == T0_S + 95 + 6.5


def test_the_fees_of_listed_forwards_are_those_of_the_log(store: SqliteForwardStore) -> None:
    rows = [*forwards(0, 5), *forwards(5, 2, FAILED)]
    store.ingest(rows, authoritative=True)
    listed = [row for row in rows if row.status == SETTLED]
    assert store.fees_of([*listed, listed[3]]) == 0 + 1 + 2 + 3 + 4
    # A fee that the log has otherwise, and a forward that it does not have.
    assert store.fees_of([listed[3]._replace(fee_msat=99), forward(50)]) == 3
    assert store.fees_of([]) == 0
    store.let_go(0, 10, 0.0, T0_S + 4.0)
    # Rows that were let go count as they are listed.
    assert store.fees_of(listed) == 0 + 1 + 2 + 3 + 4
