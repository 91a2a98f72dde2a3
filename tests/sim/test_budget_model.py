"""No interleaving, crash or restart spends more than the day allows: seeded runs of the model.

More of them: `REVENUE_OPS_BUDGET_RUNS=10000 python -m pytest tests/sim/test_budget_model.py`, or
`python -m tests.benchmarks budget`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cl_revenue_ops.bench.house_node import FOLDER
from tests.sim.budget_model import BrittleLease, told
from tests.unit.budget_support import Desk

RUNS = int(os.environ.get("REVENUE_OPS_BUDGET_RUNS", "300"))
SEED = int(os.environ.get("REVENUE_OPS_BUDGET_SEED", "1"))


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with tempfile.TemporaryDirectory(prefix="budget-", dir=FOLDER) as folder:
        made = Desk(Path(folder), BrittleLease)
        yield made
        made.base.close()


def test_nothing_is_overspent_whatever_happens(desk: Desk) -> None:
    stories = [told(desk, seed) for seed in range(SEED, SEED + RUNS)]
    # The runs are about something: promises were made, paid, and the clock and the disk failed.
    assert sum(story.granted for story in stories) > RUNS
    assert sum(len(job.paid) for story in stories for job in story.jobs) > RUNS


def test_the_same_seed_is_the_same_run(desk: Desk) -> None:
    one, two = told(desk, SEED), told(desk, SEED)
    assert one.trace == two.trace
    assert one.jobs == two.jobs
