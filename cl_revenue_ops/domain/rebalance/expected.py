"""What a move is expected to earn: one formula, and the size and price at which it is best.

    EV = p(m, a) (value_j(a) - loss_i(a) - cost(m) a) - overhead

value_j is the integral of pi_j over the sats that arrive, loss_i that of pi_i over those that
leave, both from where the stocks stand now; p is the probability that a route at or below the
price m works, cost(m) what such a route costs in the mean. The price m is never above what the
move is worth, so no payment can lose.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from cl_revenue_ops.domain.demand.stock_curve import value_at, worth_msat
from cl_revenue_ops.domain.rebalance.ends import LEAST_MSAT, End
from cl_revenue_ops.domain.rebalance.facts import Pair, Situation
from cl_revenue_ops.domain.rebalance.routes import NODES, RouteBook

OVERHEAD_MSAT: Final = 500
"""What a job costs beside its fees: HTLC slots, and stock that stands still meanwhile."""

DOUBT: Final = 4.0
"""So many forwards of evidence, and half of what a refill seems worth is believed."""

SIZES: Final = (1.0, 0.7, 0.5, 0.35, 0.25, 0.17, 0.12, 0.08, 0.05)
MOST_PAYMENTS: Final = 8
FIRST_PAYMENT_MSAT: Final = 200_000_000
SAT: Final = 1_000


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


def stakes(source: End, destination: End, local: Mapping[str, int], amount_msat: int) -> Stakes:
    """Return what moving an amount is worth; `local` has the peers' stocks as they stand."""
    into, out = destination.curve, source.curve
    there, here = local[into.peer_id], local[out.peer_id]
    value = worth_msat(into.knots, there, there + amount_msat)
    loss = -worth_msat(out.knots, here, here - amount_msat)
    doubt_in, doubt_out = believed(into.evidence), believed(out.evidence)
    # A gain is believed as far as there is evidence for it, a loss in full.
    value = value * doubt_in if value > 0.0 else value
    loss = loss if loss > 0.0 else loss * doubt_out
    margin = value_at(into.knots, there + amount_msat) - value_at(out.knots, here - amount_msat)
    return Stakes(amount_msat, value, loss, margin)


def best_price(
    costs_ppm: tuple[float, ...], works: float, at: Stakes, least_gain_msat: float
) -> Priced | None:
    """Return the price at which a move earns most; None where no route is cheap enough.

    `costs_ppm` are equally probable prices of a route, rising. `least_gain_msat` is what has to be
    left where all goes well.
    """
    afford_ppm = (at.gain_msat - least_gain_msat) / at.amount_msat * 1e6
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
    for parts in range(1, MOST_PAYMENTS + 1):
        amount_msat = total_msat // parts // SAT * SAT
        if amount_msat < LEAST_MSAT and parts > 1:
            break
        if amount_msat > FIRST_PAYMENT_MSAT and parts < MOST_PAYMENTS:
            continue
        through = routes.success(source, into, amount_msat, now_s) * amount_msat
        if through > most:
            best_msat, most = amount_msat, through
    return min(best_msat, total_msat)


def consider(
    situation: Situation,
    routes: RouteBook,
    source: End,
    destination: End,
    local: Mapping[str, int],
    free_msat: int,
) -> Pair:
    """Return the best move between two channels, with a refusal where it should not be made."""
    terms = situation.terms
    hive = destination.fact.peer_id in situation.hive
    lowest_msat = -terms.hive_tolerance_msat if hive else terms.min_profit_msat
    most_msat = min(source.most_msat, destination.most_msat)
    best: Pair | None = None
    for size in SIZES:
        amount_msat = int(most_msat * size) // SAT * SAT
        if amount_msat < LEAST_MSAT:
            break
        pair = _sized(situation, routes, source, destination, local, amount_msat, lowest_msat)
        if pair.max_ppm and pair.reserve_msat > free_msat:
            pair = pair._replace(refusal="the budget does not allow it")
        if best is None or _rank(pair) > _rank(best):
            best = pair
    if best is None:
        return _nothing(source, destination, "too little to move")
    if terms.kelly_fraction is None or best.refusal is not None:
        return best
    share = kelly_share(
        best.success,
        best.value_msat - best.loss_msat,
        best.cost_msat,
        terms.kelly_fraction,
    )
    amount_msat = int(best.amount_msat * share) // SAT * SAT
    if amount_msat < LEAST_MSAT:
        return best._replace(refusal=f"Kelly: {share:.0%} of it is too little to move")
    found = _sized(situation, routes, source, destination, local, amount_msat, lowest_msat)
    return found._replace(record={**found.record, "kelly_share": round(share, 4)})


def of_amount(
    situation: Situation,
    routes: RouteBook,
    source: End,
    destination: End,
    local: Mapping[str, int],
    amount_msat: int,
    max_fee_msat: int | None,
    force: bool,
) -> Pair:
    """Return the move of just this amount, at a price that is given or found.

    Where it is not worth its price it is refused, unless it is forced.
    """
    pair = _sized(situation, routes, source, destination, local, amount_msat, 0)
    costs = route_costs(routes, source, destination, situation.now_s)
    max_ppm = pair.max_ppm
    if max_fee_msat is not None:
        max_ppm = max_fee_msat * 1_000_000 // max(pair.amount_msat, 1)
    elif not max_ppm and force:
        max_ppm = int(costs[-NODES // 10]) + 1
    at = stakes(source, destination, local, pair.amount_msat)
    below = [cost for cost in costs if cost <= max_ppm]
    cost_ppm = sum(below) / len(below) if below else float(max_ppm)
    success = float(pair.record["works"]) * len(below) / NODES
    expected = success * (at.gain_msat - pair.amount_msat * cost_ppm / 1e6) - OVERHEAD_MSAT
    refusal = None
    if not max_ppm:
        refusal = pair.refusal or "nothing may be paid for it"
    elif expected <= 0.0:
        refusal = "it is expected to lose"
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
    source: End,
    destination: End,
    local: Mapping[str, int],
    amount_msat: int,
    lowest_msat: int,
) -> Pair:
    """Return the move of one amount at its best price."""
    now_s = situation.now_s
    out, into = source.fact.peer_id, destination.fact.peer_id
    part_msat = payment_msat(routes, out, into, amount_msat, now_s)
    amount_msat = amount_msat // part_msat * part_msat
    at = stakes(source, destination, local, amount_msat)
    costs = route_costs(routes, source, destination, now_s)
    works = 1.0
    if situation.terms.weigh_reputation:
        works = routes.success(out, into, part_msat, now_s)
    # What a fleet member may cost is given away on purpose; all else has to leave the least gain.
    priced = best_price(costs, works, at, float(lowest_msat))
    record: dict[str, Any] = {
        "stock_there_msat": local[into],
        "stock_here_msat": local[out],
        "pi_there_ppm": round(value_at(destination.curve.knots, local[into]), 2),
        "pi_here_ppm": round(value_at(source.curve.knots, local[out]), 2),
        "margin_ppm": round(at.margin_ppm, 2),
        "believed": round(believed(destination.curve.evidence), 4),
        "works": round(works, 4),
        "others_ppm": destination.curve.others_ppm,
        "cost_low_ppm": round(costs[NODES // 10], 1),
        "cost_mid_ppm": round(costs[NODES // 2], 1),
        "cost_high_ppm": round(costs[-NODES // 10], 1),
        "overhead_msat": OVERHEAD_MSAT,
        "least_gain_msat": lowest_msat,
    }
    value, loss = round(at.value_msat), round(at.loss_msat)
    if priced is None:
        refusal = _too_dear(at, costs[0], lowest_msat)
        return Pair(
            source.fact.channel_id, destination.fact.channel_id, amount_msat, part_msat,
            0, 0, value, loss, 0, 0.0, -OVERHEAD_MSAT, refusal, record,
        )  # fmt: skip
    expected = round(priced.expected_msat)
    short = expected <= 0 if lowest_msat >= 0 else expected < lowest_msat
    return Pair(
        source.fact.channel_id,
        destination.fact.channel_id,
        amount_msat,
        part_msat,
        priced.max_ppm,
        -(-amount_msat * priced.max_ppm // 1_000_000),
        value,
        loss,
        round(amount_msat * priced.cost_ppm / 1e6),
        round(priced.success, 4),
        expected,
        "it is expected to lose" if short else None,
        record,
    )


def route_costs(
    routes: RouteBook, source: End, destination: End, now_s: float
) -> tuple[float, ...]:
    """Return what a route from one to the other may cost, by what the last hop charges at least."""
    remote = destination.fact.remote
    last_hop_ppm = 0.0 if remote is None else float(remote.fee_ppm)
    pair = source.fact.peer_id, destination.fact.peer_id
    return routes.costs_ppm(*pair, destination.curve.others_ppm, last_hop_ppm, now_s)


def _too_dear(at: Stakes, cheapest_ppm: float, lowest_msat: int) -> str:
    gain_ppm = at.gain_msat / at.amount_msat * 1e6
    if at.gain_msat <= 0.0:
        return f"the sats are worth no more there than here ({gain_ppm:.0f} ppm)"
    if at.gain_msat <= lowest_msat:
        return f"all it could earn is {at.gain_msat / 1e3:.0f} sat"
    return f"worth {gain_ppm:.0f} ppm, and no route is likely below {cheapest_ppm:.0f}"


def _nothing(source: End, destination: End, refusal: str) -> Pair:
    ends = source.fact.channel_id, destination.fact.channel_id
    return Pair(*ends, 0, 0, 0, 0, 0, 0, 0, 0.0, 0, refusal, {})
