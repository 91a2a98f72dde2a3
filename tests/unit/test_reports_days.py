"""Snapshots of days: which are due, what is final, what is unknown, one row whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cl_revenue_ops.domain.reports import money, snapshots
from cl_revenue_ops.ports import DayRow, StaleGeneration
from cl_revenue_ops.storage.database import Database
from cl_revenue_ops.storage.report_store import SqliteReportStore
from tests.unit.report_support import DAY_S, TODAY, balances, books, entry, ground, row
from tests.unit.storage_support import RevocableLease, opened

MIDNIGHT_S = TODAY * DAY_S
NOON_S = MIDNIGHT_S + 43_200.0


def due(stored: dict[int, float], now_s: float = NOON_S, since_s: float | None = None) -> list[int]:
    return [day - TODAY for day in snapshots.due_days(now_s, stored, since_s)]


# -- which days --------------------------------------------------------------------------------


def test_every_ended_day_since_the_records_begin_is_due_and_today_never() -> None:
    assert due({}, since_s=NOON_S - 3 * DAY_S) == [-3, -2, -1]
    assert due({}) == []
    assert due({}, since_s=NOON_S) == []


def test_days_missed_in_downtime_are_due_and_those_stored_are_not() -> None:
    read = {TODAY - 4: NOON_S - 3 * DAY_S, TODAY - 1: NOON_S}
    assert due(read) == [-3, -2]


def test_a_day_is_read_once_more_when_late_forwards_are_in() -> None:
    at_once = {TODAY - 1: MIDNIGHT_S + 1.0}
    assert due(at_once, MIDNIGHT_S + 5.0) == []
    assert due(at_once, MIDNIGHT_S + snapshots.SETTLED_S - 1.0) == []
    assert due(at_once, MIDNIGHT_S + snapshots.SETTLED_S) == [-1]
    assert due({TODAY - 1: MIDNIGHT_S + snapshots.SETTLED_S}, NOON_S) == []


def test_what_was_read_by_a_clock_that_was_ahead_is_read_again() -> None:
    assert due({TODAY - 1: NOON_S + 5 * DAY_S}) == [-1]
    # A row of a day to come is nobody's business yet.
    assert due({TODAY + 3: NOON_S + 4 * DAY_S, TODAY - 1: NOON_S}) == []


def test_a_record_from_the_beginning_of_time_makes_no_rows_for_ever() -> None:
    assert len(due({}, since_s=0.0)) == snapshots.MOST_DAYS


def test_balances_are_those_of_the_days_end_for_a_few_minutes() -> None:
    assert snapshots.at_its_end(TODAY - 1, MIDNIGHT_S)
    assert snapshots.at_its_end(TODAY - 1, MIDNIGHT_S + snapshots.GRACE_S)
    assert not snapshots.at_its_end(TODAY - 1, MIDNIGHT_S + snapshots.GRACE_S + 1.0)
    assert not snapshots.at_its_end(TODAY - 1, MIDNIGHT_S - 1.0)


# -- what stands in them -----------------------------------------------------------------------


def shown(held: bool = True, **amounts: Any) -> dict[str, Any]:
    found = books(row(1, **amounts), days=1.0)
    flows = snapshots.flows_of(found, False)
    what = snapshots.balances_of(ground(entry(1), entry(2)), balances((1, 500_000_000)))
    return snapshots.shown(TODAY - 1, flows, what if held else None)


def test_a_13_a_snapshot_has_local_on_chain_capacity_and_count() -> None:
    found = shown(out_fees_msat=2_000_000, rebalance_msat=500_000)
    assert (found["local_sats"], found["onchain_sats"]) == (500_000, 12_000)
    assert (found["net_worth_sats"], found["capacity_sats"]) == (512_000, 2_000_000)
    assert (found["channel_count"], found["balances"]) == (2, "known")
    assert (found["revenue_sats"], found["net_profit_sats"]) == (2_000, 1_500)
    assert found["operating_margin_pct"] == 75.0
    assert found["annualized_roc_pct"] == pytest.approx(100 * 1_500 / 2_000_000 * 365, abs=1e-3)
    assert found["date"] == money.date_of(TODAY - 1)


def test_what_nobody_looked_at_is_unknown_and_never_invented() -> None:
    found = shown(held=False, out_fees_msat=2_000_000, settled_out=3, out_msat=9_000)
    for name in ("net_worth_sats", "onchain_sats", "local_sats", "channel_count", "capacity_sats"):
        assert found[name] is None
    assert found["annualized_roc_pct"] is None
    assert found["balances"] == "unknown"
    assert (found["revenue_sats"], found["total_forwards"], found["volume_sats"]) == (2_000, 3, 9)


def test_rows_are_held_against_the_totals() -> None:
    one, two = books(row(1, out_fees_msat=5)), books(row(2, out_fees_msat=7, settled_out=1))
    both = books(row(1, out_fees_msat=5), row(2, out_fees_msat=7, settled_out=1))
    flows = [snapshots.flows_of(each, False) for each in (one, two)]
    assert snapshots.agree(flows, both)
    assert not snapshots.agree(flows[:1], both)
    assert not snapshots.agree([*flows, "torn"], both)
    assert not snapshots.agree(flows, books(row(1, out_fees_msat=12)))


# -- the store ---------------------------------------------------------------------------------


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path) as it:
        yield it


def store(base: Database) -> SqliteReportStore:
    return SqliteReportStore(base, RevocableLease())


def day(number: int, read_s: float = 1.0, flows: str = "f", held: str | None = None) -> DayRow:
    return DayRow(number, read_s, flows, held)


def test_a_day_is_one_row_however_often_it_is_stored(base: Database, tmp_path: Path) -> None:
    it = store(base)
    it.save_day(day(5, held="b"), anew=False)
    it.save_day(day(5, 2.0, "g"), anew=False)
    it.save_day(day(4, 3.0), anew=False)
    assert it.days() == ((4, 3.0, False), (5, 2.0, True))
    base.close()
    with opened(tmp_path) as again:
        assert store(again).newest_days(9) == (day(4, 3.0), day(5, 2.0, "g", "b"))


def test_balances_once_known_stay_unless_the_days_end_is_seen_anew(base: Database) -> None:
    it = store(base)
    it.save_day(day(5), anew=False)
    it.save_day(day(5, held="first"), anew=False)
    it.save_day(day(5, held="second"), anew=False)
    assert it.newest_days(1)[0].balances == "first"
    it.save_day(day(5), anew=True)
    assert it.newest_days(1)[0].balances == "first"
    it.save_day(day(5, held="third"), anew=True)
    assert it.newest_days(1)[0].balances == "third"


def test_the_newest_days_come_oldest_first(base: Database) -> None:
    it = store(base)
    for number in (3, 1, 2):
        it.save_day(day(number), anew=False)
    assert [row.day for row in it.newest_days(2)] == [2, 3]


def test_the_day_before_is_the_newest_with_balances_else_the_oldest(base: Database) -> None:
    it = store(base)
    assert it.day_before(9) is None
    for number, held in ((2, "b"), (3, "b"), (4, None), (6, "b"), (7, "b")):
        it.save_day(day(number, held=held), anew=False)
    found = [it.day_before(number) for number in (9, 7, 6, 5, 3, 2, 1)]
    assert [None if row is None else row.day for row in found] == [7, 6, 3, 3, 2, 2, 2]


def test_a_replaced_incarnation_stores_nothing(base: Database) -> None:
    lease = RevocableLease()
    it = SqliteReportStore(base, lease)
    lease.revoke()
    with pytest.raises(StaleGeneration):
        it.save_day(day(5), anew=False)
    assert store(base).days() == ()
