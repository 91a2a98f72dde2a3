"""The rebalancers that stand beside a fee rule on the bench: `REBALANCERS` by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cl_revenue_ops.bench.policy import FeePolicy
from cl_revenue_ops.bench.rebalancers.clboss import ClbossEarnings, ClbossJit
from cl_revenue_ops.bench.rebalancers.economic import Economic
from cl_revenue_ops.bench.rebalancers.lndg import LndgAutoRebalance
from cl_revenue_ops.bench.rebalancers.lnoperator import LnOperatorBudget
from cl_revenue_ops.bench.rebalancers.pair import Nothing, Paired, Rebalancer
from cl_revenue_ops.bench.routes import TrueRoutes

__all__ = ["NATIVE", "NONE", "REBALANCERS", "Paired", "Rebalancer"]

NONE = "none"

Make = Callable[[FeePolicy, int, TrueRoutes | None], Rebalancer]
"""Makes a rebalancer beside a fee rule from the seed of its draws; the true routes are given to
the one whose fee rule is told the truth, and to no other."""

DRAWS = 30  # apart from the draws of the fee rule, which has the seed itself


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, DRAWS])


def _expected_value(fees: FeePolicy, seed: int, routes: TrueRoutes | None) -> Rebalancer:
    """The plugin's own, which the plugin is needed for."""
    from cl_revenue_ops.bench.rebalancers.ev import ExpectedValue

    return ExpectedValue(fees, routes)


REBALANCERS: dict[str, Make] = {
    NONE: lambda fees, seed, routes: Nothing(),
    "earnings": lambda fees, seed, routes: ClbossEarnings(fees, _rng(seed)),
    "jit": lambda fees, seed, routes: ClbossJit(fees, _rng(seed)),
    "ar": lambda fees, seed, routes: LndgAutoRebalance(fees),
    "economic": lambda fees, seed, routes: Economic(fees),
    "budget": lambda fees, seed, routes: LnOperatorBudget(fees),
    "ev": _expected_value,
}

# Fee rules with the rebalancer of their own tool, or of a tool that works beside any fee rule.
NATIVE = (
    *("clboss/earnings", "clboss/jit", "clboss/economic"),
    *("clboss-nosize/earnings", "clboss-nosize/jit", "clboss-nosize/economic"),
    *("lndg/ar", "lnoperator/budget"),
    *("static/economic", "proportional/economic", "feeadjuster-median/economic"),
)
