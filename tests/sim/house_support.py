"""The whole house beside a simulated node in one thread: no socket, no pipe, no second process.

Everything is the real thing - facade, guarded plugin, wiring, adapters, SQLite - except the bytes
between the two: requests of the house go straight into the node's table of methods (and meet its
faults), the node's notifications wait in a queue until they are delivered as lines of JSON.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from cl_revenue_ops.adapters import transport
from cl_revenue_ops.simnode.faults import Faults
from cl_revenue_ops.simnode.node import SimulatedNode
from cl_revenue_ops.simnode.rpc import Context
from cl_revenue_ops.simnode.server import METHODS, Server, _plain
from cl_revenue_ops.virtual_time import VIRTUAL_CLOCK
from tests.sim.house_life import FOLDER, HouseProcess

START_S = 1_700_000_000.0
SEED = 7

_nodes: dict[str, HouseNode] = {}
_exchange_by_socket = transport._exchange


def _exchange(
    path: str, request: bytes, deadline: float, before_send: Callable[[], None] | None
) -> bytearray | None:
    """Stands for the socket of a node in this process; any other path is a real socket."""
    node = _nodes.get(path)
    if node is None:
        return _exchange_by_socket(path, request, deadline, before_send)
    return node.answer(request, before_send)


transport._exchange = _exchange


class _QuietServer(Server):
    """The node's table of methods with its faults, without a socket."""

    def __init__(self, context: Context, faults: Faults) -> None:
        context.methods = METHODS
        self.crashes = []
        self.calls = {}
        self._context = context
        self._faults = faults
        self._guard = threading.Lock()
        self._closed = threading.Event()


class HouseNode(SimulatedNode):
    """A simulated node with the house in the same thread; `life` is its running plugin.

    `reachable` False refuses connections; `asked` is told each method that the house calls, just
    before the node looks at it. Time is virtual: `advance` moves node and house.
    """

    def __init__(self, folder: Path, seed: int = SEED, **details: Any) -> None:
        super().__init__(None, start_s=START_S, seed=seed, directory=folder, **details)
        self.reachable = True
        self.asked: Callable[[str], object] = lambda method: None
        self.life: HouseProcess
        self._box = _QuietServer(
            Context(
                self.world, self.options, self.plugins, self.autoclean, self.network_dir,
                stop_requested=threading.Event(), abort=self._abort, running=lambda: True,
            ),
            self.faults,
        )  # fmt: skip
        _nodes[str(self.rpc_file)] = self

    # -- the wire -------------------------------------------------------------------------------

    def answer(self, request: bytes, before_send: Callable[[], None] | None) -> bytearray | None:
        """What the house's transport gets for a request; None where the connection closed."""
        if not self.reachable:
            raise ConnectionRefusedError(111, "Connection refused")
        if before_send is not None:
            before_send()
        envelope = json.loads(request)
        self.asked(envelope["method"])
        answer = self._box._answer(envelope, True)
        return None if answer is None else bytearray(answer.removesuffix(b"\n\n"))

    @property
    def calls(self) -> dict[str, int]:
        return self._box.calls

    def call(
        self, method: str, params: Any = None, *, timeout_s: float | None = 300.0,
        wanted: Any = None,
    ) -> Any:  # fmt: skip
        return _plain(self._box.call(method, {} if params is None else params))

    # -- the life of the house ------------------------------------------------------------------

    def start(self) -> None:
        """A new process on whatever lies on the disk, at the node's time."""
        self._start_at(self.now_s)

    def _start_at(self, at_s: float) -> None:
        environment = {**self._environment(), VIRTUAL_CLOCK: repr(at_s)}
        self.life = life = HouseProcess(environment)
        life.manifest = life.request("getmanifest", {"allow-deprecated-apis": False})
        self.options.register(life.path, life.manifest["options"], {})
        configuration = {
            "lightning-dir": str(self.network_dir), "rpc-file": "lightning-rpc",
            "startup": True, "network": self.world.network,
        }  # fmt: skip
        options = self.options.for_init(life.path)
        life.boot({"options": options, "configuration": configuration})
        self.plugins.hosts.append(life)  # type: ignore[arg-type]  # it has what is used of one

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

    def advance(self, until_s: float, step_s: float | None = None) -> dict[str, Any]:
        if self.life.alive:
            self.life.drain()
        return super().advance(until_s, step_s)

    def _advance_plugin(self, until_s: float) -> dict[str, Any]:
        answer = self.life.ask("dev-revenue-advance", {"until": until_s})
        return {} if answer is None or not self.life.alive else answer["result"]

    def settle(self) -> None:
        """Let the house read its input and come to rest; no time passes."""
        self.life.drain()

    def wait_s(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.advance(self.now_s + seconds)

    @property
    def now_s(self) -> float:
        """The time of node and house."""
        assert self._virtual is not None
        return self._virtual.base_s

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
def house_node(*, start: bool = True, **details: Any) -> Iterator[HouseNode]:
    """A node with a running house, both in a folder of their own."""
    with tempfile.TemporaryDirectory(prefix="house-", dir=FOLDER) as folder:
        node = HouseNode(Path(folder), **details)
        try:
            if start:
                node.start()
                node.settle()
            yield node
        finally:
            del _nodes[str(node.rpc_file)]
            if hasattr(node, "life"):
                node.life.let_go()
