"""The care of the file itself: its backup, its soundness, what there is to say of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from cl_revenue_ops.ports import Clock, Lease
from cl_revenue_ops.storage.copies import copy_online
from cl_revenue_ops.storage.database import Database
from cl_revenue_ops.storage.errors import translated
from cl_revenue_ops.storage.inspection import beside, unsound
from cl_revenue_ops.storage.migrations import sync
from cl_revenue_ops.storage.repository import Repository

_LONG_S = 600.0  # a gigabyte on a slow disk
_FLUSH_S = 60.0


class SqliteCareStore(Repository):
    """Implements ports.CareStore.

    The time of a backup is the modification time of its file, set from `clock`: so it cannot
    disagree with the file, and it is the house's time where that is not the system's.
    """

    def __init__(self, database: Database, lease: Lease, clock: Clock) -> None:
        super().__init__(database, lease)
        self._clock = clock

    def backup(self) -> str:
        """See ports.CareStore. Blocks for seconds; StaleGeneration ends it between two steps."""
        place = self._database.place()
        target = _backup_of(place.path)
        with self._lease.call("back up the database", _LONG_S), translated(target):
            copy_online(place.path, target, place.identity, self._require_current)
            now_s = self._clock.now()
            os.utime(target, (now_s, now_s))
        return str(target)

    def flush(self) -> None:
        """See ports.CareStore. Holds up no writer: the log is written through beside them."""
        log = beside(self._database.place().path, "-wal")
        with self._lease.call("flush the database", _FLUSH_S), translated(log):
            # Without a log everything has been checkpointed, which waits for the disk itself.
            if log.exists():
                sync(log)

    def last_backup_s(self) -> float | None:
        """See ports.CareStore."""
        target = _backup_of(self._database.place().path)
        with translated(target):
            try:
                return target.stat().st_mtime
            except FileNotFoundError:
                return None

    def check(self) -> str | None:
        """See ports.CareStore. Reads the whole file while others write: blocks for seconds."""
        with self._lease.call("check the database", _LONG_S):
            return unsound(self._database.place().path, in_use=True, limit=5)

    def facts(self) -> Mapping[str, object]:
        """See ports.CareStore: path, schema, size_bytes, log_bytes and note."""
        place = self._database.place()
        with translated(place.path):
            log = beside(place.path, "-wal")
            return {
                "path": str(place.path),
                "schema": place.identity.newest_schema,
                "size_bytes": place.path.stat().st_size,
                "log_bytes": log.stat().st_size if log.exists() else 0,
                "note": place.note,
            }

    def _require_current(self) -> None:
        with self._lease.effect():
            pass


def _backup_of(path: Path) -> Path:
    return beside(path, ".backup")
