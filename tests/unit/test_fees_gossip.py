"""Is a change worth gossip: not identical, not small, few a day, with a gain; who is exempt."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.fees import gossip
from cl_revenue_ops.domain.fees.facts import Fee, FeeParameters
from cl_revenue_ops.domain.fees.gossip import Gossip
from cl_revenue_ops.domain.fees.wording import Reason, reason
from tests.unit.fees_support import DAY_S, NOW, fees

P = FeeParameters()
EMERGENCY = reason("congestion_enter")
gains = st.none() | st.floats(0.0, 1e9)


def weigh(
    seen: Fee,
    wanted: Fee,
    emergency: Reason | None = None,
    updates: int = 0,
    gain_msat: float | None = None,
    p: FeeParameters = P,
) -> Gossip:
    return gossip.weigh(seen, wanted, emergency, updates, lambda: gain_msat, p)


@given(fee=fees, updates=st.integers(0, 40), gain=gains)
def test_an_identical_fee_is_never_sent_not_even_in_an_emergency(
    fee: Fee, updates: int, gain: float | None
) -> None:
    for emergency in (None, EMERGENCY):
        assert not weigh(fee, fee, emergency, updates, gain).broadcast


@given(seen=fees, wanted=fees, updates=st.integers(0, 40), gain=gains, budget=st.integers(0, 48))
def test_what_is_sent_is_no_small_change_within_the_budget_and_worth_its_gain(
    seen: Fee, wanted: Fee, updates: int, gain: float | None, budget: int
) -> None:
    weighed = weigh(seen, wanted, None, updates, gain, replace(P, fee_updates_per_day=budget))
    if weighed.broadcast:
        assert abs(wanted.ppm - seen.ppm) * 20 >= seen.ppm
        assert wanted.ppm != seen.ppm
        assert updates < budget
        assert gain is None or gain >= 100.0 or not updates
    assert weighed.reason.text


@given(seen=st.integers(1, 100_000), percent=st.integers(5, 300), up=st.booleans())
def test_five_percent_or_more_is_sent_up_to_the_last_update_of_the_budget(
    seen: int, percent: int, up: bool
) -> None:
    move = -(-seen * percent // 100)
    wanted = seen + move if up else max(0, seen - move)
    assert weigh(Fee(seen, 0), Fee(wanted, 0), updates=P.fee_updates_per_day - 1).broadcast


@pytest.mark.parametrize(("seen", "wanted"), [(20, 21), (60, 63), (140, 147), (140, 133)])
def test_exactly_five_percent_is_enough(seen: int, wanted: int) -> None:
    assert weigh(Fee(seen, 0), Fee(wanted, 0)).broadcast


@pytest.mark.parametrize(("seen", "wanted"), [(1000, 1049), (1000, 951), (10_000, 10_499)])
def test_just_below_five_percent_is_not(seen: int, wanted: int) -> None:
    assert not weigh(Fee(seen, 0), Fee(wanted, 0)).broadcast


def test_from_zero_any_change_is_a_change() -> None:
    assert weigh(Fee(0, 0), Fee(1, 0)).broadcast
    assert weigh(Fee(0, 0), Fee(1, 0), updates=P.fee_updates_per_day - 1).broadcast
    coarse = FeeParameters(hysteresis=2.0)
    assert weigh(Fee(0, 0), Fee(1, 0), p=coarse).broadcast
    assert not weigh(Fee(1, 0), Fee(2, 0), p=coarse).broadcast


@given(budget=st.integers(0, 48), updates=st.integers(0, 60), wanted=st.integers(200, 10**6))
def test_the_budget_of_a_day_is_hard_for_any_change_but_an_emergency(
    budget: int, updates: int, wanted: int
) -> None:
    p = replace(P, fee_updates_per_day=budget)
    weighed = weigh(Fee(100, 0), Fee(wanted, 0), None, updates, 1e9, p)
    assert weighed.broadcast is (updates < budget)
    if not weighed.broadcast:
        assert weighed.reason.code == "budget_spent"
        assert weighed.reason.text.startswith(f"{updates} updates of the channel in a day")
    urgent = weigh(Fee(100, 0), Fee(wanted, 0), EMERGENCY, updates, 0.0, p)
    assert (urgent.broadcast, urgent.reason) == (True, EMERGENCY)


@pytest.mark.parametrize(
    ("gain_msat", "sent"), [(0.0, False), (99.9, False), (100.0, True), (1e6, True), (None, True)]
)
def test_an_update_that_promises_too_little_is_not_sent_where_anything_is_known_of_that(
    gain_msat: float | None, sent: bool
) -> None:
    weighed = weigh(Fee(100, 0), Fee(300, 0), updates=1, gain_msat=gain_msat)
    assert weighed.broadcast is sent
    assert weighed.reason.code == ("worth_gossip" if sent else "small_gain")
    assert weigh(Fee(100, 0), Fee(300, 0), EMERGENCY, 1, gain_msat).broadcast
    assert weigh(Fee(100, 0), Fee(300, 0), gain_msat=gain_msat).broadcast, "the first of a day"
    free = replace(P, least_gain_msat=0.0)
    assert weigh(Fee(100, 0), Fee(300, 0), updates=1, gain_msat=gain_msat, p=free).broadcast


def test_a_small_gain_says_how_small() -> None:
    held = weigh(Fee(100, 0), Fee(300, 0), updates=1, gain_msat=41.27)
    assert "promises 41.3 msat until the next draw, less than the 100 msat" in held.reason.text


def test_b07_no_wording_of_a_decision_can_pass_the_gate_only_numbers_can() -> None:
    """The earlier gate let an update through whenever the decision's label had changed."""
    held = weigh(Fee(100, 0), Fee(104, 0))
    assert not held.broadcast
    assert held.reason.code == "small_change"


def test_a_base_fee_alone_waits_for_the_next_change_of_ppm() -> None:
    held = weigh(Fee(100, 1000), Fee(100, 0))
    assert (held.broadcast, held.reason.code) == (False, "base_waits")
    assert weigh(Fee(100, 1000), Fee(100, 0), reason("pin")).broadcast


def test_only_the_last_day_counts_and_memory_is_bounded() -> None:
    updates = [NOW - DAY_S, NOW - DAY_S + 1, NOW - 5, NOW, NOW + 60]
    assert gossip.recent(updates, NOW) == (NOW - DAY_S + 1, NOW - 5, NOW)
    assert len(gossip.recent([NOW - i for i in range(100)], NOW)) == gossip.MOST_REMEMBERED
