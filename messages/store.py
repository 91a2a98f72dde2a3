"""The protocol of the Storekeeper: the care of the database file."""

from __future__ import annotations

from dataclasses import dataclass

from messages.base import Tick


@dataclass(frozen=True)
class BackupTick(Tick):
    """Time for the daily copy of the database."""


@dataclass(frozen=True)
class FlushLog(Tick):
    """To the Storekeeper: what was committed shall soon survive a loss of power as well."""


@dataclass(frozen=True)
class FlushTick(Tick):
    """Time to wait for the disk."""
