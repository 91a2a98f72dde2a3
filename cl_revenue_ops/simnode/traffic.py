"""Owns the payment attempts in time: drawn day by day, whatever fees we ask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from cl_revenue_ops.simnode.market import Market
from cl_revenue_ops.simnode.market_parameters import Purpose, stream
from cl_revenue_ops.simnode.market_quantiles import FloatArray
from cl_revenue_ops.simnode.prices import DAY_S, HOUR_S

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

SLOTS_PER_DAY = 96
SLOT_S = DAY_S / SLOTS_PER_DAY
BURST_MEAN_SLOTS = 4.0
WHALE_MEAN_PAYMENTS = 12.0
WHALE_LOG_FACTOR = (1.4, 2.8)  # ln of how many times larger a whale's amounts are (4 to 16)
AMOUNT_BOUNDS_MSAT = (1_000, 1_000_000_000_000)
SENDERS_PER_ENTRY = 48
PROPAGATION_MEDIAN_S = 1_200.0
PROPAGATION_SD = 1.0
PROPAGATION_BOUNDS_S = (60.0, 21_600.0)
HOLD_MEDIAN_S = 4.0
HOLD_SD = 1.2
HOLD_BOUNDS_S = (0.3, 14_400.0)
MEMORY_MEDIAN_S = 3_600.0
MEMORY_SD = 0.3
RETRY_CHANCE = 0.5
MAX_RETRIES = 4
RETRY_GAP_MEAN_S = 90.0
RETRY_GAP_MIN_S = 5.0
SPLITTING_SHARE = 0.6
THROTTLED_SHARE = 0.3


@dataclass(frozen=True)
class Attempts:
    """Payment attempts in the order of time, one array a field (all of one length).

    Times in unix seconds, amounts in msat at our outgoing channel. `limit_ppm`: what the best
    alternative charges in proportion; `propagation_s`: age of what the sender knows about our fees;
    `throttled`: it hears of us through nodes that rate-limit updates; `hold_s`: time from our offer
    to its resolution; `downstream_ok`: it would arrive; `retries`, `retry_gap_s`, `splits`,
    `memory_s`: how its sender goes on after a failure for lack of balance; `tie`: a uniform number
    for choices that are otherwise open.
    """

    at_s: FloatArray
    in_peer: IntArray
    out_peer: IntArray
    amount_msat: IntArray
    limit_ppm: FloatArray
    sender: IntArray
    propagation_s: FloatArray
    throttled: BoolArray
    hold_s: FloatArray
    downstream_ok: BoolArray
    retries: IntArray
    retry_gap_s: FloatArray
    splits: BoolArray
    memory_s: FloatArray
    tie: FloatArray
    whale: BoolArray

    def __len__(self) -> int:
        return len(self.at_s)

    def take(self, order: IntArray | BoolArray) -> Attempts:
        """Return the attempts at the given places (or under the given mask)."""
        return Attempts(**{entry.name: getattr(self, entry.name)[order] for entry in fields(self)})


def joined(parts: list[Attempts]) -> Attempts:
    """Return the attempts of several spans of time, in the order given."""
    return Attempts(
        **{
            entry.name: np.concatenate([getattr(part, entry.name) for part in parts])
            for entry in fields(Attempts)
        }
    )


def _burst_factors(market: Market, day: int) -> FloatArray:
    """Return the factor on each (slot, out peer) of a day; its mean over days is about one.

    Bursts begin as a Poisson process, last a geometric number of slots (a burst ends with its
    day), and multiply the rate by 1 + (burst_factor - 1) * Exp(1).
    """
    parameters, peers = market.parameters, len(market.peers)
    rng = stream(market.seed, Purpose.BURSTS, day)
    factors = np.ones((SLOTS_PER_DAY, peers))
    counts = rng.poisson(parameters.bursts_per_day, peers)
    for peer in np.repeat(np.arange(peers), counts).tolist():
        first = int(rng.integers(0, SLOTS_PER_DAY))
        last = first + int(rng.geometric(1.0 / BURST_MEAN_SLOTS))
        size = (parameters.burst_factor - 1.0) * float(rng.exponential())
        factors[first:last, peer] += size
    extra = parameters.bursts_per_day * BURST_MEAN_SLOTS / SLOTS_PER_DAY
    return factors / (1.0 + extra * (parameters.burst_factor - 1.0))


def _entries(rate: FloatArray, out_peer: IntArray, u: FloatArray) -> IntArray:
    """Return the peer each payment comes from: a draw from rate(i, out) over i."""
    cumulative = np.cumsum(rate, axis=0) / np.maximum(rate.sum(axis=0), np.finfo(float).tiny)
    peers = len(rate)
    flat = (cumulative.T + np.arange(peers)[:, None]).ravel()
    found = np.searchsorted(flat, out_peer + u * (1.0 - 1e-12), side="right")
    return np.asarray(np.clip(found - out_peer * peers, 0, peers - 1), dtype=np.int64)


def _arrivals(market: Market, day: int) -> tuple[FloatArray, IntArray, IntArray, BoolArray]:
    """Draw (time, in peer, out peer, whale) of a day, unsorted."""
    rng = stream(market.seed, Purpose.ARRIVALS, day)
    begin_s = market.start_s + day * DAY_S
    slot_at_s = begin_s + (np.arange(SLOTS_PER_DAY, dtype=np.float64) + 0.5) * SLOT_S
    rate = market.open_pair_rate_per_day(day)
    per_slot = rate.sum(axis=0) * market.demand_factor[day] / SLOTS_PER_DAY
    swing = market.season(slot_at_s) * market.surge_at(slot_at_s)
    mean = swing[:, None] * _burst_factors(market, day) * per_slot
    counts = rng.poisson(mean)
    slot, out_peer = (
        np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape)
    )
    at_s = begin_s + (slot + rng.random(len(slot))) * SLOT_S
    in_peer = _entries(rate, out_peer, rng.random(len(slot)))
    whales = _whales(market, rate, day)
    return (
        np.concatenate([at_s, whales[0]]),
        np.concatenate([in_peer, whales[1]]),
        np.concatenate([out_peer, whales[2]]),
        np.arange(len(at_s) + len(whales[0])) >= len(at_s),
    )


def _whales(market: Market, rate: FloatArray, day: int) -> tuple[FloatArray, IntArray, IntArray]:
    """Draw the extra payments of whale days: one payer pushes through one pair for hours."""
    rng = stream(market.seed, Purpose.WHALES, day)
    peers = len(market.peers)
    struck = (rng.random(peers) < market.parameters.whale_days) & (rate.sum(axis=0) > 0.0)
    counts = rng.poisson(WHALE_MEAN_PAYMENTS, peers) * struck
    entry = _entries(rate, np.arange(peers), rng.random(peers))
    out_peer = np.repeat(np.arange(peers), counts)
    begin_s = market.start_s + day * DAY_S + rng.uniform(0.0, 0.7 * DAY_S, peers)
    at_s = begin_s[out_peer] + rng.uniform(0.0, 0.3 * DAY_S, len(out_peer))
    return at_s, entry[out_peer], out_peer


def _amounts_msat(market: Market, day: int, whale: BoolArray) -> IntArray:
    rng = stream(market.seed, Purpose.AMOUNTS, day)
    count = len(whale)
    log_amount = np.log(market.median_amount_sat * 1_000.0)
    log_amount = log_amount + market.parameters.amount_sd * rng.standard_normal(count)
    log_amount = log_amount + whale * rng.uniform(*WHALE_LOG_FACTOR, count)
    return np.asarray(np.clip(np.exp(log_amount), *AMOUNT_BOUNDS_MSAT), dtype=np.int64)


def _limits_ppm(market: Market, day: int, at_s: FloatArray, out_peer: IntArray) -> FloatArray:
    """Return exp(ln c_out(t) + limit_sd * N(0, 1)): each payment's alternative, in ppm."""
    path = market.levels.log_ppm
    hour = np.clip((at_s - market.start_s) // HOUR_S, 0, len(path) - 1).astype(np.int64)
    noise = stream(market.seed, Purpose.LIMITS, day).standard_normal(len(at_s))
    limits = np.exp(path[hour, out_peer] + market.parameters.limit_sd * noise)
    return np.asarray(limits, dtype=np.float64)


def _lognormal(
    rng: np.random.Generator, count: int, median: float, sd: float, bounds: tuple[float, float]
) -> FloatArray:
    drawn = median * np.exp(sd * rng.standard_normal(count))
    return np.asarray(np.clip(drawn, *bounds), dtype=np.float64)


def attempts_of_day(market: Market, day: int) -> Attempts:
    """Draw the attempts of day `day` (0-based), sorted by time; the same for every policy."""
    at_s, in_peer, out_peer, whale = _arrivals(market, day)
    count = len(at_s)
    senders = stream(market.seed, Purpose.SENDERS, day)
    timing = stream(market.seed, Purpose.TIMING, day)
    routes = stream(market.seed, Purpose.ROUTES, day)
    weights = 1.0 / np.arange(1, SENDERS_PER_ENTRY + 1)
    within = np.searchsorted(np.cumsum(weights / weights.sum()), senders.random(count))
    within = np.minimum(within, SENDERS_PER_ENTRY - 1)
    drawn = Attempts(
        at_s=at_s,
        in_peer=in_peer,
        out_peer=out_peer,
        amount_msat=_amounts_msat(market, day, whale),
        limit_ppm=_limits_ppm(market, day, at_s, out_peer),
        sender=in_peer * SENDERS_PER_ENTRY + within * ~whale,
        propagation_s=_lognormal(
            timing, count, PROPAGATION_MEDIAN_S, PROPAGATION_SD, PROPAGATION_BOUNDS_S
        ),
        throttled=senders.random(count) < THROTTLED_SHARE,
        hold_s=_lognormal(timing, count, HOLD_MEDIAN_S, HOLD_SD, HOLD_BOUNDS_S),
        downstream_ok=routes.random(count) >= market.parameters.downstream_failure,
        retries=np.minimum(senders.geometric(1.0 - RETRY_CHANCE, count) - 1, MAX_RETRIES),
        retry_gap_s=RETRY_GAP_MIN_S
        + (RETRY_GAP_MEAN_S - RETRY_GAP_MIN_S) * timing.standard_exponential(count),
        splits=senders.random(count) < SPLITTING_SHARE,
        memory_s=_lognormal(timing, count, MEMORY_MEDIAN_S, MEMORY_SD, (600.0, 14_400.0)),
        tie=routes.random(count),
        whale=whale,
    )
    return drawn.take(np.argsort(at_s, kind="stable"))


def all_attempts(market: Market) -> Iterator[Attempts]:
    """Yield the attempts of the market's days, one day at a time."""
    for day in range(market.days):
        yield attempts_of_day(market, day)
