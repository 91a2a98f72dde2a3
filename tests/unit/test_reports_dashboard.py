"""The dashboard: money rounded once, rates over what is covered, and the channels that bleed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.reports import dashboard, money
from cl_revenue_ops.domain.reports.ground import Missing
from messages.books import ChannelBooks
from tests.unit.report_support import DAY_S, NOW_S, TODAY, balances, books, entry, ground, row

amount = st.integers(0, 10**12)
AMOUNTS = ("out_fees_msat", "lease_msat", "penalty_msat", "opening_msat", "closure_msat",
           "splice_msat", "rebalance_msat", "other_rebalance_msat")  # fmt: skip


def shown(
    *rows: ChannelBooks, window: int = 30, before: Any = None, **parts: Any
) -> dict[str, Any]:
    found = ground(*(entry(number) for number in range(1, 4)))
    return dashboard.dashboard(
        found, window, books(*rows, **parts), balances((1, 500_000_000)), before
    )


@given(st.lists(st.tuples(*(amount for _ in AMOUNTS)), max_size=5))
def test_net_is_revenue_less_the_four_kinds_of_cost(amounts: list[tuple[int, ...]]) -> None:
    rows = [row(n, **dict(zip(AMOUNTS, each, strict=True))) for n, each in enumerate(amounts)]
    sums = money.summed(rows)
    assert sums.net_msat == sum(each.net_msat for each in rows)
    assert sums.net_msat == sums.revenue_msat - (
        sums.opening_msat + sums.closure_msat + sums.splice_msat + sums.rebalance_msat
    )
    assert sums.net_msat == money.summed([money.added(rows, "all")]).net_msat


def test_every_name_that_clients_read_is_there() -> None:
    costs = {"rebalance_msat": 1_500_000, "closure_msat": 400_000, "splice_msat": 300_000}
    answer = shown(row(1, settled_out=7, out_fees_msat=9_000_000, opening_msat=200_000, **costs))
    assert answer["financial_health"]["net_profit_sats"] == 6_600
    assert answer["financial_health"]["operating_margin_pct"] == 73.33
    period = answer["period"]
    assert (period["window_days"], period["gross_revenue_sats"], period["opex_sats"]) == (
        30, 9_000, 2_400,
    )  # fmt: skip
    assert (period["rebalance_cost_sats"], period["closure_cost_sats"]) == (1_500, 400)
    assert (period["splice_cost_sats"], period["opening_cost_sats"]) == (300, 200)
    assert period["total_forwards"] == 7
    assert answer["annualized_roc_pct"] == answer["financial_health"]["annualized_roc_pct"]
    # 6,600 sats on 3,000,000 in 30 days.
    assert answer["annualized_roc_pct"] == pytest.approx(
        100 * 6_600 / 3_000_000 * 365 / 30, abs=1e-3
    )
    assert (answer["warnings"], answer["bleeder_count"], answer["bleeder_warnings"]) == ([], 0, [])


def test_a_rate_divides_by_what_is_covered_and_not_by_what_was_asked() -> None:
    earned = row(1, out_fees_msat=3_000_000)
    one, two = shown(earned, days=2.0), shown(earned, window=365, days=2.0)
    assert one["annualized_roc_pct"] == two["annualized_roc_pct"]
    assert one["annualized_roc_pct"] == pytest.approx(100 * 3_000 / 3_000_000 * 365 / 2)
    assert shown(earned, days=0.0)["annualized_roc_pct"] == 0.0


def test_covers_says_since_when_and_whether_that_is_all() -> None:
    from_s = (TODAY - 30) * DAY_S
    whole = shown(from_s=from_s)["covers"]
    assert whole == {
        "from": int(from_s), "until": int(NOW_S), "days": 30.5, "complete": True, "note": None,
    }  # fmt: skip
    short = shown(from_s=from_s + DAY_S, known_since_s=from_s + DAY_S)["covers"]
    assert not short["complete"]
    assert short["note"] == f"the records begin on {money.date_of(TODAY - 29)}"
    behind = shown(from_s=from_s, trouble="the node is away")
    assert not behind["covers"]["complete"]
    assert "The books are behind: the node is away" in behind["warnings"]
    assert not shown(from_s=from_s, costs_source="none")["covers"]["complete"]
    assert shown(known_since_s=None)["covers"]["note"] == "nothing is known yet"


def test_net_worth_is_what_is_confirmed_and_what_is_in_channels() -> None:
    health = shown()["financial_health"]
    assert (health["onchain_sats"], health["local_sats"]) == (12_000, 500_000)
    assert health["tlv_sats"] == 512_000
    assert health["unconfirmed_sats"] == 7_000
    assert health["net_worth_change_sats"] is None
    since = shown(before={"net_worth_sats": 500_000, "date": "2024-01-01"})["financial_health"]
    assert since["net_worth_change_sats"] == 12_000
    assert since["net_worth_change_since"] == "2024-01-01"


def test_without_balances_on_chain_is_unknown_and_why_is_said() -> None:
    answer: Any = dashboard.dashboard(
        ground(entry(1)), 30, books(), Missing("books-reader is not running"), None
    )
    health = answer["financial_health"]
    assert (health["tlv_sats"], health["onchain_sats"]) == (None, None)
    assert health["local_sats"] == 500_000
    assert any("books-reader is not running" in line for line in answer["warnings"])


def test_a_14_a_warning_names_its_channel_what_was_spent_and_what_was_earned() -> None:
    answer = shown(row(2, other_rebalance_msat=400_000, out_fees_msat=60_000, in_fees_msat=30_000))
    scid, peer = entry(2).fact.scid, entry(2).peer_id
    (found,) = answer["bleeder_warnings"]
    assert (found["channel_id"], found["peer_id"]) == (scid, peer)
    assert (found["spent"], found["earned"], found["estimated_loss_sats"]) == (400, 90, 310)
    assert answer["bleeder_count"] == 1
    (line,) = answer["warnings"]
    assert str(scid) in line and "400 sats spent" in line and "90 sats earned" in line


def test_a_bleeder_needs_rebalances_and_a_loss_on_both_sides_together() -> None:
    rows = (
        row(1, opening_msat=9_000_000),
        row(2, rebalance_msat=100, in_fees_msat=100),
        row(3, rebalance_msat=5_000, out_fees_msat=2_000),
        row(4, rebalance_msat=9_000, in_fees_msat=1_000),
    )
    found = dashboard.bleeders(rows)
    assert [(each.channel_id[-1], each.loss_msat) for each in found] == [("4", 8_000), ("3", 3_000)]


def test_b_17_fees_below_a_sat_add_up_and_no_forward_counts_twice() -> None:
    rows = [row(n, settled_out=10, out_fees_msat=4_900, in_fees_msat=4_900) for n in (1, 2, 3)]
    period = shown(*rows)["period"]
    assert period["gross_revenue_sats"] == 15
    assert period["total_forwards"] == 30
    assert money.sats(499) == 0 and money.sats(500) == 1 and money.sats(-600) == -1


def test_b_21_a_cost_above_fifty_thousand_sats_is_told_in_full() -> None:
    period = shown(row(1, closure_msat=120_000_000, opening_msat=75_000_000))["period"]
    assert (period["closure_cost_sats"], period["opening_cost_sats"]) == (120_000, 75_000)


def test_without_revenue_the_margin_is_zero_or_a_whole_loss() -> None:
    assert shown()["financial_health"]["operating_margin_pct"] == 0.0
    assert shown(row(1, rebalance_msat=5))["financial_health"]["operating_margin_pct"] == -100.0
