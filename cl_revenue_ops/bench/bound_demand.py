"""Owns the true demand of a drawn market: what comes at which fee, in the mean over its draws."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from cl_revenue_ops.simnode.market import Market
from cl_revenue_ops.simnode.market_quantiles import FloatArray
from cl_revenue_ops.simnode.prices import DAY_S
from cl_revenue_ops.simnode.traffic import (
    AMOUNT_BOUNDS_MSAT,
    BURST_MEAN_SLOTS,
    SLOTS_PER_DAY,
    WHALE_LOG_FACTOR,
    WHALE_MEAN_PAYMENTS,
)

RESERVE_SHARE = 0.01  # of the capacity, on either side of a channel
CELL_WIDTH = 0.15  # of the grid of ln(amount) over which shares are averaged
TAIL_SDS = 6.0
WHALE_NODES = 8  # Gauss-Legendre nodes over the logarithm of a whale's factor
# A whale begins within the first seven tenths of its day and pays within three tenths from there.
WHALE_BEGIN_DAYS, WHALE_LASTS_DAYS = 0.7, 0.3


class ExpectedShare(NamedTuple):
    """What still comes at a fee, as shares (0..1) of all that could pass by its size."""

    counts: FloatArray
    volume: FloatArray


class CellMasses(NamedTuple):
    """The law of amounts up to a ceiling, per cell of ln(amount), for one mean attempt.

    `counts` are probabilities, `volume_msat` the parts of the mean amount that fall in each cell.
    """

    counts: FloatArray
    volume_msat: FloatArray


def ceilings_msat(market: Market) -> FloatArray:
    """Return per peer the largest amount that its largest channel could ever carry.

    Full on one side and down to the reserve on the other: capacity less both reserves.
    """
    largest = np.zeros(len(market.peers))
    for channel in market.channels:
        usable = channel.capacity_sat * 1_000.0 * (1.0 - 2.0 * RESERVE_SHARE)
        largest[channel.peer] = max(largest[channel.peer], usable)
    return largest


class AmountLaw:
    """Amounts of usual and of whale payments: log-normal, the latter times exp(uniform)."""

    def __init__(self, market: Market) -> None:
        self._sd = market.parameters.amount_sd
        self._mean_log = float(np.log(market.median_amount_sat * 1_000.0))
        low, high = WHALE_LOG_FACTOR
        tail = TAIL_SDS * self._sd
        cells = int(np.ceil((2.0 * tail + high) / CELL_WIDTH))
        inner = self._mean_log - tail + CELL_WIDTH * np.arange(cells + 1)
        self._edges = np.concatenate([[-np.inf], inner])
        centre = np.exp(np.concatenate([[inner[0]], inner[:-1] + 0.5 * CELL_WIDTH]))
        self.amount_msat = np.clip(centre, *AMOUNT_BOUNDS_MSAT)
        nodes, weights = np.polynomial.legendre.leggauss(WHALE_NODES)
        self._whale = low + (high - low) * 0.5 * (nodes + 1.0), 0.5 * weights

    def usual(self, ceiling_msat: float) -> CellMasses:
        """Return the law of usual payments of at most `ceiling_msat`."""
        return self._masses(ceiling_msat, np.zeros(1), np.ones(1))

    def whale(self, ceiling_msat: float) -> CellMasses:
        """Return the law of a whale's payments of at most `ceiling_msat`."""
        return self._masses(ceiling_msat, *self._whale)

    def _masses(self, ceiling_msat: float, shifts: FloatArray, weights: FloatArray) -> CellMasses:
        cut = np.minimum(self._edges, np.log(max(ceiling_msat, 1.0)))
        z = (cut[:, None] - self._mean_log - shifts) / self._sd
        means = np.exp(self._mean_log + shifts + 0.5 * self._sd**2)
        below = ndtr(z) @ weights
        volume_below = ndtr(z - self._sd) @ (weights * means)
        return CellMasses(np.diff(below), np.diff(volume_below))


class _Era:
    """What holds while the same peers have an open channel.

    `mix` says of what goes to each peer (column) the part that comes from each peer (row).
    """

    def __init__(self, demand: TrueDemand, rate_per_day: FloatArray) -> None:
        total = rate_per_day.sum(axis=0)
        self.rate_per_day = rate_per_day
        self.mix = rate_per_day / np.where(total > 0.0, total, 1.0)
        peers = range(len(total))
        self.usual = [self._mean(demand.usual, demand.binding(peer), peer) for peer in peers]
        self.whale = [self._mean(demand.whale, demand.binding(peer), peer) for peer in peers]

    def _mean(self, laws: list[CellMasses], binding: npt.NDArray[np.intp], peer: int) -> CellMasses:
        counts = np.array([laws[place].counts for place in binding])
        volume_msat = np.array([laws[place].volume_msat for place in binding])
        return CellMasses(self.mix[:, peer] @ counts, self.mix[:, peer] @ volume_msat)


class TrueDemand:
    """The expected demand of one market; holds what does not depend on time, so keep one.

    Counts and volumes are of the attempts that could pass by their size: not above what the
    largest channel of the peer they come from and of the peer they go to could ever carry.
    Failures downstream are not taken off. Times are Unix seconds, rates per day.
    """

    def __init__(self, market: Market) -> None:
        self.market = market
        self.law = AmountLaw(market)
        self.ceiling_msat = ceilings_msat(market)
        self.usual = [self.law.usual(ceiling) for ceiling in self.ceiling_msat.tolist()]
        self.whale = [self.law.whale(ceiling) for ceiling in self.ceiling_msat.tolist()]
        self._era_days = sorted({0, *(channel.opens_day for channel in market.channels)})
        self._eras = [_Era(self, market.open_pair_rate_per_day(day)) for day in self._era_days]

    def binding(self, peer: int) -> npt.NDArray[np.intp]:
        """Return per in peer whose ceiling binds on the way to `peer`: its own or that of `peer`.

        The result indexes `usual`, `whale` and `ceiling_msat`.
        """
        own = np.arange(len(self.ceiling_msat))
        return np.where(self.ceiling_msat < self.ceiling_msat[peer], own, peer)

    def pair_rates_per_day(self, peer: int, at_s: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return (mean rate of usual payments, share of whales) into `peer` from each peer.

        Shapes (moments, in peers); only peers to which a channel is open take part.
        """
        eras = [self._eras[place] for place in self._era_places(at_s).tolist()]
        rates = np.array([era.rate_per_day[:, peer] for era in eras])
        return rates, np.array([era.mix[:, peer] for era in eras])

    def _era_places(self, at_s: FloatArray) -> npt.NDArray[np.intp]:
        day = np.maximum((at_s - self.market.start_s) // DAY_S, 0.0)
        return np.searchsorted(self._era_days, day, side="right") - 1

    def usual_factor(self, peer: int, at_s: FloatArray) -> FloatArray:
        """Return the expected factor on the mean rate of usual payments into `peer`."""
        days = (at_s - self.market.start_s) / DAY_S
        day = np.clip(days.astype(np.int64), 0, self.market.days - 1)
        slow = self.market.demand_factor[day, peer]
        swing = self.market.season(at_s) * self.market.surge_at(at_s)
        return np.asarray(slow * swing * self._burst(days), dtype=np.float64)

    def _burst(self, days: FloatArray) -> FloatArray:
        """A burst ends with its day, so the first quarters of a day see fewer of them."""
        parameters = self.market.parameters
        slot = np.floor((days % 1.0) * SLOTS_PER_DAY)
        full = parameters.bursts_per_day * BURST_MEAN_SLOTS / SLOTS_PER_DAY
        full *= parameters.burst_factor - 1.0
        running = 1.0 - (1.0 - 1.0 / BURST_MEAN_SLOTS) ** (slot + 1.0)
        return np.asarray((1.0 + full * running) / (1.0 + full), dtype=np.float64)

    def whale_rate_per_day(self, at_s: FloatArray) -> FloatArray:
        """Return the expected rate of whale payments into any one peer."""
        x = ((at_s - self.market.start_s) / DAY_S) % 1.0
        overlap = np.minimum(x, WHALE_BEGIN_DAYS) - np.maximum(x - WHALE_LASTS_DAYS, 0.0)
        per_day = WHALE_MEAN_PAYMENTS * self.market.parameters.whale_days
        density = per_day * overlap / (WHALE_BEGIN_DAYS * WHALE_LASTS_DAYS)
        return np.asarray(density, dtype=np.float64)

    def accepted(
        self, peer: int, log_level: FloatArray, fee_ppm: FloatArray, base_msat: float = 0.0
    ) -> FloatArray:
        """Return the probability that a payment takes us, per (..., amount cell of the law).

        base + a f < B + a L with ln L ~ N(log_level, limit_sd): Phi((log_level - ln(f - (B -
        base)/a)) / limit_sd), and one where what is left of f is not positive. `log_level` and
        `fee_ppm` broadcast.
        """
        gap_msat = self.market.peers[peer].alternative_base_msat - base_msat
        needed = np.asarray(fee_ppm)[..., None] - gap_msat * 1e6 / self.law.amount_msat
        log_needed = np.log(np.maximum(needed, 1e-12))
        sd = self.market.parameters.limit_sd
        return np.asarray(ndtr((np.asarray(log_level)[..., None] - log_needed) / sd))

    def per_day(self, peer: int, at_s: float) -> CellMasses:
        """Return expected attempts and volume (msat) a day into `peer` at `at_s`, per cell."""
        moment = np.array([at_s])
        era = self._eras[int(self._era_places(moment)[0])]
        usual = float(self.usual_factor(peer, moment)[0]) * float(era.rate_per_day[:, peer].sum())
        whale = float(self.whale_rate_per_day(moment)[0])
        often, seldom = era.usual[peer], era.whale[peer]
        return CellMasses(
            usual * often.counts + whale * seldom.counts,
            usual * often.volume_msat + whale * seldom.volume_msat,
        )

    def share(
        self, peer: int, at_s: float, fee_ppm: npt.ArrayLike, base_msat: float = 0.0
    ) -> ExpectedShare:
        """Return what comes into `peer` at `at_s` at each fee (zero demand: zero shares)."""
        masses = self.per_day(peer, at_s)
        level = np.array(self.market.levels.log_at(peer, at_s))
        fees = np.asarray(fee_ppm, dtype=np.float64)
        taken = self.accepted(peer, level, fees, base_msat)
        counts, volume = masses.counts.sum(), masses.volume_msat.sum()
        return ExpectedShare(
            taken @ (masses.counts / (counts or 1.0)),
            taken @ (masses.volume_msat / (volume or 1.0)),
        )


def expected_share(
    market: Market, peer: int, at_s: float, fee_ppm: npt.ArrayLike, base_msat: float = 0.0
) -> ExpectedShare:
    """Return the shares of count and of volume into `peer` that come at each of our fees.

    Shares of what could pass by its size; `at_s` in Unix seconds, fees in ppm (any shape).
    """
    return TrueDemand(market).share(peer, at_s, fee_ppm, base_msat)


def count_share(
    market: Market, peer: int, at_s: float, fee_ppm: npt.ArrayLike, base_msat: float = 0.0
) -> FloatArray:
    """Return `expected_share(...).counts`."""
    return expected_share(market, peer, at_s, fee_ppm, base_msat).counts


def volume_share(
    market: Market, peer: int, at_s: float, fee_ppm: npt.ArrayLike, base_msat: float = 0.0
) -> FloatArray:
    """Return `expected_share(...).volume`."""
    return expected_share(market, peer, at_s, fee_ppm, base_msat).volume


def expected_count_rate_per_day(market: Market, peer: int, at_s: float) -> float:
    """Return how many attempts a day are expected into `peer` at `at_s`, whales included."""
    return float(TrueDemand(market).per_day(peer, at_s).counts.sum())


def mean_amount_msat(market: Market, peer: int, at_s: float) -> float:
    """Return the mean amount of those attempts; zero where none is expected."""
    masses = TrueDemand(market).per_day(peer, at_s)
    return float(masses.volume_msat.sum() / (masses.counts.sum() or 1.0))
