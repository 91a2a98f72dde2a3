"""NodeGuard's integrator and feelancer's proportional spread."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.bench.baselines import BASELINES
from cl_revenue_ops.bench.baselines.feelancer import liquidity_error, out_ppm, spread_of
from cl_revenue_ops.bench.baselines.nodeguard import flow_class, goal_share, next_ppm
from tests.unit.baseline_support import DAY_S, HOUR_S, FakeNode, channel, forward, run


@pytest.mark.parametrize(
    ("out", "came", "kind"),
    [
        (0, 0, "unknown"),
        (5, 3, "bidirectional"),
        (501, 299, "sink"),
        (3, 5, "bidirectional"),
        (299, 501, "source"),
    ],
)
def test_the_class_of_a_flow(out: int, came: int, kind: str) -> None:
    assert flow_class(out, came) == kind


@pytest.mark.parametrize(
    ("out", "came", "goal"),
    [(0, 0, 0.5), (6, 4, 0.64), (1, 0, 0.85), (0, 1, 0.15), (75, 25, 0.85)],
)
def test_the_goal_of_a_balance(out: int, came: int, goal: float) -> None:
    assert goal_share(out, came) == pytest.approx(goal)


@pytest.mark.parametrize(
    ("ppm", "distance", "class_ppm", "found"),
    [
        (1_000, 0.04, 1_500, 952),
        (1_000, 0.5, 1_500, 950),
        (1_000, -0.5, 1_500, 1_050),
        (100, 0.1, 50, 96),
        (20, 0.5, 2_500, 0),
        (2_990, -0.5, 2_500, 3_000),
    ],
)
def test_a_step(ppm: int, distance: float, class_ppm: int, found: int) -> None:
    assert next_ppm(ppm, distance, class_ppm) == found


def test_the_first_run_sets_the_price_of_the_class() -> None:
    node = FakeNode(channel(0, 0.9, base_msat=1_000))
    BASELINES["nodeguard"](1).begin(node)
    assert node.sets == [(0, 1_500, 1_000)]


def test_a_balanced_channel_keeps_its_fee_and_a_full_one_falls() -> None:
    node = FakeNode(channel(0, 0.52), channel(1, 0.9))
    policy = BASELINES["nodeguard"](1)
    policy.begin(node)
    run(policy, node, 5 * HOUR_S)
    assert (node.ppm(0), node.ppm(1)) == (1_500, 1_000)
    run(policy, node, 2 * DAY_S)
    assert (node.ppm(0), node.ppm(1)) == (1_500, 0)


def test_the_balance_is_smoothed() -> None:
    node = FakeNode(channel(0, 0.5))
    policy = BASELINES["nodeguard"](1)
    policy.begin(node)
    node.balance(0, 0.2)
    run(policy, node, 1_800.0)
    assert node.ppm() == 1_500, "0.08 x 0.3 is within the dead band"
    run(policy, node, 1_800.0)
    assert node.ppm() == 1_550


def test_a_class_holds_after_three_cycles_and_sets_the_step() -> None:
    node = FakeNode(channel(0, 0.9))
    policy = BASELINES["nodeguard"](1)
    policy.begin(node)
    policy.settled(forward(node.now_s, in_index=0, out_index=9), node)
    run(policy, node, 2 * 1_800.0)
    assert node.ppm() == 1_400
    run(policy, node, 1_800.0)
    # Now a source: 0.8 x 50 x (0.9 - target), the target after three steps of 0.1 towards 0.15.
    assert node.ppm() == round(1_400 - 40 * (0.9 - (0.15 + 0.35 * 0.9**3)))


def test_a_class_must_be_seen_three_times_running() -> None:
    node = FakeNode(channel(0, 0.9))
    policy = BASELINES["nodeguard"](1)
    policy.begin(node)

    def flow(sat: int, out: bool, cycles: int) -> int:
        ways = {"out_index": 0, "in_index": 9} if out else {"out_index": 9, "in_index": 0}
        policy.settled(forward(node.now_s, sat=sat, **ways), node)
        node.charge(0, 1_000)
        run(policy, node, cycles * 1_800.0)
        return 1_000 - node.ppm()

    assert flow(1_000, False, 4) > 100, "unknown for two, then a source"
    assert flow(10_000, True, 2) < 50, "a sink for two"
    assert flow(100_000, False, 1) < 25, "a source again"
    assert flow(1_000_000, True, 2) < 50, "a sink for two"
    assert flow(1_000, True, 1) == 50, "a sink for three: its step is the largest"


def test_a_step_below_five_ppm_is_not_made() -> None:
    node = FakeNode(channel(0, 0.5))
    policy = BASELINES["nodeguard"](1)
    policy.begin(node)
    policy.settled(forward(node.now_s, in_index=0, out_index=9), node)
    run(policy, node, 2 * 1_800.0)
    node.charge(0, 100)  # the third cycle is a source's: 0.8 x 50 x 0.095, not 4 ppm
    node.sets.clear()
    run(policy, node, 1_800.0)
    assert node.sets == []


# -- feelancer -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "target", "error"),
    [
        (0.4, 0.4, 0.0),
        (1.0, 0.4, 0.5),
        (0.0, 0.4, -0.5),
        (0.7, 0.4, 0.25),
        (0.1, 0.4, -0.375),
        (1.0, 1.0, 0.0),
        (0.0, 0.0, 0.0),
    ],
)
def test_the_error(share: float, target: float, error: float) -> None:
    assert liquidity_error(share, target) == pytest.approx(error)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_more_remote_is_more_error(one: float, other: float, target: float) -> None:
    low, high = sorted((one, other))
    error = liquidity_error(high, target)
    assert -0.5 <= liquidity_error(low, target) <= error + 1e-12 and error <= 0.5


def test_the_rate_of_margin_and_spread() -> None:
    assert out_ppm(50, 150) == 200
    assert out_ppm(50, 1_999) == 2_053  # 2049 / (1 - 0.001999) = 2053.1
    assert (out_ppm(50, -300), out_ppm(50, 90_000)) == (0, 2_500)


@given(st.integers(0, 2_499))
def test_a_found_rate_is_kept_at_first(ppm: int) -> None:
    assert abs(out_ppm(50, spread_of(ppm, 50)) - ppm) <= 1


def test_the_demo_moves_by_less_than_a_ppm_a_day() -> None:
    node = FakeNode(channel(0, 0.0, ppm=300, base_msat=5), channel(1, 1.0))
    policy = BASELINES["feelancer"](1)
    policy.begin(node)
    run(policy, node, 30 * DAY_S)
    assert node.sets == [(1, 190, 0), (0, 310, 5)], "half a ppm a day at the largest error"


def test_the_spread_follows_the_error_and_is_sent_daily() -> None:
    node = FakeNode(channel(0, 0.0, ppm=300), channel(1, 1.0, ppm=300))
    policy = BASELINES["feelancer-fast"](1)
    policy.begin(node)
    run(policy, node, 0.25 * DAY_S)
    # Half the gain of 200 a day, up on the empty side and down on the full one.
    assert node.sets == [(1, 290, 0), (0, 310, 0)]
    run(policy, node, 4 * DAY_S)
    assert [ppm for index, ppm, _ in node.sets if index == 0] == [310, 410, 510, 610, 710]
    assert [ppm for index, ppm, _ in node.sets if index == 1] == [290, 190, 90, 0]


def test_a_balanced_node_moves_nothing() -> None:
    node = FakeNode(channel(0, 0.3, ppm=300), channel(1, 0.3, ppm=70))
    policy = BASELINES["feelancer-fast"](1)
    policy.begin(node)
    run(policy, node, 10 * DAY_S)
    assert node.sets == []
