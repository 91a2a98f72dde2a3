"""The Accountant's budget: who is answered what, and what the status shows of it."""

from __future__ import annotations

from collections.abc import Callable

from actors.budget_ledger import BudgetLedger, Revenue
from cl_revenue_ops.config import Config
from cl_revenue_ops.domain.budget.shown import in_status
from cl_revenue_ops.ports import BudgetStore, LedgerStore, Unavailable
from cl_revenue_ops.runtime.actor import Context
from messages.base import Answer, Command, Refusal
from messages.budget import (
    CommitSpend,
    ReadBudget,
    ReconcileReservations,
    ReleaseBudget,
    ReserveBudget,
)


class Budgeting:
    """Answers the commands of the budget and puts its state on the board after each.

    Where the store cannot be used they are refused and nothing else happens: who asks asks again.
    """

    def __init__(
        self, context: Context, store: BudgetStore, ledger: LedgerStore, revenue: Revenue
    ) -> None:
        self._context = context
        self._book = BudgetLedger(context.clock, context.log, store, ledger, revenue)
        self._begun = False

    def begin(self) -> None:
        """The store is open; blocks on it."""
        self._book.begin()
        self._begun = True
        self.show()

    def configured(self, config: Config) -> None:
        """These settings hold from now on."""
        self._book.configured(config)
        if self._begun:
            self.show()

    def reserve(self, message: ReserveBudget) -> None:
        """Answer with a Verdict."""
        self._serve(message, lambda: self._book.reserve(message))

    def commit(self, message: CommitSpend) -> None:
        """Answer with the BudgetState."""
        self._serve(message, lambda: self._book.commit(message))

    def release(self, message: ReleaseBudget) -> None:
        """Answer with the BudgetState."""
        self._serve(message, lambda: self._book.release(message))

    def reconcile(self, message: ReconcileReservations) -> None:
        """Answer with the BudgetState."""
        self._serve(message, lambda: self._book.reconcile(message))

    def read(self, message: ReadBudget) -> None:
        """Answer with the BudgetState."""
        self._serve(message, self._book.state)

    def show(self) -> None:
        """Put the state of the budget where the status finds it."""
        context = self._context
        if context.lease.is_current():
            body = in_status(self._book.state())
            context.board.put(f"{context.address} budget", context.clock.now(), body)

    def _serve(self, command: Command, act: Callable[[], object]) -> None:
        try:
            reply: Answer | Refusal = Answer(command.call_id, act())
        except ValueError as error:
            reply = Refusal(command.call_id, str(error), invalid=True)
        except Unavailable as error:
            reply = Refusal(command.call_id, f"the budget could not be stored: {error}")
        self._context.tell(command.reply_to, reply)
        self.show()
