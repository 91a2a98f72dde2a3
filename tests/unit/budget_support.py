"""The budget's ledger on a real file, with time, settings and revenue in the hand of a test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from actors.budget_ledger import BudgetLedger
from cl_revenue_ops.config import default_config
from cl_revenue_ops.storage.budget_store import SqliteBudgetStore
from cl_revenue_ops.storage.database import Database
from cl_revenue_ops.storage.ledger_store import SqliteLedgerStore
from messages.budget import (
    STOPPED,
    BudgetState,
    CommitSpend,
    ReconcileReservations,
    ReleaseBudget,
    ReserveBudget,
    SelfPayment,
    Verdict,
)
from tests.unit.storage_support import NETWORK, NODE, RevocableLease, SetClock, database

START_S = 1_700_000_000.0
RICH_MSAT = 10**12
CALL = ("call", "asker", 1e12)


class Lines:
    """ports.Log that keeps what it is told."""

    def __init__(self) -> None:
        self.infos: list[str] = []
        self.warnings: list[str] = []

    def info(self, text: str) -> None:
        self.infos.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


class Desk:
    """One budget; `revenue_msat` is that of each day, None while it is not known."""

    def __init__(self, folder: Path, lease: Callable[[], RevocableLease] = RevocableLease) -> None:
        self.folder = folder
        self._make_lease = lease
        self.clock = SetClock(START_S)
        self.log = Lines()
        self.revenue_msat: int | None = 0
        self.asked_days: list[tuple[int, int]] = []
        self.config = replace(
            default_config(), daily_budget_sats=1, min_wallet_reserve=0,
            enable_proportional_budget=False,
        )  # fmt: skip
        self.base: Database
        self.book: BudgetLedger
        self._open()

    def _open(self) -> None:
        self.base = database(self.folder)
        self.base.open(NODE, NETWORK)
        self.reborn()

    def reborn(self) -> None:
        """A new incarnation on the open file."""
        self.lease = self._make_lease()
        self.store = SqliteBudgetStore(self.base, self.lease)
        self.ledger = SqliteLedgerStore(self.base, self.lease)
        self.book = BudgetLedger(self.clock, self.log, self.store, self.ledger, self._revenue)
        self.book.configured(self.config)
        self.book.begin()

    def reopened(self) -> None:
        """A new process."""
        self.base.close()
        self._open()

    def set(self, **changes: Any) -> None:
        self.config = replace(self.config, **changes)
        self.book.configured(self.config)

    def _revenue(self, from_day: int, until_day: int) -> int | None:
        self.asked_days.append((from_day, until_day))
        return None if self.revenue_msat is None else self.revenue_msat * (until_day - from_day)

    def reserve(
        self,
        job_id: str,
        amount_msat: int,
        liquid_msat: int | None = RICH_MSAT,
        age_s: float = 0.0,
        spender: str = "rebalancer",
    ) -> Verdict:
        read_s = self.clock.now() - age_s
        return self.book.reserve(
            ReserveBudget(*CALL, job_id, spender, amount_msat, liquid_msat, read_s)
        )

    def pay(self, number: int, cost_msat: int, at_s: float | None = None) -> SelfPayment:
        """A payment as the node would list it."""
        completed_s = int(self.clock.now() if at_s is None else at_s)
        return SelfPayment(f"{number:064x}", "1.0", completed_s, 100_000, cost_msat)

    def commit(self, job_id: str, *payments: SelfPayment) -> BudgetState:
        return self.book.commit(CommitSpend(*CALL, job_id, payments))

    def release(self, job_id: str, proof: str = STOPPED) -> BudgetState:
        return self.book.release(ReleaseBudget(*CALL, job_id, proof))

    def reconcile(self, *open_jobs: str, spender: str = "rebalancer") -> BudgetState:
        return self.book.reconcile(ReconcileReservations(*CALL, spender, open_jobs))
