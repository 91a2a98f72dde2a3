"""Eclair's peer scorer: what raises, lowers, takes back and leaves alone."""

from __future__ import annotations

import pytest

from cl_revenue_ops.bench.baselines import BASELINES
from cl_revenue_ops.bench.baselines.eclair import Volumes, direction, enough_msat, worse
from cl_revenue_ops.bench.policy import FeePolicy
from tests.unit.baseline_support import DAY_S, HOUR_S, SAT, FakeNode, channel, forward, run

CAPACITY = 8_000  # 5 % a day is 400, so 50 for each full bucket of 3 h


def volumes(newest: int, second: int, third: int, fourth: int = 0, elapsed: float = 1.0) -> Volumes:
    return Volumes(newest, second, third, fourth, 0, elapsed)


def test_the_volume_that_counts() -> None:
    assert enough_msat(CAPACITY) == 400
    assert enough_msat(10**12) == 10_000_000 * SAT


@pytest.mark.parametrize(
    ("seen", "found"),
    [
        (volumes(60, 60, 54), 1),
        (volumes(60, 60, 55), 0),  # 60 a bucket is not above 1.1 x 55
        (volumes(50, 49, 10), 0),  # below 100 in two buckets
        (volumes(50, 50, 10), 1),
        (volumes(0, 50, 10, elapsed=0.0), 1),
        (volumes(0, 49, 10, elapsed=0.0), 0),
        (volumes(60, 60, 0), 0),
        (volumes(40, 45, 100, 100), -1),
        (volumes(40, 46, 100, 100), 0),
        (volumes(40, 45, 100, 99), 0),
    ],
)
def test_the_direction(seen: Volumes, found: int) -> None:
    assert direction(seen, CAPACITY, CAPACITY) == found


def test_without_liquidity_nothing_is_lowered() -> None:
    assert direction(volumes(0, 0, 100, 100), CAPACITY, 399) == 0
    assert direction(volumes(0, 0, 100, 100), CAPACITY, 400) == -1


def test_what_counts_as_worse() -> None:
    assert (worse(1, 79, 100), worse(1, 80, 100)) == (True, False)
    assert (worse(-1, 89, 100), worse(-1, 90, 100)) == (True, False)


def _sell(policy: FeePolicy, node: FakeNode, hours: int, sat_per_hour: int) -> None:
    """Let hours pass in which channel 0 sells at an even pace."""
    for _ in range(hours):
        if sat_per_hour:
            policy.settled(forward(node.now_s + 1.0, sat=sat_per_hour, in_index=9), node)
        run(policy, node, HOUR_S)


def _watched(name: str, ppm: int) -> tuple[FeePolicy, FakeNode]:
    """A day of even trade, at the end of which nothing has moved."""
    node = FakeNode(channel(0, 0.5, ppm=ppm, base_msat=3))
    policy = BASELINES[name](1)
    policy.begin(node)
    _sell(policy, node, 24, 30_000)
    assert node.sets == []
    return policy, node


def test_rising_volume_raises_by_the_step_and_keeps_the_base() -> None:
    policy, node = _watched("eclair", 600)
    _sell(policy, node, 3, 90_000)
    assert node.sets == [(0, 1_100, 3)]
    policy, node = _watched("eclair-low", 600)
    _sell(policy, node, 3, 90_000)
    assert node.sets == [(0, 650, 3)]


def test_nothing_moves_again_within_four_and_a_half_hours() -> None:
    policy, node = _watched("eclair", 600)
    _sell(policy, node, 1, 300_000)
    moved_s, sets = node.now_s, len(node.sets)
    assert sets == 1
    pace = 300_000
    while len(node.sets) == sets:
        pace *= 2
        _sell(policy, node, 1, pace)
    assert node.now_s - moved_s == 5 * HOUR_S


def test_a_step_beyond_a_bound_is_not_made() -> None:
    policy, node = _watched("eclair", 4_600)
    _sell(policy, node, 3, 90_000)
    assert node.sets == []


def _volume_stops(name: str, ppm: int, hours: int) -> FakeNode:
    policy, node = _watched(name, ppm)
    _sell(policy, node, hours, 0)
    return node


def test_falling_volume_lowers_but_not_below_the_bound() -> None:
    assert _volume_stops("eclair", 1_200, 6).sets == [(0, 700, 3)]
    assert _volume_stops("eclair", 900, 6).sets == []
    assert _volume_stops("eclair-low", 59, 6).sets == []


def test_volume_that_fell_after_a_rise_is_no_reason_to_lower() -> None:
    policy, node = _watched("eclair", 1_200)
    _sell(policy, node, 3, 20_000)
    _sell(policy, node, 3, 0)
    assert node.sets == [(0, 700, 3)], "20 after 30 and 30"
    policy, node = _watched("eclair", 1_200)
    _sell(policy, node, 3, 31_000)
    _sell(policy, node, 12, 0)
    assert node.sets == [], "0 after 31 and 30"


def test_a_raise_that_loses_a_fifth_is_taken_back() -> None:
    node = FakeNode(channel(0, 0.04, ppm=600))  # too little to send: never lowered, not idle
    policy = BASELINES["eclair"](1)
    policy.begin(node)
    _sell(policy, node, 24, 30_000)
    _sell(policy, node, 1, 300_000)
    assert node.sets == [(0, 1_100, 0)]
    _sell(policy, node, 5, 0)
    assert len(node.sets) == 1
    _sell(policy, node, 30, 0)
    assert node.sets[1:] == [(0, 600, 0)], "once the day has lost a fifth, within a day of the move"


def test_a_move_that_did_no_harm_stays() -> None:
    node = FakeNode(channel(0, 0.04, ppm=600))
    policy = BASELINES["eclair"](1)
    policy.begin(node)
    _sell(policy, node, 24, 30_000)
    _sell(policy, node, 48, 90_000)
    assert node.sets == [(0, 1_100, 0)]


def test_an_idle_peer_falls_to_the_bound_by_half_days_after_a_week() -> None:
    node = FakeNode(channel(0, 0.9, ppm=1_700), channel(1, 0.15, ppm=1_700))
    policy = BASELINES["eclair"](1)
    policy.begin(node)
    run(policy, node, 7 * DAY_S - HOUR_S)
    assert node.sets == []
    run(policy, node, 3 * DAY_S)
    assert node.sets == [(0, 1_200, 0), (0, 700, 0), (0, 500, 0)]


def test_a_peer_that_moves_a_thirteenth_of_its_capacity_is_not_idle() -> None:
    node = FakeNode(channel(0, 0.9, ppm=1_700), channel(1, 0.9, ppm=1_700))
    policy = BASELINES["eclair"](1)
    policy.begin(node)
    run(policy, node, 6 * DAY_S)
    policy.settled(forward(node.now_s, in_index=0, out_index=9, sat=760_000), node)
    policy.settled(forward(node.now_s, in_index=1, out_index=9, sat=700_000), node)
    run(policy, node, 2 * DAY_S)
    assert {index for index, _, _ in node.sets} == {1}


def test_only_the_ten_best_peers_are_scored() -> None:
    node = FakeNode(*(channel(k, 0.5, ppm=600) for k in range(11)))
    policy = BASELINES["eclair"](1)
    policy.begin(node)
    for hour in range(27):
        for k in range(11):
            sat = (30_000 + 100 * k) * (4 if hour >= 24 else 1)
            policy.settled(forward(node.now_s + 1, out_index=k, in_index=99, sat=sat), node)
        run(policy, node, HOUR_S)
    assert {index for index, _, _ in node.sets} == set(range(1, 11))
