"""How the Rebalancer searches, plans and reserves: by its rhythm, by command, or by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from actors.dialogue import Ask, Refused, Steps
from actors.rebalance_jobs import LiveJob, RebalanceJobs
from actors.rebalance_life import ACCOUNTANT, BOOK_PATIENCE_S, NODE_READER, RebalanceLife
from actors.rebalance_score import RebalanceScore
from actors.rebalance_sight import RebalanceSight
from cl_revenue_ops.config import Config
from cl_revenue_ops.domain.rebalance import telling, telling_debug
from cl_revenue_ops.domain.rebalance.desk import RebalanceDesk
from cl_revenue_ops.domain.rebalance.facts import Pair, Situation
from cl_revenue_ops.domain.rebalance.plan import BY_HAND, NoPlan
from cl_revenue_ops.domain.rebalance.telling import Ground
from cl_revenue_ops.runtime.actor import Context
from messages.budget import BudgetState, ReadBudget, ReserveBudget, Verdict
from messages.channels import ChannelFact
from messages.rebalance import MoneyView, ReadMoney, RebalanceByHand

SPENDER = "rebalancer"
MOST_JOBS = 3
MONEY_PATIENCE_S = 45.0


class Invalid(Exception):
    """The arguments of a command are at fault, by what the node says now."""


class Reading(NamedTuple):
    """What was read for one search."""

    money: MoneyView
    facts: tuple[ChannelFact, ...]
    budget: BudgetState


class RebalanceSearch:
    """Asks who knows, lets the desk choose, and begins what it chose; `closed` says why nothing
    may be moved now."""

    def __init__(
        self,
        context: Context,
        jobs: RebalanceJobs,
        sight: RebalanceSight,
        desk: RebalanceDesk,
        life: RebalanceLife,
        score: RebalanceScore,
        closed: Callable[[], str | None],
        config: Callable[[], Config],
    ) -> None:
        self._context = context
        self._jobs = jobs
        self._sight = sight
        self._desk = desk
        self._life = life
        self._score = score
        self._closed = closed
        self._config = config

    # -- reading ------------------------------------------------------------------------------

    def read(self) -> Steps:
        """Read money, channels, budget and executor; Refused where one of the first three fails."""
        money, facts = yield Ask(NODE_READER, ReadMoney, {}, MONEY_PATIENCE_S)
        budget = yield Ask(ACCOUNTANT, ReadBudget, {}, BOOK_PATIENCE_S)
        yield from self._sight.look_again()
        self._desk.know(facts)
        self._score.seen(money.at_s, facts)
        return Reading(money, facts, budget)

    def situation(self, reading: Reading, job: LiveJob | None = None) -> Situation:
        """What the desk is told; to weigh a job again, without that job's own claims."""
        budget = reading.budget
        free_msat = 0 if budget.trouble is not None else budget.free_msat
        used = self._jobs.used
        if job is not None:
            used = used.difference(job.ends)
            free_msat = max(free_msat, job.plan.pair.reserve_msat)
        return self._sight.situation(reading.facts, self._config(), free_msat, used, None)

    def reasons(self, reading: Reading, *, by_hand: bool = False) -> list[str]:
        """In words, everything that keeps anything from being moved now."""
        budget, money = reading.budget, reading.money
        liquid_msat = money.liquid_msat
        found = [self._closed(), self._sight.executor_trouble(), budget.trouble]
        if not by_hand:
            found.append(self._score.suspended())
        if liquid_msat is None:
            found.append(f"what the node holds is not known: {money.trouble}")
        elif liquid_msat < budget.wallet_reserve_msat:
            found.append(
                f"the node holds {liquid_msat // 1_000} sats, and"
                f" {budget.wallet_reserve_msat // 1_000} are to be kept (min_wallet_reserve)"
            )
        if budget.trouble is None and budget.free_msat <= 0:
            found.append("nothing is left of the day's budget")
        if len(self._jobs) >= MOST_JOBS:
            found.append(f"{MOST_JOBS} jobs are under way")
        return [reason for reason in found if reason is not None]

    # -- searching ----------------------------------------------------------------------------

    def search(self, channel_id: str | None, origin: str) -> Steps:
        """Look for moves and begin the best; returns what was begun, or why nothing was."""
        reading = yield from self.read()
        reasons = self.reasons(reading)
        survey = self._desk.survey(self.situation(reading), channel_id)
        ground = self._ground(reading, reasons)
        room = 1 if channel_id is not None else MOST_JOBS - len(self._jobs)
        chosen = survey.chosen[: max(room, 1)]
        if reasons:
            would = [telling.would_move(ground, pair, reasons) for pair in chosen]
            if would:
                self._jobs.note_would(would)
            return telling.cycle(ground, survey, [], [], would, channel_id)
        begun: list[dict[str, object]] = []
        refused: list[str] = []
        free_msat = reading.budget.free_msat
        for pair in chosen:
            job = yield from self._begin(reading, pair, origin, False, free_msat)
            if isinstance(job, LiveJob):
                free_msat -= job.plan.reserve_msat
                begun.append(telling.begun(ground, job.row, job.plan))
            else:
                refused.append(job)
        return telling.cycle(ground, survey, begun, refused, [], channel_id)

    def by_hand(self, order: RebalanceByHand) -> Steps:
        """Begin the move that an operator names; Invalid or Refused where it is not begun."""
        reading = yield from self.read()
        facts = {fact.channel_id: fact for fact in reading.facts}
        source, destination = facts.get(order.from_channel_id), facts.get(order.to_channel_id)
        if source is None or destination is None:
            raise Refused("one of the channels is not open any more")
        _require_room(order.amount_msat, source, destination)
        foreign = self._foreign(source, destination)
        if foreign is not None:
            raise Refused(foreign)
        pair = self._desk.by_hand(
            self.situation(reading),
            order.from_channel_id,
            order.to_channel_id,
            order.amount_msat,
            order.max_fee_msat,
            order.force,
        )
        reasons = self.reasons(reading, by_hand=True)
        ground = self._ground(reading, reasons)
        if pair.refusal is not None:
            raise Refused(f"not moved: {telling.refused(pair)}")
        if reasons:
            would = telling.would_move(ground, pair, reasons)
            self._jobs.note_would([would])
            raise Refused(f"not moved: {'; '.join(reasons)}; {would['message']}")
        free_msat = reading.budget.free_msat
        job = yield from self._begin(reading, pair, BY_HAND, order.force, free_msat)
        if not isinstance(job, LiveJob):
            raise Refused(f"not moved: {job}")
        return telling.initiated(ground, job.row, job.plan)

    def explain(self, channel_id: str | None) -> Steps:
        """Every pair with its arithmetic and verdict; nothing is begun."""
        reading = yield from self.read()
        survey = self._desk.survey(self.situation(reading), channel_id)
        ground = self._ground(reading, self.reasons(reading))
        rows = [(job.row, job.plan, job.trouble) for job in self._jobs]
        resting = self._desk.resting(self._context.clock.now())
        return telling_debug.debug(ground, survey, rows, resting, channel_id)

    def _ground(self, reading: Reading, reasons: list[str]) -> Ground:
        config, sight = self._config(), self._sight
        return Ground(
            now_s=self._context.clock.now(),
            facts={fact.channel_id: fact for fact in reading.facts},
            flows=self.situation(reading).flows,
            money=reading.money,
            budget=reading.budget,
            view=sight.view,
            executor_trouble=sight.executor_trouble(),
            reasons=tuple(reasons),
            dry_run=config.dry_run,
            min_profit_sats=config.rebalance_min_profit,
            curves=sight.curves,
        )

    # -- beginning ----------------------------------------------------------------------------

    def _begin(
        self, reading: Reading, pair: Pair, origin: str, force: bool, free_msat: int
    ) -> Steps:
        """Plan and reserve; returns the job, which goes on by itself, or in words why not."""
        facts = {fact.channel_id: fact for fact in reading.facts}
        source, destination = facts[pair.source_channel_id], facts[pair.channel_id]
        try:
            job = self._jobs.plan(pair, source, destination, origin, force, free_msat)
        except NoPlan as error:
            reserved_msat = reading.budget.reserved_msat
            held = f"; {reserved_msat // 1_000} sats are reserved for jobs under way"
            return f"{error}{held if reserved_msat else ''}"
        try:
            why = yield from self._reserve(job, reading.money)
        except Refused as refusal:
            # Perhaps it was granted all the same: the next look releases it and lets the job go.
            job.why = f"its budget could not be reserved: {refusal}"
            return job.why
        finally:
            job.reserving = False
        if why is not None:
            self._jobs.end(job, f"not begun: {why}")
            return why
        job.granted_s = self._context.clock.monotonic()

        def weigh(job: LiveJob, anew: bool) -> Steps:
            again = reading
            if anew:
                again = yield from self.read()
            return self._weigh(job, again)

        job.dialogue.begin(self._life.guarded(job, self._life.start(job, weigh)))
        return job

    def _reserve(self, job: LiveJob, money: MoneyView) -> Steps:
        fields: dict[str, object] = {
            "job_id": job.job_id,
            "spender": SPENDER,
            "amount_msat": job.plan.reserve_msat,
            "liquid_msat": money.liquid_msat,
            "read_s": money.at_s,
        }
        verdict: Verdict = yield Ask(ACCOUNTANT, ReserveBudget, fields, BOOK_PATIENCE_S)
        return verdict.refusal

    def _weigh(self, job: LiveJob, reading: Reading) -> str | None:
        facts = {fact.channel_id: fact for fact in reading.facts}
        source, destination = (facts.get(name) for name in job.ends)
        if source is None or destination is None:
            return "one of its channels is not open any more"
        foreign = self._foreign(source, destination)
        if foreign is not None:
            return foreign
        situation = self.situation(reading, job)
        return self._desk.recheck(situation, job.plan.pair, force=job.plan.force)

    def _foreign(self, source: ChannelFact, destination: ChannelFact) -> str | None:
        ours = self._jobs.scids
        return self._sight.foreign(destination.scid, ours) or self._sight.foreign(source.scid, ours)


def _require_room(amount_msat: int, source: ChannelFact, destination: ChannelFact) -> None:
    """Raise Invalid where the amount cannot be sent or received, whatever it is worth."""
    for fact, most_msat, verb in (
        (source, source.spendable_msat, "send"),
        (destination, destination.receivable_msat, "receive"),
    ):
        if amount_msat > most_msat:
            raise Invalid(
                f"channel {fact.scid or fact.channel_id} can {verb} {most_msat // 1_000} sats at"
                f" most, not {amount_msat // 1_000}"
            )
