"""The posterior over demand: weights over price and steepness, and a gamma for volume per cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from cl_revenue_ops.domain.demand.curve import (
    CELL_LOG_PRICE,
    CELLS,
    LOG_PRICE_STEP,
    LOG_PRICES,
    PRICES,
    STEEPNESS,
    BoolArray,
    FloatArray,
    shares,
)

# How far things move by themselves, in the log: per sqrt(day), and the size of a jump.
PRICE_DRIFT: Final = 0.08
LED_DRIFT: Final = 0.04
RATE_DRIFT: Final = 0.10
JUMPS_PER_DAY: Final = 1.0 / 40.0
LED_JUMPS_PER_DAY: Final = 1.0 / 200.0
JUMP_SD: Final = 0.8
LEAST_SHAPE: Final = 0.02
_TINY: Final = 1e-300
_NOTHING: Final = 1e-14
_LEAST_RATE: Final = 1.0

Single = npt.NDArray[np.float32]


class Seen(NamedTuple):
    """Volume (msat) that came for the destination at `place` at a fee (ln ppm)."""

    place: int
    log_fee: float
    volume_msat: float


class Offered(NamedTuple):
    """Days in which a fee was on offer at `place` while its channels could carry."""

    place: int
    log_fee: float
    days: float


class Prior(NamedTuple):
    """What is believed before anything is seen.

    `log_price` and its sd of the alternatives in ln ppm; the volume a day at a fee of zero as a
    gamma of mean `rate_msat` and shape `shape`; `steepness` the weight of each steepness.
    """

    log_price: float
    log_price_sd: float
    rate_msat: float
    shape: float
    steepness: tuple[float, ...]


@dataclass(frozen=True)
class Posterior:
    """The demand of some destinations, one row each.

    `weight` (rows, CELLS) is the probability of each price and steepness, `rate` (rows, CELLS) the
    mean volume a day in msat at a fee of zero given the cell; given the cell the volume is gamma
    with the row's `shape`. All float32, so that what is stored is exactly what is held.
    """

    weight: Single
    rate: Single
    shape: Single

    def __len__(self) -> int:
        return len(self.shape)

    def row(self, place: int) -> Posterior:
        """Return one destination's posterior."""
        one = slice(place, place + 1)
        return Posterior(self.weight[one], self.rate[one], self.shape[one])


def stacked(rows: Sequence[Posterior]) -> Posterior:
    """Return several posteriors as one."""
    if not rows:
        return Posterior(*(np.zeros(s, np.float32) for s in ((0, CELLS), (0, CELLS), 0)))
    return Posterior(
        np.concatenate([row.weight for row in rows]),
        np.concatenate([row.rate for row in rows]),
        np.concatenate([row.shape for row in rows]),
    )


def initial(prior: Prior) -> Posterior:
    """Return the prior as the posterior of one destination."""
    gap = (LOG_PRICES - prior.log_price) / prior.log_price_sd
    prices = np.exp(-0.5 * gap * gap) + _NOTHING
    weight = np.outer(prices, prior.steepness).reshape(1, CELLS)
    return _packed(weight, np.full((1, CELLS), prior.rate_msat), np.array([prior.shape]))


def _packed(weight: FloatArray, rate: FloatArray, shape: FloatArray) -> Posterior:
    return Posterior(
        (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32),
        np.maximum(rate, _LEAST_RATE).astype(np.float32),
        np.maximum(shape, LEAST_SHAPE).astype(np.float32),
    )


def _summed(rows: int, places: Sequence[int], values: FloatArray) -> FloatArray:
    """Sum `values` (entries, CELLS) into their places."""
    total = np.zeros((rows, CELLS))
    for place, value in zip(places, values, strict=True):
        total[place] += value
    return total


def exposure(rows: int, offered: Sequence[Offered]) -> FloatArray:
    """Return sum of S(f) x days for every row and cell."""
    if not offered:
        return np.zeros((rows, CELLS))
    kept = shares([entry.log_fee for entry in offered])
    kept *= np.array([entry.days for entry in offered])[:, None]
    return _summed(rows, [entry.place for entry in offered], kept)


def observe(
    posterior: Posterior, seen: Sequence[Seen], exposed: FloatArray, dispersion_msat: float
) -> Posterior:
    """Return the posterior after volume came while fees were on offer for so long.

    The volume is quasi-Poisson with mean Lambda S(f) days and variance `dispersion_msat` times
    the mean; Lambda is integrated out: w' ~ w exp(sum v ln S / phi) b^a / (b + X/phi)^(a + v/phi),
    with X the sum of S days (`exposed`) and b = a / rate. `exposed` is of shape (rows, CELLS).
    """
    rows = len(posterior)
    weight = posterior.weight.astype(np.float64)
    rate = posterior.rate.astype(np.float64)
    shape = posterior.shape.astype(np.float64)[:, None]
    before = shape / rate
    after = before + exposed / dispersion_msat
    added = np.zeros((rows, 1))
    log_weight = np.log(np.maximum(weight, _TINY)) + shape * np.log(before)
    if seen:
        kept = np.log(np.maximum(shares([came.log_fee for came in seen]), _TINY))
        units = np.array([came.volume_msat for came in seen]) / dispersion_msat
        places = [came.place for came in seen]
        log_weight += _summed(rows, places, kept * units[:, None])
        np.add.at(added[:, 0], places, units)
    log_weight -= (shape + added) * np.log(after)
    log_weight -= log_weight.max(axis=1, keepdims=True)
    return _packed(np.exp(log_weight), (shape + added) / after, (shape + added)[:, 0])


class Expected(NamedTuple):
    """Volume to come (msat), per row: its mean, and the variance of that mean."""

    mean: FloatArray
    variance: FloatArray


def expected(posterior: Posterior, exposed: FloatArray) -> Expected:
    """Return what should come in the exposure, by the posterior."""
    each = posterior.rate * exposed
    mean = np.sum(posterior.weight * each, axis=1)
    square = np.sum(posterior.weight * each * each, axis=1) * (1.0 + 1.0 / posterior.shape)
    return Expected(mean, np.maximum(0.0, square - mean * mean))


def _spread_matrix() -> FloatArray:
    gap = LOG_PRICES[:, None] - LOG_PRICES[None, :]
    kernel = np.exp(-0.5 * (gap / JUMP_SD) ** 2)
    spread: FloatArray = kernel / kernel.sum(axis=0)
    return spread


_JUMP = _spread_matrix()


def drifted(posterior: Posterior, days: float, led: BoolArray | None = None) -> Posterior:
    """Return the posterior `days` later, nothing seen: wider, and prices may have jumped.

    ln c diffuses by PRICE_DRIFT per sqrt(day); at JUMPS_PER_DAY it jumps by JUMP_SD; the rate's
    coefficient of variation grows by RATE_DRIFT per sqrt(day). In the rows that are `led` rivals
    have told of their moves, and the price goes its own way by less.
    """
    if days <= 0.0 or not len(posterior):
        return posterior
    both = _both(posterior)
    moved = _move(days, PRICE_DRIFT, JUMPS_PER_DAY) @ both
    if led is not None and led.any():
        moved[led] = _move(days, LED_DRIFT, LED_JUMPS_PER_DAY) @ both[led]
    shape = posterior.shape.astype(np.float64)
    return _parted(moved, shape / (1.0 + shape * RATE_DRIFT**2 * days))


@lru_cache(maxsize=4)
def _move(days: float, drift: float, jumps_per_day: float) -> FloatArray:
    """How weight moves between the prices of the grid: shape (PRICES, PRICES)."""
    part = 0.5 * drift**2 * days / LOG_PRICE_STEP**2
    times = max(1, int(np.ceil(part / 0.25)))
    step = np.eye(PRICES) * (1.0 - 2.0 * part / times)
    step += (np.eye(PRICES, k=1) + np.eye(PRICES, k=-1)) * part / times
    step[0, 0] += part / times
    step[-1, -1] += part / times
    jump = 1.0 - np.exp(-jumps_per_day * days)
    move: FloatArray = (1.0 - jump) * np.linalg.matrix_power(step, times) + jump * _JUMP
    return move


def shifted(posterior: Posterior, log_ratio: float) -> Posterior:
    """Return the posterior with ln c moved by `log_ratio` everywhere, within the grid."""
    cells = log_ratio / LOG_PRICE_STEP
    whole = int(np.floor(cells))
    part = cells - whole
    move = np.zeros((PRICES, PRICES))
    origin = np.arange(PRICES)
    for target, mass in ((origin + whole, 1.0 - part), (origin + whole + 1, part)):
        np.add.at(move, (np.clip(target, 0, PRICES - 1), origin), mass)
    return _parted(move @ _both(posterior), posterior.shape.astype(np.float64))


def reweighed(posterior: Posterior, factors: FloatArray) -> Posterior:
    """Return the posterior with the weight of each steepness multiplied by its factor."""
    weight = posterior.weight.astype(np.float64) * np.tile(factors, PRICES)
    return _packed(weight, posterior.rate.astype(np.float64), posterior.shape.astype(np.float64))


def steepness(posterior: Posterior) -> FloatArray:
    """Return the weight of each steepness, per row."""
    shaped = posterior.weight.reshape(len(posterior), PRICES, len(STEEPNESS))
    marginal: FloatArray = shaped.sum(axis=1, dtype=np.float64)
    return marginal


def log_prices(posterior: Posterior) -> list[tuple[float, float]]:
    """Return mean and variance of ln c (ppm), per row."""
    weight = posterior.weight.astype(np.float64)
    mean = weight @ CELL_LOG_PRICE
    square = weight @ (CELL_LOG_PRICE * CELL_LOG_PRICE)
    return list(zip(mean.tolist(), np.maximum(0.0, square - mean * mean).tolist(), strict=True))


def _both(posterior: Posterior) -> FloatArray:
    """Weights and volumes side by side: (rows, PRICES, 2 x steepness)."""
    shape = (len(posterior), PRICES, len(STEEPNESS))
    weight = posterior.weight.astype(np.float64)
    mass = weight * posterior.rate
    return np.concatenate([weight.reshape(shape), mass.reshape(shape)], axis=2)


def _parted(both: FloatArray, shape: FloatArray) -> Posterior:
    half = len(STEEPNESS)
    weight = both[:, :, :half].reshape(-1, CELLS)
    mass = both[:, :, half:].reshape(-1, CELLS)
    mean = mass.sum(axis=1, keepdims=True) / weight.sum(axis=1, keepdims=True)
    # A cell that nothing speaks for has no rate of its own.
    rate = np.where(weight > _NOTHING, mass / np.maximum(weight, _NOTHING), mean)
    return _packed(weight, rate, shape)
