"""Looking at a database file without touching it: whose is it, and is it sound?"""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from cl_revenue_ops.ports import Unavailable
from cl_revenue_ops.storage.errors import as_port_error
from cl_revenue_ops.storage.file_lock import lock_path

APPLICATION_ID = 0x52564F50  # "RVOP" in the header of every database of this house

# Read as it lies on the disk, without lock, log or shared memory beside it ...
_AS_IT_LIES = "mode=ro&immutable=1"
# ... or with its write-ahead log, which needs shared memory but never changes the file.
_WITH_ITS_LOG = "mode=ro"

_EARLIER_TABLES = frozenset(
    {"config_overrides", "fee_strategy_state", "forwards", "channel_states", "peer_policies"}
)


class Kind(Enum):
    """What stands at a path."""

    ABSENT = "absent"
    OURS = "ours"
    DAMAGED = "damaged"
    OTHER_NODE = "other node"
    NEWER = "newer"
    EARLIER = "earlier plugin"
    FOREIGN = "foreign"


class Finding(NamedTuple):
    """The verdict on a path; `text` completes 'the database <path> ...'."""

    kind: Kind
    text: str


class Identity(NamedTuple):
    """Whose database is wanted, and the newest schema that this program knows."""

    node_id: str
    network: str
    newest_schema: int


def beside(path: Path, suffix: str) -> Path:
    """The file of this name with `suffix` appended."""
    return path.with_name(path.name + suffix)


def holds_bytes(path: Path) -> bool:
    """Whether a file is there and not empty."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def has_log(path: Path) -> bool:
    """Whether the last stop left commits outside the database file, so it was not clean."""
    return holds_bytes(beside(path, "-wal")) or holds_bytes(beside(path, "-journal"))


def inspect(path: Path, wanted: Identity) -> Finding:
    """Say what stands at `path`, leaving a file of anybody else as it is, byte for byte.

    Blocks on the disk for milliseconds. Raises Unavailable when the file cannot be read.
    """
    try:
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            return Finding(Kind.FOREIGN, "is not a regular file")
        if not holds_bytes(path):
            if has_log(path):
                return Finding(Kind.DAMAGED, "has lost all but its write-ahead log or journal")
            return Finding(Kind.ABSENT, "is not there yet")
        finding = _judge(path, _AS_IT_LIES, wanted)
        if finding.kind in (Kind.OURS, Kind.DAMAGED) and has_log(path):
            return _judge(path, _WITH_ITS_LOG, wanted)
        return finding
    except OSError as error:
        raise Unavailable(f"database {path}: {error.strerror}") from error


def unsound(path: Path, in_use: bool = False, limit: int = 1) -> str | None:
    """None when SQLite's quick_check finds the file sound, else its first complaints.

    `in_use` says that somebody may be writing to it. Reads the whole file: about 4 ms a
    megabyte on a desktop, ten times that on a small board. Raises Unavailable.
    """
    mode = _WITH_ITS_LOG if in_use or has_log(path) else _AS_IT_LIES
    try:
        with reader(path, mode) as connection:
            rows = connection.execute(f"PRAGMA quick_check({limit})").fetchall()
    except sqlite3.DatabaseError as error:
        failure = as_port_error(error, path)
        if isinstance(failure, Unavailable):
            raise failure from error
        return str(error)
    text = "; ".join(" ".join(str(row[0]).split()) for row in rows)
    return None if text == "ok" else text


@contextmanager
def reader(path: Path, mode: str = _WITH_ITS_LOG) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write; closed at the end."""
    connection = sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def _judge(path: Path, mode: str, wanted: Identity) -> Finding:
    stamped = False
    try:
        with reader(path, mode) as connection:
            (application_id,) = connection.execute("PRAGMA application_id").fetchone()
            stamped = application_id == APPLICATION_ID
            return _stamp(connection, wanted) if stamped else _stranger(connection)
    except sqlite3.DatabaseError as error:
        failure = as_port_error(error, path)
        if isinstance(failure, Unavailable):
            raise failure from error
        # SQLite reads no header of a file that was cut, and only our files get a lock beside.
        if stamped or _bears_our_number(path) or lock_path(path).exists():
            return Finding(Kind.DAMAGED, f"is damaged: {error}")
        return Finding(Kind.FOREIGN, "is not a database of this plugin")


def _bears_our_number(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(100)[68:72] == APPLICATION_ID.to_bytes(4, "big")


def _stamp(connection: sqlite3.Connection, wanted: Identity) -> Finding:
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    row = connection.execute("SELECT node_id, network FROM stamp").fetchone()
    if row is None:
        return Finding(Kind.DAMAGED, "is damaged: its stamp is missing")
    node_id, network = row
    if node_id != wanted.node_id:
        return Finding(Kind.OTHER_NODE, f"belongs to another node ({node_id})")
    if network != wanted.network:
        return Finding(Kind.OTHER_NODE, f"belongs to another network ({network})")
    if schema > wanted.newest_schema:
        return Finding(
            Kind.NEWER,
            f"was written by a newer version (schema {schema}, known: {wanted.newest_schema})",
        )
    return Finding(Kind.OURS, "is ours")


def _stranger(connection: sqlite3.Connection) -> Finding:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if len(tables & _EARLIER_TABLES) > 1:
        return Finding(Kind.EARLIER, "belongs to the earlier plugin of this name")
    return Finding(Kind.FOREIGN, "belongs to another program")
