"""A file that is written for an operator: under another name first, complete or not at all."""

from __future__ import annotations

from typing import Protocol


class BadPath(Exception):
    """The operator named a file that cannot be written or read; the message is one line."""


class ExportFile(Protocol):
    """One draft at a time. All methods block on the disk; Unavailable where it cannot be used."""

    def begin(self, path: str, ending: str) -> str:
        """Open a draft for `path` (relative to the node's directory, or absolute inside it).

        Returns the whole path that it will have. A draft left by an earlier run is replaced.
        BadPath where it lies outside, has not this ending, is there already, or has no folder.
        """
        ...

    def write(self, text: str) -> None:
        """Append to the draft."""
        ...

    def publish(self) -> int:
        """Give the draft its name, surely on the disk; returns its size in bytes.

        BadPath where somebody else took the name meanwhile: nothing is ever replaced.
        """
        ...

    def discard(self) -> None:
        """Drop the draft, if there is one; never raises."""
        ...
