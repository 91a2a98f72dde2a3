"""What the storage tests share: a lease that can be revoked, a way in, forwards by number."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from cl_revenue_ops.ports import IngestState, StaleGeneration
from cl_revenue_ops.storage.database import Database
from cl_revenue_ops.storage.fair_lock import FairLock
from cl_revenue_ops.storage.migrations import MIGRATIONS, Migration
from messages.forwards import SETTLED, Forward

NODE = "02" + "ab" * 32
OTHER_NODE = "03" + "cd" * 32
NETWORK = "regtest"


class RevocableLease:
    """A lease; `revoked` refuses everything, `on_effect` runs before each effect."""

    def __init__(self, on_effect: Callable[[], None] = lambda: None) -> None:
        self.revoked = False
        self.on_effect = on_effect

    @contextmanager
    def call(self, what: str, deadline_s: float) -> Iterator[None]:
        assert what
        assert deadline_s > 0
        self._require()
        yield

    @contextmanager
    def effect(self) -> Iterator[None]:
        self.on_effect()
        self._require()
        yield

    def _require(self) -> None:
        if self.revoked:
            raise StaleGeneration("replaced")

    def revoke(self) -> None:
        """From now on a successor acts."""
        self.revoked = True


class SetClock:
    """A clock that stands where it was set."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def now(self) -> float:
        return self.now_s

    def monotonic(self) -> float:
        return self.now_s


def database(
    folder: Path,
    configured: str | None = None,
    notes: list[str] | None = None,
    migrations: Sequence[Migration] = MIGRATIONS,
    lock: FairLock | None = None,
) -> Database:
    """A database of this lightning-dir that is not open yet."""
    told = [] if notes is None else notes
    return Database(configured, str(folder), lock or FairLock(), told.append, migrations)


@contextmanager
def opened(
    folder: Path,
    configured: str | None = None,
    notes: list[str] | None = None,
    migrations: Sequence[Migration] = MIGRATIONS,
) -> Iterator[Database]:
    """A database that is open, and closed at the end."""
    it = database(folder, configured, notes, migrations)
    it.open(NODE, NETWORK)
    try:
        yield it
    finally:
        it.close()


def forward(number: int, status: str = SETTLED, **changes: object) -> Forward:
    """The forward of this number, over one of seven incoming channels."""
    row = Forward(
        in_scid=f"100x{number % 7}x0",
        in_htlc_id=number,
        out_scid=f"200x{number % 5}x1",
        in_msat=1_000_000 + 1001 * number,
        out_msat=1_000_000 + 1000 * number,
        fee_msat=number,
        status=status,
        received_at_s=1_700_000_000.25 + number,
        resolved_at_s=None if status == "offered" else 1_700_000_001.5 + number,
        failcode=None,
        created_index=number + 1,
        updated_index=None,
    )
    return row._replace(**changes)  # type: ignore[arg-type]  # names and types are the caller's


def forwards(first: int, count: int, status: str = SETTLED) -> list[Forward]:
    """Consecutive forwards."""
    return [forward(number, status) for number in range(first, first + count)]


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every regular file below a folder, byte for byte."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def log_of(path: Path) -> list[tuple[Any, ...]]:
    """The log as another program reads it: (seq, then the first eleven fields of a Forward)."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            "SELECT seq, in_scid, in_htlc_id, out_scid, in_msat, out_msat, fee_msat, status,"
            " received_at_s, resolved_at_s, failcode, created_index FROM forward_log ORDER BY seq"
        ).fetchall()


def sums(rows: Sequence[tuple[Any, ...]]) -> tuple[int, int, int, int]:
    """(settled, volume_msat, fees_msat, failed) of log rows."""
    settled = [row for row in rows if row[7] == SETTLED]
    return (
        len(settled),
        sum(row[5] or 0 for row in settled),
        sum(row[6] or 0 for row in settled),
        len(rows) - len(settled),
    )


def require_consistent(path: Path, state: IngestState) -> None:
    rows = log_of(path)
    assert state[2:6] == sums(rows)
    assert state.log_seq == len(rows) == (rows[-1][0] if rows else 0)
