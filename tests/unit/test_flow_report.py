"""What a flow state says: classes by net over gross, confidence by evidence, fields in range."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain import flow, flow_report
from cl_revenue_ops.domain.flow import FlowObservation, FlowParameters, FlowState
from cl_revenue_ops.domain.flow_exposure import Carrying, carrying, exposure_s
from cl_revenue_ops.domain.flow_window import HourBucket
from messages.channels import ChannelFact

P = FlowParameters()
NOW = 1_700_000_000.0
HOUR_S = 3600.0
DAY_S = 86_400.0
FACT = ChannelFact(
    channel_id="ab" * 32,
    peer_id="02" + "cd" * 32,
    state="CHANNELD_NORMAL",
    connected=True,
    reestablished=True,
    scid="103x1x0",
    capacity_msat=10_000_000_000,
    local_msat=4_000_000_000,
    spendable_msat=3_900_000_000,
    receivable_msat=5_900_000_000,
    htlcs_out=400,
    htlc_min_msat=1,
    htlc_max_msat=9_000_000_000,
)


def regular(days: int, ins: int, outs: int, msat: int = 50_000_000) -> tuple[FlowState, float]:
    """`ins` and `outs` forwards in every hour, all of one size."""
    state, now = flow.initial(NOW, P), NOW
    for _ in range(24 * days):
        now += HOUR_S
        bucket = HourBucket(int(now // 3600), ins, ins * msat, outs, outs * msat)
        state, _ = flow.step(state, FlowObservation(now, HOUR_S, HOUR_S, (bucket,)), now, P)
    return state, now


@pytest.mark.parametrize(
    ("ins", "outs", "klass"), [(1, 4, "source"), (4, 1, "sink"), (3, 3, "balanced")]
)
def test_b23_a_class_needs_net_over_gross_not_half_of_capacity_a_day(
    ins: int, outs: int, klass: str
) -> None:
    """Net flow here is a few per cent of capacity a day: the earlier rule called all balanced."""
    state, now = regular(7, ins, outs, msat=1_000_000)
    seen = flow_report.estimate(state, now, P)
    assert seen.klass == klass
    assert seen.probability > 0.7
    assert abs(seen.net_msat_per_day) < 0.02 * FACT.capacity_msat
    assert seen.flow_ratio == pytest.approx((outs - ins) / (outs + ins), abs=0.1)


def test_a_class_is_not_claimed_without_evidence() -> None:
    state = flow.initial(NOW, P)
    once = HourBucket(int(NOW // 3600), 0, 0, 1, 10**8)
    state, _ = flow.step(state, FlowObservation(NOW + 60, 60, 60, (once,)), NOW + 60, P)
    seen = flow_report.estimate(state, NOW + 60, P)
    assert seen.klass == "balanced"
    assert seen.balanced_probability < 0.5
    assert seen.confidence < 0.2


def test_a_channel_that_never_forwarded_has_no_rates() -> None:
    state, now = regular(3, 0, 0)
    seen = flow_report.estimate(state, now, P)
    assert (seen.rate_in_msat_per_day, seen.rate_out_msat_per_day, seen.net_sd) == (0, 0, 0)
    assert seen.flow_ratio == 0.0
    assert seen.klass == "balanced"


def test_a_direction_without_forwards_is_small_and_doubtful_not_impossible() -> None:
    state, now = regular(7, 0, 2)
    seen = flow_report.estimate(state, now, P)
    assert 0.0 < seen.rate_in_msat_per_day < 0.05 * seen.rate_out_msat_per_day
    assert seen.flow_ratio > 0.9
    assert seen.klass == "source"


@given(log_odds=st.floats(-20, 20), sd=st.floats(1e-3, 10), edge=st.floats(0.01, 0.9))
def test_class_probabilities_are_those_of_the_normal(
    log_odds: float, sd: float, edge: float
) -> None:
    source, balanced, sink = flow_report.class_probabilities(log_odds, sd, edge)
    assert source + balanced + sink == pytest.approx(1.0)
    mirrored = flow_report.class_probabilities(-log_odds, sd, edge)
    assert mirrored == pytest.approx((sink, balanced, source))


def test_golden_class_probability() -> None:
    # Ratio 1.5 : 1 is the edge of imbalance 0.2: half the mass of a belief centred there is above.
    source, _, _ = flow_report.class_probabilities(math.log(1.5), 0.3, 0.2)
    assert source == pytest.approx(0.5)
    source, _, sink = flow_report.class_probabilities(math.log(1.5) + 0.3, 0.3, 0.2)
    assert source == pytest.approx(0.8413447, abs=1e-6)
    assert sink == pytest.approx(0.000107, abs=2e-6)


def test_b24_confidence_keeps_falling_for_weeks_without_evidence() -> None:
    state, now = regular(7, 2, 2)
    levels = [
        flow_report.estimate(state, now + days * DAY_S, P).confidence
        for days in (0, 1, 3, 14, 28, 60, 365)
    ]
    assert levels[0] == 1.0
    assert levels == sorted(levels, reverse=True)
    assert levels[1] < 0.95
    assert levels[4] < 0.2
    assert levels[6] == pytest.approx(0.1, abs=1e-3)


def test_confidence_grows_with_evidence() -> None:
    levels = []
    for forwards in (0, 2, 5, 10, 40):
        state = flow.initial(NOW, P)
        bucket = HourBucket(int(NOW // 3600), forwards, forwards * 10**7, 0, 0)
        seen = FlowObservation(NOW + HOUR_S, HOUR_S, HOUR_S, (bucket,))
        state, _ = flow.step(state, seen, NOW + HOUR_S, P)
        levels.append(flow_report.estimate(state, NOW + HOUR_S, P).confidence)
    assert levels == sorted(levels)
    assert levels[0] < 0.11
    assert levels[-1] == 1.0


def test_figures_carry_every_field_that_clients_read() -> None:
    state, now = regular(10, 1, 3)
    shown = dataclasses.asdict(flow_report.figures(state, FACT, now, P, 0.8))
    assert shown["channel_id"] == "103x1x0"
    assert shown["state"] == "source"
    assert (shown["sats_in"], shown["sats_out"]) == (7 * 24 * 50_000, 7 * 24 * 150_000)
    assert shown["flow_ratio"] == 0.5
    assert shown["forward_count"] == 7 * 24 * 4
    assert shown["daily_volume"] == 24 * 200_000
    assert (shown["capacity"], shown["our_balance"]) == (10_000_000, 4_000_000)
    assert (shown["active_htlcs"], shown["max_htlcs"], shown["is_congested"]) == (400, 483, True)
    assert (shown["htlc_min"], shown["htlc_max"]) == (1, 9_000_000_000)
    assert -0.5 <= shown["velocity"] <= 0.5
    assert 0.5 <= shown["flow_multiplier"] <= 2.0
    assert 0.6 <= shown["ema_decay"] <= 0.9
    assert 0.1 <= shown["confidence"] <= 1.0
    assert shown["analysis_window_days"] == 7
    assert shown["kalman_flow_ratio"] == pytest.approx(0.5, abs=0.1)
    assert 0.0 < shown["kalman_uncertainty"] < 0.2
    assert shown["kalman_regime_change"] is False
    assert all(value is not None for value in shown.values())


def test_a_young_channels_daily_volume_is_over_the_days_it_is_known() -> None:
    state, now = regular(2, 1, 1)
    assert flow_report.figures(state, FACT, now, P, 0.8).daily_volume == 24 * 100_000


def test_a_longer_window_than_is_kept_is_reported_as_what_it_is() -> None:
    ninety = dataclasses.replace(P, window_days=90)
    shown = flow_report.figures(flow.initial(NOW, ninety), FACT, NOW, ninety, 0.8)
    assert shown.analysis_window_days == 31


@given(
    rates=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    later_s=st.floats(0, 100 * DAY_S),
    seed_days=st.integers(0, 2),
)
def test_figures_are_always_in_their_ranges(
    rates: tuple[int, int], later_s: float, seed_days: int
) -> None:
    state, now = regular(seed_days, *rates)
    shown = flow_report.figures(state, FACT, now + later_s, P, 0.8)
    assert shown.state in ("source", "sink", "balanced")
    assert -1 <= shown.flow_ratio <= 1
    assert -1 <= shown.kalman_flow_ratio <= 1
    assert 0.1 <= shown.confidence <= 1
    assert -0.5 <= shown.velocity <= 0.5
    assert 0.5 <= shown.flow_multiplier <= 2
    assert 0.6 <= shown.ema_decay <= 0.9


@pytest.mark.parametrize(
    ("changes", "inwards", "outwards"),
    [
        ({}, True, True),
        ({"connected": False}, False, False),
        ({"reestablished": False}, False, False),
        ({"state": "CHANNELD_AWAITING_SPLICE"}, True, True),
        ({"state": "CHANNELD_SHUTTING_DOWN"}, False, False),
        ({"spendable_msat": 0}, True, False),
        ({"spendable_msat": 49_999_999}, True, False),
        ({"receivable_msat": 10}, False, True),
        ({"htlcs_out": 483}, True, False),
        ({"htlcs_in": 483}, False, True),
        ({"htlc_min_msat": 5_000_000_000}, True, False),
    ],
)
def test_what_a_channel_can_carry(changes: dict[str, Any], inwards: bool, outwards: bool) -> None:
    fact = dataclasses.replace(FACT, **changes)
    assert carrying(fact, flow.initial(NOW, P), P) == Carrying(inwards, outwards)


def test_exposure_counts_both_ends_of_an_interval() -> None:
    assert exposure_s(True, True, 60.0) == 60.0
    assert exposure_s(True, False, 60.0) == 30.0
    assert exposure_s(False, False, 60.0) == 0.0
    assert exposure_s(True, True, -5.0) == 0.0
