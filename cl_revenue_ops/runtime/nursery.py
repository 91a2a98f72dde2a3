"""What both runtimes share: giving birth to incarnations, fencing them off, watching them."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from cl_revenue_ops.ports import Clock, Log
from cl_revenue_ops.runtime.actor import Context, MailboxActor
from cl_revenue_ops.runtime.board import Board
from cl_revenue_ops.runtime.lease import GenerationLease
from cl_revenue_ops.runtime.mailbox import Mailbox
from cl_revenue_ops.runtime.post_office import Box, PostOffice
from cl_revenue_ops.runtime.timers import Due, Timers
from messages.base import Command, Message
from messages.control import Boot, CrashReport

Factory = Callable[[Context], MailboxActor]

SUPERVISOR = "supervisor"


class Vital(NamedTuple):
    """How one incarnation is: `hung_for_s` is how far it is past twice its deadline, 0 if not.

    `in_hand` is the type of the message that it handles ("" for none), `busy_with` that or the
    port call within it.
    """

    address: str
    generation: int
    alive: bool
    in_hand: str
    busy_with: str | None
    busy_for_s: float
    hung_for_s: float


@dataclass
class Birth:
    """How to make an actor: its factory and the facts that it reads."""

    factory: Factory
    reads: tuple[type[Message], ...] = ()
    mailbox_limit: int = 10_000


class Nursery:
    """Base of the runtimes. The supervisor is the only actor that is given it.

    `handler_deadline_s()` is how long a handler may take between two port calls.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        post: PostOffice,
        timers: Timers,
        board: Board,
        log: Log,
        handler_deadline_s: Callable[[], float] = lambda: 15.0,
        strict: bool = False,
    ) -> None:
        self.clock = clock
        self.post = post
        self.timers = timers
        self.board = board
        self.log = log
        self.finished = False
        self._handler_deadline_s = handler_deadline_s
        self._strict = strict
        self._births: dict[str, Birth] = {}
        self._living: dict[str, Context] = {}
        self._abandoned: list[Context] = []

    # -- what the composition root uses ------------------------------------------------------

    def add(self, address: str, birth: Birth) -> None:
        """Give an actor its address; it is born when the supervisor says so."""
        self._births[address] = birth
        self.post.add(address, Box(self._make_mailbox(birth.mailbox_limit)), birth.reads)

    # -- what the supervisor uses -------------------------------------------------------------

    def spawn(self, address: str) -> int:
        """Replace whoever lives at this address by a new incarnation and tell it to boot.

        The work lane closes until the new one is Ready. Returns the new generation.
        """
        box = self.post.box(address)
        vacant = address not in self._living and box.fence.generation > 0
        generation = box.fence.generation if vacant else self.fence_off(address)
        box.failed = False
        box.mailbox.set_open(False)
        context = self._conceive(address, generation)
        self._living[address] = context
        try:
            self._launch(self._births[address].factory, context)
        except BaseException as error:  # noqa: BLE001
            # Construction does no I/O, but it loads code, which may be missing or broken, and
            # the thread is the supervisor's.
            context.stopped.set()
            self.report_death(context, None, error)
            return generation
        # Ahead of what was left in the control lane: nothing is handled before recovery.
        box.mailbox.offer_first(Boot(generation))
        self._wake(address)
        return generation

    def fence_off(self, address: str) -> int:
        """Make the present incarnation stale: its ports refuse, its timers and messages die.

        What it still has in hand becomes a dead letter and is answered; its thread, if it does
        not come back, counts as abandoned. Returns the generation of the successor to come.
        """
        box = self.post.box(address)
        old = box.fence.generation
        generation = box.fence.advance()
        self.timers.drop_generation(address, old)
        box.mailbox.interrupt()
        context = self._living.pop(address, None)
        if context is not None:
            self._write_off(context)
        return generation

    def abandoned(self) -> int:
        """Replaced incarnations that still hang in a handler."""
        self._abandoned = [context for context in self._abandoned if self._is_alive(context)]
        return len(self._abandoned)

    def open_lane(self, address: str) -> None:
        """The incarnation is ready: deliver its work."""
        self.post.box(address).mailbox.set_open(True)
        self._wake(address)

    def give_up(self, address: str) -> None:
        """Refuse commands to this address at once; what waits in its mailbox stays."""
        box = self.post.box(address)
        box.failed = True
        for command in box.mailbox.withdraw_commands():
            self.post.refuse(command, f"{address} has failed; see revenue-status")

    def census(self) -> list[Vital]:
        """Every living incarnation, in the order of birth."""
        now_s = self.clock.monotonic()
        return [self._vital(context, now_s) for context in list(self._living.values())]

    def stack_of(self, address: str) -> str:
        """Where the incarnation's thread stands, for the log; empty where it has no thread."""
        return ""

    def finish(self) -> None:
        """The supervisor has stopped everyone."""
        self.finished = True

    # -- what the incarnations call back ------------------------------------------------------

    def report_death(self, context: Context, poison: Message | None, error: BaseException) -> None:
        """File the poison, answer its caller, and tell the supervisor."""
        name, current = _name_of(poison), context.lease.is_current()
        if poison is not None:
            reason = "poison" if current else "stale"
            self.post.dead_letters.add(self.clock.now(), context.address, poison, reason)
        if not current:
            # It was written off before, and answered for.
            return
        if isinstance(poison, Command):
            self.post.refuse(poison, f"{context.address} failed: {_one_line(error)}")
        self.post.tell(
            SUPERVISOR,
            CrashReport(
                context.address,
                context.generation,
                name,
                _one_line(error),
            ),
        )
        self.log.warn(
            f"{context.address} (generation {context.generation}) failed on {name or 'its birth'}: "
            + " | ".join(traceback.format_exception_only(type(error), error)).strip()
            + _where(error)
        )

    # -- what the two runtimes do differently -------------------------------------------------

    def _make_mailbox(self, limit: int) -> Mailbox:
        return Mailbox(limit)

    def _make_context(self, context: Context) -> Context:
        return context

    def _launch(self, factory: Factory, context: Context) -> None:
        raise NotImplementedError

    def _wake(self, address: str) -> None:
        """Deliverable messages may have appeared."""

    def _is_alive(self, context: Context) -> bool:
        return not context.stopped.is_set()

    # -- inner workings -----------------------------------------------------------------------

    def _fire(self, due: Due) -> None:
        """Deliver a timer, unless whoever armed it has been replaced."""
        if due.generation == self.post.box(due.address).fence.generation:
            self.post.tell(due.address, due.message)

    def _write_off(self, context: Context) -> None:
        message = context.lease.activity.message
        if message is None or not self._is_alive(context):
            return
        self._abandoned.append(context)
        self.post.dead_letters.add(self.clock.now(), context.address, message, "hung")
        if isinstance(message, Command):
            self.post.refuse(message, f"{context.address} hung and was replaced")

    def _conceive(self, address: str, generation: int) -> Context:
        box = self.post.box(address)
        context = Context(
            address=address,
            generation=generation,
            post=self.post,
            timers=self.timers,
            clock=self.clock,
            board=self.board,
            log=self.log,
            lease=GenerationLease(address, generation, box.fence, self.clock),
            mailbox=box.mailbox,
            report=self.report_death,
            strict=self._strict,
        )
        return self._make_context(context)

    def _vital(self, context: Context, now_s: float) -> Vital:
        activity = context.lease.activity
        what, alive = activity.what, self._is_alive(context)
        if what is None:
            return Vital(context.address, context.generation, alive, "", None, 0.0, 0.0)
        busy_s = now_s - activity.since_s
        limit_s = 2 * (activity.deadline_s or self._handler_deadline_s())
        return Vital(
            context.address,
            context.generation,
            alive,
            _name_of(activity.message),
            what,
            max(0.0, busy_s),
            max(0.0, busy_s - limit_s),
        )


def _name_of(message: Message | None) -> str:
    return "" if message is None else type(message).__name__


def _one_line(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return " ".join(text.split())[:300].encode("ascii", "replace").decode()


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ""
    last = frames[-1]
    return f" at {last.name}, line {last.lineno} of {last.filename.rsplit('/', 1)[-1]}"
