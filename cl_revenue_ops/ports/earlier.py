"""A database of the earlier plugin, read and never written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class EarlierTable(NamedTuple):
    """A table as it stands in the file: its columns in order, and how many rows it has."""

    name: str
    columns: tuple[str, ...]
    rows: int


class EarlierSurvey(NamedTuple):
    """What stands at a path; `fingerprint` is the SHA-256 of the file (and of its log)."""

    path: str
    fingerprint: str
    tables: tuple[EarlierTable, ...]


class EarlierFile(Protocol):
    """One file at a time. All methods block on the disk, `open` for seconds on a large file."""

    def open(self, path: str) -> EarlierSurvey:
        """Look at the file (relative to the node's directory, or anywhere).

        BadPath where there is none, or none of the earlier plugin that is sound; Unavailable
        where the disk cannot be used, or the file changes meanwhile.
        """
        ...

    def begin(self, table: str, columns: Sequence[str]) -> None:
        """Read a table of the survey from its first row on."""
        ...

    def page(self, limit: int) -> tuple[tuple[object, ...], ...]:
        """The next rows with the columns asked for; fewer than `limit` only at the end.

        BadPath where the file turns out to be damaged.
        """
        ...

    def close(self) -> None:
        """Let the file go, and any copy of it; never raises."""
        ...
