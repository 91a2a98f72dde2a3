"""Owns what a payment of the node to itself costs on the network, pair by pair, hour by hour."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

from cl_revenue_ops.simnode.market import Market
from cl_revenue_ops.simnode.market_parameters import Purpose, stream
from cl_revenue_ops.simnode.prices import HOUR_S

CHEAPEST_SHARE = 0.5
"""No route into a peer is cheaper than this share of what the alternatives there ask."""

PAIR_SD = 0.45
HOUR_SD = 0.30
ROOM_MEDIAN_SHARE = 0.10
ROOM_SD = 0.9
FAILURE_RANGE = (0.1, 0.5)
FASTEST_S, SLOWEST_S = 4.0, 600.0


class Route(NamedTuple):
    """The cheapest route that works in an hour: its price, and the most that it carries at once."""

    ppm: int
    room_msat: int


class Attempt(NamedTuple):
    """What came of one payment: `cost_msat` where it arrived, else why not; how long it took."""

    ok: bool
    cost_msat: int
    why: str
    seconds: float


class RouteMarket:
    """Routes from a peer over the network to another peer and back to us; a pure function of the
    market's seed, the pair and the hour, so every rebalancer meets the same ones.

    ppm = level_j max(CHEAPEST_SHARE, exp(N_pair + N_hour)), but at least what the peer itself
    charges towards us. The room is a log-normal share of the capacity that we have with j.
    """

    def __init__(self, market: Market) -> None:
        self._market = market
        sizes = [0] * len(market.peers)
        last_hop = [10**9] * len(market.peers)
        for channel in market.channels:
            sizes[channel.peer] += channel.capacity_sat * 1_000
            last_hop[channel.peer] = min(last_hop[channel.peer], channel.remote_ppm)
        self._sizes, self._last_hop = sizes, last_hop
        count = len(market.peers)
        pairs = stream(market.seed, Purpose.REFILL_PAIRS)
        self._lasting = pairs.standard_normal((count, count)) * PAIR_SD
        low, high = FAILURE_RANGE
        self._failing = low + (high - low) * pairs.random((count, count))
        self._hour = lru_cache(maxsize=8)(self._draw_hour)

    def _draw_hour(self, hour: int) -> tuple[list[list[float]], list[list[float]]]:
        rng = stream(self._market.seed, Purpose.REFILL_HOURS, hour)
        count = len(self._market.peers)
        prices = rng.standard_normal((count, count)) * HOUR_SD
        rooms = rng.standard_normal((count, count)) * ROOM_SD
        return prices.tolist(), rooms.tolist()

    def cheapest(self, out_peer: int, in_peer: int, at_s: float) -> Route:
        """Return the route by which sats leave to `out_peer` and come back by `in_peer`."""
        hour = max(0, int((at_s - self._market.start_s) // HOUR_S))
        prices, rooms = self._hour(hour)
        level = math.exp(self._market.levels.log_at(in_peer, at_s))
        factor = math.exp(float(self._lasting[out_peer, in_peer]) + prices[out_peer][in_peer])
        ppm = max(level * max(CHEAPEST_SHARE, factor), float(self._last_hop[in_peer]))
        share = ROOM_MEDIAN_SHARE * math.exp(rooms[out_peer][in_peer])
        return Route(math.ceil(ppm), int(self._sizes[in_peer] * min(1.0, share)))

    def pay(
        self, out_peer: int, in_peer: int, amount_msat: int, max_ppm: int, at_s: float, number: int
    ) -> Attempt:
        """Try one payment at `at_s`; `number` tells attempts of one pair and hour apart."""
        route = self.cheapest(out_peer, in_peer, at_s)
        hour = max(0, int((at_s - self._market.start_s) // HOUR_S))
        keys = (out_peer, in_peer, hour, number)
        draws = stream(self._market.seed, Purpose.REFILL_TRIES, *keys).random(2)
        took_s = FASTEST_S * (SLOWEST_S / FASTEST_S) ** float(draws[1] ** 2)
        cost_msat = math.ceil(amount_msat * route.ppm / 1_000_000)
        if route.ppm > max_ppm:
            return Attempt(False, 0, "NoCheapRoute", FASTEST_S)
        if amount_msat > route.room_msat:
            return Attempt(False, 0, "WIRE_TEMPORARY_CHANNEL_FAILURE", took_s)
        if float(draws[0]) < float(self._failing[out_peer, in_peer]):
            return Attempt(False, 0, "WIRE_TEMPORARY_CHANNEL_FAILURE", took_s)
        return Attempt(True, cost_msat, "", took_s)

    def cheap_end_ppm(self, in_peer: int, at_s: float) -> float:
        """Return the least that any route into a peer costs now: what the bound may refill at."""
        level = math.exp(self._market.levels.log_at(in_peer, at_s))
        return max(CHEAPEST_SHARE * level, float(self._last_hop[in_peer]))
