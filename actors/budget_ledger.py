"""What the Accountant promises to jobs and what they have spent: read, decided, stored, charged."""

from __future__ import annotations

from collections.abc import Callable

from cl_revenue_ops.config import Config
from cl_revenue_ops.domain.budget import rules
from cl_revenue_ops.domain.ledger import moves
from cl_revenue_ops.ports import BudgetStore, Clock, LedgerStore, Log, Unavailable
from messages.budget import (
    NEVER_STARTED,
    STOPPED,
    BudgetState,
    CommitSpend,
    ReconcileReservations,
    ReleaseBudget,
    Reservation,
    ReserveBudget,
    Verdict,
)

SOURCE = "listsendpays"

Revenue = Callable[[int, int], int | None]
"""Routing fees from a day to before another (days since 1970 in UTC), msat; None: not known."""


class BudgetLedger:
    """Keeps nothing in memory but the settings: whatever it answers was read from the disk, so
    that neither a crash nor a write of which nobody knows whether it took place can part the two.

    Blocks on the store. ValueError for what must not be asked, Unavailable where the store cannot
    be used; `reserve` answers those itself, for all of them refuse.
    """

    def __init__(
        self, clock: Clock, log: Log, store: BudgetStore, ledger: LedgerStore, revenue: Revenue
    ) -> None:
        self._clock = clock
        self._log = log
        self._store = store
        self._ledger = ledger
        self._revenue = revenue
        self._terms: rules.Terms | None = None

    def configured(self, config: Config) -> None:
        """These settings hold from now on; what was promised stays promised."""
        self._terms = rules.Terms.of(config)

    def begin(self) -> None:
        """Charge what a former incarnation recorded and did not come to charge."""
        self._charge()

    def state(self) -> BudgetState:
        """The budget now; where something is not known, shut, with the reason."""
        now_s = self._clock.now()
        try:
            rows = self._store.read(rules.day_begins(now_s))
            revenue_msat = self._mean_revenue(now_s)
        except Unavailable as error:
            return rules.state(now_s, self._terms, (), (), None, str(error))
        return rules.state(
            now_s, self._terms, rows.reservations, rows.ended, revenue_msat, rows.fault
        )

    def reserve(self, message: ReserveBudget) -> Verdict:
        """See messages.ReserveBudget."""
        state = self.state()
        if not message.job_id or not message.spender:
            return Verdict("a reservation needs a job and a spender", state)
        made = Reservation(message.job_id, message.spender, state.at_s, message.amount_msat, 0)
        try:
            held = self._store.reservation(message.job_id)
            if held is not None:
                return Verdict(_conflict(made, held.reservation, held.open), state)
            refusal = rules.refusal(state, message.amount_msat, message.liquid_msat, message.read_s)
            if refusal is None:
                self._store.reserve(made)
        except (Unavailable, ValueError) as error:
            return Verdict(f"the budget is shut: {error}", state)
        return Verdict(refusal, state if refusal else rules.with_promise(state, made))

    def commit(self, message: CommitSpend) -> BudgetState:
        """See messages.CommitSpend."""
        fault = rules.unsound(message.payments)
        if fault is not None or not message.job_id:
            raise ValueError(fault or "payments need a job")
        done = self._store.commit(message.job_id, message.payments)
        # Also where nothing is new: what was asked for before may not have come so far.
        self._charge()
        for payment in done.disputed:
            self._log.warn(
                f"budget: payment {payment.payment_hash} of job {message.job_id} is on record"
                " already, for another job or with another cost; it counts as it was first told"
            )
        if done.new:
            self._tell(message.job_id, done.job_msat)
        return self.state()

    def release(self, message: ReleaseBudget) -> BudgetState:
        """See messages.ReleaseBudget."""
        if message.proof not in (NEVER_STARTED, STOPPED):
            raise ValueError(f"{message.proof!r} is no proof that a job can spend no more")
        held = self._store.reservation(message.job_id)
        if held is not None and held.open:
            if message.proof == NEVER_STARTED and held.reservation.committed_msat:
                raise ValueError(f"job {message.job_id} has paid: it was started")
            self._store.end([message.job_id], message.proof, self._clock.now())
        return self.state()

    def reconcile(self, message: ReconcileReservations) -> BudgetState:
        """See messages.ReconcileReservations."""
        now_s = self._clock.now()
        rows = self._store.read(rules.day_begins(now_s))
        if rows.fault is not None:
            raise ValueError(rows.fault)
        over = [
            row
            for row in rows.reservations
            if row.spender == message.spender and row.job_id not in message.open_jobs
        ]
        for row in over:
            if row.committed_msat:
                self._log.warn(
                    f"budget: job {row.job_id} has paid {row.committed_msat} msat and is not among"
                    f" those that {message.spender} may have started; its reservation ends"
                )
        if over:
            self._store.end([row.job_id for row in over], NEVER_STARTED, now_s)
        return self.state()

    def _mean_revenue(self, now_s: float) -> int | None:
        today = int(now_s // rules.DAY_S)
        earned_msat = self._revenue(today - rules.REVENUE_DAYS, today)
        return None if earned_msat is None else earned_msat // rules.REVENUE_DAYS

    def _tell(self, job_id: str, paid_msat: int) -> None:
        held = self._store.reservation(job_id)
        promised_msat = held.reservation.reserved_msat if held is not None else 0
        if paid_msat > promised_msat:
            self._log.warn(
                f"budget: job {job_id} has cost {paid_msat} msat,"
                f" {promised_msat} msat were reserved for it"
            )
        elif held is not None and not held.open:
            self._log.info(f"budget: a late payment of job {job_id}, within what was reserved")

    def _charge(self) -> None:
        """Move the fees of our payments that the ledger took for another tool's.

        What the ledger reads from here on it charges to us itself, for it asks the store.
        """
        hashes = self._store.uncharged()
        if not hashes:
            return
        earlier = {name: self._ledger.of_payment(name) for name in hashes}
        self._ledger.book(moves.charged_anew(earlier, SOURCE, frozenset(hashes)))
        self._store.charged(hashes)


def _conflict(asked: Reservation, held: Reservation, still_open: bool) -> str | None:
    """Why the reservation that a job has is not the one that is asked for; None where it is."""
    if not still_open:
        return f"the reservation of job {asked.job_id} has ended; a new job needs a new name"
    if (held.spender, held.reserved_msat) != (asked.spender, asked.reserved_msat):
        return f"job {asked.job_id} has a reservation of {held.reserved_msat} msat already"
    return None
