"""How often what the rule believes of demand holds the truth, how wide it is and how lopsided."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from cl_revenue_ops.bench.figures_play import RULE, Play, Runs, Setting
from cl_revenue_ops.bench.figures_sample import Guess, Look
from cl_revenue_ops.bench.figures_table import NUMBER, SHARE, Estimate, Figure, Row

TOTAL = "all"
QUANTITIES: tuple[tuple[str, Callable[[Look], Guess]], ...] = (
    ("best fee", lambda look: look.fee),
    ("volume, now", lambda look: look.now),
    ("volume, day", lambda look: look.mean),
    ("volume, enters", lambda look: look.enters),
)
SPANS: tuple[tuple[str, float, float], ...] = (
    ("days 4-7", 3.0, 7.0),
    ("days 8-15", 7.0, 15.0),
    ("later", 15.0, math.inf),
    ("always", 0.0, math.inf),
)
LEAST_TRUE = 1e-3


def coverage_plays(setting: Setting) -> list[Play]:
    """Return the runs that `coverage` is taken from."""
    return setting.plays((RULE,), setting.scenarios)


def coverage(runs: Runs, setting: Setting) -> Figure:
    """Return the coverage of the 80 % intervals, by scenario, time since the start and quantity."""
    by_world = {
        world: {s: run.looks for s, run in setting.had(runs, RULE, world).items()}
        for world in setting.scenarios
    }
    if len(by_world) > 1:
        together = {
            seed: tuple(look for looks in by_world.values() for look in looks.get(seed, ()))
            for seed in setting.seeds
        }
        by_world[TOTAL] = together
    rows = [
        Row((world, label, span), measured(looks, pick, low, high))
        for world, looks in by_world.items()
        for label, pick in QUANTITIES
        for span, low, high in SPANS
        if world == TOTAL or len(by_world) == 1 or span == "always"
    ]
    return Figure(
        "coverage",
        "coverage: the truth in the 80 % intervals",
        (
            *("scenario", "of", "when", "covered", "covered, rev.", "truth below", "truth above"),
            *("width ln", "bias ln", "bias, rev.", "looks"),
        ),
        tuple(rows),
        (
            "mean over seeds ± 95 %; 'rev.' weighs by the true revenue at the best fee; the "
            "width is the mean of ln(high/low), the bias the mean of ln(centre/truth).",
            "'now' is the true volume as the hour and the week have it, 'day' its mean over the "
            "day around it, 'enters' the part of that whose peers had the balance to bring it.",
        ),
    )


def measured(
    looks: dict[int, tuple[Look, ...]], pick: Callable[[Look], Guess], low: float, high: float
) -> tuple[Estimate, ...]:
    """Return the cells of one row: looks from day `low` to day `high`."""
    kept = {
        seed: [look for look in found if low <= look.day < high] for seed, found in looks.items()
    }
    kept = {seed: found for seed, found in kept.items() if found}

    def each(of: Callable[[Guess], float], weigh: bool = False, form: str = SHARE) -> Estimate:
        return Estimate(
            {
                seed: _mean([of(pick(look)) for look in found], found if weigh else None)
                for seed, found in kept.items()
            },
            form,
        )

    return (
        each(lambda g: float(g.covers)),
        each(lambda g: float(g.covers), weigh=True),
        each(lambda g: float(g.true < g.low)),
        each(lambda g: float(g.true > g.high)),
        each(lambda g: _log(g.high) - _log(g.low), form=NUMBER),
        each(lambda g: _log(g.mid) - _log(g.true), form=NUMBER),
        each(lambda g: _log(g.mid) - _log(g.true), weigh=True, form=NUMBER),
        Estimate({seed: float(len(found)) for seed, found in kept.items()}, "sats"),
    )


def _log(value: float) -> float:
    return math.log(max(value, LEAST_TRUE))


def _mean(values: Iterable[float], weights: Sequence[Look] | None) -> float:
    worth = None if weights is None else [look.weight for look in weights]
    return float(np.average(list(values), weights=worth))
