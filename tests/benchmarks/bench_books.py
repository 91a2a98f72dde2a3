"""The forward log: bytes and processor time a forward, and how long its totals take to read."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from cl_revenue_ops.storage.database import Database
from cl_revenue_ops.storage.fair_lock import FairLock
from cl_revenue_ops.storage.forward_store import SqliteForwardStore
from messages.forwards import FAILED, LOCAL_FAILED, SETTLED, Forward

START_S = 1_700_000_000.0
DAY_S = 86_400.0
PAGE = 1_000
CODES = (4_103, 4_108, 16_394, None)


class OneLease:
    """Nobody replaces a benchmark."""

    def call(self, what: str, deadline_s: float) -> nullcontext[None]:
        return nullcontext()

    def effect(self) -> nullcontext[None]:
        return nullcontext()

    def is_current(self) -> bool:
        return True


def main(arguments: list[str]) -> dict[str, float]:
    """Run the benchmark and print its figures; returns them by name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--forwards", type=int, default=200_000)
    parser.add_argument("--channels", type=int, default=1_000)
    parser.add_argument("--days", type=float, default=0.0, help="0: 12,500 forwards a day")
    options = parser.parse_args(arguments)
    days = options.days or options.forwards / 12_500
    with tempfile.TemporaryDirectory(prefix="books-") as folder:
        figures = _measure(Path(folder), options.forwards, options.channels, days)
    for name, value in figures.items():
        print(f"{name:<46} {value:12.3f}")
    return figures


def _measure(folder: Path, count: int, channels: int, days: float) -> dict[str, float]:
    base = Database(None, str(folder), FairLock(), print)
    base.open("02" + "ab" * 32, "regtest")
    store = SqliteForwardStore(base, OneLease())
    path, empty = base.place().path, base.place().path.stat().st_size
    cpu_s = 0.0
    for page in pages(count, _scids(channels), days, START_S):
        before_s = time.process_time()
        store.ingest(page, authoritative=True, next_created=page[-1].created_index)
        cpu_s += time.process_time() - before_s
    figures = {"cpu us per forward, storage alone": cpu_s / count * 1e6}
    _checkpoint(base)
    figures["bytes per forward, all tables"] = (path.stat().st_size - empty) / count
    figures.update(_sizes(base, count))
    first = int(START_S // DAY_S)
    windows: dict[str, Callable[[], Any]] = {
        "lifetime totals, ms": lambda: store.totals(0, None),
        "totals of all days but the ends, ms": lambda: store.totals(first + 1, first + int(days)),
        "totals of the last 30 days, ms": lambda: store.totals(first + int(days) - 30, None),
        "failures of 7 days, ms": lambda: store.failures(first * 24, (first + 7) * 24),
    }
    for name, read in windows.items():
        figures[name] = min(_ms(read) for _ in range(5))
    figures.update(_let_go(store, base, count, days))
    base.close()
    return figures


def _let_go(store: SqliteForwardStore, base: Database, count: int, days: float) -> dict[str, float]:
    """Drop all failed rows but those of the last 30 days, and see what is left in use."""
    before_s, seq, gone, worst_ms = START_S + (days - 30) * DAY_S, 0, 0, 0.0
    while seq < count:
        began_s = time.perf_counter()
        done = store.let_go(seq, count, before_s, 0.0)
        worst_ms = max(worst_ms, (time.perf_counter() - began_s) * 1000)
        seq, gone = done.next_seq, gone + done.rows
    _checkpoint(base)
    connection = base.connection()
    (pages,), (free,), (size,) = (
        connection.execute(f"PRAGMA {name}").fetchone()
        for name in ("page_count", "freelist_count", "page_size")
    )
    return {
        "failed rows let go": float(gone),
        "worst step of letting go, ms": worst_ms,
        "bytes in use per forward after that": (pages - free) * size / count,
    }


def _sizes(base: Database, count: int) -> dict[str, float]:
    """Where the bytes are, on an SQLite that can say it."""
    connection = base.connection()
    options = {name for (name,) in connection.execute("PRAGMA compile_options")}
    if "ENABLE_DBSTAT_VTAB" not in options:
        return {}
    found = connection.execute(
        "SELECT name, sum(pgsize) FROM dbstat WHERE name LIKE 'forward%' GROUP BY name"
    )
    return {f"  of these {name}": size / count for name, size in found}


def _ms(read: Callable[[], Any]) -> float:
    began_s = time.perf_counter()
    read()
    return (time.perf_counter() - began_s) * 1000


def _checkpoint(base: Database) -> None:
    base.connection().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def _scids(channels: int) -> list[str]:
    return [f"{700_000 + 7 * n}x{n % 2_000}x{n % 3}" for n in range(channels)]


def pages(count: int, scids: list[str], days: float, start_s: float) -> Iterator[list[Forward]]:
    """Forwards over these channels, at random and evenly over the days, a page at a time."""
    rng = np.random.default_rng(1)
    channels = len(scids)
    ids = [0] * channels
    apart_s = days * DAY_S / count
    for first in range(0, count, PAGE):
        size = min(PAGE, count - first)
        ways = rng.integers(0, channels, (size, 2)).tolist()
        outs = rng.lognormal(np.log(5e7), 1.2, size).astype(int).tolist()
        kinds = rng.choice(3, size, p=(0.6, 0.3, 0.1)).tolist()
        page = []
        for n, ((one, two), out_msat, kind) in enumerate(zip(ways, outs, kinds, strict=True)):
            at_s = round(start_s + (first + n) * apart_s, 6)
            ids[one] += 1
            page.append(
                Forward(
                    scids[one],
                    ids[one],
                    scids[two],
                    out_msat + out_msat // 4_000,
                    out_msat,
                    out_msat // 4_000,
                    (SETTLED, FAILED, LOCAL_FAILED)[kind],
                    at_s,
                    round(at_s + 1.537, 6) if kind < 2 else None,
                    CODES[n % 4] if kind == 2 else None,
                    first + n + 1,
                    None,
                )
            )
        yield page


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
