"""Reads a database of the earlier plugin as it lies, or a copy of it with its log."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from cl_revenue_ops.ports import (
    BadPath,
    EarlierSurvey,
    EarlierTable,
    Lease,
    StaleGeneration,
    Unavailable,
)
from cl_revenue_ops.storage.errors import as_port_error
from cl_revenue_ops.storage.inspection import APPLICATION_ID, beside, has_log

_OPEN_DEADLINE_S = 600.0  # a large file is copied, read through and hashed
_READ_DEADLINE_S = 60.0
_CHUNK_BYTES = 1 << 20
_MAGIC = b"SQLite format 3\0"
_COPY = "revenue_import.tmp"
_LOGS = ("-wal", "-journal")

# A table or two with these names are not chance.
_TELLING = frozenset({"forwards", "peer_policies", "channel_states", "fee_changes"})
_MANY = frozenset(
    {"channel_costs", "rebalance_costs", "rebalance_history", "daily_forwarding_stats"}
    | {"config_overrides", "closed_channels", "fee_strategy_state", "lifetime_aggregates"}
)


class SqliteEarlierFile:
    """Implements ports.EarlierFile.

    Without a log the file is opened as immutable: no lock, no log, no shared memory comes to lie
    beside it. With one, file and log are copied into the node's directory, and the copy is read.
    """

    def __init__(self, lightning_dir: str, lease: Lease) -> None:
        self._home = Path(lightning_dir)
        self._lease = lease
        self._connection: sqlite3.Connection | None = None
        self._cursor: sqlite3.Cursor | None = None
        self._path = Path()
        self._stamps: tuple[object, ...] = ()

    def open(self, path: str) -> EarlierSurvey:
        """See ports.EarlierFile."""
        self.close()
        with self._working("read the earlier database", _OPEN_DEADLINE_S, path):
            self._path = path_ = _plain_file(self._home, path)
            self._stamps = _stamps(path_)
            fingerprint = _fingerprint(path_)
            self._connect()
            tables = self._survey()
            self._require_unchanged()
        return EarlierSurvey(str(path_), fingerprint, tables)

    def begin(self, table: str, columns: Sequence[str]) -> None:
        """See ports.EarlierFile."""
        assert self._connection is not None
        with self._working("read the earlier database", _READ_DEADLINE_S, str(self._path)):
            names = ", ".join(map(_quoted, columns))
            self._cursor = self._connection.execute(f"SELECT {names} FROM {_quoted(table)}")

    def page(self, limit: int) -> tuple[tuple[object, ...], ...]:
        """See ports.EarlierFile."""
        assert self._cursor is not None
        with self._working("read the earlier database", _READ_DEADLINE_S, str(self._path)):
            rows = tuple(self._cursor.fetchmany(limit))
            self._require_unchanged()
        return rows

    def close(self) -> None:
        """See ports.EarlierFile."""
        self._cursor = None
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
        with suppress(StaleGeneration), self._lease.effect():
            # Whoever was replaced leaves the copy alone: it is the successor's.
            shutil.rmtree(self._home / _COPY, ignore_errors=True)

    def _connect(self) -> None:
        source, mode = self._path, "mode=ro&immutable=1"
        if has_log(source):
            # Even a reader would leave shared memory beside a file with a log.
            source, mode = self._copied(), "mode=rw"
        connection = sqlite3.connect(f"{source.as_uri()}?{mode}", uri=True, isolation_level=None)
        connection.text_factory = _text
        self._connection = connection

    def _copied(self) -> Path:
        folder = self._home / _COPY
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        copy = folder / "earlier.db"
        shutil.copyfile(self._path, copy)
        for suffix in _LOGS:
            with suppress(FileNotFoundError):
                shutil.copyfile(beside(self._path, suffix), beside(copy, suffix))
        return copy

    def _survey(self) -> tuple[EarlierTable, ...]:
        connection = self._connection
        assert connection is not None
        (number,) = connection.execute("PRAGMA application_id").fetchone()
        if number == APPLICATION_ID:
            raise BadPath(f"{self._path} is a database of this plugin, not of the earlier one")
        fault = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if fault != "ok":
            raise BadPath(f"{self._path} is damaged: {' '.join(str(fault).split())}")
        names = {
            str(name)
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            )
        }
        if not (names & _TELLING and len(names & (_TELLING | _MANY)) > 1):
            raise BadPath(f"{self._path} is no database of the earlier plugin of this name")
        return tuple(self._table(connection, name) for name in sorted(names))

    def _table(self, connection: sqlite3.Connection, name: str) -> EarlierTable:
        columns = tuple(
            str(row[1]) for row in connection.execute(f"PRAGMA table_info({_quoted(name)})")
        )
        (rows,) = connection.execute(f"SELECT count(*) FROM {_quoted(name)}").fetchone()
        return EarlierTable(name, columns, int(rows))

    def _require_unchanged(self) -> None:
        if _stamps(self._path) != self._stamps:
            raise Unavailable(
                f"{self._path} changes while it is read; stop the earlier plugin first"
            )

    @contextmanager
    def _working(self, what: str, deadline_s: float, path: str) -> Iterator[None]:
        try:
            with self._lease.call(what, deadline_s):
                yield
        except sqlite3.DatabaseError as error:
            known = as_port_error(error, self._path)
            if isinstance(known, Unavailable):
                raise known from error
            raise BadPath(f"{path} is damaged: {' '.join(str(error).split())}") from error
        except OSError as error:
            raise Unavailable(f"{path} cannot be read: {error.strerror}") from error


def _plain_file(home: Path, path: str) -> Path:
    try:
        found = (home / Path(path).expanduser()).resolve(strict=True)
        if not found.is_file():
            raise BadPath(f"{found} is not a regular file")
        with found.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except FileNotFoundError as error:
        raise BadPath(f"there is no file {path}") from error
    except PermissionError as error:
        raise BadPath(f"{path} cannot be read: {error.strerror}") from error
    except (RuntimeError, ValueError, NotADirectoryError) as error:
        raise BadPath(f"{path} cannot be used: {error}") from error
    if magic != _MAGIC:
        raise BadPath(f"{found} is no SQLite database")
    return found


def _stamps(path: Path) -> tuple[object, ...]:
    """What changes with every write to the file or to its log."""
    found: list[object] = []
    for file in (path, *(beside(path, suffix) for suffix in _LOGS)):
        try:
            seen = file.stat()
        except FileNotFoundError:
            found.append(None)
        else:
            found.append((seen.st_ino, seen.st_size, seen.st_mtime_ns))
    return tuple(found)


def _fingerprint(path: Path) -> str:
    digest = hashlib.sha256()
    for file in (path, *(beside(path, suffix) for suffix in _LOGS)):
        with suppress(FileNotFoundError), file.open("rb") as content:
            while chunk := content.read(_CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
