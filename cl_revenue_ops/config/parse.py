"""Turns a raw JSON scalar or text into a typed value within the bounds of its setting."""

from __future__ import annotations

import re
from collections.abc import Callable

from cl_revenue_ops.config.setting import Kind, Setting, SettingRefused, SettingValue

_ECHO_CHARS = 60
_WHOLE_TEXT = re.compile(r"-?[0-9]{1,16}")
_NUMBER_TEXT = re.compile(
    r"-?(?:[0-9]{1,32}(?:\.[0-9]{0,32})?|\.[0-9]{1,32})(?:[eE][+-]?[0-9]{1,3})?"
)
_MAX_WHOLE = 2**53  # above it a JSON reader that uses doubles would see another number
_SWITCH_WORDS = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}


def parse(setting: Setting, raw: object) -> SettingValue | SettingRefused:
    """The typed value that `raw` means for `setting`, or why it is refused.

    `raw` is whatever a JSON reader or the store gives: texts are accepted as well as scalars,
    because lightningd hands over every option as text. Never raises.
    """
    value = _READERS[setting.kind](setting, raw)
    if value is None:
        return SettingRefused(f"{setting.key} must be {setting.expectation} (got {echo(raw)})")
    return value


def echo(raw: object) -> str:
    """Outside matter for a message: one line, ASCII, at most about 60 characters."""
    if isinstance(raw, str):
        shown = ascii(raw[: _ECHO_CHARS + 1])[1:-1]
        if len(shown) > _ECHO_CHARS:
            shown = shown[: _ECHO_CHARS - 3] + "..."
        return f"'{shown}'"
    if raw is None:
        return "null"
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, int):
        # Python refuses to print very long numbers, so they are described instead.
        return str(raw) if abs(raw) < 10**_ECHO_CHARS else "a very large number"
    if isinstance(raw, float):
        return repr(raw)
    if isinstance(raw, (list, tuple)):
        return "a list"
    return "an object" if isinstance(raw, dict) else "no JSON value"


def _read_int(setting: Setting, raw: object) -> int | None:
    if isinstance(raw, str):
        number = int(raw) if _WHOLE_TEXT.fullmatch(raw) else None
    else:
        number = raw if isinstance(raw, int) and not isinstance(raw, bool) else None
    if number is None or abs(number) > _MAX_WHOLE or not _within(setting, number):
        return None
    return number


def _read_float(setting: Setting, raw: object) -> float | None:
    number: float | None = None
    if isinstance(raw, str):
        number = float(raw) if _NUMBER_TEXT.fullmatch(raw) else None
    elif isinstance(raw, (int, float)) and not isinstance(raw, bool):
        number = raw
    # The bounds are finite, so they also keep out nan, infinities and integers beyond any float.
    if number is None or not _within(setting, number):
        return None
    return float(number) + 0.0  # turns -0.0 into 0.0


def _read_bool(_setting: Setting, raw: object) -> bool | None:
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, int):
        return bool(raw) if raw in (0, 1) else None
    if isinstance(raw, str):
        return _SWITCH_WORDS.get(raw.lower())
    return None


def _read_choice(setting: Setting, raw: object) -> str | None:
    if isinstance(raw, bool):
        word = "true" if raw else "false"
    elif isinstance(raw, str):
        word = raw.lower()
    else:
        return None
    return word if word in setting.choices else None


def _read_path(setting: Setting, raw: object) -> str | None:
    # isprintable() is false for control characters, lone surrogates and line separators.
    if not isinstance(raw, str) or not raw.isprintable() or raw != raw.strip():
        return None
    return raw if _within(setting, len(raw)) else None


def _within(setting: Setting, number: float) -> bool:
    return setting.low <= number <= setting.high


_READERS: dict[Kind, Callable[[Setting, object], SettingValue]] = {
    Kind.INT: _read_int,
    Kind.FLOAT: _read_float,
    Kind.BOOL: _read_bool,
    Kind.CHOICE: _read_choice,
    Kind.PATH: _read_path,
}
