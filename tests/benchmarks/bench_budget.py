"""How often the budget is overspent in seeded runs with crashes, lost replies and late payments."""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from pathlib import Path

from cl_revenue_ops.bench.house_node import FOLDER
from tests.sim.budget_model import BrittleLease, told
from tests.unit.budget_support import Desk


def main(arguments: list[str]) -> dict[str, float]:
    """Run the model (tests/sim/budget_model.py) from seed to seed; prints what happened in it.

    A broken law ends it, with the seed and the story so far.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1, help="the first of them")
    options = parser.parse_args(arguments)
    figures = dict.fromkeys(("runs", "steps", "promises", "payments", "deaths"), 0.0)
    spare_msat = math.inf
    begun_s = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="budget-", dir=FOLDER) as folder:
        desk = Desk(Path(folder), BrittleLease)
        for seed in range(options.seed, options.seed + options.runs):
            story = told(desk, seed)
            figures["runs"] += 1
            figures["steps"] += len(story.trace)
            figures["promises"] += story.granted
            figures["payments"] += sum(len(job.paid) for job in story.jobs)
            figures["deaths"] += story.deaths
            spare_msat = min(spare_msat, float(story.spare_msat))
        desk.base.close()
    figures["most msat over budget"] = max(0.0, -spare_msat)
    figures["least msat to spare"] = spare_msat
    figures["seconds"] = time.perf_counter() - begun_s
    for name, value in figures.items():
        print(f"{name:<22} {value:12,.0f}")
    return figures


if __name__ == "__main__":
    main(sys.argv[1:])
