"""Deterministic names of the simulated world: node ids, hashes, transaction and channel ids."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from functools import lru_cache

_FIELD = 2**256 - 2**32 - 977


@lru_cache(maxsize=65536)
def node_id(seed: int, name: str) -> str:
    """A compressed secp256k1 point (66 hex digits) drawn from `seed` and `name`.

    Candidates are hashed until x^3 + 7 is a square in the field, so the id is a valid public key.
    """
    for nonce in range(1000):
        raw = hashlib.sha256(f"{seed}/node/{name}/{nonce}".encode()).digest()
        x = int.from_bytes(raw, "big")
        if 0 < x < _FIELD and pow((x * x * x + 7) % _FIELD, (_FIELD - 1) // 2, _FIELD) == 1:
            return ("02" if nonce % 2 == 0 else "03") + raw.hex()
    raise AssertionError("no point found in 1000 draws")


def digest(seed: int, kind: str, number: int) -> str:
    """64 hex digits drawn from (seed, kind, number): a txid, channel id or preimage."""
    return hashlib.sha256(f"{seed}/{kind}/{number}".encode()).hexdigest()


def payment_hash(preimage: str) -> str:
    """SHA-256 of a hex preimage, as 64 hex digits."""
    return hashlib.sha256(bytes.fromhex(preimage)).hexdigest()


@lru_cache(maxsize=65536)
def scid_text(number: int) -> str:
    """The text form `block x transaction x output` of a 64-bit short channel id."""
    return f"{number >> 40}x{(number >> 16) & 0xFFFFFF}x{number & 0xFFFF}"


@lru_cache(maxsize=65536)
def scid_number(text: str) -> int:
    """The 64-bit form of a short channel id; ValueError if malformed."""
    parts = text.split("x")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"not a short channel id: {text!r}")
    block, index, output = (int(part) for part in parts)
    if block >= 1 << 24 or index >= 1 << 24 or output >= 1 << 16:
        raise ValueError(f"short channel id out of range: {text!r}")
    return block << 40 | index << 16 | output


def iso_time(at_s: float) -> str:
    """ISO 8601 in UTC with milliseconds and a Z, as lightningd writes times."""
    moment = datetime.fromtimestamp(at_s, tz=timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
