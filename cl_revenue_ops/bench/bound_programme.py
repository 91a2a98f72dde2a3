"""Owns the planner's linear programme: how long each offer is held, and what a sat is worth then.

Everything is in the units of a `Problem`: one of volume, one of money.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.optimize import linprog

from cl_revenue_ops.simnode.market_quantiles import FloatArray

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
NEGLIGIBLE = 1e-12


@dataclass(frozen=True)
class Problem:
    """What the planner faces. Stocks are ours per peer and end each period within `low`, `high`.

    `added` is what comes with channels at the beginning of a period (in the first: the balances
    at the start); all three are (peers, periods). `volume[j]`, `revenue[j]` (spans, prices, in
    peers) are what each price into peer j sells. `refusable` marks in peers that could ever be
    full. `refill_cost` (peers, periods), money per volume, is None without rebalancing;
    `refill_cap` bounds the refill of each peer in a period.
    """

    low: FloatArray
    high: FloatArray
    added: FloatArray
    volume: tuple[FloatArray, ...]
    revenue: tuple[FloatArray, ...]
    refusable: BoolArray
    periods: int
    refill_cost: FloatArray | None
    refill_cap: FloatArray

    @property
    def peers(self) -> int:
        return len(self.added)

    def by_period(self, spans: FloatArray) -> FloatArray:
        """Sum an array (spans, ...) to (periods, ...)."""
        return np.asarray(spans.reshape(self.periods, -1, *spans.shape[1:]).sum(axis=1))


@dataclass(frozen=True)
class Offers:
    """Ways to price one peer for one period, one entry each: what it earns, and what comes in
    from each peer (offers, in peers) on its way to `peer`."""

    peer: IntArray
    period: IntArray
    revenue: FloatArray
    inflow: FloatArray

    def take(self, keep: BoolArray) -> Offers:
        """Return the marked ones."""
        return Offers(self.peer[keep], self.period[keep], self.revenue[keep], self.inflow[keep])

    @property
    def drawn(self) -> FloatArray:
        """What each offer takes from each peer's stock, net (offers, peers)."""
        net = -self.inflow
        net[np.arange(len(self.peer)), self.peer] += self.inflow.sum(axis=1)
        return net


def joined(parts: list[Offers]) -> Offers:
    """Return all offers of `parts`."""
    return Offers(
        np.concatenate([part.peer for part in parts]),
        np.concatenate([part.period for part in parts]),
        np.concatenate([part.revenue for part in parts]),
        np.concatenate([part.inflow for part in parts]),
    )


class Duals(NamedTuple):
    """Values per unit: of stock (peers, periods), of what is in transit (periods), and of the
    time of each peer's price (peers, periods)."""

    stock: FloatArray
    transit: FloatArray
    time: FloatArray


class Solution(NamedTuple):
    """The best plan from the given offers: shares of time; stocks at the ends of periods, and
    refills (peers, periods)."""

    value: float
    shares: FloatArray
    stock: FloatArray
    refill: FloatArray
    duals: Duals


def solve(problem: Problem, offers: Offers) -> Solution:
    """Return the best mixture of `offers`; RuntimeError where HiGHS does not find it.

    Variables: share of its period for each offer, stock at the end of each period, and with
    rebalancing what arrives at and what leaves each peer in each period.
    """
    count, cells = len(offers.peer), problem.peers * problem.periods
    refills = problem.refill_cost is not None
    cost = [-offers.revenue, np.zeros(cells)]
    bounds = [_bounds(np.zeros(count), np.full(count, np.inf))]
    bounds.append(_bounds(problem.low.ravel(), problem.high.ravel()))
    if problem.refill_cost is not None:
        cap = problem.refill_cap.ravel()
        cost += [problem.refill_cost.ravel(), np.zeros(cells)]
        bounds += [_bounds(np.zeros(cells), cap), _bounds(np.zeros(cells), np.full(cells, np.inf))]
    equal, right = _balance(problem, offers, refills)
    time = sparse.coo_matrix(
        (np.ones(count), (offers.peer * problem.periods + offers.period, np.arange(count))),
        shape=(cells, equal.shape[1]),
    )
    found = linprog(
        np.concatenate(cost),
        A_ub=time.tocsc(),
        b_ub=np.ones(cells),
        A_eq=equal,
        b_eq=right,
        bounds=np.concatenate(bounds),
        method="highs-ds",
    )
    if found.status != 0:
        raise RuntimeError(f"no plan found: {found.message}")
    shape = (problem.peers, problem.periods)
    refill = found.x[count + cells : count + 2 * cells] if refills else np.zeros(cells)
    return Solution(
        -float(found.fun),
        found.x[:count],
        found.x[count : count + cells].reshape(shape),
        refill.reshape(shape),
        Duals(
            -found.eqlin.marginals[:cells].reshape(shape),
            -found.eqlin.marginals[cells:],
            -found.ineqlin.marginals.reshape(shape),
        ),
    )


def _bounds(low: FloatArray, high: FloatArray) -> FloatArray:
    return np.stack([low, high], axis=1)


def _balance(
    problem: Problem, offers: Offers, refills: bool
) -> tuple[sparse.csc_matrix, FloatArray]:
    """Return the rows stock(t) - stock(t-1) + drawn - refilled in + out = added, per peer and
    period, and with rebalancing: what leaves = what arrives, per period."""
    periods, cells = problem.periods, problem.peers * problem.periods
    drawn = offers.drawn
    offer, peer = np.nonzero(np.abs(drawn) > NEGLIGIBLE)
    flows = sparse.coo_matrix(
        (drawn[offer, peer], (peer * periods + offers.period[offer], offer)),
        shape=(cells, len(drawn)),
    )
    follows = (np.arange(1, cells) % periods != 0).astype(np.float64)
    change = sparse.eye(cells) - sparse.diags([follows], [-1], shape=(cells, cells))
    right = problem.added.ravel()
    if not refills:
        return sparse.hstack([flows, change]).tocsc(), right
    unit = sparse.eye(cells)
    of_period = sparse.hstack([sparse.eye(periods)] * problem.peers)
    rows = [[flows, change, -unit, unit], [None, None, of_period, -of_period]]
    return sparse.bmat(rows).tocsc(), np.concatenate([right, np.zeros(periods)])
