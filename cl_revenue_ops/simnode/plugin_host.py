"""One plugin process as lightningd holds it: pipes, requests, notifications, stop and kill."""

from __future__ import annotations

import itertools
import json
import os
import queue
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any

from cl_revenue_ops.simnode.errors import (
    PLUGIN_TERMINATED,
    PluginDied,
    SimRpcError,
)
from cl_revenue_ops.simnode.framing import Framer, NotJson

HANDSHAKE_S = 120.0
STOP_GRACE_S = 30.0
_LOG_LINES = 20_000
_ENCODE = json.JSONEncoder(separators=(",", ":")).encode


class PluginHost:
    """A child process that speaks the plugin protocol.

    A writer thread feeds stdin from an unbounded queue, a reader thread takes stdout; `request`
    blocks only its caller. `logs` holds (level, message) of the plugin's log notifications,
    `sent` the (topic, params) of its own notifications.
    """

    def __init__(
        self,
        argv: list[str],
        path: str,
        *,
        cwd: Path,
        env: Mapping[str, str],
        on_exit: Callable[[PluginHost], None],
    ) -> None:
        self.path = path
        self.manifest: dict[str, Any] = {}
        self.ready = False
        self.logs: deque[tuple[str, str]] = deque(maxlen=_LOG_LINES)
        self.sent: deque[tuple[str, Any]] = deque(maxlen=_LOG_LINES)
        self.ended = threading.Event()
        self._on_exit = on_exit
        self._stderr: deque[str] = deque(maxlen=200)
        self._numbers = itertools.count(1)
        self._waiting: dict[str, Future[Any]] = {}
        self._guard = threading.Lock()
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            argv,
            cwd=cwd,
            env={**os.environ, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._process.stdin and self._process.stdout and self._process.stderr
        for work, pipe in (
            (self._write, self._process.stdin),
            (self._read, self._process.stdout),
            (self._read_errors, self._process.stderr),
        ):
            threading.Thread(target=work, args=(pipe,), daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def name(self) -> str:
        """The last part of the path, by which plugins are matched."""
        return Path(self.path).name

    @property
    def methods(self) -> list[str]:
        """Names of the RPC methods in the manifest."""
        return [method["name"] for method in self.manifest.get("rpcmethods", [])]

    @property
    def dynamic(self) -> bool:
        """False if the plugin may not be started or stopped at run time."""
        return bool(self.manifest.get("dynamic", True))

    @property
    def alive(self) -> bool:
        """True until the process has ended."""
        return not self.ended.is_set()

    @property
    def exit_code(self) -> int | None:
        """How the process ended, negative for a signal; None while it runs."""
        return self._process.poll()

    def subscribed(self, topic: str) -> bool:
        """True if the plugin wants this topic and may have it: only after its init."""
        wanted = self.manifest.get("subscriptions", [])
        return self.ready and (topic in wanted or ("*" in wanted and topic != "log"))

    def stderr_tail(self) -> str:
        """The last lines that the plugin wrote to standard error."""
        return "".join(self._stderr)

    # -- talking -------------------------------------------------------------------------------

    def request(self, method: str, params: Any, timeout_s: float | None = None) -> Any:
        """Call a method and wait for its result, without limit unless `timeout_s` is given.

        Raises the plugin's own error as SimRpcError, -4 if it ends first, TimeoutError if late.
        """
        return self.submit(method, params).result(timeout_s)

    def submit(self, method: str, params: Any) -> Future[Any]:
        """Send a request and return its future."""
        identity = f"cli:{method}#{os.getpid()}/cln:{method}#{next(self._numbers)}"
        future: Future[Any] = Future()
        with self._guard:
            if self.ended.is_set():
                raise _terminated()
            self._waiting[identity] = future
        self._send({"jsonrpc": "2.0", "id": identity, "method": method, "params": params})
        return future

    def notify(self, topic: str, params: Any) -> None:
        """Queue a notification; never blocks."""
        self._send({"jsonrpc": "2.0", "method": topic, "params": params})

    def send_raw(self, data: bytes) -> None:
        """Queue bytes as they are: for faults."""
        self._outbox.put(data)

    def _send(self, message: Any) -> None:
        self._outbox.put(_ENCODE(message).encode() + b"\n\n")

    # -- ending --------------------------------------------------------------------------------

    def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """`plugin stop`: notify shutdown and wait, if it subscribed to that; then SIGKILL."""
        if self.subscribed("shutdown"):
            self.notify("shutdown", {})
            self.ended.wait(grace_s)
        self.kill()

    def close_pipe(self, grace_s: float) -> None:
        """Node shutdown for a plugin that did not subscribe: end of file, then SIGKILL."""
        self._outbox.put(None)
        self.ended.wait(grace_s)
        self.kill()

    def kill(self) -> None:
        """SIGKILL; returns when the process is gone."""
        self._process.kill()
        self._process.wait()
        self.ended.wait()

    def died(self) -> PluginDied:
        """An exception that tells how the process ended."""
        code = self._process.poll()
        return PluginDied(f"plugin {self.name} ended with code {code}\n{self.stderr_tail()}")

    # -- threads -------------------------------------------------------------------------------

    def _write(self, pipe: IO[bytes]) -> None:
        try:
            while (data := self._outbox.get()) is not None:
                pipe.write(data)
                if self._outbox.empty():
                    pipe.flush()
            pipe.close()
        except (BrokenPipeError, ValueError, OSError):
            return  # the process is gone; the reader reports that

    def _read(self, pipe: IO[bytes]) -> None:
        framer = Framer()
        try:
            while data := os.read(pipe.fileno(), 1 << 16):
                for message in framer.feed(data):
                    self._take(message)
        except NotJson as wrong:
            # lightningd kills a plugin that writes anything else to its standard output.
            self._stderr.append(f"killed: not JSON on stdout: {wrong}\n")
            self._process.kill()
        self._process.wait()
        self._outbox.put(None)
        with self._guard:
            self.ended.set()
            orphans, self._waiting = list(self._waiting.values()), {}
        for future in orphans:
            future.set_exception(_terminated())
        self._on_exit(self)

    def _read_errors(self, pipe: IO[bytes]) -> None:
        for line in pipe:
            self._stderr.append(line.decode("utf-8", "replace"))

    def _take(self, message: dict[str, Any]) -> None:
        if "id" not in message:
            self._heard(str(message.get("method")), message.get("params"))
            return
        with self._guard:
            future = self._waiting.pop(str(message["id"]), None)
        if future is None:
            raise NotJson(f"answer to nothing that was asked: {message['id']!r}")
        if "error" in message:
            future.set_exception(_as_error(message["error"]))
        else:
            future.set_result(message.get("result"))

    def _heard(self, topic: str, params: Any) -> None:
        if topic == "log" and isinstance(params, dict):
            self.logs.append((str(params.get("level")), str(params.get("message"))))
        else:
            self.sent.append((topic, params))


def _terminated() -> SimRpcError:
    return SimRpcError(PLUGIN_TERMINATED, "Plugin terminated before replying to RPC call.")


def _as_error(error: Any) -> SimRpcError:
    if not isinstance(error, dict):
        return SimRpcError(-3, f"plugin error: {error!r}")
    known = SimRpcError(int(error.get("code", -3)), str(error.get("message")), error.get("data"))
    known.raw = error
    return known
