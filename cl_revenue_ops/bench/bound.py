"""Owns the fluid bound: what a planner who knows every demand curve could earn, and no policy more.

The planner knows the path of every level and the expected demand into every peer, not who will
come. It sells fluid, asks one price into a peer whoever the payment comes from, and moves stock
between b_low and b_high (the reserves stay). With i, j peers, t periods, s the spans of a period,
p prices (a multiple of the level of the span and one of our base fees):

    V_ij(s, p)   expected volume from i to j that arrives at price p; R_ij(s, p) its fees
    w(o)         share of period t for which an offer o into j is held: one price for each span,
                 and from which in peers it is served;  sum over the offers of (j, t) of w <= 1
    b_i(t) = b_i(t-1) + sum_j V_ij - sum_k V_ki  [+ in_i(t) - out_i(t)],  b_low <= b_i(t) <= b_high
             (and what comes with a channel that opens in t)
    maximise sum R  [- sum in_j(t) cost_j(t);  sum_i out_i(t) = sum_j in_j(t)]

A payment from i is refused only where i could ever be full (its possible inflow exceeds its room),
as a full incoming side refuses it in truth. The programme allows that refusal at any time, which
can only raise the bound. Offers are generated: the programme mixes those known so far, its duals
pi_i(t) (the value of a local sat) price every span of every price anew, the best of them enter.
At any pi, with x+ = max(x, 0), no plan earns more than the Lagrangian

    sum_i pi_i(1) b_i(0) + sum_i,t max over b of (pi_i(t+1) - pi_i(t)) b        (pi_i(T+1) = 0)
    + sum_j,s max over p of [sum_i (R_ij + V_ij (pi_i - pi_j))(+ if i may refuse)]+

and it is this number that `fluid_bound` returns, not the plan: it needs no optimal plan to hold.

What it leaves out: fees that stay as stock in the channel they came in by, HTLC slots, held HTLCs,
commitment fees; several channels to a peer are one stock. All but the first of these favour the
planner, and that one is a few ten-thousandths of the volume. Prices between those of the menu
would add about one in a thousand. Two things are no part of it: what a drain attacker pays, and,
unless `base_shares` names them, base fees of our own, by which a policy could earn more where
payments are small and the alternatives ask a base fee.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import gcd
from typing import NamedTuple

import numpy as np

from cl_revenue_ops.bench.bound_demand import RESERVE_SHARE, TrueDemand
from cl_revenue_ops.bench.bound_menu import mean_log_level, price_menu
from cl_revenue_ops.bench.bound_pricing import first_offers, price, reduced_gain
from cl_revenue_ops.bench.bound_programme import Offers, Problem, Solution, joined, solve
from cl_revenue_ops.simnode.market import Market
from cl_revenue_ops.simnode.market_quantiles import FloatArray
from cl_revenue_ops.simnode.prices import DAY_S, HOUR_S

SPAN_S = 3.0 * HOUR_S  # within it a price keeps its ratio to the level
GRID = 48
# The cheap end of what a refill costs, as a share of what the alternatives into the peer ask.
REFILL_COST_SHARE = 0.5
TOLERANCE = 0.002
MAX_ROUNDS = 40
KEEP_SHARE = 0.02  # an offer stays while it misses the best of its peer and period by no more


@dataclass(frozen=True)
class Bound:
    """What no policy can beat in the mean, net of refills, msat; and the plan behind it.

    `total_msat` is proven for the prices of the menu, `planned_msat` is what the best plan found
    earns, at most `TOLERANCE` less unless the rounds ran out. The parts share the total as the
    plan earns it:
    `per_channel_msat` by where payments leave (several channels to a peer by their capacity),
    `per_day_msat` by day. Both (peers, periods): `stock_msat` is what the plan leaves on our side
    at the end of each period, `stock_value_ppm` what one more local sat is worth in it.
    """

    total_msat: int
    planned_msat: int
    per_channel_msat: tuple[int, ...]
    per_day_msat: tuple[int, ...]
    stock_msat: FloatArray
    stock_value_ppm: FloatArray


class _Units:
    """One unit of volume and of money, so that the programme's numbers are about one."""

    def __init__(self, market: Market) -> None:
        capacity = sum(channel.capacity_sat for channel in market.channels) * 1_000.0
        self.volume_msat = capacity / len(market.peers)
        self.worth_ppm = market.parameters.level_median_ppm
        self.money_msat = self.volume_msat * self.worth_ppm / 1e6


class _Plan(NamedTuple):
    """The offers that a round knew, and the best mixture of them."""

    offers: Offers
    solution: Solution


def fluid_bound(
    market: Market,
    *,
    rebalancing: bool = False,
    period_s: float = DAY_S,
    grid: int = GRID,
    base_shares: Sequence[float] = (0.0,),
    cost_ppm: Callable[[int, int], float] | None = None,
) -> Bound:
    """Return the fluid bound of `market`; seconds of CPU for 16 channels and 45 days.

    `period_s` is how often stocks are held to their limits: whole hours, a divisor of the day.
    `grid` is the number of prices for each of our base fees, which are `base_shares` of the base
    fee of the alternatives. `cost_ppm(peer, day)` is what a refill of `peer` costs (default: half
    the level), used with `rebalancing` only. ValueError for what does not fit.
    """
    if period_s % HOUR_S or DAY_S % period_s:
        raise ValueError("a period must be a whole number of hours that divides the day")
    if grid < 4 or not base_shares or min(base_shares) < 0.0:
        raise ValueError("the bound needs at least four prices and base fees not below zero")
    units = _Units(market)
    problem = _problem(market, units, period_s, grid, base_shares)
    if rebalancing:
        problem = _refillable(problem, market, units, period_s, cost_ppm)
    plan, bound = _generate(problem)
    return _reported(market, units, problem, plan, bound)


def _problem(
    market: Market, units: _Units, period_s: float, grid: int, base_shares: Sequence[float]
) -> Problem:
    demand = TrueDemand(market)
    span_s = gcd(round(period_s / HOUR_S), round(SPAN_S / HOUR_S)) * HOUR_S
    peers = range(len(market.peers))
    menus = [price_menu(demand, peer, span_s, base_shares, grid) for peer in peers]
    volume = tuple(menu.volume_msat / units.volume_msat for menu in menus)
    periods = round(market.days * DAY_S / period_s)
    capacity, added = _stocks(market, units, periods)
    low, high = RESERVE_SHARE * capacity, (1.0 - RESERVE_SHARE) * capacity
    most_in = sum((sold.max(axis=1).sum(axis=0) for sold in volume), np.zeros(len(peers)))
    room = np.where(capacity > 0.0, high - np.cumsum(added, axis=1), np.inf).min(axis=1)
    return Problem(
        low=low,
        high=high,
        added=added,
        volume=volume,
        revenue=tuple(menu.revenue_msat / units.money_msat for menu in menus),
        refusable=most_in > room,
        periods=periods,
        refill_cost=None,
        refill_cap=np.zeros_like(added),
    )


def _stocks(market: Market, units: _Units, periods: int) -> tuple[FloatArray, FloatArray]:
    """Return the open capacity, and what is added to our stock, both (peers, periods)."""
    capacity = np.zeros((len(market.peers), periods))
    added = np.zeros_like(capacity)
    for channel in market.channels:
        first = channel.opens_day * periods // market.days
        size = channel.capacity_sat * 1_000.0 / units.volume_msat
        local = channel.local_sat * 1_000.0 / units.volume_msat
        capacity[channel.peer, first:] += size
        # A balance within the reserve cannot be moved: it counts as standing at the limit.
        if first < periods:
            local = min(max(local, RESERVE_SHARE * size), (1.0 - RESERVE_SHARE) * size)
            added[channel.peer, first] += local
    return capacity, added


def _refillable(
    problem: Problem,
    market: Market,
    units: _Units,
    period_s: float,
    cost_ppm: Callable[[int, int], float] | None,
) -> Problem:
    """Return the problem with refills: more than a channel holds and sells is never wanted."""
    demand = TrueDemand(market)

    def cost(peer: int, period: int) -> float:
        begin_s = market.start_s + period * period_s
        if cost_ppm is not None:
            return cost_ppm(peer, int(period * period_s // DAY_S)) / units.worth_ppm
        level_ppm = float(np.exp(mean_log_level(demand, peer, begin_s, period_s)))
        return REFILL_COST_SHARE * level_ppm / units.worth_ppm

    peers, periods = range(problem.peers), range(problem.periods)
    costs = np.array([[cost(peer, period) for period in periods] for peer in peers])
    if costs.min() < 0.0:
        raise ValueError("a refill cannot cost less than nothing")
    sold = [problem.by_period(volume.max(axis=1)).sum(axis=1) for volume in problem.volume]
    cap = np.array(sold) + problem.high - problem.low
    return replace(problem, refill_cost=costs, refill_cap=cap)


def _generate(problem: Problem) -> tuple[_Plan, float]:
    """Return the best plan of the last round, and the lowest bound that was proven."""
    offers, bound = first_offers(problem), np.inf
    for _ in range(MAX_ROUNDS):
        plan = _Plan(offers, solve(problem, offers))
        duals = plan.solution.duals
        priced = price(problem, duals)
        bound = min(bound, priced.bound)
        if bound <= plan.solution.value * (1.0 + TOLERANCE) or not len(priced.offers.peer):
            break
        slack = KEEP_SHARE * duals.time[offers.peer, offers.period] + 1e-6
        offers = joined([offers.take(-reduced_gain(offers, duals) <= slack), priced.offers])
    return plan, bound


def _reported(market: Market, units: _Units, problem: Problem, plan: _Plan, bound: float) -> Bound:
    offers, solution = plan
    earned = np.zeros((problem.peers, problem.periods))
    np.add.at(earned, (offers.peer, offers.period), solution.shares * offers.revenue)
    if problem.refill_cost is not None:
        earned -= problem.refill_cost * solution.refill
    total_msat = round(bound * units.money_msat)
    capacity = np.zeros(problem.peers)
    for channel in market.channels:
        capacity[channel.peer] += channel.capacity_sat
    per_peer = earned.sum(axis=1) / capacity
    per_channel = np.array([per_peer[c.peer] * c.capacity_sat for c in market.channels])
    per_day = earned.sum(axis=0).reshape(market.days, -1).sum(axis=1)
    return Bound(
        total_msat=total_msat,
        planned_msat=round(solution.value * units.money_msat),
        per_channel_msat=_parts(total_msat, per_channel),
        per_day_msat=_parts(total_msat, per_day),
        stock_msat=solution.stock * units.volume_msat,
        stock_value_ppm=solution.duals.stock * units.worth_ppm,
    )


def _parts(total_msat: int, weights: FloatArray) -> tuple[int, ...]:
    """Split `total_msat` in proportion, to the millisatoshi; all zero where nothing is earned."""
    whole = float(weights.sum())
    if whole <= 0.0:
        return (0,) * len(weights)
    upto = [0, *np.rint(total_msat * np.cumsum(weights) / whole).astype(np.int64).tolist()]
    upto[-1] = total_msat
    return tuple(after - before for before, after in pairwise(upto))
