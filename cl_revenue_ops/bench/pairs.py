"""What rebalancing adds: each pair against its fee rule alone, per scenario and in total."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from cl_revenue_ops.bench.outcome import Outcome
from cl_revenue_ops.bench.registry import OURS, PAIR_SIGN, RULE, TRUTH, fees_of
from cl_revenue_ops.bench.stats import Interval, interval, paired
from cl_revenue_ops.bench.table import TOTAL, Score, range_of, signed, value_of

HARM_POINT = -0.01
"""Rebalancing that costs more than a point of the bound in the mean of a scenario is pointed at."""
ROUNDING = 1e-9

HEADS = (
    *("pair", "of bound", "with - without", "95 %", "spent", "moves/day", "arrived", "moved"),
    *("worst scenario", ""),
)
BELOW = "below -1 point"
MARK = "!"


class PairLine(NamedTuple):
    """A pair in one scenario, or over all of them.

    `share` of the bound and `gain`, that less the fee rule's alone, by seed (of a day's satoshi
    where there is no bound). `spent` on moves as a share of the fees; `moves` a day that arrived,
    `arrived` their share of those sent; `moved` as a share of what was forwarded. `harms` tells
    that the mean gain is more than a point of the bound below 0.
    """

    scenario: str
    pair: str
    share: Interval
    gain: Interval
    spent: float
    moves: float
    arrived: float
    moved: float
    harms: bool


def without(label: str) -> str:
    """Return the label of the same policy without its rebalancer."""
    name, plus, options = label.partition("+")
    return fees_of(name) + plus + options


def pairs_of(score: Score) -> list[str]:
    """Return the labels of the pairs that were played."""
    return [label for label in score.outcomes if PAIR_SIGN in label.partition("+")[0]]


def pair_lines(score: Score) -> list[PairLine]:
    """Return a line for each pair and scenario, those over all scenarios last."""
    found = []
    for scenario in score.scenarios:
        for pair in pairs_of(score):
            own = list(score.outcomes[pair].get(scenario, {}).values())
            values = score.shares(pair, scenario)
            alone = score.shares(without(pair), scenario)
            found.append(_line(score, scenario, pair, values, alone, own))
    for pair in pairs_of(score):
        own = [o for seeds in score.outcomes[pair].values() for o in seeds.values()]
        found.append(_line(score, TOTAL, pair, score.total(pair), score.total(without(pair)), own))
    return found


def _line(
    score: Score,
    scenario: str,
    pair: str,
    values: dict[int, float],
    alone: dict[int, float],
    own: Sequence[Outcome],
) -> PairLine:
    gain = paired(values, alone)
    fees_msat, days = sum(o.fees_msat for o in own), sum(o.days for o in own)
    moves, tries = sum(o.moves for o in own), sum(o.move_tries for o in own)
    volume_msat, moved_msat = sum(o.volume_msat for o in own), sum(o.moved_msat for o in own)
    return PairLine(
        scenario,
        pair,
        interval([values[seed] for seed in sorted(values)]),
        gain,
        sum(o.rebalance_cost_msat for o in own) / fees_msat if fees_msat else 0.0,
        moves / days if days else 0.0,
        moves / tries if tries else 0.0,
        moved_msat / volume_msat if volume_msat else 0.0,
        score.bounded and gain.mean < HARM_POINT - ROUNDING,
    )


def worst(found: Sequence[PairLine], pair: str) -> PairLine | None:
    """Return a pair's line of the scenario in which its gain is smallest; None if there is none."""
    own = [line for line in found if line.pair == pair and line.scenario != TOTAL]
    known = [line for line in own if not math.isnan(line.gain.mean)]
    return min(known, key=lambda line: line.gain.mean, default=None)


def harmed(found: Sequence[PairLine]) -> list[PairLine]:
    """Return the lines of single scenarios that a pair makes worse by more than a point."""
    return [line for line in found if line.harms and line.scenario != TOTAL]


def notes(score: Score) -> list[str]:
    """Return in plain words what the shares are of, and how near our rule comes to the truth."""
    told = []
    if score.rebalancing:
        more = [
            bound_msat / score.plain_bounds_msat[scenario][seed]
            for scenario, seeds in score.bounds_msat.items()
            for seed, bound_msat in seeds.items()
            if score.plain_bounds_msat.get(scenario, {}).get(seed, 0.0) > 0.0
        ]
        times = f", which is {np.mean(more):.2f} times that without" if more else ""
        told.append(f"Shares are of the bound with rebalancing{times}.")
    for label in score.outcomes:
        truth = TRUTH + label.removeprefix(RULE)
        if fees_of(label) in OURS and label != truth and truth in score.outcomes:
            told.append(_of_truth(score, label, truth))
    return told


def _of_truth(score: Score, label: str, truth: str) -> str:
    own, known = score.total(label), score.total(truth)
    seeds = sorted(seed for seed in own if known.get(seed, 0.0) > 0.0)
    if not seeds:
        return f"{label} and {truth} have no seed in common."
    ratios = [own[seed] / known[seed] for seed in seeds]
    mean = sum(own[seed] for seed in seeds) / sum(known[seed] for seed in seeds)
    by_seed = f"by seed {min(ratios):.3f} to {max(ratios):.3f}"
    return f"{label} earns {mean:.3f} of what {truth} does ({by_seed})."


# -- as text -------------------------------------------------------------------------------------


def cells(line: PairLine, bounded: bool, least: PairLine | None) -> tuple[str, ...]:
    """Return a line as the words under `HEADS`; `least` is the pair's worst line."""
    at_worst = "" if least is None else f"{least.scenario} {signed(least.gain.mean, bounded)}"
    return (
        line.pair,
        value_of(line.share.mean, bounded),
        signed(line.gain.mean, bounded),
        range_of(line.gain, bounded),
        f"{line.spent:.0%}",
        f"{line.moves:.1f}",
        f"{line.arrived:.0%}",
        f"{line.moved:.0%}",
        at_worst,
        MARK if line.harms or (least is not None and least.harms) else "",
    )


def heads(bounded: bool) -> tuple[str, ...]:
    """Return the words above the columns."""
    return tuple("sat/day" if head == "of bound" and not bounded else head for head in HEADS)


def print_pairs(console: Console, score: Score) -> None:
    """Print what rebalancing adds over all scenarios, and where it takes more than a point."""
    found = pair_lines(score)
    if not found:
        return
    title = "with rebalancing against without"
    table = Table(box=box.SIMPLE_HEAD, title=title, padding=(0, 1, 0, 0), pad_edge=False)
    for place, head in enumerate(heads(score.bounded)):
        table.add_column(head, justify="right" if place else "left", no_wrap=True)
    for line in totals(found):
        table.add_row(*cells(line, score.bounded, worst(found, line.pair)))
    console.print(table)
    for line in harmed(found):
        told = f"{line.pair}: {signed(line.gain.mean, True)} in {line.scenario}, {BELOW}"
        console.print(told, highlight=False, markup=False, soft_wrap=True)


def totals(found: Sequence[PairLine]) -> list[PairLine]:
    """Return the lines over all scenarios, the largest share first."""
    own = [line for line in found if line.scenario == TOTAL]
    return sorted(
        own, key=lambda line: math.inf if math.isnan(line.share.mean) else -line.share.mean
    )
