"""Small policies and worlds for the tests of the bench."""

from __future__ import annotations

from collections.abc import Callable

from cl_revenue_ops.bench.policy import NodeView, Refused, Settled
from cl_revenue_ops.bench.scenarios import ALL_SCENARIOS, Scenario
from cl_revenue_ops.simnode.market import Market

HOUR_S, DAY_S = 3_600.0, 86_400.0


class Scripted:
    """Sets on every open channel what `ppm(day, index)` says, once an hour; remembers its news."""

    interval_s = HOUR_S

    def __init__(self, ppm: Callable[[float, int], int] | None, name: str = "scripted") -> None:
        self.name = name
        self.facts: list[Settled | Refused] = []
        self.ticks_s: list[float] = []
        self.looks: list[Callable[[NodeView], object]] = []
        self._ppm = ppm
        self._start_s = 0.0

    def begin(self, node: NodeView) -> None:
        """Set the first fees."""
        self._start_s = node.now_s
        self._set(node)

    def tick(self, node: NodeView) -> None:
        """Set the fees of the day."""
        self.ticks_s.append(node.now_s)
        self._set(node)
        for look in self.looks:
            look(node)

    def settled(self, forward: Settled, node: NodeView) -> None:
        """Remember it."""
        assert forward.at_s <= node.now_s
        self.facts.append(forward)

    def refused(self, forward: Refused, node: NodeView) -> None:
        """Remember it."""
        assert forward.at_s <= node.now_s
        self.facts.append(forward)

    def _set(self, node: NodeView) -> None:
        if self._ppm is not None:
            day = (node.now_s - self._start_s) / DAY_S
            for channel in node.channels():
                node.set_fee(channel.index, self._ppm(day, channel.index))


def still() -> Scripted:
    """A policy that leaves every fee as it is."""
    return Scripted(None, "still")


def flat(ppm: int) -> Scripted:
    """One ppm, no base fee, everywhere and always."""
    return Scripted(lambda day, index: ppm, f"flat-{ppm}")


def world(
    name: str, seed: int = 1, channels: int = 5, days: int = 3, **fixed: float
) -> tuple[Market, Scenario]:
    """A drawn market of a scenario, with some parameters held at one value."""
    scenario = ALL_SCENARIOS[name]
    if fixed:
        held = scenario.ranges.fixed(**fixed)
        scenario = Scenario(name, scenario.about, held, scenario.alter, scenario.attacked)
    return scenario.market(seed, channels, days), scenario
