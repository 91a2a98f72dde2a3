"""How the Rebalancer keeps score: of every job what it brought, and whether to go on at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actors.dialogue import Ask, Steps
from actors.rebalance_sight import RebalanceSight
from cl_revenue_ops.domain.channels import usable
from cl_revenue_ops.domain.demand.stock_curve import value_at
from cl_revenue_ops.domain.rebalance import health
from cl_revenue_ops.domain.rebalance.health import Health
from cl_revenue_ops.domain.rebalance.plan import Plan
from cl_revenue_ops.domain.rebalance.score import (
    DAY_S,
    HORIZON_S,
    Opening,
    Scoreboard,
    Scored,
    StockReading,
)
from cl_revenue_ops.ports import Clock, JobRow
from messages.channels import ChannelFact
from messages.forwards import ForwardLogPage, LoggedForward, ReadForwardLog

ACCOUNTANT = "accountant"
SCORES, HEALTH, PLACE = "scores", "health", "scored up to"
NAMES = (SCORES, HEALTH, PLACE)
PAGE_ROWS = 2_000
PATIENCE_S = 45.0
KEPT_S = 400 * DAY_S


class RebalanceScore:
    """The scoreboard with its place in the log of forwards; kept with the jobs, by `pack`."""

    def __init__(self, clock: Clock, sight: RebalanceSight) -> None:
        self._clock = clock
        self._sight = sight
        self._board = Scoreboard()
        self._health = Health()
        self._place = self._stored = 0
        self._read: tuple[float, tuple[ChannelFact, ...]] | None = None
        self._facts: tuple[ChannelFact, ...] = ()

    # -- memory -------------------------------------------------------------------------------

    def pack(self) -> Mapping[str, str]:
        """What is to be kept, as texts by name."""
        return {
            SCORES: self._board.pack(),
            HEALTH: health.pack(self._health),
            PLACE: str(self._place),
        }

    def read(self, name: str, text: str) -> None:
        """Take in what `pack` gave; ValueError, TypeError or KeyError for anything else."""
        if name == SCORES:
            self._board.read(text)
        elif name == HEALTH:
            self._health = health.read(text)
        else:
            self._place = self._stored = int(text)

    def stored(self) -> None:
        """What `pack` gave last is on the disk."""
        self._stored = self._place

    # -- jobs ---------------------------------------------------------------------------------

    def open(self, row: JobRow, plan: Plan) -> None:
        """Begin to keep score of a job, or take in what more it has moved."""
        pair, total_msat = plan.pair, plan.order.total_msat
        amount_msat = max(1, pair.amount_msat)
        self._board.open(
            Opening(
                job_id=plan.order.job_id,
                peer_id=plan.peers[1],
                begun_s=row.begun_s,
                stock_msat=int(pair.record.get("stock_there_msat", 0)),
                moved_msat=row.moved_msat,
                cost_msat=row.cost_msat,
                source_ppm=pair.loss_msat / amount_msat * 1e6,
                destination_ppm=pair.value_msat / amount_msat * 1e6,
                expected_msat=pair.expected_msat * total_msat // amount_msat,
            )
        )

    def drop(self, job_id: str) -> None:
        """Forget a job that has moved nothing."""
        self._board.drop(job_id)

    def suspended(self) -> str | None:
        """Why the search moves nothing for a while: it has cost more than it brought."""
        return self._health.suspended(self._clock.now())

    @property
    def health(self) -> Health:
        """The last judgement."""
        return self._health

    def scores(self) -> dict[str, Scored]:
        """Every job that moved something, as it stands now, by its id."""
        found = self._board.scores(self._worth_ppm())
        return {scored.refill.opening.job_id: scored for scored in found}

    # -- what was sold ------------------------------------------------------------------------

    def seen(self, at_s: float, facts: tuple[ChannelFact, ...]) -> None:
        """The channels as they were read; they count at the next catching up, when every forward
        of before is in the log."""
        self._read, self._facts = (at_s, facts), facts

    def catch_up(self) -> Steps:
        """Take in the forwards since the last time, and judge."""
        now_s = self._clock.now()
        # Without a job to keep score of, what was forwarded before now is of no interest.
        old_s = HORIZON_S if self._board.pack() != Scoreboard().pack() else 60.0
        before, rows = self._read, list[LoggedForward]()
        place, last = self._place, False
        while not last:
            fields: dict[str, object] = {
                "after_seq": place,
                "limit": PAGE_ROWS,
                "not_before_s": now_s - old_s,
                "stored_seq": self._stored,
            }
            page: ForwardLogPage = yield Ask(ACCOUNTANT, ReadForwardLog, fields, PATIENCE_S)
            rows.extend(page.rows)
            place, last = page.next_seq, page.last
        peers, worth = self._peers(), self._worth_ppm()
        self._board.advance(rows, peers, [] if before is None else _readings(*before))
        self._place = place
        self._read = None if self._read is before else self._read
        self._board.close(now_s, worth)
        self._board.forget(now_s - KEPT_S)
        self._health = health.look(self._health, self._board.scores(worth), now_s)

    def _peers(self) -> dict[str, str]:
        channels = self._sight.channels
        entries = () if channels is None else channels.channels
        return {scid: entry.peer_id for entry in entries for scid in entry.scids}

    def _worth_ppm(self) -> dict[str, float]:
        """What one more sat is worth at each peer, at the stock that was read last."""
        curves = self._sight.curves
        if curves is None:
            return {}
        stock: dict[str, int] = {}
        for fact in self._facts:
            above = max(0, fact.local_msat - fact.our_reserve_msat)
            stock[fact.peer_id] = stock.get(fact.peer_id, 0) + above
        return {
            peer_id: value_at(curve.knots, stock.get(peer_id, curve.local_msat))
            for peer_id, curve in curves.curves.items()
        }


def _readings(at_s: float, facts: Sequence[ChannelFact]) -> list[StockReading]:
    """The stock of every peer without an HTLC under way, all of whose channels can be told."""
    stock: dict[str, int] = {}
    moving: set[str] = set()
    for fact in facts:
        if fact.htlcs_in or fact.htlcs_out or not usable(fact):
            moving.add(fact.peer_id)
        above = max(0, fact.local_msat - fact.our_reserve_msat)
        stock[fact.peer_id] = stock.get(fact.peer_id, 0) + above
    return [
        StockReading(peer_id, at_s, msat)
        for peer_id, msat in stock.items()
        if peer_id not in moving
    ]
