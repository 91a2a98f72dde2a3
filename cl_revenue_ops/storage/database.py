"""The database file: found, locked, checked, migrated; connections, and fenced transactions."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from cl_revenue_ops.ports import Lease, StoreDamaged, Unavailable
from cl_revenue_ops.storage.copies import copy_online
from cl_revenue_ops.storage.errors import translated
from cl_revenue_ops.storage.fair_lock import FairLock
from cl_revenue_ops.storage.file_lock import FileLock
from cl_revenue_ops.storage.inspection import (
    Identity,
    Kind,
    beside,
    has_log,
    inspect,
    unsound,
)
from cl_revenue_ops.storage.location import Location, choose
from cl_revenue_ops.storage.migrations import (
    MIGRATIONS,
    Migration,
    create,
    migrate,
    newest,
    schema_of,
)

BUSY_TIMEOUT_S = 5.0  # for other programs that hold the file, such as an operator's shell
CLOSE_TIMEOUT_S = 0.2
TURN_TIMEOUT_S = 10.0  # for the other writers of this process
CHECKED_ALWAYS_BYTES = 64 << 20
CHECKED_AFTER_CRASH_BYTES = 1 << 30
_LOG_KEPT_BYTES = 16 << 20


class Place(NamedTuple):
    """The open file: whose it is (and its schema), where it lies, and a note on the choice."""

    identity: Identity
    path: Path
    note: str | None


class Database:
    """One SQLite file in WAL mode, one connection a thread, one writer at a time.

    Constructing does no I/O. `notes` is called with a line for the operator where the file is
    not the one to be expected. All methods are safe from any thread; they block on the disk.
    """

    def __init__(
        self,
        configured_path: str | None,
        lightning_dir: str,
        lock: FairLock,
        notes: Callable[[str], None],
        migrations: Sequence[Migration] = MIGRATIONS,
    ) -> None:
        self._configured_path = configured_path
        self._lightning_dir = lightning_dir
        self._turn = lock
        self._notes = notes
        self._migrations = migrations
        self._opening = threading.Lock()
        self._closed = False
        self._place: Place | None = None
        self._file_lock: FileLock | None = None
        self._told: str | None = None
        self._mine = threading.local()
        self._all: list[tuple[threading.Thread, sqlite3.Connection]] = []

    # -- the file ---------------------------------------------------------------------------

    def open(self, node_id: str, network: str) -> None:
        """Find, lock, check and migrate the file, or create it; cheap when open already.

        Returns after any commit under way, so that a successor reads what its predecessor left.
        Raises Unavailable (try again) or StoreDamaged (an operator has to act).
        """
        with self._opening:
            if self._closed:
                raise Unavailable("the database is closed")
            if self._place is None:
                self._open_file(Identity(node_id, network, newest(self._migrations)))
            elif self._place.identity[:2] != (node_id, network):
                raise StoreDamaged(f"database {self._place.path} is open for another node")
        with self._turn_to_write():
            pass

    def place(self) -> Place:
        """The open file; Unavailable before `open`."""
        if self._place is None:
            raise Unavailable("the database is not open")
        return self._place

    def close(self) -> None:
        """Close for good: this thread's connection and those of threads that have ended.

        A connection of a thread that still runs is left to the end of the process, and the lock
        on the file with it. A file that is just being opened (checked, migrated) is not waited
        for: whoever closes has to leave.
        """
        self._closed = True
        if not self._opening.acquire(timeout=CLOSE_TIMEOUT_S):
            return
        try:
            self._place = None
            self._close_connections(also=threading.current_thread())
            if self._file_lock is not None and not self._all:
                self._file_lock.release()
                self._file_lock = None
        finally:
            self._opening.release()

    def _open_file(self, wanted: Identity) -> None:
        location = choose(self._configured_path, self._lightning_dir, wanted)
        file_lock = FileLock(location.path)
        try:
            file_lock.acquire()
            self._prepare(location.path, wanted)
        except BaseException:
            file_lock.release()
            raise
        self._file_lock = file_lock
        self._place = Place(wanted, location.path, location.note)
        self._tell(location)

    def _tell(self, location: Location) -> None:
        if location.note is not None and location.note != self._told:
            self._told = location.note
            self._notes(location.note)

    def _prepare(self, path: Path, wanted: Identity) -> None:
        """Under the lock: look again, since another process may have been here meanwhile."""
        finding = inspect(path, wanted)
        with translated(path):
            if finding.kind is Kind.ABSENT:
                create(path, wanted.node_id, wanted.network, self._migrations)
                return
            if finding.kind is not Kind.OURS:
                raise StoreDamaged(f"database {path} {finding.text}")
            self._require_sound(path)
            self._update_schema(path, wanted)

    def _require_sound(self, path: Path) -> None:
        """Read the file through where that is quick, or where the last stop was not clean."""
        limit = CHECKED_AFTER_CRASH_BYTES if has_log(path) else CHECKED_ALWAYS_BYTES
        if path.stat().st_size > limit:
            return
        fault = unsound(path)
        if fault is not None:
            raise StoreDamaged(f"database {path} is damaged: {fault}; restore its backup")

    def _update_schema(self, path: Path, wanted: Identity) -> None:
        with closing(_connect(path)) as connection:
            schema = schema_of(connection)
            if schema >= wanted.newest_schema:
                return
            copy_online(path, beside(path, f".schema-{schema}"), wanted, lambda: None)
            connection.execute("PRAGMA synchronous = FULL")
            migrate(connection, self._migrations, path)
            # The number must stand in the file itself, where the next start looks for it.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    # -- connections and transactions -------------------------------------------------------

    def connection(self) -> sqlite3.Connection:
        """This thread's connection, in autocommit mode; raises sqlite3.Error."""
        path = self.place().path
        mine: sqlite3.Connection | None = getattr(self._mine, "connection", None)
        if mine is None:
            mine = _connect(path)
            self._mine.connection = mine
            with self._opening:
                self._close_connections()
                self._all.append((threading.current_thread(), mine))
        return mine

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for reads; failures come as Unavailable or StoreDamaged."""
        with translated(self.place().path):
            yield self.connection()

    @contextmanager
    def writing(self, lease: Lease, durable: bool) -> Iterator[sqlite3.Connection]:
        """One transaction; any exception rolls it back. Waits for its turn, in order.

        The commit is an effect under `lease`: StaleGeneration when the caller was replaced.
        With `durable` it survives a loss of power, at the price of an fsync; without, a loss of
        power may take the last commits back, but never a part of one.
        """
        with self.reading() as connection, self._turn_to_write():
            if durable:
                connection.execute("PRAGMA synchronous = FULL")
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                with lease.effect():
                    connection.execute("COMMIT")
            finally:
                self._settle(connection, durable)

    @contextmanager
    def _turn_to_write(self) -> Iterator[None]:
        if not self._turn.acquire(TURN_TIMEOUT_S):
            raise Unavailable("the database is busy: another writer does not finish")
        try:
            yield
        finally:
            self._turn.release()

    def _settle(self, connection: sqlite3.Connection, durable: bool) -> None:
        """Leave the connection clean for the next; one that cannot be cleaned is dropped."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if durable:
                connection.execute("PRAGMA synchronous = NORMAL")
        except sqlite3.Error:
            # Not raised: what went wrong before is on its way to the caller already.
            connection.close()
            del self._mine.connection

    def _close_connections(self, also: threading.Thread | None = None) -> None:
        kept = []
        for thread, connection in self._all:
            if thread is also or not thread.is_alive():
                connection.close()
            else:
                kept.append((thread, connection))
        self._all = kept


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,  # a dead thread's connection is closed by another
    )
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        connection.close()
        raise Unavailable(f"database {path}: its file system cannot do write-ahead logging")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA journal_size_limit = {_LOG_KEPT_BYTES}")
    return connection
