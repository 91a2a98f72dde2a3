"""Which time was watched: exposure adds up, gaps stay unwatched, nothing is lost in storage."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain import watch
from cl_revenue_ops.domain.flow_exposure import Carrying
from cl_revenue_ops.domain.watch import GAP_S, Watch

BOTH, NEITHER, OUT_ONLY = Carrying(True, True), Carrying(False, False), Carrying(False, True)


def test_time_between_two_good_readings_is_exposure() -> None:
    seen = watch.read(watch.read(Watch(), {"a": BOTH}, 1_000.0), {"a": BOTH}, 1_600.0)
    stretches, _ = watch.close(seen, 1_600.0)
    assert [tuple(s.exposure["a"]) for s in stretches] == [(600.0, 600.0)]


def test_a_channel_that_cannot_carry_gathers_no_exposure() -> None:
    seen = watch.read(watch.read(Watch(), {"a": OUT_ONLY}, 0.0), {"a": OUT_ONLY}, 500.0)
    (stretch,), _ = watch.close(seen, 500.0)
    assert tuple(stretch.exposure["a"]) == (0.0, 500.0)


def test_half_of_an_interval_counts_where_the_readings_differ() -> None:
    seen = watch.read(watch.read(Watch(), {"a": BOTH}, 0.0), {"a": NEITHER}, 400.0)
    (stretch,), _ = watch.close(seen, 400.0)
    assert tuple(stretch.exposure["a"]) == (200.0, 200.0)


def test_a_gap_is_a_stretch_of_its_own_that_nobody_watched() -> None:
    seen = watch.read(watch.read(Watch(), {"a": BOTH}, 0.0), {"a": BOTH}, 600.0)
    seen = watch.read(seen, {"a": BOTH}, 600.0 + GAP_S + 1.0)
    seen = watch.read(seen, {"a": BOTH}, 600.0 + GAP_S + 101.0)
    stretches, _ = watch.close(seen, 600.0 + GAP_S + 101.0)
    assert [s.end_s for s in stretches] == [600.0, 600.0 + GAP_S + 1.0, 600.0 + GAP_S + 101.0]
    assert [s.exposure.get("a", watch.Exposure()).out_s for s in stretches] == [600.0, 0.0, 100.0]


def test_a_quick_restart_is_no_gap() -> None:
    seen = watch.read(Watch(), {"a": BOTH}, 0.0)
    seen = watch.from_row(json.loads(json.dumps(watch.to_row(seen))))
    seen = watch.read(seen, {"a": BOTH}, GAP_S)
    (stretch,), _ = watch.close(seen, GAP_S)
    assert stretch.exposure["a"].out_s == GAP_S


def test_a_new_channel_is_watched_from_its_first_reading_on() -> None:
    seen = watch.read(watch.read(Watch(), {}, 0.0), {"a": BOTH}, 100.0)
    seen = watch.read(seen, {"a": BOTH}, 150.0)
    (stretch,), _ = watch.close(seen, 150.0)
    assert tuple(stretch.exposure["a"]) == (50.0, 50.0)


def test_what_was_closed_is_not_counted_again() -> None:
    seen = watch.read(Watch(), {"a": BOTH}, 0.0)
    first, rest = watch.close(seen, 300.0)
    second, _ = watch.close(rest, 500.0)
    assert [first[0].exposure["a"].out_s, second[0].exposure["a"].out_s] == [300.0, 200.0]


READINGS = st.lists(
    st.tuples(st.floats(0.0, 4_000.0), st.sampled_from([BOTH, NEITHER, OUT_ONLY])), max_size=20
)


@given(readings=READINGS)
def test_exposure_never_exceeds_the_time_that_passed(
    readings: list[tuple[float, Carrying]],
) -> None:
    seen, at_s = Watch(), 0.0
    for delay_s, carrying in readings:
        at_s += delay_s
        seen = watch.read(seen, {"a": carrying}, at_s)
    stretches, _ = watch.close(seen, at_s)
    total = sum(s.exposure.get("a", watch.Exposure()).out_s for s in stretches)
    assert total <= at_s + 1e-6
    assert [s.end_s for s in stretches] == sorted(s.end_s for s in stretches)


@given(readings=READINGS)
def test_a_watch_survives_storage_exactly(readings: list[tuple[float, Carrying]]) -> None:
    seen, at_s = Watch(), 0.0
    for delay_s, carrying in readings:
        at_s += delay_s
        seen = watch.read(seen, {"a": carrying}, at_s)
    assert watch.from_row(json.loads(json.dumps(watch.to_row(seen)))) == seen


@pytest.mark.parametrize(("at_s", "number"), [(5.0, 0), (10.0, 0), (10.1, 1), (25.0, 1)])
def test_a_moment_belongs_to_the_first_stretch_that_reaches_it(at_s: float, number: int) -> None:
    stretches = (watch.Stretch(10.0, {}), watch.Stretch(20.0, {}))
    assert watch.stretch_of(stretches, at_s) == number
