"""What is left alone after failures, for how long, and what ends that."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.rebalance.breaker import (
    COOL_S,
    DEAR_S,
    FUTILE,
    MOST_COOL_S,
    MOST_REST_S,
    REST_S,
    Breakers,
)
from tests.unit.rebalance_support import DAY_S, HOUR_S, NOW


def after(failures: int, source: str = "a", channel_id: str = "b") -> Breakers:
    found = Breakers()
    for _ in range(failures):
        found.failed(source, channel_id, NOW)
    return found


def test_ten_failures_open_it_from_whatever_sources_and_nine_do_not() -> None:
    found = Breakers()
    for number in range(9):
        found.failed(f"s{number}", "b", NOW)
    assert found.open_until_s("b") is None
    assert found.refusal("new", "b", NOW) is None
    found.failed("s9", "b", NOW)
    assert found.open_until_s("b") == NOW + COOL_S == NOW + DAY_S
    assert found.refusal("new", "b", NOW) == "futile: 10 jobs moved nothing; next try in 24 h"
    assert found.refusal("new", "c", NOW) is None


def test_after_the_cool_down_one_is_tried_and_the_next_is_twice_as_long_up_to_two_weeks() -> None:
    found, at_s, lengths = after(FUTILE), NOW, []
    for _ in range(14):
        until_s = found.open_until_s("b")
        assert until_s is not None
        assert found.refusal("new", "b", until_s - 1.0) is not None
        assert found.refusal("new", "b", until_s) is None
        lengths.append((until_s - at_s) / DAY_S)
        at_s = until_s
        found.failed("a", "b", at_s)
    assert lengths == [1, 2, 4, 8, *[14] * 10]


def test_a_success_clears_the_channel_and_the_pair() -> None:
    found = after(FUTILE + 3)
    found.failed("c", "b", NOW)
    found.moved("a", "b")
    assert found.open_until_s("b") is None
    assert found.refusal("a", "b", NOW) is None
    assert found.refusal("c", "b", NOW) is not None, "another pair rests on"


def test_a_pair_rests_longer_after_each_failure_and_others_do_not() -> None:
    for failures, rest_s in ((1, REST_S), (2, 2 * REST_S), (3, 4 * REST_S), (9, MOST_REST_S)):
        found = after(failures)
        assert found.refusal("a", "b", NOW + rest_s - 1.0) is not None
        assert found.refusal("a", "b", NOW + rest_s) is None
        assert found.refusal("c", "b", NOW) is None
    assert after(2).refusal("a", "b", NOW) == "rests after 2 failures in a row, 60 min more"


def test_a_price_of_the_hour_is_learned_once() -> None:
    found = Breakers()
    assert found.too_dear("a", "b", 100, NOW)
    assert not found.too_dear("a", "b", 100, NOW + DEAR_S - 1.0)
    assert found.too_dear("a", "b", 100, NOW + DEAR_S), "the hour began with what was learned"
    assert found.too_dear("c", "b", 100, NOW + 1.0)
    assert found.too_dear("a", "b", 101, NOW + DEAR_S + 1.0), "a higher price is another question"
    assert found.too_dear("a", "c", 100, NOW + 1.0)


def test_what_was_too_dear_is_asked_again_in_an_hour_and_is_no_failure() -> None:
    found = Breakers()
    for hour in range(FUTILE + 2):
        found.too_dear("a", "b", 100, NOW + hour * DEAR_S)
    last_s = NOW + (FUTILE + 1) * DEAR_S
    assert found.refusal("a", "b", last_s + 60.0, 90) == (
        "no route was to be had for 90 ppm lately; asked again in 59 min"
    )
    assert found.refusal("a", "b", last_s + 60.0, 101) is None, "a higher price may have one"
    assert found.refusal("a", "b", last_s + 60.0) is None
    assert found.refusal("a", "b", last_s + DEAR_S, 90) is None
    assert found.refusal("c", "b", last_s, 90) is None
    assert found.open_until_s("b") is None


@given(st.integers(0, 60), st.integers(-400 * 86_400, 400 * 86_400))
def test_law_nothing_is_left_alone_for_longer_than_two_weeks_nor_by_a_clock_set_back(
    failures: int, later_s: int
) -> None:
    found = after(failures)
    found.too_dear("a", "b", 100, NOW)
    if not 0.0 <= later_s < MOST_COOL_S:
        assert found.refusal("a", "b", NOW + later_s, 100) is None


EVENTS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("bcd"), st.sampled_from("fmd")))


@given(EVENTS)
def test_law_all_comes_back_exactly_and_what_is_gone_is_forgotten(
    events: list[tuple[str, str, str]],
) -> None:
    found = Breakers()
    for number, (source, channel_id, what) in enumerate(events):
        if what == "f":
            found.failed(source, channel_id, NOW + number / 3.0)
        elif what == "m":
            found.moved(source, channel_id)
        else:
            found.too_dear(source, channel_id, 10 * number, NOW + number * HOUR_S / 7.0)
    assert Breakers.from_row(json.loads(json.dumps(found.to_row()))) == found
    keys = {*found.runs, *found.dear}
    found.forget(frozenset("ab"))
    assert {*found.runs, *found.dear} == {key for key in keys if set(key) <= set("ab>")}


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"runs": {}},
        {"runs": [], "dear": {}},
        {"runs": {"a": [1]}, "dear": {}},
        {"runs": {"a": [-1, 5.0]}, "dear": {}},
        {"runs": {"a": [1, math.inf]}, "dear": {}},
        {"runs": {}, "dear": {"a>b": [math.nan, 5]}},
        {"runs": {}, "dear": {"a>b": "soon"}},
    ],
)
def test_anything_else_is_refused(row: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        Breakers.from_row(row)
