"""Owns the price of everything at given stock values: the best offers, and the bound they prove.

Everything is in the units of a `Problem`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cl_revenue_ops.bench.bound_programme import Duals, Offers, Problem, joined
from cl_revenue_ops.simnode.market_quantiles import FloatArray

FIRST_OFFERS = 10  # prices per peer that the first plan may mix


class Priced(NamedTuple):
    """What no plan can exceed, by these duals, and the offers that would be best at them."""

    bound: float
    offers: Offers


def first_offers(problem: Problem) -> Offers:
    """Return for every peer and period the same few multiples of the level.

    Those that maximise revenue - x * volume over all periods, for some x from "sell all".
    """
    parts = []
    for peer in range(problem.peers):
        volume = problem.volume[peer].sum(axis=(0, 2))
        revenue = problem.revenue[peer].sum(axis=(0, 2))
        if volume.max() <= 0.0:
            continue
        asked = revenue / np.maximum(volume, 1e-9 * volume.max())
        worth = np.quantile(asked, np.linspace(0.0, 1.0, FIRST_OFFERS)) - np.median(asked)
        best = {int(np.argmax(revenue - x * volume)) for x in worth.tolist()}
        for price in sorted(best | {int(np.argmax(volume))}):
            inflow = problem.by_period(problem.volume[peer][:, price])
            earned = problem.by_period(problem.revenue[peer][:, price]).sum(axis=1)
            parts.append(_offers(peer, earned, inflow))
    return joined(parts) if parts else _none(problem.peers)


def price(problem: Problem, duals: Duals) -> Priced:
    """Return the Lagrangian bound at `duals` and, per peer and period, the best offer.

    In each span the best price maximises the sum over in peers of revenue - volume * (value of
    stock out - value of stock in); a refusable in peer at which that is negative is refused.
    """
    bound = _idle_bound(problem, duals)
    parts = []
    span_period = np.arange(len(problem.volume[0])) // (len(problem.volume[0]) // problem.periods)
    value = duals.stock.T[span_period]
    for peer in range(problem.peers):
        volume, revenue = problem.volume[peer], problem.revenue[peer]
        gain = revenue + volume * (value - value[:, [peer]])[:, None, :]
        gain[:, :, problem.refusable] = np.maximum(gain[:, :, problem.refusable], 0.0)
        total = gain.sum(axis=2)
        spans, best = np.arange(len(total)), np.argmax(total, axis=1)
        won = total[spans, best]
        open_ = won > 0.0
        bound += float(won[open_].sum())
        served = open_[:, None] & (~problem.refusable | (gain[spans, best] > 0.0))
        earned = problem.by_period((revenue[spans, best] * served).sum(axis=1))
        inflow = problem.by_period(volume[spans, best] * served)
        by_period = problem.by_period(np.where(open_, won, 0.0))
        parts.append(_offers(peer, earned, inflow).take(by_period > duals.time[peer]))
    return Priced(bound, joined(parts))


def reduced_gain(offers: Offers, duals: Duals) -> FloatArray:
    """Return how much one more share of each offer would add to the plan (at most zero in it)."""
    paid = (offers.drawn * duals.stock.T[offers.period]).sum(axis=1)
    time = duals.time[offers.peer, offers.period]
    return np.asarray(offers.revenue - paid - time, dtype=np.float64)


def _idle_bound(problem: Problem, duals: Duals) -> float:
    """Return the part of the Lagrangian that no price moves: stock held, and refills."""
    value = duals.stock
    later = np.concatenate([value[:, 1:], np.zeros((problem.peers, 1))], axis=1) - value
    held = np.maximum(later, 0.0) * problem.high + np.minimum(later, 0.0) * problem.low
    bound = float((value * problem.added).sum() + held.sum())
    if problem.refill_cost is not None:
        arriving = value - problem.refill_cost - duals.transit
        leaving = duals.transit - value
        # All that arrives has left somewhere, so no peer sends more than all may receive.
        most = problem.refill_cap.sum(axis=0)
        bound += float((np.maximum(arriving, 0.0) * problem.refill_cap).sum())
        bound += float((np.maximum(leaving, 0.0) * most).sum())
    return bound


def _offers(peer: int, earned: FloatArray, inflow: FloatArray) -> Offers:
    periods = len(earned)
    return Offers(
        np.full(periods, peer, dtype=np.int64), np.arange(periods, dtype=np.int64), earned, inflow
    )


def _none(peers: int) -> Offers:
    empty = np.zeros(0, dtype=np.int64)
    return Offers(empty, empty, np.zeros(0), np.zeros((0, peers)))
