"""What rebalancing needs of the world: an executor of jobs, and the memory of its jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from cl_revenue_ops.ports.errors import PortError
from cl_revenue_ops.ports.stores import Store
from messages.budget import SelfPayment
from messages.rebalance import ExecutorJob, JobOrder, StartOutcome


class ExecutorAbsent(PortError):
    """Nobody is there who could carry out a rebalance, or one too old; the message says which."""


class Executor(Protocol):
    """Carries out jobs one channel at a time; `revenue-ops-rebalancer` names one of them.

    Every method blocks, some for minutes behind a stop that waits for payments, and raises
    ExecutorAbsent, Unavailable, TimedOut, CircuitOpen, NodeRefused or MalformedReply.
    """

    name: str

    def version(self) -> str:
        """Its version; ExecutorAbsent where it is not there or below the minimum."""
        ...

    def jobs(self) -> tuple[ExecutorJob, ...]:
        """Every job that it has, ours or not; finished ones too while it shows them."""
        ...

    def start(self, order: JobOrder) -> StartOutcome:
        """Begin a job. Raises nothing but StaleGeneration: what may have begun is MAYBE_STARTED."""
        ...

    def stop(self, scid: str) -> None:
        """Stop and forget the job of one channel, and wait until both are answered; idempotent.

        Works while the write gate is closed: it only ends what costs.
        """
        ...

    def stop_without_waiting(self, scid: str) -> None:
        """Ask for the stop on the way out: sent, its answer not waited for. Raises nothing but
        StaleGeneration."""
        ...

    def touched(self) -> None:
        """It may have come or gone just now; asks nobody and raises nothing."""
        ...


PLANNED, STARTING, RUNNING, ENDING, ENDED = "planned", "starting", "running", "ending", "ended"
"""The life of a job. From STARTING on it may have cost something, until it is ENDED by proof."""


class JobRow(NamedTuple):
    """A job as it is kept; every step is on the disk before anything that follows from it.

    `number` counts jobs for ever; the job's id is f"r{number}". `plan` is the whole record of the
    decision as JSON (order, arithmetic, values expected), `baseline` the index of the node's
    newest payment before the start (-1 until it is known: such a job has started nothing),
    `ended_s` and `outcome` are None while it lives. `moved_msat` and `cost_msat` are sums over its
    payments.
    """

    number: int
    state: str
    begun_s: float
    source_channel_id: str
    channel_id: str
    scid: str
    payment_msat: int
    baseline: int
    plan: str
    ended_s: float | None
    outcome: str | None
    moved_msat: int
    cost_msat: int


class RebalanceMemory(NamedTuple):
    """What was stored: every job that has not ended, the next number, and what was learned."""

    open_jobs: tuple[JobRow, ...]
    next_number: int
    learned: Mapping[str, str]


class RebalanceStore(Store, Protocol):
    """Jobs, what was learned of routes, breakers and the scoreboard."""

    def load(self) -> RebalanceMemory: ...

    def save(
        self,
        jobs: Sequence[JobRow],
        learned: Mapping[str, str | None],
        payments: Mapping[str, Sequence[SelfPayment]],
    ) -> None:
        """Insert or update jobs, texts by name (None deletes), payments by job id; one transaction
        that survives a loss of power. Payments are known by hash and part."""
        ...

    def jobs_since(self, begun_s: float, limit: int) -> tuple[JobRow, ...]:
        """The newest jobs begun at or after a time, newest first."""
        ...

    def payments_of(self, number: int) -> tuple[SelfPayment, ...]:
        """The payments of one job that were stored."""
        ...
