"""What the tests of the baselines share: a small node that a policy can see and set fees on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cl_revenue_ops.bench.policy import (
    BUSY,
    NO_CHEAP_ROUTE,
    NO_SUCH_MOVE,
    ChannelView,
    FeePolicy,
    Moved,
    QuoteView,
    Refused,
    Settled,
)

START_S = 1_767_225_600.0
HOUR_S, DAY_S = 3_600.0, 86_400.0
SAT, MSAT_PER_BTC = 1_000, 100_000_000_000
CAPACITY_MSAT = 10_000_000 * SAT


def channel(index: int = 0, share: float = 0.5, **changes: Any) -> ChannelView:
    """A channel of 10M sat with a peer of its own, at 200 ppm without base, 1 % reserved."""
    capacity_msat = changes.pop("capacity_msat", CAPACITY_MSAT)
    ordinary = ChannelView(
        index=index,
        channel_id=f"{index:064x}",
        peer_id=f"peer{index}",
        capacity_msat=capacity_msat,
        local_msat=round(share * capacity_msat),
        our_reserve_msat=capacity_msat // 100,
        base_msat=0,
        ppm=200,
        remote_base_msat=0,
        remote_ppm=100,
        opened_at_s=START_S,
    )
    return replace(ordinary, **changes)


def quote(
    ppm: int, capacity_sat: int = 1_000_000, source: str = "a", base_msat: int = 0
) -> QuoteView:
    """What a rival asks; of 1M sat unless told."""
    return QuoteView(source, capacity_sat * SAT, base_msat, ppm)


NO_ROOM = "WIRE_TEMPORARY_CHANNEL_FAILURE"


class FakeNode:
    """A node whose time, balances, quotes and routes the test sets.

    It notes every fee that is set and every payment that is tried: `tried` holds (source,
    destination, msat, most ppm, why not). A route costs `route_ppm` unless `routes` names its pair;
    what is above `room_msat` does not go through.
    """

    def __init__(
        self,
        *channels: ChannelView,
        quotes: Mapping[str, Sequence[QuoteView]] | None = None,
        feerate: float = 1.0,
    ) -> None:
        self.now_s = START_S
        self.open = {one.index: one for one in channels}
        self.asked = dict(quotes or {})
        self.feerate = feerate
        self.sets: list[tuple[int, int, int]] = []
        self.route_ppm = 100
        self.routes: dict[tuple[int, int], int] = {}
        self.room_msat = 10**15
        self.seconds = 10.0
        self.busy = False
        self.tried: list[tuple[int, int, int, int, str]] = []

    def channels(self) -> Sequence[ChannelView]:
        return [self.open[index] for index in sorted(self.open)]

    def channel(self, index: int) -> ChannelView:
        return self.open[index]

    def quotes(self, peer_id: str) -> Sequence[QuoteView]:
        return self.asked.get(peer_id, ())

    def sat_per_vb(self) -> float:
        return self.feerate

    def set_fee(self, index: int, ppm: int, base_msat: int = 0) -> None:
        self.open[index] = replace(self.open[index], ppm=ppm, base_msat=base_msat)
        self.sets.append((index, ppm, base_msat))

    def rebalance(
        self, source_index: int, dest_index: int, amount_msat: int, max_fee_ppm: int
    ) -> Moved:
        source, dest = self.open[source_index], self.open[dest_index]
        ppm, why = self.routes.get((source_index, dest_index), self.route_ppm), ""
        if source.peer_id == dest.peer_id:
            why = NO_SUCH_MOVE
        elif self.busy:
            why = BUSY
        elif ppm > max_fee_ppm:
            why = NO_CHEAP_ROUTE
        elif amount_msat > self.room_msat:
            why = NO_ROOM
        self.tried.append((source_index, dest_index, amount_msat, max_fee_ppm, why))
        if why:
            return Moved(0, 0, why, self.seconds)
        cost_msat = -(-amount_msat * ppm // 1_000_000)
        for one, delta_msat in ((source, -amount_msat - cost_msat), (dest, amount_msat)):
            assert one.our_reserve_msat <= one.local_msat + delta_msat <= one.capacity_msat
            self.open[one.index] = replace(one, local_msat=one.local_msat + delta_msat)
        return Moved(amount_msat, cost_msat, "", self.seconds)

    @property
    def arrived(self) -> list[tuple[int, int, int]]:
        """(source, destination, msat) of what went through."""
        return [(source, dest, msat) for source, dest, msat, _, why in self.tried if not why]

    def balance(self, index: int, share: float) -> None:
        """Give us a share of a channel."""
        one = self.open[index]
        self.open[index] = replace(one, local_msat=round(share * one.capacity_msat))

    def charge(self, index: int, ppm: int) -> None:
        """Set a fee past the policy."""
        self.open[index] = replace(self.open[index], ppm=ppm)

    def ppm(self, index: int = 0) -> int:
        return self.open[index].ppm


def forward(
    at_s: float, out_index: int = 0, in_index: int = 1, sat: int = 100_000, ppm: int = 200
) -> Settled:
    """A forward of some sat that paid some ppm."""
    return Settled(at_s, in_index, out_index, sat * SAT, sat * ppm // 1_000)


def refusal(at_s: float, out_index: int = 0) -> Refused:
    """A forward of 100,000 sat that we refused."""
    return Refused(at_s, 1, out_index, 100_000 * SAT)


def run(policy: FeePolicy, node: FakeNode, seconds: float) -> None:
    """Let time pass; the policy ticks at each of its intervals within."""
    end_s = node.now_s + seconds
    while node.now_s + policy.interval_s <= end_s:
        node.now_s += policy.interval_s
        policy.tick(node)
    node.now_s = end_s
