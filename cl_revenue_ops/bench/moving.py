"""Moves sats around the network for the policy of an arena, one payment after the other."""

from __future__ import annotations

from collections import Counter

from cl_revenue_ops.bench.policy import (
    BUSY,
    DEST_FULL,
    NO_CHEAP_ROUTE,
    NO_SUCH_MOVE,
    SOURCE_LACKS,
    Moved,
)
from cl_revenue_ops.bench.stage import Stage
from cl_revenue_ops.simnode.model import Channel
from cl_revenue_ops.simnode.prices import HOUR_S
from cl_revenue_ops.simnode.route_market import RouteMarket

PAYMENTS_PER_STEP = 20
"""Payments and questions for a route that a pair of peers takes in a step, however fast."""

Pair = tuple[int, int]


class Moving:
    """Carries payments from channel to channel through the market's routes.

    The payments of a pair of peers go one after the other, each as long as the market says. One
    begins in the step in which it is asked for, or not at all. Those of an hour are numbered by
    pair, so that the first one of any policy meets the same luck. What is sent is in the node's own
    list of payments, also what failed; what had no route or no balance was never sent.
    """

    def __init__(self, stage: Stage, step_s: float) -> None:
        self._stage = stage
        self._step_s = step_s
        self._routes = RouteMarket(stage.market)
        self._free_s: dict[Pair, float] = {}
        self._sent: Counter[tuple[Pair, int]] = Counter()
        self._taken: Counter[Pair] = Counter()
        self._taken_s = 0.0

    def move(self, source: int, dest: int, amount_msat: int, max_ppm: int, at_s: float) -> Moved:
        """Try one payment between two open channels, by their places in the market."""
        market = self._stage.market
        pair = (market.channels[source].peer, market.channels[dest].peer)
        if pair[0] == pair[1]:
            return _nothing(NO_SUCH_MOVE)
        leaves, enters = self._channel(source), self._channel(dest)
        if enters.receivable_msat < amount_msat:
            return _nothing(DEST_FULL)
        route = self._routes.cheapest(*pair, at_s)
        due_msat = -(-amount_msat * min(route.ppm, max_ppm) // 1_000_000)
        if leaves.spendable_msat < amount_msat + due_msat:
            return _nothing(SOURCE_LACKS)
        begins_s = max(at_s, self._free_s.get(pair, at_s))
        if begins_s >= at_s + self._step_s or self._taken_of(pair, at_s) >= PAYMENTS_PER_STEP:
            return _nothing(BUSY)
        self._taken[pair] += 1
        hour = (pair, int((at_s - market.start_s) // HOUR_S))
        tried = self._routes.pay(*pair, amount_msat, max_ppm, at_s, self._sent[hour])
        self._free_s[pair] = begins_s + tried.seconds
        if tried.why == NO_CHEAP_ROUTE:
            return _nothing(tried.why, tried.seconds)
        self._sent[hour] += 1
        row = self._stage.world.circular_payment(
            leaves.channel_id,
            enters.channel_id,
            amount_msat,
            tried.cost_msat if tried.ok else due_msat,
            ok=tried.ok,
            at_s=at_s,
        )
        if row["status"] != "complete":
            return _nothing(tried.why or "WIRE_TEMPORARY_CHANNEL_FAILURE", tried.seconds)
        return Moved(amount_msat, tried.cost_msat, "", tried.seconds)

    def _channel(self, index: int) -> Channel:
        return self._stage.world.channel(self._stage.driver.channel_ids[index])

    def _taken_of(self, pair: Pair, at_s: float) -> int:
        if at_s != self._taken_s:
            self._taken.clear()
            self._taken_s = at_s
        return self._taken[pair]


def _nothing(why: str, seconds: float = 0.0) -> Moved:
    return Moved(0, 0, why, seconds)
