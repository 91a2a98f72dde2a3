"""The advisory lock beside the database: one process of the house at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from cl_revenue_ops.ports import StoreDamaged, Unavailable


def lock_path(database: Path) -> Path:
    """Where the lock of this database lies."""
    return database.with_name(database.name + ".lock")


class FileLock:
    """An flock for the life of the process.

    The file stays behind: a name that is removed and made again could be locked twice.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock at once; StoreDamaged when another process has it."""
        path = lock_path(self._database)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise Unavailable(f"lock {path}: {error.strerror}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(fd, 0)
            os.write(fd, f"{os.getpid()}\n".encode())
        except BlockingIOError as error:
            holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise StoreDamaged(
                f"database {self._database} is in use by another process (pid {holder})"
            ) from error
        except OSError as error:
            os.close(fd)
            raise Unavailable(f"lock {path}: {error.strerror}") from error
        self._fd = fd

    def release(self) -> None:
        """Give the lock back; does nothing without it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
