"""One life of the plugin in the thread of a test, which can end it at any message."""

from __future__ import annotations

import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from cl_revenue_ops.bench.house_life import HouseLife
from cl_revenue_ops.bench.house_node import FOLDER
from cl_revenue_ops.bootstrap import ACCOUNTANT
from cl_revenue_ops.gate import WriteGate
from cl_revenue_ops.storage import database as database_module
from cl_revenue_ops.storage.database import Database


class Killed(BaseException):
    """The process ended here: nothing after this point happened."""


class _Databases:
    """Makes the databases of one process, so that its death can drop them."""

    def __init__(self) -> None:
        self.made: list[Database] = []

    def __call__(self, *args: Any) -> Database:
        self.made.append(Database(*args))
        return self.made[-1]


class HouseProcess(HouseLife):
    """A life that can be killed, held and starved.

    `dies_when` is asked before the house handles a message: true ends the process there.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__(environment)
        self.handled = 0
        self.trace: list[str] = []
        self.dies_when: Callable[[], bool] = lambda: False
        self._databases = _Databases()
        self.gate_when_answered: Mapping[str, str] = {}
        self._stdout.answered = self._look_at_gate

    def _look_at_gate(self) -> None:
        self.gate_when_answered = self.gate.reasons()

    # -- what lightningd does -------------------------------------------------------------------

    def drain(self) -> None:
        """Let the house come to rest and read everything that is queued, or die on the way."""
        try:
            super().drain()
        except Killed:
            self.alive = False
        self._read_stdout()

    def withdraw(self) -> list[bytes]:
        """Take out the notifications that were not read yet, oldest first."""
        taken = list(self._queue)
        self._queue.clear()
        return taken

    def feed(self, lines: list[bytes]) -> None:
        """Queue lines again, in any order that the caller likes."""
        self._queue.extend(lines)

    def die_after(self, messages: int) -> None:
        """Let the process end before the house handles one more message than that."""
        last = self.handled + messages
        self.dies_when = lambda: self.handled >= last

    # -- what tests look at ---------------------------------------------------------------------

    @property
    def gate(self) -> WriteGate:
        """The gate before every write to the node."""
        return self.facade._gate

    def boot(self, params: dict[str, Any]) -> None:
        """Answer init, then let the house boot to rest; from here on messages are counted."""
        with mock.patch.object(database_module, "Database", self._databases):
            super().boot(params)
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
