"""Messages that nobody handled: a counted ring, newest last, shown by revenue-status."""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import NamedTuple


class DeadLetter(NamedTuple):
    """One undelivered or deadly message."""

    at_s: float
    address: str
    message: str
    reason: str


class DeadLetters:
    """Counts every dead letter, keeps the newest few. Safe from any thread."""

    def __init__(self, keep: int = 50) -> None:
        self._lock = threading.Lock()
        self._ring: deque[DeadLetter] = deque(maxlen=keep)
        self._by_reason: Counter[str] = Counter()

    def add(self, at_s: float, address: str, message: object, reason: str) -> None:
        """File a message under a reason ('poison', 'expired', 'full', ...)."""
        with self._lock:
            self._ring.append(DeadLetter(at_s, address, type(message).__name__, reason))
            self._by_reason[reason] += 1

    def counts(self) -> dict[str, int]:
        """How many there were of each reason since the start."""
        with self._lock:
            return dict(self._by_reason)

    def newest(self, limit: int) -> list[DeadLetter]:
        """The newest, latest first."""
        with self._lock:
            return list(self._ring)[::-1][:limit]
