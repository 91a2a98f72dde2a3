"""How the FeeController puts back, for an operator who leaves, the fees found at first contact."""

from __future__ import annotations

from dataclasses import dataclass

from actors.base import HouseActor
from actors.fee_decider import FeeDecider
from actors.fee_look import Look
from actors.fee_writer import FeeWriter
from cl_revenue_ops.domain.fees import leaving
from cl_revenue_ops.domain.fees.decide import FeeDecision
from cl_revenue_ops.domain.fees.facts import Pin
from cl_revenue_ops.domain.fees.leaving import Departure
from cl_revenue_ops.domain.fees.orders import AS_FOUND
from cl_revenue_ops.gate import PAUSES, WriteGate
from cl_revenue_ops.ports import FEE_SET, PortError
from messages.base import Answer, Refusal
from messages.fees import ContinueLeaving, FeesPutBack, PutFeesBack

CHANNELS_A_STEP = 20


@dataclass
class _Open:
    """A departure under way: whom to answer, and the channels to come (None: not read yet)."""

    asked: list[PutFeesBack]
    departure: Departure
    left: tuple[str, ...] | None = None


class FeeLeaving:
    """One departure at a time, some channels a step; who asks meanwhile gets the same answer.

    Each fee is decided, recorded and written like an order, and passes the gate in spite of the
    pause that stands. It goes on to its end whether or not anybody still waits for the answer;
    begun again after a crash it does what is left. Every method but `begin` blocks on node and
    store.
    """

    def __init__(
        self, house: HouseActor, decider: FeeDecider, writer: FeeWriter, gate: WriteGate
    ) -> None:
        self._house = house
        self._decider = decider
        self._writer = writer
        self._gate = gate
        self._open: _Open | None = None
        self.summary: dict[str, object] | None = None

    def begin(self, asked: PutFeesBack) -> None:
        """Start, or join what is under way."""
        closed = self._closed()
        if closed is not None:
            self._refuse([asked], f"no fee was put back: {closed}")
        elif self._open is not None:
            self._open.asked.append(asked)
        else:
            departure = Departure(self._decider.scids, self._house.now())
            self._open = _Open([asked], departure)
            self._go_on(self._open)

    def step(self) -> None:
        """Put back the fees of the next channels."""
        work = self._open
        if work is None:
            return
        try:
            self._step(work)
        except PortError as error:
            self._fail_all(work, f"the node could not be read: {error}")
        if work.left:
            self._go_on(work)
        else:
            self._finish(work)

    # -- one step -----------------------------------------------------------------------------

    def _step(self, work: _Open) -> None:
        look = self._decider.look()
        if work.left is None:
            gone = self._decider.book.states.keys() - look.facts.keys()
            for channel_id in sorted(gone):
                work.departure.leave_alone(channel_id, leaving.CLOSED)
            work.left = tuple(sorted(look.facts))
        closed = self._closed()
        if closed is not None:
            self._fail_all(work, closed)
            return
        batch, work.left = work.left[:CHANNELS_A_STEP], work.left[CHANNELS_A_STEP:]
        decisions = [self._decide(work, look, channel_id) for channel_id in batch]
        made = [decision for decision in decisions if decision is not None]
        numbers = self._writer.record(self._decider.book, made, by_hand=True) if made else ()
        for decision, number in zip(made, numbers, strict=True):
            self._put_back(work.departure, decision, number)

    def _decide(self, work: _Open, look: Look, channel_id: str) -> FeeDecision | None:
        book, fact = self._decider.book, look.facts.get(channel_id)
        if fact is None:
            work.departure.leave_alone(channel_id, leaving.CLOSED)
            return None
        at_s = look.situation.read_at_s
        terms, state = book.terms(fact.peer_id, at_s), book.states.get(channel_id)
        passive = terms is not None and terms.passive
        why = leaving.reason_to_leave_alone(fact, state, passive)
        if why is not None:
            work.departure.leave_alone(channel_id, why)
            return None
        assert state is not None
        assert state.found is not None
        since_s = at_s if terms is None else max(at_s, terms.since_s)
        return book.decide(fact, look.situation, Pin(*state.found, AS_FOUND, since_s))

    def _put_back(self, departure: Departure, decision: FeeDecision, number: int) -> None:
        channel_id = decision.facts.channel_id
        outcome = self._writer.carry_out(self._decider.book, decision, number)
        if outcome == FEE_SET:
            departure.restore(decision)
        else:
            departure.fail(channel_id, decision.sentence if decision.action == "none" else outcome)

    def _closed(self) -> str | None:
        """Why nothing is put back now: what else closes the gate, or that no pause stands."""
        if self._house.suspended is not None:
            return f"nothing is written: {self._house.suspended}"
        other = self._gate.closed_because(PAUSES)
        if other is not None:
            return f"nothing is written: {other}"
        return None if "paused" in self._gate.reasons() else leaving.UNPAUSED

    # -- the end ------------------------------------------------------------------------------

    def _go_on(self, work: _Open) -> None:
        self.summary = work.departure.summary(under_way=True)
        context = self._house.context
        context.tell(context.address, ContinueLeaving())

    def _fail_all(self, work: _Open, why: str) -> None:
        if work.left is None:
            self._refuse(work.asked, f"paused, but no fee was put back: {why}")
            work.asked = []
        for channel_id in work.left or ():
            work.departure.fail(channel_id, why)
        work.left = ()

    def _finish(self, work: _Open) -> None:
        self._open, departure = None, work.departure
        self.summary = departure.summary(under_way=False)
        answer = departure.answer()
        self._house.context.log.info(f"restore-fees: {answer['message']}")
        self._house.context.publish(FeesPutBack())
        for asked in work.asked:
            self._house.context.tell(asked.reply_to, Answer(asked.call_id, answer))

    def _refuse(self, asked: list[PutFeesBack], why: str) -> None:
        for one in asked:
            self._house.context.tell(one.reply_to, Refusal(one.call_id, why))
