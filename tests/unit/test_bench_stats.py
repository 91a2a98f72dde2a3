"""Means, intervals and paired differences of the bench, against figures worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.bench.stats import Interval, interval, over_scenarios, paired, shares

# Quantiles of Student's t at 97.5 %, from the tables: 2 and 4 degrees of freedom.
T_2, T_4 = 4.302653, 2.776445


def test_a_mean_and_its_interval() -> None:
    found = interval([1.0, 2.0, 3.0, 4.0, 5.0])
    half = T_4 * math.sqrt(2.5 / 5.0)  # variance 2.5 with 4 degrees of freedom
    assert found.mean == 3.0
    assert found.size == 5
    assert (found.low, found.high) == pytest.approx((3.0 - half, 3.0 + half), rel=1e-6)
    assert found.half == pytest.approx(1.963243, rel=1e-6)


def test_too_few_values_say_nothing_about_their_spread() -> None:
    assert interval([7.0]) == Interval(7.0, -math.inf, math.inf, 1)
    nothing = interval([])
    assert math.isnan(nothing.mean)
    assert (nothing.low, nothing.high, nothing.size) == (-math.inf, math.inf, 0)
    assert interval([0.5, 0.5, 0.5]) == Interval(0.5, 0.5, 0.5, 3)


def test_differences_are_taken_within_a_seed() -> None:
    one = {1: 11.0, 2: 22.0, 3: 33.0, 9: 1e9}
    other = {3: 30.0, 1: 10.0, 2: 20.0, 8: -1e9}
    found = paired(one, other)
    assert found.mean == 2.0
    assert found.size == 3
    assert found.half == pytest.approx(T_2 / math.sqrt(3.0), rel=1e-6)
    # Unpaired, the same values would hide the difference in the spread of the seeds.
    assert found.low > -0.5


@given(
    st.dictionaries(st.integers(0, 50), st.floats(-1e6, 1e6), min_size=2, max_size=9),
    st.floats(-1e3, 1e3),
)
def test_a_constant_lead_is_found_exactly(other: dict[int, float], lead: float) -> None:
    found = paired({seed: value + lead for seed, value in other.items()}, other)
    assert found.mean == pytest.approx(lead, abs=1e-6)
    assert found.low - 1e-5 <= lead <= found.high + 1e-5


def test_shares_are_of_each_seeds_own_bound() -> None:
    assert shares({1: 50, 2: 30, 3: 9, 4: 5}, {1: 100.0, 2: 40.0, 3: 0.0}) == {1: 0.5, 2: 0.75}


def test_a_seed_counts_once_over_all_scenarios() -> None:
    by_scenario = {"calm": {1: 0.2, 2: 0.4, 3: 0.9}, "wild": {2: 0.8, 1: 0.4, 4: 0.1}}
    assert over_scenarios(by_scenario) == pytest.approx({1: 0.3, 2: 0.6})
    assert interval(list(over_scenarios(by_scenario).values())).size == 2
    assert over_scenarios({}) == {}
