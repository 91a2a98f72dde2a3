"""Generations and leases: only the newest incarnation of an address may act."""

from __future__ import annotations

import threading
from types import TracebackType

from cl_revenue_ops.ports import Clock, StaleGeneration
from messages.base import Message


class Fence:
    """The current generation of one address; advancing it waits for a running effect."""

    def __init__(self) -> None:
        self.generation = 0
        self.lock = threading.RLock()

    def advance(self, patience_s: float = 1.0) -> int:
        """Make every lease of the present generation stale.

        Waits up to `patience_s` for a commit or write under way, so that the successor reads
        its result; a disk or a node that hangs for longer is not waited for.
        """
        lock = self.lock
        held = lock.acquire(timeout=patience_s)
        self.generation += 1
        if held:
            lock.release()
        else:
            # Whoever hangs in an effect keeps that lock; the successor must not wait for it.
            self.lock = threading.RLock()
        return self.generation


class Activity:
    """What one incarnation is doing and since when, for the watchdog. Written by its thread.

    `message` is what it has in hand; `what` names that, or the port call within it.
    """

    __slots__ = ("deadline_s", "message", "since_s", "what")

    def __init__(self) -> None:
        self.message: Message | None = None
        self.what: str | None = None
        self.since_s = 0.0
        self.deadline_s = 0.0


class _Call:
    __slots__ = ("_before", "_deadline_s", "_lease", "_what")

    def __init__(self, lease: GenerationLease, what: str, deadline_s: float) -> None:
        self._lease = lease
        self._what = what
        self._deadline_s = deadline_s

    def __enter__(self) -> None:
        lease = self._lease
        lease.require_current()
        activity = lease.activity
        self._before = (activity.what, activity.deadline_s)
        activity.since_s = lease.clock.monotonic()
        activity.deadline_s = self._deadline_s
        activity.what = self._what

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None and not issubclass(kind, Exception):
            # The thread is going down, or a parked handler stays in this call for ever.
            return
        activity = self._lease.activity
        activity.since_s = self._lease.clock.monotonic()
        activity.what, activity.deadline_s = self._before


class _Effect:
    __slots__ = ("_lease", "_lock")

    def __init__(self, lease: GenerationLease) -> None:
        self._lease = lease

    def __enter__(self) -> None:
        self._lock = self._lease.fence.lock
        self._lock.acquire()
        try:
            self._lease.require_current()
        except StaleGeneration:
            self._lock.release()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()


class GenerationLease:
    """The lease of one incarnation; implements ports.Lease."""

    def __init__(self, address: str, generation: int, fence: Fence, clock: Clock) -> None:
        self.address = address
        self.generation = generation
        self.fence = fence
        self.clock = clock
        self.activity = Activity()

    def is_current(self) -> bool:
        """Whether no successor has taken over."""
        return self.fence.generation == self.generation

    def require_current(self) -> None:
        """Raise StaleGeneration when a successor has taken over."""
        if self.fence.generation != self.generation:
            raise StaleGeneration(f"{self.address}: generation {self.generation} was replaced")

    def call(self, what: str, deadline_s: float) -> _Call:
        """See ports.Lease."""
        return _Call(self, what, deadline_s)

    def effect(self) -> _Effect:
        """See ports.Lease."""
        return _Effect(self)
