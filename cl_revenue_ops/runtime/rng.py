"""Random draws that depend on nothing but (root seed, purpose, number)."""

from __future__ import annotations

import hashlib
import secrets


def fresh_root() -> int:
    """A new root seed from the operating system, 63 bits."""
    return secrets.randbits(63)


def keyed_seed(root: int, purpose: str, number: int) -> int:
    """The 64-bit seed of draw `number` for `purpose`; equal arguments give equal seeds."""
    text = f"{root}|{purpose}|{number}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


def uniform(root: int, purpose: str, number: int) -> float:
    """One draw from [0, 1)."""
    return keyed_seed(root, purpose, number) / 2.0**64
