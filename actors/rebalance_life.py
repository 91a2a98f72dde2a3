"""The life of one job after it was reserved for: start, looks, stop, and the proof of its end.

Each step is a short conversation. What is to last is stored before the next question, so a kill
between any two messages leaves a state from which the same steps lead on.
"""

from __future__ import annotations

from collections.abc import Callable

from actors.dialogue import Ask, Refused, Steps
from actors.rebalance_jobs import LiveJob, RebalanceJobs
from actors.rebalance_sight import RUNNER, RebalanceSight
from cl_revenue_ops.config import Config
from cl_revenue_ops.domain.rebalance.desk import RebalanceDesk
from cl_revenue_ops.domain.rebalance.facts import Result
from cl_revenue_ops.ports import ENDING, PLANNED, RUNNING, STARTING, PortError
from cl_revenue_ops.runtime.actor import Context
from messages.budget import (
    NEVER_STARTED,
    STOPPED,
    CommitSpend,
    ReleaseBudget,
)
from messages.rebalance import (
    MAYBE_STARTED,
    NOT_STARTED,
    OwnPayments,
    ReadOwnPayments,
    ReadPaymentIndex,
    RebalanceEnded,
    StartJob,
    StartOutcome,
    StopJob,
)

ACCOUNTANT, NODE_READER = "accountant", "node-reader"

DEADLINE_S = 7_200.0
HOUR_S = 3_600.0
LOOKS_IDLE = 6
"""So many looks at an executor that says it moves nothing, without a payment, end a job."""

PENDING_S = 75.0
"""A payment on its way for so long ends the job before its executor gives the payment up, which may
arrive all the same, and makes it again."""

GRANT_S = 120.0
"""A grant is acted on within so long, or weighed anew from facts read again."""

START_PATIENCE_S = 60.0
STOP_PATIENCE_S = 420.0
BOOK_PATIENCE_S = 30.0

Weigh = Callable[[LiveJob, bool], Steps]
"""Says why a job must not be started any more, None where it may; True: by facts read anew."""


class RebalanceLife:
    """The steps of a job's life; `closed` says why nothing may be moved now, None where it may."""

    def __init__(
        self,
        context: Context,
        jobs: RebalanceJobs,
        sight: RebalanceSight,
        desk: RebalanceDesk,
        closed: Callable[[], str | None],
        config: Callable[[], Config],
    ) -> None:
        self._context = context
        self._jobs = jobs
        self._sight = sight
        self._desk = desk
        self._closed = closed
        self._config = config

    def guarded(self, job: LiveJob, steps: Steps) -> Steps:
        """Carry out a step; what fails is noted, and the next look goes on from what is stored."""
        job.trouble = None
        try:
            yield from steps
        except Refused as refusal:
            job.trouble = str(refusal)
        except PortError as error:
            job.trouble = f"{type(error).__name__}: {error}"

    def step(self, job: LiveJob) -> Steps:
        """Whatever comes next for a job of which nothing is under way."""
        state = job.row.state
        if state == PLANNED:
            yield from self.give_up(job, job.why or "it could not be begun")
        elif state in (STARTING, RUNNING):
            yield from self._look(job)
        else:
            yield from self._finish(job)

    # -- begin --------------------------------------------------------------------------------

    def start(self, job: LiveJob, weigh: Weigh) -> Steps:
        """Start a job that has its reservation, if it is still to be started."""
        job.why = "the node does not tell its newest payment"
        baseline = yield Ask(NODE_READER, ReadPaymentIndex, {}, BOOK_PATIENCE_S)
        job.why = "it could not be weighed again"
        begun_s = self._context.clock.monotonic()
        late = begun_s - job.granted_s > GRANT_S
        why = yield from weigh(job, late)
        since_s = begun_s if late else job.granted_s
        if why is None and self._context.clock.monotonic() - since_s > GRANT_S:
            why = f"it took more than {GRANT_S:.0f} s to weigh it again"
        why = self._closed() or why
        if why is not None:
            yield from self.give_up(job, why)
            return
        job.why = "its start could not be stored"
        self._jobs.step(job, STARTING, baseline)
        job.from_index = baseline + 1
        try:
            outcome = yield Ask(RUNNER, StartJob, {"order": job.plan.order}, START_PATIENCE_S)
        except Refused as refusal:
            # Without an answer it counts as started: only payments say what became of it.
            outcome = StartOutcome(MAYBE_STARTED, str(refusal))
        if outcome.outcome == NOT_STARTED:
            yield from self.give_up(job, outcome.why)
            return
        job.started_s = self._context.clock.monotonic()
        job.looked = self._sight.looks
        job.words = "" if outcome.outcome != MAYBE_STARTED else outcome.why
        self._jobs.step(job, RUNNING)

    def give_up(self, job: LiveJob, why: str) -> Steps:
        """End a job that was surely never started."""
        job.why = why
        fields: dict[str, object] = {"job_id": job.job_id, "proof": NEVER_STARTED}
        yield Ask(ACCOUNTANT, ReleaseBudget, fields, BOOK_PATIENCE_S)
        self._jobs.end(job, f"not begun: {why}")

    # -- while it runs ------------------------------------------------------------------------

    def _look(self, job: LiveJob) -> Steps:
        """Book what was paid, and see whether the job is to end."""
        before, place = len(job.payments), job.from_index
        try:
            fields: dict[str, object] = {"start": job.from_index}
            found = yield Ask(NODE_READER, ReadOwnPayments, fields, BOOK_PATIENCE_S)
            yield from self._book(job, found)
            job.from_index = found.next_index
        except Refused as refusal:
            # It is ended in time all the same; what was paid is found afterwards.
            job.trouble = str(refusal)
        # The oldest one on its way is still the same as long as the place to read from stays.
        arrived = len(job.payments) > before
        if arrived or not job.pending:
            job.pending_since_s = None
        elif job.from_index != place or job.pending_since_s is None:
            job.pending_since_s = self._context.clock.monotonic()
        why = self._why_end(job, arrived or job.pending > 0)
        if why is None:
            return
        job.why = why
        job.ending_s = self._context.clock.monotonic()
        self._jobs.step(job, ENDING)
        yield from self._finish(job)

    def _book(self, job: LiveJob, found: OwnPayments) -> Steps:
        """Tell the Accountant of the job's payments, then store them."""
        amount_msat = job.row.payment_msat
        job.pending = found.pending.count(amount_msat)
        ours = [p for p in found.completed if p.amount_msat == amount_msat]
        new = tuple(payment for payment in ours if payment[:2] not in job.payments)
        if new:
            fields: dict[str, object] = {"job_id": job.job_id, "payments": new}
            yield Ask(ACCOUNTANT, CommitSpend, fields, BOOK_PATIENCE_S)
            self._jobs.take(job, new)

    def _why_end(self, job: LiveJob, moving: bool) -> str | None:
        """Why a running job ends now, None where it goes on; also says whose fault it is."""
        closed = self._closed()
        if closed is not None:
            job.of_itself = False
            return f"nothing may be moved any more: {closed}"
        job.of_itself = True
        if job.row.moved_msat >= job.plan.order.total_msat:
            return "all moved"
        age_s = self._context.clock.now() - job.row.begun_s
        most_s = min(DEADLINE_S, self._config().reservation_timeout_hours * HOUR_S)
        if age_s >= most_s:
            return f"its time of {most_s / HOUR_S:g} h was up"
        if age_s < 0:
            job.of_itself = False
            return "the clock was set back to before it began"
        since_s = job.pending_since_s
        if since_s is not None and self._context.clock.monotonic() - since_s >= PENDING_S:
            return f"a payment has been on its way for {PENDING_S:g} s"
        return self._executor_ends(job, moving)

    def _executor_ends(self, job: LiveJob, moving: bool) -> str | None:
        """Why the job ends by what its executor says; each answer of it counts once."""
        if moving:
            job.idle = 0
        view = self._sight.view
        if view is None or self._sight.looks == job.looked:
            return None
        job.looked = self._sight.looks
        if view.version is None:
            job.of_itself = False
            return f"{view.name} is gone: {view.trouble}"
        mine = [one for one in view.jobs if one.scid == job.row.scid]
        job.words = ", ".join(one.words for one in mine) or job.words
        job.seen = job.seen or bool(mine)
        if moving or any(not one.idle for one in mine):
            job.idle = 0
            return None
        job.idle += 1
        if job.idle < LOOKS_IDLE:
            return None
        # A job that its executor never had says nothing about the route.
        job.of_itself = job.seen
        return f"nothing moves any more ({job.words or 'the executor has no such job'})"

    # -- the end ------------------------------------------------------------------------------

    def _finish(self, job: LiveJob) -> Steps:
        """Stop it, and let it end as soon as nothing of it can cost any more."""
        if not job.stopped:
            yield Ask(RUNNER, StopJob, {"scid": job.row.scid}, STOP_PATIENCE_S)
            job.stopped = True
            self._sight.outdated()
        fields: dict[str, object] = {"start": job.row.baseline + 1}
        found = yield Ask(NODE_READER, ReadOwnPayments, fields, BOOK_PATIENCE_S)
        yield from self._book(job, found)
        if job.pending:
            return
        proof: dict[str, object] = {"job_id": job.job_id, "proof": STOPPED}
        yield Ask(ACCOUNTANT, ReleaseBudget, proof, BOOK_PATIENCE_S)
        self._learn(job)
        self._jobs.end(job, job.why)
        row = job.row
        self._context.publish(
            RebalanceEnded(
                job.job_id,
                row.source_channel_id,
                row.channel_id,
                row.moved_msat,
                row.cost_msat,
                self._context.clock.now(),
            )
        )

    def _learn(self, job: LiveJob) -> None:
        """Tell the desk once; a job that was stopped from outside says nothing where none moved."""
        row, plan = job.row, job.plan
        if job.learned or not (job.of_itself or row.moved_msat):
            return
        now_s = self._context.clock.now()
        seconds = max(0.0, (job.ending_s or 0.0) - (job.started_s or job.ending_s or 0.0))
        result = Result(row.moved_msat, row.cost_msat, len(job.payments), seconds, job.words)
        # What was ordered is a little less than what was chosen, and may be much less.
        order = plan.order
        pair = plan.pair._replace(amount_msat=order.total_msat, payment_msat=order.payment_msat)
        self._desk.learn(pair, plan.peers, result, now_s)
        job.learned = True
