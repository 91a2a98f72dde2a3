"""How the simulated sling finds its ways: from the market of routes, or from a plain table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from cl_revenue_ops.simnode.model import Channel, Policy

if TYPE_CHECKING:
    from cl_revenue_ops.simnode.route_market import RouteMarket

MARKET_HOPS = 4
"""The hops of any route of the market, which knows prices and not ways."""


def asked_msat(policy: Policy, amount_msat: int) -> int:
    """What sling leaves for a hop: rounded up in floating point, so often a msat or two more than
    is asked (100 + 1 msat become 102)."""
    return math.ceil(policy.base_msat + policy.ppm / 1e6 * amount_msat)


class Quote(NamedTuple):
    """What the cheapest way round would cost by gossip, msat, and its hops as sling counts them:
    the nodes on the way without us."""

    cost_msat: int
    hops: int


class Try(NamedTuple):
    """What comes of one payment: what it costs where it arrives, else why not; and when."""

    ok: bool
    cost_msat: int
    why: str
    seconds: float


class Routes(Protocol):
    """Ways from one of our channels over the network back by another."""

    def quote(
        self, outgoing: Channel, incoming: Channel, amount_msat: int, at_s: float
    ) -> Quote | None:
        """The cheapest way that is known; None where there is none."""

    def attempt(
        self, outgoing: Channel, incoming: Channel, amount_msat: int, max_ppm: int, at_s: float,
        number: int,
    ) -> Try:  # fmt: skip
        """Try one payment; `number` counts those of this pair of peers in this hour."""


class MarketRoutes:
    """The routes of a market; `peer_ids` in the market's order (as MarketDriver has them)."""

    def __init__(self, market: RouteMarket, peer_ids: Sequence[str]) -> None:
        self._market = market
        self._peer = {peer_id: index for index, peer_id in enumerate(peer_ids)}

    def quote(
        self, outgoing: Channel, incoming: Channel, amount_msat: int, at_s: float
    ) -> Quote | None:
        """See Routes; None for a peer that the market does not know."""
        out, into = self._peer.get(outgoing.peer_id), self._peer.get(incoming.peer_id)
        if out is None or into is None or out == into:
            return None
        ppm = self._market.cheapest(out, into, at_s).ppm
        return Quote(math.ceil(amount_msat * ppm / 1_000_000), MARKET_HOPS)

    def attempt(
        self, outgoing: Channel, incoming: Channel, amount_msat: int, max_ppm: int, at_s: float,
        number: int,
    ) -> Try:  # fmt: skip
        """See Routes."""
        out, into = self._peer[outgoing.peer_id], self._peer[incoming.peer_id]
        return Try(*self._market.pay(out, into, amount_msat, max_ppm, at_s, number))


@dataclass
class Way:
    """A way between two of our peers: the policies on it, its room, and how long it takes."""

    policies: tuple[Policy, ...] = (Policy(),)
    room_msat: int = 10**12
    seconds: float = 0.5


@dataclass
class RouteTable:
    """Ways by (peer out, peer in), else `usual` (None: no other ways); nothing is drawn.

    The last hop is charged by what the incoming channel's peer asks towards us. `failures` are
    reasons for which the next payments fail, in order.
    """

    ways: dict[tuple[str, str], Way | None] = field(default_factory=dict)
    usual: Way | None = field(default_factory=Way)
    failures: list[str] = field(default_factory=list)

    def _way(self, outgoing: Channel, incoming: Channel) -> Way | None:
        if outgoing.peer_id == incoming.peer_id:
            return None
        return self.ways.get((outgoing.peer_id, incoming.peer_id), self.usual)

    def quote(
        self, outgoing: Channel, incoming: Channel, amount_msat: int, at_s: float
    ) -> Quote | None:
        """See Routes: each policy is paid for what leaves it onwards, the last one first."""
        del at_s
        way = self._way(outgoing, incoming)
        if way is None or incoming.remote_policy is None:
            return None
        sent_msat = amount_msat
        for policy in (incoming.remote_policy, *reversed(way.policies)):
            sent_msat += asked_msat(policy, sent_msat)
        return Quote(sent_msat - amount_msat, len(way.policies) + 1)

    def attempt(
        self, outgoing: Channel, incoming: Channel, amount_msat: int, max_ppm: int, at_s: float,
        number: int,
    ) -> Try:  # fmt: skip
        """See Routes."""
        del number
        way = self._way(outgoing, incoming)
        quote = self.quote(outgoing, incoming, amount_msat, at_s)
        if way is None or quote is None:
            raise ValueError("a payment on a way that is not there")
        if quote.cost_msat * 1_000_000 > max_ppm * amount_msat:
            return Try(False, 0, "NoCheapRoute", way.seconds)
        if self.failures:
            return Try(False, 0, self.failures.pop(0), way.seconds)
        if amount_msat > way.room_msat:
            return Try(False, 0, "WIRE_TEMPORARY_CHANNEL_FAILURE", way.seconds)
        return Try(True, quote.cost_msat, "", way.seconds)
