"""What the node's channels teach each other: dispersion, steepness, and usual amounts."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from cl_revenue_ops.domain.demand.curve import FloatArray

DISPERSION_START: Final = 5.0
DISPERSION_WEIGHT: Final = 10.0
DISPERSION_BOUNDS: Final = (1.5, 30.0)
MEMORY_DAYS: Final = 30.0
SIZE_WEIGHT: Final = 4.0
STEEPNESS_WEIGHT: Final = 2.0
TYPICAL_MSAT: Final = 100_000_000.0
INFORMED_COUNT: Final = 60.0
STEEPNESS_START: Final = (0.4, 0.3, 0.17, 0.08, 0.05)


class Pool(NamedTuple):
    """Sums over the node, fading over MEMORY_DAYS.

    `squares` and `means` are those of (v - mu)^2 / size and mu, in forwards of usual size, over
    windows; `size_*` of settled amounts, `capped_msat` their sum where each counts only up to the
    most that counts as evidence; `steepness` the pooled weight of each steepness.
    """

    squares: float = DISPERSION_START * DISPERSION_WEIGHT
    means: float = DISPERSION_WEIGHT
    size_sum_msat: float = SIZE_WEIGHT * TYPICAL_MSAT
    size_count: float = SIZE_WEIGHT
    capped_msat: float = SIZE_WEIGHT * TYPICAL_MSAT
    steepness: tuple[float, ...] = STEEPNESS_START

    @property
    def dispersion(self) -> float:
        """phi of the volume, in forwards of usual size: variance over mean of the counts that the
        volume stands for, within DISPERSION_BOUNDS.
        """
        low, high = DISPERSION_BOUNDS
        return min(high, max(low, self.squares / self.means))

    @property
    def size_msat(self) -> float:
        """The mean amount of a forward of this node."""
        return self.size_sum_msat / self.size_count

    @property
    def tail(self) -> float:
        """By how much more flows than counts as evidence: few large amounts carry much volume."""
        return max(1.0, self.size_sum_msat / self.capped_msat)


def faded(pool: Pool, days: float) -> Pool:
    """Return the pool with its observations faded towards what it began with."""
    keep = math.exp(-days / MEMORY_DAYS)
    fresh = Pool()

    def towards(value: float, start: float) -> float:
        return start + keep * (value - start)

    return pool._replace(
        squares=towards(pool.squares, fresh.squares),
        means=towards(pool.means, fresh.means),
        size_sum_msat=keep * pool.size_sum_msat,
        size_count=keep * pool.size_count,
        capped_msat=keep * pool.capped_msat,
    )


def counted(pool: Pool, volume: float, mean: float) -> Pool:
    """Return the pool after a window, its volumes in forwards of usual size."""
    return pool._replace(
        squares=pool.squares + (volume - mean) ** 2, means=pool.means + max(mean, 1e-6)
    )


def sized(pool: Pool, sum_msat: float, count: float, capped_msat: float) -> Pool:
    """Return the pool after `count` forwards settled: their sum, and that of what counted."""
    return pool._replace(
        size_sum_msat=pool.size_sum_msat + sum_msat,
        size_count=pool.size_count + count,
        capped_msat=pool.capped_msat + capped_msat,
    )


def pooled_steepness(
    marginals: FloatArray, seen: FloatArray, pooled: tuple[float, ...]
) -> tuple[float, ...]:
    """Return the pooled weights of steepness from each destination's (rows) and what it has seen.

    Each speaks in proportion to what it has seen, up to INFORMED_COUNT forwards, and only of what
    it has seen itself: the part of its weights that `pooled` gave it is taken out again, or weak
    evidence would confirm itself from cycle to cycle.
    """
    own = marginals * (np.array(STEEPNESS_START) / np.maximum(pooled, 1e-6))
    own = own / np.maximum(own.sum(axis=1, keepdims=True), 1e-300)
    weight = np.minimum(1.0, seen / INFORMED_COUNT)
    total = np.array(STEEPNESS_START) * STEEPNESS_WEIGHT + weight @ own
    return tuple(np.round(total / total.sum(), 4).tolist())


def with_steepness(pool: Pool, weights: tuple[float, ...]) -> Pool:
    """Return the pool with other weights of steepness."""
    return pool._replace(steepness=weights)
