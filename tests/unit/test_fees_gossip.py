"""Hysteresis: nothing identical, nothing small, a few a day; emergencies are exempt by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.fees import gossip
from cl_revenue_ops.domain.fees.facts import Fee, FeeParameters
from cl_revenue_ops.domain.fees.wording import reason
from tests.unit.fees_support import DAY_S, NOW, fees

P = FeeParameters()
EMERGENCY = reason("congestion_enter")


@given(fee=fees, updates=st.integers(0, 40))
def test_an_identical_fee_is_never_sent_not_even_in_an_emergency(fee: Fee, updates: int) -> None:
    for emergency in (None, EMERGENCY):
        assert not gossip.weigh(fee, fee, emergency, updates, P).broadcast


@given(seen=fees, wanted=fees, updates=st.integers(0, 40))
def test_a_change_below_five_percent_is_never_sent(seen: Fee, wanted: Fee, updates: int) -> None:
    weighed = gossip.weigh(seen, wanted, None, updates, P)
    if weighed.broadcast:
        assert abs(wanted.ppm - seen.ppm) * 20 >= seen.ppm
        assert wanted.ppm != seen.ppm
    assert weighed.reason.text


@given(seen=st.integers(1, 100_000), percent=st.integers(5, 300), up=st.booleans())
def test_five_percent_or_more_is_sent_while_updates_are_few(
    seen: int, percent: int, up: bool
) -> None:
    move = -(-seen * percent // 100)
    wanted = seen + move if up else max(0, seen - move)
    assert gossip.weigh(Fee(seen, 0), Fee(wanted, 0), None, P.free_updates_a_day, P).broadcast


@pytest.mark.parametrize(("seen", "wanted"), [(20, 21), (60, 63), (140, 147), (140, 133)])
def test_exactly_five_percent_is_enough(seen: int, wanted: int) -> None:
    assert gossip.weigh(Fee(seen, 0), Fee(wanted, 0), None, 0, P).broadcast


@pytest.mark.parametrize(("seen", "wanted"), [(1000, 1049), (1000, 951), (10_000, 10_499)])
def test_just_below_five_percent_is_not(seen: int, wanted: int) -> None:
    assert not gossip.weigh(Fee(seen, 0), Fee(wanted, 0), None, 0, P).broadcast


def test_from_zero_any_change_is_a_change() -> None:
    assert gossip.weigh(Fee(0, 0), Fee(1, 0), None, 0, P).broadcast
    assert gossip.weigh(Fee(0, 0), Fee(1, 0), None, 40, P).broadcast


def test_after_a_few_updates_in_a_day_only_larger_changes_are_worth_gossip() -> None:
    needed = [gossip.needed_change(updates, P) for updates in range(9)]
    assert needed == pytest.approx([0.05] * 5 + [0.1, 0.2, 0.4, 0.8])
    assert not gossip.weigh(Fee(100, 0), Fee(115, 0), None, 6, P).broadcast
    assert gossip.weigh(Fee(100, 0), Fee(115, 0), EMERGENCY, 6, P).broadcast


def test_b07_no_wording_of_a_decision_can_pass_the_gate_only_numbers_can() -> None:
    """The earlier gate let an update through whenever the decision's label had changed."""
    held = gossip.weigh(Fee(100, 0), Fee(104, 0), None, 0, P)
    assert not held.broadcast
    assert held.reason.code == "small_change"


def test_a_base_fee_alone_waits_for_the_next_change_of_ppm() -> None:
    held = gossip.weigh(Fee(100, 1000), Fee(100, 0), None, 0, P)
    assert (held.broadcast, held.reason.code) == (False, "base_waits")
    assert gossip.weigh(Fee(100, 1000), Fee(100, 0), reason("pin"), 0, P).broadcast


def test_only_the_last_day_counts_and_memory_is_bounded() -> None:
    updates = [NOW - DAY_S, NOW - DAY_S + 1, NOW - 5, NOW, NOW + 60]
    assert gossip.recent(updates, NOW) == (NOW - DAY_S + 1, NOW - 5, NOW)
    assert len(gossip.recent([NOW - i for i in range(100)], NOW)) == gossip.MOST_REMEMBERED
