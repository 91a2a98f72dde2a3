"""LNDg's AutoFees and lndmanage: every case of their factors, and when they act."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.bench.baselines import BASELINES
from cl_revenue_ops.bench.baselines.lndg import PeerWeek, step_ppm, stepped_ppm
from cl_revenue_ops.bench.baselines.lndmanage import (
    demand_factor,
    least_factor,
    next_base_msat,
    next_ppm,
)
from tests.unit.baseline_support import (
    CAPACITY_MSAT,
    DAY_S,
    HOUR_S,
    FakeNode,
    channel,
    forward,
    refusal,
    run,
)

SAT = 1_000


def week(percent: float, out: int = 0, came: int = 0, **changes: int) -> PeerWeek:
    """A peer's week on a capacity of 1000; amounts as told, else nothing."""
    return PeerWeek(percent, 1_000, out, came, 0, 0, 0, 0)._replace(**changes)


@pytest.mark.parametrize(
    ("facts", "step"),
    [
        (week(15, failures_day=26), 25),
        (week(15, failures_day=25), 0),
        (week(15, failures_day=26, in_day_msat=1), 0),
        (week(3), 0),
        (week(50), -15),
        (week(50, out=900, came=1), 0),
        (week(50, out=2_000, came=1_000), 0),
        (week(50, out=2_500, came=500), 30),
        (week(95), -25),
        (week(95, out=10, came=20, assisted_msat=101, earned_msat=10), -25),
        (week(95, out=10, came=20, assisted_msat=100, earned_msat=10), 0),
        (week(95, out=20, came=10, assisted_msat=999, earned_msat=10), 0),
    ],
)
def test_a_step_by_liquidity_and_flow(facts: PeerWeek, step: float) -> None:
    assert step_ppm(facts) == step


@pytest.mark.parametrize(
    ("ppm", "step", "found"),
    [(203, 0, 205), (202, 0, 200), (10, -25, 0), (2_490, 25, 2_500), (200, 33.4, 235)],
)
def test_fees_go_by_fives(ppm: int, step: float, found: int) -> None:
    assert stepped_ppm(ppm, step) == found


@given(st.integers(0, 9_000), st.floats(-50, 200))
def test_fees_stay_within_bounds(ppm: int, step: float) -> None:
    found = stepped_ppm(ppm, step)
    assert 0 <= found <= 2_500 and found % 5 == 0


def test_an_idle_channel_steps_down_once_a_day() -> None:
    node = FakeNode(channel(0, 0.5, base_msat=1_000))
    policy = BASELINES["lndg"](1)
    policy.begin(node)
    run(policy, node, 23 * HOUR_S)
    assert node.sets == []
    run(policy, node, 3 * DAY_S)
    assert node.sets == [(0, 185, 1_000), (0, 170, 1_000), (0, 155, 1_000)]


def test_many_refusals_raise_an_empty_channel() -> None:
    node = FakeNode(channel(0, 0.1))
    policy = BASELINES["lndg"](1)
    policy.begin(node)
    run(policy, node, 20 * HOUR_S)
    for _ in range(26):
        policy.refused(refusal(node.now_s), node)
    run(policy, node, 10 * HOUR_S)
    assert node.sets == [(0, 225, 0)]


def test_dust_is_no_flow() -> None:
    node = FakeNode(channel(0, 0.5), channel(1, 0.5))
    policy = BASELINES["lndg"](1)
    policy.begin(node)
    policy.settled(forward(node.now_s, out_index=0, in_index=1, sat=999), node)
    run(policy, node, 25 * HOUR_S)
    assert (node.ppm(0), node.ppm(1)) == (185, 185)


def test_a_peers_channels_share_one_week() -> None:
    node = FakeNode(channel(0, 0.5, peer_id="p"), channel(1, 0.5, peer_id="p"))
    policy = BASELINES["lndg"](1)
    policy.begin(node)
    policy.settled(forward(node.now_s, out_index=0, in_index=9), node)
    run(policy, node, 25 * HOUR_S)
    assert node.sets == [], "flow in one channel speaks for both"


def test_flow_counts_for_seven_days() -> None:
    node = FakeNode(channel(0, 0.5))
    policy = BASELINES["lndg"](1)
    policy.begin(node)
    policy.settled(forward(node.now_s + 1.0), node)
    run(policy, node, 7 * DAY_S)
    assert node.sets == []
    run(policy, node, HOUR_S)
    assert node.sets == [(0, 185, 0)]


# -- lndmanage -----------------------------------------------------------------------------------


def test_demand() -> None:
    assert [demand_factor(rate, 100) for rate in (0, 100, 300)] == [0.5, 1.0, 2.0]


@pytest.mark.parametrize(
    ("local_sat", "capacity_sat", "factor"),
    [
        (0, 10_000_000, 1.05),
        (250_000, 10_000_000, 1.025),
        (500_000, 10_000_000, 1.0),
        (10_000_000, 10_000_000, 0.5),
        (150_000, 900_000, 1.025),  # a reserve of a third: 300,000
        (600_000, 900_000, 0.75),
    ],
)
def test_the_least_factor_by_balance(local_sat: int, capacity_sat: int, factor: float) -> None:
    assert least_factor(local_sat * SAT, capacity_sat * SAT) == pytest.approx(factor)


@given(st.integers(0, 10**10), st.integers(0, 10**10))
def test_more_balance_allows_deeper_cuts(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert least_factor(high, 10**10) <= least_factor(low, 10**10) + 1e-12


@pytest.mark.parametrize(
    ("ppm", "factor", "least", "found"),
    [
        (200, 0.5, 0.7, 140),
        (200, 1.2, 0.7, 240),
        (200, 9.0, 0.7, 300),
        (200, 0.5, 1.05, 210),
        (6, 0.5, 0.5, 5),
        (4_000, 1.5, 0.5, 5_000),
    ],
)
def test_the_next_rate(ppm: int, factor: float, least: float, found: int) -> None:
    assert next_ppm(ppm, factor, least) == found


def test_the_next_base() -> None:
    bases = [next_base_msat(1_000, factor) for factor in (0.5, 1.2, 9.0)]
    assert [*bases, next_base_msat(4_000, 2.0)] == [750, 1_200, 1_500, 5_000]


def test_a_week_of_nothing_halves_a_full_channel() -> None:
    node = FakeNode(channel(0, 1.0, base_msat=1_000))
    policy = BASELINES["lndmanage"](1)
    policy.begin(node)
    run(policy, node, 6 * DAY_S)
    assert node.sets == []
    run(policy, node, 14 * DAY_S)
    assert node.sets[0] == (0, 100, 750)


def test_a_week_below_the_targets_lowers_by_what_is_missing() -> None:
    node = FakeNode(channel(0, 0.9, base_msat=1_000))
    policy = BASELINES["lndmanage"](1)
    policy.begin(node)
    policy.settled(forward(node.now_s, sat=900_000), node)
    for _ in range(3):
        policy.settled(forward(node.now_s + HOUR_S, sat=70_000 // 3), node)
    run(policy, node, 7 * DAY_S)
    # 70,000 sat against 100,000: 0.85; three forwards against four: 0.875. The first is too old.
    assert node.sets == [(0, 170, 875)]


def test_a_week_at_twice_the_target_raises_by_half() -> None:
    node = FakeNode(channel(0, 0.9, base_msat=1_000), channel(1, 0.0))
    policy = BASELINES["lndmanage"](1)
    policy.begin(node)
    for _ in range(2):
        policy.settled(forward(node.now_s + DAY_S, sat=100_000), node)
    run(policy, node, 7 * DAY_S)
    # Two forwards against a target of four: 1 + 0.5 (2/4 - 1) = 0.75 on the base.
    assert node.sets == [(0, 300, 750), (1, 210, 0)]
    assert node.open[0].capacity_msat == CAPACITY_MSAT
