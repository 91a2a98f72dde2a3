"""The FeeController: decides each channel's fee in cycles, writes it, and can say why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from actors.base import HouseActor, handles
from actors.fee_evidence import FeeEvidence
from actors.fee_look import FeeLook, Look
from actors.fee_mempool import FeeMempool
from actors.fee_neighbours import FeeNeighbours
from actors.fee_orders import FeeOrders, Refused
from actors.fee_pricing import FeePricing, News
from actors.fee_quotes import QUOTES_A_STEP, FeeQuotes
from actors.fee_rhythm import FeeRhythm
from actors.fee_shadow import FeeShadow
from actors.fee_writer import FeeWriter
from cl_revenue_ops.config import Config
from cl_revenue_ops.domain.fees import explain
from cl_revenue_ops.domain.fees.book import FeeBook
from cl_revenue_ops.domain.fees.decide import parameters_of
from cl_revenue_ops.domain.fees.explain_next import Outlook
from cl_revenue_ops.gate import WriteGate
from cl_revenue_ops.identity import Identity
from cl_revenue_ops.ports import FEE_SET, FeeStore, Node, PortError
from cl_revenue_ops.runtime.actor import Context
from messages.base import Answer, Refusal
from messages.channels import ChannelSnapshot
from messages.control import Suspend
from messages.fees import (
    ContinueFees,
    ContinueShadow,
    EvidenceSilence,
    ExplainFees,
    FeeTick,
    SetFeeByHand,
    ShadowReport,
    SlotTick,
    WakeAll,
)
from messages.flow import FlowReport
from messages.forwards import LoggedForward

CHANNELS_A_STEP = 20
SLOTS_BUSY_S = 60.0
ASK_PAUSE_S = 1.0
SHOWN = 10
ALL_CHANNELS = 10_000


class Sweep(NamedTuple):
    """A cycle under way. Gossip is asked about the `unasked` peers while `left` is None; then the
    `rows` (None where the log did not answer) are learned from, and the channels in `left` decided.
    Those in `ordered` had an order meanwhile.
    """

    look: Look
    unasked: tuple[str, ...]
    left: tuple[str, ...] | None
    rows: Sequence[LoggedForward] | None
    ordered: tuple[str, ...] = ()


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
        self._orders = FeeOrders(self._writer, context.clock.now)
        self._quotes = FeeQuotes(context.clock, node, identity)
        self._evidence = FeeEvidence(context)
        self._shadow = FeeShadow(context, store)
        self._mempool = FeeMempool(context.clock, node)
        self._neighbours = FeeNeighbours(node)
        self._reader = FeeLook(context.clock, node, gate, self._neighbours)
        self._book = FeeBook()
        self._rhythm = FeeRhythm(context.clock)
        self._pricing = FeePricing(store)
        self._scids: dict[str, str] = {}
        self._sweep: Sweep | None = None
        self._trouble: str | None = None
        self._recent: list[dict[str, object]] = []

    # -- start --------------------------------------------------------------------------------

    def recover(self) -> None:
        who = self._identity.learn()
        self._store.open(who.node_id, who.network)
        header, states = self._store.load()
        self._book = FeeBook.unpack(header, states, self._store.load_demand(), self.now())
        for name in self._book.unreadable:
            self.context.log.warn(f"fees: what was stored of {name} is damaged; it starts anew")
        self._changed()
        rest_s = self._rhythm.rest_s(self._book, self.config.fee_interval)
        self.context.after(rest_s, FeeTick())
        self.context.after(SLOTS_BUSY_S, SlotTick())
        self._show()

    def configured(self, old: Config, new: Config) -> None:
        self._writer.retention_days = new.decision_retention_days
        if old.fee_interval != new.fee_interval:
            self.context.after(self._rhythm.rest_s(self._book, new.fee_interval), FeeTick())

    @handles(Suspend)
    def _suspend(self, message: Suspend) -> None:
        super()._suspend(message)
        self._sweep = None
        self._evidence.stop()

    @handles(ChannelSnapshot)
    def _channels(self, message: ChannelSnapshot) -> None:
        self._scids = {e.channel_id: e.fact.scid or e.channel_id for e in message.channels}
        self._pricing.know(message)
        self._shadow.know(message)
        if not message.fresh:
            return
        self._book.desk.look((e.fact for e in message.channels if not e.closed), message.read_at_s)
        self._book.forget_closed(message.channels, message.read_at_s)
        used = {e.channel_id: e.fact.htlcs_out for e in message.channels if not e.closed}
        if self._take_slots(used, message.read_at_s):
            self.context.after(SLOTS_BUSY_S, SlotTick())

    @handles(FlowReport)
    def _flows(self, message: FlowReport) -> None:
        self._book.settled_out = {f.channel_id: f.settled_out for f in message.channels}
        self._pricing.trust(message)

    # -- the cycle ----------------------------------------------------------------------------

    @handles(FeeTick)
    def _tick(self, message: FeeTick) -> None:
        self.context.after(float(self.config.fee_interval), FeeTick())
        self._begin()

    def _begin(self) -> bool:
        """Begin a cycle by reading what was forwarded; False where none can begin."""
        if self.suspended is not None:
            self._note(f"suspended: {self.suspended}")
            return False
        self._rhythm.begin()
        self._trouble = self._quotes.trouble = None
        self._sweep = None
        self._evidence.begin(self._book.desk.cursor)
        return True

    @handles(Answer)
    def _page(self, message: Answer) -> None:
        if not self._evidence.expects(message.call_id):
            if not self._shadow.take(message):
                self.discard(message, "late")
        elif self._evidence.take(message):
            self._start_sweep(self._evidence.rows)

    @handles(Refusal)
    def _refused(self, message: Refusal) -> None:
        if self._evidence.expects(message.call_id):
            self._without(message.reason)
        else:
            self._shadow.take(message)

    @handles(EvidenceSilence)
    def _silent(self, message: EvidenceSilence) -> None:
        if self._evidence.expects(message.step):
            self._without("the forward log does not answer")

    def _without(self, reason: str) -> None:
        """Go on without new evidence: it is all there at the next cycle."""
        self._evidence.stop()
        self._trouble = f"nothing was learned: {reason}"
        self._start_sweep(None)

    def _start_sweep(self, rows: Sequence[LoggedForward] | None) -> None:
        self._neighbours.look()
        self._trouble = self._trouble or self._neighbours.trouble
        try:
            look = self._look()
        except PortError as error:
            self._note(f"the node could not be read: {error}")
            return
        peers = dict.fromkeys(fact.peer_id for _, fact in sorted(look.facts.items()))
        self._sweep = Sweep(look, tuple(peers), None, rows)
        self._continue(ContinueFees())

    @handles(ContinueFees)
    def _continue(self, message: ContinueFees) -> None:
        """One step: ask gossip about the next peers; then price; then decide the next channels."""
        sweep = self._sweep
        if sweep is None or self.suspended is not None:
            return
        try:
            if sweep.left is None:
                self._sweep, rest_s = self._ask_step(sweep)
            else:
                self._sweep, rest_s = self._decide_step(sweep, sweep.left), 0.0
        except PortError as error:
            # The next cycle does the rest.
            self._sweep = None
            self._note(f"the node could not be read: {error}")
            return
        if self._sweep is None:
            self._show()
        elif rest_s > 0.0:
            self.context.after(rest_s, ContinueFees())
        else:
            self.context.tell(self.context.address, ContinueFees())

    def _ask_step(self, sweep: Sweep) -> tuple[Sweep, float]:
        """Ask gossip about a few peers; where no more are due, price and go on to decide."""
        asked = self._quotes.refresh(self._book, sweep.unasked)
        self._trouble = self._quotes.trouble or self._trouble
        if asked == QUOTES_A_STEP:
            return sweep, ASK_PAUSE_S
        look = self._look() if asked or self._reader.is_old(sweep.look) else sweep.look
        self._price(look, sweep.rows)
        left = tuple(sorted(look.facts))
        return sweep._replace(look=look, unasked=(), left=left, rows=None), 0.0

    def _price(self, look: Look, rows: Sequence[LoggedForward] | None) -> None:
        """Learn from what was read, price all destinations, and take a sample of the mempool."""
        config, now_s = self.config, look.situation.read_at_s
        news = None if rows is None else News(rows, self._evidence.cursor)
        facts = list(look.facts.values())
        self._pricing.price(self._book, facts, news, config.target_flow, self.root_seed, now_s)
        if config.enable_vegas_reflex:
            self._mempool.sample(self.root_seed, config.vegas_decay_rate)
            self._trouble = self._mempool.trouble or self._trouble
            self._book.spike = self._mempool.spike(config.vegas_decay_rate)

    def _decide_step(self, sweep: Sweep, left: tuple[str, ...]) -> Sweep | None:
        """Decide some channels. Raises PortError with nothing recorded."""
        look = self._look() if self._reader.is_old(sweep.look) else sweep.look
        batch = [other for other in left[:CHANNELS_A_STEP] if other not in sweep.ordered]
        self._rhythm.decided(self._book)
        self._decide(look, batch)
        rest = left[CHANNELS_A_STEP:]
        return sweep._replace(look=look, left=rest) if rest else None

    def _look(self) -> Look:
        """Read the node once for all channels; raises PortError."""
        look = self._reader.all(self.config, suspended=self.suspended is not None)
        self._book.spike = self._mempool.spike(self.config.vegas_decay_rate)
        return look

    def _decide(self, look: Look, channel_ids: Iterable[str]) -> None:
        """Decide some channels, store all decisions at once, then write what is to be written.

        A channel whose fee would move is read again and decided anew: nothing is written on facts
        from before. Raises PortError with nothing recorded.
        """
        book, known = self._book, [c for c in channel_ids if c in look.facts]
        before = {channel_id: book.state(channel_id) for channel_id in known}
        decisions = {c: book.decide(look.facts[c], look.situation) for c in known}
        moving = [c for c, decision in decisions.items() if decision.action == "set"]
        suspended = self.suspended is not None
        try:
            now = self._reader.again(look, moving, self.config, suspended=suspended)
        except PortError:
            book.states.update(before)
            raise
        for channel_id in moving:
            del decisions[channel_id]
            book.states[channel_id] = before[channel_id]
            if channel_id in now.facts:
                decisions[channel_id] = book.decide(now.facts[channel_id], now.situation)
        if not decisions:
            return
        made = list(decisions.values())
        for decision in made:
            if decision.newly_foreign or decision.code == "rewritten":
                scid = self._scids.get(decision.facts.channel_id, decision.facts.channel_id)
                self.context.log.warn(f"fees: {scid}: {decision.sentence}")
        outcomes = [
            self._writer.carry_out(book, decision, number)
            for decision, number in zip(made, self._writer.record(book, made), strict=True)
        ]
        if FEE_SET in outcomes:
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
        if busy:
            # In calm times every reading of all channels brings a sample.
            self.context.after(SLOTS_BUSY_S, SlotTick())

    def _take_slots(self, used: Mapping[str, int], at_s: float) -> bool:
        """Take one sample, decide at once where congestion turned; True: look again soon."""
        turned, busy = self._book.sample_slots(used, at_s, parameters_of(self.config))
        if turned and self._sweep is None and self.suspended is None:
            self._decide_soon(turned)
        return busy

    def _decide_soon(self, channel_ids: Iterable[str]) -> None:
        try:
            self._decide(self._look(), channel_ids)
        except PortError as error:
            # The next cycle decides them; what turned is remembered in their states.
            self._trouble = f"the node could not be read: {error}"

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
            self._sweep = self._sweep._replace(ordered=(*self._sweep.ordered, channel_id))
        fact = look.facts[channel_id]
        try:
            told = self._orders.carry_out(message, self._book, fact, look.situation, self._scids)
        except Refused as refusal:
            self.refuse(message, str(refusal))
            return
        if told["written"]:
            self._changed()
            self._show()
        self.answer(message, told)

    @handles(WakeAll)
    def _wake_all(self, message: WakeAll) -> None:
        if self._begin():
            woken, closed = self._book.wake(), self._gate.closed_because()
            self.answer(message, explain.woken(woken, closed))
        else:
            self.refuse(message, f"suspended: {self.suspended}")

    # -- explaining ---------------------------------------------------------------------------

    @handles(ExplainFees)
    def _explain(self, message: ExplainFees) -> None:
        now_s, closed, p = self.now(), self._gate.reasons(), parameters_of(self.config)
        every_s = self.config.fee_interval
        next_s = now_s + self._rhythm.rest_s(self._book, every_s)
        outlook = Outlook(now_s, next_s, self.suspended, closed, p, every_s, self._trouble)
        whole = message.channel_id is not None
        stored = self._store.last_decisions(message.channel_id, 1 if whole else ALL_CHANNELS)
        told = explain.report(stored, self._scids, self._book, outlook, whole=whole)
        self.answer(message, told)

    @handles(ShadowReport)
    def _compare(self, message: ShadowReport) -> None:
        self._shadow.begin(message, self.config.fee_interval)

    @handles(ContinueShadow)
    def _compare_on(self, message: ContinueShadow) -> None:
        self._shadow.step()

    # -- reporting ----------------------------------------------------------------------------

    def _note(self, trouble: str) -> None:
        self._trouble = trouble
        self._show()

    def _show(self) -> None:
        self.post_notice(
            {
                "recent": self._recent,
                "foreign": explain.foreign(self._book.states, self._scids),
                "last_cycle_at": self._rhythm.begun_s,
                "trouble": self._trouble,
            }
        )
