"""What the tests of the baselines share: a small node that a policy can see and set fees on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cl_revenue_ops.bench.policy import ChannelView, FeePolicy, QuoteView, Refused, Settled

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


class FakeNode:
    """A node whose time, balances and quotes the test sets; it notes every fee that is set."""

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
