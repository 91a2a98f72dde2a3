"""The plan of a job: its order, an amount of its own, what is reserved, and how it is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.rebalance import plan as plans
from cl_revenue_ops.domain.rebalance.facts import Pair
from cl_revenue_ops.domain.rebalance.plan import BY_HAND, NoPlan, Plan, order_of, own_amount
from messages.channels import ChannelFact
from messages.rebalance import JobOrder

SAT = 1_000
MUCH_MSAT = 10**12


def fact(name: str, local_sat: int = 1_500_000) -> ChannelFact:
    return ChannelFact(
        name * 64, "02" + name * 64, "CHANNELD_NORMAL", True, True, scid=f"{name}x1x1",
        local_msat=local_sat * SAT, capacity_msat=2_000_000 * SAT, our_reserve_msat=20_000 * SAT,
    )  # fmt: skip


def pair(amount_sat: int = 400_000, payment_sat: int = 100_000, max_ppm: int = 500) -> Pair:
    reserve = -(-amount_sat * SAT * max_ppm // 1_000_000)
    return Pair(
        "1" * 64, "2" * 64, amount_sat * SAT, payment_sat * SAT, max_ppm, reserve,
        900_000, 100_000, 50_000, 0.5, 300_000, None, {"pi_there_ppm": 1.5, "words": "a"},
    )  # fmt: skip


def order(chosen: Pair, free_msat: int = MUCH_MSAT, used: tuple[int, ...] = ()) -> JobOrder:
    return order_of(chosen, "r7", 7, fact("1"), fact("2"), used, free_msat)


@given(
    amount=st.integers(1, 2_000_000),
    parts=st.integers(1, 8),
    max_ppm=st.integers(0, 50_000),
    number=st.integers(1, 10**6),
    free=st.integers(0, 10**9),
)
def test_b11_an_order_moves_whole_satoshis_and_no_more_than_chosen_or_free(
    amount: int, parts: int, max_ppm: int, number: int, free: int
) -> None:
    chosen = pair(amount, max(1, amount // parts), max_ppm)
    try:
        made = order_of(chosen, "r1", number, fact("1"), fact("2"), (), free)
    except NoPlan:
        return
    plan = Plan(made, chosen, ("a", "b"), BY_HAND)
    assert made.payment_msat % SAT == 0 < made.payment_msat
    assert made.total_msat % made.payment_msat == 0
    assert 0 < made.total_msat <= chosen.amount_msat
    count = made.total_msat // made.payment_msat
    each = -(-made.payment_msat * max_ppm // 1_000_000)
    assert plan.dearest_msat == count * each
    assert plan.reserve_msat == (count + plans.SPARE_PAYMENTS) * each <= free


@pytest.mark.parametrize("paid_ppm", [0, 250, 500])
def test_the_floor_of_the_source_lets_all_wanted_payments_begin_and_no_more(paid_ppm: int) -> None:
    made = order(pair())
    sent_msat = made.payment_msat + made.payment_msat * paid_ppm // 1_000_000
    dearest_msat = made.payment_msat + made.payment_msat * made.max_ppm // 1_000_000
    local_msat, begun = 1_500_000 * SAT, 0
    while local_msat > made.keep_msat + dearest_msat:
        local_msat, begun = local_msat - sent_msat, begun + 1
    assert begun == 4


def test_an_order_takes_as_many_payments_as_the_budget_covers_with_the_spare_ones() -> None:
    assert order(pair(), 9 * 50_000).total_msat // order(pair()).payment_msat == 4
    assert order(pair(), 7 * 50_000).total_msat // order(pair()).payment_msat == 2
    small = order(pair(), 3 * 50_000)
    assert small.total_msat == small.payment_msat < 50_000 * SAT
    with pytest.raises(NoPlan, match="that may happen 6 times"):
        order(pair(), 29_000)


@given(st.lists(st.integers(1, 499), unique=True, max_size=80), st.integers(0, 10**6))
def test_an_amount_is_no_other_jobs(taken: list[int], number: int) -> None:
    used = [(250_000 - offset) * SAT for offset in taken]
    amount = own_amount(250_000 * SAT, number, used)
    assert amount not in used
    assert (250_000 - 499) * SAT <= amount < 250_000 * SAT


def test_where_all_amounts_are_taken_there_is_no_plan() -> None:
    used = frozenset(sat * SAT for sat in range(100_000))
    with pytest.raises(NoPlan, match="no amount just below"):
        own_amount(50_000 * SAT, 3, used)


@pytest.mark.parametrize("wanted_sat", [1, 2, 19, 20, 21])
def test_tiny_amounts_are_left_as_they_are_or_nearly(wanted_sat: int) -> None:
    assert 0 < own_amount(wanted_sat * SAT, 5, ()) <= wanted_sat * SAT


def test_a_plan_comes_back_from_its_text_as_it_was() -> None:
    plan = Plan(order(pair()), pair(), ("02aa", "03bb"), BY_HAND, True)
    assert plans.unpack(plans.pack(plan)) == plan


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"order": {}, "pair": {}}'])
def test_anything_else_is_no_plan(text: str) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        plans.unpack(text)
