"""The earlier plugin's fee cycle: bounds, learning, gates and their documented effects."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.bench.baselines import BASELINES
from cl_revenue_ops.bench.baselines.earlier import (
    is_broadcast,
    least_change_ppm,
    revenue_sat,
)
from cl_revenue_ops.bench.baselines.earlier_bounds import (
    Bounds,
    ChannelFacts,
    bounds,
    chain_floor_ppm,
    cold_started,
    floor_factor,
    flow_state,
    saturation_floor_ppm,
    scarcity_factor,
)
from cl_revenue_ops.bench.baselines.earlier_learning import (
    Aimd,
    Observation,
    Sleep,
    Thompson,
    bucket,
    observation_weight,
    regime_changed,
)
from tests.unit.baseline_support import (
    CAPACITY_MSAT,
    DAY_S,
    HOUR_S,
    SAT,
    FakeNode,
    channel,
    forward,
    run,
)


def facts(**changes: object) -> ChannelFacts:
    """A half full, balanced channel of 10M sat that sold an hour ago, at 1 sat/vB."""
    ordinary = ChannelFacts(0.5, CAPACITY_MSAT, 1.0, "balanced", 200, 60, 60, HOUR_S, 9 * DAY_S)
    return ordinary._replace(**changes)  # type: ignore[arg-type]


# -- bounds --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sat_per_vb", "ppm"), [(1.0, 21), (7.0, 21), (10.0, 30), (100.0, 300), (400.0, 1_200)]
)
def test_the_floor_of_the_chain(sat_per_vb: float, ppm: int) -> None:
    assert chain_floor_ppm(sat_per_vb) == ppm


@pytest.mark.parametrize(
    ("share", "factor"),
    [(0.09, 3), (0.1, 2), (0.25, 1.25), (0.4, 1), (0.6, 0.85), (0.75, 0.7), (0.9, 0.5), (1, 0.5)],
)
def test_the_factor_of_the_floor(share: float, factor: float) -> None:
    assert floor_factor(share) == factor


@pytest.mark.parametrize(
    ("changes", "ppm"),
    [
        ({"share": 0.79}, 0),
        ({"share": 0.8}, 0),
        ({"share": 0.8, "forwards_day": 49}, 25),
        ({"share": 0.8, "forwards_day": 19}, 37),
        ({"share": 0.8, "forwards_day": 9}, 50),
        ({"share": 0.8, "forwards_day": 9, "silent_s": 24 * HOUR_S + 1}, 62),
        ({"share": 0.8, "forwards_day": 9, "silent_s": 72 * HOUR_S + 1}, 75),
        ({"share": 0.8, "forwards_day": 9, "silent_s": None}, 75),
        ({"share": 0.8, "forwards_day": 20, "capacity_msat": 10**9}, 7),
    ],
)
def test_the_floor_of_a_full_and_quiet_channel(changes: dict[str, object], ppm: int) -> None:
    assert saturation_floor_ppm(facts(**changes)) == ppm


@pytest.mark.parametrize(
    ("changes", "limits"),
    [
        ({}, (21, 5_000)),
        ({"state": "source"}, (26, 5_000)),
        ({"state": "sink"}, (16, 5_000)),
        ({"share": 0.09}, (1_500, 5_000)),
        ({"share": 0.24}, (400, 5_000)),
        ({"share": 0.8, "forwards_day": 0}, (35, 5_000)),
        ({"ppm": 500, "silent_s": 3 * DAY_S}, (21, 3_750)),
        ({"ppm": 500, "silent_s": 7 * DAY_S}, (21, 2_500)),
        ({"ppm": 499, "silent_s": 7 * DAY_S}, (21, 5_000)),
        ({"ppm": 500, "silent_s": None}, (21, 2_500)),
        ({"sat_per_vb": 2_000.0}, (4_990, 5_000)),
        ({"sat_per_vb": 1_500.0, "share": 0.24}, (9_000, 9_010)),
    ],
)
def test_floor_and_ceiling(changes: dict[str, object], limits: tuple[int, int]) -> None:
    assert bounds(facts(**changes)) == limits


@given(st.floats(0, 1), st.integers(0, 60), st.floats(0, 500), st.integers(1, 9_000))
def test_the_floor_lies_below_the_ceiling(
    share: float, forwards: int, sat_per_vb: float, ppm: int
) -> None:
    found = bounds(facts(share=share, forwards_day=forwards, sat_per_vb=sat_per_vb, ppm=ppm))
    assert 1 <= found.floor_ppm < found.ceiling_ppm
    assert found.floor_ppm <= found.clamp(ppm) <= found.ceiling_ppm


def test_flow_decides_the_state_and_balance_where_none_flows() -> None:
    assert [flow_state(0.5, net, 100, True) for net in (51, 50, -50, -51)] == [
        "source",
        "balanced",
        "balanced",
        "sink",
    ]
    assert [flow_state(share, 0, 100, False) for share in (0.29, 0.3, 0.7, 0.71)] == [
        "source",
        "balanced",
        "balanced",
        "sink",
    ]


def test_a_cold_start_holds_fee_and_ceiling_down() -> None:
    limits = Bounds(21, 5_000)
    assert cold_started(300, facts(forwards_week=5), limits) == (300, limits)
    assert cold_started(300, facts(forwards_week=4, ppm=10), limits) == (300, limits)
    assert cold_started(300, facts(forwards_week=4), limits) == (71, Bounds(21, 100))
    high = Bounds(1_500, 5_000)
    assert cold_started(2_000, facts(forwards_week=0), high) == (1_550, Bounds(1_500, 1_550))


@pytest.mark.parametrize(
    ("share", "factor"), [(0.35, 1.0), (0.30, 1.29), (0.20, 1.86), (0.10, 2.43), (0.0, 3.0)]
)
def test_scarcity_is_a_straight_line(share: float, factor: float) -> None:
    assert scarcity_factor(share) == pytest.approx(factor, abs=0.005)


# -- learning ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hours", "rate", "weight"),
    [(1, 0, 0.01), (6, 0, 0.01), (3, 49, 0.25), (12, 49, 0.5), (6, 500, 1.0)],
)
def test_the_weight_of_an_observation(hours: float, rate: float, weight: float) -> None:
    assert observation_weight(hours, rate) == pytest.approx(weight)


def test_the_balance_buckets() -> None:
    shares = (0.0, 0.149, 0.15, 0.349, 0.35, 0.65, 0.85, 1.0)
    assert [bucket(share) for share in shares] == [0, 0, 1, 1, 2, 3, 4, 4]


def test_the_posterior_is_a_weighted_mean_of_fees() -> None:
    seen = Thompson()
    assert seen.posterior(0.0) == (200.0, 100.0)
    seen.observe(400, 90.0, 6.0, 0.0, 2)  # weight 0.91 x min(2, 100/50) = 1.82
    prior = 1 / 1.1
    assert seen.posterior(0.0) == pytest.approx(
        ((1 - prior) * 400 + prior * 200, (1 - prior) * 10 + prior * 100)
    )
    seen.observe(100, 15.0, 6.0, 0.0, 2)  # weight 0.16 x 0.5 = 0.08
    mean = (1.82 * 400 + 0.08 * 100) / 1.9
    std = ((1.82 * (400 - mean) ** 2 + 0.08 * (100 - mean) ** 2) / 1.9) ** 0.5
    prior = 1 / 1.2
    assert seen.posterior(0.0) == pytest.approx(
        ((1 - prior) * mean + prior * 200, (1 - prior) * std + prior * 100)
    )


def test_observations_fade_with_a_half_life_of_a_week() -> None:
    seen = Thompson()
    seen.observe(400, 90.0, 6.0, 0.0, 2)
    # 1.82 halves below 0.1 after 4.19 weeks: then the prior alone speaks.
    assert seen.posterior(4.1 * 7 * DAY_S)[0] > 200
    assert seen.posterior(4.3 * 7 * DAY_S) == (200.0, 100.0)


def test_the_prior_keeps_a_tenth() -> None:
    seen = Thompson()
    for _ in range(300):
        seen.observe(400, 900.0, 6.0, 0.0, 2)
    assert len(seen.observations) == 200
    assert seen.posterior(0.0) == pytest.approx((380, 19))


def _drawn(seen: Thompson, place: int) -> tuple[float, float]:
    rng = np.random.default_rng(7)
    fees = np.array([seen.sample(place, 0.0, rng) for _ in range(4_000)])
    return float(fees.mean()), float(fees.std())


def test_the_first_draws_are_wide_and_from_the_prior() -> None:
    seen = Thompson()
    for _ in range(2):
        seen.observe(900, 900.0, 6.0, 0.0, 2)
    mean, std = _drawn(seen, 2)
    assert mean == pytest.approx(200, abs=8) and std == pytest.approx(1.5 * 127.5, rel=0.05)


def test_a_bucket_seen_thrice_is_drawn_from_and_narrows_whatever_it_earned() -> None:
    seen = Thompson()
    for _ in range(45):
        seen.observe(900, 0.0, 1.0, 0.0, 2)
    mean, std = _drawn(seen, 2)
    assert mean == pytest.approx(200, abs=1) and std == pytest.approx(12.75, rel=0.06)
    mean, std = _drawn(seen, 0)
    assert std == pytest.approx(127.5, rel=0.05), "a bucket not seen draws from the posterior"


def test_a_bucket_moves_towards_fees_that_earned_and_draws_its_neighbours() -> None:
    seen = Thompson()
    seen.observe(200, 0.0, 1.0, 0.0, 3)
    for _ in range(3):
        seen.observe(1_200, 100.0, 1.0, 0.0, 2)
    here, beside = _drawn(seen, 2)[0], 200.0
    assert here == pytest.approx(1_200 - 1_000 * 0.8**3, abs=8)
    for _ in range(2):
        seen.observe(200, 0.0, 1.0, 0.0, 3)
    beside = _drawn(seen, 3)[0]
    assert beside == pytest.approx(1_200 - 1_000 * 0.97**3, abs=8)


def test_the_label_names_the_bucket() -> None:
    assert Thompson().label(0) == "depleted:none:normal:P"
    assert len({Thompson().label(place) for place in range(5)}) == 5


def _seen(*rates: float) -> Thompson:
    one = Thompson()
    one.observations.extend(Observation(200, rate, 1.0, 0.0) for rate in rates)
    return one


def test_a_regime_changes_by_deviations_or_by_a_factor() -> None:
    steady, moving = _seen(*[10.0] * 10), _seen(*[9.0, 11.0] * 5)
    assert not regime_changed(_seen(*[10.0] * 9).observations, 90.0)
    assert [regime_changed(steady.observations, rate) for rate in (30.0, 30.1, 3.31, 3.2)] == [
        False,
        True,
        False,
        True,
    ]
    assert [regime_changed(moving.observations, rate) for rate in (12.5, 12.6, 7.4)] == [
        False,
        True,
        True,
    ]
    assert not regime_changed(_seen(*[0.0] * 10).observations, 5.0)
    assert not regime_changed(_seen(*[99.0] * 5, *[10.0] * 10).observations, 20.0)


def test_three_silent_windows_cut_at_most_hourly_and_down_to_half() -> None:
    aimd = Aimd()
    for window in range(3):
        assert aimd.apply(1_000) == 1_000
        aimd.take(False, window * 1_800.0)
    assert aimd.apply(1_000) == 850
    aimd.take(False, 3 * 1_800.0)
    assert aimd.apply(1_000) == 850, "the last cut is half an hour old"
    aimd.take(False, 4 * 1_800.0)
    assert aimd.apply(1_000) == 722
    for window in range(10):
        aimd.take(False, (6 + 2 * window) * 1_800.0)
    assert aimd.apply(1_000) == 500


def test_eighty_windows_that_sold_end_the_defence() -> None:
    aimd = Aimd()
    for window in range(3):
        aimd.take(False, window * 1_800.0)
    for _ in range(79):
        aimd.take(True, 0.0)
    assert aimd.defending and aimd.apply(1_000) == 990
    aimd.take(True, 0.0)
    assert not aimd.defending and aimd.apply(1_000) == 1_000
    for _ in range(400):
        aimd.take(True, 0.0)
    assert aimd.modifier == 1.5 and aimd.apply(1_000) == 1_000


def test_a_sale_between_silent_windows_starts_the_count_again() -> None:
    aimd = Aimd()
    for sold in (False, False, True, False, False):
        aimd.take(sold, 0.0)
    assert not aimd.defending


def test_three_calm_cycles_send_to_sleep_for_an_hour() -> None:
    sleep = Sleep(for_good=False)
    assert [sleep.through(100.9, 100.0, 0.0), sleep.through(101.0, 100.0, 0.0)] == [False, False]
    assert [sleep.through(9.0, 0.0, 0.0) for _ in range(3)] == [False, False, True]
    assert [sleep.through(9.0, 9.0, at_s) for at_s in (3_599.0, 3_600.0)] == [True, False]
    assert [sleep.through(9.0, 9.0, 5_400.0) for _ in range(3)] == [False, False, True]


def test_a_rate_that_stirs_wakes() -> None:
    for for_good in (False, True):
        sleep = Sleep(for_good)
        assert [sleep.through(100.0, 100.0, 0.0) for _ in range(3)][-1]
        assert sleep.through(120.0, 100.0, 60.0) and not sleep.through(79.0, 120.0, 60.0)
    sleep = Sleep(for_good=True)
    assert [sleep.through(0.2, 0.2, 0.0) for _ in range(3)][-1]
    assert sleep.through(0.4, 0.2, 9e9) and not sleep.through(0.5, 0.4, 9e9)


# -- gates and the cycle -------------------------------------------------------------------------


def test_revenue_is_floored_to_sats_at_the_fee_of_now() -> None:
    assert revenue_sat(100_000 * SAT, 200) == 20
    assert revenue_sat(4_999 * SAT, 200) == 0


def test_the_gates() -> None:
    assert [least_change_ppm(ppm) for ppm in (99, 100, 1_000)] == [1.0, 5.0, 30.0]
    assert [is_broadcast(new, 1_000, "a", "a") for new in (1_050, 1_051, 949)] == [
        False,
        True,
        True,
    ]
    assert is_broadcast(1_001, 1_000, "a", "b")
    assert is_broadcast(1, 1, "a", "a") and is_broadcast(2, 1, "a", "a")


def _busy(name: str, hours: int, share: float = 0.5, seed: int = 3) -> FakeNode:
    node = FakeNode(channel(0, share, base_msat=1_000), channel(1, 0.5))
    policy = BASELINES[name](seed)
    policy.begin(node)
    for hour in range(hours):
        for _ in range(1 + hour % 3):
            policy.settled(forward(node.now_s + 1.0, sat=500_000), node)
        run(policy, node, HOUR_S)
    return node


def test_the_first_cycle_comes_after_half_an_hour_and_then_windows_of_an_hour() -> None:
    node = FakeNode(channel(0, 0.5))
    policy = BASELINES["earlier"](3)
    policy.begin(node)
    assert node.sets == []
    run(policy, node, 1_800.0)
    assert len(node.sets) == 1 and node.sets[0][2] == 0
    run(policy, node, 1_800.0)
    assert len(node.sets) == 1


def test_a_target_kept_back_does_not_end_its_window() -> None:
    def set_from(first_ppm: int, then_ppm: int) -> list[tuple[int, int, int]]:
        node = FakeNode(channel(0, 0.05))  # asks 1550: three times 500, and 50 for a cold start
        policy = BASELINES["earlier"](3)
        policy.begin(node)
        run(policy, node, HOUR_S)
        assert node.sets == [(0, 1_550, 0)]
        node.charge(0, first_ppm)
        run(policy, node, 1_800.0)
        node.charge(0, then_ppm)
        run(policy, node, 1_800.0)
        return node.sets[1:]

    assert set_from(1_500, 1_400) == [(0, 1_550, 0)], "3 % is kept back, the next window is due"
    assert set_from(1_400, 1_400) == [(0, 1_550, 0)], "10 % is sent and starts a new window"
    assert set_from(1_500, 1_500) == []


def test_fees_stay_within_the_bounds_of_a_cold_start() -> None:
    node = FakeNode(channel(0, 0.5))
    policy = BASELINES["earlier"](3)
    policy.begin(node)
    run(policy, node, 5 * DAY_S)
    assert node.sets
    assert all(21 <= ppm <= 100 for _, ppm, _ in node.sets)


def test_a_busy_channel_leaves_the_cold_start_and_wanders_around_the_prior() -> None:
    fees = [ppm for index, ppm, _ in _busy("earlier", 200).sets if index == 0]
    assert len(fees) > 20 and 150 < np.mean(fees[5:]) < 350


def test_one_sale_a_window_keeps_the_defence_off() -> None:
    def mean_fee(every_hours: int) -> float:
        node = FakeNode(channel(0, 0.5), channel(1, 0.5))
        policy = BASELINES["earlier"](3)
        policy.begin(node)
        for hour in range(200):
            if hour % every_hours == 0:
                policy.settled(forward(node.now_s + 1.0, sat=3_000_000, ppm=100), node)
            run(policy, node, HOUR_S)
        return float(np.mean([ppm for index, ppm, _ in node.sets[40:] if index == 0]))

    assert mean_fee(1) > 170 > 140 > mean_fee(7)


def test_a_drained_channel_pays_the_floor_of_its_balance() -> None:
    node = _busy("earlier", 48, share=0.05)
    assert all(ppm >= 1_500 for index, ppm, _ in node.sets if index == 0)


def test_a_mempool_spike_does_not_reach_an_emptier_floor_beyond_the_chains() -> None:
    node = FakeNode(channel(0, 0.5), feerate=100.0)
    policy = BASELINES["earlier"](3)
    policy.begin(node)
    run(policy, node, 3 * DAY_S)
    assert {300 <= ppm <= 350 for _, ppm, _ in node.sets} == {True}


def test_flat_revenue_sleeps_for_an_hour_or_for_good() -> None:
    def fee_after_a_spike(name: str) -> int:
        node = FakeNode(channel(0, 0.5))
        policy = BASELINES[name](3)
        policy.begin(node)
        run(policy, node, 10 * HOUR_S)
        assert node.ppm() <= 100
        node.feerate = 100.0
        run(policy, node, 20 * DAY_S)
        return node.ppm()

    assert fee_after_a_spike("earlier") >= 300
    assert fee_after_a_spike("earlier-frozen") <= 100


def test_a_frozen_channel_wakes_when_revenue_stirs() -> None:
    node = FakeNode(channel(0, 0.5), channel(1, 0.5))
    policy = BASELINES["earlier-frozen"](3)
    policy.begin(node)
    run(policy, node, 2 * DAY_S)
    node.sets.clear()
    for _ in range(6):
        policy.settled(forward(node.now_s + 1.0, sat=5_000_000), node)
    run(policy, node, 6 * HOUR_S)
    assert {index for index, _, _ in node.sets} == {0}


def test_a_profitable_channel_asks_a_tenth_more() -> None:
    def mean_fee(ppm_paid: int) -> float:
        node = FakeNode(channel(0, 0.5))
        policy = BASELINES["earlier"](3)
        policy.begin(node)
        for _ in range(6):
            policy.settled(forward(node.now_s, sat=1_000_000, ppm=ppm_paid), node)
        run(policy, node, 6 * DAY_S)
        return float(np.mean([ppm for _, ppm, _ in node.sets]))

    assert mean_fee(1_001) == pytest.approx(1.1 * mean_fee(1_000), rel=0.04)
