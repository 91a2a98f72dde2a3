"""How often the rule changes what it broadcasts, per channel and day."""

from __future__ import annotations

import numpy as np

from cl_revenue_ops.bench.figures_play import RULE, Play, Run, Runs, Setting
from cl_revenue_ops.bench.figures_table import NUMBER, Estimate, Figure, Row

TOTAL = "all"


def gossip_plays(setting: Setting) -> list[Play]:
    """Return the runs that `gossip` is taken from."""
    return setting.plays((RULE,), setting.scenarios)


def per_day(run: Run) -> tuple[float, ...]:
    """Return the broadcasts a day of each channel while it was open."""
    outcome = run.outcome
    days = [outcome.days - opens for opens in run.opens_day]
    return tuple(count / day for count, day in zip(outcome.broadcasts, days, strict=True))


def gossip(runs: Runs, setting: Setting) -> Figure:
    """Return the broadcasts a channel-day: their mean, and the busiest channel's."""
    by_world = {
        world: {
            seed: (run.outcome.broadcasts_per_channel_day, max(per_day(run)))
            for seed, run in setting.had(runs, RULE, world).items()
        }
        for world in setting.scenarios
    }
    rows = [
        _row(world, {s: [pair] for s, pair in found.items()}) for world, found in by_world.items()
    ]
    if len(rows) > 1:
        together: dict[int, list[tuple[float, float]]] = {}
        for found in by_world.values():
            for seed, pair in found.items():
                together.setdefault(seed, []).append(pair)
        rows.append(_row(TOTAL, together))
    return Figure(
        "gossip",
        "gossip: broadcasts a channel-day",
        ("scenario", "mean of channels", "busiest channel"),
        tuple(rows),
        ("mean over seeds ± 95 % (the most of all seeds)",),
    )


def _row(label: str, pairs: dict[int, list[tuple[float, float]]]) -> Row:
    """The mean of (mean, busiest) pairs of each seed, and the busiest of them all."""
    mean = {seed: float(np.mean([one for one, _ in found])) for seed, found in pairs.items()}
    most = {seed: max(one for _, one in found) for seed, found in pairs.items()}
    top = max(most.values(), default=None)
    return Row((label,), (Estimate(mean, NUMBER), Estimate(most, NUMBER, top)))
