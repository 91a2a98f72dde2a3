"""What is known of the true routes: to the policy that is told the truth, and to the bound."""

from __future__ import annotations

from collections.abc import Callable

from cl_revenue_ops.bench.bound import Bound, fluid_bound
from cl_revenue_ops.simnode.market import Market
from cl_revenue_ops.simnode.prices import DAY_S, HOUR_S
from cl_revenue_ops.simnode.route_market import Route, RouteMarket

HOURS = round(DAY_S / HOUR_S)


class TrueRoutes:
    """The true routes between our channels, by their places in the market.

    It is given to a policy that is told the truth and to no other: what a policy sees of the node
    (`NodeView`) has no price of a route in it.
    """

    def __init__(self, market: Market) -> None:
        self._routes = RouteMarket(market)
        self._peers = [channel.peer for channel in market.channels]

    def route(self, source_index: int, dest_index: int, at_s: float) -> Route:
        """Return the cheapest route of this hour, by which sats leave the source and come back to
        the destination; ValueError where both are channels to one peer."""
        out_peer, in_peer = self._peers[source_index], self._peers[dest_index]
        if out_peer == in_peer:
            raise ValueError("there is no way from a peer around to itself")
        return self._routes.cheapest(out_peer, in_peer, at_s)

    def route_ppm(self, source_index: int, dest_index: int, at_s: float) -> int:
        """Return the price of that route."""
        return self.route(source_index, dest_index, at_s).ppm


def cheapest_refill_ppm(market: Market) -> Callable[[int, int], float]:
    """Return what a refill of a peer costs at the least on a day: the cheap end of all routes into
    it in the cheapest hour. No payment of that day can be had for less."""
    routes = RouteMarket(market)

    def cost_ppm(peer: int, day: int) -> float:
        first_s = market.start_s + day * DAY_S
        return min(routes.cheap_end_ppm(peer, first_s + hour * HOUR_S) for hour in range(HOURS))

    return cost_ppm


def rebalancing_bound(market: Market) -> Bound:
    """Return the fluid bound of a planner who may refill at the cheap end of the routes."""
    return fluid_bound(market, rebalancing=True, cost_ppm=cheapest_refill_ppm(market))
