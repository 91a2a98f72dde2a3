"""The two clocks: the system's, and one that only moves when it is told to."""

from __future__ import annotations

import time


class SystemClock:
    """Real time."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never step back."""
        return time.monotonic()


class VirtualClock:
    """Time that stands still until `set`; both readings are the same Unix seconds."""

    def __init__(self, start_s: float) -> None:
        self._now_s = start_s

    def now(self) -> float:
        """Unix seconds of the simulated world."""
        return self._now_s

    def monotonic(self) -> float:
        """The same reading: a virtual clock never steps back."""
        return self._now_s

    def set(self, now_s: float) -> None:
        """Move forward to `now_s`; earlier than now is a programmer's error."""
        assert now_s >= self._now_s, "a virtual clock does not run backwards"
        self._now_s = now_s
