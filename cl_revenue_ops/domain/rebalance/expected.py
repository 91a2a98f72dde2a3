"""What a move is expected to earn: one formula, and the size and price at which it is best.

    EV = p(m, a) (value_j(a) - loss_i(a) - cost(m) a) - overhead

value_j is the integral of pi_j over the sats that arrive, loss_i that of pi_i over those that
leave, both from where the stocks stand now; p is the probability that a route at or below the
price m works, cost(m) what such a route costs in the mean. The price m is never above what the
move is worth, so no payment can lose.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

from cl_revenue_ops.domain.demand.stock_curve import value_at, value_below, worth_msat
from cl_revenue_ops.domain.rebalance.ends import LEAST_MSAT, End
from cl_revenue_ops.domain.rebalance.facts import Pair, Situation
from cl_revenue_ops.domain.rebalance.routes import NODES, RouteBook

OVERHEAD_MSAT: Final = 500
"""What a job costs beside its fees: HTLC slots, and stock that stands still meanwhile."""

DOUBT: Final = 4.0
"""So many forwards of evidence, and half of what a refill seems worth is believed."""

SIZES: Final = (1.0, 0.7, 0.5, 0.35, 0.25, 0.17, 0.12, 0.08, 0.05)
SMALL: Final = (0.025, 0.012, 0.006, 0.003)
PARTS: Final = (1, 2, 4, 8)
FIRST_PAYMENT_MSAT: Final = 200_000_000
SAT: Final = 1_000
NO_BUDGET: Final = "the budget does not allow it"
LOSES: Final = "it is expected to lose"


class Stakes(NamedTuple):
    """What a move of an amount is worth before its cost, msat, and at the margin, ppm."""

    amount_msat: int
    value_msat: float
    loss_msat: float
    margin_ppm: float

    @property
    def gain_msat(self) -> float:
        """What may be paid for it without a loss."""
        return self.value_msat - self.loss_msat


class Priced(NamedTuple):
    """The best price for a move: the most that is paid, what is paid in the mean, how probably."""

    max_ppm: int
    cost_ppm: float
    success: float
    expected_msat: float


def believed(evidence: float) -> float:
    """Return which part of what a refill seems worth is believed, by the forwards seen there."""
    return (evidence + 0.5) / (evidence + 0.5 + DOUBT)


def stakes(way: Between, amount_msat: int) -> Stakes:
    """Return what moving an amount is worth."""
    into, out = way.destination.curve, way.source.curve
    there, here = way.there_msat, way.here_msat
    value = worth_msat(into.knots, there, there + amount_msat)
    loss = -worth_msat(out.knots, here, here - amount_msat)
    doubt_in, doubt_out = believed(into.evidence), believed(out.evidence)
    # A gain is believed as far as there is evidence for it, a loss in full.
    value = value * doubt_in if value > 0.0 else value
    loss = loss if loss > 0.0 else loss * doubt_out
    margin = value_at(into.knots, there + amount_msat) - value_at(out.knots, here - amount_msat)
    return Stakes(amount_msat, value, loss, margin)


def best_price(
    costs_ppm: tuple[float, ...],
    works: float,
    at: Stakes,
    least_gain_msat: float,
    budget_ppm: float = math.inf,
) -> Priced | None:
    """Return the price at which a move earns most; None where no route is cheap enough.

    `costs_ppm` are equally probable prices of a route, rising. `least_gain_msat` is what has to be
    left where all goes well, `budget_ppm` what the budget allows.
    """
    afford_ppm = min((at.gain_msat - least_gain_msat) / at.amount_msat * 1e6, budget_ppm)
    best: Priced | None = None
    total = 0.0
    for place, cost_ppm in enumerate(costs_ppm):
        max_ppm = int(cost_ppm) + 1
        if max_ppm > afford_ppm:
            break
        total += cost_ppm
        mean = total / (place + 1)
        success = works * (place + 1) / NODES
        net = at.gain_msat - at.amount_msat * mean / 1e6
        expected = success * net - OVERHEAD_MSAT
        if best is None or expected > best.expected_msat:
            best = Priced(max_ppm, mean, success, expected)
    return best


def kelly_share(success: float, gain_msat: float, risked_msat: float, fraction: float) -> float:
    """Return the part of a move to make by Kelly: f = p - (1 - p) / b, times `fraction`, in [0, 1].

    b is what is won, net, over what is paid.
    """
    if risked_msat <= 0.0:
        return 1.0
    odds = max((gain_msat - risked_msat) / risked_msat, 1e-9)
    stake = success - (1.0 - success) / odds
    return min(1.0, max(0.0, stake * fraction))


def payment_msat(routes: RouteBook, source: str, into: str, total_msat: int, now_s: float) -> int:
    """Return the size of one payment, whole satoshis: where size times success is highest."""
    best_msat, most = LEAST_MSAT, 0.0
    for parts in PARTS:
        amount_msat = total_msat // parts // SAT * SAT
        if amount_msat < LEAST_MSAT and parts > 1:
            break
        if amount_msat > FIRST_PAYMENT_MSAT and parts < PARTS[-1]:
            continue
        through = routes.success(source, into, amount_msat, now_s) * amount_msat
        if through > most:
            best_msat, most = amount_msat, through
    return min(best_msat, total_msat)


@dataclass(frozen=True)
class Between:
    """Two ends with what is known of the way from one to the other."""

    source: End
    destination: End
    here_msat: int
    there_msat: int
    routes: RouteBook
    now_s: float

    @cached_property
    def costs_ppm(self) -> tuple[float, ...]:
        """What a route may cost, by what the last hop charges; not asked of a hopeless pair."""
        remote = self.destination.fact.remote
        last_hop_ppm = 0.0 if remote is None else float(remote.fee_ppm)
        others_ppm = self.destination.curve.others_ppm
        return self.routes.costs_ppm(*self.peers, others_ppm, last_hop_ppm, self.now_s)

    @property
    def peers(self) -> tuple[str, str]:
        """The peers that sats leave to and come back by."""
        return self.source.fact.peer_id, self.destination.fact.peer_id

    @property
    def most_gain_ppm(self) -> float:
        """What the first sat of a move gains, before its cost: no later one gains more."""
        there = value_at(self.destination.curve.knots, self.there_msat)
        here = value_below(self.source.curve.knots, self.here_msat)
        doubt_in = believed(self.destination.curve.evidence) if there > 0.0 else 1.0
        doubt_out = 1.0 if here > 0.0 else believed(self.source.curve.evidence)
        return there * doubt_in - here * doubt_out


def between(
    routes: RouteBook, source: End, destination: End, local: Mapping[str, int], now_s: float
) -> Between:
    """Return two ends at the stocks that `local` has for their peers."""
    out, into = source.fact.peer_id, destination.fact.peer_id
    return Between(source, destination, local[out], local[into], routes, now_s)


def consider(situation: Situation, routes: RouteBook, way: Between, free_msat: int) -> Pair:
    """Return the best move between two channels, with a refusal where it should not be made."""
    terms = situation.terms
    hive = way.destination.fact.peer_id in situation.hive
    lowest_msat = -terms.hive_tolerance_msat if hive else terms.min_profit_msat
    most_msat = min(way.source.most_msat, way.destination.most_msat)
    gain_ppm, least_msat = way.most_gain_ppm, max(lowest_msat, 0)
    if not hive and (
        gain_ppm * most_msat / 1e6 <= least_msat
        or (gain_ppm - way.costs_ppm[0]) * most_msat / 1e6 <= least_msat
    ):
        return _hopeless(way, most_msat)
    best: Pair | None = None
    pair: Pair | None = None
    for size in (*SIZES, *SMALL):
        amount_msat = int(most_msat * size) // SAT * SAT
        if amount_msat < LEAST_MSAT:
            break
        if size in SMALL and pair is not None and pair.refusal != NO_BUDGET:
            break
        pair = _sized(situation, routes, way, amount_msat, lowest_msat, free_msat)
        if best is None or _rank(pair) > _rank(best):
            best = pair
        elif best.refusal is None:
            # What a move earns has one peak in its size.
            break
    if best is None:
        return _nothing(way, "too little to move")
    if terms.kelly_fraction is None or best.refusal is not None:
        return best
    gain_msat = best.value_msat - best.loss_msat
    share = kelly_share(best.success, gain_msat, best.cost_msat, terms.kelly_fraction)
    amount_msat = int(best.amount_msat * share) // SAT * SAT
    if amount_msat < LEAST_MSAT:
        return best._replace(refusal=f"Kelly: {share:.0%} of it is too little to move")
    found = _sized(situation, routes, way, amount_msat, lowest_msat, free_msat)
    return found._replace(record={**found.record, "kelly_share": round(share, 4)})


def of_amount(
    situation: Situation,
    routes: RouteBook,
    way: Between,
    amount_msat: int,
    max_fee_msat: int | None,
    force: bool,
) -> Pair:
    """Return the move of just this amount, at a price that is given or found.

    Where it is not worth its price it is refused, unless it is forced; a fleet member may cost
    what is tolerated here as well.
    """
    hive = way.destination.fact.peer_id in situation.hive
    lowest_msat = -situation.terms.hive_tolerance_msat if hive else 0
    pair = _sized(situation, routes, way, amount_msat, lowest_msat)
    costs = way.costs_ppm
    max_ppm = pair.max_ppm
    if max_fee_msat is not None:
        max_ppm = max_fee_msat * 1_000_000 // max(pair.amount_msat, 1)
    elif not max_ppm and force:
        max_ppm = int(costs[-NODES // 10]) + 1
    at = stakes(way, pair.amount_msat)
    below = [cost for cost in costs if cost <= max_ppm]
    cost_ppm = sum(below) / len(below) if below else float(max_ppm)
    success = float(pair.record["works"]) * len(below) / NODES
    expected = success * (at.gain_msat - pair.amount_msat * cost_ppm / 1e6) - OVERHEAD_MSAT
    refusal = None
    if not max_ppm:
        refusal = pair.refusal or "nothing may be paid for it"
    elif _short(expected, lowest_msat):
        refusal = LOSES
    return pair._replace(
        max_ppm=max_ppm,
        reserve_msat=-(-pair.amount_msat * max_ppm // 1_000_000),
        cost_msat=round(pair.amount_msat * cost_ppm / 1e6),
        success=round(success, 4),
        expected_msat=round(expected),
        refusal=refusal if max_ppm == 0 or not force else None,
    )


def _rank(pair: Pair) -> tuple[bool, int]:
    return pair.refusal is None, pair.expected_msat


def _sized(
    situation: Situation,
    routes: RouteBook,
    way: Between,
    amount_msat: int,
    lowest_msat: int,
    free_msat: int | None = None,
) -> Pair:
    """Return the move of one amount at its best price; `free_msat` None means without a budget."""
    part_msat = payment_msat(routes, *way.peers, amount_msat, situation.now_s)
    amount_msat = amount_msat // part_msat * part_msat
    at = stakes(way, amount_msat)
    costs = way.costs_ppm
    works = 1.0
    if situation.terms.weigh_reputation:
        works = routes.success(*way.peers, part_msat, situation.now_s)
    # What a fleet member may cost is given away on purpose; all else has to leave the least gain.
    budget_ppm = math.inf if free_msat is None else free_msat * 1e6 / amount_msat
    priced = best_price(costs, works, at, float(lowest_msat), budget_ppm)
    record: dict[str, Any] = {
        **_seen(way),
        "margin_ppm": round(at.margin_ppm, 2),
        "works": round(works, 4),
        "cost_low_ppm": round(costs[NODES // 10], 1),
        "cost_mid_ppm": round(costs[NODES // 2], 1),
        "cost_high_ppm": round(costs[-NODES // 10], 1),
        "overhead_msat": OVERHEAD_MSAT,
        "least_gain_msat": lowest_msat,
    }
    value, loss = round(at.value_msat), round(at.loss_msat)
    if priced is None:
        pays = best_price(costs, works, at, float(lowest_msat)) is not None
        too_dear = NO_BUDGET if pays else _too_dear(at, costs[0], lowest_msat)
        return Pair(
            *_channels(way), amount_msat, part_msat,
            0, 0, value, loss, 0, 0.0, -OVERHEAD_MSAT, too_dear, record,
        )  # fmt: skip
    expected = round(priced.expected_msat)
    reserve_msat = -(-amount_msat * priced.max_ppm // 1_000_000)
    refusal = LOSES if _short(expected, lowest_msat) else None
    return Pair(
        *_channels(way),
        amount_msat,
        part_msat,
        priced.max_ppm,
        reserve_msat,
        value,
        loss,
        round(amount_msat * priced.cost_ppm / 1e6),
        round(priced.success, 4),
        expected,
        refusal,
        record,
    )


def _short(expected_msat: float, lowest_msat: int) -> bool:
    """Whether so much is too little: nothing at all, or below what may be given away."""
    return expected_msat <= 0 if lowest_msat >= 0 else expected_msat < lowest_msat


def _too_dear(at: Stakes, cheapest_ppm: float, lowest_msat: int) -> str:
    gain_ppm = at.gain_msat / at.amount_msat * 1e6
    if at.gain_msat <= 0.0:
        return f"the sats are worth no more there than here ({gain_ppm:.0f} ppm)"
    if at.gain_msat <= lowest_msat:
        return f"all it could earn is {at.gain_msat / 1e3:.0f} sat"
    return f"worth {gain_ppm:.0f} ppm, and no route is likely below {cheapest_ppm:.0f}"


def _channels(way: Between) -> tuple[str, str]:
    return way.source.fact.channel_id, way.destination.fact.channel_id


def _seen(way: Between) -> dict[str, Any]:
    into, out = way.destination.curve, way.source.curve
    return {
        "stock_there_msat": way.there_msat,
        "stock_here_msat": way.here_msat,
        "pi_there_ppm": round(value_at(into.knots, way.there_msat), 2),
        "pi_here_ppm": round(value_at(out.knots, way.here_msat), 2),
        "believed": round(believed(into.evidence), 4),
        "others_ppm": into.others_ppm,
    }


def _nothing(way: Between, refusal: str) -> Pair:
    return Pair(*_channels(way), 0, 0, 0, 0, 0, 0, 0, 0.0, 0, refusal, _seen(way))


def _hopeless(way: Between, most_msat: int) -> Pair:
    gain_ppm = way.most_gain_ppm
    if gain_ppm <= 0.0:
        return _nothing(way, f"a sat is worth no more there than here ({gain_ppm:.0f} ppm)")
    cheapest = way.costs_ppm[0]
    if gain_ppm <= cheapest:
        return _nothing(
            way, f"worth {gain_ppm:.0f} ppm at most, and no route is likely below {cheapest:.0f}"
        )
    return _nothing(way, f"{most_msat // SAT} sat, all there is to move, could not earn enough")
