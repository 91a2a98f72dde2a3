"""LN Operator's budget for refills, and the floor that a refill puts under its fee."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cl_revenue_ops.bench.baselines.lnoperator import LnOperator, floor_ppm, sigmoid_ppm
from cl_revenue_ops.bench.policy import NO_CHEAP_ROUTE, Moved
from cl_revenue_ops.bench.rebalancers.lnoperator import LnOperatorBudget, Refills, budget_ppm
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

C = CAPACITY_MSAT
SOLD_MSAT = 2_000_000 * SAT


@pytest.mark.parametrize(
    ("refills", "ppm"),
    [
        (Refills(), 500),
        (Refills(last_ppm=100.0), 100),
        (Refills(last_ppm=100.0, failures=3), 160),
        (Refills(failures=4), 900),
        (Refills(last_ppm=4_500.0, failures=4), 5_000),
        (Refills(sold_msat=SOLD_MSAT, earned_msat=SOLD_MSAT // 10_000), 125),
        (Refills(sold_msat=SOLD_MSAT - 1, earned_msat=SOLD_MSAT // 10_000), 500),
        (Refills(sold_msat=SOLD_MSAT, earned_msat=SOLD_MSAT // 100, last_ppm=80.0), 80),
        (Refills(sold_msat=SOLD_MSAT, earned_msat=0), 0),
    ],
)
def test_the_budget(refills: Refills, ppm: int) -> None:
    assert budget_ppm(refills) == ppm


def runs(node: FakeNode, hours: float = 2.0, policy: LnOperatorBudget | None = None) -> None:
    policy = policy or LnOperatorBudget(LnOperator())
    policy.begin(node)
    run(policy, node, hours * HOUR_S)


def test_from_above_eighty_into_below_twenty_percent_up_to_one_half() -> None:
    node = FakeNode(channel(0, 0.1), channel(1, 0.9), channel(2, 0.85))
    runs(node)
    assert node.tried == [(1, 0, int(0.4 * C), 500, "")]
    node = FakeNode(channel(0, 0.1), channel(1, 0.85, capacity_msat=C // 2))
    runs(node)
    assert [msat for _, _, msat in node.arrived] == [round(0.35 * C / 2)]


@pytest.mark.parametrize(("low", "high", "acts"), [
    (0.199, 0.801, True), (0.2, 0.9, False), (0.1, 0.8, False),
])  # fmt: skip
def test_the_zones(low: float, high: float, acts: bool) -> None:
    node = FakeNode(channel(0, low), channel(1, high))
    runs(node)
    assert bool(node.tried) == acts


def test_what_finds_no_room_is_halved_down_to_a_hundred_thousand() -> None:
    node = FakeNode(channel(0, 0.1), channel(1, 0.9))
    node.room_msat = 0
    runs(node)
    sizes = [msat for _, _, msat, _, _ in node.tried]
    assert sizes == [int(0.4 * C) // 2**k for k in range(6)]
    assert sizes[-1] >= 100_000 * SAT > sizes[-1] // 2


def test_each_failure_offers_a_fifth_more_and_the_fifth_is_the_last() -> None:
    node = FakeNode(channel(0, 0.1), channel(1, 0.9))
    node.route_ppm = 4_000
    policy = LnOperatorBudget(LnOperator())
    runs(node, 20.0, policy)
    assert [most for *_, most, _ in node.tried] == [500, 600, 700, 800, 900]
    assert {why for *_, why in node.tried} == {NO_CHEAP_ROUTE}
    # Traffic brings it back: then it counts anew.
    node.balance(0, 0.3)
    run(policy, node, 2 * HOUR_S)
    node.balance(0, 0.1)
    run(policy, node, 2 * HOUR_S)
    assert [most for *_, most, _ in node.tried[5:]] == [500]


def test_the_next_budget_is_what_was_paid_last() -> None:
    node = FakeNode(channel(0, 0.1), channel(1, 0.9))
    node.route_ppm = 137
    policy = LnOperatorBudget(LnOperator())
    runs(node, policy=policy)
    node.balance(0, 0.1)
    node.balance(1, 0.9)
    run(policy, node, 2 * HOUR_S)
    assert [most for *_, most, _ in node.tried] == [500, 137]


def test_without_a_source_nothing_has_failed() -> None:
    node = FakeNode(channel(0, 0.1), channel(1, 0.5))
    policy = LnOperatorBudget(LnOperator())
    runs(node, 24.0, policy)
    assert node.tried == []
    node.balance(1, 0.9)
    run(policy, node, 2 * HOUR_S)
    assert [most for *_, most, _ in node.tried] == [500]


def test_a_success_ends_the_rise() -> None:
    node = FakeNode(channel(0, 0.1), channel(1, 0.9))
    node.route_ppm = 590
    policy = LnOperatorBudget(LnOperator())
    runs(node, 4.0, policy)
    node.balance(0, 0.1)
    node.balance(1, 0.9)
    run(policy, node, 2 * HOUR_S)
    assert [most for *_, most, _ in node.tried] == [500, 600, 590]


def test_what_was_not_tried_has_not_failed() -> None:
    node = FakeNode(channel(0, 0.1), channel(1, 0.9))
    node.busy = True
    policy = LnOperatorBudget(LnOperator())
    runs(node, 14.0, policy)
    assert [most for *_, most, _ in node.tried] == [500] * 7


def test_a_peer_does_not_refill_itself() -> None:
    node = FakeNode(channel(0, 0.1), replace(channel(1, 0.9), peer_id="peer0"))
    runs(node)
    assert node.tried == []


def test_what_was_sold_limits_the_budget() -> None:
    node = FakeNode(channel(0, 0.1), channel(1, 0.9))
    policy = LnOperatorBudget(LnOperator())
    policy.settled(forward(node.now_s, out_index=0, sat=2_000_000, ppm=40), node)
    runs(node, policy=policy)
    assert [most for *_, most, _ in node.tried] == [50]


# -- the floor under the fee -----------------------------------------------------------------------


def test_the_floor() -> None:
    assert floor_ppm(800.0, 0.0) == floor_ppm(800.0, 3 * DAY_S) == pytest.approx(880.0)
    assert floor_ppm(800.0, 6 * DAY_S) == pytest.approx(25.0 + 855.0 / 2)
    assert floor_ppm(800.0, 60 * DAY_S) == pytest.approx(25.0, abs=1.0)
    assert floor_ppm(10.0, 60 * DAY_S) == pytest.approx(11.0), "it does not rise towards 25"


def test_a_refill_holds_the_fee_above_what_it_cost() -> None:
    node = FakeNode(channel(0, 0.5))
    fees = LnOperator()
    fees.begin(node)
    assert node.ppm() == sigmoid_ppm(0.5)
    fees.refilled(1, 0, Moved(1_000_000 * SAT, 800 * SAT, ""), node)
    run(fees, node, 2 * HOUR_S)
    assert node.ppm() == 880
    # Idle for three days it still holds; from there it falls by half in three days.
    run(fees, node, 3 * DAY_S - 2 * HOUR_S)
    assert node.ppm() == 880
    run(fees, node, 3 * DAY_S)
    assert node.ppm() == pytest.approx(25 + 855 / 2, rel=0.05)
    # Traffic holds it up again.
    fees.settled(forward(node.now_s, out_index=0), node)
    run(fees, node, 8 * HOUR_S)
    assert node.ppm() == 880


def test_the_pair_tells_the_fee_rule_of_its_refills() -> None:
    node = FakeNode(channel(0, 0.1), channel(1, 0.9))
    node.route_ppm = 490
    fees = LnOperator()
    fees.begin(node)
    runs(node, policy=LnOperatorBudget(fees))
    run(fees, node, 2 * HOUR_S)
    assert node.ppm(0) == 539
    assert node.ppm(1) == sigmoid_ppm(0.5)
