"""The ledger: processor time and bytes an entry, and how long its totals and lookups take."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from cl_revenue_ops.domain.ledger.moves import channel_entries, payments_in
from cl_revenue_ops.storage.database import Database
from cl_revenue_ops.storage.fair_lock import FairLock
from cl_revenue_ops.storage.ledger_store import SqliteLedgerStore
from messages.node_books import ChannelMove

START_S = 1_700_000_000
DAY_S = 86_400
PAGE = 1_000


class _Lease:
    """Nobody replaces a benchmark."""

    def call(self, what: str, deadline_s: float) -> nullcontext[None]:
        return nullcontext()

    def effect(self) -> nullcontext[None]:
        return nullcontext()


def main(arguments: list[str]) -> dict[str, float]:
    """Run the benchmark and print its figures; returns them by name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rebalances", type=int, default=20_000)
    parser.add_argument("--channels", type=int, default=1_000)
    parser.add_argument("--days", type=int, default=1_000)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="ledger-") as folder:
        figures = _measure(Path(folder), options.rebalances, options.channels, options.days)
    for name, value in figures.items():
        print(f"{name:<46} {value:12.3f}")
    return figures


def _measure(folder: Path, count: int, channels: int, days: int) -> dict[str, float]:
    base = Database(None, str(folder), FairLock(), print)
    base.open("02" + "ab" * 32, "regtest")
    store = SqliteLedgerStore(base, _Lease())
    path, empty = base.place().path, base.place().path.stat().st_size
    pure_s = cpu_s = 0.0
    for page in _pages(count, channels, days):
        began_s = time.process_time()
        earlier = {name: store.of_payment(name) for name in payments_in(page)}
        found_s = time.process_time()
        entries = channel_entries(page, earlier, "listchannelmoves")
        made_s = time.process_time()
        store.book(entries)
        pure_s += made_s - found_s
        cpu_s += time.process_time() - began_s
    base.connection().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    first = START_S // DAY_S
    figures = {
        "cpu us per entry, all told": cpu_s / (2 * count) * 1e6,
        "  of these without the store": pure_s / (2 * count) * 1e6,
        "bytes per entry, all tables": (path.stat().st_size - empty) / (2 * count),
    }
    reads: dict[str, Callable[[], Any]] = {
        "lifetime totals, ms": lambda: store.totals(0, None),
        "totals of all days but the ends, ms": lambda: store.totals(first + 1, first + days - 1),
        "totals of the last 30 days, ms": lambda: store.totals(first + days - 30, None),
        "open transactions, ms": store.open_transactions,
        "newest 100 of a kind of account, ms": lambda: store.of_accounts("expenses:", 100),
    }
    for name, read in reads.items():
        figures[name] = min(_ms(read) for _ in range(5))
    base.close()
    return figures


def _ms(read: Callable[[], Any]) -> float:
    began_s = time.perf_counter()
    read()
    return (time.perf_counter() - began_s) * 1000


def _pages(count: int, channels: int, days: int) -> Iterator[list[ChannelMove]]:
    """Payments to ourselves, what arrives before what leaves."""
    rng = np.random.default_rng(1)
    names = [bytes(rng.bytes(32)).hex() for _ in range(channels)]
    for first in range(0, count, PAGE // 2):
        page = []
        for number in range(first, min(first + PAGE // 2, count)):
            one, two = rng.integers(0, channels, 2).tolist()
            amount_msat = int(rng.lognormal(np.log(5e8), 1.2))
            fee_msat = amount_msat // 2_000
            at_s = START_S + number * days * DAY_S // count
            paid = bytes(rng.bytes(32)).hex()
            index = 2 * number + 1
            page += [
                ChannelMove(index, names[one], "invoice", amount_msat, 0, 0, at_s, paid),
                ChannelMove(
                    *(index + 1, names[two], "invoice", 0, amount_msat + fee_msat, fee_msat),
                    *(at_s, paid, 0, 1),
                ),
            ]
        yield page


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
