"""A spender, a node and an Accountant that all stumble, and the law that nothing is overspent.

The spender keeps to its part: it commits what its job has paid, and has that answered, before it
says that the job is over. Everything else may happen between any two steps: what is said is lost
on the way there or back, writes fail or take place unseen, either side dies, the clock is set
back, settings and revenue change. Which payments there really were, and when, is the node's
record here, not the ledger's.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from cl_revenue_ops.ports import Unavailable
from messages.budget import NEVER_STARTED, STOPPED, SelfPayment
from tests.unit.budget_support import RICH_MSAT, START_S, Desk
from tests.unit.storage_support import RevocableLease

DAY_S = 86_400
STEPS = 120
R = TypeVar("R")


class Died(Exception):
    """The Accountant's incarnation ended here."""


class BrittleLease(RevocableLease):
    """Also `after_effect` runs, when a commit has taken place."""

    def __init__(self) -> None:
        super().__init__()
        self.after_effect: Callable[[], None] = lambda: None

    @contextmanager
    def effect(self) -> Iterator[None]:
        with super().effect():
            yield
        self.after_effect()


@dataclass
class Paid:
    """A payment that the node completed, with the time that really was."""

    true_s: float
    row: SelfPayment
    surprise: bool = False


@dataclass
class Job:
    """`stage` is what the spender has on its disk; `limits` the budget at each time it asked."""

    name: str
    amount_msat: int
    stage: str = "asked"
    limits: list[int] = field(default_factory=list)
    asked_soundly: bool = False
    pending: list[int] = field(default_factory=list)
    paid: list[Paid] = field(default_factory=list)
    all_told: bool = False

    @property
    def live(self) -> bool:
        return self.stage in ("granted", "started", "stopping")

    @property
    def unproven(self) -> bool:
        """Whether the spender has not heard yet that it is over; it said so once it is proven."""
        return self.stage in ("stopping", "proven")

    @property
    def paid_msat(self) -> int:
        return sum(payment.row.cost_msat for payment in self.paid)


class BudgetStory:
    """One run; the same seed is the same run."""

    def __init__(self, desk: Desk, seed: int) -> None:
        self.desk = desk
        self.random = random.Random(seed)
        self.fixed = seed % 2 == 0
        self.wrong_proofs = seed % 4 == 3
        self.true_s = START_S
        self.jobs: list[Job] = []
        self.numbers = 0
        self.trace: list[str] = []
        self.granted = 0
        self.deaths = 0
        self.spare_msat = RICH_MSAT
        for table in ("budget_reservation", "budget_payment"):
            desk.base.connection().execute(f"DELETE FROM {table}")
        desk.clock.now_s = START_S
        desk.revenue_msat = 1_000
        desk.set(
            daily_budget_sats=1, min_wallet_reserve=0, enable_proportional_budget=False,
            proportional_budget_pct=0.3,
        )  # fmt: skip
        desk.reborn()
        self.acts: list[Callable[[], object]] = [
            *[self.ask] * 5, *[self.ask_again] * 3, self.give_up, *[self.start] * 5,
            *[self.send] * 6, *[self.arrive] * 6, *[self.commit] * 4, *[self.stop] * 2,
            *[self.finish] * 5, *[self.elapse] * 4, self.set_back, self.configure, self.earn,
            self.accountant_dies, self.spender_dies, self.release_wrongly, self.pay_late,
        ]  # fmt: skip

    # -- the run -----------------------------------------------------------------------------------

    def run(self) -> None:
        """Tell the story; AssertionError where a law is broken."""
        for _ in range(STEPS):
            act = self.random.choice(self.acts)
            self.trace.append(act.__name__)
            act()
            self.require_law()
        self.come_to_rest()

    def come_to_rest(self) -> None:
        """Everything that is under way ends; then all is counted, and all is free again."""
        for job in self.jobs:
            while job.pending:
                self.arrive_at(job)
            job.stage = "stopping" if job.live else job.stage
        self.desk.reborn()
        for job in self.jobs:
            self.desk.commit(job.name, *[payment.row for payment in job.paid])
            if job.unproven:
                self.desk.release(job.name)
        state = self.desk.reconcile()
        rows = [payment.row for job in self.jobs for payment in job.paid]
        now_s = self.desk.clock.now()
        day = [row.cost_msat for row in rows if row.completed_s + 1 > now_s - DAY_S]
        assert (state.reserved_msat, state.spent_msat) == (0, sum(day))
        (stored,) = self.desk.base.connection().execute(
            "SELECT coalesce(sum(cost_msat), 0) FROM budget_payment"
        ).fetchone()  # fmt: skip
        assert stored == sum(row.cost_msat for row in rows)
        self.desk.clock.now_s = max([now_s, *[row.completed_s for row in rows]]) + DAY_S + 2
        self.desk.set(enable_proportional_budget=False, daily_budget_sats=9, min_wallet_reserve=0)
        assert self.desk.reserve("the next", 9_000).refusal is None

    def require_law(self) -> None:
        """Money of the day that really was, and open promises, within the largest budget that any
        promise among them was made under."""
        since_s = self.true_s - DAY_S
        money_msat, limits = 0, [0]
        for job in self.jobs:
            recent = [p for p in job.paid if p.true_s > since_s and not p.surprise]
            if job.live:
                money_msat += job.amount_msat
            elif recent:
                money_msat += sum(p.row.cost_msat for p in recent)
            if job.live or recent:
                limits += job.limits
        assert money_msat <= max(limits), (money_msat, max(limits))
        if money_msat:
            self.spare_msat = min(self.spare_msat, max(limits) - money_msat)
        if self.fixed:
            assert money_msat <= 1_000

    # -- what is said, and what becomes of it ------------------------------------------------------

    def say(self, ask: Callable[[], R]) -> R | None:
        """The answer; None where the Accountant did not hear it, could not do it, died over it,
        or its answer was lost."""
        how, effect = self.random.random(), self.random.randint(1, 3)
        lease = self.desk.lease
        assert isinstance(lease, BrittleLease)
        if how < 0.05:
            return None
        if how < 0.25:
            error = Died() if self.random.random() < 0.7 else Unavailable("the disk is full")
            count = [effect]

            def fail() -> None:
                count[0] -= 1
                if count[0] <= 0:
                    raise error

            if self.random.random() < 0.5:
                lease.on_effect = fail
            else:
                lease.after_effect = fail
        try:
            answer = ask()
        except Died:
            self.accountant_dies()
            return None
        except Unavailable:
            return None
        finally:
            lease.on_effect = lease.after_effect = lambda: None
        return None if 0.25 <= how < 0.3 else answer

    def some(self, *stages: str) -> Job | None:
        """Any job at one of these stages."""
        found = [job for job in self.jobs if job.stage in stages]
        return self.random.choice(found) if found else None

    # -- the spender -------------------------------------------------------------------------------

    def ask(self) -> None:
        """Something for a new job: sound, or nothing that may ever be granted."""
        self.numbers += 1
        amount_msat = self.random.choice([self.random.randint(1, 1_200), 100, 500, 1_000])
        if self.random.random() < 0.05:
            amount_msat = self.random.choice([0, -1, -500, 10**15])
        self.jobs.append(Job(f"r{self.numbers}", amount_msat))
        self._ask(self.jobs[-1])

    def ask_again(self) -> None:
        """The answer did not come."""
        job = self.some("asked")
        if job is not None:
            self._ask(job)

    def _ask(self, job: Job) -> None:
        limit_msat = self.effective_msat()
        reserve_msat = self.desk.config.min_wallet_reserve * 1_000
        held_msat = sum(other.amount_msat for other in self.jobs if other.live)
        liquid_msat: int | None = RICH_MSAT
        age_s = self.random.choice([0.0, 0.0, 30.0, 59.0])
        sound = True
        drawn = self.random.random()
        if drawn < 0.05:
            liquid_msat, sound = None, False
        elif drawn < 0.1:
            age_s, sound = self.random.choice([61.0, -1.0, 7_200.0]), False
        elif drawn < 0.2:
            liquid_msat = self.random.randint(0, reserve_msat + held_msat + 1_500)
            sound = liquid_msat - held_msat - job.amount_msat >= reserve_msat
        sound = sound and 0 < job.amount_msat <= limit_msat
        job.limits.append(limit_msat)
        job.asked_soundly = job.asked_soundly or sound
        verdict = self.say(lambda: self.desk.reserve(job.name, job.amount_msat, liquid_msat, age_s))
        if verdict is None:
            return
        if verdict.refusal is None:
            assert job.asked_soundly, "granted what may not be"
            job.stage = "granted"
            self.granted += 1
        else:
            assert "\n" not in verdict.refusal
            job.stage = "refused"

    def give_up(self) -> None:
        """A job that was never started is not wanted any more."""
        job = self.some("asked", "granted", "refused")
        if job is not None:
            # Whatever comes of it, it will not be started.
            job.stage = "refused"
            self.say(lambda: self.desk.release(job.name, NEVER_STARTED))

    def start(self) -> None:
        job = self.some("granted")
        if job is not None:
            job.stage = "started"

    def stop(self) -> None:
        job = self.some("started")
        if job is not None:
            job.stage = "stopping"

    def commit(self) -> None:
        """Some of what it has paid, maybe not for the first time, maybe twice at once."""
        job = self.some("started", "stopping", "ended")
        if job is not None and job.paid:
            count = self.random.randint(1, len(job.paid) + 1)
            rows = [self.random.choice(job.paid).row for _ in range(count)]
            self.say(lambda: self.desk.commit(job.name, *rows))

    def finish(self) -> None:
        """The proof: nothing is pending; then all payments, then the end."""
        job = self.some("stopping", "proven")
        if job is None or job.pending:
            return
        if not job.all_told:
            rows = [payment.row for payment in job.paid]
            job.all_told = self.say(lambda: self.desk.commit(job.name, *rows)) is not None
            return
        job.stage = "proven"
        if self.say(lambda: self.desk.release(job.name, STOPPED)) is not None:
            job.stage = "ended"

    def spender_dies(self) -> None:
        """It comes back with what is on its disk, and tells which jobs may have started."""
        self.deaths += 1
        for job in self.jobs:
            job.all_told = False
            if job.stage in ("asked", "granted"):
                job.stage = "refused"
            elif job.stage == "started":
                job.stage = "stopping"
        names = [job.name for job in self.jobs if job.unproven]
        while self.say(lambda: self.desk.reconcile(*names)) is None:
            pass

    def release_wrongly(self) -> None:
        """Against all rules: over, it says, and has not told everything."""
        job = self.some("stopping")
        if self.wrong_proofs and job is not None:
            job.pending = []
            for payment in job.paid:
                payment.surprise = True
            job.stage = "proven"
            if self.say(lambda: self.desk.release(job.name, STOPPED)) is not None:
                job.stage = "ended"

    def pay_late(self) -> None:
        """Against all rules: a payment of a job that was over."""
        job = self.some("ended")
        if self.wrong_proofs and job is not None:
            self._complete(job, self.random.randint(1, 500), surprise=True)

    # -- the node, time, and who else turns the knobs ----------------------------------------------

    def send(self) -> None:
        """A payment sets out; all of a job together cost no more than was promised."""
        job = self.some("started")
        if job is not None:
            left_msat = job.amount_msat - job.paid_msat - sum(job.pending)
            job.pending.append(self.random.choice([left_msat, self.random.randint(0, left_msat)]))

    def arrive(self) -> None:
        job = self.some("started", "stopping")
        if job is not None and job.pending:
            self.arrive_at(job)

    def arrive_at(self, job: Job) -> None:
        """A payment of this job ends one way or the other."""
        cost_msat = job.pending.pop(self.random.randrange(len(job.pending)))
        if self.random.random() < 0.8:
            self._complete(job, cost_msat)

    def _complete(self, job: Job, cost_msat: int, surprise: bool = False) -> None:
        self.numbers += 1
        job.paid.append(Paid(self.true_s, self.desk.pay(self.numbers, cost_msat), surprise))
        job.all_told = False

    def elapse(self) -> None:
        passed_s = self.random.choice(
            [self.random.random(), 600.0, 3_600.0, 6 * 3_600.0, 23.5 * 3_600.0, DAY_S - 0.5]
        )
        self.true_s += passed_s
        self.desk.clock.now_s += passed_s

    def set_back(self) -> None:
        """The clock alone; what has been was as long ago as it was."""
        self.desk.clock.now_s -= self.random.choice([1.0, 3_600.0, 30 * 3_600.0])

    def configure(self) -> None:
        wallet_sats = self.random.choice([0, 0, 1_000])
        if self.fixed:
            self.desk.set(min_wallet_reserve=wallet_sats)
            return
        self.desk.set(
            daily_budget_sats=self.random.choice([0, 1, 1, 2, 3]),
            enable_proportional_budget=self.random.random() < 0.5,
            proportional_budget_pct=self.random.choice([0.0, 0.1, 0.5, 1.0]),
            min_wallet_reserve=wallet_sats,
        )

    def earn(self) -> None:
        self.desk.revenue_msat = self.random.choice([None, 0, 700, 2_500, 10_000])

    def effective_msat(self) -> int:
        """What the settings and the revenue allow, worked out anew."""
        config, revenue_msat = self.desk.config, self.desk.revenue_msat
        whole_msat = config.daily_budget_sats * 1_000
        if not config.enable_proportional_budget:
            return whole_msat
        if revenue_msat is None:
            return 0
        share_msat = round(config.proportional_budget_pct * 1_000) * revenue_msat // 1_000
        return sorted((whole_msat // 10, share_msat, whole_msat))[1]

    def accountant_dies(self) -> None:
        self.deaths += 1
        if self.random.random() < 0.03:
            self.desk.reopened()
        else:
            self.desk.reborn()


def told(desk: Desk, seed: int) -> BudgetStory:
    """A whole run; a broken law tells its seed and what happened before."""
    story = BudgetStory(desk, seed)
    try:
        story.run()
    except Exception as error:
        raise AssertionError(f"seed {seed}, after {story.trace}: {error!r}") from error
    return story
