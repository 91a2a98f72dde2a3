"""What the tests of rebalancing share: channels, curves of stock, and situations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cl_revenue_ops.domain.rebalance import ends, expected
from cl_revenue_ops.domain.rebalance.ends import Moves
from cl_revenue_ops.domain.rebalance.facts import Pair, Situation, Terms
from cl_revenue_ops.domain.rebalance.routes import RouteBook
from messages.channels import ChannelFact
from messages.rebalance import StockCurve, StockCurves

NOW, HOUR_S, DAY_S = 1_767_225_600.0, 3_600.0, 86_400.0
SAT, MILLION = 1_000, 1_000_000_000
CAPACITY_MSAT, RESERVE_MSAT = 10 * MILLION, MILLION // 10
PLAIN = Terms(min_profit_msat=10_000, hive_tolerance_msat=50_000, kelly_fraction=None,
              weigh_reputation=True)  # fmt: skip
KNOWN = 1e9


def fact(name: str, share: float = 0.5, **changes: Any) -> ChannelFact:
    """A channel of 10M sat, 1 % reserved on either side, with peer "peer-<name>"."""
    capacity = changes.pop("capacity_msat", CAPACITY_MSAT)
    reserve = capacity // 100
    local = round(share * capacity)
    made = ChannelFact(
        name, f"peer-{name}", "CHANNELD_NORMAL", True, True, scid=f"{name}x1x1",
        capacity_msat=capacity, local_msat=local, our_reserve_msat=reserve,
        spendable_msat=max(0, local - reserve),
        receivable_msat=max(0, capacity - local - reserve), fee_ppm=200,
    )  # fmt: skip
    return replace(made, **changes)


def curve(
    peer_id: str,
    *knots: tuple[int, float],
    others_ppm: int = 100,
    evidence: float = KNOWN,
    price_ppm: int = 200,
) -> StockCurve:
    """A curve through these knots (stock in millions of sat, pi); flat where there is one."""
    points = tuple((stock * MILLION, pi) for stock, pi in knots)
    points = points if len(points) > 1 else (points[0], (10 * MILLION, points[0][1]))
    return StockCurve(peer_id, 0, CAPACITY_MSAT, points, price_ppm, 0, others_ppm, evidence)


def flat(name: str, pi_ppm: float, **changes: Any) -> StockCurve:
    """A curve of one value, of the peer of channel `name`."""
    return curve(f"peer-{name}", (0, pi_ppm), **changes)


def falling(name: str, first_ppm: float, **changes: Any) -> StockCurve:
    """A curve that falls from `first_ppm` to nothing at 5M sat."""
    return curve(f"peer-{name}", (0, first_ppm), (5, 0.0), **changes)


def situation(
    facts: Sequence[ChannelFact],
    curves: Sequence[StockCurve],
    terms: Terms = PLAIN,
    free_msat: int = 10**12,
    **changes: Any,
) -> Situation:
    """These channels and curves at NOW, with as much budget as anybody wants."""
    told = StockCurves(NOW, 100.0, {one.peer_id: one for one in curves})
    made = Situation(NOW, tuple(facts), told, terms, free_msat)
    return replace(made, **changes)


def two(there: StockCurve, here: StockCurve, terms: Terms = PLAIN, **changes: Any) -> Situation:
    """A full channel "a" and an empty one "b" with these curves."""
    return situation([fact("a", 0.9), fact("b", 0.05)], [there, here], terms, **changes)


def looked_at(
    one: Situation, routes: RouteBook | None = None, free_msat: int | None = None
) -> Pair:
    """The best move from "a" to "b", which must be possible as such."""
    routes = RouteBook() if routes is None else routes
    facts = {each.channel_id: each for each in one.facts}
    out, into = ends.source(one, facts["a"], Moves()), ends.destination(one, facts["b"], Moves())
    assert isinstance(out, ends.End) and isinstance(into, ends.End), (out, into)
    way = expected.between(routes, out, into, ends.stocks(one), one.now_s)
    return expected.consider(one, routes, way, one.free_msat if free_msat is None else free_msat)


class FixedRoutes(RouteBook):
    """Routes that cost what the test says, all of them, and work as often as it says."""

    def __init__(
        self,
        ppm: float = 100.0,
        works: float = 1.0,
        by_pair: Mapping[tuple[str, str], float] | None = None,
        costs: tuple[float, ...] = (),
    ) -> None:
        super().__init__()
        self.ppm, self.works, self.by_pair = ppm, works, dict(by_pair or {})
        self.costs = costs

    def costs_ppm(
        self, source: str, destination: str, others_ppm: float, least_ppm: float, now_s: float
    ) -> tuple[float, ...]:
        return self.costs or (self.by_pair.get((source, destination), self.ppm),) * 24

    def success(self, source: str, destination: str, amount_msat: int, now_s: float) -> float:
        return self.works
