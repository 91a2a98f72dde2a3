"""The FeeController: decides each channel's fee in cycles, writes it, and can say why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from actors.base import HouseActor, handles
from actors.fee_writer import NOTHING, FeeWriter
from cl_revenue_ops.config import Config
from cl_revenue_ops.domain.fees import explain, quote_book
from cl_revenue_ops.domain.fees.book import FeeBook, Situation
from cl_revenue_ops.domain.fees.decide import FeeDecision, parameters_of
from cl_revenue_ops.domain.fees.facts import Conditions, Pin
from cl_revenue_ops.domain.fees.prior import Quote, prior_price
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
QUOTES_A_STEP = 5
SLOTS_CALM_S, SLOTS_BUSY_S = 900.0, 60.0
SHOWN = 10
ALL_CHANNELS = 10_000
PAUSES = frozenset({"paused", "configuration"})


class Sweep(NamedTuple):
    """A cycle under way: what was read for all channels at once, and who is still to come."""

    situation: Situation
    facts: Mapping[str, ChannelFact]
    left: tuple[str, ...]


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
        self._changed()
        last_s = self._book.last_cycle_s
        rest_s = FIRST_S if last_s is None else last_s + self.config.fee_interval - self.now()
        self.context.after(max(0.0, rest_s), FeeTick())
        self.context.after(SLOTS_BUSY_S, SlotTick())
        self._show()

    def configured(self, old: Config, new: Config) -> None:
        if old.fee_interval != new.fee_interval and self._book.last_cycle_s is not None:
            rest_s = self._book.last_cycle_s + new.fee_interval - self.now()
            self.context.after(max(0.0, rest_s), FeeTick())

    @handles(ChannelSnapshot)
    def _channels(self, message: ChannelSnapshot) -> None:
        still_open = [entry for entry in message.channels if not entry.closed]
        self._scids = {e.channel_id: e.fact.scid or e.channel_id for e in message.channels}
        self._book.forget_closed(
            (e.channel_id for e in still_open), (e.peer_id for e in still_open)
        )
        used = {e.channel_id: e.fact.htlcs_out for e in still_open}
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
            self._sweep = self._look()
        except PortError as error:
            self._note(f"the node could not be read: {error}")
            return
        self._book.last_cycle_s = self._cycle_at_s = self.now()
        self._trouble = None
        self._continue(ContinueFees())

    def _look(self) -> Sweep:
        """Read the node once for all channels; raises PortError."""
        info = self._node.info()
        facts = {fact.channel_id: fact for fact in self._node.channels().facts}
        paused = not PAUSES.isdisjoint(self._gate.reasons())
        conditions = Conditions(info.sync_warning is None, paused, self.suspended is not None)
        situation = Situation(conditions, self.now(), parameters_of(self.config))
        return Sweep(situation, facts, tuple(sorted(facts)))

    @handles(ContinueFees)
    def _continue(self, message: ContinueFees) -> None:
        sweep = self._sweep
        if sweep is None or self.suspended is not None:
            return
        batch = sweep.left[:CHANNELS_A_STEP]
        asked = self._refresh_quotes(sweep.facts[channel_id] for channel_id in batch)
        if asked < QUOTES_A_STEP:
            self._decide(sweep, batch)
            sweep = self._sweep = sweep._replace(left=sweep.left[CHANNELS_A_STEP:])
        if sweep.left:
            self.context.tell(self.context.address, ContinueFees())
        else:
            self._sweep = None
            self._show()

    def _refresh_quotes(self, facts: Iterable[ChannelFact]) -> int:
        """Ask gossip for at most a few peers that are due; how many were asked."""
        asked = 0
        for peer_id in dict.fromkeys(fact.peer_id for fact in facts):
            if asked < QUOTES_A_STEP and quote_book.due(self._book.quotes, peer_id, self.now()):
                asked += 1
                self._ask_quotes(peer_id)
        return asked

    def _ask_quotes(self, peer_id: str) -> None:
        price = quote_book.price_into(self._book.quotes, peer_id)
        try:
            rows = self._node.channels_to(peer_id)
            quotes = [
                Quote(r.source, r.scid, r.capacity_msat, r.active, r.base_msat, r.fee_ppm)
                for r in rows
            ]
            price = prior_price(quotes, self._identity.learn().node_id)
        except PortError as error:
            # The price known so far stands in.
            self._trouble = f"gossip could not be read: {error}"
            self._book.quotes[peer_id] = quote_book.ask_again_soon(self.now(), price)
        else:
            self._book.quotes[peer_id] = quote_book.Asked(self.now(), price)

    def _decide(self, sweep: Sweep, channel_ids: Iterable[str]) -> None:
        """Decide some channels, store all decisions at once, then write what is to be written."""
        decisions = [
            self._book.decide(sweep.facts[channel_id], sweep.situation)
            for channel_id in channel_ids
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
            sweep = self._look()
        except PortError as error:
            # The next cycle decides them; what turned is remembered in their states.
            self._trouble = f"the node could not be read: {error}"
            return
        self._decide(sweep, [cid for cid in channel_ids if cid in sweep.facts])

    # -- by hand ------------------------------------------------------------------------------

    @handles(SetFeeByHand)
    def _by_hand(self, message: SetFeeByHand) -> None:
        channel_id = message.channel_id
        try:
            sweep = self._look()
        except PortError as error:
            self.refuse(message, f"the node could not be read: {error}")
            return
        if channel_id not in sweep.facts:
            self.refuse(message, "that channel is not open any more")
        elif message.ppm is None:
            self._unpin(message, sweep)
        else:
            self._pin(message, sweep, message.ppm)

    def _unpin(self, message: SetFeeByHand, sweep: Sweep) -> None:
        fact = sweep.facts[message.channel_id]
        had = self._book.give_back(fact)
        decision = self._book.decide(fact, sweep.situation)
        (number,) = self._writer.record(self._book, [decision], by_hand=True)
        outcome = self._writer.carry_out(self._book, decision, number)
        text = "the controller manages its fee again" if had else "its fee was not pinned"
        why = decision.sentence if outcome in (FEE_SET, NOTHING) else f"Now {outcome}."
        self._answer_hand(message, decision, f"{text}. {why}", outcome)

    def _pin(self, message: SetFeeByHand, sweep: Sweep, ppm: int) -> None:
        """Pin and write; a pin whose write did not happen is taken back: nothing has changed."""
        channel_id, book = message.channel_id, self._book
        before = book.pins.get(channel_id), book.state(channel_id)
        book.pins[channel_id] = Pin(ppm, None, "by hand", self.now())
        decision = book.decide(sweep.facts[channel_id], sweep.situation)
        if decision.action == "none" and decision.code != "unchanged":
            book.restore(channel_id, *before)
            self.refuse(message, f"not set: {decision.sentence}")
            return
        (number,) = self._writer.record(book, [decision], by_hand=True)
        outcome = self._writer.carry_out(book, decision, number)
        if outcome not in (FEE_SET, NOTHING):
            book.restore(channel_id, *before)
            self._writer.take_back(book, decision, number, outcome)
            self.refuse(message, f"not set: {outcome}")
            return
        self._answer_hand(message, decision, "pinned until revenue-set-fee ... auto", outcome)

    def _answer_hand(
        self, command: Command, decision: FeeDecision, text: str, outcome: str
    ) -> None:
        if outcome == FEE_SET:
            self._changed()
            self._show()
        channel_id = decision.facts.channel_id
        self.answer(
            command,
            {
                "status": "success",
                "success": True,
                "channel": self._scids.get(channel_id, channel_id),
                "channel_id": channel_id,
                "pinned": channel_id in self._book.pins,
                "written": outcome == FEE_SET,
                "message": text,
                **explain.fees(decision, stands=outcome in (FEE_SET, NOTHING)),
            },
        )

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
