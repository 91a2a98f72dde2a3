"""The state of all settings: what is configured, what was changed at run time, and how it changes.

Everything here is a pure function of a `SettingsBook`; who owns the book stores what a `Change`
says and tells the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from cl_revenue_ops.config.lookup import find
from cl_revenue_ops.config.parse import parse
from cl_revenue_ops.config.rules import violations
from cl_revenue_ops.config.setting import Setting, SettingRefused, SettingValue, to_text
from cl_revenue_ops.config.table import SETTINGS
from cl_revenue_ops.config.values import Config, config_from


class Source(Enum):
    """Where a value comes from."""

    DEFAULT = "default"
    CONFIG_FILE = "config file"
    SETCONFIG = "setconfig"
    RUNTIME = "runtime"


@dataclass(frozen=True)
class Configured:
    """What lightningd has for one setting.

    `text` identifies it across restarts: it is also kept for a value that could not be used, in
    whose place `value` is the default.
    """

    value: SettingValue
    text: str
    source: Source


@dataclass(frozen=True)
class Override:
    """A value set at run time, and the text of the configured value that it replaced."""

    value: SettingValue
    replaced: str


@dataclass(frozen=True)
class StoredOverride:
    """An override as the store keeps it; texts only."""

    key: str
    value: str
    replaced: str


@dataclass(frozen=True)
class SettingsBook:
    """All settings with their provenance; `configured` has every key, `overrides` a few."""

    configured: Mapping[str, Configured]
    overrides: Mapping[str, Override]
    version: int

    def value(self, key: str) -> SettingValue:
        """The value in force."""
        override = self.overrides.get(key)
        return self.configured[key].value if override is None else override.value

    def source(self, key: str) -> Source:
        """Where the value in force comes from."""
        return Source.RUNTIME if key in self.overrides else self.configured[key].source

    @property
    def values(self) -> dict[str, SettingValue]:
        """The values in force by key, in the order of the table."""
        return {setting.key: self.value(setting.key) for setting in SETTINGS}

    @property
    def config(self) -> Config:
        """The values in force, typed."""
        return config_from(self.values, self.version)


@dataclass(frozen=True)
class Change:
    """What a request did to one setting.

    `stored` is the row that the store must now have for `key`; None means that it must have none.
    `changed` is False when the book is as it was; then the version is the old one too.
    """

    key: str
    old_value: SettingValue
    new_value: SettingValue
    version: int
    changed: bool
    stored: StoredOverride | None
    notes: tuple[str, ...] = ()


Outcome = tuple[SettingsBook, Change] | SettingRefused


def set_value(book: SettingsBook, name: object, raw: object, source: str) -> Outcome:
    """Sets one setting to an outside value, or says why not.

    `source` is `revenue-config` (makes an override, or removes it when the value is the
    configured one) or `setconfig` (changes the configured value itself and removes an override).
    """
    assert source in ("revenue-config", "setconfig")
    setting = find(name)
    if isinstance(setting, SettingRefused):
        return setting
    if not setting.dynamic:
        return SettingRefused(
            f"{setting.key} can only change in the config file, then restart the plugin"
        )
    value = parse(setting, raw)
    if isinstance(value, SettingRefused):
        return value
    if source == "setconfig":
        return _configure(book, setting, value)
    return _override(book, setting, value)


def reset_value(book: SettingsBook, name: object) -> Outcome:
    """Takes one setting back to its configured value, or says why not."""
    setting = find(name)
    if isinstance(setting, SettingRefused):
        return setting
    if setting.key not in book.overrides:
        note = f"{setting.key} has no runtime value: nothing to reset"
        return _settled(book, book, setting, (note,))
    return _settled(book, _without_override(book, setting.key), setting)


def describe(book: SettingsBook) -> list[dict[str, object]]:
    """One row of JSON scalars for each setting, in the order of the table."""
    return [
        {
            "key": setting.key,
            "option": setting.option,
            "type": setting.kind.value,
            "value": book.value(setting.key),
            "default": setting.default,
            "configured": book.configured[setting.key].value,
            "source": book.source(setting.key).value,
            "dynamic": setting.dynamic,
            "bounds": setting.bounds,
            "unit": setting.unit,
            "owner": setting.owner.name,
            "built": setting.built,
            "help": setting.help,
        }
        for setting in SETTINGS
    ]


def mutable_keys() -> list[str]:
    """The keys that can change at run time, sorted."""
    return sorted(setting.key for setting in SETTINGS if setting.dynamic)


def _override(book: SettingsBook, setting: Setting, value: SettingValue) -> Outcome:
    configured = book.configured[setting.key]
    if value == book.value(setting.key):
        return _settled(book, book, setting)
    if value == configured.value:
        return _settled(book, _without_override(book, setting.key), setting)
    made = {**book.overrides, setting.key: Override(value, configured.text)}
    return _settled(book, replace(book, overrides=made), setting)


def _configure(book: SettingsBook, setting: Setting, value: SettingValue) -> Outcome:
    key = setting.key
    notes: tuple[str, ...] = ()
    if key in book.overrides:
        lost = to_text(book.overrides[key].value)
        notes = (f"{key}: the runtime value {lost} gives way to setconfig {to_text(value)}",)
    elif (value, to_text(value)) == (book.configured[key].value, book.configured[key].text):
        return _settled(book, book, setting)
    configured = {**book.configured, key: Configured(value, to_text(value), Source.SETCONFIG)}
    # lightningd writes this value down; it must also make sense where no runtime value helps it.
    broken = violations({name: entry.value for name, entry in configured.items()})
    if broken:
        return SettingRefused(f"as configured, {broken[0].text}; setconfig the other one first")
    return _settled(
        book, replace(_without_override(book, key), configured=configured), setting, notes
    )


def _without_override(book: SettingsBook, key: str) -> SettingsBook:
    kept = {name: override for name, override in book.overrides.items() if name != key}
    return replace(book, overrides=kept)


def _settled(
    old: SettingsBook, new: SettingsBook, setting: Setting, notes: tuple[str, ...] = ()
) -> Outcome:
    """The outcome of going from `old` to `new`, unless the settings would contradict each other."""
    key = setting.key
    broken = violations(new.values)
    if new is not old and broken:
        return SettingRefused(f"{broken[0].text}; change the other one first")
    book = new if new is old else replace(new, version=old.version + 1)
    change = Change(
        key=key,
        old_value=old.value(key),
        new_value=book.value(key),
        version=book.version,
        changed=book is not old,
        stored=_stored(book, key),
        notes=notes,
    )
    return book, change


def _stored(book: SettingsBook, key: str) -> StoredOverride | None:
    override = book.overrides.get(key)
    if override is None:
        return None
    return StoredOverride(key, to_text(override.value), override.replaced)
