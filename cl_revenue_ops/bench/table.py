"""How a bench is summed up: per scenario and in total, as tables for a terminal and a page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from cl_revenue_ops.bench.outcome import Outcome
from cl_revenue_ops.bench.registry import REBALANCING_BOUND
from cl_revenue_ops.bench.run import Results
from cl_revenue_ops.bench.stats import Interval, interval, over_scenarios, paired, shares

TOTAL = "all scenarios"
HEADS = (
    *("policy", "of bound", "95 %", "against base", "95 %", "net sat/day", "updates", "refused"),
    *("depleted", "spent"),
)


class Line(NamedTuple):
    """One policy in one scenario (or over all of them).

    `share` of the bound (of a day's satoshi where there is no bound) and `gain`, its paired
    difference from the base policy. `updates` a channel-day; `refused` for lack of liquidity per
    forward that went through or was refused; `spent` on rebalancing as a share of the fees.
    """

    scenario: str
    policy: str
    share: Interval
    gain: Interval
    net_sat_per_day: float
    updates: float
    refused: float
    depleted: float
    spent: float


class Score:
    """Results by policy, scenario and seed; `bounded` tells whether shares are of the bound.

    That is the bound with `rebalancing` if it was asked for; then `plain_bounds_msat` is without.
    """

    def __init__(self, results: Results) -> None:
        self.outcomes: dict[str, dict[str, dict[int, Outcome]]] = {}
        for cell, outcome in results.outcomes.items():
            scenarios = self.outcomes.setdefault(cell.label, {})
            scenarios.setdefault(cell.scenario, {})[cell.seed] = outcome
        self.rebalancing = any(cell.label == REBALANCING_BOUND for cell in results.bounds_msat)
        self.bounds_msat: dict[str, dict[int, float]] = {}
        self.plain_bounds_msat: dict[str, dict[int, float]] = {}
        for cell, bound_msat in results.bounds_msat.items():
            ours = (cell.label == REBALANCING_BOUND) == self.rebalancing
            bounds = self.bounds_msat if ours else self.plain_bounds_msat
            bounds.setdefault(cell.scenario, {})[cell.seed] = bound_msat
        self.bounded = bool(self.bounds_msat)
        self.scenarios = list(dict.fromkeys(cell.scenario for cell in results.outcomes))

    def shares(self, policy: str, scenario: str) -> dict[int, float]:
        """Return what each seed earned, net, as a share of its bound (or in sat a day)."""
        own = self.outcomes.get(policy, {}).get(scenario, {})
        if self.bounded:
            # What a drain attacker pays is no part of the bound: it is no share of it either.
            earned_msat = {seed: o.net_msat - o.attack_fees_msat for seed, o in own.items()}
            return shares(earned_msat, self.bounds_msat.get(scenario, {}))
        return {seed: _sat_per_day(outcome) for seed, outcome in own.items()}

    def total(self, policy: str) -> dict[int, float]:
        """Return each seed's mean share over the scenarios."""
        return over_scenarios({name: self.shares(policy, name) for name in self.scenarios})


def lines(score: Score, base: str) -> list[Line]:
    """Return a line for each scenario and policy, those over all scenarios last."""
    found = []
    for scenario in score.scenarios:
        for policy in score.outcomes:
            own = list(score.outcomes[policy].get(scenario, {}).values())
            values = score.shares(policy, scenario)
            found.append(_line(scenario, policy, values, score.shares(base, scenario), own))
    if len(score.scenarios) > 1:
        for policy, by_scenario in score.outcomes.items():
            own = [outcome for seeds in by_scenario.values() for outcome in seeds.values()]
            found.append(_line(TOTAL, policy, score.total(policy), score.total(base), own))
    return found


def _line(
    scenario: str,
    policy: str,
    values: dict[int, float],
    base: dict[int, float],
    own: Sequence[Outcome],
) -> Line:
    fees_msat = sum(outcome.fees_msat for outcome in own)
    spent_msat = sum(outcome.rebalance_cost_msat for outcome in own)
    settled = sum(outcome.forwards for outcome in own)
    refused = sum(outcome.refused for outcome in own)
    return Line(
        scenario,
        policy,
        interval([values[seed] for seed in sorted(values)]),
        paired(values, base),
        _mean(own, _sat_per_day),
        _mean(own, lambda outcome: outcome.broadcasts_per_channel_day),
        refused / (settled + refused) if settled + refused else 0.0,
        _mean(own, lambda outcome: outcome.depleted_share),
        spent_msat / fees_msat if fees_msat else 0.0,
    )


def _sat_per_day(outcome: Outcome) -> float:
    return outcome.net_msat / 1000.0 / outcome.days


def _mean(own: Sequence[Outcome], of: Callable[[Outcome], float]) -> float:
    return float(np.mean([of(outcome) for outcome in own])) if own else math.nan


# -- as text -------------------------------------------------------------------------------------


def cells(line: Line, bounded: bool, is_base: bool) -> tuple[str, ...]:
    """Return a line as the words under `HEADS`."""
    share, gain = line.share, line.gain
    return (
        line.policy,
        value_of(share.mean, bounded),
        range_of(share, bounded),
        "base" if is_base else signed(gain.mean, bounded),
        "" if is_base else range_of(gain, bounded),
        f"{line.net_sat_per_day:,.0f}",
        f"{line.updates:.2f}",
        f"{line.refused:.0%}",
        f"{line.depleted:.0%}",
        f"{line.spent:.0%}",
    )


def value_of(value: float, bounded: bool) -> str:
    """Return a share of the bound, or satoshi a day, as text."""
    if math.isnan(value):
        return "-"
    return f"{value:.3f}" if bounded else f"{value:,.0f}"


def signed(value: float, bounded: bool) -> str:
    """Return a difference as text."""
    if math.isnan(value):
        return "-"
    return f"+{value_of(value, bounded)}" if value >= 0 else value_of(value, bounded)


def range_of(found: Interval, bounded: bool) -> str:
    """Return an interval as text."""
    if not math.isfinite(found.half):
        return "one seed" if found.size == 1 else ""
    return f"{value_of(found.low, bounded)} … {value_of(found.high, bounded)}"


def heads(bounded: bool) -> tuple[str, ...]:
    """Return the words above the columns."""
    return tuple("sat/day" if head == "of bound" and not bounded else head for head in HEADS)


def grouped(found: Sequence[Line]) -> dict[str, list[Line]]:
    """Return the lines by scenario, the best policy first."""
    groups: dict[str, list[Line]] = {}
    for line in found:
        groups.setdefault(line.scenario, []).append(line)
    for group in groups.values():
        group.sort(key=lambda line: -line.share.mean if not math.isnan(line.share.mean) else 1e9)
    return groups


def print_tables(console: Console, score: Score, base: str) -> None:
    """Print one table a scenario, best policy first, and the one over all of them last."""
    for scenario, group in grouped(lines(score, base)).items():
        seeds = max(line.share.size for line in group)
        title = f"{scenario}, {seeds} seed{'s' * (seeds != 1)}"
        table = Table(box=box.SIMPLE_HEAD, title=title, padding=(0, 1, 0, 0), pad_edge=False)
        for place, head in enumerate(heads(score.bounded)):
            table.add_column(head, justify="right" if place else "left", no_wrap=True)
        for line in group:
            table.add_row(*cells(line, score.bounded, line.policy == base))
        console.print(table)
