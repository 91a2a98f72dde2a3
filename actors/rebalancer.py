"""The Rebalancer: searches for moves that pay, has them carried out, and proves their end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from actors.base import AskingActor, handles
from actors.dialogue import Dialogue, Refused, Steps
from actors.rebalance_care import RebalanceCare
from actors.rebalance_jobs import RebalanceJobs
from actors.rebalance_life import RebalanceLife
from actors.rebalance_score import RebalanceScore
from actors.rebalance_search import Invalid, RebalanceSearch
from actors.rebalance_sight import PATIENCE_S, RebalanceSight
from cl_revenue_ops.config import Config
from cl_revenue_ops.domain.rebalance import plan, telling
from cl_revenue_ops.domain.rebalance.desk import RebalanceDesk
from cl_revenue_ops.domain.rebalance.score import DAY_S
from cl_revenue_ops.domain.reports import rebalances as reports
from cl_revenue_ops.domain.reports import text
from cl_revenue_ops.gate import WriteGate
from cl_revenue_ops.identity import Identity
from cl_revenue_ops.ports import PortError, RebalanceStore
from cl_revenue_ops.runtime.actor import Context
from messages.base import Answer, Command, Refusal
from messages.channels import ChannelSnapshot
from messages.control import Resume, Suspend
from messages.flow import FlowReport
from messages.policies import PolicySnapshot
from messages.rebalance import (
    ClearReservations,
    ExplainRebalances,
    JobsTick,
    PaymentSeen,
    RebalanceByHand,
    RebalanceNow,
    RebalanceReport,
    RebalanceTick,
    StockCurves,
)

FIRST_S = 300.0
LOOK_S = 10.0
SHOWN = 10


@dataclass
class Work:
    """One thing to be done in its turn; `command` is who asked for it, None for the rhythm."""

    steps: Callable[[], Steps]
    command: Command | None = None


class Rebalancer(AskingActor):
    """Searches one at a time; each job has a conversation of its own.

    Nothing is begun while it is suspended or the gate is closed, and what runs then is ended.
    """

    def __init__(
        self, context: Context, *, store: RebalanceStore, identity: Identity, gate: WriteGate
    ) -> None:
        super().__init__(context)
        self._store = store
        self._identity = identity
        self._gate = gate
        desk = RebalanceDesk()
        self._sight = RebalanceSight(context.clock)
        self._score = RebalanceScore(context.clock, self._sight)
        self._jobs = RebalanceJobs(context, store, desk, self._score)
        self._jobs.changed = self._show
        self._life = RebalanceLife(
            context, self._jobs, self._sight, desk, self._closed, lambda: self.config
        )
        self._search = RebalanceSearch(
            context, self._jobs, self._sight, desk, self._life, self._score, self._closed,
            lambda: self.config,
        )  # fmt: skip
        self._care = RebalanceCare(self._jobs)
        self._work = Dialogue(context, "rebalance", JobsTick())
        self._watch = Dialogue(context, "executor", JobsTick())
        self._waiting: deque[Work] = deque()
        self._node_id = ""
        self._trouble: str | None = None
        self._last: dict[str, object] | None = None
        self._searched_s: float | None = None

    # -- start and end ------------------------------------------------------------------------

    def recover(self) -> None:
        who = self._identity.learn()
        self._node_id = who.node_id
        self._store.open(who.node_id, who.network)
        for name in self._jobs.recall():
            self.context.log.warn(f"rebalances: what was stored of {name} is damaged; it is lost")
        self.context.after(min(FIRST_S, float(self.config.rebalance_interval)), RebalanceTick())
        self._put(Work(self._late))
        # An executor counts as settled only some time after it was first seen.
        self._watch.begin(self._sight.look(PATIENCE_S))
        self.context.tell(self.context.address, JobsTick())
        self._show()

    def configured(self, old: Config, new: Config) -> None:
        if old.rebalance_interval != new.rebalance_interval:
            self.context.after(float(new.rebalance_interval), RebalanceTick())

    @handles(Suspend)
    def _suspend(self, message: Suspend) -> None:
        super()._suspend(message)
        self._look_soon()

    @handles(Resume)
    def _resume(self, message: Resume) -> None:
        super()._resume(message)
        self._show()

    def _closed(self) -> str | None:
        """Why nothing may be moved now."""
        if self.suspended is not None:
            return f"suspended: {self.suspended}"
        return self._gate.closed_because()

    # -- what is heard ------------------------------------------------------------------------

    @handles(ChannelSnapshot)
    def _heard_channels(self, message: ChannelSnapshot) -> None:
        self._sight.hear(message)

    @handles(FlowReport)
    def _heard_flows(self, message: FlowReport) -> None:
        self._sight.hear(message)

    @handles(PolicySnapshot)
    def _heard_policies(self, message: PolicySnapshot) -> None:
        self._sight.hear(message)

    @handles(StockCurves)
    def _heard_curves(self, message: StockCurves) -> None:
        self._sight.hear(message)

    @handles(PaymentSeen)
    def _heard_payment(self, message: PaymentSeen) -> None:
        """A payment to ourselves may be a job's: look now, not only at the next tick."""
        if message.destination == self._node_id:
            self._look_soon()

    # -- its rhythm ---------------------------------------------------------------------------

    @handles(RebalanceTick)
    def _tick(self, message: RebalanceTick) -> None:
        self.context.after(float(self.config.rebalance_interval), RebalanceTick())
        self._put(Work(self._late))
        self._put(Work(self._keep_score))
        self._put(Work(lambda: self._cycle(None, plan.BY_SEARCH)))

    @handles(JobsTick)
    def _look(self, message: JobsTick) -> None:
        """Let every job take its next step, and give up answers that do not come."""
        for dialogue in (self._work, self._watch, *(job.dialogue for job in self._jobs)):
            dialogue.overdue()
        self._next()
        if len(self._jobs) and not self._watch.running:
            self._watch.begin(self._sight.look(PATIENCE_S))
        for job in self._jobs:
            if not job.dialogue.running and not job.reserving:
                job.dialogue.begin(self._life.guarded(job, self._life.step(job)))
        self._arm()

    def _arm(self) -> None:
        """While there are jobs, they are looked at every LOOK_S."""
        if len(self._jobs):
            self.context.after(LOOK_S, JobsTick())

    def _look_soon(self) -> None:
        if len(self._jobs):
            self.context.tell(self.context.address, JobsTick())

    # -- one thing after the other ------------------------------------------------------------

    def take(self, reply: Answer | Refusal) -> bool:
        """See AskingActor."""
        before = len(self._jobs)
        dialogues = (self._work, self._watch, *(job.dialogue for job in self._jobs))
        taken = any(dialogue.take(reply) for dialogue in dialogues)
        if len(self._jobs) > before:
            self._arm()
        self._next()
        return taken

    def _put(self, work: Work) -> None:
        self._waiting.append(work)
        self._next()

    def _next(self) -> None:
        while self._waiting and not self._work.running:
            self._work.begin(self._carry_out(self._waiting.popleft()))

    def _carry_out(self, work: Work) -> Steps:
        """Do one thing, and answer whoever asked for it."""
        command = work.command
        if command is not None and command.deadline_s < self.context.clock.monotonic():
            # Its caller has been told that there was no answer.
            self.discard(command, "expired")
            return
        try:
            yield from self._care.reconcile()
            result = yield from work.steps()
        except Invalid as error:
            assert command is not None, "only an operator names amounts"
            self.refuse(command, str(error), invalid=True)
        except (Refused, PortError) as error:
            self._note(str(error))
            if command is not None:
                self.refuse(command, str(error))
        else:
            self._note(None)
            if command is not None:
                self.answer(command, result)

    def _cycle(self, channel_id: str | None, origin: str) -> Steps:
        self._searched_s = self.now()
        found = yield from self._search.search(channel_id, origin)
        self._last = found
        return found

    def _late(self) -> Steps:
        yield from self._care.look_for_late()

    def _keep_score(self) -> Steps:
        was = self._score.suspended()
        yield from self._score.catch_up()
        self._jobs.keep_score()
        why = self._score.suspended()
        if why is not None and was is None:
            self.context.log.warn(why)

    # -- commands -----------------------------------------------------------------------------

    @handles(RebalanceNow)
    def _now(self, message: RebalanceNow) -> None:
        channel_id = message.channel_id
        self._put(Work(lambda: self._cycle(channel_id, plan.BY_COMMAND), message))

    @handles(RebalanceByHand)
    def _by_hand(self, message: RebalanceByHand) -> None:
        self._put(Work(lambda: self._search.by_hand(message), message))

    @handles(ExplainRebalances)
    def _explain(self, message: ExplainRebalances) -> None:
        self._put(Work(lambda: self._search.explain(message.channel_id), message))

    @handles(ClearReservations)
    def _clear(self, message: ClearReservations) -> None:
        self._put(Work(self._care.clear, message))
        self._look_soon()

    @handles(RebalanceReport)
    def _report(self, message: RebalanceReport) -> None:
        self._put(Work(lambda: self._make_report(message), message))

    def _make_report(self, message: RebalanceReport) -> Steps:
        """The scoreboard, with every forward until now."""
        yield from self._keep_score()
        days, now_s = message.window_days, self.now()
        rows = self._jobs.since(0.0 if days is None else now_s - days * DAY_S)
        jobs = telling.reported(rows, self._score.scores())
        told = reports.rebalances(jobs, days, now_s, self._score.health)
        return text.answer("rebalances", told) if message.text else told

    # -- reporting ----------------------------------------------------------------------------

    def _note(self, trouble: str | None) -> None:
        self._trouble = trouble
        self._show()

    def _show(self) -> None:
        live = {job.row.number: job for job in self._jobs}
        rows = [
            telling.job_row(row, plan.unpack(row.plan), live[row.number].trouble)
            if row.number in live
            else telling.job_row(row, plan.unpack(row.plan))
            for row in self._jobs.recent(SHOWN)
        ]
        self.post_notice(
            {
                "recent": rows,
                "running": [row for row in rows if row["id"] in live],
                "would": self._jobs.would,
                "last_search_at": None if self._searched_s is None else int(self._searched_s),
                "last_search": None if self._last is None else self._last.get("message"),
                "suspended": self._score.suspended(),
                "trouble": self._trouble,
            }
        )
