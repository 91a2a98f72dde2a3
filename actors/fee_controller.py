"""The FeeController: decides each channel's fee in cycles, writes it, and can say why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from actors.base import HouseActor, handles
from actors.fee_decider import FeeDecider
from actors.fee_evidence import FeeEvidence
from actors.fee_leaving import FeeLeaving
from actors.fee_look import FeeLook, Look
from actors.fee_mempool import FeeMempool
from actors.fee_neighbours import FeeNeighbours
from actors.fee_orders import FeeOrders, Refused
from actors.fee_policies import FeePolicies
from actors.fee_pricing import FeePricing, News
from actors.fee_quotes import FeeQuotes
from actors.fee_rhythm import FeeRhythm
from actors.fee_shadow import FeeShadow
from actors.fee_sweep import FeeSweep
from actors.fee_writer import FeeWriter
from cl_revenue_ops.config import Config
from cl_revenue_ops.domain.fees import explain
from cl_revenue_ops.domain.fees.book import FeeBook
from cl_revenue_ops.domain.fees.decide import parameters_of
from cl_revenue_ops.domain.fees.explain_next import Outlook
from cl_revenue_ops.gate import WriteGate
from cl_revenue_ops.identity import Identity
from cl_revenue_ops.ports import FeeStore, Node, PortError
from cl_revenue_ops.runtime.actor import Context
from messages.base import Answer, Refusal
from messages.channels import ChannelSnapshot
from messages.control import Resume, Suspend
from messages.fees import (
    ContinueFees,
    ContinueLeaving,
    ContinueShadow,
    DecisionPage,
    EvidenceSilence,
    ExplainFees,
    FeeTick,
    PolicyEnds,
    PutFeesBack,
    ReadDecisions,
    RepricePeers,
    SetFeeByHand,
    ShadowReport,
    SlotTick,
    WakeAll,
)
from messages.flow import FlowReport
from messages.forwards import LoggedForward
from messages.policies import PolicyChanged, PolicySnapshot

SLOTS_BUSY_S = 60.0
SHOWN = 10
ALL_CHANNELS = 10_000


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
        self._evidence = FeeEvidence(context)
        self._shadow = FeeShadow(context, store)
        mempool = FeeMempool(context.clock, node)
        self._neighbours = FeeNeighbours(node)
        reader = FeeLook(context.clock, node, gate, self._neighbours)
        self._decider = FeeDecider(self, reader, self._writer, mempool)
        self._rhythm = FeeRhythm(context.clock)
        self._pricing = FeePricing(store)
        quotes = FeeQuotes(context.clock, node, identity)
        self._sweep = FeeSweep(self, self._decider, quotes, self._pricing, mempool, self._rhythm)
        self._policies = FeePolicies(self, self._decider, self._pricing)
        self._leaving = FeeLeaving(self, self._decider, self._writer, gate)
        self._trouble: str | None = None
        self._recent: list[dict[str, object]] = []

    # -- start --------------------------------------------------------------------------------

    def recover(self) -> None:
        who = self._identity.learn()
        self._store.open(who.node_id, who.network)
        header, states = self._store.load()
        book = FeeBook.unpack(header, states, self._store.load_demand(), self.now())
        self._decider.book, book.hive_fee_ppm = book, self.config.hive_fee_ppm
        for name in book.unreadable:
            self.context.log.warn(f"fees: what was stored of {name} is damaged; it starts anew")
        self._changed()
        rest_s = self._rhythm.rest_s(self._book, self.config.fee_interval)
        self.context.after(rest_s, FeeTick())
        self.context.after(SLOTS_BUSY_S, SlotTick())
        self._show()

    @property
    def _book(self) -> FeeBook:
        return self._decider.book

    @property
    def _scids(self) -> dict[str, str]:
        return self._decider.scids

    def configured(self, old: Config, new: Config) -> None:
        self._policies.hive_fee(new.hive_fee_ppm)
        self._writer.retention_days = new.decision_retention_days
        if old.fee_interval != new.fee_interval:
            self.context.after(self._rhythm.rest_s(self._book, new.fee_interval), FeeTick())

    @handles(Suspend)
    def _suspend(self, message: Suspend) -> None:
        super()._suspend(message)
        self._sweep.stop()
        self._evidence.stop()

    @handles(Resume)
    def _resume(self, message: Resume) -> None:
        super()._resume(message)
        self._policies.go_on()

    @handles(ChannelSnapshot)
    def _channels(self, message: ChannelSnapshot) -> None:
        self._decider.scids = {e.channel_id: e.fact.scid or e.channel_id for e in message.channels}
        self._pricing.know(message)
        self._policies.know(message)
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
        self._trouble = None
        self._sweep.stop()
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
            look = self._decider.look()
        except PortError as error:
            self._note(f"the node could not be read: {error}")
            return
        self._sweep.begin(look, None if rows is None else News(rows, self._evidence.cursor))
        self._continue(ContinueFees())

    @handles(ContinueFees)
    def _continue(self, message: ContinueFees) -> None:
        """One step of the sweep under way."""
        if not self._sweep.under_way or self.suspended is not None:
            return
        try:
            step = self._sweep.step()
        except PortError as error:
            self._note(f"the node could not be read: {error}")
            return
        self._trouble = self._sweep.trouble or self._trouble
        if step.was_set:
            self._changed()
        if step.rest_s is None:
            if self._pricing.curves is not None:
                self.context.publish(self._pricing.curves)
            self._show()
        elif step.rest_s > 0.0:
            self.context.after(step.rest_s, ContinueFees())
        else:
            self.context.tell(self.context.address, ContinueFees())

    def _decide(self, look: Look, channel_ids: Iterable[str]) -> None:
        """Decide some channels and write what is to be written; PortError with nothing recorded."""
        if self._decider.decide(look, channel_ids):
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
        if turned and not self._sweep.under_way and self.suspended is None:
            self._decide_soon(turned)
        return busy

    def _decide_soon(self, channel_ids: Iterable[str]) -> None:
        try:
            self._decide(self._decider.look(), channel_ids)
        except PortError as error:
            # The next cycle decides them; what turned is remembered in their states.
            self._trouble = f"the node could not be read: {error}"

    # -- policies -----------------------------------------------------------------------------

    @handles(PolicySnapshot)
    def _policies_told(self, message: PolicySnapshot) -> None:
        self._policies.hear(message)

    @handles(PolicyChanged)
    def _policy_changed(self, message: PolicyChanged) -> None:
        self._policies.note(message)

    @handles(PolicyEnds)
    def _policy_ends(self, message: PolicyEnds) -> None:
        self._policies.look_for_ends()

    @handles(RepricePeers)
    def _reprice(self, message: RepricePeers) -> None:
        """Decide the channels of peers whose policy has changed, also while a sweep is under way.

        Suspended, they wait.
        """
        if self.suspended is not None:
            return
        try:
            decided, was_set = self._policies.step()
        except PortError as error:
            self._note(f"the node could not be read: {error}")
            return
        self._sweep.done(decided)
        if was_set:
            self._changed()
            self._show()

    # -- by hand ------------------------------------------------------------------------------

    @handles(SetFeeByHand)
    def _by_hand(self, message: SetFeeByHand) -> None:
        channel_id = message.channel_id
        try:
            look = self._decider.look()
        except PortError as error:
            self.refuse(message, f"the node could not be read: {error}")
            return
        if channel_id not in look.facts:
            self.refuse(message, "that channel is not open any more")
            return
        self._sweep.done((channel_id,))
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

    @handles(PutFeesBack)
    def _put_back(self, message: PutFeesBack) -> None:
        self._leaving.begin(message)
        self._show()

    @handles(ContinueLeaving)
    def _put_back_on(self, message: ContinueLeaving) -> None:
        self._leaving.step()
        self._changed()
        self._show()

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

    @handles(ReadDecisions)
    def _read_decisions(self, message: ReadDecisions) -> None:
        stored = self._store.decisions_after(message.place, message.limit)
        place = (stored[-1].last_at_s, stored[-1].decision_id) if stored else message.place
        rows = tuple(map(explain.line, stored))
        self.answer(message, DecisionPage(rows, place, len(stored) < message.limit))

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
                "restored": self._leaving.summary,
            }
        )
