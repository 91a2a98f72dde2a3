"""Channels by peer, and what rivals ask into a peer in one figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cl_revenue_ops.bench.policy import ChannelView


def by_peer(channels: Iterable[ChannelView]) -> dict[str, list[ChannelView]]:
    """Return the channels of each peer, peers in order of their first channel."""
    found: dict[str, list[ChannelView]] = {}
    for channel in channels:
        found.setdefault(channel.peer_id, []).append(channel)
    return found


def local_share(channels: Sequence[ChannelView]) -> float:
    """Return our part of the capacity of some channels, 0 to 1; the reserve counts as ours."""
    return sum(c.local_msat for c in channels) / sum(c.capacity_msat for c in channels)


def weighted_quantiles(weighted: Iterable[tuple[int, int]], *shares: float) -> tuple[int, ...]:
    """Return the smallest value at which `(value, weight)` pairs reach each share of the weight.

    Shares rise, from above 0 to 1; 0.5 is the lower weighted median. Empty where there is no
    weight.
    """
    ordered = sorted(weighted)
    total = sum([weight for _, weight in ordered])
    dues = [share * total for share in shares] if total else []
    found: list[int] = []
    reached = 0
    for value, weight in ordered:
        reached += weight
        while len(found) < len(dues) and reached >= dues[len(found)]:
            found.append(value)
        if len(found) == len(dues):
            break
    return tuple(found)
