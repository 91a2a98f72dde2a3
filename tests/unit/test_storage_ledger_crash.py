"""A kill at any moment leaves entries, totals, sums in transit and cursors in agreement."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from cl_revenue_ops.domain.ledger import accounts
from cl_revenue_ops.storage.care_store import SqliteCareStore
from cl_revenue_ops.storage.ledger_store import SqliteLedgerStore
from messages.books import Entry
from messages.node_books import RoutedSum
from tests.unit.ledger_support import summed
from tests.unit.ledger_writer import CHANNEL, PAGE, book_page, totals_of
from tests.unit.storage_support import RevocableLease, SetClock, opened

ROOT = Path(__file__).parents[2]
ROUNDS = 6


def run_and_kill(folder: Path, rng: random.Random) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.ledger_writer", str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    for _ in range(rng.randrange(1, 6)):
        assert child.stdout.readline(), "the writer ended by itself"
    time.sleep(rng.random() * 0.02)
    child.kill()
    child.communicate()


def whole(store: SqliteLedgerStore) -> list[Entry]:
    rows: list[tuple[int, Entry]] = []
    while True:
        page = store.page(len(rows), 5_000, 0.0, None)
        rows += page.rows
        if page.last:
            assert [number for number, _ in rows] == list(range(1, len(rows) + 1))
            return [row for _, row in rows]


def require_agreement(store: SqliteLedgerStore) -> int:
    entries, state = whole(store), store.load()
    totals = dict(store.totals(0, None))
    assert totals == summed(posting for row in entries for posting in row.postings)
    channel_moves, outputs = state.next_channel - 1, state.next_chain - 1
    # The first output has its other half in no page: half a transaction at either end.
    halves = [row for row in entries if row.txid in (f"{0:064x}", f"{state.next_chain // 2:064x}")]
    rest = summed(posting for row in entries if row not in halves for posting in row.postings)
    assert rest == totals_of(channel_moves, max(outputs - 1, 0) // 2)
    assert len(set(store.open_transactions())) == (1 if outputs else 0)
    assert outputs in (channel_moves, channel_moves - PAGE)
    pages = channel_moves // PAGE
    assert store.routed() == (
        (RoutedSum(CHANNEL, channel_moves, pages, 2 * pages, 3 * pages, 4 * pages, 5 * pages),)
        if pages
        else ()
    )
    by_day = [dict(store.totals(day, day + 1)) for day in range(state.next_channel + 1)]
    assert summed(posting for day in by_day for posting in day.items()) == totals
    assert accounts.TRANSIT in totals or not outputs
    return outputs


def test_after_a_kill_everything_agrees_and_work_goes_on(tmp_path: Path) -> None:
    seed = 20_261_123
    rng = random.Random(seed)
    before = 0
    for turn in range(ROUNDS):
        print("seed", seed, "round", turn)  # noqa: T201  # shown where the test fails
        run_and_kill(tmp_path, rng)
        with opened(tmp_path) as it:
            assert SqliteCareStore(it, RevocableLease(), SetClock(0.0)).check() is None
            store = SqliteLedgerStore(it, RevocableLease())
            after = require_agreement(store)
            assert after > before
            before = after
    with opened(tmp_path) as it:
        store = SqliteLedgerStore(it, RevocableLease())
        book_page(store)
        require_agreement(store)
