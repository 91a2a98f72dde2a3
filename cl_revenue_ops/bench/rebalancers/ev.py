"""The plugin's rebalancing rule on the bench: its own desk, budget and jobs over its own prices."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from cl_revenue_ops.bench.policy import (
    BUSY,
    NO_CHEAP_ROUTE,
    FeePolicy,
    NodeView,
    Refused,
    Settled,
)
from cl_revenue_ops.bench.routes import TrueRoutes
from cl_revenue_ops.bench.rule import Rule, fact_of
from cl_revenue_ops.domain.fees.decide import parameters_of
from cl_revenue_ops.domain.rebalance.desk import RebalanceDesk
from cl_revenue_ops.domain.rebalance.facts import Pair, Result, Situation, Terms
from cl_revenue_ops.domain.rebalance.routes import NODES, RouteBook
from cl_revenue_ops.simnode.prices import DAY_S

STEP_S = 600.0
JOB_S = 7_200.0
IDLE_LOOKS = 12
TRIES = 4
WEEK_DAYS = 7


class KnownRoutes(RouteBook):
    """Knows what every route costs and carries at this moment, where others learn it."""

    def __init__(self, routes: TrueRoutes) -> None:
        super().__init__()
        self._routes = routes
        self.places: dict[str, int] = {}

    def costs_ppm(
        self, source: str, destination: str, others_ppm: float, least_ppm: float, now_s: float
    ) -> tuple[float, ...]:
        """Return the one price that there is."""
        ends = self.places[source], self.places[destination]
        return (float(self._routes.route_ppm(*ends, now_s)),) * NODES

    def success(self, source: str, destination: str, amount_msat: int, now_s: float) -> float:
        """Return whether the route carries so much: it is tried again until it does."""
        ends = self.places[source], self.places[destination]
        return 1.0 if amount_msat <= self._routes.route(*ends, now_s).room_msat else 0.0


@dataclass
class _Job:
    pair: Pair
    begun_s: float
    source: int
    into: int
    peers: tuple[str, str]
    moved_msat: int = 0
    cost_msat: int = 0
    payments: int = 0
    idle: int = 0
    words: str = ""


class ExpectedValue:
    """The plugin's rule: beside its own fee rule, whose prices say what stock is worth.

    The budget is the plugin's: the trailing day's payments and what is promised to open jobs stay
    within what settings and revenue allow.
    """

    name = "ev"

    def __init__(self, fees: FeePolicy, routes: TrueRoutes | None = None) -> None:
        if not isinstance(fees, Rule):
            raise ValueError("ev needs the value of stock, which only the plugin's own rule has")
        self._rule = fees
        self.interval_s = STEP_S
        self.desk = RebalanceDesk()
        if routes is not None:
            self.desk.routes = KnownRoutes(routes)
        self._terms = Terms.of(fees.config)
        self._jobs: list[_Job] = []
        self._spent: deque[tuple[float, int]] = deque()
        self._earned: deque[tuple[float, int]] = deque()
        self._next_search_s = 0.0

    def begin(self, node: NodeView) -> None:
        """Wait for the first search."""
        self._next_search_s = node.now_s + float(self._rule.config.rebalance_interval)

    def settled(self, forward: Settled, node: NodeView) -> None:
        """Count the revenue that the budget follows."""
        self._earned.append((forward.at_s, forward.fee_msat))

    def refused(self, forward: Refused, node: NodeView) -> None:
        """Nothing is done about a single forward."""

    def tick(self, node: NodeView) -> None:
        """Go on with the jobs, and search when that is due."""
        for job in list(self._jobs):
            self._go_on(job, node)
        if node.now_s >= self._next_search_s:
            self._next_search_s = node.now_s + float(self._rule.config.rebalance_interval)
            self._search(node)

    # -- money --------------------------------------------------------------------------------

    def _free_msat(self, now_s: float) -> int:
        while self._spent and self._spent[0][0] <= now_s - DAY_S:
            self._spent.popleft()
        while self._earned and self._earned[0][0] <= now_s - WEEK_DAYS * DAY_S:
            self._earned.popleft()
        config = self._rule.config
        budget_msat = config.daily_budget_sats * 1_000
        if config.enable_proportional_budget:
            per_day = sum(fee for _, fee in self._earned) / WEEK_DAYS
            share = config.proportional_budget_pct * per_day
            budget_msat = min(budget_msat, int(max(share, 0.1 * budget_msat)))
        open_msat = sum(job.pair.reserve_msat for job in self._jobs)
        return max(0, budget_msat - open_msat - sum(cost for _, cost in self._spent))

    # -- jobs ---------------------------------------------------------------------------------

    def _search(self, node: NodeView) -> None:
        views = node.channels()
        facts = tuple(fact_of(view) for view in views)
        index = {fact.channel_id: view.index for fact, view in zip(facts, views, strict=True)}
        peers = {fact.channel_id: fact.peer_id for fact in facts}
        if isinstance(self.desk.routes, KnownRoutes):
            self.desk.routes.places = {view.peer_id: view.index for view in views}
        busy = frozenset(
            name for job in self._jobs for name in (job.pair.source_channel_id, job.pair.channel_id)
        )
        book, parameters = self._rule.book, parameters_of(self._rule.config)
        limits = book.limits(facts, parameters, node.now_s)
        situation = Situation(
            node.now_s,
            facts,
            book.desk.stock_curves(facts, node.now_s, limits),
            self._terms,
            self._free_msat(node.now_s),
            busy=busy,
        )
        for pair in self.desk.survey(situation).chosen:
            ends = pair.source_channel_id, pair.channel_id
            job = _Job(
                pair, node.now_s, index[ends[0]], index[ends[1]], (peers[ends[0]], peers[ends[1]])
            )
            self._jobs.append(job)
            self._go_on(job, node)

    def _go_on(self, job: _Job, node: NodeView) -> None:
        """Pay as an executor would: one payment after the other while they go through."""
        pair = job.pair
        while job.moved_msat + pair.payment_msat <= pair.amount_msat:
            try:
                found = node.rebalance(job.source, job.into, pair.payment_msat, pair.max_ppm)
            except KeyError:
                job.words, job.idle = "a channel is gone", IDLE_LOOKS
                break
            if found.why == BUSY:
                break
            if not found.ok:
                job.words = found.why
                job.idle += 1
                if found.why == NO_CHEAP_ROUTE or job.idle % TRIES == 0:
                    break
                continue
            job.idle = 0
            job.moved_msat += found.moved_msat
            job.cost_msat += found.cost_msat
            job.payments += 1
            self._spent.append((node.now_s, found.cost_msat))
        full = job.moved_msat + pair.payment_msat > pair.amount_msat
        if full or job.idle >= IDLE_LOOKS or node.now_s - job.begun_s >= JOB_S:
            self._jobs.remove(job)
            seconds = node.now_s - job.begun_s
            result = Result(job.moved_msat, job.cost_msat, job.payments, seconds, job.words)
            self.desk.learn(pair, job.peers, result, node.now_s)
