"""One life of the plugin in the caller's thread: to a simulated node it looks like a process."""

from __future__ import annotations

import itertools
import json
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

from cl_revenue_ops import bootstrap, wiring
from cl_revenue_ops.bootstrap import House
from cl_revenue_ops.facade import Facade
from cl_revenue_ops.plugin import GuardedPlugin
from cl_revenue_ops.runtime.stepped import SteppedRuntime
from cl_revenue_ops.simnode.errors import SimRpcError
from cl_revenue_ops.simnode.framing import Framer


class Stdout:
    """What the plugin writes, cut into messages; `answered` runs as soon as an answer is out."""

    def __init__(self) -> None:
        self.buffer = self
        self._framer = Framer()
        self.messages: deque[dict[str, Any]] = deque()
        self.answered: Callable[[], object] = lambda: None

    def write(self, data: bytes) -> None:
        """Take what the plugin writes, wherever it is cut."""
        written = list(self._framer.feed(data))
        self.messages.extend(written)
        if any("id" in message for message in written):
            self.answered()

    def flush(self) -> None:
        """Nothing is held back."""


class HouseLife:
    """The plugin from its manifest to its end, in steps, with lightningd's side of the pipe.

    `line` hands over bytes as lightningd's pipe does; a dead plugin is not `alive`. `parts` are
    given on to `bootstrap.build`: what stands in for a part of the house in an experiment.
    """

    dynamic = True

    def __init__(
        self, environment: Mapping[str, str], parts: Mapping[str, Any] | None = None
    ) -> None:
        self.path = self.name = "cl-revenue-ops.py"
        self.ready = False
        self.alive = True
        self.logs: list[tuple[str, str]] = []
        self.answers: dict[str, dict[str, Any]] = {}
        self.manifest: dict[str, Any] = {}
        self._parts = dict(parts or {})
        self._stdout = Stdout()
        self._queue: deque[bytes] = deque()
        self._numbers = itertools.count(1)
        # pyln takes the root logger for its own; here it belongs to the caller.
        root = logging.getLogger()
        handlers = list(root.handlers)
        self.plugin = GuardedPlugin()
        root.handlers[:] = handlers
        self.plugin.stdout = self._stdout
        self.facade = Facade(self.plugin, environment)

    # -- what lightningd does -------------------------------------------------------------------

    @property
    def methods(self) -> list[str]:
        """Names of the RPC methods in the manifest."""
        return [method["name"] for method in self.manifest.get("rpcmethods", [])]

    def subscribed(self, topic: str) -> bool:
        """As lightningd: only what was asked for, and only after init."""
        return self.ready and topic in self.manifest.get("subscriptions", [])

    def notify(self, topic: str, params: Any) -> None:
        """Queue a notification; it is read with the next line or by `drain`."""
        message = {"jsonrpc": "2.0", "method": topic, "params": params}
        self._queue.append(json.dumps(message).encode())

    def request(self, method: str, params: Any, timeout_s: float | None = None) -> Any:
        """Call a method and return its result; the answer must be there at once."""
        del timeout_s  # nothing here waits
        answer = self.ask(method, params)
        if answer is None:
            raise AssertionError(f"{method} was not answered")
        if "error" in answer:
            error = answer["error"]
            refused = SimRpcError(error["code"], error["message"])
            refused.raw = error
            raise refused
        return answer["result"]

    def ask(self, method: str, params: Any) -> dict[str, Any] | None:
        """Send a request and return its whole answer; None where it is still open."""
        identity = f"node:{method}#{next(self._numbers)}"
        envelope = {"jsonrpc": "2.0", "id": identity, "method": method, "params": params}
        self.line(json.dumps(envelope).encode())
        return self.answers.pop(identity, None)

    def line(self, data: bytes) -> None:
        """One message, after all notifications that were queued before it."""
        self._queue.append(data)
        self.drain()

    def drain(self) -> None:
        """Let the house come to rest, then read everything that is queued."""
        self.plugin.before()
        while self._queue and self.alive:
            self._dispatch(self._queue.popleft())
            self._read_stdout()
        self._read_stdout()

    def boot(self, params: dict[str, Any]) -> None:
        """Send init with these params, then let the house boot to rest."""
        envelope = {"jsonrpc": "2.0", "id": "init", "method": "init", "params": params}
        with self._with_parts():
            self._dispatch(json.dumps(envelope).encode())
        self._read_stdout()
        answer = self.answers.pop("init")
        if "error" in answer:
            raise SimRpcError(answer["error"]["code"], answer["error"]["message"])
        self.ready = True

    def end(self) -> None:
        """Stop the house in order and close its database; the last thing in a life."""
        self.alive = False
        self.house.stop("the run has ended", 0.0)
        self.facade._wiring.close()

    def _dispatch(self, data: bytes) -> None:
        self.plugin._multi_dispatch([data, b""])

    @contextmanager
    def _with_parts(self) -> Iterator[None]:
        """The house is built within init, deep inside the facade."""
        if not self._parts:
            yield
            return
        with mock.patch.object(wiring, "build", partial(bootstrap.build, **self._parts)):
            yield

    def _read_stdout(self) -> None:
        messages = self._stdout.messages
        while messages:
            message = messages.popleft()
            if "id" in message:
                assert str(message["id"]) not in self.answers, "answered twice"
                self.answers[str(message["id"])] = message
            elif message["method"] == "log":
                told = message["params"]
                self.logs.append((told["level"], told["message"]))

    # -- what is inside -------------------------------------------------------------------------

    @property
    def house(self) -> House:
        """The house inside, after init."""
        assert self.facade._house is not None
        return self.facade._house

    @property
    def runtime(self) -> SteppedRuntime:
        """Its runtime."""
        runtime = self.house.runtime
        assert isinstance(runtime, SteppedRuntime)
        return runtime
