"""A simulated node with the whole house in the same thread: no socket, no pipe, no process.

Everything is the real thing - facade, guarded plugin, wiring, adapters, SQLite - except the bytes
between the two: requests of the house go straight into the node's table of methods (and meet its
faults), the node's notifications wait in a queue until they are delivered as lines of JSON.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cl_revenue_ops.adapters import transport
from cl_revenue_ops.bench.house_life import HouseLife
from cl_revenue_ops.simnode.faults import Faults
from cl_revenue_ops.simnode.node import SimulatedNode
from cl_revenue_ops.simnode.rpc import Context
from cl_revenue_ops.simnode.server import METHODS, Server, _plain
from cl_revenue_ops.virtual_time import VIRTUAL_CLOCK

# Memory where the system offers it: nothing in it has to outlive the power.
FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None

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


class QuietServer(Server):
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

    `asked` is told each method that the house calls, just before the node looks at it. Time is
    virtual: `advance` moves node and house. The node is found by its `rpc_file` until `hang_up`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        start_s: float,
        seed: int,
        parts: Mapping[str, Any] | None = None,
        **details: Any,
    ) -> None:
        super().__init__(None, start_s=start_s, seed=seed, directory=folder, **details)
        self.asked: Callable[[str], object] = lambda method: None
        self._parts = parts
        self._life: HouseLife | None = None
        self._box = QuietServer(
            Context(
                self.world, self.options, self.plugins, self.autoclean, self.network_dir,
                stop_requested=threading.Event(), abort=self._abort, running=lambda: True,
            ),
            self.faults,
        )  # fmt: skip
        _nodes[str(self.rpc_file)] = self
        transport._exchange = _exchange

    @property
    def life(self) -> HouseLife:
        """The running house, after `start`."""
        assert self._life is not None
        return self._life

    @property
    def begun(self) -> bool:
        """True once there was a life."""
        return self._life is not None

    # -- the wire -------------------------------------------------------------------------------

    def answer(self, request: bytes, before_send: Callable[[], None] | None) -> bytearray | None:
        """What the house's transport gets for a request; None where the connection closed."""
        if before_send is not None:
            before_send()
        envelope = json.loads(request)
        self.asked(envelope["method"])
        answer = self._box._answer(envelope, True)
        return None if answer is None else bytearray(answer.removesuffix(b"\n\n"))

    def hang_up(self) -> None:
        """The house's calls no longer find this node."""
        del _nodes[str(self.rpc_file)]

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
        """A new life on whatever lies on the disk, at the node's time; SimRpcError if refused."""
        self._start_at(self.now_s)

    def _begin_life(self, environment: Mapping[str, str]) -> HouseLife:
        return HouseLife(environment, self._parts)

    def _start_at(self, at_s: float) -> None:
        environment = {**self._environment(), VIRTUAL_CLOCK: repr(at_s)}
        self._life = life = self._begin_life(environment)
        life.manifest = life.request("getmanifest", {"allow-deprecated-apis": False})
        self.options.register(life.path, life.manifest["options"], {})
        configuration = {
            "lightning-dir": str(self.network_dir), "rpc-file": "lightning-rpc",
            "startup": True, "network": self.world.network,
        }  # fmt: skip
        options = self.options.for_init(life.path)
        life.boot({"options": options, "configuration": configuration})
        self.plugins.hosts.append(life)  # type: ignore[arg-type]  # it has what is used of one

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

    @property
    def now_s(self) -> float:
        """The time of node and house."""
        assert self._virtual is not None
        return self._virtual.base_s
