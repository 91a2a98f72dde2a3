"""The fields of a policy: from any JSON value to a checked one, or a line that says what to do."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from cl_revenue_ops.config import echo
from cl_revenue_ops.domain import jsontext
from messages.policies import REBALANCE_MODES, STRATEGIES

MOST_PPM = 100_000
LEAST_MULTIPLIER, MOST_MULTIPLIER = 0.1, 5.0
LEAST_HOURS, MOST_HOURS = 1.0, 720.0
MOST_TAGS, LONGEST_TAG = 32, 100

_PEER_ID = re.compile(r"0[23][0-9a-f]{64}\Z")
_WHOLE = re.compile(r"-?[0-9]{1,15}\Z")
_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?\Z")
_NOTHING = ("", "none", "null")


class Fault(NamedTuple):
    """Why something cannot be: one line of ASCII that says what to do instead."""

    text: str


Reader = Callable[[object], object]


def peer_id(raw: object) -> str | Fault:
    """A node id in lower case. Whose it is does not matter: a fleet names us and strangers too."""
    if isinstance(raw, str):
        text = raw.lower()
        if text.isascii() and _PEER_ID.match(text):
            return text
    return Fault(
        "peer_id must be a node id: 66 hex digits that begin with 02 or 03,"
        f" not {echo(raw) if raw is not None else 'nothing'}"
    )


def _word(name: str, choices: tuple[str, ...]) -> Reader:
    def read(raw: object) -> object:
        text = raw.lower() if isinstance(raw, str) else None
        if text in choices:
            return text
        return Fault(f"{name} must be one of {', '.join(choices)}, not {echo(raw)}")

    return read


def _ppm(name: str) -> Reader:
    """A whole number of ppm; null, none or an empty text takes it away."""

    def read(raw: object) -> object:
        value: int | None = None
        if raw is None or (isinstance(raw, str) and raw.lower() in _NOTHING):
            return None
        if isinstance(raw, int) and not isinstance(raw, bool):
            value = raw
        elif isinstance(raw, str) and raw.isascii() and _WHOLE.match(raw):
            value = int(raw)
        if value is None or not 0 <= value <= MOST_PPM:
            return Fault(
                f"{name} must be a whole number from 0 to {MOST_PPM}, or none, not {echo(raw)}"
            )
        return value

    return read


def _number(raw: object) -> float | None:
    if isinstance(raw, (int, float)) and not isinstance(raw, bool):
        return float(raw) if abs(raw) < 1e15 else None
    if isinstance(raw, str) and raw.isascii() and _NUMBER.match(raw):
        return float(raw)
    return None


def _multiplier(name: str) -> Reader:
    """A factor; null, none or an empty text takes it away."""

    def read(raw: object) -> object:
        if raw is None or (isinstance(raw, str) and raw.lower() in _NOTHING):
            return None
        value = _number(raw)
        if value is None or not LEAST_MULTIPLIER <= value <= MOST_MULTIPLIER:
            return Fault(
                f"{name} must be a number from {LEAST_MULTIPLIER} to {MOST_MULTIPLIER}, or none,"
                f" not {echo(raw)}"
            )
        return value

    return read


def tag(raw: object) -> str | Fault:
    """One tag: printable text without blanks at its ends."""
    text = raw.strip() if isinstance(raw, str) else ""
    if not 1 <= len(text) <= LONGEST_TAG or not text.isprintable():
        return Fault(
            f"a tag must be a text of 1 to {LONGEST_TAG} printable characters, not {echo(raw)}"
        )
    return text


def tags(raw: object) -> tuple[str, ...] | Fault:
    """All tags: an array, its JSON text, or texts with commas between; doubles count once."""
    given = raw
    if isinstance(raw, str):
        text = raw.strip()
        parts = text.split(",") if text else []
        given = _array(text) if text.startswith("[") else parts
    if not isinstance(given, (list, tuple)):
        return Fault(f"tags must be an array of texts, or texts with commas, not {echo(raw)}")
    found: dict[str, None] = {}
    for item in given:
        checked = tag(item)
        if isinstance(checked, Fault):
            return checked
        found[checked] = None
    return too_many(tuple(found)) or tuple(found)


def too_many(all_tags: tuple[str, ...]) -> Fault | None:
    """The complaint about more tags than a policy may have."""
    if len(all_tags) > MOST_TAGS:
        return Fault(
            f"a policy has at most {MOST_TAGS} tags, not {len(all_tags)}; untag some first"
        )
    return None


def _array(text: str) -> object:
    try:
        return jsontext.loads(text)
    except ValueError:
        return None


def hours(raw: object) -> float | Fault:
    """For how long it shall hold; 0 stands for no end, as does anything below."""
    value = _number(raw)
    if value is not None and value <= 0.0:
        return 0.0
    if value is None or not LEAST_HOURS <= value <= MOST_HOURS or math.isnan(value):
        return Fault(
            f"expires_in_hours must be a number from {LEAST_HOURS:.0f} to {MOST_HOURS:.0f}, or 0"
            f" for no end, not {echo(raw)}"
        )
    return value


READERS: Mapping[str, Reader] = {
    "strategy": _word("strategy", STRATEGIES),
    "rebalance": _word("rebalance", REBALANCE_MODES),
    "fee_ppm": _ppm("fee_ppm"),
    "fee_multiplier_min": _multiplier("fee_multiplier_min"),
    "fee_multiplier_max": _multiplier("fee_multiplier_max"),
    "min_fee_ppm": _ppm("min_fee_ppm"),
    "max_fee_ppm": _ppm("max_fee_ppm"),
    "tags": tags,
}
"""Every field that an edit may set, by its name in PeerPolicy; a checked value reads as itself."""

ALIASES: Mapping[str, str] = {"rebalance_mode": "rebalance", "fee_ppm_target": "fee_ppm"}
"""The names that answers use for two of them: what was read may be sent back."""

CLEARED_BY_NULL = (
    "fee_ppm", "fee_multiplier_min", "fee_multiplier_max", "min_fee_ppm", "max_fee_ppm"
)  # fmt: skip
"""What null takes away; for any other field null is the same as not naming it."""
