"""LN Operator's rebalancer: full to empty at the last price, a fifth more after each failure."""

from __future__ import annotations

from dataclasses import dataclass

from cl_revenue_ops.bench.baselines.history import Deaf
from cl_revenue_ops.bench.policy import (
    BUSY,
    NO_CHEAP_ROUTE,
    ChannelView,
    FeePolicy,
    NodeView,
    Settled,
)
from cl_revenue_ops.bench.rebalancers.pair import send

_FULL, _EMPTY, _GOAL = 0.8, 0.2, 0.5
_FIRST_PPM, _MOST_PPM = 500, 5_000
_RISE, _EARNED_FACTOR = 0.2, 1.25
_SOLD_ENOUGH_MSAT = 2_000_000_000
_MOST_FAILURES = 5
_FLOOR_MSAT = 100_000_000


@dataclass(slots=True)
class Refills:
    """What a destination has sold for how much, and what its refills came to."""

    sold_msat: int = 0
    earned_msat: int = 0
    last_ppm: float | None = None
    failures: int = 0

    @property
    def structural(self) -> bool:
        """Whether it has failed so often that refilling it is given up."""
        return self.failures >= _MOST_FAILURES


def budget_ppm(refills: Refills) -> int:
    """Return `min((last or 500) (1 + 0.2 failures), 1.25 earned, 5000)`; what was earned a sat
    counts from 2M sat sold."""
    last_ppm = _FIRST_PPM if refills.last_ppm is None else refills.last_ppm
    ppm = min(last_ppm * (1 + _RISE * refills.failures), _MOST_PPM)
    if refills.sold_msat >= _SOLD_ENOUGH_MSAT:
        earned_ppm = refills.earned_msat * 1_000_000 / refills.sold_msat
        ppm = min(ppm, _EARNED_FACTOR * earned_ppm)
    return int(ppm)


def share(channel: ChannelView) -> float:
    """Return our part of a channel."""
    return channel.local_msat / channel.capacity_msat


class LnOperatorBudget(Deaf):
    """The tool's rebalancer, every two hours with its fee run: above 80 % into below 20 %.

    It moves what brings the destination to one half and leaves the source at one half; the tool's
    own amount is not published. Sources are tried from the fullest; what finds no room is halved
    down to 100,000 sat. A run that moves nothing is a failure; after five the channel is
    "structural" and left alone (the tool tells its operator) until traffic has brought it back
    above 20 %.
    """

    name = "budget"
    interval_s = 7_200.0

    def __init__(self, fees: FeePolicy) -> None:
        self._fees = fees
        self._known: dict[int, Refills] = {}

    def begin(self, node: NodeView) -> None:
        """Wait for the first run."""

    def settled(self, forward: Settled, node: NodeView) -> None:
        """Note what was sold."""
        sold = self._of(forward.out_index)
        sold.sold_msat += forward.out_msat
        sold.earned_msat += forward.fee_msat

    def tick(self, node: NodeView) -> None:
        """Refill what is nearly empty, emptiest first."""
        channels = sorted(node.channels(), key=share)
        for channel in channels:
            refills = self._of(channel.index)
            if share(channel) < _EMPTY and not refills.structural:
                self._refill(channel, refills, node)
            elif share(channel) >= _EMPTY and refills.structural:
                refills.failures = 0

    def _of(self, index: int) -> Refills:
        return self._known.setdefault(index, Refills())

    def _refill(self, dest: ChannelView, refills: Refills, node: NodeView) -> None:
        sources = [c for c in node.channels() if share(c) > _FULL and c.peer_id != dest.peer_id]
        if not sources:
            return
        ppm, tried = budget_ppm(refills), False
        for source in sorted(sources, key=share, reverse=True):
            amount_msat = min(
                int(_GOAL * dest.capacity_msat) - dest.local_msat,
                source.local_msat - int(_GOAL * source.capacity_msat),
            )
            while amount_msat >= _FLOOR_MSAT:
                moved = send(node, self._fees, source.index, dest.index, amount_msat, ppm)
                if moved.ok:
                    refills.last_ppm = moved.cost_msat * 1_000_000 / moved.moved_msat
                    refills.failures = 0
                    return
                if moved.why == BUSY:
                    break
                tried = True
                if moved.why == NO_CHEAP_ROUTE:
                    break
                amount_msat //= 2
        refills.failures += tried
