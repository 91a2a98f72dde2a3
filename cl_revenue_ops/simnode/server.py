"""The node's JSON-RPC socket: one thread a connection, answers in the order of its requests."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cl_revenue_ops.simnode import (
    rpc_admin,
    rpc_channels,
    rpc_forwards,
    rpc_money,
    rpc_network,
)
from cl_revenue_ops.simnode.errors import (
    INVALID_REQUEST,
    SHUTTING_DOWN,
    UNKNOWN_METHOD,
    NodeDown,
    SimRpcError,
    bad_params,
)
from cl_revenue_ops.simnode.faults import Fault, Faults
from cl_revenue_ops.simnode.framing import Framer, NotJson
from cl_revenue_ops.simnode.rpc import Context, RawJson, apply_filter

METHODS = {
    **rpc_channels.METHODS,
    **rpc_forwards.METHODS,
    **rpc_money.METHODS,
    **rpc_network.METHODS,
    **rpc_admin.METHODS,
}


class Server:
    """Serves `path` until `close`.

    Only connections of other processes meet faults, so that a test can always look. `crashes`
    collects what went wrong in the simulator itself; `calls` counts requests by method.
    `on_stop` is called after the answer to `stop` went out.
    """

    def __init__(
        self, path: Path, context: Context, faults: Faults, on_stop: Callable[[], None]
    ) -> None:
        self.path = path
        self.crashes: list[Exception] = []
        self.calls: dict[str, int] = {}
        self._context = context
        context.methods = METHODS
        self._faults = faults
        self._on_stop = on_stop
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        self._closed = threading.Event()
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(128)
        self._idle = 0
        self._waiting: queue.SimpleQueue[socket.socket | None] = queue.SimpleQueue()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening and drop every connection."""
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.path.unlink(missing_ok=True)
        with self._guard:
            connections = list(self._open)
            for _ in range(self._idle):
                self._waiting.put(None)
            self._idle = 0
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._guard:
                self._open.add(connection)
            self._hand_out(connection)

    def _hand_out(self, connection: socket.socket) -> None:
        """Give a connection to an idle thread, or to a new one: starting one costs more than an
        answer, and a client opens a connection for each call.
        """
        with self._guard:
            if self._idle > 0:
                self._idle -= 1
                self._waiting.put(connection)
                return
        threading.Thread(target=self._serve_on, args=(connection,), daemon=True).start()

    def _serve_on(self, connection: socket.socket | None) -> None:
        while connection is not None:
            self._serve(connection)
            with self._guard:
                self._idle += 1
            connection = self._waiting.get()

    def _serve(self, connection: socket.socket) -> None:
        framer, foreign = Framer(), _peer_pid(connection) != os.getpid()
        try:
            while data := connection.recv(1 << 16):
                for request in framer.feed(data):
                    answer = self._answer(request, foreign)
                    if answer is None:
                        return
                    connection.sendall(answer)
                    if self._context.stop_requested.is_set():
                        self._on_stop()
        except NotJson as wrong:
            error = SimRpcError(INVALID_REQUEST, f"Failed to parse RPC JSON response: {wrong}")
            with contextlib.suppress(OSError):
                connection.sendall(_reply(None, error=error))
        except OSError:
            return  # the client went away
        except Exception as crash:
            self.crashes.append(crash)
            raise
        finally:
            with self._guard:
                self._open.discard(connection)
            connection.close()

    def _answer(self, request: dict[str, Any], foreign: bool) -> bytes | None:
        """The bytes of one answer, or None to close the connection unanswered."""
        identity, method = request.get("id"), request.get("method")
        fault: Fault | None = None
        try:
            if not isinstance(method, str):
                raise SimRpcError(INVALID_REQUEST, "Expected string for method")
            with self._guard:
                self.calls[method] = self.calls.get(method, 0) + 1
            fault = self._faults.on_rpc(method) if foreign else None
            if fault is not None and fault.kind == "timeout":
                self._hold(fault.seconds)
                return None
            if fault is not None and fault.kind == "error":
                raise SimRpcError(fault.code, fault.message)
            if "params" not in request:
                raise SimRpcError(INVALID_REQUEST, "No params")
            result = self.call(method, request["params"])
            if "filter" in request:
                result = apply_filter(_plain(result), request["filter"])
        except NodeDown:
            return None
        except SimRpcError as error:
            return _reply(identity, error=error)
        if fault is None:
            return _reply(identity, result=result)
        if fault.kind == "truncated":
            whole = _reply(identity, result=result)
            return whole[: max(1, len(whole) // 2)] + b"\n\n"
        return _reply(identity, result=self._faults.spoil(fault, _plain(result)))

    def _hold(self, seconds: float) -> None:
        if not self._context.world.clock.virtual:
            self._closed.wait(seconds)

    def call(self, method: str, params: Any) -> Any:
        """Run one command: lightningd's own or a plugin's; raises SimRpcError."""
        if not self._context.running():
            raise SimRpcError(SHUTTING_DOWN, "lightningd is shutting down")
        own = METHODS.get(method)
        if own is not None and own.available(self._context.world.era):
            if not isinstance(params, list | dict):
                raise bad_params("Expected array or object for params")
            args = own.bind(self._context.world.era, params)
            return own.handler(self._context, args)
        # A plugin gets its params as they came, whatever they are.
        answer = self._context.plugins.route(method)
        if answer is None:
            raise SimRpcError(UNKNOWN_METHOD, f"Unknown command '{method}'")
        return answer(params)


def _plain(result: Any) -> Any:
    return json.loads(result) if isinstance(result, RawJson) else result


def _reply(identity: Any, *, result: Any = None, error: SimRpcError | None = None) -> bytes:
    head = f'{{"jsonrpc":"2.0","id":{json.dumps(identity)},'
    if error is not None:
        body = f'"error":{json.dumps(error.as_json())}}}'
    elif isinstance(result, RawJson):
        body = f'"result":{result}}}'
    else:
        body = f'"result":{json.dumps(result, separators=(",", ":"))}}}'
    return (head + body + "\n\n").encode()


def _peer_pid(connection: socket.socket) -> int:
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", packed)[0])
