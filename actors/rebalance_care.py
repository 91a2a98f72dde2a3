"""What the Rebalancer keeps in order: reservations at the start and on demand, late payments."""

from __future__ import annotations

from actors.dialogue import Ask, Steps
from actors.rebalance_jobs import RebalanceJobs
from actors.rebalance_life import ACCOUNTANT, BOOK_PATIENCE_S, NODE_READER
from actors.rebalance_search import SPENDER
from cl_revenue_ops.domain.rebalance import telling
from messages.budget import (
    BudgetState,
    CommitSpend,
    ReadBudget,
    ReconcileReservations,
    SelfPayment,
)
from messages.rebalance import OwnPayments, ReadOwnPayments


class RebalanceCare:
    """Tells the Accountant which jobs are open, and of payments that came after a job's end."""

    def __init__(self, jobs: RebalanceJobs) -> None:
        self._jobs = jobs
        self._reconciled = False
        self._from_index: int | None = None

    def reconcile(self) -> Steps:
        """Once a life, and before anything is reserved: only what may have started is open."""
        if not self._reconciled:
            yield from self._tell_open_jobs()
            self._reconciled = True

    def _tell_open_jobs(self) -> Steps:
        fields: dict[str, object] = {
            "spender": SPENDER,
            "open_jobs": self._jobs.may_have_started(),
        }
        return (yield Ask(ACCOUNTANT, ReconcileReservations, fields, BOOK_PATIENCE_S))

    def clear(self) -> Steps:
        """Release what belongs to no open job; returns what was released, and why not the rest."""
        before: BudgetState = yield Ask(ACCOUNTANT, ReadBudget, {}, BOOK_PATIENCE_S)
        after: BudgetState = yield from self._tell_open_jobs()
        rows = {job.job_id: (job.row, job.why, job.trouble, job.pending) for job in self._jobs}
        return telling.cleared(before, after, rows, SPENDER)

    def look_for_late(self) -> Steps:
        """Book payments that were completed after their job had ended."""
        candidates = self._jobs.late_candidates()
        if not candidates:
            self._from_index = None
            return
        if self._from_index is None:
            self._from_index = 1 + min(row.baseline for row in candidates.values())
        fields: dict[str, object] = {"start": self._from_index}
        found: OwnPayments = yield Ask(NODE_READER, ReadOwnPayments, fields, BOOK_PATIENCE_S)
        late: dict[int, list[SelfPayment]] = {}
        for payment in found.completed:
            if payment.amount_msat in candidates:
                late.setdefault(payment.amount_msat, []).append(payment)
        for amount_msat, payments in late.items():
            row = candidates[amount_msat]
            new = self._jobs.unknown_of(row, payments)
            if not new:
                continue
            spent: dict[str, object] = {"job_id": f"r{row.number}", "payments": new}
            yield Ask(ACCOUNTANT, CommitSpend, spent, BOOK_PATIENCE_S)
            self._jobs.take_late(row, new)
        self._from_index = found.next_index
