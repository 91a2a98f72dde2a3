"""LNDg's AutoRebalance and AutoPilot against their published formulas."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cl_revenue_ops.bench.baselines import BASELINES
from cl_revenue_ops.bench.policy import NO_CHEAP_ROUTE
from cl_revenue_ops.bench.rebalancers.lndg import LndgAutoRebalance, may_pay, pilot, rate_ppm
from tests.unit.baseline_support import (
    CAPACITY_MSAT,
    DAY_S,
    NO_ROOM,
    SAT,
    FakeNode,
    channel,
    forward,
    run,
)

C = CAPACITY_MSAT
STEP_S = 600.0


@pytest.mark.parametrize(
    ("ppm", "towards_us", "rate"),
    [(400, 0, 260), (401, 0, 260), (2_000, 0, 500), (400, 259, 260), (400, 260, 0), (1, 0, 0)],
)
def test_the_rate(ppm: int, towards_us: int, rate: int) -> None:
    assert rate_ppm(channel(ppm=ppm, remote_ppm=towards_us)) == rate


def test_a_source_keeps_three_quarters() -> None:
    assert may_pay(channel(1, 0.8), C // 20)
    assert not may_pay(channel(1, 0.8), C // 20 + 1)


def test_the_pilot() -> None:
    assert pilot(False, 112, 100, 76.0)
    assert not pilot(False, 110, 100, 76.0), "a tenth more, not just as much"
    assert not pilot(False, 112, 100, 75.0)
    assert not pilot(True, 100, 100, 24.0)
    assert pilot(True, 112, 100, 24.0)
    assert pilot(True, 100, 100, 50.0), "in between a flag stays"
    assert not pilot(False, 0, 0, 99.0)


def selling(share: float = 0.05, **changes: int) -> tuple[FakeNode, LndgAutoRebalance]:
    """A node whose channel 0 sells and is nearly empty; 1 and 2 are full."""
    node = FakeNode(
        channel(0, share, ppm=changes.pop("ppm", 400), **changes),
        channel(1, 0.97),
        channel(2, 0.95),
    )
    policy = LndgAutoRebalance(BASELINES["static"](1))
    policy.begin(node)
    policy.settled(forward(node.now_s, out_index=0, in_index=1), node)
    return node, policy


def test_three_percent_at_a_time_and_a_fifth_more_while_it_works() -> None:
    node, policy = selling(share=0.0)
    run(policy, node, STEP_S)
    first = int(0.03 * C)
    # 3 %, 3.63 %, 4.39 %: after that the peer has less than 90 %.
    assert [msat for _, _, msat in node.arrived] == [
        first,
        int(first * 1.21),
        int(int(first * 1.21) * 1.21),
    ]
    assert {most for *_, most, _ in node.tried} == {260}
    assert node.tried[0][:2] == (1, 0), "the fullest source first"


def test_half_after_a_failure_down_to_the_floor() -> None:
    node, policy = selling()
    node.room_msat, node.seconds = 0, 5.0
    run(policy, node, STEP_S)
    sizes = list(dict.fromkeys(msat for _, _, msat, _, _ in node.tried))
    assert sizes == [300_000 * SAT, 150_000 * SAT, 75_000 * SAT]
    assert {why for *_, why in node.tried} == {NO_ROOM}


def test_sources_in_turn_until_the_minutes_are_over() -> None:
    node, policy = selling()
    node.room_msat, node.seconds = 0, 350.0
    run(policy, node, STEP_S)
    # The first try of five minutes is over with its first source; a rapid one lasts a minute; the
    # worker's ten minutes are then gone.
    assert [(source, msat) for source, _, msat, _, _ in node.tried] == [
        (1, 300_000 * SAT),
        (1, 150_000 * SAT),
    ]


def test_half_an_hour_between_runs() -> None:
    node, policy = selling()
    node.route_ppm = 1_000
    run(policy, node, 3 * STEP_S)
    runs = len(node.tried)
    assert {why for *_, why in node.tried} == {NO_CHEAP_ROUTE}
    run(policy, node, STEP_S)
    assert len(node.tried) == 2 * runs


@pytest.mark.parametrize(
    ("changes", "acts"),
    [({}, True), ({"remote_ppm": 260}, False), ({"ppm": 0}, False)],
)
def test_only_where_the_rate_is_above_what_the_peer_asks(
    changes: dict[str, int], acts: bool
) -> None:
    node, policy = selling(**changes)
    run(policy, node, STEP_S)
    assert bool(node.tried) == acts


@pytest.mark.parametrize(("share", "acts"), [(0.1, True), (0.101, False)])
def test_only_below_a_tenth(share: float, acts: bool) -> None:
    node, policy = selling(share)
    run(policy, node, STEP_S)
    assert bool(node.tried) == acts


def test_what_does_not_sell_is_not_filled_and_what_is_filled_gives_nothing() -> None:
    node, policy = selling()
    node.open[3] = channel(3, 0.05, ppm=400)  # empty, never sold
    policy.settled(forward(node.now_s, out_index=1, in_index=2, sat=200_000), node)
    node.balance(1, 0.05)
    run(policy, node, STEP_S)
    assert {dest for _, dest, _, _, _ in node.tried} == {0, 1}
    assert {source for source, *_ in node.tried} == {2}
    node.tried.clear()
    node.balance(0, 0.02)
    node.balance(1, 0.5)
    run(policy, node, STEP_S)
    node.balance(1, 0.97)  # nearly full, but it keeps its flag: it sells more than it takes
    policy.settled(forward(node.now_s, out_index=1, in_index=2, sat=900_000), node)
    node.balance(2, 0.5)
    run(policy, node, 1_800.0)
    assert node.tried == [], "no source is left"


def test_sources_keep_three_quarters_and_are_other_peers() -> None:
    node, policy = selling()
    node.balance(1, 0.779)
    small = channel(2, 0.97, capacity_msat=C // 20)
    node.open[2] = replace(small, peer_id="peer0")
    run(policy, node, STEP_S)
    assert node.tried == []
    node.balance(1, 0.781)
    run(policy, node, 1_800.0)
    assert node.tried[0][:3] == (1, 0, 300_000 * SAT)


def test_a_rapid_try_lasts_a_minute() -> None:
    node, policy = selling()
    node.open[3] = channel(3, 0.94)
    node.room_msat, node.seconds = 0, 61.0
    run(policy, node, STEP_S)
    # Three sources within the first five minutes, then one in each minute.
    assert [source for source, *_ in node.tried] == [1, 2, 3, 1, 1]


def test_a_week_later_the_flag_is_not_set_again() -> None:
    node, policy = selling(share=0.5)
    node.now_s += 7.5 * DAY_S
    node.balance(0, 0.05)
    run(policy, node, STEP_S)
    assert node.tried == []
