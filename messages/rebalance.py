"""The protocol of rebalancing: what stock is worth, jobs, their executor, and what clients ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from messages.base import Command, Fact, Snapshot, Tick
from messages.budget import SelfPayment


class StockCurve(NamedTuple):
    """What one more local sat is worth at a peer, by how much there is: pi at each stock.

    `knots` are (local_msat above our reserve, pi in ppm), stock rising and pi falling; between
    two it is a line, beyond the ends it stays. `local_msat` of `capacity_msat` (both above our
    reserves) was there when it was made. `price_ppm` is what we ask there now, `sales_msat_per_day`
    what is expected to leave at that price, `rivals_ppm` what others ask into the peer (None: not
    heard), `evidence` the fading number of forwards that the belief rests on.
    """

    peer_id: str
    local_msat: int
    capacity_msat: int
    knots: tuple[tuple[int, float], ...]
    price_ppm: int
    sales_msat_per_day: int
    others_ppm: int
    evidence: float


@dataclass(frozen=True)
class StockCurves(Snapshot):
    """The curve of every peer priced in the last fee cycle, by peer_id; `level_ppm` is the node's
    price level."""

    at_s: float
    level_ppm: float
    curves: Mapping[str, StockCurve]


# -- jobs and who carries them out -----------------------------------------------------------------


class JobOrder(NamedTuple):
    """What an executor is asked for: fill `scid` from the `candidates`, at most so dearly.

    Payments of exactly `payment_msat` (whole satoshis; by this amount they are recognised as the
    job's) until `total_msat`, a multiple of it, has moved. No payment costs more than `max_ppm` of
    its amount. A candidate keeps at least `keep_msat` of local balance, as far as the executor
    looks in time: `total_msat` is the only bound that is sure, but for late payments, which an
    executor may take for failed and pay for again.
    """

    job_id: str
    scid: str
    candidates: tuple[str, ...]
    payment_msat: int
    total_msat: int
    max_ppm: int
    keep_msat: int
    max_hops: int


class ExecutorJob(NamedTuple):
    """A job that the executor has now: ours or anybody's; `words` is how it says it stands.

    `persistent` jobs outlive the executor's restart. `idle` says that it moves nothing any more or
    for the time being.
    """

    scid: str
    persistent: bool
    idle: bool
    words: str


class ExecutorView(NamedTuple):
    """Who carries rebalances out: `version` None where it is absent or too old, and why."""

    name: str
    version: str | None
    trouble: str | None
    jobs: tuple[ExecutorJob, ...]


STARTED, NOT_STARTED, MAYBE_STARTED = "started", "not started", "maybe started"


class StartOutcome(NamedTuple):
    """What came of StartJob: only NOT_STARTED is sure that nothing was begun; `why` in words."""

    outcome: str
    why: str


@dataclass(frozen=True)
class ReadExecutor(Command):
    """To the rebalance runner: ExecutorView. May wait for minutes behind a stop."""


@dataclass(frozen=True)
class StartJob(Command):
    """To the rebalance runner: StartOutcome. Goes through the write gate."""

    order: JobOrder


@dataclass(frozen=True)
class StopJob(Command):
    """To the rebalance runner: stop and delete the job of this scid; answers None once both have
    been answered by the executor, or where it has no such job; else a refusal."""

    scid: str


@dataclass(frozen=True)
class ExecutorTouched(Fact):
    """A hint: the executor of this name has come or gone; its once-jobs are gone in either case."""

    name: str
    came: bool


class OwnPayments(NamedTuple):
    """The node's payments to itself since an index: those completed, and how many are pending.

    `next_index` is where the next reading begins: no payment below it is pending. `pending` holds
    the amounts (msat) of those that are.
    """

    completed: tuple[SelfPayment, ...]
    pending: tuple[int, ...]
    next_index: int


@dataclass(frozen=True)
class ReadPaymentIndex(Command):
    """To the node reader: the index of the node's newest payment of its own (int, 0: none)."""


@dataclass(frozen=True)
class ReadOwnPayments(Command):
    """To the node reader: OwnPayments with an index from `start` on."""

    start: int


@dataclass(frozen=True)
class PaymentSeen(Fact):
    """A hint: a payment of the node has been completed, or has failed (then with no amount told).

    It is one to itself where `destination` is its own id; only ReadOwnPayments says what holds.
    """

    destination: str
    amount_msat: int | None
    completed: bool


class MoneyView(NamedTuple):
    """What the node holds at `at_s`: `liquid_msat` confirmed and unreserved on the chain, and in
    usable channels; None where a part could not be read, and why."""

    at_s: float
    onchain_msat: int | None
    channels_msat: int | None
    trouble: str | None

    @property
    def liquid_msat(self) -> int | None:
        """Both together, None where one is not known."""
        if self.onchain_msat is None or self.channels_msat is None:
            return None
        return self.onchain_msat + self.channels_msat


@dataclass(frozen=True)
class ReadMoney(Command):
    """To the node reader: (MoneyView, ChannelReading.facts) as of now."""


# -- the Rebalancer --------------------------------------------------------------------------------


@dataclass(frozen=True)
class RebalanceTick(Tick):
    """Time for a search for rebalances."""


@dataclass(frozen=True)
class JobsTick(Tick):
    """Time to look at the jobs that run, and at answers that are overdue."""


@dataclass(frozen=True)
class RebalanceNow(Command):
    """Search now; into one channel where `channel_id` is given (the best one is then started)."""

    channel_id: str | None


@dataclass(frozen=True)
class RebalanceByHand(Command):
    """Move `amount_msat` from one channel to another; answered as soon as it is begun.

    `max_fee_msat` None: what it is worth. `force` overrules expected value, breaker and policy, and
    never the budget, the wallet reserve or the gate.
    """

    from_channel_id: str
    to_channel_id: str
    amount_msat: int
    max_fee_msat: int | None
    force: bool


@dataclass(frozen=True)
class ExplainRebalances(Command):
    """Every candidate pair with its arithmetic and verdict; of one channel where it is given."""

    channel_id: str | None


@dataclass(frozen=True)
class ClearReservations(Command):
    """Release every reservation whose job is proven ended, and name the rest."""


@dataclass(frozen=True)
class RebalanceReport(Command):
    """The scoreboard of jobs begun within the last days; None: all. `text` asks for tables."""

    window_days: int | None
    text: bool = False


@dataclass(frozen=True)
class RebalanceEnded(Fact):
    """A job has ended: what it moved and what that cost."""

    job_id: str
    source_channel_id: str
    channel_id: str
    moved_msat: int
    cost_msat: int
    at_s: float
