"""How surprising a count of forwards is: the tails of an overdispersed, doubtful count."""

from __future__ import annotations

import math

_LEAST_EXCESS = 1e-12
_MOST_LOG_VARIANCE = 100.0
_STIRLING_FROM = 1e6
_ENOUGH = 1e-17
_CONVERGED = 1e-15
_FRACTION_STEPS = 10_000
_TINY = 1e-300


def variance(mean: float, dispersion: float, log_variance: float) -> float:
    """Return the variance of a quasi-Poisson count whose log mean is Gaussian.

    Counting noise plus doubt about the mean: phi mu + mu^2 (e^v - 1), where `mean` is mu (the mean
    of the log-normal, not its median), `dispersion` phi and `log_variance` v.
    """
    return dispersion * mean + mean**2 * _relative_variance(log_variance)


def p_low(count: int, mean: float, dispersion: float, log_variance: float) -> float:
    """Return the probability of `count` forwards or fewer.

    The count is taken for negative binomial with the mean and the variance of `variance`; where
    that does not exceed the mean, for Poisson. Exact to about 1e-9 of itself; its cost grows with
    the count. Raises ValueError on a negative or infinite argument.
    """
    excess = _excess(count, mean, dispersion, log_variance)
    return 1.0 if mean == 0.0 else _below(count, mean, excess)


def p_high(count: int, mean: float, dispersion: float, log_variance: float) -> float:
    """Return the probability of `count` forwards or more; otherwise as `p_low`."""
    excess = _excess(count, mean, dispersion, log_variance)
    if count == 0:
        return 1.0
    if mean == 0.0:
        return 0.0
    if count + 1 > mean + excess:
        return _far_above(count, mean, excess)
    return max(0.0, 1.0 - _below(count - 1, mean, excess))


def _excess(count: int, mean: float, dispersion: float, log_variance: float) -> float:
    """Return variance over mean less 1, the odds of the negative binomial.

    A vanishing excess stands for Poisson, which is the limit.
    """
    if count < 0:
        raise ValueError(f"a count of forwards cannot be negative: {count}")
    for value in (mean, dispersion, log_variance):
        if not (math.isfinite(value) and value >= 0.0):
            raise ValueError(f"mean, dispersion and log variance are from 0 on, not {value}")
    if mean == 0.0:
        return 0.0
    return max(_LEAST_EXCESS, dispersion - 1.0 + mean * _relative_variance(log_variance))


def _relative_variance(log_variance: float) -> float:
    """Return the variance of a log-normal over its squared mean; bounded, where doubt is total."""
    return math.expm1(min(log_variance, _MOST_LOG_VARIANCE))


def _below(count: int, mean: float, excess: float) -> float:
    """Return P(N <= count) as a sum outwards from the largest term."""
    start = min(count, max(0, math.floor(mean - excess)))
    first = math.exp(_log_probability(start, mean, excess))
    total, term = first, first
    for k in range(start, 0, -1):
        term *= k * (1.0 + excess) / ((k - 1) * excess + mean)
        total += term
        if term < total * _ENOUGH:
            break
    term = first
    for k in range(start, count):
        term *= (k * excess + mean) / ((k + 1) * (1.0 + excess))
        total += term
        if term < total * _ENOUGH:
            break
    return min(1.0, total)


def _log_probability(count: int, mean: float, excess: float) -> float:
    """Return log P(N = count) for r = mean/excess successes: Gamma(r+n)/(Gamma(r) n!) p^r q^n."""
    size = mean / excess
    log_failure = math.log(excess) - math.log1p(excess)
    rising = _log_rising(size, count) - math.lgamma(count + 1.0)
    return rising - size * math.log1p(excess) + count * log_failure


def _log_rising(size: float, count: int) -> float:
    """Return log Gamma(size + count) - log Gamma(size), by Stirling where the two nearly cancel."""
    above = size + count
    if size < _STIRLING_FROM:
        return math.lgamma(above) - math.lgamma(size)
    series = (1.0 / above - 1.0 / size) / 12.0
    return (size - 0.5) * math.log1p(count / size) + count * math.log(above) - count + series


def _far_above(count: int, mean: float, excess: float) -> float:
    """Return P(N >= count) beyond the bulk.

    It is the regularised incomplete beta function I_q(count, size), whose prefix is P(N = count):
    times its continued fraction (DLMF 8.17.22, evaluated by Lentz), which converges fast there.
    """
    a, b, x = float(count), mean / excess, excess / (1.0 + excess)
    c, d = 1.0, 1.0 / _not_zero(1.0 - (a + b) * x / (a + 1.0))
    fraction = d
    for m in range(1, _FRACTION_STEPS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0)),
        ):
            d = 1.0 / _not_zero(1.0 + term * d)
            c = _not_zero(1.0 + term / c)
            fraction *= d * c
        if abs(d * c - 1.0) < _CONVERGED:
            break
    return min(1.0, math.exp(_log_probability(count, mean, excess)) * fraction)


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
