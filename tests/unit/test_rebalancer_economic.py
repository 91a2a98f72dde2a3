"""rebalance-lnd's economic rule against its published formula."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.bench.baselines import BASELINES
from cl_revenue_ops.bench.policy import NO_CHEAP_ROUTE
from cl_revenue_ops.bench.rebalancers.economic import (
    Economic,
    allowed_ppm,
    income_msat,
    missed_msat,
    wanted_msat,
)
from tests.unit.baseline_support import HOUR_S, SAT, FakeNode, channel, run

MILLION = 1_000_000 * SAT


def economic() -> Economic:
    return Economic(BASELINES["static"](1))


def hour(node: FakeNode) -> None:
    policy = economic()
    policy.begin(node)
    run(policy, node, HOUR_S)


def test_what_a_route_may_cost() -> None:
    dest, source = channel(0, ppm=700, base_msat=1_000), channel(1, ppm=200, base_msat=500)
    assert income_msat(dest, MILLION) == 701_000
    assert missed_msat(source, MILLION) == 200_500
    assert allowed_ppm(source, dest, MILLION) == 500  # 0.5005 msat a sat, rounded down
    assert allowed_ppm(dest, source, MILLION) < 0


def test_income_is_counted_up_to_two_thousand_ppm() -> None:
    assert income_msat(channel(ppm=9_000), MILLION) == 2_000_000
    assert missed_msat(channel(ppm=9_000), MILLION) == 9_000_000


@given(st.integers(0, 5_000), st.integers(0, 5_000), st.integers(10_000 * SAT, 10**12))
def test_a_move_never_costs_more_than_it_would_bring(p_out: int, p_in: int, amount: int) -> None:
    dest, source = channel(0, ppm=p_out), channel(1, ppm=p_in)
    cost_msat = amount * max(0, allowed_ppm(source, dest, amount)) // 10**6
    assert cost_msat <= max(0, income_msat(dest, amount) - missed_msat(source, amount))


def test_either_side_should_have_a_million_or_half_of_a_small_channel() -> None:
    assert wanted_msat(channel()) == MILLION
    assert wanted_msat(channel(capacity_msat=MILLION)) == MILLION // 2


def test_it_fills_up_to_a_million_and_leaves_the_source_one() -> None:
    node = FakeNode(channel(0, 0.04, ppm=500), channel(1, 0.9))
    hour(node)
    assert node.tried == [(1, 0, MILLION * 6 // 10, 300, "")]
    node = FakeNode(channel(0, 0.0, ppm=500), channel(1, 0.12))
    hour(node)
    assert node.tried == [(1, 0, MILLION * 2 // 10, 300, "")]


def test_a_source_that_sells_dearer_gives_nothing() -> None:
    node = FakeNode(channel(0, 0.04, ppm=500), channel(1, 0.9, ppm=500))
    hour(node)
    assert node.tried == []


def test_what_is_enough_is_left_alone() -> None:
    node = FakeNode(channel(0, 0.1, ppm=900), channel(1, 0.9))
    hour(node)
    node.balance(0, 0.0995)  # less than the least amount of 10,000 sat is lacking
    hour(node)
    assert node.tried == []


def test_the_source_that_would_miss_least_comes_first_and_the_next_after_it() -> None:
    node = FakeNode(
        channel(0, 0.04, ppm=500), channel(1, 0.9, ppm=90), channel(2, 0.9, ppm=60),
        channel(3, 0.05, ppm=1), replace(channel(4, 0.9, ppm=1), peer_id="peer0"),
    )  # fmt: skip
    node.routes = {(2, 0): 441}
    hour(node)
    first, second = node.tried[:2]
    assert first == (2, 0, MILLION * 6 // 10, 440, NO_CHEAP_ROUTE)
    assert second == (1, 0, MILLION * 6 // 10, 410, "")


def test_what_finds_no_room_is_halved_and_what_is_too_dear_is_not() -> None:
    node = FakeNode(channel(0, 0.0, ppm=500), channel(1, 0.9))
    node.room_msat = MILLION // 4
    hour(node)
    assert [msat for _, _, msat, _, _ in node.tried] == [MILLION, MILLION // 2, MILLION // 4]
    node = FakeNode(channel(0, 0.0, ppm=500), channel(1, 0.9))
    node.route_ppm = 301
    hour(node)
    assert len(node.tried) == 1


def test_it_gives_up_at_ten_thousand_sat() -> None:
    node = FakeNode(channel(0, 0.0, ppm=500), channel(1, 0.9))
    node.room_msat = 0
    hour(node)
    sizes = [msat for _, _, msat, _, _ in node.tried]
    assert min(sizes) >= 10_000 * SAT > min(sizes) // 2


def test_a_dozen_payments_are_enough() -> None:
    node = FakeNode(channel(0, 0.0, ppm=500), *(channel(k, 0.9, ppm=k) for k in range(1, 9)))
    node.room_msat = 0
    hour(node)
    assert [source for source, *_ in node.tried] == [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4]


def test_the_emptiest_is_filled_first() -> None:
    node = FakeNode(channel(0, 0.05, ppm=500), channel(1, 0.01, ppm=500), channel(2, 0.12))
    hour(node)
    assert [dest for _, dest, _ in node.arrived] == [1]
