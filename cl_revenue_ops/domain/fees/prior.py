"""The prior price into a peer: what others charge there, before anything is learned."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cl_revenue_ops.domain.demand.rivals import Ask
from cl_revenue_ops.domain.fees.facts import PriorPrice

TYPICAL_MSAT = 100_000_000
KEEP_OUT_PPM = 20_000.0
UNKNOWN_SPREAD = 1.2
_ENOUGH_TO_TRIM = 5
_TRIM_DEVIATIONS = 3.0
_NORMAL_QUARTILE = 0.6745
_LEAST_DEVIATION = 0.9


class Quote(NamedTuple):
    """One direction of a public channel into the peer, as gossip shows it."""

    source: str
    scid: str
    capacity_msat: int
    active: bool
    base_msat: int
    fee_ppm: int


class Weighed(NamedTuple):
    """A price as natural log of ppm, with the capacity behind it."""

    log_ppm: float
    weight: float


def price_ppm(quote: Quote, typical_msat: int = TYPICAL_MSAT) -> float:
    """Return what a forward of `typical_msat` pays over this channel, base included, in ppm."""
    return quote.fee_ppm + quote.base_msat * 1e6 / typical_msat


def prior_price(
    quotes: Iterable[Quote], own_node_id: str, typical_msat: int = TYPICAL_MSAT
) -> PriorPrice | None:
    """Return the capacity-weighted median of what others charge into the peer; None if nobody does.

    Left out: our own channels (quoting ourselves would chase our tail), disabled ones, free ones
    (an agreement between two nodes, not a price) and prices above KEEP_OUT_PPM (a closed door).
    From five quotes on, prices further than three robust deviations from the median go too
    (a deviation is at least 0.9, so a factor of 15 is never far). Prices multiply, so the
    deviations are those of logs. Below three quotes the spread is
    UNKNOWN_SPREAD: rivals into one destination differ that much or more.
    """
    prices = sorted(
        Weighed(math.log(price_ppm(quote, typical_msat)), float(quote.capacity_msat))
        for quote in quotes
        if quote.source != own_node_id
        and quote.active
        and quote.capacity_msat > 0
        and 0.0 < price_ppm(quote, typical_msat) <= KEEP_OUT_PPM
    )
    if not prices:
        return None
    kept = _trimmed(prices)
    spread = _deviation(kept) if len(kept) >= 3 else UNKNOWN_SPREAD
    return PriorPrice(round(math.exp(_median(kept)), 3), round(spread, 4), len(kept))


def asks_of(quotes: Iterable[Quote], own_node_id: str) -> list[Ask]:
    """Return what rivals ask for the amount alone, channel by channel."""
    return [
        Ask(quote.scid, quote.fee_ppm, quote.capacity_msat)
        for quote in quotes
        if quote.source != own_node_id and quote.active and quote.capacity_msat > 0
    ]


def _trimmed(prices: Sequence[Weighed]) -> Sequence[Weighed]:
    if len(prices) < _ENOUGH_TO_TRIM:
        return prices
    centre = _median(prices)
    reach = _TRIM_DEVIATIONS * max(_LEAST_DEVIATION, _deviation(prices))
    return [price for price in prices if abs(price.log_ppm - centre) <= reach]


def _deviation(prices: Sequence[Weighed]) -> float:
    """Return the weighted median distance from the weighted median, scaled to a normal's sd."""
    centre = _median(prices)
    distances = sorted(Weighed(abs(p.log_ppm - centre), p.weight) for p in prices)
    return _median(distances) / _NORMAL_QUARTILE


def _median(sorted_prices: Sequence[Weighed]) -> float:
    """Return the weighted median; the middle of two where the weight halves exactly between."""
    half = 0.5 * sum(price.weight for price in sorted_prices)
    below = 0.0
    for at, price in enumerate(sorted_prices):
        below += price.weight
        if below > half or at == len(sorted_prices) - 1:
            return price.log_ppm
        if below == half:
            return 0.5 * (price.log_ppm + sorted_prices[at + 1].log_ppm)
    raise ValueError("no prices to take a median of")
