"""One life of the plugin in the thread of a test: what lightningd sees of it, and how it ends."""

from __future__ import annotations

import itertools
import json
import logging
import resource
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from cl_revenue_ops.bootstrap import ACCOUNTANT, House
from cl_revenue_ops.facade import Facade
from cl_revenue_ops.gate import WriteGate
from cl_revenue_ops.plugin import GuardedPlugin
from cl_revenue_ops.runtime.stepped import SteppedRuntime
from cl_revenue_ops.simnode.errors import SimRpcError
from cl_revenue_ops.simnode.framing import Framer
from cl_revenue_ops.storage import database as database_module
from cl_revenue_ops.storage.database import Database

# Memory where the system offers it: the tests kill processes, not the power.
FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None


class Killed(BaseException):
    """The process ended here: nothing after this point happened."""


class _Stdout:
    """What the plugin writes, cut into messages; `answered` runs as soon as an answer is out."""

    def __init__(self) -> None:
        self.buffer = self
        self._framer = Framer()
        self.messages: deque[dict[str, Any]] = deque()
        self.answered: Callable[[], object] = lambda: None

    def write(self, data: bytes) -> None:
        written = list(self._framer.feed(data))
        self.messages.extend(written)
        if any("id" in message for message in written):
            self.answered()

    def flush(self) -> None:
        """Nothing is held back."""


class _Databases:
    """Makes the databases of one process, so that its death can drop them."""

    def __init__(self) -> None:
        self.made: list[Database] = []

    def __call__(self, *args: Any) -> Database:
        self.made.append(Database(*args))
        return self.made[-1]


class HouseProcess:
    """One life of the plugin: to the node it looks like a running process.

    `line` hands over bytes as lightningd's pipe does. `dies_when` is asked before the house handles
    a message: true ends the process there. A dead one is not `alive`.
    """

    dynamic = True

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.path = self.name = "cl-revenue-ops.py"
        self.ready = False
        self.alive = True
        self.logs: list[tuple[str, str]] = []
        self.answers: dict[str, dict[str, Any]] = {}
        self.manifest: dict[str, Any] = {}
        self.handled = 0
        self.trace: list[str] = []
        self.dies_when: Callable[[], bool] = lambda: False
        self._stdout = _Stdout()
        self._queue: deque[bytes] = deque()
        self._numbers = itertools.count(1)
        self._databases = _Databases()
        root = logging.getLogger()
        handlers = list(root.handlers)
        self.plugin = GuardedPlugin()
        root.handlers[:] = handlers
        self.plugin.stdout = self._stdout
        self.facade = Facade(self.plugin, environment)
        self.gate_when_answered: Mapping[str, str] = {}
        self._stdout.answered = self._look_at_gate

    def _look_at_gate(self) -> None:
        self.gate_when_answered = self.gate.reasons()

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
        identity = f"test:{method}#{next(self._numbers)}"
        envelope = {"jsonrpc": "2.0", "id": identity, "method": method, "params": params}
        self.line(json.dumps(envelope).encode())
        return self.answers.pop(identity, None)

    def line(self, data: bytes) -> None:
        """One message, after all notifications that were queued before it."""
        self._queue.append(data)
        self.drain()

    def drain(self) -> None:
        """Let the house come to rest, then read everything that is queued."""
        try:
            self.plugin.before()
            while self._queue and self.alive:
                self.plugin._multi_dispatch([self._queue.popleft(), b""])
                self._read_stdout()
        except Killed:
            self.alive = False
        self._read_stdout()

    def withdraw(self) -> list[bytes]:
        """Take out the notifications that were not read yet, oldest first."""
        taken, self._queue = list(self._queue), deque()
        return taken

    def feed(self, lines: list[bytes]) -> None:
        """Queue lines again, in any order that the caller likes."""
        self._queue.extend(lines)

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

    def die_after(self, messages: int) -> None:
        """Let the process end before the house handles one more message than that."""
        last = self.handled + messages
        self.dies_when = lambda: self.handled >= last

    # -- what tests look at ---------------------------------------------------------------------

    @property
    def house(self) -> House:
        """The house inside, after init."""
        assert self.facade._house is not None
        return self.facade._house

    @property
    def gate(self) -> WriteGate:
        """The gate before every write to the node."""
        return self.facade._gate

    @property
    def runtime(self) -> SteppedRuntime:
        """Its runtime."""
        runtime = self.house.runtime
        assert isinstance(runtime, SteppedRuntime)
        return runtime

    def boot(self, params: dict[str, Any]) -> None:
        """Answer init, then let the house boot to rest."""
        with mock.patch.object(database_module, "Database", self._databases):
            self.plugin._multi_dispatch([_init_line(params), b""])
        self._read_stdout()
        answer = self.answers.pop("init")
        assert "error" not in answer, answer
        self.runtime._strict = True
        step = self.runtime._step

        def counted(address: str) -> int:
            if self.dies_when():
                raise Killed
            handled = step(address)
            self.handled += handled
            self.trace.append(address)
            return handled

        self.runtime._step = counted  # type: ignore[method-assign]
        self.ready = True

    @contextmanager
    def held(self, mailbox_limit: int = 10_000) -> Iterator[None]:
        """The house reads its input and does nothing else meanwhile, as slow threads would.

        At most `mailbox_limit` hints find room at the accountant.
        """
        runtime, mailbox = self.runtime, self.house.core.post.box(ACCOUNTANT).mailbox
        run, limit = runtime.run, mailbox.limit
        runtime.run = lambda limit=0: 0  # type: ignore[method-assign]
        self.plugin.before = runtime.run
        mailbox.limit = mailbox_limit
        try:
            yield
            self.drain()
        finally:
            runtime.run = run  # type: ignore[method-assign]
            self.plugin.before = run
            mailbox.limit = limit

    @contextmanager
    def full_disk(self) -> Iterator[Callable[[], None]]:
        """No file of this process may grow beyond the write-ahead log; gives what makes room again.

        Every commit of the house appends to that log, so every commit fails.
        """
        (database,) = self._databases.made
        log = Path(f"{database.place().path}-wal")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)

        def make_room() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

        resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size, before[1]))
        try:
            yield make_room
        finally:
            make_room()

    def die(self, folder: Path) -> None:
        """Drop everything that only a living process has; the files stay as they are.

        SQLite tidies up when a connection is closed, which no killed process does: what lies on
        the disk is put aside meanwhile.
        """
        self.alive = False
        with tempfile.TemporaryDirectory(dir=FOLDER) as aside:
            left = [path for path in folder.iterdir() if path.is_file()]
            for path in left:
                shutil.copy(path, aside)
            self.let_go()
            for path in folder.iterdir():
                if path.is_file():
                    path.unlink()
            for path in left:
                if not path.name.endswith("-shm"):
                    shutil.copy(Path(aside) / path.name, path)

    def let_go(self) -> None:
        """Close what the system closes when a process ends."""
        for database in self._databases.made:
            for _, connection in database._all:
                connection.close()
            if database._file_lock is not None:
                database._file_lock.release()


def _init_line(params: dict[str, Any]) -> bytes:
    envelope = {"jsonrpc": "2.0", "id": "init", "method": "init", "params": params}
    return json.dumps(envelope).encode()
