"""Timers as messages: a heap of what falls due when, for whom; the runtimes drive it."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from itertools import count
from typing import NamedTuple

from messages.base import Message


class Due(NamedTuple):
    """A timer that fell due; `generation` None means that it survives restarts of its address."""

    address: str
    generation: int | None
    message: Message


class Timers:
    """One timer per (address, message type): arming a second one replaces the first.

    Safe from any thread; `changed` is called (outside the lock) when an earlier timer may have
    appeared, so that a waiting thread can look again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heap: list[tuple[float, int, tuple[str, str]]] = []
        self._live: dict[tuple[str, str], tuple[int, Due]] = {}
        self._numbers = count()
        self.changed: Callable[[], object] = lambda: None

    def arm(self, at_s: float, due: Due, key: str | None = None) -> None:
        """Let `due.message` fall due at `at_s` (monotonic seconds)."""
        name = (due.address, key or type(due.message).__name__)
        with self._lock:
            number = next(self._numbers)
            self._live[name] = (number, due)
            heapq.heappush(self._heap, (at_s, number, name))
        self.changed()

    def cancel(self, address: str, key: str) -> None:
        """Forget this timer; does nothing where there is none."""
        with self._lock:
            self._live.pop((address, key), None)

    def drop_generation(self, address: str, generation: int) -> None:
        """Forget the timers that an ended incarnation had armed."""
        with self._lock:
            gone = [
                name
                for name, (_, due) in self._live.items()
                if name[0] == address and due.generation == generation
            ]
            for name in gone:
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

    def _prune(self) -> None:
        heap, live = self._heap, self._live
        while heap:
            _, number, name = heap[0]
            if name in live and live[name][0] == number:
                return
            heapq.heappop(heap)
