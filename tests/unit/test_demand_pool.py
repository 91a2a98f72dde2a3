"""Tests of what a node's channels teach each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.demand import pool
from cl_revenue_ops.domain.demand.curve import STEEPNESS
from cl_revenue_ops.domain.demand.pool import (
    DISPERSION_BOUNDS,
    DISPERSION_START,
    INFORMED_COUNT,
    MEMORY_DAYS,
    STEEPNESS_START,
    TYPICAL_MSAT,
    Pool,
)

LOW, HIGH = DISPERSION_BOUNDS


def windows(values: list[tuple[float, float]], start: Pool | None = None) -> Pool:
    """A pool after windows of (volume, mean)."""
    found = Pool() if start is None else start
    for volume, mean in values:
        found = pool.counted(found, volume, mean)
    return found


def test_a_node_begins_with_usual_amounts_and_some_bursts() -> None:
    assert Pool().dispersion == pytest.approx(DISPERSION_START)
    assert Pool().size_msat == pytest.approx(TYPICAL_MSAT)
    assert Pool().tail == pytest.approx(1.0)
    assert len(STEEPNESS_START) == len(STEEPNESS)
    assert sum(STEEPNESS_START) == pytest.approx(1.0)


def test_dispersion_is_variance_over_mean_of_what_came() -> None:
    rng = np.random.default_rng(31)
    mean = 4.0
    for target in (3.0, 12.0):
        # Negative binomial of that mean, its variance `target` times it.
        size = mean / (target - 1.0)
        drawn = rng.negative_binomial(size, 1.0 / target, 4_000)
        found = windows([(float(volume), mean) for volume in drawn])
        assert found.dispersion == pytest.approx(target, rel=0.12), "seed 31"


def test_a_few_windows_move_it_little() -> None:
    assert windows([(2.0, 2.0)]).dispersion == pytest.approx(DISPERSION_START, rel=0.35)
    assert windows([(2.0, 2.0)]).dispersion < DISPERSION_START


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e4)), max_size=30))
def test_dispersion_stays_within_its_bounds(values: list[tuple[float, float]]) -> None:
    assert LOW <= windows(values).dispersion <= HIGH


def test_both_bounds_of_dispersion_are_reached() -> None:
    assert windows([(5.0, 5.0)] * 10_000).dispersion == LOW
    assert windows([(500.0, 5.0)] * 100).dispersion == HIGH


def test_windows_in_which_nothing_was_expected_do_no_harm() -> None:
    assert math.isfinite(windows([(0.0, 0.0)] * 100).dispersion)


def test_what_was_seen_fades_towards_what_it_began_with() -> None:
    seen = windows([(8.0, 4.0)] * 1_000)
    later = pool.faded(seen, MEMORY_DAYS)
    assert later.means - Pool().means == pytest.approx((seen.means - Pool().means) / math.e)
    assert later.squares - Pool().squares == pytest.approx((seen.squares - Pool().squares) / math.e)
    assert pool.faded(seen, 100 * MEMORY_DAYS).dispersion == pytest.approx(DISPERSION_START)
    assert pool.faded(seen, 0.0) == seen


def test_usual_amounts_follow_what_settles_the_newest_most() -> None:
    many = pool.sized(Pool(), 1_000 * 3e6, 1_000, 1_000 * 3e6)
    assert many.size_msat == pytest.approx(3e6, rel=0.2)
    assert pool.faded(many, 50.0).size_msat == pytest.approx(many.size_msat)
    aged = pool.sized(pool.faded(many, 10 * MEMORY_DAYS), 100 * 9e6, 100, 100 * 9e6)
    assert aged.size_msat == pytest.approx(9e6, rel=0.01)


def test_the_tail_is_what_flows_beyond_what_counts() -> None:
    assert pool.sized(Pool(), 6e10, 100, 3e10).tail == pytest.approx(
        (6e10 + Pool().size_sum_msat) / (3e10 + Pool().capped_msat)
    )
    assert pool.sized(Pool(), 3e10, 100, 3e10).tail == pytest.approx(1.0)


# -- steepness -----------------------------------------------------------------------------------

SHARP = np.eye(len(STEEPNESS))[-1:]


def test_steepness_begins_as_assumed_and_follows_who_has_seen_much() -> None:
    none = pool.pooled_steepness(np.zeros((0, len(STEEPNESS))), np.zeros(0), STEEPNESS_START)
    assert none == pytest.approx(STEEPNESS_START, abs=1e-4)
    unseen = pool.pooled_steepness(np.repeat(SHARP, 9, axis=0), np.zeros(9), STEEPNESS_START)
    assert unseen == pytest.approx(STEEPNESS_START, abs=1e-4)
    seen = pool.pooled_steepness(
        np.repeat(SHARP, 200, axis=0), np.full(200, INFORMED_COUNT), STEEPNESS_START
    )
    assert seen[-1] > 0.95
    little = pool.pooled_steepness(SHARP, np.array([0.1 * INFORMED_COUNT]), STEEPNESS_START)
    much = pool.pooled_steepness(SHARP, np.array([INFORMED_COUNT]), STEEPNESS_START)
    assert STEEPNESS_START[-1] < little[-1] < much[-1] < seen[-1]


def test_one_destination_says_no_more_than_its_part_however_much_it_saw() -> None:
    informed = pool.pooled_steepness(SHARP, np.array([INFORMED_COUNT]), STEEPNESS_START)
    assert pool.pooled_steepness(SHARP, np.array([1e6]), STEEPNESS_START) == informed


def test_what_the_pool_gave_a_destination_does_not_confirm_the_pool() -> None:
    leaning = (0.6, 0.2, 0.1, 0.06, 0.04)
    unseen = np.repeat(np.array([leaning]), 30, axis=0)
    found = pool.pooled_steepness(unseen, np.full(30, INFORMED_COUNT), leaning)
    assert found == pytest.approx(STEEPNESS_START, abs=1e-3)


weights_of_one = st.lists(st.floats(0.001, 1.0), min_size=len(STEEPNESS), max_size=len(STEEPNESS))


@given(st.lists(st.tuples(weights_of_one, st.floats(0, 1e4)), max_size=20))
def test_pooled_weights_are_positive_and_sum_to_one(
    rows: list[tuple[list[float], float]],
) -> None:
    marginals = np.array([row[0] for row in rows]).reshape(len(rows), len(STEEPNESS))
    marginals /= marginals.sum(axis=1, keepdims=True)
    found = pool.pooled_steepness(marginals, np.array([row[1] for row in rows]), STEEPNESS_START)
    assert sum(found) == pytest.approx(1.0, abs=1e-3)
    assert min(found) >= 0.0


def test_new_weights_replace_the_old_ones_alone() -> None:
    weights = tuple(np.full(len(STEEPNESS), 1.0 / len(STEEPNESS)).tolist())
    found = pool.with_steepness(windows([(8.0, 4.0)]), weights)
    assert found.steepness == weights
    assert found.squares == windows([(8.0, 4.0)]).squares
