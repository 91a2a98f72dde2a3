"""rebalance-lnd's economic rule: a move must not cost more than the refilled sats would ask."""

from __future__ import annotations

from collections.abc import Sequence

from cl_revenue_ops.bench.baselines.history import Deaf
from cl_revenue_ops.bench.policy import BUSY, NO_CHEAP_ROUTE, ChannelView, FeePolicy, NodeView
from cl_revenue_ops.bench.rebalancers.pair import send

_FEE_FACTOR = 1.0
_RATE_CAP_PPM = 2_000
_KEEP_MSAT = 1_000_000_000
_LEAST_MSAT = 10_000_000
_TRIES = 12


def income_msat(dest: ChannelView, amount_msat: int) -> int:
    """Return what we would ask for sending an amount out of the destination, at most 2000 ppm."""
    return dest.base_msat + amount_msat * min(dest.ppm, _RATE_CAP_PPM) // 1_000_000


def missed_msat(source: ChannelView, amount_msat: int) -> int:
    """Return what we would ask for sending the same amount out of the source."""
    return source.base_msat + amount_msat * source.ppm // 1_000_000


def allowed_ppm(source: ChannelView, dest: ChannelView, amount_msat: int) -> int:
    """Return the most that a route may cost: `route_fee + missed <= fee_factor * income`."""
    left_msat = int(_FEE_FACTOR * income_msat(dest, amount_msat)) - missed_msat(source, amount_msat)
    return left_msat * 1_000_000 // amount_msat


def wanted_msat(channel: ChannelView) -> int:
    """Return what either side of a channel should have: 1M sat, half of a channel below 2M."""
    return min(_KEEP_MSAT, channel.capacity_msat // 2)


class Economic(Deaf):
    """rebalance-lnd with its defaults, run hourly into every channel that lacks balance.

    The tool makes one move when it is called; a timer calls it here, once for each destination,
    emptiest first. The destination is filled up to 1M sat (half of a small channel), the source
    keeps as much. The tool leaves the choice of the source to its node, which weighs what the
    source would miss: sources are tried from the cheapest up. What finds no room is tried again
    with half the amount down to the tool's 10,000 sat, which the tool does when told to.
    """

    name = "economic"
    interval_s = 3_600.0

    def __init__(self, fees: FeePolicy) -> None:
        self._fees = fees

    def begin(self, node: NodeView) -> None:
        """Wait for the first run."""

    def tick(self, node: NodeView) -> None:
        """Fill what lacks balance."""
        lacking = [c for c in node.channels() if c.local_msat < wanted_msat(c)]
        lacking.sort(key=lambda c: c.local_msat / c.capacity_msat)
        for dest in lacking:
            self._fill(dest.index, node)

    def _fill(self, index: int, node: NodeView) -> None:
        dest = node.channel(index)
        tries, limit_msat, lacks_room = 0, wanted_msat(dest) - dest.local_msat, True
        while lacks_room and limit_msat >= _LEAST_MSAT:
            lacks_room = False
            for source in self._sources(dest, node.channels()):
                amount_msat = min(limit_msat, source.local_msat - wanted_msat(source))
                ppm = allowed_ppm(source, dest, amount_msat)
                if ppm <= 0:
                    continue
                if tries >= _TRIES:
                    return
                moved = send(node, self._fees, source.index, index, amount_msat, ppm)
                if moved.ok:
                    return
                if moved.why not in (BUSY, NO_CHEAP_ROUTE):
                    tries, lacks_room = tries + 1, True
            limit_msat //= 2

    @staticmethod
    def _sources(dest: ChannelView, channels: Sequence[ChannelView]) -> list[ChannelView]:
        """Channels of other peers that can spare something, what they would miss rising."""
        found = [
            c
            for c in channels
            if c.peer_id != dest.peer_id and c.local_msat - wanted_msat(c) >= _LEAST_MSAT
        ]
        return sorted(found, key=lambda c: missed_msat(c, _KEEP_MSAT))
