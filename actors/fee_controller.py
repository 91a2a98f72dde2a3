"""The FeeController: decides each channel's fee in cycles, writes it, and can say why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from actors.base import HouseActor, handles
from actors.fee_quotes import QUOTES_A_STEP, FeeQuotes
from actors.fee_writer import NOTHING, FeeWriter
from cl_revenue_ops.config import Config
from cl_revenue_ops.domain.fees import explain
from cl_revenue_ops.domain.fees.book import FeeBook, Situation
from cl_revenue_ops.domain.fees.decide import FeeDecision, parameters_of
from cl_revenue_ops.domain.fees.facts import Conditions, Pin
from cl_revenue_ops.gate import WriteGate
from cl_revenue_ops.identity import Identity
from cl_revenue_ops.ports import (
    FEE_SET,
    FeeStore,
    Node,
    PortError,
)
from cl_revenue_ops.runtime.actor import Context
from messages.base import Command
from messages.channels import ChannelFact, ChannelSnapshot
from messages.control import Suspend
from messages.fees import (
    ContinueFees,
    ExplainFees,
    FeeTick,
    SetFeeByHand,
    SlotTick,
)
from messages.flow import FlowReport

FIRST_S = 90.0
CHANNELS_A_STEP = 20
SLOTS_CALM_S, SLOTS_BUSY_S = 900.0, 60.0
ASK_PAUSE_S = 1.0
FACTS_FRESH_S = 5.0
SHOWN = 10
ALL_CHANNELS = 10_000
PAUSES = frozenset({"paused", "configuration"})


class Look(NamedTuple):
    """What was read for all channels at once."""

    situation: Situation
    facts: Mapping[str, ChannelFact]


class Sweep(NamedTuple):
    """A cycle under way: who is still to come. `look` is for deciding while it is not `worn`."""

    look: Look
    left: tuple[str, ...]
    worn: bool = False


class FeeController(HouseActor):
    """Every cycle starts from the fees that lightningd reports.

    The decision and its target are stored before the fee is written, so that a fee found on
    the node after a crash is known as ours. One channel's failure is a recorded outcome.
    """

    def __init__(
        self, context: Context, *, store: FeeStore, node: Node, identity: Identity, gate: WriteGate
    ) -> None:
        super().__init__(context)
        self._store = store
        self._node = node
        self._identity = identity
        self._gate = gate
        self._writer = FeeWriter(context, store, node)
        self._quotes = FeeQuotes(context.clock, node, identity)
        self._book = FeeBook()
        self._scids: dict[str, str] = {}
        self._sweep: Sweep | None = None
        self._trouble: str | None = None
        self._cycle_at_s: float | None = None
        self._recent: list[dict[str, object]] = []

    # -- start --------------------------------------------------------------------------------

    def recover(self) -> None:
        who = self._identity.learn()
        self._store.open(who.node_id, who.network)
        self._book = FeeBook.unpack(*self._store.load())
        for name in self._book.unreadable:
            self.context.log.warn(f"fees: what was stored of {name} is damaged; it starts anew")
        self._changed()
        self.context.after(self._rest_s(), FeeTick())
        self.context.after(SLOTS_BUSY_S, SlotTick())
        self._show()

    def configured(self, old: Config, new: Config) -> None:
        if old.fee_interval != new.fee_interval and self._book.last_cycle_s is not None:
            self.context.after(self._rest_s(), FeeTick())

    def _rest_s(self) -> float:
        """How long until the next cycle; one interval at most, wherever the clock has gone."""
        last_s, interval_s = self._book.last_cycle_s, float(self.config.fee_interval)
        if last_s is None:
            return FIRST_S
        return min(max(0.0, last_s + interval_s - self.now()), interval_s)

    @handles(Suspend)
    def _suspend(self, message: Suspend) -> None:
        super()._suspend(message)
        self._sweep = None

    @handles(ChannelSnapshot)
    def _channels(self, message: ChannelSnapshot) -> None:
        self._scids = {e.channel_id: e.fact.scid or e.channel_id for e in message.channels}
        if not message.fresh:
            return
        self._book.forget_closed(message.channels, message.read_at_s)
        used = {e.channel_id: e.fact.htlcs_out for e in message.channels if not e.closed}
        if self._take_slots(used, message.read_at_s):
            self.context.after(SLOTS_BUSY_S, SlotTick())

    @handles(FlowReport)
    def _flows(self, message: FlowReport) -> None:
        self._book.settled_out = {f.channel_id: f.settled_out for f in message.channels}

    # -- the cycle ----------------------------------------------------------------------------

    @handles(FeeTick)
    def _tick(self, message: FeeTick) -> None:
        self.context.after(float(self.config.fee_interval), FeeTick())
        if self.suspended is not None:
            self._note(f"suspended: {self.suspended}")
            return
        try:
            look = self._look()
        except PortError as error:
            self._sweep = None
            self._note(f"the node could not be read: {error}")
            return
        self._sweep = Sweep(look, tuple(sorted(look.facts)))
        self._book.last_cycle_s = self._cycle_at_s = self.now()
        self._trouble = self._quotes.trouble = None
        self._continue(ContinueFees())

    def _look(self) -> Look:
        """Read the node once for all channels; raises PortError."""
        info = self._node.info()
        facts = {fact.channel_id: fact for fact in self._node.channels().facts}
        paused = not PAUSES.isdisjoint(self._gate.reasons())
        conditions = Conditions(info.sync_warning is None, paused, self.suspended is not None)
        return Look(Situation(conditions, self.now(), parameters_of(self.config)), facts)

    @handles(ContinueFees)
    def _continue(self, message: ContinueFees) -> None:
        """One step: ask gossip about the next channels, then decide them on fresh facts."""
        sweep = self._sweep
        if sweep is None:
            return
        batch, left = sweep.left[:CHANNELS_A_STEP], sweep.left
        asked = self._quotes.refresh(self._book, (sweep.look.facts[c].peer_id for c in batch))
        self._trouble = self._quotes.trouble or self._trouble
        if asked < QUOTES_A_STEP:
            try:
                look = self._look() if asked or sweep.worn else sweep.look
                sweep = sweep._replace(look=self._decide_step(look, batch), worn=False)
            except PortError as error:
                # The next cycle decides the rest.
                self._sweep = None
                self._note(f"the node could not be read: {error}")
                return
            left = left[CHANNELS_A_STEP:]
        worn = sweep.worn or asked > 0
        self._sweep = sweep._replace(left=left, worn=worn) if left else None
        if not left:
            self._show()
        elif asked:
            self.context.after(ASK_PAUSE_S, ContinueFees())
        else:
            self.context.tell(self.context.address, ContinueFees())

    def _decide_step(self, look: Look, channel_ids: Sequence[str]) -> Look:
        """Decide some channels of a sweep; nothing is written on facts from before this step.

        Most steps write nothing, and the node is not read again for those. Returns the facts
        that were decided on; raises PortError, with nothing recorded.
        """
        age_s = self.now() - look.situation.read_at_s
        stale = not 0.0 <= age_s <= FACTS_FRESH_S
        if stale or self._would_write(look, channel_ids):
            look = self._look()
        self._decide(look, channel_ids)
        return look

    def _would_write(self, look: Look, channel_ids: Iterable[str]) -> bool:
        """Whether these facts would lead to a write; leaves no trace."""
        book, known = self._book, [c for c in channel_ids if c in look.facts]
        before = {channel_id: book.state(channel_id) for channel_id in known}
        decisions = [book.decide(look.facts[channel_id], look.situation) for channel_id in known]
        book.states.update(before)
        return any(decision.action == "set" for decision in decisions)

    def _decide(self, look: Look, channel_ids: Iterable[str]) -> None:
        """Decide some channels, store all decisions at once, then write what is to be written."""
        decisions = [
            self._book.decide(look.facts[channel_id], look.situation)
            for channel_id in channel_ids
            if channel_id in look.facts
        ]
        if not decisions:
            return
        numbers = self._writer.record(self._book, decisions)
        for decision, number in zip(decisions, numbers, strict=True):
            if self._writer.carry_out(self._book, decision, number) == FEE_SET:
                self._changed()

    def _changed(self) -> None:
        self._recent = [
            explain.change(row, self._scids) for row in self._store.recent_changes(SHOWN)
        ]

    # -- congestion between cycles ------------------------------------------------------------

    @handles(SlotTick)
    def _slots(self, message: SlotTick) -> None:
        try:
            busy = self.suspended is None and self._take_slots(self._node.slots(), self.now())
        except PortError as error:
            self._trouble = f"the HTLC slots could not be read: {error}"
            busy = False
        self.context.after(SLOTS_BUSY_S if busy else SLOTS_CALM_S, SlotTick())

    def _take_slots(self, used: Mapping[str, int], at_s: float) -> bool:
        """Take one sample, decide at once where congestion turned; True: look again soon."""
        turned, busy = self._book.sample_slots(used, at_s, parameters_of(self.config))
        if turned and self._sweep is None and self.suspended is None:
            self._decide_soon(turned)
        return busy

    def _decide_soon(self, channel_ids: Iterable[str]) -> None:
        try:
            look = self._look()
        except PortError as error:
            # The next cycle decides them; what turned is remembered in their states.
            self._trouble = f"the node could not be read: {error}"
            return
        self._decide(look, channel_ids)

    # -- by hand ------------------------------------------------------------------------------

    @handles(SetFeeByHand)
    def _by_hand(self, message: SetFeeByHand) -> None:
        channel_id = message.channel_id
        try:
            look = self._look()
        except PortError as error:
            self.refuse(message, f"the node could not be read: {error}")
            return
        if channel_id not in look.facts:
            self.refuse(message, "that channel is not open any more")
            return
        if self._sweep is not None:
            # It is decided here and now; once a cycle is enough.
            left = tuple(other for other in self._sweep.left if other != channel_id)
            self._sweep = self._sweep._replace(left=left)
        if message.ppm is None:
            self._unpin(message, look)
        else:
            self._pin(message, look, message.ppm)

    def _unpin(self, message: SetFeeByHand, look: Look) -> None:
        fact = look.facts[message.channel_id]
        had = self._book.give_back(fact)
        decision = self._book.decide(fact, look.situation)
        (number,) = self._writer.record(self._book, [decision], by_hand=True)
        outcome = self._writer.carry_out(self._book, decision, number)
        text = "the controller manages its fee again" if had else "its fee was not pinned"
        why = decision.sentence if outcome in (FEE_SET, NOTHING) else f"Now {outcome}."
        self._answer_hand(message, decision, f"{text}. {why}", outcome)

    def _pin(self, message: SetFeeByHand, look: Look, ppm: int) -> None:
        """Pin and write; a pin whose write did not happen is taken back: nothing has changed.

        Where nobody knows whether it happened, the target stays: found later, it is ours.
        """
        channel_id, book = message.channel_id, self._book
        before = book.pins.get(channel_id), book.state(channel_id)
        book.pins[channel_id] = Pin(ppm, None, "by hand", self.now())
        decision = book.decide(look.facts[channel_id], look.situation)
        if decision.action == "none" and decision.code != "unchanged":
            book.restore(channel_id, *before)
            self.refuse(message, f"not set: {decision.sentence}")
            return
        (number,) = self._writer.record(book, [decision], by_hand=True)
        outcome = self._writer.carry_out(book, decision, number)
        if outcome not in (FEE_SET, NOTHING):
            is_open = self._writer.is_open(outcome)
            book.restore(channel_id, before[0], book.state(channel_id) if is_open else before[1])
            self._writer.take_back(book, decision, number, outcome)
            self.refuse(message, f"not pinned, {outcome}" if is_open else f"not set: {outcome}")
            return
        self._answer_hand(message, decision, "pinned until revenue-set-fee ... auto", outcome)

    def _answer_hand(
        self, command: Command, decision: FeeDecision, text: str, outcome: str
    ) -> None:
        if outcome == FEE_SET:
            self._changed()
            self._show()
        fees = explain.fees(decision, stands=outcome in (FEE_SET, NOTHING))
        done = {"pinned": decision.facts.channel_id in self._book.pins, "message": text}
        order = explain.order(decision.facts.channel_id, self._scids)
        self.answer(command, {**order, **done, "written": outcome == FEE_SET, **fees})

    # -- explaining ---------------------------------------------------------------------------

    @handles(ExplainFees)
    def _explain(self, message: ExplainFees) -> None:
        stored = self._store.last_decisions(
            message.channel_id, 1 if message.channel_id else ALL_CHANNELS
        )
        rows = [explain.shown(row, self._scids) for row in stored]
        self.answer(
            message, explain.report(rows, self.now(), self.config.fee_interval, self._trouble)
        )

    # -- reporting ----------------------------------------------------------------------------

    def _note(self, trouble: str) -> None:
        self._trouble = trouble
        self._show()

    def _show(self) -> None:
        self.post_notice(
            {"recent": self._recent, "last_cycle_at": self._cycle_at_s, "trouble": self._trouble}
        )
