"""The whole house beside a simulated node in one thread, with what tests do to it and look at."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

from cl_revenue_ops.bench.house_node import FOLDER
from cl_revenue_ops.bench.house_node import HouseNode as BenchNode
from tests.sim.house_life import HouseProcess

START_S = 1_700_000_000.0
SEED = 7


class HouseNode(BenchNode):
    """A simulated node with the house in the same thread; `life` is its running plugin.

    `reachable` False refuses connections.
    """

    def __init__(self, folder: Path, seed: int = SEED, **details: Any) -> None:
        super().__init__(folder, start_s=START_S, seed=seed, **details)
        self.reachable = True

    def answer(self, request: bytes, before_send: Callable[[], None] | None) -> bytearray | None:
        if not self.reachable:
            raise ConnectionRefusedError(111, "Connection refused")
        return super().answer(request, before_send)

    # -- the life of the house ------------------------------------------------------------------

    @property
    def life(self) -> HouseProcess:
        return cast(HouseProcess, super().life)

    def _begin_life(self, environment: Mapping[str, str]) -> HouseProcess:
        return HouseProcess(environment)

    def kill(self) -> None:
        """The process is gone without a goodbye; what was not read of its input is lost."""
        self.plugins.hosts.clear()
        self.options.unregister(self.life.path)
        self.life.die(self.network_dir)

    def restart(self, *, kill: bool = True) -> None:
        """Kill the house and start it again at the instant of its death."""
        assert kill, "in this thread a house can only be killed"
        died_at_s = self.life.runtime.clock.now()
        self.kill()
        self._start_at(died_at_s)

    def wait_s(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.advance(self.now_s + seconds)

    # -- what tests look at ---------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """The answer of revenue-status."""
        status: dict[str, Any] = self.call("revenue-status")
        return status

    @property
    def database(self) -> Path:
        """Where the house keeps its records."""
        return self.network_dir / "revenue_ops.db"

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of the database as another process would read them."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            return connection.execute(sql, values).fetchall()

    def checkpoint(self) -> None:
        """Bring everything from the write-ahead log into the file, as SQLite may at any time."""
        with closing(sqlite3.connect(self.database)) as connection:
            (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            assert not busy

    def any(self, what: str) -> bool:
        """Whether `SELECT ... FROM what` finds a row; False while there is no database."""
        return self.database.exists() and bool(self.query(f"SELECT 1 FROM {what} LIMIT 1"))

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table."""
        tables = self.query("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        return {name: self.query(f"SELECT * FROM {name} ORDER BY 1, 2") for (name,) in tables}


@contextmanager
def house_node(
    *, start: bool = True, kind: type[HouseNode] = HouseNode, **details: Any
) -> Iterator[HouseNode]:
    """A node with a running house, both in a folder of their own."""
    with tempfile.TemporaryDirectory(prefix="house-", dir=FOLDER) as folder:
        node = kind(Path(folder), **details)
        try:
            if start:
                node.start()
                node.settle()
            yield node
        finally:
            node.hang_up()
            if node.begun:
                node.life.let_go()
