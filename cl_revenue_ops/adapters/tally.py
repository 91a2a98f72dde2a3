"""Counts of what could not be understood and was left out, by where it came from."""

from __future__ import annotations

import threading


class Tally:
    """Counters by name, safe from any thread; names are those of topics and methods we use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}

    def add(self, name: str, count: int = 1) -> None:
        """Count `count` more under `name`; zero leaves no trace."""
        if count:
            with self._lock:
                self._counts[name] = self._counts.get(name, 0) + count

    def counts(self) -> dict[str, int]:
        """A copy of all counters above zero."""
        with self._lock:
            return dict(self._counts)
