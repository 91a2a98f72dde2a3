"""Single values of the earlier database: whatever SQLite gave, read strictly or not at all."""

from __future__ import annotations

import re

DAY_S = 86_400
MSAT = 1_000
_MOST_SAT = 21_000_000 * 100_000_000
_FIRST_S = 1_420_070_400
"""No channel is older: 2015. A day or a date in other units is smaller than that."""

_SCID = re.compile(r"[0-9]{1,8}[x:][0-9]{1,8}[x:][0-9]{1,5}\Z", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)
_NODE_ID = re.compile(r"0[23][0-9a-f]{64}\Z", re.ASCII)


def whole(raw: object) -> int | None:
    """A whole number, also where SQLite kept it as a float; None for anything else."""
    if isinstance(raw, int):
        return raw
    if isinstance(raw, float) and raw.is_integer() and abs(raw) < 2**53:
        return int(raw)
    return None


def amount_msat(raw: object) -> int | None:
    """An amount in msat that can be: not negative, not above all bitcoin."""
    value = whole(raw)
    return value if value is not None and 0 <= value <= _MOST_SAT * MSAT else None


def amount_of_sat(raw: object) -> int | None:
    """An amount in sats that can be, in msat."""
    value = whole(raw)
    return value * MSAT if value is not None and 0 <= value <= _MOST_SAT else None


def moment_s(raw: object, now_s: float) -> int | None:
    """Unix seconds between the first channels and now."""
    value = whole(raw)
    return value if value is not None and _FIRST_S <= value <= now_s else None


def channel(raw: object) -> str | None:
    """A scid with x between its parts, or a channel_id."""
    text = raw.strip().lower() if isinstance(raw, str) else ""
    if _SCID.match(text):
        return "x".join(str(int(part)) for part in re.split("[x:]", text))
    return text if _HEX.match(text) else None


def node_id(raw: object) -> str | None:
    """A node's public key."""
    text = raw.strip().lower() if isinstance(raw, str) else ""
    return text if _NODE_ID.match(text) else None


def words(raw: object, most: int = 300) -> str | None:
    """A text on one line, cut to `most` characters; None for nothing."""
    if raw is None:
        return None
    text = "".join(c if c.isprintable() else " " for c in str(raw)).strip()
    return text[:most] or None


def derived_channel_id(funding_txid: object, scid: str) -> str | None:
    """The channel_id that a funding output has: its txid reversed, its index in the last bytes.

    Wrong after a splice, which changes the output and not the channel_id.
    """
    text = funding_txid.strip().lower() if isinstance(funding_txid, str) else ""
    parts = scid.split("x")
    if not _HEX.match(text) or len(parts) != 3 or int(parts[2]) > 0xFFFF:
        return None
    raw = bytearray(bytes.fromhex(text)[::-1])
    index = int(parts[2])
    raw[-2] ^= index >> 8
    raw[-1] ^= index & 0xFF
    return raw.hex()
