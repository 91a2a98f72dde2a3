"""What a decision is told of demand: the most probable cells of the posterior, rounded for good."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from cl_revenue_ops.domain.demand.curve import (
    CELL_LOG_PRICE,
    CELL_STEEPNESS,
    CELLS,
    FEES,
    FEES_PPM,
    LOG_FEES,
    LOG_PRICE_STEP,
    SHARES,
    FloatArray,
    IndexArray,
    best_log_fees,
    best_of_cells,
)
from cl_revenue_ops.domain.demand.posterior import Posterior

MOST_CELLS: Final = 64
WITHIN_CELL_VARIANCE: Final = LOG_PRICE_STEP**2 / 12.0
# Bursts outlast the windows that dispersion is measured in, and no curve has quite this form: by so
# much wider than the posterior's own are the intervals that hold the truth as often as they say.
FEE_WIDENED: Final = 1.2
VOLUME_WIDENED: Final = 1.5
DIGITS: Final = 4
_UNKNOWN: Final[FloatArray] = np.empty(0)


@dataclass(frozen=True, eq=False)
class Belief:
    """The posterior of one destination as a decision uses it and as its record keeps it.

    The most probable cells: `places` in the grid, their `weights`, and `rates`, the volume a day
    in msat at a fee of zero; `shape` is that of the gamma of the rate within a cell. The rounding
    is part of the belief: whoever has the record decides the same. `known` takes the place of
    all that where demand is not believed but known (only a bench knows it): the volume a day at
    each fee of the grid. The arrays are not written to.
    """

    places: IndexArray
    weights: FloatArray
    rates: FloatArray
    shape: float
    known: FloatArray

    @classmethod
    def of(
        cls,
        places: Sequence[int],
        weights: Sequence[float],
        rates: Sequence[float],
        shape: float,
        known: Sequence[float] = (),
    ) -> Belief:
        """Return the belief of these cells."""
        columns = (np.array(column, dtype=np.float64) for column in (weights, rates, known))
        weight, rate, curve = columns
        return cls(np.array(places, dtype=np.intp), weight, rate, shape, curve)

    def __eq__(self, other: object) -> bool:
        """Whether all numbers are the same."""
        if not isinstance(other, Belief):
            return NotImplemented
        both = zip(vars(self).values(), vars(other).values(), strict=True)
        return all(np.array_equal(mine, theirs) for mine, theirs in both)

    @property
    def is_sure(self) -> bool:
        """Whether demand is known, and not believed."""
        return len(self.known) > 0


class Interval(NamedTuple):
    """A central estimate with the bounds of its 80 % interval."""

    low: float
    mid: float
    high: float


class Best(NamedTuple):
    """ln of the best fee at a given net value of the stock, as Gaussian moments."""

    mean: float
    sd: float


def rounded(values: FloatArray) -> FloatArray:
    """Return the values to DIGITS significant digits; 0 stays 0."""
    size = np.floor(np.log10(np.maximum(np.abs(values), 1e-300)))
    unit = 10.0 ** (size - (DIGITS - 1))
    near: FloatArray = np.round(values / unit) * unit
    return near


def believe(posterior: Posterior, scale: float = 1.0) -> list[Belief]:
    """Return each row's belief: its MOST_CELLS most probable cells, with rates times `scale`."""
    if not len(posterior):
        return []
    chosen = np.argpartition(-posterior.weight, MOST_CELLS, axis=1)[:, :MOST_CELLS]
    chosen.sort(axis=1)
    weight = np.take_along_axis(posterior.weight, chosen, axis=1).astype(np.float64)
    weight = np.round(weight / weight.sum(axis=1, keepdims=True), 5)
    rate = np.take_along_axis(posterior.rate, chosen, axis=1).astype(np.float64)
    rate = np.round(rate * scale)
    shape = rounded(posterior.shape.astype(np.float64))
    for column in (chosen, weight, rate):
        column.setflags(write=False)
    rows = zip(chosen, weight, rate, shape.tolist(), strict=True)
    return [Belief(*row, _UNKNOWN) for row in rows]


class Columns(NamedTuple):
    """Some beliefs as arrays of shape (rows, MOST_CELLS); the weights of a row sum to one."""

    places: IndexArray
    weights: FloatArray
    rates: FloatArray


def columns(beliefs: Sequence[Belief]) -> Columns:
    """Return beliefs (none of them known demand) side by side."""
    weights = np.array([belief.weights for belief in beliefs])
    return Columns(
        np.array([belief.places for belief in beliefs]),
        weights / weights.sum(axis=1, keepdims=True),
        np.array([belief.rates for belief in beliefs]),
    )


def volumes_msat_per_day(beliefs: Sequence[Belief]) -> FloatArray:
    """Return the expected volume a day at each fee of the grid: shape (beliefs, FEES)."""
    if not beliefs:
        return np.zeros((0, FEES))
    if beliefs[0].is_sure:
        return np.array([belief.known for belief in beliefs])
    held = columns(beliefs)
    spread = np.zeros((len(beliefs), CELLS))
    np.put_along_axis(spread, held.places, held.weights * held.rates, axis=1)
    volumes: FloatArray = spread @ SHARES
    return volumes


def greedy_log_fees(volumes: FloatArray, net_ppm: FloatArray) -> FloatArray:
    """Return ln of the fee at which expected volume times its margin over `net` is highest."""
    return best_log_fees(volumes * (FEES_PPM - net_ppm[:, None]))


def bests(beliefs: Sequence[Belief], net_ppm: FloatArray) -> list[Best]:
    """Return the moments of ln(best fee) under each belief; known demand has no spread."""
    if not beliefs:
        return []
    if beliefs[0].is_sure:
        greedy = greedy_log_fees(volumes_msat_per_day(beliefs), net_ppm)
        return [Best(one, 0.0) for one in greedy.tolist()]
    held = columns(beliefs)
    each = best_of_cells(held.places, net_ppm[:, None])
    mean = np.sum(held.weights * each, axis=1)
    spread = np.sum(held.weights * (each - mean[:, None]) ** 2, axis=1)
    # A cell stands for all prices within its step.
    sd = np.sqrt(spread + WITHIN_CELL_VARIANCE)
    return [Best(*row) for row in zip(mean.tolist(), sd.tolist(), strict=True)]


def mean_volumes_at(belief: Belief, log_fees: Sequence[float]) -> list[float]:
    """Return the expected volume a day (msat) at each fee (ln ppm)."""
    if belief.is_sure:
        return [float(volume) for volume in np.interp(log_fees, LOG_FEES, belief.known)]
    places, weights = belief.places, belief.weights
    gap = CELL_STEEPNESS[places] * (np.array(log_fees)[:, None] - CELL_LOG_PRICE[places])
    kept = (weights * belief.rates) / (1.0 + np.exp(np.minimum(gap, 700.0)))
    found: list[float] = (kept.sum(axis=1) / weights.sum()).tolist()
    return found


def volume_at(belief: Belief, log_fee: float) -> Interval:
    """Return the volume a day (msat) at a fee (ln ppm), with its 80 % interval."""
    if belief.is_sure:
        known = float(np.interp(log_fee, LOG_FEES, belief.known))
        return Interval(known, known, known)
    held = columns([belief])
    places, weight, rate = held.places[0], held.weights[0], held.rates[0]
    gap = log_fee - CELL_LOG_PRICE[places]
    each = rate / (1.0 + np.exp(CELL_STEEPNESS[places] * gap))
    variance = math.log1p(1.0 / belief.shape) + WITHIN_CELL_VARIANCE
    centre = np.log(np.maximum(each, 1e-9)) - 0.5 * variance
    low, high = _mixture(centre, weight, math.sqrt(variance), VOLUME_WIDENED)
    return Interval(math.exp(low), float(weight @ each), math.exp(high))


def best_fee(belief: Belief, net_ppm: float) -> Interval:
    """Return the best fee in ppm with its 80 % interval."""
    net = np.array([net_ppm])
    mid = math.exp(float(greedy_log_fees(volumes_msat_per_day([belief]), net)[0]))
    if belief.is_sure:
        return Interval(mid, mid, mid)
    held = columns([belief])
    each = best_of_cells(held.places, net[:, None])[0]
    low, high = _mixture(each, held.weights[0], math.sqrt(WITHIN_CELL_VARIANCE), FEE_WIDENED)
    return Interval(math.exp(low), mid, math.exp(high))


def _mixture(
    centre: FloatArray, weight: FloatArray, sd: float, widened: float
) -> tuple[float, float]:
    """Return the 10 % and 90 % quantiles of a mixture of normals with one sd, `widened` times as
    far from its median.
    """
    spread = (centre[:, None] + sd * _NODES).ravel()
    mass = (weight[:, None] * np.full(len(_NODES), 1.0 / len(_NODES))).ravel()
    order = np.argsort(spread, kind="stable")
    below = np.cumsum(mass[order]) - 0.5 * mass[order]
    low, mid, high = np.interp((0.1, 0.5, 0.9), below, spread[order])
    return float(mid - widened * (mid - low)), float(mid + widened * (high - mid))


# The means of eleven equal slices of the standard normal.
_NODES: Final[FloatArray] = np.array(
    [-1.80, -1.10, -0.75, -0.47, -0.23, 0.0, 0.23, 0.47, 0.75, 1.10, 1.80]
)
