"""A scripted JSON-RPC server on a real Unix socket, and what else the adapter tests stand on."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cl_revenue_ops.adapters.breaker import Breakers
from cl_revenue_ops.adapters.rpc import NodeRpc
from cl_revenue_ops.ports import StaleGeneration

# What one connection does with the request it got: the script of one call.
Step = Callable[[socket.socket, dict[str, Any]], None]

_PATIENCE_S = 10.0


def result(value: object) -> Step:
    """Answer with a result, as lightningd does."""
    return lambda sock, request: sock.sendall(_reply(request, {"result": value}))


def refusal(code: object, message: object) -> Step:
    """Answer with a JSON-RPC error."""
    error = {"code": code, "message": message}
    return lambda sock, request: sock.sendall(_reply(request, {"error": error}))


def member(**members: object) -> Step:
    """Answer with these members beside `jsonrpc` and `id` (or instead of them)."""
    return lambda sock, request: sock.sendall(_reply(request, members))


def raw(data: bytes) -> Step:
    """Send these bytes and close."""
    return lambda sock, request: sock.sendall(data)


def pieces(value: object, cuts: int, pause_s: float) -> Step:
    """A good answer whose last `cuts` bytes come one by one with a pause before each."""

    def send(sock: socket.socket, request: dict[str, Any]) -> None:
        reply = _reply(request, {"result": value})
        sock.sendall(reply[:-cuts])
        for byte in reply[-cuts:]:
            time.sleep(pause_s)
            sock.sendall(bytes([byte]))

    return send


def hang_up(sock: socket.socket, request: dict[str, Any]) -> None:
    """Close without an answer."""


def silence(sock: socket.socket, request: dict[str, Any]) -> None:
    """Answer nothing until the client leaves."""
    sock.recv(1)


def _reply(request: dict[str, Any], members: dict[str, object]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": request["id"], **members}).encode() + b"\n\n"


class ScriptedNode:
    """Serves one request a connection by the script: `steps` in turn, then `otherwise` for ever.

    `requests` are those that came whole, `connections` counts all; `left_open` counts those that
    the client had not closed some seconds after its call ended.
    """

    def __init__(self, path: Path, otherwise: Step = hang_up) -> None:
        self.path = str(path)
        self.steps: list[Step] = []
        self.otherwise = otherwise
        self.requests: list[dict[str, Any]] = []
        self.connections = 0
        self.left_open = 0
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(16)
        self._guard = threading.Lock()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def methods(self) -> list[str]:
        """The methods of all requests so far."""
        return [request["method"] for request in self.requests]

    def settle(self) -> None:
        """Wait until every connection so far has ended on this side too."""
        with self._guard:
            serving = self._threads[1:]
        for thread in serving:
            thread.join(_PATIENCE_S)

    def close(self) -> None:
        """Stop listening and wait for every connection to end."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(_PATIENCE_S)
        self._listener.close()
        self.settle()
        Path(self.path).unlink()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            with self._guard:
                thread.start()
                self._threads.append(thread)

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            sock.settimeout(_PATIENCE_S)
            try:
                request = self._read(sock)
                if request is not None:
                    step = self.steps.pop(0) if self.steps else self.otherwise
                    step(sock, request)
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(1 << 16):
                        pass
            except TimeoutError:
                self.left_open += 1
            except OSError:
                return  # the client has closed: what it should do

    def _read(self, sock: socket.socket) -> dict[str, Any] | None:
        data = b""
        while True:
            chunk = sock.recv(1 << 16)
            if not chunk:
                return None
            data += chunk
            try:
                request: dict[str, Any] = json.loads(data)
            except ValueError:
                continue
            self.requests.append(request)
            return request


class ManualClock:
    """A clock that tests set; both readings are the same."""

    def __init__(self, now_s: float = 1_795_000_000.0) -> None:
        self.now_s = now_s

    def now(self) -> float:
        return self.now_s

    def monotonic(self) -> float:
        return self.now_s


class PlainLease:
    """A lease that notes its use; `before_effect` runs when an effect begins."""

    def __init__(self) -> None:
        self.stale = False
        self.in_effect = False
        self.calls: list[tuple[str, float]] = []
        self.open_calls = 0
        self.before_effect: Callable[[], None] = lambda: None

    @contextmanager
    def call(self, what: str, deadline_s: float) -> Iterator[None]:
        self._require_current()
        self.calls.append((what, deadline_s))
        self.open_calls += 1
        try:
            yield
        finally:
            self.open_calls -= 1

    @contextmanager
    def effect(self) -> Iterator[None]:
        self.before_effect()
        self._require_current()
        self.in_effect = True
        try:
            yield
        finally:
            self.in_effect = False

    def _require_current(self) -> None:
        if self.stale:
            raise StaleGeneration("replaced")


class Bench:
    """A scripted node with everything that a call to it needs; settings are plain attributes."""

    def __init__(self, folder: Path) -> None:
        self.node = ScriptedNode(folder / "lightning-rpc")
        self.clock = ManualClock()
        self.lease = PlainLease()
        self.timeout_s = 5.0
        self.cooldown_s = 60.0
        self.breakers = Breakers(self.clock, lambda: self.cooldown_s)
        self.rpc = self.client(self.node.path)

    def client(self, path: str) -> NodeRpc:
        """A client of its own, as each incarnation has one."""
        return NodeRpc(path, self.lease, self.breakers, lambda: self.timeout_s)


@contextmanager
def a_bench(folder: Path) -> Iterator[Bench]:
    """A bench whose node stops afterwards and has seen every connection closed."""
    bench = Bench(folder)
    try:
        yield bench
    finally:
        bench.node.close()
        assert bench.node.left_open == 0
        assert bench.lease.open_calls == 0
        assert not bench.lease.in_effect
