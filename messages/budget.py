"""The protocol of the budget: what may be spent, what is promised, and what was spent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from messages.base import Command

NEVER_STARTED = "never started"
STOPPED = "stopped, and no payment of its own pending"
"""The two proofs that a job can spend no more; nothing else ends a reservation."""


class SelfPayment(NamedTuple):
    """One part of a completed payment of the node to itself, as the node lists it.

    `part` tells the parts of one payment_hash apart ("groupid.partid"). `amount_msat` arrived,
    `cost_msat` is what left beyond that: both exact. `completed_s` is the node's own time.
    """

    payment_hash: str
    part: str
    completed_s: int
    amount_msat: int
    cost_msat: int


class Reservation(NamedTuple):
    """What is promised to one job, and what its payments have cost so far, msat."""

    job_id: str
    spender: str
    opened_s: float
    reserved_msat: int
    committed_msat: int


class BudgetState(NamedTuple):
    """The day's budget as it stands at `at_s`; a day is the 24 hours before it. All in msat.

    `spent_msat` are payments of the day by jobs that have ended. An open reservation counts in
    full, whatever its age (`reserved_msat`), or by its payments where these are more.
    `effective_msat` is what the settings and the revenue allow; `revenue_msat_per_day` is the mean
    of the last seven whole days. `trouble` names what keeps the budget shut, if anything.
    """

    at_s: float
    configured_msat: int
    effective_msat: int
    revenue_msat_per_day: int
    spent_msat: int
    reserved_msat: int
    wallet_reserve_msat: int
    reservations: tuple[Reservation, ...]
    trouble: str | None = None

    @property
    def free_msat(self) -> int:
        """What a new reservation may have at most."""
        return max(0, self.effective_msat - self.spent_msat - self.reserved_msat)


class Verdict(NamedTuple):
    """The answer to ReserveBudget; `refusal` is None where it was granted, and then durable."""

    refusal: str | None
    state: BudgetState


@dataclass(frozen=True)
class ReserveBudget(Command):
    """To the Accountant: promise `amount_msat` to a job, before anything of it is sent (Verdict).

    `liquid_msat` is what the node holds, confirmed and unreserved on the chain and in usable
    channels, as read at `read_s`; None where that could not be read, which refuses. Asked again
    for a job that has a reservation, the same one is confirmed (a different amount is refused).
    """

    job_id: str
    spender: str
    amount_msat: int
    liquid_msat: int | None
    read_s: float


@dataclass(frozen=True)
class CommitSpend(Command):
    """To the Accountant: these payments belong to the job (BudgetState). Each counts once.

    Also after the reservation has ended: a late payment is booked and counts.
    """

    job_id: str
    payments: tuple[SelfPayment, ...]


@dataclass(frozen=True)
class ReleaseBudget(Command):
    """To the Accountant: the job can spend no more, by this proof (BudgetState). Idempotent."""

    job_id: str
    proof: str


@dataclass(frozen=True)
class ReconcileReservations(Command):
    """To the Accountant, at the boot of a spender: these are all of its jobs that may have started.

    Reservations of this spender for any other job end as NEVER_STARTED. Answers BudgetState.
    """

    spender: str
    open_jobs: tuple[str, ...]


@dataclass(frozen=True)
class ReadBudget(Command):
    """To the Accountant: BudgetState."""
