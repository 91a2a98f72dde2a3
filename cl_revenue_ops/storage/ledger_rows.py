"""How an entry is kept: hashes as bytes wherever they stand, postings by accounts' numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence

_HASH = re.compile(r"[0-9a-f]{64}")
_CONTROL = re.compile(r"[\x00-\x1f]")
_LOOSE = "\x01"
_FIRST_KNOWN = 2
_MOST_KNOWN = 0x20 - _FIRST_KNOWN

Packed = str | bytes


def packed_hash(text: str | None) -> Packed | None:
    """A hash in hex as its bytes, anything else as it is."""
    return bytes.fromhex(text) if text is not None and _HASH.fullmatch(text) else text


def hash_of(value: Packed | None) -> str | None:
    """What `packed_hash` was given."""
    return value.hex() if isinstance(value, bytes) else value


def packed(text: str, known: Sequence[str] = ()) -> Packed:
    """A text whose hashes in hex take half the room, or none where they are among `known`.

    The same text and the same `known` give the same value, different texts different ones. Each
    hash is a control character in the text: which of `known` it is, or that its bytes follow
    after the text's end. A text with control characters of its own stays as it is.
    """
    if _HASH.search(text) is None or _CONTROL.search(text) is not None:
        return text
    places = {name: chr(_FIRST_KNOWN + n) for n, name in enumerate(known[:_MOST_KNOWN])}
    loose: list[bytes] = []

    def mark(found: re.Match[str]) -> str:
        place = places.get(found[0])
        if place is None:
            loose.append(bytes.fromhex(found[0]))
            return _LOOSE
        return place

    return b"\0".join((_HASH.sub(mark, text).encode(), b"".join(loose)))


def unpacked(value: Packed, known: Sequence[str] = ()) -> str:
    """What `packed` was given."""
    if isinstance(value, str):
        return value
    text, _, loose = value.partition(b"\0")
    hashes = (loose[at : at + 32].hex() for at in range(0, len(loose), 32))

    def word(found: re.Match[str]) -> str:
        mark = found[0]
        return next(hashes) if mark == _LOOSE else known[ord(mark) - _FIRST_KNOWN]

    return _CONTROL.sub(word, text.decode())


def known_hashes(
    txid: str | None, payment_hash: str | None, accounts: Sequence[str]
) -> tuple[str, ...]:
    """The hashes that an entry's evidence need not repeat, each once."""
    found = [txid, payment_hash, *(name.rpartition(":")[2] for name in accounts)]
    return tuple(dict.fromkeys(text for text in found if text and _HASH.fullmatch(text)))


def packed_postings(postings: Sequence[tuple[int, int]]) -> str:
    """(account's number, msat) that sum to zero, without the last amount."""
    numbers = [number for posting in postings for number in posting]
    return " ".join(map(str, numbers[:-1]))


def unpacked_postings(text: str) -> tuple[tuple[int, int], ...]:
    """What `packed_postings` was given."""
    if not text:
        return ()
    numbers = list(map(int, text.split(" ")))
    numbers.append(-sum(numbers[1::2]))
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))
