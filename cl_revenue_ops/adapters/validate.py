"""Checks of single values that come from the node: what passes is safe to keep, else None."""

from __future__ import annotations

import re
from functools import lru_cache

COUNT_LIMIT = 1 << 63
"""Amounts, ids and counters lie below this, so that they fit a signed 64-bit column."""

TIME_LIMIT_S = 100_000_000_000

_SCID_MAX_CHARS = len("16777215x16777215x65535")
_WORD_MAX_CHARS = 64

_scid_form = re.compile(r"(0|[1-9][0-9]{0,7})x(0|[1-9][0-9]{0,7})x(0|[1-9][0-9]{0,4})")
_channel_id_form = re.compile(r"[0-9a-f]{64}")
_pubkey_form = re.compile(r"0[23][0-9a-f]{64}")
_msat_form = re.compile(r"([0-9]{1,19})msat")


def parse_count(value: object) -> int | None:
    """A whole number from 0 to 2^63 - 1; bools and floats are none."""
    if type(value) is int and 0 <= value < COUNT_LIMIT:
        return value
    return None


def parse_msat(value: object) -> int | None:
    """Millisatoshi from 0 to 2^63 - 1: a bare integer, or the older text form `123msat`."""
    if type(value) is int:
        return value if 0 <= value < COUNT_LIMIT else None
    if type(value) is not str:
        return None
    match = _msat_form.fullmatch(value)
    return parse_count(int(match[1])) if match else None


def parse_msat_bound(value: object) -> int | None:
    """Millisatoshi that only limit something: 2^63 and above (often 2^64 - 1) mean 2^63 - 1."""
    if type(value) is int and value >= COUNT_LIMIT:
        return COUNT_LIMIT - 1
    return parse_msat(value)


@lru_cache(maxsize=8192)
def _checked_scid(text: str) -> str | None:
    # The memo serves rows of forwards, which name few channels very often, and lets all of them
    # share one string object. Its keys are bounded in number and (by the caller) in length.
    match = _scid_form.fullmatch(text)
    if match is None:
        return None
    block, index, output = int(match[1]), int(match[2]), int(match[3])
    return text if block < 1 << 24 and index < 1 << 24 and output < 1 << 16 else None


def parse_scid(value: object) -> str | None:
    """A short channel id `BLOCKxTXxOUT` in its one canonical spelling."""
    if type(value) is str and len(value) <= _SCID_MAX_CHARS:
        return _checked_scid(value)
    return None


def parse_channel_id(value: object) -> str | None:
    """A channel id: 64 lower-case hex digits."""
    return value if type(value) is str and _channel_id_form.fullmatch(value) else None


def parse_hash(value: object) -> str | None:
    """A payment hash: 64 lower-case hex digits, the form of a channel id."""
    return parse_channel_id(value)


def parse_pubkey(value: object) -> str | None:
    """A compressed public key: 66 lower-case hex digits that begin with 02 or 03."""
    return value if type(value) is str and _pubkey_form.fullmatch(value) else None


def parse_time(value: object) -> float | None:
    """Unix seconds as a finite float, not negative and before the year 5138."""
    if (type(value) is float or type(value) is int) and 0 <= value < TIME_LIMIT_S:
        return float(value)
    return None


def parse_stamp(value: object) -> int | None:
    """Unix seconds, whole."""
    at_s = parse_time(value)
    return None if at_s is None else int(at_s)


def parse_word(value: object) -> str | None:
    """A name that the node chose (of a state, network, version): printable ASCII, no spaces.

    Names that did not exist yet when this was written pass as well.
    """
    if type(value) is str and 0 < len(value) <= _WORD_MAX_CHARS and value.isascii():
        return value if value.isprintable() and " " not in value else None
    return None


def ascii_line(text: str, limit: int = 300) -> str:
    """Outside text as one printable ASCII line of at most `limit` characters."""
    plain = text[:limit].encode("ascii", "backslashreplace").decode("ascii")
    line = " ".join("".join(c if c.isprintable() else " " for c in plain).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."
