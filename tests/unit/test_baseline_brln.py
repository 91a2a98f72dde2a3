"""BRLN's core: the seed, the target, the floor, the steps, and when a fee is sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.bench.baselines import BASELINES
from cl_revenue_ops.bench.baselines.brln import (
    Facts,
    Seed,
    capped_ppm,
    floor_ppm,
    target_ppm,
    worth_sending,
)
from tests.unit.baseline_support import (
    DAY_S,
    HOUR_S,
    START_S,
    FakeNode,
    channel,
    forward,
    quote,
    run,
)


def facts(share: float = 0.15, **changes: Any) -> Facts:
    """A channel between all bands: nothing is asked of it."""
    return Facts(share, 0, 10, 0.0, 0.0, False, False)._replace(**changes)


@pytest.mark.parametrize(
    ("seen", "factor"),
    [
        (facts(), 1.0),
        (facts(0.21), 0.98),
        (facts(0.61, idle=True), 0.98 * 0.985),
        (facts(0.60, idle=True), 0.98),
        (facts(0.15, streak=2), 1.10),
        (facts(0.15, streak=9), 1.25),
        (facts(0.08), 1.10),
        (facts(0.06, streak=1), 1.05 * 1.20),
        (facts(0.04), 1.02 * 1.20),
        (facts(0.15, revenue_share=0.2), 1.12),
        (facts(0.15, revenue_share=0.19), 1.0),
    ],
)
def test_the_target(seen: Facts, factor: float) -> None:
    assert target_ppm(375.0, seen) == pytest.approx(400 * factor)


@pytest.mark.parametrize(
    ("seen", "floor"),
    [
        (facts(sold_ppm=300.0, forwards=4), 315.0),
        (facts(sold_ppm=300.0, forwards=3), 0.0),
        (facts(sold_ppm=100.0, forwards=80), 140.0),
        (facts(sold_ppm=100.0, forwards=79), 105.0),
        (facts(sold_ppm=900.0, forwards=9), 480.0),
        (facts(0.40, sold_ppm=300.0, forwards=4, stale=True), 0.0),
        (facts(0.39, sold_ppm=300.0, forwards=4, stale=True), 315.0),
    ],
)
def test_the_floor(seen: Facts, floor: float) -> None:
    assert floor_ppm(400.0, seen) == pytest.approx(floor)


@pytest.mark.parametrize(
    ("ppm", "target", "seen", "found"),
    [
        (1_000, 1_020, facts(), 1_020),
        (1_000, 1_500, facts(), 1_050),
        (1_000, 500, facts(), 950),
        (40, 500, facts(), 45),
        (40, 10, facts(), 35),
        (12, 1, facts(), 10),
        (1_990, 9_000, facts(), 2_000),
        (0, 700, facts(), 700),
        (1_000, 500, facts(0.61, idle=True, forwards=0), 880),
        (1_000, 500, facts(0.60, idle=True, forwards=0), 950),
        (1_000, 500, facts(0.40, stale=True, idle=True, forwards=0), 800),
        (1_000, 500, facts(0.39, stale=True, idle=True, forwards=0), 950),
        (1_000, 1_500, facts(0.03, streak=16), 1_150),
        (1_000, 1_500, facts(0.03, streak=16, forwards=0), 1_050),
        (1_000, 1_500, facts(0.04, streak=16), 1_050),
        (1_000, 1_500, facts(0.009, streak=300), 1_200),
    ],
)
def test_a_step(ppm: int, target: float, seen: Facts, found: int) -> None:
    assert capped_ppm(ppm, target, seen) == found


@given(st.integers(10, 2_000), st.floats(0, 5_000), st.floats(0, 1), st.integers(0, 400))
def test_a_step_goes_towards_the_target_and_not_beyond_a_fifth(
    ppm: int, target: float, share: float, streak: int
) -> None:
    found = capped_ppm(ppm, target, facts(share, streak=streak))
    assert 10 <= found <= 2_000
    assert abs(found - ppm) <= max(5, 0.2 * ppm) + 0.5
    assert (found - ppm) * (target - ppm) >= 0 or abs(target - ppm) < 0.5 or found == ppm


def test_what_is_worth_sending() -> None:
    assert [worth_sending(1_000, new) for new in (1_014, 1_015, 985)] == [False, True, True]
    assert [worth_sending(100, new) for new in (103, 104, 100)] == [False, True, False]


def test_the_seed_blends_smooths_and_guards() -> None:
    seed = Seed()
    assert seed.take(400, 200) == pytest.approx(0.7 * 400 + 0.3 * 200)
    # The jump from 340 is held to 510; the volatility of 400 and 1200 is 0.5, an eighth off.
    wanted = (0.7 * 510 + 0.3 * 200) * (1 - 0.125)
    assert seed.take(1_200, 200) == pytest.approx(340 + 0.2 * (wanted - 340))


def test_the_seed_is_capped_and_forgets_after_a_week() -> None:
    seed = Seed()
    assert seed.take(50_000, 9_000) == 1_600
    for _ in range(400):
        ppm = seed.take(100, 100)
    assert ppm == pytest.approx(100), "no volatility is left of the first round"


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 5_000)), min_size=1, max_size=30))
def test_a_seed_stays_within_what_it_was_told(rounds: list[tuple[int, int]]) -> None:
    seed = Seed()
    for high, middle in rounds:
        assert 0 <= seed.take(high, middle) <= 1_600


def _node(ppm: int, share: float = 0.15, asked: int = 400) -> FakeNode:
    return FakeNode(channel(0, share, ppm=ppm, base_msat=9), quotes={"peer0": [quote(asked)]})


def test_a_fee_climbs_by_steps_two_hours_apart_to_the_target() -> None:
    node = _node(300)
    policy = BASELINES["brln"](1)
    policy.begin(node)
    assert node.sets == [(0, 315, 9)]
    run(policy, node, HOUR_S)
    assert node.ppm() == 315
    run(policy, node, HOUR_S)
    assert node.ppm() == 331
    run(policy, node, DAY_S)
    assert 409 <= node.ppm() <= 425


def test_a_fee_falls_by_steps_three_hours_apart() -> None:
    node = _node(1_000)
    policy = BASELINES["brln"](1)
    policy.begin(node)
    run(policy, node, 2 * HOUR_S)
    assert node.sets == [(0, 950, 9)]
    run(policy, node, HOUR_S)
    assert node.ppm() == 902


def test_a_full_channel_that_sells_nothing_falls_faster_by_and_by() -> None:
    node = _node(1_000, share=0.9, asked=100)
    policy = BASELINES["brln"](1)
    policy.begin(node)
    assert node.sets == [(0, 950, 9)]
    for hours, share in ((23, 0.95), (23 + 3, 0.88), (6 * 24 - 1, 0.88), (6 * 24 + 2, 0.80)):
        run(policy, node, START_S + (hours - 3) * HOUR_S - node.now_s)
        node.charge(0, 1_000)
        node.sets.clear()
        run(policy, node, 3 * HOUR_S)
        assert min(ppm for _, ppm, _ in node.sets) == 1_000 * share


def test_no_cut_below_what_sold_within_16_hours() -> None:
    node = _node(1_000)
    policy = BASELINES["brln"](1)
    policy.settled(forward(node.now_s - 1, ppm=980), node)
    policy.begin(node)
    run(policy, node, 15 * HOUR_S)
    assert node.sets == [(0, 980, 9)]
    run(policy, node, 2 * HOUR_S)
    assert node.ppm() == 931


def test_a_rate_that_sold_is_the_floor_up_to_a_fifth_above_the_seed() -> None:
    node = _node(440)
    policy = BASELINES["brln"](1)
    for _ in range(4):
        policy.settled(forward(node.now_s - 1, ppm=440), node)
    policy.begin(node)
    assert node.sets == [(0, 462, 9)]
    run(policy, node, 3 * DAY_S)
    # The only channel that earns is also the one with all the revenue.
    assert node.ppm() == pytest.approx(425 * 1.12, abs=15)


def test_a_rise_that_breaks_the_flow_is_cut() -> None:
    node = _node(300)
    policy = BASELINES["brln"](1)
    for k in range(10):
        policy.settled(forward(node.now_s - 6 * DAY_S + k, ppm=300), node)
    policy.begin(node)
    assert node.ppm() == 315
    run(policy, node, 0.9 * DAY_S)
    high = node.ppm()
    node.sets.clear()
    run(policy, node, 0.3 * DAY_S)
    assert node.sets == [(0, round(0.9 * high), 9)], "of the week's ten forwards none is left"


def test_the_seed_is_the_65th_percentile_and_taken_once_a_round_for_a_peer() -> None:
    quotes = [quote(100, 500_000), quote(300, 140_000), quote(500, 20_000), quote(900, 340_000)]
    one, other = channel(0, 0.15, ppm=0, peer_id="p"), channel(1, 0.15, ppm=0, peer_id="p")
    node = FakeNode(one, other, quotes={"p": quotes})  # from nothing a fee goes straight there
    policy = BASELINES["brln"](1)
    policy.begin(node)
    assert node.sets == [(0, 405, 0), (1, 405, 0)], "0.7 x 500 + 0.3 x 100 and 25"
    node.asked["p"] = [quote(200)]
    node.charge(0, 0)
    node.charge(1, 0)
    run(policy, node, 2 * HOUR_S)
    # 380, 380 + 0.2 (200 (1 - 0.25 x 3/7) - 380) = 339.71, and with sd/mean of 0.4714: 307.06.
    assert node.sets[2:] == [(0, 332, 0), (1, 332, 0)]


def test_a_peer_without_rivals_is_left_alone() -> None:
    node = FakeNode(channel(0, 0.5))
    policy = BASELINES["brln"](1)
    policy.begin(node)
    run(policy, node, DAY_S)
    assert node.sets == []
