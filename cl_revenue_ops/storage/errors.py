"""What SQLite's and the operating system's failures mean to the house."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cl_revenue_ops.ports import PortError, StoreDamaged, Unavailable

# Error codes reach Python only from 3.11 on, so the texts of SQLite decide; they are part of
# its documented result codes and the same in every version.
_PASSING = (
    "database or disk is full",
    "disk I/O error",
    "unable to open database",
    "attempt to write a readonly database",
    "is locked",
    "locking protocol",
    "access permission denied",
    "interrupted",
)


def as_port_error(error: Exception, path: Path) -> PortError | None:
    """The house's name for a failure of the disk or the file; None for a programmer's error."""
    text = " ".join(str(error).split())
    if isinstance(error, sqlite3.OperationalError):
        if any(passing in text for passing in _PASSING):
            return Unavailable(f"database {path}: {text}")
        if text.startswith("no such"):
            return StoreDamaged(f"database {path} lacks a part of its schema: {text}")
        return None
    if type(error) is sqlite3.DatabaseError:
        return StoreDamaged(f"database {path} is damaged: {text}")
    if isinstance(error, OSError):
        return Unavailable(f"database {path}: {error.strerror or text}")
    return None


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn failures of the disk or the file into Unavailable or StoreDamaged."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        known = as_port_error(error, path)
        if known is None:
            raise
        raise known from error
