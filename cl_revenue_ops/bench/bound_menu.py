"""Owns what each price would sell: expected volume and revenue per pair, span of time and price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cl_revenue_ops.bench.bound_demand import TrueDemand
from cl_revenue_ops.simnode.market_quantiles import FloatArray
from cl_revenue_ops.simnode.prices import DAY_S, HOUR_S
from cl_revenue_ops.simnode.traffic import SLOT_S

TOP_SHARE = 0.003  # the dearest price still sells this share of the volume, at the mean level
CHEAP_SDS, DEAR_LOG = 3.0, 12.0  # where that price is sought, about the level
SOUGHT = 400
LEVEL_NODE = 0.2  # spacing in ln(ppm) of the levels at which shares are computed


@dataclass(frozen=True)
class PriceMenu:
    """All prices into one peer; arrays (spans, prices, in peers), msat expected to settle.

    A price is a multiple of the level of the span and a base fee; every in peer meets the same.
    """

    volume_msat: FloatArray
    revenue_msat: FloatArray


def price_menu(
    demand: TrueDemand, peer: int, span_s: float, base_shares: Sequence[float], prices: int
) -> PriceMenu:
    """Return what `prices` prices for each of our base fees would sell into `peer` in each span.

    `base_shares` are our base fees as shares of the base fee of the peer's alternatives; a span
    is a whole number of hours.
    """
    market = demand.market
    count = round(market.days * DAY_S / span_s)
    starts_s = market.start_s + span_s * np.arange(count, dtype=np.float64)
    log_level = _log_levels(demand, peer, starts_s, span_s)
    attempts = _attempts(demand, peer, starts_s, span_s)
    alternative = market.peers[peer].alternative_base_msat
    bases = sorted({share * alternative for share in base_shares})
    parts = [_of_base(demand, peer, base, prices, log_level, attempts) for base in bases]
    return PriceMenu(
        np.concatenate([part.volume_msat for part in parts], axis=1),
        np.concatenate([part.revenue_msat for part in parts], axis=1),
    )


def mean_log_level(demand: TrueDemand, peer: int, begin_s: float, span_s: float) -> float:
    """Return the mean of ln(level in ppm) of `peer` over a span of whole hours."""
    return float(_log_levels(demand, peer, np.array([begin_s]), span_s)[0])


def _of_base(
    demand: TrueDemand,
    peer: int,
    base_msat: float,
    prices: int,
    log_level: FloatArray,
    attempts: tuple[FloatArray, FloatArray],
) -> PriceMenu:
    """Return the menu at one base fee; `attempts` are usual and whale ones (spans, in peers)."""
    multiple = _multiples(demand, peer, float(log_level.mean()), base_msat, prices)
    low, high = float(log_level.min()), float(log_level.max())
    nodes = np.linspace(low, high, 2 + int((high - low) / LEVEL_NODE))
    fees_ppm = multiple * np.exp(nodes)[:, None]
    taken = demand.accepted(peer, nodes[:, None], fees_ppm, base_msat)
    binding = demand.binding(peer)
    known = np.unique(binding)
    where = np.searchsorted(known, binding)
    counts = np.zeros((len(log_level), prices, len(binding)))
    volume = np.zeros_like(counts)
    for laws, arriving in zip((demand.usual, demand.whale), attempts, strict=True):
        passing = taken @ np.array([laws[place].counts for place in known.tolist()]).T
        msat = taken @ np.array([laws[place].volume_msat for place in known.tolist()]).T
        counts += arriving[:, None, :] * _between(nodes, log_level, passing)[:, :, where]
        volume += arriving[:, None, :] * _between(nodes, log_level, msat)[:, :, where]
    fee_ppm = multiple * np.exp(log_level)[:, None]
    return PriceMenu(volume, fee_ppm[:, :, None] * volume / 1e6 + base_msat * counts)


def _log_levels(demand: TrueDemand, peer: int, starts_s: FloatArray, span_s: float) -> FloatArray:
    """Return the mean ln(level) over each span; levels stand still for an hour."""
    levels = demand.market.levels
    first = ((starts_s - levels.start_s) // HOUR_S).astype(np.int64)
    hours = first[:, None] + np.arange(round(span_s / HOUR_S))
    path = levels.log_ppm[:, peer]
    return np.asarray(path[np.clip(hours, 0, len(path) - 1)].mean(axis=1))


def _attempts(
    demand: TrueDemand, peer: int, starts_s: FloatArray, span_s: float
) -> tuple[FloatArray, FloatArray]:
    """Return expected (usual, whale) attempts whose rest of the way holds, (spans, in peers)."""
    arrives = (1.0 - demand.market.parameters.downstream_failure) * span_s / DAY_S
    slots_s = starts_s[:, None] + SLOT_S * (np.arange(round(span_s / SLOT_S)) + 0.5)
    usual = demand.usual_factor(peer, slots_s).mean(axis=1) * arrives
    whale = demand.whale_rate_per_day(slots_s).mean(axis=1) * arrives
    rate, mix = demand.pair_rates_per_day(peer, starts_s)
    return usual[:, None] * rate, whale[:, None] * mix


def _multiples(
    demand: TrueDemand, peer: int, log_level: float, base_msat: float, prices: int
) -> FloatArray:
    """Return zero and multiples of the level, even in the log, from cheap to hardly any sale.

    Where the alternatives ask a base fee and payments are small, that is far above the level.
    """
    law = demand.usual[peer]
    weights = law.volume_msat / law.volume_msat.sum()
    cheapest = -CHEAP_SDS * demand.market.parameters.limit_sd
    sought = np.exp(np.linspace(cheapest, DEAR_LOG, SOUGHT))
    share = demand.accepted(peer, np.array(log_level), sought * np.exp(log_level), base_msat)
    sells = int(np.count_nonzero(share @ weights > TOP_SHARE))
    top = float(sought[min(max(sells, 1), SOUGHT - 1)])
    return np.concatenate([[0.0], np.geomspace(sought[0], top, prices - 1)])


def _between(nodes: FloatArray, log_level: FloatArray, table: FloatArray) -> FloatArray:
    """Interpolate `table` (nodes, prices, laws) linearly at each level."""
    step = max(float(nodes[1] - nodes[0]), 1e-12)
    place = np.clip((log_level - nodes[0]) / step, 0.0, len(nodes) - 1.0)
    low = np.minimum(place.astype(np.int64), len(nodes) - 2)
    part = (place - low)[:, None, None]
    return np.asarray((1.0 - part) * table[low] + part * table[low + 1])
