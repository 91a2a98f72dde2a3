"""A kill at any moment leaves the log, the totals and every cursor in agreement."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from cl_revenue_ops.storage.care_store import SqliteCareStore
from cl_revenue_ops.storage.flow_store import SqliteFlowStore
from cl_revenue_ops.storage.forward_store import SqliteForwardStore
from messages.forwards import LoggedForward
from tests.unit.storage_support import RevocableLease, SetClock, forward, opened
from tests.unit.storage_writer import PAGE

ROOT = Path(__file__).parents[2]
ROUNDS = 6


def run_and_kill(folder: Path, rng: random.Random) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.storage_writer", str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    for _ in range(rng.randrange(1, 6)):
        assert child.stdout.readline(), "the writer ended by itself"
    time.sleep(rng.random() * 0.02)
    child.kill()
    child.communicate()


def whole_log(store: SqliteForwardStore) -> list[LoggedForward]:
    rows: list[LoggedForward] = []
    while True:
        page = store.read_log(len(rows), 5000, 0.0)
        rows += page.rows
        if page.last:
            return rows


def require_agreement(folder: Path) -> int:
    with opened(folder) as it:
        assert SqliteCareStore(it, RevocableLease(), SetClock(0.0)).check() is None
        store = SqliteForwardStore(it, RevocableLease())
        state = store.load()
        rows = whole_log(store)
        waiting = store.open_forwards(10_000)
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
        assert state.log_seq == state.settled == len(rows)
        assert state.fees_msat == sum(row.fee_msat or 0 for row in rows)
        assert state.volume_msat == sum(row.out_msat or 0 for row in rows)
        assert state.offered == len(waiting)
        # Pages and cursor go together: all below the cursor is there, above it only hints.
        fees = sorted(row.fee_msat or 0 for row in rows)  # the fee of a forward is its number
        assert fees[: state.next_created] == list(range(state.next_created))
        assert len(rows) - state.next_created in (0, 5)
        assert all(row.in_htlc_id >= state.next_created for row in waiting)
        assert set(waiting) <= {forward(state.next_created + n, "offered") for n in range(PAGE)}
        cursor, _, states = SqliteFlowStore(it, RevocableLease()).load()
        seen = sum(row.fee_msat or 0 for row in rows[:cursor])
        assert int(states.get("total", "0")) == seen
        return len(rows)


def test_after_a_kill_everything_agrees_and_work_goes_on(tmp_path: Path) -> None:
    seed = 20_250_301
    rng = random.Random(seed)
    before = 0
    for turn in range(ROUNDS):
        print("seed", seed, "round", turn)  # noqa: T201  # shown where the test fails
        run_and_kill(tmp_path, rng)
        after = require_agreement(tmp_path)
        assert after > before
        before = after
