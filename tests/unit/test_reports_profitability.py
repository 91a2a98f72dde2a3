"""Profitability: classes, roles, ages, and totals in which every millisatoshi stands once."""

from __future__ import annotations

from typing import Any

import pytest

from cl_revenue_ops.domain.reports import classes, overview, profitability
from cl_revenue_ops.domain.reports import ground as grounds
from cl_revenue_ops.domain.reports.classes import Record
from cl_revenue_ops.domain.reports.closing import closed_channels
from messages.books import ChannelBooks
from messages.policies import PeerPolicy
from messages.reports import ChainView
from tests.unit.report_support import (
    DAY_S,
    HEIGHT,
    NOW_S,
    books,
    channel_id,
    cost,
    entry,
    flow,
    ground,
    peer_id,
    row,
    spans,
)

BUSY = {"settled_in": 5, "settled_out": 5}
NOTHING = ChannelBooks("x")


def klass(age_days: float = 100.0, week: Any = None, month: Any = None, **life: int) -> str:
    found = row(1, **life)
    week, month = found if week is None else week, found if month is None else month
    return classes.class_of(Record(found, week, month, age_days))


def test_classes_follow_contribution_over_costs() -> None:
    assert klass(**BUSY, out_fees_msat=1_110, rebalance_msat=1_000) == "profitable"
    assert klass(**BUSY, in_fees_msat=1_110, opening_msat=1_000) == "profitable"
    assert klass(**BUSY, out_fees_msat=1_100, rebalance_msat=1_000) == "break_even"
    assert klass(**BUSY, out_fees_msat=900, rebalance_msat=1_000) == "break_even"
    assert klass(**BUSY, out_fees_msat=890, rebalance_msat=1_000) == "underwater"
    assert klass() == "break_even"
    assert klass(**BUSY, out_fees_msat=1) == "profitable"


def test_a_loss_without_forwards_is_stagnant_after_a_week_and_a_zombie_after_a_month() -> None:
    busy = row(1, **BUSY)
    assert klass(week=NOTHING, month=busy, opening_msat=1_000) == "stagnant_candidate"
    assert klass(7.0, week=NOTHING, month=busy, opening_msat=1_000) == "underwater"
    assert klass(week=busy, month=busy, opening_msat=1_000) == "underwater"
    assert klass(week=NOTHING, month=NOTHING, opening_msat=1_000) == "zombie"
    assert klass(30.0, week=NOTHING, month=NOTHING, opening_msat=1_000) == "stagnant_candidate"


def test_a_channel_that_was_filled_in_vain_is_a_zombie_though_forwards_come_in() -> None:
    into, filled = row(1, settled_in=9), row(1, settled_in=9, rebalance_msat=1_000)
    assert klass(week=into, month=filled, rebalance_msat=1_000) == "zombie"
    # Filled within the week: time has not told yet.
    assert klass(week=filled, month=filled, rebalance_msat=1_000) == "underwater"
    out = row(1, settled_in=9, settled_out=1, rebalance_msat=1_000)
    assert klass(week=into, month=out, rebalance_msat=1_000) == "underwater"


@pytest.mark.parametrize(
    ("into", "out", "profile", "role"),
    [
        (0, 0, "inactive", "dormant"),
        (9, 0, "inbound_only", "dormant"),
        (10, 0, "inbound_only", "inbound_gateway"),
        (0, 12, "outbound_only", "outbound_gateway"),
        (31, 10, "inbound_dominant", "inbound_gateway"),
        (30, 10, "balanced", "inbound_gateway"),
        (10, 31, "outbound_dominant", "outbound_gateway"),
        (10, 30, "balanced", "outbound_gateway"),
        (7, 3, "balanced", "balanced"),
    ],
)
def test_profile_and_role_by_counts(into: int, out: int, profile: str, role: str) -> None:
    found = row(1, settled_in=into, settled_out=out)
    assert (classes.flow_profile(found), classes.role(found)) == (profile, role)


def test_marginal_return_and_what_the_earlier_rule_made_of_it() -> None:
    assert classes.marginal_percent(row(1, out_fees_msat=3_000_000, rebalance_msat=2_000_000)) == 50
    assert classes.marginal_percent(row(1, out_fees_msat=1)) == 100.0
    assert classes.marginal_percent(row(1)) == 0.0
    for earned, factor in ((3_000, 0.95), (2_000, 1.0), (1_800, 1.05), (1_200, 1.10), (0, 1.15)):
        found = row(1, **BUSY, out_fees_msat=earned * 1_000, rebalance_msat=2_000_000)
        assert classes.fee_multiplier(Record(found, found, found, 100.0)) == factor


def report(*rows: ChannelBooks, numbers: tuple[int, ...] = (1, 2), **parts: Any) -> dict[str, Any]:
    life = books(*rows, days=200.0)
    return profitability.profitability(ground(*map(entry, numbers), **parts), spans(life), ())


def test_the_contribution_of_the_inbound_side_is_counted_once_in_totals() -> None:
    answer = report(
        row(1, settled_in=10, in_fees_msat=400_000), row(2, settled_out=10, out_fees_msat=400_000)
    )
    summary = answer["summary"]
    assert summary["total_revenue_sats"] == 400
    assert summary["total_contribution_sats"] == 400
    assert summary["total_profit_sats"] == 400
    assert summary["total_sourced_sats"] == 400
    first, second = answer["channels"]
    assert (first["sourced_fees_sats"], first["net_profit_sats"]) == (400, 0)
    assert (second["sourced_fees_sats"], second["net_profit_sats"]) == (0, 400)
    assert [each["profitability_class"] for each in answer["channels"]] == ["profitable"] * 2
    (best,) = answer["rankings"]["best_sources"]
    assert best["channel_id"] == first["channel_id"]


def test_channels_stand_flat_by_class_and_ranked() -> None:
    answer = report(
        row(1, **BUSY, out_fees_msat=5_000_000, opening_msat=1_000_000),
        row(2, **BUSY, opening_msat=9_000_000),
    )
    assert (answer["summary"]["profitable_count"], answer["summary"]["underwater_count"]) == (1, 1)
    assert answer["summary"]["total_channels"] == 2
    assert answer["overall_roi_percent"] == answer["summary"]["overall_roi_pct"] == -50.0
    (good,) = answer["channels_by_class"]["profitable"]
    assert good["channel_id"] == entry(1).fact.scid
    assert (good["net_profit_sats"], good["roi_percentage"]) == (4_000, 400.0)
    flat = answer["channels"][0]
    assert (flat["peer_id"], flat["our_fee_ppm"], flat["balance_ratio"]) == (peer_id(1), 101, 0.5)
    assert flat["forward_count"] == 10
    # 4,000 of 1,000,000 sats in the 200 days that are covered of 400.
    assert flat["roi_annual_pct"] == pytest.approx(0.4 * 365 / 200, abs=1e-3)
    ranks = answer["rankings"]
    assert [each["sats"] for each in ranks["most_profitable"]] == [4_000]
    assert [each["sats"] for each in ranks["least_profitable"]] == [-9_000]


def test_closed_channels_are_in_the_lifetime_and_not_among_the_open() -> None:
    life = books(row(1, out_fees_msat=1_000), row(2, out_fees_msat=2_000))
    found = ground(entry(1), entry(2, closed=True))
    answer: Any = profitability.profitability(found, spans(life), ())
    assert answer["summary"]["total_channels"] == 1
    assert answer["summary"]["total_revenue_sats"] == 1
    assert answer["lifetime_all_channels"]["revenue_sats"] == 3


# -- ages --------------------------------------------------------------------------------------


def test_b_19_the_age_counts_back_from_the_newest_block_and_not_from_the_first() -> None:
    found = entry(1, age_days=250.0)
    assert grounds.age_days(found, ground(found)) == pytest.approx(250.0, abs=0.01)
    # The newest block of late 2025 seen a year later: the height is told with its time.
    later = ChainView(NOW_S - 10 * DAY_S, HEIGHT - 1_440, None, None, None)
    assert grounds.age_days(found, ground(found, chain=later)) == pytest.approx(250.0, abs=0.01)


def test_an_age_prefers_what_is_booked_and_never_falls_below_what_was_seen() -> None:
    young = entry(1, age_days=1.0)
    assert grounds.age_days(young, ground(young)) == pytest.approx(30.0)
    assert grounds.age_days(young, ground(young, chain=None)) == pytest.approx(30.0)
    booked = grounds.opening_times([cost(1, "opening"), cost(1, "closure", at_s=5)])
    assert grounds.age_days(young, ground(young), booked[channel_id(1)]) == pytest.approx(100.0)
    # An alias is a number of nobody's blocks.
    alias = entry(2, scid=None, alias_scid=f"{HEIGHT - 99_999}x1x1")
    assert grounds.age_days(alias, ground(alias)) == pytest.approx(30.0)


def test_after_a_splice_the_first_scid_tells_the_age() -> None:
    found = entry(1, age_days=250.0)
    spliced = found._replace(scids=(*found.scids, f"{HEIGHT - 10}x1x0"))
    assert grounds.age_days(spliced, ground(spliced)) == pytest.approx(250.0, abs=0.01)


# -- one channel, one peer ---------------------------------------------------------------------


def test_a_02_a_peer_has_its_policy_profit_flow_and_channels_open_and_closed() -> None:
    ours: dict[str, Any] = {"peer_id": peer_id(7)}
    found = ground(
        entry(1, **ours), entry(2, closed=True, **ours), entry(3),
        flows={channel_id(1): flow(1, klass="source")},
        policies=(PeerPolicy(peer_id(7), "hive"),),
    )  # fmt: skip
    life = books(
        row(1, out_fees_msat=5_000, **BUSY), row(2, closure_msat=2_000), row(3, out_fees_msat=9)
    )
    chosen = [each for each in found.entries.values() if each.peer_id == peer_id(7)]
    rows = profitability.channels_of(found, spans(life), (), chosen)
    closed = closed_channels(found, life, (), {}, {})
    answer: Any = overview.peer(found, peer_id(7), rows, spans(life), closed)
    assert answer["policy"]["strategy"] == "hive"
    assert answer["profitability"]["net_profit_sats"] == 3
    assert answer["profitability"]["channel_count"] == 2
    assert answer["flow_state"]["state"] == "source"
    assert [each["channel_id"] for each in answer["channels"]] == [entry(1).fact.scid]
    assert [each["full_channel_id"] for each in answer["closed_channels"]] == [channel_id(2)]


def test_a_peer_without_channels_has_a_policy_and_nothing_else() -> None:
    answer: Any = overview.peer(ground(), peer_id(9), (), spans(books()), ())
    assert (answer["profitability"], answer["flow_state"]) == (None, None)
    assert answer["policy"]["strategy"] == "dynamic"


def test_a_closed_channel_ages_no_further() -> None:
    gone = entry(1, closed=True, age_days=200.0)
    (found,) = profitability.channels_of(
        ground(gone), spans(books(days=300.0)), (), [gone], {channel_id(1): NOW_S - 50 * DAY_S}
    )
    assert found.record.age_days == pytest.approx(150.0, abs=0.01)
    assert found.days == pytest.approx(150.0, abs=0.01)


def test_detail_has_both_sides_and_what_they_are_worth() -> None:
    life = books(row(1, settled_in=4, in_msat=8_000_000, in_fees_msat=3_000, settled_out=2,
                     out_msat=2_000_000, out_fees_msat=1_000, opening_msat=2_000_000))  # fmt: skip
    (found,) = profitability.channels_of(ground(entry(1)), spans(life), ())
    answer: Any = profitability.one(found, ground(entry(1)), life)["profitability"]
    assert answer["outbound_flow"] == {
        "payment_count": 2, "volume_sats": 2_000, "revenue_earned_sats": 1,
    }  # fmt: skip
    assert answer["inbound_flow"]["contribution_to_other_channels_sats"] == 3
    assert (answer["total_contribution_sats"], answer["net_profit_sats"]) == (4, -1_999)
    assert (answer["inbound_outbound_ratio"], answer["forward_count"]) == (2.0, 6)
    assert classes.inbound_outbound_ratio(row(1, settled_in=1)) == "infinite"
