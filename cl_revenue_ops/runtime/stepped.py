"""The runtime of simulation and tests: pykka's loop, one message at a time, in one thread."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from cl_revenue_ops.runtime.actor import Context, MailboxActor
from cl_revenue_ops.runtime.clock import VirtualClock
from cl_revenue_ops.runtime.nursery import Factory, Nursery

BURST = 100_000


class StepFlag:
    """Stands in for an actor's stop event: lets pykka's loop run for exactly one message."""

    __slots__ = ("_set", "_turn")

    def __init__(self) -> None:
        self._set = False
        self._turn = True

    def is_set(self) -> bool:
        """True when stopped, and after each message; then pykka's loop returns."""
        if self._set:
            return True
        self._turn = not self._turn
        return self._turn

    def stopped(self) -> bool:
        """True only when really stopped."""
        return self._set

    def set(self) -> None:
        """Stop for good."""
        self._set = True


class Advanced(NamedTuple):
    """What one advance did."""

    timers: int
    messages: int
    next_due_s: float | None


class SteppedRuntime(Nursery):
    """Deterministic: the same seed and the same inputs give the same trace.

    A seeded scheduler picks among the actors that have deliverable messages; the order within
    one mailbox is kept. Time stands still while messages are handled and moves only in
    `advance`. A fake port that raises Parked leaves its actor busy for ever.
    """

    clock: VirtualClock

    def __init__(self, seed: int = 0, **parts: Any) -> None:
        super().__init__(**parts)
        self._random = random.Random(seed)
        self._ready: list[str] = []
        self._queued: set[str] = set()
        self._actors: dict[str, MailboxActor] = {}
        self.post.delivered = self._wake

    def run(self, limit: int = 10_000_000) -> int:
        """Handle messages until none can be delivered; returns how many were handled.

        `limit` bounds a loop of messages that never ends: AssertionError.
        """
        handled = 0
        ready = self._ready
        while ready:
            index = int(self._random.random() * len(ready))
            address = ready[index]
            ready[index] = ready[-1]
            ready.pop()
            self._queued.discard(address)
            handled += self._step(address)
            assert handled < limit, f"messages never come to rest (last at {address})"
        return handled

    def advance(self, until_s: float) -> Advanced:
        """Fire every timer due up to `until_s` in order, each to quiescence; then it is then."""
        fired, burst, handled = 0, 0, self.run()
        while True:
            due_s = self.timers.next_due_s()
            if due_s is None or due_s > until_s:
                break
            burst = burst + 1 if due_s <= self.clock.now() else 0
            assert burst < BURST, "timers that are due at once never pass"
            self.clock.set(max(due_s, self.clock.now()))
            due = self.timers.pop_due(due_s)
            if due is None:
                break
            fired += 1
            self._fire(due)
            handled += self.run()
        self.clock.set(max(until_s, self.clock.now()))
        return Advanced(fired, handled, self.timers.next_due_s())

    def _make_context(self, context: Context) -> Context:
        context.stopped = StepFlag()
        return context

    def _launch(self, factory: Factory, context: Context) -> None:
        actor = factory(context)
        self._actors[context.address] = actor
        actor._actor_loop_setup()

    def _is_alive(self, context: Context) -> bool:
        flag: StepFlag = context.stopped
        return not flag.stopped()

    def _wake(self, address: str) -> None:
        if address not in self._queued:
            self._queued.add(address)
            self._ready.append(address)

    def _step(self, address: str) -> int:
        actor = self._actors.get(address)
        mailbox = self.post.box(address).mailbox
        if actor is None or not mailbox.deliverable():
            return 0
        context = actor.context
        if context.parked or not self._is_alive(context) or not context.lease.is_current():
            return 0
        actor._actor_loop_running()
        if mailbox.deliverable():
            self._wake(address)
        return 1
