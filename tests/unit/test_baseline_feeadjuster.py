"""feeadjuster: the curve, its two strategies, and when a channel is updated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.bench.baselines import BASELINES
from cl_revenue_ops.bench.baselines.feeadjuster import FeeAdjuster, balance_ratio, median_ppm
from cl_revenue_ops.bench.policy import Moved
from tests.unit.baseline_support import DAY_S, START_S, FakeNode, channel, forward, quote, run


def test_the_curve() -> None:
    assert balance_ratio(0.0) == pytest.approx(7.0711, abs=1e-4)
    assert balance_ratio(0.5) == 1.0
    assert balance_ratio(1.0) == pytest.approx(0.1414, abs=1e-4)


@given(st.floats(0, 1), st.floats(0, 1))
def test_more_balance_never_costs_more(one: float, other: float) -> None:
    assert balance_ratio(max(one, other)) <= balance_ratio(min(one, other))


def test_the_median_leaves_extremes_out() -> None:
    quotes = [quote(0), quote(100), quote(200), quote(4_999), quote(5_000), quote(90_000)]
    assert median_ppm(quotes) == 200
    assert median_ppm([quote(100), quote(201)]) == 150.5
    assert median_ppm([quote(0), quote(5_000)]) == median_ppm([]) == 10


def test_all_channels_are_updated_at_the_start() -> None:
    quotes = {"peer0": [quote(100), quote(201)], "peer1": []}
    node = FakeNode(channel(0, 0.0), channel(1, 1.0), quotes=quotes)
    BASELINES["feeadjuster-median"](1).begin(node)
    assert node.sets == [(0, 1064, 1_000), (1, 1, 1_000)]  # floor(150.5 * 7.0711), floor(1.414)
    node = FakeNode(channel(0, 0.0), channel(1, 1.0), quotes=quotes)
    BASELINES["feeadjuster-global"](1).begin(node)
    assert node.sets == [(0, 70, 1_000), (1, 1, 1_000)]
    BASELINES["feeadjuster-median-base0"](1).begin(node)
    assert node.sets[2:] == [(0, 1064, 0), (1, 1, 0)]


def _after_a_move(capacity_sat: int, share: float) -> list[tuple[int, int, int]]:
    node = FakeNode(
        channel(0, 0.5, capacity_msat=capacity_sat * 1_000),
        channel(1, 0.5, capacity_msat=capacity_sat * 1_000),
    )
    policy = BASELINES["feeadjuster-global"](3)
    policy.begin(node)
    node.sets.clear()
    node.balance(0, share)
    policy.settled(forward(START_S, out_index=0, in_index=1), node)
    return node.sets


def test_a_channel_is_updated_when_its_share_moved_by_a_twentieth() -> None:
    assert _after_a_move(1_000_000, 0.50 - 0.066) == [(0, 12, 1_000)]
    assert _after_a_move(1_000_000, 0.50 - 0.034) == []


def test_a_channel_is_updated_when_its_balance_moved_by_a_thousandth_bitcoin() -> None:
    assert _after_a_move(100_000_000, 0.50 - 0.00102) == [(0, 10, 1_000)]
    assert _after_a_move(100_000_000, 0.50 - 0.00098) == []


def test_a_move_counts_from_the_last_update() -> None:
    node = FakeNode(channel(0, 0.5, capacity_msat=10**9), channel(1))
    policy = BASELINES["feeadjuster-global"](3)
    policy.begin(node)
    node.sets.clear()
    for share in (0.47, 0.44, 0.41):
        node.balance(0, share)
        policy.settled(forward(START_S), node)
    assert [index for index, _, _ in node.sets] == [0]


def test_both_channels_of_a_forward_are_looked_at_and_a_closed_one_is_passed_over() -> None:
    node = FakeNode(channel(0), channel(1), channel(2))
    policy = BASELINES["feeadjuster-global"](3)
    policy.begin(node)
    node.sets.clear()
    node.balance(1, 0.9)
    node.balance(2, 0.9)
    del node.open[0]
    policy.settled(forward(START_S, out_index=0, in_index=1), node)
    assert node.sets == [(1, 2, 1_000)]


def test_a_channel_not_seen_before_is_updated_by_its_first_forward() -> None:
    node = FakeNode(channel(0))
    policy = BASELINES["feeadjuster-global"](3)
    policy.begin(node)
    node.open[1] = channel(1, 1.0)
    run(policy, node, 2 * DAY_S)
    assert node.ppm(1) == 200
    policy.settled(forward(START_S, out_index=0, in_index=1), node)
    assert node.ppm(1) == 1


def test_a_refill_updates_both_of_its_channels() -> None:
    node = FakeNode(channel(0, 0.5), channel(1, 0.5), channel(2, 0.5))
    policy = FeeAdjuster("feeadjuster-global", False, np.random.default_rng(1))
    policy.begin(node)
    node.sets.clear()
    for index, share in ((0, 0.49), (1, 0.51), (2, 0.2)):
        node.balance(index, share)
    policy.refilled(0, 1, Moved(1_000, 1, ""), node)
    assert [index for index, _, _ in node.sets] == [0, 1]
