"""The tails of a predicted count, against SciPy's negative binomial and its limits."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import nbinom, poisson

from cl_revenue_ops.domain.fees.surprise import p_high, p_low, variance

SEED = 20_260_101
GRID = [
    (count, mean, dispersion, log_variance)
    for mean in (0.001, 0.3, 4.0, 60.0, 2000.0)
    for dispersion in (1.0, 1.3, 6.0, 50.0)
    for log_variance in (0.0, 0.02, 0.5, 4.0)
    for count in sorted({0, 1, 3, int(mean / 3), int(mean), int(2 * mean), int(5 * mean) + 9})
    if dispersion > 1.0 or log_variance > 0.0
]


@pytest.mark.parametrize(("count", "mean", "dispersion", "log_variance"), GRID)
def test_the_tails_are_those_of_the_negative_binomial(
    count: int, mean: float, dispersion: float, log_variance: float
) -> None:
    spread = dispersion * mean + mean**2 * math.expm1(log_variance)
    size, success = mean**2 / (spread - mean), mean / spread
    known = nbinom(size, success)
    low = p_low(count, mean, dispersion, log_variance)
    high = p_high(count, mean, dispersion, log_variance)
    assert low == pytest.approx(known.cdf(count), rel=1e-9, abs=1e-290)
    assert high == pytest.approx(known.sf(count - 1), rel=1e-9, abs=1e-290)


@pytest.mark.parametrize("dispersion", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("count", "mean"), [(0, 5.0), (3, 5.0), (30, 5.0), (450, 500.0)])
def test_without_doubt_or_bursts_they_are_those_of_poisson(
    count: int, mean: float, dispersion: float
) -> None:
    assert p_low(count, mean, dispersion, 0.0) == pytest.approx(poisson.cdf(count, mean), rel=1e-9)
    high = p_high(count, mean, dispersion, 0.0)
    assert high == pytest.approx(poisson.sf(count - 1, mean), rel=1e-9)


def test_poisson_is_approached_without_a_step() -> None:
    limit = p_low(40, 60.0, 1.0, 0.0)
    for excess in (1e-3, 1e-5, 1e-7, 1e-9, 1e-11, 1e-13):
        assert p_low(40, 60.0, 1.0 + excess, 0.0) == pytest.approx(limit, rel=10 * excess + 1e-9)


def test_counts_drawn_from_the_model_are_rarely_improbable() -> None:
    """As often as the probability says; bursts and doubt make the same zero less surprising."""
    rng = np.random.default_rng(SEED)
    mean, dispersion, log_variance = 20.0, 2.0, 0.3
    spread = variance(mean, dispersion, log_variance)
    counts = rng.negative_binomial(mean**2 / (spread - mean), mean / spread, 40_000)
    low = sum(p_low(int(n), mean, dispersion, log_variance) < 0.05 for n in counts) / 40_000
    high = sum(p_high(int(n), mean, dispersion, log_variance) < 0.05 for n in counts) / 40_000
    assert 0.02 < low <= 0.055, SEED
    assert 0.03 < high <= 0.055, SEED
    assert p_low(0, 8.0, 1.0, 0.0) < 1e-3 < p_low(0, 8.0, 2.0, 0.0)
    assert p_low(0, 8.0, 1.0, 0.0) < 1e-3 < p_low(0, 8.0, 1.0, 0.5)


def test_where_nothing_can_come_only_something_is_a_surprise() -> None:
    assert (p_low(0, 0.0, 1.0, 0.5), p_high(0, 0.0, 1.0, 0.5)) == (1.0, 1.0)
    assert (p_low(3, 0.0, 1.0, 0.5), p_high(3, 0.0, 1.0, 0.5)) == (1.0, 0.0)


def test_total_doubt_is_bounded_and_not_an_error() -> None:
    assert 0.0 <= p_low(5, 10.0, 1.0, 1e6) <= 1.0
    assert 0.0 <= p_high(5, 10.0, 1.0, 1e6) <= 1.0


@pytest.mark.parametrize(
    "arguments",
    [(-1, 1.0, 1.0, 0.0), (1, -1.0, 1.0, 0.0), (1, 1.0, -1.0, 0.0), (1, 1.0, 1.0, -0.1),
     (1, math.nan, 1.0, 0.0), (1, 1.0, math.inf, 0.0), (1, 1.0, 1.0, math.inf)],
)  # fmt: skip
def test_what_can_not_be_is_refused(arguments: tuple[int, float, float, float]) -> None:
    with pytest.raises(ValueError, match=r"negative|from 0 on"):
        p_low(*arguments)
    with pytest.raises(ValueError, match=r"negative|from 0 on"):
        p_high(*arguments)


@given(
    st.integers(0, 400), st.floats(1e-3, 300.0), st.floats(0.5, 20.0), st.floats(0.0, 5.0)
)  # fmt: skip
def test_both_tails_share_one_count_and_grow_with_it(
    count: int, mean: float, dispersion: float, log_variance: float
) -> None:
    rest = (mean, dispersion, log_variance)
    low, more = p_low(count, *rest), p_low(count + 1, *rest)
    assert 0.0 <= low <= more + 1e-12 <= 1.0 + 1e-12
    assert low + p_high(count + 1, *rest) == pytest.approx(1.0, abs=1e-9)
    assert p_high(count + 1, *rest) <= p_high(count, *rest) + 1e-12


def test_numerics_of_this_size_load_no_library() -> None:
    code = (
        "import sys, cl_revenue_ops.domain.fees.surprise\n"
        "print([name for name in ('scipy', 'numpy') if name in sys.modules])"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
