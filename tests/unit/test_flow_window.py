"""The hourly window: nothing lost within it, nothing kept beyond it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.flow_window import (
    HOUR_S,
    HourBucket,
    Settled,
    Window,
    collect,
    extend,
    from_flat,
    merge,
    to_flat,
    totals,
)

NOW = 1_700_000_000.0
DAY_S = 86_400

ages = st.integers(0, 40 * DAY_S)
forwards = st.lists(
    st.builds(
        lambda age, out, msat: Settled(NOW - age, out, msat),
        ages,
        st.booleans(),
        st.integers(1, 10**11),
    ),
    max_size=60,
)


def hour_age(at_s: float) -> int:
    return int(NOW // HOUR_S) - int(at_s // HOUR_S)


@given(forwards=forwards, days=st.integers(1, 31))
def test_the_sums_are_those_of_the_forwards_within_the_window(
    forwards: list[Settled], days: int
) -> None:
    window = extend((), collect(forwards), NOW, days)
    within = [f for f in forwards if hour_age(f.at_s) < days * 24]
    sums = totals(window, NOW, days)
    assert sums.out_msat == sum(f.amount_msat for f in within if f.outgoing)
    assert sums.in_msat == sum(f.amount_msat for f in within if not f.outgoing)
    assert sums.in_count + sums.out_count == len(within)


@given(pieces=st.lists(forwards, max_size=6), days=st.integers(1, 90))
def test_however_it_is_told_the_window_is_the_same_and_bounded(
    pieces: list[list[Settled]], days: int
) -> None:
    window: Window = ()
    for piece in pieces:
        window = extend(window, collect(piece), NOW, days)
    at_once = extend((), collect([f for piece in pieces for f in piece]), NOW, days)
    assert window == at_once
    assert len(window) <= min(days, 31) * 24
    assert [b.hour for b in window] == sorted({b.hour for b in window})


def test_the_window_never_outgrows_31_days_over_years() -> None:
    window: Window = ()
    for hour in range(24 * 400):
        now = NOW + hour * HOUR_S
        window = extend(window, collect([Settled(now, True, 1000)]), now, 90)
    assert len(window) == 31 * 24


def test_after_the_clock_was_set_back_nothing_is_kept_for_ever() -> None:
    ahead = extend((), collect([Settled(NOW + 900 * DAY_S, True, 5)]), NOW + 900 * DAY_S, 7)
    back = extend(ahead, (), NOW, 7)
    assert totals(back, NOW, 7).out_msat == 5
    assert extend(back, (), NOW + 8 * DAY_S, 7) == ()


@given(forwards=forwards)
def test_flat_round_trip_through_json(forwards: list[Settled]) -> None:
    window = collect(forwards)
    assert from_flat(json.loads(json.dumps(to_flat(window)))) == window


def test_a_torn_row_is_refused() -> None:
    with pytest.raises(ValueError, match="buckets"):
        from_flat((1, 2, 3))


def test_merge_adds_equal_hours() -> None:
    assert merge(
        [HourBucket(5, 1, 10, 0, 0), HourBucket(4, 0, 0, 1, 7), HourBucket(5, 1, 2, 3, 4)]
    ) == (
        HourBucket(4, 0, 0, 1, 7),
        HourBucket(5, 2, 12, 3, 4),
    )
