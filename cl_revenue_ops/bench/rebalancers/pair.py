"""A fee rule and a rebalancer as one policy, each at its own interval; and no rebalancer at all."""

from __future__ import annotations

from math import gcd
from typing import Protocol, runtime_checkable

from cl_revenue_ops.bench.baselines.history import DAY_S, Deaf
from cl_revenue_ops.bench.policy import FeePolicy, Moved, NodeView, Refused, Settled

Rebalancer = FeePolicy
"""A rebalancer has the shape of a fee rule: `begin`, `tick` every `interval_s`, and the news."""


@runtime_checkable
class HearsRefills(Protocol):
    """A fee rule that answers to a refill, as its tool does."""

    def refilled(self, source: int, dest: int, moved: Moved, node: NodeView) -> None:
        """A payment has moved sats from one channel to another, by index."""


def send(
    node: NodeView, fees: FeePolicy, source: int, dest: int, amount_msat: int, max_ppm: int
) -> Moved:
    """Pay once, and tell the fee rule of a refill if it wants to hear of one."""
    moved = node.rebalance(source, dest, amount_msat, max_ppm)
    if moved.ok and isinstance(fees, HearsRefills):
        fees.refilled(source, dest, moved, node)
    return moved


class Nothing(Deaf):
    """Moves nothing."""

    name = "none"
    interval_s = DAY_S

    def begin(self, node: NodeView) -> None:
        """Move nothing."""

    def tick(self, node: NodeView) -> None:
        """Move nothing."""


class _Beat:
    """Says when an interval has passed, by the rule that the arena has for a policy alone."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._next_s = 0.0

    def start(self, now_s: float) -> None:
        self._next_s = now_s + self._interval_s

    def due(self, now_s: float) -> bool:
        if now_s < self._next_s:
            return False
        self._next_s += self._interval_s * (1 + (now_s - self._next_s) // self._interval_s)
        return True


class Paired:
    """Sets fees by one policy and moves sats by the other; the fee rule comes first.

    Each of them ticks when it would alone: the pair's own interval divides both (whole seconds).
    """

    def __init__(self, fees: FeePolicy, rebalancer: Rebalancer) -> None:
        self.name = f"{fees.name}/{rebalancer.name}"
        self._parts = (fees, rebalancer)
        self._beats = tuple(_Beat(part.interval_s) for part in self._parts)
        seconds = [int(part.interval_s) for part in self._parts]
        if any(part.interval_s != whole for part, whole in zip(self._parts, seconds, strict=True)):
            raise ValueError(f"{self.name}: intervals must be whole seconds")
        self.interval_s = float(gcd(*seconds))

    def begin(self, node: NodeView) -> None:
        """Begin both."""
        for part, beat in zip(self._parts, self._beats, strict=True):
            beat.start(node.now_s)
            part.begin(node)

    def tick(self, node: NodeView) -> None:
        """Let those tick whose time has come."""
        for part, beat in zip(self._parts, self._beats, strict=True):
            if beat.due(node.now_s):
                part.tick(node)

    def settled(self, forward: Settled, node: NodeView) -> None:
        """Tell both."""
        for part in self._parts:
            part.settled(forward, node)

    def refused(self, forward: Refused, node: NodeView) -> None:
        """Tell both."""
        for part in self._parts:
            part.refused(forward, node)
