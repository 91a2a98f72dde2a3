"""The Reporter: makes every report of the books, and keeps the snapshot of each day."""

from __future__ import annotations

from actors.base import AskingActor, handles
from actors.report_archive import ReportArchive
from actors.report_days import ReportDays
from actors.report_gather import Found, Gathering, Question
from actors.report_plans import CHAIN, PLANS, Kept, Plan
from cl_revenue_ops.domain.reports import text
from cl_revenue_ops.domain.reports.ground import Ground, Missing, stock_prices
from cl_revenue_ops.identity import Identity
from cl_revenue_ops.ports import ReportStore
from cl_revenue_ops.runtime.actor import Context
from messages.base import Answer, Refusal
from messages.channels import ChannelSnapshot
from messages.flow import FlowReport
from messages.policies import PolicySnapshot
from messages.rebalance import StockCurves
from messages.reports import ChainView, DayTick, GatherDue, MakeReport, ReadAliases

NODE_READER = "node-reader"
FIRST_S = 60.0
LOOK_S = 600.0
ARCHIVE_S = 3_600.0
CHAIN_S = 3_600.0
ALIASES_A_STEP = 20
ALIAS_PAUSE_S = 30.0
NOT_YET = "no report: the channels have not been read yet; try again soon"


class Reporter(AskingActor):
    """Optional: without it the node earns as before, and nobody is told.

    It gathers what others know, and hands it to pure functions. It never waits for the node.
    """

    def __init__(self, context: Context, *, store: ReportStore, identity: Identity) -> None:
        super().__init__(context)
        self._store = store
        self._identity = identity
        self._gathering = Gathering(context)
        self._days = ReportDays(context, store, self._gathering)
        self._archive = ReportArchive(context, store, self._gathering)
        self._channels: ChannelSnapshot | None = None
        self._flows: FlowReport | None = None
        self._policies: PolicySnapshot | None = None
        self._curves: StockCurves | None = None
        self._chain: ChainView | None = None
        self._aliases: dict[str, str | None] = {}
        self._archived_s: float | None = None

    # -- what is heard ------------------------------------------------------------------------

    def recover(self) -> None:
        who = self._identity.learn()
        self._store.open(who.node_id, who.network)
        self._days.recover()
        self._archive.recover()
        self.context.after(FIRST_S, DayTick())
        self._show()

    @handles(ChannelSnapshot)
    def _heard_channels(self, message: ChannelSnapshot) -> None:
        self._channels = message
        if message.fresh:
            self._archive.watch(message.channels, message.read_at_s)

    @handles(FlowReport)
    def _heard_flows(self, message: FlowReport) -> None:
        self._flows = message

    @handles(PolicySnapshot)
    def _heard_policies(self, message: PolicySnapshot) -> None:
        self._policies = message

    @handles(StockCurves)
    def _heard_curves(self, message: StockCurves) -> None:
        self._curves = message

    def take(self, reply: Answer | Refusal) -> bool:
        """See AskingActor."""
        return self._gathering.take(reply)

    @handles(GatherDue)
    def _due(self, message: GatherDue) -> None:
        self._gathering.due(message.number)

    # -- reports ------------------------------------------------------------------------------

    @handles(MakeReport)
    def _make(self, message: MakeReport) -> None:
        if self._channels is None:
            self.refuse(message, NOT_YET)
        elif message.what == "cleanup":
            self._archive.run(self._ground(), lambda answer: self._cleaned(message, answer))
        elif message.what not in PLANS:
            self.refuse(message, f"there is no report {message.what}", invalid=True)
        else:
            plan = PLANS[message.what]
            today = int(self.now() // 86_400.0)
            self._gathering.ask(
                plan.ask(message, today), lambda found: self._tell(message, plan, found)
            )

    def _tell(self, asked: MakeReport, plan: Plan, found: Found) -> None:
        """Answer with the report, or with why it cannot be made."""
        for name, part in found.items():
            if isinstance(part, Missing) and name not in plan.optional:
                self.refuse(asked, f"no report: {part.reason}")
                return
            if isinstance(part, ChainView):
                self._chain = part
        ground = self._ground()
        answer = plan.make(asked, ground, Kept(self._days, self._archive), found)
        self.answer(asked, text.answer(asked.what, answer) if asked.text else answer)

    def _cleaned(self, asked: MakeReport, answer: dict[str, object]) -> None:
        self.answer(asked, answer)
        self._show()

    def _ground(self) -> Ground:
        """The newest that was told."""
        assert self._channels is not None
        return Ground(
            self.now(),
            {entry.channel_id: entry for entry in self._channels.channels},
            {} if self._flows is None else {f.channel_id: f for f in self._flows.channels},
            () if self._policies is None else self._policies.policies,
            stock_prices(self._curves, self._channels.channels),
            self._chain,
            {peer_id: alias for peer_id, alias in self._aliases.items() if alias},
            self._channels.fresh,
        )

    # -- what is done unasked -----------------------------------------------------------------

    @handles(DayTick)
    def _look(self, message: DayTick) -> None:
        self.context.after(LOOK_S, DayTick())
        if self._channels is None:
            return
        ground = self._ground()
        rest_s = self._days.look(ground)
        self._ask_chain(ground.now_s)
        self._ask_aliases(ground)
        since_s = None if self._archived_s is None else ground.now_s - self._archived_s
        if (since_s is None or not 0.0 <= since_s < ARCHIVE_S) and self._archive.waiting(ground):
            self._archived_s = ground.now_s
            self._archive.run(ground, lambda answer: self._show())
        self._show()
        self.context.after(min(LOOK_S, rest_s), DayTick())

    def _ask_chain(self, now_s: float) -> None:
        if self._chain is not None and 0.0 <= now_s - self._chain.at_s < CHAIN_S:
            return

        def done(found: Found) -> None:
            view = found["chain"]
            if isinstance(view, ChainView):
                self._chain = view

        self._gathering.ask({"chain": CHAIN}, done)

    def _ask_aliases(self, ground: Ground) -> None:
        """Ask what some peers are called; gossip is asked about each once a life."""
        peers = dict.fromkeys(entry.peer_id for entry in ground.open_entries())
        unknown = tuple(p for p in peers if p not in self._aliases)[:ALIASES_A_STEP]
        if not unknown:
            return

        def done(found: Found) -> None:
            rows = found["aliases"]
            if isinstance(rows, tuple):
                self._aliases.update(rows)
                if len(self._aliases) < len(peers):
                    self.context.after(ALIAS_PAUSE_S, DayTick())

        question = Question(NODE_READER, lambda i, to, by: ReadAliases(i, to, by, unknown))
        self._gathering.ask({"aliases": question}, done)

    def _show(self) -> None:
        self.post_notice(
            {
                "snapshots": self._days.count(),
                "archived": self._archive.count(),
                "trouble": self._days.trouble,
            }
        )
