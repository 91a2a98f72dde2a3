"""Closed channels: how they closed, what is archived of them, once for ever."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cl_revenue_ops.domain.reports import closing, costs, history
from cl_revenue_ops.domain.reports.closing import Seen
from cl_revenue_ops.domain.reports.ground import Ground
from cl_revenue_ops.ports import ClosingRow
from cl_revenue_ops.storage.database import Database
from cl_revenue_ops.storage.report_store import SqliteReportStore
from messages.books import Books
from messages.reports import ClosedChannel
from tests.unit.report_support import (
    DAY_S,
    NOW_S,
    books,
    channel_id,
    cost,
    entry,
    ground,
    row,
)
from tests.unit.storage_support import RevocableLease, opened

ENDED_S = NOW_S - 20 * DAY_S


def one(
    seen: Seen | None = None, closer: str | None = None, found: Books | None = None
) -> closing.Closed:
    gone = entry(1, closed=True, age_days=200.0)
    listed = {channel_id(1): ClosedChannel(channel_id(1), "local", closer, "user", 10**9)}
    life = (
        books(row(1, out_fees_msat=9_000_000, closure_msat=2_000_000)) if found is None else found
    )
    (channel,) = closing.closed_channels(
        ground(gone), life, (), {} if seen is None else {channel_id(1): seen}, listed
    )
    return channel


@pytest.mark.parametrize(
    ("mutual", "closer", "watched", "expected"),
    [
        (True, "local", True, "mutual"),
        (True, None, True, "mutual"),
        (False, "local", True, "local_unilateral"),
        (None, "remote", True, "remote_unilateral"),
        (None, "remote", False, "unknown"),
        (None, None, True, "unknown"),
        (False, None, True, "unknown"),
    ],
)
def test_how_a_channel_closed(
    mutual: bool | None, closer: str | None, watched: bool, expected: str
) -> None:
    assert closing.close_type(mutual, closer, watched) == expected


def test_states_tell_whether_both_agreed_and_force_has_the_last_word() -> None:
    seen = closing.noted(Seen(), "CHANNELD_SHUTTING_DOWN", 5.0)
    assert seen == Seen(5.0, None)
    agreed = closing.noted(seen, "CLOSINGD_SIGEXCHANGE", 6.0)
    assert agreed == Seen(5.0, True)
    assert closing.noted(agreed, "ONCHAIN", 7.0) == agreed
    assert closing.noted(agreed, "AWAITING_UNILATERAL", 7.0) == Seen(5.0, False)


def test_the_record_has_everything_that_the_archive_is_for() -> None:
    found = json.loads(closing.record(one(Seen(ENDED_S, True), "local"), NOW_S))
    assert (found["close_type"], found["closer"], found["closed_s"]) == ("mutual", "local", ENDED_S)
    assert (found["revenue_msat"], found["closure_msat"]) == (9_000_000, 2_000_000)
    assert (found["net_msat"], found["capacity_msat"]) == (7_000_000, 10**9)
    assert found["days_open"] == pytest.approx(180.0, abs=0.01)


def test_without_having_seen_it_the_end_is_when_its_cost_was_booked_else_unknown() -> None:
    gone = entry(1, closed=True)
    closed = [cost(1, "closure", at_s=int(ENDED_S)), cost(1, "closure", at_s=int(NOW_S))]
    (found,) = closing.closed_channels(ground(gone), books(), closed, {}, {})
    assert found.closed_s == ENDED_S
    assert (one().closed_s, one().days_open) == (None, None)


def test_costs_that_may_still_change_are_not_final() -> None:
    assert closing.is_final(one(), books())
    assert not closing.is_final(one(), books(provisional=(channel_id(1),)))


def test_b_14_the_history_counts_closed_channels_by_their_totals() -> None:
    found = ground(entry(1, closed=True), entry(2))
    life = books(
        row(1, out_fees_msat=9_000_000, settled_out=4, closure_msat=2_000_000),
        row(2, out_fees_msat=1_000_000, settled_out=1, opening_msat=500_000),
        unattributed_msat=3_000_000,
    )
    closed = closing.closed_channels(found, life, (), {}, {})
    answer: Any = history.history(found, life, closed, [])
    assert answer["lifetime_revenue_sats"] == 13_000
    assert answer["lifetime_unattributed_sats"] == 3_000
    assert (answer["lifetime_total_costs_sats"], answer["lifetime_net_profit_sats"]) == (
        2_500,
        10_500,
    )
    assert answer["lifetime_roi_percent"] == 420.0
    assert answer["lifetime_forward_count"] == 5
    summary = answer["closed_channels_summary"]
    assert (summary["channel_count"], summary["total_revenue"], summary["total_forwards"]) == (
        1, 9_000, 4,
    )  # fmt: skip
    assert (summary["total_net_pnl"], summary["total_capacity"]) == (7_000, 1_000_000)


def test_a_life_without_costs_returns_all_or_nothing() -> None:
    def roi(found: Books, on: Ground) -> Any:
        return history.history(on, found, (), [])["lifetime_roi_percent"]

    assert roi(books(row(1, out_fees_msat=1)), ground()) == 100.0
    assert roi(books(), ground()) == 0.0


# -- costs -------------------------------------------------------------------------------------


def test_costs_by_kind_and_window_with_the_splices_counted_once() -> None:
    day = books(row(1, closure_msat=400_000))
    life = books(row(1, closure_msat=60_000_000, splice_msat=2_000_000, rebalance_msat=1_000))
    entries = [
        cost(1, "splice", txid="a", moved_msat=5_000_000),
        cost(1, "splice", txid="a", moved_msat=5_000_000),
        cost(1, "splice", txid="b", moved_msat=-3_000_000),
        cost(2, "splice", txid="c"),
        cost(2, "closure", txid="d"),
    ]
    windows = {"last_24h": day, "last_7d": day, "last_30d": day, "total": life}
    answer: Any = costs.costs(ground(entry(1)), windows, entries)
    assert answer["type"] == "costs"
    assert answer["closure_costs"] == {
        "last_24h_sats": 400, "last_7d_sats": 400, "last_30d_sats": 400, "total_sats": 60_000,
    }  # fmt: skip
    assert answer["rebalance_costs"]["total_sats"] == 1
    assert answer["splice_costs"]["total_sats"] == 2_000
    assert answer["splice_costs"]["summary"] == {
        "splice_count": 3, "splice_in_count": 1, "splice_out_count": 1, "splice_unknown_count": 1,
        "total_splice_in_sats": 5_000, "total_splice_out_sats": 3_000, "total_fees_sats": 2_000,
    }  # fmt: skip
    assert answer["estimated_defaults"] == {
        "channel_open_sats": 5_000, "channel_close_sats": 3_000, "splice_sats": 2_000,
    }  # fmt: skip


# -- the store ---------------------------------------------------------------------------------


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path) as it:
        yield it


def store(base: Database) -> SqliteReportStore:
    return SqliteReportStore(base, RevocableLease())


def test_what_was_seen_outlives_the_process_and_grows(base: Database, tmp_path: Path) -> None:
    store(base).note_closing([ClosingRow("a", 5.0, None), ClosingRow("b", 6.0, False)])
    store(base).note_closing([ClosingRow("a", 5.0, True)])
    base.close()
    with opened(tmp_path) as again:
        assert store(again).closings() == (ClosingRow("a", 5.0, True), ClosingRow("b", 6.0, False))


def test_a_record_is_written_once_and_never_changed(base: Database) -> None:
    it = store(base)
    it.note_closing([ClosingRow("a", 5.0, True)])
    assert (
        it.archive([ClosingRow("a", 5.0, True, 9.0, "x"), ClosingRow("b", None, None, 9.0, "y")])
        == 2
    )
    assert it.archive([ClosingRow("a", 7.0, False, 11.0, "z")]) == 0
    it.note_closing([ClosingRow("a", 7.0, False)])
    assert it.closings() == (
        ClosingRow("a", 5.0, True, 9.0, "x"), ClosingRow("b", None, None, 9.0, "y"),
    )  # fmt: skip
