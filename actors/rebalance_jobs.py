"""The Rebalancer's jobs that have not ended: kept on the disk before anything follows from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from actors.dialogue import Dialogue
from actors.rebalance_score import NAMES, RebalanceScore
from cl_revenue_ops.domain.jsontext import dumps, loads
from cl_revenue_ops.domain.rebalance import plan as plans
from cl_revenue_ops.domain.rebalance.desk import RebalanceDesk
from cl_revenue_ops.domain.rebalance.facts import Pair
from cl_revenue_ops.domain.rebalance.plan import Plan
from cl_revenue_ops.ports import (
    ENDED,
    ENDING,
    PLANNED,
    RUNNING,
    STARTING,
    JobRow,
    RebalanceStore,
)
from cl_revenue_ops.runtime.actor import Context
from messages.budget import SelfPayment
from messages.channels import ChannelFact
from messages.rebalance import JobsTick

DAY_S = 86_400.0
LATE_S = 2 * DAY_S
"""For so long after a job's end, a payment of its amount is still the job's."""

REMEMBERED_S = 30 * DAY_S
REMEMBERED = 5_000
RESTARTED = "the plugin was restarted"
NEVER_BASELINE = -1
WOULD = "would move"
WOULD_KEPT = 20


@dataclass
class LiveJob:
    """One open job: what is stored, and what only this life knows.

    `reserving` while its reservation is asked for, `granted_s` is when it was granted; `why` why it
    is being ended; `of_itself` tells an end that says something about the route from one that does
    not; `looked` and `idle` count looks at the executor without movement, `seen` says that it had
    the job; `pending` of its payments are on their way, without one arriving since
    `pending_since_s`.
    """

    row: JobRow
    plan: Plan
    dialogue: Dialogue
    payments: dict[tuple[str, str], SelfPayment] = field(default_factory=dict)
    reserving: bool = False
    granted_s: float = 0.0
    started_s: float | None = None
    from_index: int = 0
    why: str = ""
    of_itself: bool = False
    ending_s: float | None = None
    stopped: bool = False
    learned: bool = False
    looked: int = 0
    idle: int = 0
    seen: bool = False
    words: str = ""
    trouble: str | None = None
    pending: int = 0
    pending_since_s: float | None = None

    @property
    def job_id(self) -> str:
        """By what everybody knows it."""
        return f"r{self.row.number}"

    @property
    def ends(self) -> tuple[str, str]:
        """The channels that it uses."""
        return self.row.source_channel_id, self.row.channel_id


class RebalanceJobs:
    """Open jobs by number, and those that ended lately; every method that stores raises PortError
    and has then changed nothing."""

    def __init__(
        self,
        context: Context,
        store: RebalanceStore,
        desk: RebalanceDesk,
        score: RebalanceScore,
    ) -> None:
        self._context = context
        self._store = store
        self._desk = desk
        self._score = score
        self._open: dict[int, LiveJob] = {}
        self._ended: dict[int, JobRow] = {}
        self._next_number = 1
        self._learned: dict[str, str] = {}
        self.would: list[dict[str, object]] = []
        self.changed: Callable[[], None] = lambda: None

    def __iter__(self) -> Iterator[LiveJob]:
        return iter(list(self._open.values()))

    def __len__(self) -> int:
        return len(self._open)

    # -- start --------------------------------------------------------------------------------

    def recall(self) -> list[str]:
        """Take in what is stored, and turn every job that may have started towards its end.

        Returns the names of what was learned and cannot be read any more.
        """
        memory = self._store.load()
        self._next_number = memory.next_number
        since_s = self._context.clock.now() - REMEMBERED_S
        rows = self._store.jobs_since(since_s, REMEMBERED)
        self._ended = {row.number: row for row in reversed(rows) if row.ended_s is not None}
        began = [row for row in memory.open_jobs if row.state in (STARTING, RUNNING)]
        ending = {row.number: row._replace(state=ENDING) for row in began}
        if ending:
            self._store.save(list(ending.values()), {}, {})
        self._open = {}
        for row in memory.open_jobs:
            job = self._live(ending.get(row.number, row))
            job.why = RESTARTED
            job.payments = {p[:2]: p for p in self._store.payments_of(row.number)}
            self._open[row.number] = job
        self._learned = dict(memory.learned)
        lost = [name for name, text in memory.learned.items() if not self._understand(name, text)]
        for job in self:
            if job.row.state != PLANNED:
                self._score.open(job.row, job.plan)
        return lost

    def _understand(self, name: str, text: str) -> bool:
        try:
            if name == WOULD:
                self.would = list(loads(text))
            elif name in NAMES:
                self._score.read(name, text)
            else:
                self._desk.read(name, text)
        except (ValueError, TypeError, KeyError, AttributeError):
            return False
        return True

    def _live(self, row: JobRow) -> LiveJob:
        dialogue = Dialogue(self._context, f"r{row.number}", JobsTick())
        job = LiveJob(row, plans.unpack(row.plan), dialogue)
        job.from_index = row.baseline + 1
        return job

    # -- telling apart ------------------------------------------------------------------------

    @property
    def used(self) -> frozenset[str]:
        """The channels that open jobs use."""
        return frozenset(name for job in self._open.values() for name in job.ends)

    @property
    def scids(self) -> frozenset[str]:
        """The channels that open jobs fill, by the names that the executor knows."""
        return frozenset(job.row.scid for job in self._open.values())

    def may_have_started(self) -> tuple[str, ...]:
        """The jobs that may have cost something, and those that are about to."""
        return tuple(job.job_id for job in self)

    def recent(self, count: int) -> list[JobRow]:
        """The newest jobs, the newest first, open ones among them."""
        rows = {**self._ended, **{job.row.number: job.row for job in self}}
        return [rows[number] for number in sorted(rows, reverse=True)[:count]]

    def since(self, begun_s: float) -> tuple[JobRow, ...]:
        """The newest jobs begun since a time, the newest first, from the disk."""
        return self._store.jobs_since(begun_s, REMEMBERED)

    def late_candidates(self) -> dict[int, JobRow]:
        """The jobs that ended lately and had started, by the amount of their payments."""
        now_s = self._context.clock.now()
        return {
            row.payment_msat: row
            for row in self._ended.values()
            if row.baseline != NEVER_BASELINE and now_s - (row.ended_s or 0.0) <= LATE_S
        }

    def _amounts(self) -> frozenset[int]:
        """Amounts by which payments are still told to be some job's."""
        live = [job.row.payment_msat for job in self._open.values()]
        return frozenset((*self.late_candidates(), *live))

    # -- storing ------------------------------------------------------------------------------

    def plan(
        self,
        pair: Pair,
        source: ChannelFact,
        destination: ChannelFact,
        origin: str,
        force: bool,
        free_msat: int,
    ) -> LiveJob:
        """Store a new job, PLANNED. Raises NoPlan as well."""
        number = self._next_number
        order = plans.order_of(
            pair, f"r{number}", number, source, destination, self._amounts(), free_msat
        )
        plan = Plan(order, pair, (source.peer_id, destination.peer_id), origin, force)
        row = JobRow(
            number=number,
            state=PLANNED,
            begun_s=self._context.clock.now(),
            source_channel_id=pair.source_channel_id,
            channel_id=pair.channel_id,
            scid=order.scid,
            payment_msat=order.payment_msat,
            baseline=NEVER_BASELINE,
            plan=plans.pack(plan),
            ended_s=None,
            outcome=None,
            moved_msat=0,
            cost_msat=0,
        )
        self._store.save([row], {}, {})
        self._next_number += 1
        job = self._open[number] = self._live(row)
        job.reserving = True
        self.changed()
        return job

    def step(self, job: LiveJob, state: str, baseline: int | None = None) -> None:
        """Store the job's next state."""
        row = job.row._replace(state=state)
        if baseline is not None:
            row = row._replace(baseline=baseline)
        self._store.save([row], {}, {})
        job.row = row
        if state == STARTING:
            self._score.open(row, job.plan)
        self.changed()

    def take(self, job: LiveJob, payments: Sequence[SelfPayment]) -> None:
        """Store payments of the job that were not known."""
        known = {**job.payments, **{payment[:2]: payment for payment in payments}}
        row = _summed(job.row, list(known.values()))
        self._store.save([row], {}, {job.job_id: payments})
        job.row, job.payments = row, known
        self._score.open(row, job.plan)
        self.changed()

    def unknown_of(self, row: JobRow, payments: Sequence[SelfPayment]) -> tuple[SelfPayment, ...]:
        """Those of these payments that were never stored for a job that has ended."""
        known = {payment[:2] for payment in self._store.payments_of(row.number)}
        return tuple(payment for payment in payments if payment[:2] not in known)

    def take_late(self, row: JobRow, payments: Sequence[SelfPayment]) -> None:
        """Store payments of a job that has ended, none of them known."""
        earlier = self._store.payments_of(row.number)
        row = _summed(row, [*earlier, *payments])
        self._score.open(row, plans.unpack(row.plan))
        self._keep([row], {f"r{row.number}": payments})
        self._ended[row.number] = row
        self.changed()

    def end(self, job: LiveJob, outcome: str) -> None:
        """Store the end, and with it whatever the desk has learned of it."""
        row = job.row._replace(state=ENDED, ended_s=self._context.clock.now(), outcome=outcome)
        if not row.moved_msat:
            self._score.drop(job.job_id)
        self._keep([row], {})
        self._ended[row.number] = row
        del self._open[row.number]
        self.changed()

    def keep_score(self) -> None:
        """Store the score as it stands."""
        self._keep([], {})

    def _keep(self, rows: Sequence[JobRow], payments: Mapping[str, Sequence[SelfPayment]]) -> None:
        """Store rows, and with them whatever desk and scoreboard have learned."""
        packed = {**self._desk.pack(), **self._score.pack()}
        news = {name: text for name, text in packed.items() if self._learned.get(name) != text}
        if rows or news:
            self._store.save(rows, news, payments)
        self._learned.update(packed)
        self._score.stored()

    def note_would(self, moves: Sequence[dict[str, object]]) -> None:
        """Store moves that would be made, were it not for a closed gate; the newest are kept."""
        again = {(move["from_channel"], move["to_channel"]) for move in moves}
        kept = [w for w in self.would if (w["from_channel"], w["to_channel"]) not in again]
        would = [*moves, *kept][:WOULD_KEPT]
        self._store.save([], {WOULD: dumps(would)}, {})
        self.would = would
        self.changed()


def _summed(row: JobRow, payments: Sequence[SelfPayment]) -> JobRow:
    return row._replace(
        moved_msat=sum(payment.amount_msat for payment in payments),
        cost_msat=sum(payment.cost_msat for payment in payments),
    )
