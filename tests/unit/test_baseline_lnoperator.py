"""LN Operator: its curve, the nightly multiplier, and its hysteresis."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.bench.baselines import BASELINES
from cl_revenue_ops.bench.baselines.lnoperator import nightly, sigmoid_ppm, zone
from cl_revenue_ops.bench.policy import FeePolicy
from tests.unit.baseline_support import DAY_S, HOUR_S, FakeNode, channel, forward, refusal, run


@pytest.mark.parametrize(
    ("share", "ppm"), [(0.05, 731), (0.20, 690), (0.50, 388), (0.80, 85), (0.95, 44)]
)
def test_the_curve(share: float, ppm: int) -> None:
    assert sigmoid_ppm(share) == ppm


@given(st.floats(0, 1), st.floats(0, 1))
def test_more_balance_never_costs_more(one: float, other: float) -> None:
    assert 25 <= sigmoid_ppm(max(one, other)) <= sigmoid_ppm(min(one, other)) <= 750


def test_a_night() -> None:
    assert nightly(0.0, DAY_S) == 0.15
    assert nightly(0.0, DAY_S + 1) == 0.0
    assert nightly(0.0, 3 * DAY_S) == nightly(0.0, None) == -0.15
    assert nightly(0.95, 5.0) == 1.0
    assert nightly(-0.45, None) == -0.5


def test_zones() -> None:
    assert [zone(share) for share in (0.19, 0.2, 0.8, 0.81)] == [-1, 0, 0, 1]


def test_the_first_run_sets_every_channel_without_base() -> None:
    node = FakeNode(channel(0, 0.5, base_msat=1_000), channel(1, 0.5, ppm=385))
    BASELINES["lnoperator"](1).begin(node)
    assert node.sets == [(0, 388, 0)], "3 ppm are within the tolerance"


def test_a_step_needs_ten_ppm_or_ten_percent() -> None:
    node = FakeNode(channel(0, 0.95, ppm=48), channel(1, 0.95, ppm=50), channel(2, 0.5, ppm=378))
    BASELINES["lnoperator"](1).begin(node)
    assert [index for index, _, _ in node.sets] == [1, 2]


def _started(share: float) -> tuple[FakeNode, FeePolicy]:
    node = FakeNode(channel(0, share))
    policy = BASELINES["lnoperator"](1)
    policy.begin(node)
    node.sets.clear()
    return node, policy


def test_a_small_step_waits_for_six_hours() -> None:
    node, policy = _started(0.5)
    node.balance(0, 0.49)  # 403: 15 ppm away
    run(policy, node, 4 * HOUR_S)
    assert node.sets == []
    run(policy, node, 2 * HOUR_S)
    assert node.sets == [(0, sigmoid_ppm(0.49), 0)]


def test_a_step_of_thirty_does_not_wait() -> None:
    node, policy = _started(0.5)
    node.balance(0, 0.47)
    run(policy, node, 2 * HOUR_S)
    assert node.sets == [(0, sigmoid_ppm(0.47), 0)]
    assert sigmoid_ppm(0.47) - 388 >= 30


def test_crossing_an_edge_does_not_wait() -> None:
    node, policy = _started(0.79)
    node.balance(0, 0.81)
    run(policy, node, 2 * HOUR_S)
    assert node.sets == [(0, sigmoid_ppm(0.81), 0)]
    assert (sigmoid_ppm(0.79), sigmoid_ppm(0.81)) == (90, 81)


def test_a_silent_channel_is_cut_each_night_down_to_half() -> None:
    node, policy = _started(0.5)
    run(policy, node, 6 * DAY_S)
    assert node.ppm() == 194
    assert len(node.sets) == 4  # 0.85, 0.70, 0.55, 0.50 of 388


def test_a_busy_channel_is_raised_each_night_up_to_double() -> None:
    node, policy = _started(0.5)
    for _ in range(60):
        policy.settled(forward(node.now_s, out_index=1, in_index=0), node)
        run(policy, node, 4 * HOUR_S)
    assert node.ppm() == 776


def test_below_a_fifth_the_multiplier_only_raises() -> None:
    node, policy = _started(0.1)
    run(policy, node, 6 * DAY_S)
    assert node.sets == []


def test_a_drained_channel_that_refuses_is_raised_at_once() -> None:
    node, policy = _started(0.1)
    policy.refused(refusal(node.now_s + HOUR_S), node)
    run(policy, node, 2 * HOUR_S)
    assert node.sets == [(0, round(sigmoid_ppm(0.1) * 1.4), 0)]
    run(policy, node, 4 * HOUR_S)
    assert len(node.sets) == 1, "the refusal was before this fee"


def test_a_refusal_with_balance_changes_nothing() -> None:
    node, policy = _started(0.3)
    policy.refused(refusal(node.now_s + HOUR_S), node)
    run(policy, node, 8 * HOUR_S)
    assert node.sets == []
