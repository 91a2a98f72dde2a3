"""The small house on real threads, with a clock that the test moves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from cl_revenue_ops.runtime.clock import VirtualClock
from cl_revenue_ops.runtime.threads import ThreadedRuntime
from messages.control import StartHouse, StopHouse
from tests.sim.small_house import START_S, SUPERVISOR, HouseKit, Kid

PATIENCE_S = 60.0
POLL_S = 0.002


class ThreadedHouse(HouseKit):
    """As a context manager it starts, and at the end stops and waits until its threads are gone.

    A test that leaves a handler stuck must release it before the end. Timers follow the test's
    clock, so that no test depends on how fast the machine is.
    """

    clock: VirtualClock
    nursery: ThreadedRuntime

    def __init__(self, *kids: Kid, started: bool = True, strict: bool = True, **parts: Any) -> None:
        self._threads_before = set(threading.enumerate())
        super().__init__(ThreadedRuntime, VirtualClock(START_S), *kids, strict=strict, **parts)
        self._kids = kids
        self._started = started

    def __enter__(self) -> ThreadedHouse:
        if self._started:
            self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.stop()
            self.wait_until(lambda: not self.own_threads())

    def start(self, wait: bool = True) -> None:
        """Boot everyone."""
        self.nursery.start()
        self.tell(SUPERVISOR, StartHouse())
        if wait:
            self.wait_until(lambda: all(self.state(kid.address) == "ready" for kid in self._kids))

    def stop(self) -> None:
        """Ask everyone to leave; time passes for those who do not."""
        self.tell(SUPERVISOR, StopHouse("the test is over"))
        self.wait_until(lambda: self.nursery.finished, passing_s=0.1)

    def own_threads(self) -> list[threading.Thread]:
        """The threads that this house has begun and that still run."""
        return [t for t in threading.enumerate() if t not in self._threads_before]

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.set(self.clock.now() + seconds)
        self.timers.changed()

    def wait_until(self, true: Callable[[], bool], passing_s: float = 0.0) -> None:
        """Wait, generously, for the threads to get there; `passing_s` go by at each look."""
        never = threading.Event()
        for _ in range(int(PATIENCE_S / POLL_S)):
            if self._holds(true):
                return
            if passing_s:
                self.advance(passing_s)
            never.wait(POLL_S)
        raise AssertionError(f"it never came to that: {self.notice()}; {self.log.texts}")

    def revive(self, address: str) -> None:
        """Wait out the backoff of a child that crashed."""
        self.wait_until(lambda: self.state(address) == "ready", passing_s=0.1)

    def _holds(self, true: Callable[[], bool]) -> bool:
        return self.board.read(SUPERVISOR) is not None and true()
