"""The forward log: each forward once, under any order, with totals that are its sums."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cl_revenue_ops.ports import IngestState
from cl_revenue_ops.storage.database import Database
from cl_revenue_ops.storage.forward_store import MOST_ROWS, MOST_SCANNED, SqliteForwardStore
from messages.forwards import FAILED, LOCAL_FAILED, OFFERED, SETTLED, LoggedForward
from tests.unit.storage_support import (
    RevocableLease,
    forward,
    forwards,
    log_of,
    opened,
    require_consistent,
)


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path) as it:
        yield it


@pytest.fixture
def store(base: Database) -> SqliteForwardStore:
    return SqliteForwardStore(base, RevocableLease())


# -- the clauses, one by one ----------------------------------------------------------------------


def test_a_fresh_store_is_empty(store: SqliteForwardStore) -> None:
    assert store.load() == IngestState(0, 0, 0, 0, 0, 0, 0, 0, False)
    page = store.read_log(0, 10, 0.0)
    assert (page.rows, page.next_seq, page.last) == ((), 0, True)


def test_a_page_and_its_cursors_are_taken_together(store: SqliteForwardStore) -> None:
    rows = [*forwards(0, 20), *forwards(20, 5, FAILED), *forwards(25, 3, LOCAL_FAILED)]
    state = store.ingest(rows, authoritative=True, next_created=29, next_updated=4, caught_up=True)
    fees = sum(range(20))
    volume = 20 * 1_000_000 + 1000 * fees
    assert state == IngestState(29, 4, 20, volume, fees, 8, 0, 28, True)
    assert store.load() == state


def test_cursors_stay_where_none_is_given(store: SqliteForwardStore) -> None:
    store.ingest([], authoritative=True, next_created=5, next_updated=6, caught_up=True)
    state = store.ingest(forwards(0, 1), authoritative=False)
    assert (state.next_created, state.next_updated, state.caught_up_once) == (5, 6, True)


@pytest.mark.parametrize("count", [1, 100])
@pytest.mark.parametrize("authoritative", [True, False])
def test_taking_a_page_again_changes_nothing(
    store: SqliteForwardStore, base: Database, count: int, authoritative: bool
) -> None:
    rows = [forward(n, (SETTLED, FAILED, OFFERED)[n % 3]) for n in range(count)]
    first = store.ingest(rows, authoritative=authoritative)
    again = store.ingest(list(reversed(rows)), authoritative=authoritative)
    assert again == first
    require_consistent(base.place().path, again)


def test_duplicates_within_a_page_count_once(store: SqliteForwardStore, base: Database) -> None:
    rows = forwards(0, 30)
    state = store.ingest([*rows, *rows[10:20], rows[0]], authoritative=True)
    assert (state.settled, state.log_seq) == (30, 30)
    require_consistent(base.place().path, state)


def test_two_parts_that_differ_only_in_their_htlc_are_two_forwards(
    store: SqliteForwardStore,
) -> None:
    part = forward(1)
    state = store.ingest([part, part._replace(in_htlc_id=2)], authoritative=False)
    assert (state.settled, state.fees_msat) == (2, 2)


@pytest.mark.parametrize("count", [1, 40])
def test_an_offered_forward_waits_until_it_is_resolved(
    store: SqliteForwardStore, count: int
) -> None:
    waiting = forwards(0, count, OFFERED)
    state = store.ingest(waiting, authoritative=False)
    assert (state.offered, state.settled, state.log_seq) == (count, 0, 0)
    assert store.open_forwards(100) == tuple(waiting)
    state = store.ingest(forwards(0, count), authoritative=False)
    assert (state.offered, state.settled, state.log_seq) == (0, count, count)
    assert store.open_forwards(100) == ()


@pytest.mark.parametrize("authoritative", [True, False])
def test_resolved_never_goes_back_to_offered(
    store: SqliteForwardStore, authoritative: bool
) -> None:
    state = store.ingest([forward(1)], authoritative=False)
    assert store.ingest([forward(1, OFFERED)], authoritative=authoritative) == state
    assert store.open_forwards(10) == ()


def test_an_offered_row_before_its_resolution_in_one_page_is_not_left_open(
    store: SqliteForwardStore,
) -> None:
    for rows in ([forward(1, OFFERED), forward(1)], [forward(2), forward(2, OFFERED)]):
        state = store.ingest(rows, authoritative=True)
        assert state.offered == 0
    assert state.settled == 2


def test_an_authoritative_row_corrects_a_hint_and_the_totals(
    store: SqliteForwardStore, base: Database
) -> None:
    hint = forward(1, created_index=None, fee_msat=999, out_msat=7)
    store.ingest([hint, forward(2, FAILED)], authoritative=False)
    state = store.ingest([forward(1), forward(2)], authoritative=True)
    assert (state.settled, state.failed, state.log_seq) == (2, 0, 2)
    assert state.fees_msat == 1 + 2
    assert [row[1:] for row in log_of(base.place().path)] == [forward(1)[:11], forward(2)[:11]]


def test_a_hint_corrects_nothing(store: SqliteForwardStore, base: Database) -> None:
    state = store.ingest([forward(1), forward(2, OFFERED)], authoritative=True)
    wrong = [forward(1, FAILED, fee_msat=5), forward(2, OFFERED, in_msat=5)]
    assert store.ingest(wrong, authoritative=False) == state
    assert [row[1:] for row in log_of(base.place().path)] == [forward(1)[:11]]
    assert store.open_forwards(10) == (forward(2, OFFERED),)


def test_an_authoritative_offered_row_replaces_a_hint(store: SqliteForwardStore) -> None:
    store.ingest([forward(1, OFFERED, out_scid=None)], authoritative=False)
    state = store.ingest([forward(1, OFFERED)], authoritative=True)
    assert state.offered == 1
    assert store.open_forwards(10) == (forward(1, OFFERED),)


def test_open_forwards_come_oldest_first_and_bounded(store: SqliteForwardStore) -> None:
    rows = forwards(0, 9, OFFERED)
    store.ingest(rows[::-1], authoritative=True)
    assert store.open_forwards(4) == tuple(rows[:4])


def test_a_settled_row_without_amounts_counts_without_money(store: SqliteForwardStore) -> None:
    state = store.ingest([forward(1, out_msat=None, fee_msat=None)], authoritative=True)
    assert (state.settled, state.volume_msat, state.fees_msat) == (1, 0, 0)


def test_integers_are_exact_up_to_the_bound(store: SqliteForwardStore) -> None:
    top = 2**63 - 1
    state = store.ingest(
        [forward(1, in_htlc_id=top, out_msat=top - 1, fee_msat=top)], authoritative=True
    )
    assert (state.volume_msat, state.fees_msat) == (top - 1, top)
    assert store.read_log(0, 1, 0.0).rows[0].fee_msat == top


@pytest.mark.parametrize("count", [1, 50])
@pytest.mark.parametrize(
    "bad",
    [
        {"in_msat": 2**63},
        {"in_htlc_id": 2**64},
        {"fee_msat": 2**63 - 1},  # fits, but the sum of two does not
        {"status": "unknown"},
        {"received_at_s": None},
    ],
    ids=str,
)
def test_what_cannot_be_stored_is_refused_whole(
    store: SqliteForwardStore, base: Database, count: int, bad: dict[str, Any]
) -> None:
    before = store.ingest([forward(500, fee_msat=2**62)], authoritative=True)
    with pytest.raises(ValueError, match="forward"):
        store.ingest(
            [*forwards(0, count), forward(300, **bad)], authoritative=True, next_created=77
        )
    assert store.load() == before
    assert len(log_of(base.place().path)) == 1


# -- reading the log ------------------------------------------------------------------------------


def test_the_log_is_read_in_order_from_a_cursor(store: SqliteForwardStore) -> None:
    store.ingest(forwards(0, 25), authoritative=True)
    cursor = 0
    seen: list[LoggedForward] = []
    while True:
        page = store.read_log(cursor, 10, 0.0)
        assert len(page.rows) <= 10
        seen += page.rows
        cursor = page.next_seq
        if page.last:
            break
    assert [row.seq for row in seen] == list(range(1, 26))
    assert seen[3][1:] == (
        "100x3x0",
        "200x3x1",
        1_003_003,
        1_003_000,
        3,
        SETTLED,
        seen[3].at_s,
        None,
    )
    assert cursor == 25
    assert store.read_log(25, 10, 0.0) == ((), 25, True)
    assert store.read_log(99, 10, 0.0) == ((), 99, True)


def test_a_page_that_ends_exactly_at_the_end_is_the_last(store: SqliteForwardStore) -> None:
    store.ingest(forwards(0, 20), authoritative=True)
    assert not store.read_log(0, 10, 0.0).last
    assert store.read_log(10, 10, 0.0).last


def test_the_time_of_a_row_is_its_resolution_or_else_its_receipt(
    store: SqliteForwardStore,
) -> None:
    rows = [forward(1), forward(2, LOCAL_FAILED, resolved_at_s=None, failcode=4103)]
    store.ingest(rows, authoritative=True)
    first, second = store.read_log(0, 10, 0.0).rows
    assert first.at_s == rows[0].resolved_at_s
    assert (second.at_s, second.failcode) == (rows[1].received_at_s, 4103)


def test_old_rows_are_skipped_and_the_cursor_moves_past_them(store: SqliteForwardStore) -> None:
    rows = forwards(0, 30)
    store.ingest(rows, authoritative=True)
    boundary = rows[20].resolved_at_s
    assert boundary is not None
    page = store.read_log(0, 5, boundary)
    assert [row.seq for row in page.rows] == [21, 22, 23, 24, 25]
    assert (page.next_seq, page.last) == (25, False)
    assert store.read_log(0, 5, boundary + 1000) == ((), 30, True)


def test_one_call_looks_at_a_bounded_number_of_rows(store: SqliteForwardStore) -> None:
    total = MOST_SCANNED + 500
    store.ingest(forwards(0, total), authoritative=True)
    page = store.read_log(0, 10, 9e9)
    assert (page.rows, page.next_seq, page.last) == ((), MOST_SCANNED, False)
    assert store.read_log(MOST_SCANNED, 10, 9e9) == ((), total, True)
    assert len(store.read_log(0, 10**9, 0.0).rows) == MOST_ROWS


def test_a_limit_below_one_is_a_programmers_error(store: SqliteForwardStore) -> None:
    with pytest.raises(ValueError, match="limit"):
        store.read_log(0, 0, 0.0)
