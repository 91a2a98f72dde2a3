"""Congestion needs two samples to begin and a clear fall to end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.fees.congestion import sample, slot_share
from cl_revenue_ops.domain.fees.facts import CongestionState, FeeParameters

P = FeeParameters()
CALM = CongestionState()


def after(*used: int, slots: int = 100, p: FeeParameters = P) -> list[bool]:
    state, active = CALM, []
    for at_s, count in enumerate(used, start=1):
        state = sample(state, count, slots, float(at_s), p)
        active.append(state.active)
    return active


def test_one_sample_above_is_not_congestion_two_running_are() -> None:
    assert after(81, 10, 81, 81, 81) == [False, False, False, True, True]


def test_the_threshold_itself_is_not_above_it() -> None:
    assert after(80, 80, 80) == [False, False, False]


def test_it_stays_until_below_three_quarters_of_the_threshold() -> None:
    assert after(90, 90, 79, 61, 60, 59, 61, 79) == [
        False, True, True, True, True, False, False, False,
    ]  # fmt: skip


def test_the_same_reading_told_twice_is_one_sample() -> None:
    once = sample(CALM, 90, 100, 5.0, P)
    assert sample(once, 90, 100, 5.0, P) == once
    assert sample(once, 90, 100, 6.0, P).active


def test_a_clock_that_was_set_back_does_not_stop_the_samples() -> None:
    once = sample(CALM, 90, 100, 5.0, P)
    assert sample(once, 90, 100, 4.0, P).active


def test_without_slots_nothing_is_congested() -> None:
    assert slot_share(5, 0) == 0.0
    assert after(5, 5, 5, slots=0) == [False] * 3


@given(
    used=st.lists(st.integers(0, 100), max_size=30),
    threshold=st.floats(0.0, 1.0),
)
def test_empty_slots_always_end_it(used: list[int], threshold: float) -> None:
    p = FeeParameters(htlc_congestion_threshold=threshold)
    assert after(*used, 0, p=p)[-1] is False
