"""What comparisons read: decisions by the time of their last repetition, and sums of earnings."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cl_revenue_ops.ports import DecisionRow, StoredDecision
from cl_revenue_ops.storage import forward_store
from cl_revenue_ops.storage.database import Database
from cl_revenue_ops.storage.fee_store import SqliteFeeStore
from cl_revenue_ops.storage.forward_store import SqliteForwardStore
from messages.forwards import FAILED, OFFERED, SETTLED
from tests.unit.storage_support import RevocableLease, forward, opened


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path) as it:
        yield it


@pytest.fixture
def fees(base: Database) -> SqliteFeeStore:
    return SqliteFeeStore(base, RevocableLease())


@pytest.fixture
def store(base: Database) -> SqliteForwardStore:
    return SqliteForwardStore(base, RevocableLease())


# -- decisions ------------------------------------------------------------------------------------


def row(channel_id: str, at_s: float, code: str) -> DecisionRow:
    return DecisionRow(channel_id, at_s, "none", code, 100, 100, False, "{}")


def paged(fees: SqliteFeeStore, since_s: float, limit: int) -> list[StoredDecision]:
    found: list[StoredDecision] = []
    place = since_s, 0
    while True:
        page = fees.decisions_after(place, limit)
        found += page
        assert len(page) <= limit
        if len(page) < limit:
            return found
        place = page[-1].last_at_s, page[-1].decision_id


def test_decisions_come_by_their_last_repetition(fees: SqliteFeeStore) -> None:
    fees.record("h", {}, [row("a", 1.0, "x"), row("b", 1.0, "x")])
    fees.record("h", {}, [row("a", 2.0, "y"), row("b", 3.0, "x")])
    found = [(d.row.channel_id, d.row.code, d.last_at_s) for d in paged(fees, 0.0, 10)]
    assert found == [("a", "x", 1.0), ("a", "y", 2.0), ("b", "x", 3.0)]
    assert [d.last_at_s for d in paged(fees, 1.5, 10)] == [2.0, 3.0]
    assert [d.last_at_s for d in paged(fees, 2.0, 10)] == [2.0, 3.0]
    assert fees.decisions_after((3.0, 99), 5) == ()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.integers(0, 2))),
    limit=st.integers(1, 5),
)
def test_pages_of_any_size_are_the_whole_in_each_channels_order(
    fees: SqliteFeeStore, steps: list[tuple[str, str, int]], limit: int
) -> None:
    before_s = max((d.last_at_s for d in fees.last_decisions(None, 9)), default=0.0)
    at_s = before_s + 10.0
    for channel_id, code, pause_s in steps:
        at_s += pause_s
        fees.record("h", {}, [row(channel_id, at_s, code)])
    found = paged(fees, before_s + 5.0, limit)
    assert found == paged(fees, before_s + 5.0, 1_000)
    for channel_id in "ab":
        ids = [d.decision_id for d in found if d.row.channel_id == channel_id]
        kept = [d.decision_id for d in fees.last_decisions(channel_id, 10_000)][::-1]
        assert ids == kept[len(kept) - len(ids) :] == sorted(ids)


def test_a_page_is_read_along_the_index(fees: SqliteFeeStore, base: Database) -> None:
    """Neither a scan of years of decisions nor a sort."""
    fees.record("h", {}, [row("a", 1.0, "x")])
    with closing(sqlite3.connect(base.place().path)) as file:
        seen: list[str] = []
        file.set_trace_callback(seen.append)
        plan = file.execute(
            "EXPLAIN QUERY PLAN SELECT id FROM fee_decision WHERE last_at_s >= 1"
            " AND (last_at_s > 1 OR id > 0) ORDER BY last_at_s, id LIMIT 5"
        ).fetchall()
    text = " ".join(str(step) for step in plan)
    assert "fee_decision_by_time" in text
    assert "TEMP B-TREE" not in text


# -- earnings -------------------------------------------------------------------------------------


def test_earnings_are_sums_before_and_after_a_moment(store: SqliteForwardStore) -> None:
    rows = [
        forward(n, out_scid=scid, fee_msat=fee, status=status, resolved_at_s=at_s)
        for n, (scid, fee, status, at_s) in enumerate(
            [
                ("a", 1, SETTLED, 9.9),
                ("a", 20, SETTLED, 10.0),
                ("a", 300, SETTLED, 19.9),
                ("a", 4_000, SETTLED, 20.0),
                ("a", 50_000, SETTLED, 30.0),
                ("b", 6, SETTLED, 25.0),
                ("b", 70, FAILED, 25.0),
                (None, None, SETTLED, 25.0),
            ]
        )
    ]
    store.ingest(rows, authoritative=True)
    page = store.earnings(0, 10.0, 20.0, 30.0)
    assert page.earned == (("a", 320, 4_000), ("b", 0, 6))
    assert (page.next_seq, page.last) == (8, True)
    assert page.begins_s == rows[0].received_at_s


def test_open_forwards_have_earned_nothing(store: SqliteForwardStore) -> None:
    store.ingest([forward(0, status=OFFERED)], authoritative=True)
    assert store.earnings(0, 0.0, 1.0, 1e12) == ((), 0, True, None)


@pytest.mark.parametrize("most", [1, 3, 7, 100])
def test_earnings_in_steps_are_the_same_sums(
    store: SqliteForwardStore, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    rows = [
        forward(n, out_scid="ab"[n % 2], fee_msat=10**n, status=SETTLED, resolved_at_s=float(n))
        for n in range(12)
    ]
    store.ingest(rows, authoritative=True)
    monkeypatch.setattr(forward_store, "MOST_SUMMED", most)
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    cursor, steps, last = 0, 0, False
    while not last:
        earned, cursor, last, _ = store.earnings(cursor, 0.0, 6.0, 100.0)
        steps += 1
        for scid, before, after in earned:
            sums[scid][0] += before
            sums[scid][1] += after
    assert sums == {"a": [10101, 10101000000], "b": [101010, 101010000000]}
    assert steps == -(-12 // most)
