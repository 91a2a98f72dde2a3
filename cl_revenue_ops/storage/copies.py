"""Copies of a live database: consistent, online, in small steps, and never half done."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from cl_revenue_ops.ports import StoreDamaged, Unavailable
from cl_revenue_ops.storage.errors import translated
from cl_revenue_ops.storage.inspection import Identity, Kind, beside, inspect, reader, unsound
from cl_revenue_ops.storage.migrations import publish

_PAGES_A_STEP = 256
_REST_S = 0.002


def copy_online(
    source: Path, target: Path, whose: Identity, between_steps: Callable[[], None]
) -> Path:
    """Copy `source` to `target` while others write; blocks for seconds on a large file.

    The copy is one snapshot: its read transaction is held from the first page to the last, so
    commits meanwhile neither show in it nor make it start again; they wait in the write-ahead
    log. It is checked before it replaces an older copy. `between_steps` may raise to end it.
    Raises Unavailable (disk full, or a stranger's file has the target's name) or StoreDamaged.
    """
    _refuse_stranger(target, whose)
    draft = beside(target, ".new")
    with translated(target):
        draft.unlink(missing_ok=True)
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        try:
            _copy_pages(source, draft, between_steps)
            fault = unsound(draft)
            if fault is not None:
                raise StoreDamaged(f"database {source} is damaged, its copy was dropped: {fault}")
            between_steps()
            publish(draft, target)
        finally:
            draft.unlink(missing_ok=True)
            beside(draft, "-journal").unlink(missing_ok=True)
    return target


def _copy_pages(source: Path, draft: Path, between_steps: Callable[[], None]) -> None:
    def rest(status: int, remaining: int, total: int) -> None:
        between_steps()
        time.sleep(_REST_S)

    with reader(source) as origin, closing(sqlite3.connect(draft)) as copy:
        copy.execute("PRAGMA synchronous = OFF")  # published with its own fsync
        origin.execute("BEGIN")
        origin.execute("SELECT count(*) FROM sqlite_master").fetchone()
        origin.backup(copy, pages=_PAGES_A_STEP, progress=rest)
        origin.execute("ROLLBACK")


def _refuse_stranger(target: Path, whose: Identity) -> None:
    finding = inspect(target, whose)
    if finding.kind not in (Kind.ABSENT, Kind.OURS, Kind.DAMAGED):
        raise Unavailable(f"no copy made: {target} {finding.text}; move it away")
