"""Keyed draws: equal keys give equal draws, on every machine and in every process."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.runtime.rng import fresh_root, keyed_seed, uniform

ROOTS = st.integers(0, 2**63 - 1)
PURPOSES = st.text(max_size=20)
NUMBERS = st.integers(0, 10**9)


@pytest.mark.parametrize(
    ("root", "purpose", "number", "seed"),
    [
        (0, "", 0, 7_511_514_042_115_595_637),
        (42, "restart", 1, 9_350_006_543_731_107_558),
        (2**63 - 1, "ab" * 32, 10**6, 176_421_970_538_055_317),
    ],
)
def test_golden_seeds(root: int, purpose: str, number: int, seed: int) -> None:
    assert keyed_seed(root, purpose, number) == seed


@given(ROOTS, PURPOSES, NUMBERS)
def test_draws_lie_in_their_range_and_repeat(root: int, purpose: str, number: int) -> None:
    assert 0 <= keyed_seed(root, purpose, number) < 2**64
    draw = uniform(root, purpose, number)
    assert 0.0 <= draw < 1.0
    assert uniform(root, purpose, number) == draw


@given(ROOTS, st.sampled_from(("a", "b", "1", "a|1", "|")), st.integers(0, 50))
def test_each_part_of_the_key_matters(root: int, purpose: str, number: int) -> None:
    seed = keyed_seed(root, purpose, number)
    assert keyed_seed(root + 1, purpose, number) != seed
    assert keyed_seed(root, purpose + "x", number) != seed
    assert keyed_seed(root, purpose, number + 1) != seed


def test_draws_are_spread_evenly() -> None:
    draws = [uniform(7, "spread", number) for number in range(10_000)]
    counts = [sum(1 for draw in draws if int(draw * 10) == tenth) for tenth in range(10)]
    # Binomial with mean 1000 and deviation 30: six of them on either side.
    assert all(820 < count < 1_180 for count in counts), counts


def test_a_fresh_root_is_a_storable_integer_and_not_a_constant() -> None:
    roots = [fresh_root() for _ in range(20)]
    assert all(0 <= root < 2**63 for root in roots)
    assert len(set(roots)) == 20
