"""Builds the book of settings at start from lightningd's options and the stored overrides.

Nothing that is found here stops the house: a bad option gives way to its default and is named as
a problem, with which the house starts paused; a bad or outdated override is left out with a note.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from cl_revenue_ops.config.book import Configured, Override, SettingsBook, Source, StoredOverride
from cl_revenue_ops.config.lookup import find
from cl_revenue_ops.config.parse import echo, parse
from cl_revenue_ops.config.rules import violations
from cl_revenue_ops.config.setting import Setting, SettingRefused, SettingValue, to_text
from cl_revenue_ops.config.table import BY_KEY, SETTINGS
from cl_revenue_ops.config.values import Config


@dataclass(frozen=True)
class BootResult:
    """The book at start and what was found on the way; all lines are ASCII.

    `problems` are faults of the configuration: with any of them the house must start paused.
    `notes` are for the log. `outdated` are the keys of stored overrides that the configuration
    has overtaken: their rows must be deleted, or they would come back with the old configuration.
    """

    book: SettingsBook
    config: Config
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    outdated: tuple[str, ...]


def at_boot(
    raw_options: Mapping[str, object],
    stored_overrides: Iterable[StoredOverride],
    stored_version: object = 0,
) -> BootResult:
    """The settings to start with. Never raises for anything that comes from outside.

    `raw_options` maps full option names to what lightningd gave (None or absent: not set). The
    fields of `stored_overrides` and `stored_version` may hold anything that a damaged database
    can contain. The version is one above the stored one, since the configuration may have
    changed in between and one version must never mean two sets of values.
    """
    configured, problems = _configured(raw_options)
    notes = [
        f"unknown option {echo(name)} is ignored" for name in raw_options if name not in _OPTIONS
    ]
    overrides: dict[str, Override] = {}
    outdated: list[str] = []
    for row in stored_overrides:
        read = _read_override(row, configured)
        if isinstance(read, _Overtaken):
            outdated.append(read.key)
        if isinstance(read, tuple):
            overrides[read[0]] = read[1]
        else:
            notes.append(read.note)
    book = SettingsBook(configured, overrides, _version_after(stored_version))
    book, left_out = _without_contradictions(book)
    return BootResult(book, book.config, tuple(problems), (*notes, *left_out), tuple(outdated))


@dataclass(frozen=True)
class _Unusable:
    note: str


@dataclass(frozen=True)
class _Overtaken:
    key: str
    note: str


_OPTIONS = frozenset(setting.option for setting in SETTINGS)


def _configured(raw_options: Mapping[str, object]) -> tuple[dict[str, Configured], list[str]]:
    problems: list[str] = []
    configured: dict[str, Configured] = {}
    for setting in SETTINGS:
        raw = raw_options.get(setting.option)
        value = setting.default if raw is None else parse(setting, raw)
        if isinstance(value, SettingRefused):
            problems.append(f"{setting.option}: {value.text}; {_default_used(setting)}")
            configured[setting.key] = _defaulted(setting, f"refused {echo(raw)}")
        else:
            source = Source.DEFAULT if value == setting.default else Source.CONFIG_FILE
            configured[setting.key] = Configured(value, to_text(value), source)
    while broken := violations({key: entry.value for key, entry in configured.items()}):
        # Each round takes at least one value back to its default, and defaults break no rule.
        keys = broken[0].rule.keys
        problems.append(f"{broken[0].text}; the defaults of both are used: correct the config file")
        for key in keys:
            configured[key] = _defaulted(BY_KEY[key], configured[key].text)
    return configured, problems


def _defaulted(setting: Setting, text: str) -> Configured:
    return Configured(setting.default, text, Source.DEFAULT)


def _default_used(setting: Setting) -> str:
    return f"the default {setting.default_text} is used: correct the config file"


def _read_override(
    row: StoredOverride, configured: Mapping[str, Configured]
) -> tuple[str, Override] | _Unusable | _Overtaken:
    ignored = "the stored runtime value is ignored"
    setting = find(row.key)
    if isinstance(setting, SettingRefused):
        return _Unusable(f"{ignored}: {setting.text}")
    if not setting.dynamic:
        return _Unusable(f"{ignored}: {setting.key} can only change in the config file")
    value: SettingValue | SettingRefused = parse(setting, row.value)
    if isinstance(value, SettingRefused):
        return _Unusable(f"{ignored}: {value.text}")
    now = configured[setting.key].text
    if row.replaced != now:
        return _Overtaken(
            row.key,
            f"{setting.key}: the configuration changed from {echo(row.replaced)} to {echo(now)}"
            f" and wins over the runtime value {to_text(value)}",
        )
    return setting.key, Override(value, now)


def _without_contradictions(book: SettingsBook) -> tuple[SettingsBook, list[str]]:
    """Leaves out the overrides that break a rule; the configuration alone breaks none."""
    notes: list[str] = []
    while broken := violations(book.values):
        keys = broken[0].rule.keys
        notes.extend(
            f"the stored runtime value of {key} is ignored: {broken[0].text}"
            for key in keys
            if key in book.overrides
        )
        kept = {key: value for key, value in book.overrides.items() if key not in keys}
        book = replace(book, overrides=kept)
    return book, notes


_VERSION_MOST = 2**53  # nobody changes settings that often: a larger one is torn


def _version_after(stored_version: object) -> int:
    if isinstance(stored_version, int) and 0 < stored_version < _VERSION_MOST:
        return stored_version + 1
    return 1
