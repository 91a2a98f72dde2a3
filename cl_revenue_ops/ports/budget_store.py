"""The repository of the budget: reservations, and the payments of the jobs that they are for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from cl_revenue_ops.ports.stores import Store
from messages.budget import Reservation, SelfPayment


class BudgetRows(NamedTuple):
    """What counts: open reservations, oldest first, and payments of all other jobs.

    `fault` names a row that could not be understood; then the rest is not whole.
    """

    reservations: tuple[Reservation, ...]
    ended: tuple[SelfPayment, ...]
    fault: str | None


class StoredReservation(NamedTuple):
    """A reservation that was made once; `open` until it was proven that the job is over."""

    reservation: Reservation
    open: bool


class Committed(NamedTuple):
    """What came of a commit: the payments that were new, those that are on record otherwise (for
    another job, or with another cost), and what the job's payments cost together."""

    new: tuple[SelfPayment, ...]
    disputed: tuple[SelfPayment, ...]
    job_msat: int


class BudgetStore(Store, Protocol):
    """Each change is one transaction that survives a loss of power; each may be repeated."""

    def read(self, since_s: int) -> BudgetRows:
        """What counts, with payments of ended jobs completed at `since_s` or later."""
        ...

    def reservation(self, job_id: str) -> StoredReservation | None:
        """The reservation of a job, open or not."""
        ...

    def reserve(self, reservation: Reservation) -> None:
        """Record a reservation; one for the same job stays as it is."""
        ...

    def commit(self, job_id: str, payments: Sequence[SelfPayment]) -> Committed:
        """Record payments of a job, each once by its hash and part."""
        ...

    def end(self, job_ids: Sequence[str], proof: str, at_s: float) -> None:
        """Record that these reservations are over; those that were stay as they are.

        What ended long before `at_s` and never cost anything may be forgotten.
        """
        ...

    def ours(self, payment_hashes: Iterable[str]) -> frozenset[str]:
        """Those of these hashes that a job of ours has paid."""
        ...

    def uncharged(self) -> tuple[str, ...]:
        """Hashes of payments that `charged` was not told of."""
        ...

    def charged(self, payment_hashes: Sequence[str]) -> None:
        """The ledger has what there was of these payments in the right account."""
        ...
