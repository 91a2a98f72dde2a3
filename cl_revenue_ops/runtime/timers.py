"""Timers as messages: a heap of what falls due when, for whom; the runtimes drive it."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from itertools import count
from typing import NamedTuple

from messages.base import Message

Name = tuple[str, int, str]
SWEEP_ABOVE = 64


class Due(NamedTuple):
    """A timer that fell due: for this incarnation, and for none of its successors."""

    address: str
    generation: int
    message: Message


class Timers:
    """One timer per incarnation and key: arming a second one replaces the first.

    The key is the message's type name where none is given. Incarnations never touch each
    other's timers, so one that was replaced can no longer disturb its successor.

    Safe from any thread; `changed` is called (outside the lock) when an earlier timer may have
    appeared, so that a waiting thread can look again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heap: list[tuple[float, int, Name]] = []
        self._live: dict[Name, tuple[int, Due]] = {}
        self._numbers = count()
        self.changed: Callable[[], object] = lambda: None

    def arm(self, at_s: float, due: Due, key: str | None = None) -> None:
        """Let `due.message` fall due at `at_s` (monotonic seconds)."""
        name = (due.address, due.generation, key or type(due.message).__name__)
        with self._lock:
            number = next(self._numbers)
            self._live[name] = (number, due)
            heapq.heappush(self._heap, (at_s, number, name))
            if len(self._heap) > 2 * len(self._live) + SWEEP_ABOVE:
                self._sweep()
        self.changed()

    def cancel(self, address: str, generation: int, key: str) -> None:
        """Forget this timer; does nothing where there is none."""
        with self._lock:
            self._live.pop((address, generation, key), None)

    def drop_generation(self, address: str, generation: int) -> None:
        """Forget the timers that an ended incarnation had armed."""
        with self._lock:
            for name in [n for n in self._live if n[:2] == (address, generation)]:
                del self._live[name]

    def next_due_s(self) -> float | None:
        """When the earliest timer falls due; None when none is armed."""
        with self._lock:
            self._prune()
            return self._heap[0][0] if self._heap else None

    def pop_due(self, now_s: float) -> Due | None:
        """Take the earliest timer if it has fallen due."""
        with self._lock:
            self._prune()
            if not self._heap or self._heap[0][0] > now_s:
                return None
            _, _, name = heapq.heappop(self._heap)
            return self._live.pop(name)[1]

    def kept(self) -> int:
        """Entries held in memory: right after `arm` at most twice the live ones and a few more."""
        with self._lock:
            return len(self._heap)

    def _prune(self) -> None:
        while self._heap and not self._is_live(self._heap[0]):
            heapq.heappop(self._heap)

    def _sweep(self) -> None:
        self._heap = [entry for entry in self._heap if self._is_live(entry)]
        heapq.heapify(self._heap)

    def _is_live(self, entry: tuple[float, int, Name]) -> bool:
        _, number, name = entry
        live = self._live.get(name)
        return live is not None and live[0] == number
