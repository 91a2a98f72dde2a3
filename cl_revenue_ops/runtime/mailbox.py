"""The mailbox of one address: two lanes, bounded, coalescing; it outlives every incarnation."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from pykka import messages as pykka_messages
from pykka._envelope import Envelope

from messages.base import Command, Control, LossyFact, Message, Snapshot, Tick

QUEUED, COALESCED, FULL = "queued", "coalesced", "full"


class Mailbox:
    """Control overtakes work; the work lane delivers only while it is open.

    `limit` bounds the lossy facts and commands that wait; messages of other kinds are always
    taken (ticks and snapshots coalesce, replies are bounded by the open commands). Nothing here
    blocks: a full lane says so. Not safe across threads; see ThreadMailbox.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self.limit = limit
        self.open = False
        self._control: deque[Envelope[Any]] = deque()
        self._work: deque[Envelope[Any]] = deque()
        self._waiting: dict[type[Message], Envelope[Any]] = {}

    def offer(self, message: Message) -> str:
        """Take a message: QUEUED, COALESCED with one that waits already, or FULL (not taken)."""
        if isinstance(message, Control):
            self._control.append(Envelope(message))
            return QUEUED
        if isinstance(message, (Tick, Snapshot)):
            kind = type(message)
            waiting = self._waiting.get(kind)
            if waiting is not None:
                waiting.message = message
                return COALESCED
            envelope = self._waiting[kind] = Envelope(message)
            self._work.append(envelope)
            return QUEUED
        if isinstance(message, (LossyFact, Command)) and len(self._work) >= self.limit:
            return FULL
        self._work.append(Envelope(message))
        return QUEUED

    def offer_first(self, message: Control) -> None:
        """Take a control message ahead of all that wait: a successor's Boot comes first."""
        self._control.appendleft(Envelope(message))

    def take(self) -> Envelope[Any] | None:
        """The next message to handle, None when nothing may be delivered now."""
        if self._control:
            return self._control.popleft()
        if self.open and self._work:
            envelope = self._work.popleft()
            if isinstance(envelope.message, (Tick, Snapshot)):
                self._waiting.pop(type(envelope.message), None)
            return envelope
        return None

    def deliverable(self) -> bool:
        """Whether `take` would return a message."""
        return bool(self._control) or (self.open and bool(self._work))

    def set_open(self, is_open: bool) -> None:
        """Open or close the work lane; what waits in it stays."""
        self.open = is_open

    def depth(self) -> int:
        """Messages waiting in both lanes."""
        return len(self._control) + len(self._work)

    def withdraw_commands(self) -> list[Command]:
        """Take out the commands that wait, oldest first; everything else keeps its place."""
        commands = [e.message for e in self._work if isinstance(e.message, Command)]
        self._work = deque(e for e in self._work if not isinstance(e.message, Command))
        return commands

    def interrupt(self) -> None:
        """Wake whoever waits in `take_blocking`; there is nobody in one thread."""


class ThreadMailbox(Mailbox):
    """The same mailbox, shared by threads; the reader waits, writers never do."""

    def __init__(self, limit: int = 10_000) -> None:
        super().__init__(limit)
        self._changed = threading.Condition()

    def offer(self, message: Message) -> str:
        with self._changed:
            verdict = super().offer(message)
            if verdict is QUEUED:
                self._changed.notify_all()
            return verdict

    def offer_first(self, message: Control) -> None:
        with self._changed:
            super().offer_first(message)
            self._changed.notify_all()

    def take_blocking(self, stale: Any) -> Envelope[Any] | None:
        """Wait for the next message; None as soon as `stale()` says that the reader is replaced."""
        with self._changed:
            while not stale():
                envelope = super().take()
                if envelope is not None:
                    return envelope
                self._changed.wait()
            return None

    def set_open(self, is_open: bool) -> None:
        with self._changed:
            super().set_open(is_open)
            self._changed.notify_all()

    def withdraw_commands(self) -> list[Command]:
        with self._changed:
            return super().withdraw_commands()

    def interrupt(self) -> None:
        with self._changed:
            self._changed.notify_all()


_LEAVE: Envelope[Any] = Envelope(pykka_messages._ActorStop())


class Inlet:
    """One incarnation's end of its address's mailbox, in the shape that pykka expects.

    A replaced incarnation that wakes up after all is told to leave instead of being handed
    its successor's messages. `empty` is always true, because what is left when an incarnation
    ends belongs to the successor and must not be drained by pykka's teardown.
    """

    def __init__(self, mailbox: Mailbox, stale: Any) -> None:
        self._mailbox = mailbox
        self._stale = stale

    def put(self, envelope: Envelope[Any], /) -> None:
        """pykka's own way in, used by nobody but pykka's stop."""
        assert not isinstance(envelope.message, Message), "messages go through the post office"
        self._mailbox._control.append(envelope)
        self._mailbox.interrupt()

    def get(self) -> Envelope[Any]:
        """The next message; on threads this waits, stepped it is called only when one is there."""
        if isinstance(self._mailbox, ThreadMailbox):
            return self._mailbox.take_blocking(self._stale) or _LEAVE
        return self._mailbox.take() or _LEAVE

    def empty(self) -> bool:
        """Always true: see the class."""
        return True
