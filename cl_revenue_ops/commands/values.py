"""Readers of single arguments: from any JSON value to a checked one, or a line of complaint."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from cl_revenue_ops.commands.binding import BadInput
from cl_revenue_ops.config import echo

_SCID = re.compile(r"[0-9]{1,8}[x:][0-9]{1,8}[x:][0-9]{1,5}\Z")
_CHANNEL_ID = re.compile(r"[0-9a-f]{64}\Z")
_NODE_ID = re.compile(r"0[23][0-9a-f]{64}\Z")
_WHOLE = re.compile(r"-?[0-9]{1,18}\Z")
_YES, _NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def whole(name: str, least: int, most: int) -> Callable[[object], int]:
    """A whole number within bounds; accepts its decimal text."""

    def read(raw: object) -> int:
        value: int | None = None
        if isinstance(raw, int) and not isinstance(raw, bool):
            value = raw
        elif isinstance(raw, str) and raw.isascii() and _WHOLE.match(raw):
            value = int(raw)
        if value is None or not least <= value <= most:
            raise BadInput(f"{name} must be a whole number from {least} to {most}, not {echo(raw)}")
        return value

    return read


def whole_or_none(name: str, least: int, most: int) -> Callable[[object], int | None]:
    """As `whole`; null means None."""
    number = whole(name, least, most)
    return lambda raw: None if raw is None else number(raw)


def flag(name: str) -> Callable[[object], bool]:
    """true or false; accepts yes/no, on/off, 1/0 in any case."""

    def read(raw: object) -> bool:
        text = str(raw).lower() if isinstance(raw, (bool, int, str)) else ""
        if text in _YES:
            return True
        if text in _NO:
            return False
        raise BadInput(f"{name} must be true or false, not {echo(raw)}")

    return read


def word(name: str, choices: Mapping[str, object] | tuple[str, ...]) -> Callable[[object], str]:
    """One of a few words, in any case."""

    def read(raw: object) -> str:
        text = raw.lower() if isinstance(raw, str) else ""
        if text in choices:
            return text
        raise BadInput(f"{name} must be one of {', '.join(choices)}, not {echo(raw)}")

    return read


def scalar(name: str) -> Callable[[object], object]:
    """Any JSON scalar but null, left as it is."""

    def read(raw: object) -> object:
        if isinstance(raw, (str, int, float, bool)):
            return raw
        raise BadInput(f"{name} must be a text, a number or true/false, not {echo(raw)}")

    return read


def channel_name(name: str) -> Callable[[object], str]:
    """A scid (x or : between its parts), a channel_id or a node id, in canonical spelling."""

    def read(raw: object) -> str:
        if isinstance(raw, str):
            text = raw.strip().lower()
            if text.isascii() and _SCID.match(text):
                return "x".join(str(int(part)) for part in re.split("[x:]", text))
            if text.isascii() and (_CHANNEL_ID.match(text) or _NODE_ID.match(text)):
                return text
        raise BadInput(
            f"{name} must be a short channel id such as 900000x12x0, a channel_id of 64 hex"
            f" digits or a node id, not {echo(raw)}"
        )

    return read


def node_id(name: str) -> Callable[[object], str]:
    """A node's public key, in lower case."""

    def read(raw: object) -> str:
        text = raw.strip().lower() if isinstance(raw, str) else ""
        if text.isascii() and _NODE_ID.match(text):
            return text
        raise BadInput(
            f"{name} must be a node id of 66 hex digits that begin with 02 or 03, not {echo(raw)}"
        )

    return read


def line(name: str, most: int) -> Callable[[object], str]:
    """A text of one line without surrounding spaces."""

    def read(raw: object) -> str:
        text = raw.strip() if isinstance(raw, str) else ""
        if 0 < len(text) <= most and text.isprintable():
            return text
        raise BadInput(f"{name} must be a text of 1 to {most} characters, not {echo(raw)}")

    return read


def ppm_or_auto(name: str, most: int) -> Callable[[object], int | None]:
    """A fee in ppm, or the word auto (None)."""
    number = whole(name, 0, most)

    def read(raw: object) -> int | None:
        if isinstance(raw, str) and raw.lower() == "auto":
            return None
        try:
            return number(raw)
        except BadInput:
            raise BadInput(
                f"{name} must be a whole number from 0 to {most} or auto, not {echo(raw)}"
            ) from None

    return read
