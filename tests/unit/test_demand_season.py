"""Tests of the season: when of the day and of the week payments come."""

from __future__ import annotations

import json
import math
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.demand import season
from cl_revenue_ops.domain.demand.season import DAY_S, HOURS, MEMORY_DAYS, WEEKDAYS, Season

MONDAY_S = datetime(2026, 1, 5, tzinfo=timezone.utc).timestamp()
HOUR_S = 3_600.0


def lived(weeks: int, per_hour: float, true: Any, seed: int = 71) -> Season:
    """A season after some weeks in which `true` tells the factor of a moment."""
    rng = np.random.default_rng(seed)
    found = Season()
    for hour in range(weeks * WEEKDAYS * HOURS):
        at_s = MONDAY_S + (hour + 0.5) * HOUR_S
        came = float(rng.poisson(per_hour * true(at_s)))
        found = season.counted(found, at_s, came, per_hour, 1.0 / HOURS)
    return found


def evening(at_s: float) -> float:
    """Twice as much in the second half of the day; half as much on Saturday and Sunday."""
    late = 4.0 / 3.0 if season.hour_of(at_s) >= HOURS // 2 else 2.0 / 3.0
    return late * (0.5 if season.weekday_of(at_s) >= 5 else 1.2)


@given(st.integers(0, 4_000_000_000))
def test_hours_and_weekdays_are_those_of_the_calendar(at_s: int) -> None:
    at = datetime.fromtimestamp(at_s, tz=timezone.utc)
    assert season.hour_of(float(at_s)) == at.hour
    assert season.weekday_of(float(at_s)) == at.weekday()


def test_without_any_knowledge_every_moment_is_alike() -> None:
    assert season.factor(Season(), MONDAY_S) == 1.0
    level = lived(3, 20.0, lambda at_s: 3.0)
    for hour in range(0, 7 * HOURS, 5):
        factor = season.factor(level, MONDAY_S + hour * HOUR_S)
        assert factor == pytest.approx(1.0, abs=0.12), "more than hoped, but at no special time"


def test_the_season_is_found_and_little_traffic_is_not_believed() -> None:
    found, doubted = lived(6, 20.0, evening), lived(6, 0.01, evening)
    for hour in range(0, 7 * HOURS, 5):
        at_s = MONDAY_S + (hour + 0.5) * HOUR_S
        assert season.factor(found, at_s) == pytest.approx(evening(at_s), rel=0.15), "seed 71"
        assert season.factor(doubted, at_s) == pytest.approx(1.0, abs=0.1), "seed 71"


def test_it_is_one_on_average() -> None:
    found = lived(3, 5.0, evening)
    week = [season.factor(found, MONDAY_S + hour * HOUR_S) for hour in range(7 * HOURS)]
    assert sum(week) / len(week) == pytest.approx(1.0, abs=1e-9)
    assert min(week) > 0.0


def test_what_was_fades() -> None:
    before = season.counted(Season(), MONDAY_S, 8.0, 4.0, 0.0)
    after = season.counted(before, MONDAY_S + HOUR_S, 1.0, 2.0, MEMORY_DAYS)
    assert after.hour_came[:2] == pytest.approx((8.0 / math.e, 1.0))
    assert after.hour_hoped[:2] == pytest.approx((4.0 / math.e, 2.0))
    assert after.weekday_came[0] == pytest.approx(8.0 / math.e + 1.0)
    assert after.weekday_hoped[0] == pytest.approx(4.0 / math.e + 2.0)
    assert sum(after.weekday_came[1:]) == 0.0


def test_it_comes_back_exactly_from_the_store() -> None:
    found = lived(1, 3.3, evening)
    assert season.from_row(json.loads(json.dumps(season.to_row(found)))) == found
    assert found.hour_came[0] != found.hour_came[20]


GOOD = season.to_row(season.counted(Season(), MONDAY_S + DAY_S, 1.0, 1.0, 0.0))


@pytest.mark.parametrize(
    "row",
    [
        None,
        7,
        [],
        "abcd",
        GOOD[:3],
        [*GOOD, GOOD[0]],
        [GOOD[0][:-1], *GOOD[1:]],
        [[*GOOD[0][:-1], -1.0], *GOOD[1:]],
        [[*GOOD[0][:-1], float("nan")], *GOOD[1:]],
        [[*GOOD[0][:-1], float("inf")], *GOOD[1:]],
        [[*GOOD[0][:-1], None], *GOOD[1:]],
        [None, *GOOD[1:]],
    ],
)
def test_a_damaged_season_is_refused(row: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        season.from_row(row)
