"""The pykka actor of the house: one incarnation of an address, on its address's mailbox."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import pykka

from cl_revenue_ops.ports import Clock, Log
from cl_revenue_ops.runtime.board import Board
from cl_revenue_ops.runtime.lease import GenerationLease
from cl_revenue_ops.runtime.mailbox import Inlet, Mailbox
from cl_revenue_ops.runtime.post_office import PostOffice
from cl_revenue_ops.runtime.timers import Due, Timers
from messages.base import Command, Message


class Parked(BaseException):
    """Raised by a fake port on the stepped runtime: the handler never returns."""


class HandlerDied(Exception):
    """Stands for a BaseException in a handler, which pykka would take for the end of all."""


class UnhandledMessage(Exception):
    """An actor got a message type that it has no handler for."""


@dataclass
class Context:
    """What one incarnation is given: who it is, and its ways to the rest of the house.

    `report(poison, error)` tells the supervisor of a death; `strict` makes an unhandled
    message a crash (tests) instead of a dead letter (production).
    """

    address: str
    generation: int
    post: PostOffice
    timers: Timers
    clock: Clock
    board: Board
    log: Log
    lease: GenerationLease
    mailbox: Mailbox
    report: Callable[[Context, Message | None, BaseException], None]
    strict: bool = False
    stopped: Any = field(default_factory=threading.Event)
    parked: bool = False
    thread: threading.Thread | None = None

    def tell(self, address: str, message: Message) -> None:
        """Send; a replaced incarnation sends into the void."""
        if self.lease.is_current():
            self.post.tell(address, message)
        else:
            self.post.dead_letters.add(self.clock.now(), address, message, "stale sender")

    def publish(self, message: Message) -> None:
        """Tell everyone who reads this type."""
        if self.lease.is_current():
            self.post.publish(message)

    def after(self, delay_s: float, message: Message, key: str | None = None) -> None:
        """Send `message` to oneself after `delay_s`; re-arming replaces; dies with oneself."""
        if not self.lease.is_current():
            return
        at_s = self.clock.monotonic() + delay_s
        self.timers.arm(at_s, Due(self.address, self.generation, message), key)

    def cancel(self, key: str) -> None:
        """Forget the timer of this key (by default the type name of its message)."""
        self.timers.cancel(self.address, self.generation, key)


class MailboxActor(pykka.ThreadingActor):
    """A pykka actor that reads its address's mailbox through pykka's own loop.

    What differs from pykka: the inbox outlives the actor; every failure, in `on_start` too, is
    reported to the supervisor and never logged as broken; no exception of a handler, not even a
    SystemExit, reaches the other actors; nothing is drained at the end.
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        inlet = Inlet(context.mailbox, lambda: not context.lease.is_current())
        # pykka's ref keeps both for itself; one that told an orphaned inbox would lose all.
        self.actor_inbox = self.actor_ref.actor_inbox = inlet
        self.actor_stopped = self.actor_ref.actor_stopped = context.stopped

    def enlist(self) -> None:
        """Register with pykka and start pykka's loop on a thread of its own.

        The second half of pykka's `start`; the first, construction, is the factory's, because
        only it knows the ports.
        """
        pykka.ActorRegistry.register(self.actor_ref)
        try:
            self._start_actor_loop()
        except RuntimeError:
            pykka.ActorRegistry.unregister(self.actor_ref)
            raise

    def _start_actor_loop(self) -> None:
        context = self.context
        name = f"{context.address} {context.generation}"
        context.thread = threading.Thread(target=self._actor_loop, name=name, daemon=True)
        context.thread.start()

    def _handle_receive(self, message: Any) -> Any:
        if not isinstance(message, Message):
            return super()._handle_receive(message)
        context = self.context
        activity = context.lease.activity
        activity.message = message
        activity.since_s = context.clock.monotonic()
        activity.what = type(message).__name__
        try:
            self.on_receive(message)
        except Parked:
            context.parked = True
            return None
        except Exception:
            raise
        except BaseException as error:
            raise HandlerDied(repr(error)) from error
        activity.what = activity.message = None
        return None

    def _handle_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        context, activity = self.context, self.context.lease.activity
        poison = activity.message
        activity.what = activity.message = None
        # Reported before it counts as stopped: the watchdog must not take it for a silent death.
        try:
            context.report(context, poison, exception_value or HandlerDied("unknown"))
        finally:
            pykka.ActorRegistry.unregister(self.actor_ref)
            self.actor_stopped.set()

    def unhandled(self, message: Message) -> None:
        """Nobody here knows this type: a crash in tests, a dead letter in production."""
        if self.context.strict:
            raise UnhandledMessage(f"{self.context.address} got {type(message).__name__}")
        self.discard(message, "unhandled")
        if isinstance(message, Command):
            self.context.post.refuse(message, f"{self.context.address} does not serve that")

    def discard(self, message: Message, reason: str) -> None:
        """File a message as a dead letter."""
        context = self.context
        context.post.dead_letters.add(context.clock.now(), context.address, message, reason)
