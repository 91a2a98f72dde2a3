"""The protocol of the Settings actor: changing a setting, and telling everyone the new ones."""

from __future__ import annotations

from dataclasses import dataclass

from messages.base import Command, Fact, Snapshot


@dataclass(frozen=True)
class SetSetting(Command):
    """Set `key` to `raw` (any JSON scalar), at run time, as an override of the configuration.

    `ticket` is the place of this order among all; see the write gate.
    """

    key: str
    raw: object
    ticket: int = 0


@dataclass(frozen=True)
class ResetSetting(Command):
    """Drop the override of `key`: the configured value is in force again."""

    key: str
    ticket: int = 0


@dataclass(frozen=True)
class RestoreFees(Command):
    """Pause, then let the fees found at first contact be put back; nothing else is stored."""

    ticket: int = 0


@dataclass(frozen=True)
class SettingConfigured(Fact):
    """lightningd stored a new configured value (`setconfig`), already validated."""

    key: str
    raw: object
    ticket: int = 0


@dataclass(frozen=True)
class ConfigChanged(Snapshot):
    """All settings in force: `values` holds (key, typed value) pairs of the settings table.

    `root_seed` is the root of every random draw of this house.
    """

    version: int
    values: tuple[tuple[str, object], ...]
    root_seed: int
