"""Fees that never move: those found at the start, one for all, or one for each channel."""

from __future__ import annotations

from collections.abc import Mapping

from cl_revenue_ops.bench.baselines.history import DAY_S, Deaf
from cl_revenue_ops.bench.policy import NodeView


class Found(Deaf):
    """Leave every fee as it was found."""

    name = "static"
    interval_s = DAY_S

    def begin(self, node: NodeView) -> None:
        """Change nothing."""

    def tick(self, node: NodeView) -> None:
        """Change nothing."""


class Flat(Deaf):
    """One ppm, without base fee, on every channel, also on those that open later."""

    interval_s = 3_600.0

    def __init__(self, ppm: int) -> None:
        self.name = f"static-{ppm}"
        self._ppm = ppm

    def begin(self, node: NodeView) -> None:
        """Set the fee on what is open."""
        self.tick(node)

    def tick(self, node: NodeView) -> None:
        """Set the fee where it is another."""
        for channel in node.channels():
            if (channel.ppm, channel.base_msat) != (self._ppm, 0):
                node.set_fee(channel.index, self._ppm)


class FixedFees(Deaf):
    """A ppm of its own, without base fee, for each channel named; the others are left alone."""

    name = "oracle-static"
    interval_s = 3_600.0

    def __init__(self, ppm_by_index: Mapping[int, int]) -> None:
        self._ppm_by_index = dict(ppm_by_index)

    def begin(self, node: NodeView) -> None:
        """Set the fees of what is open."""
        self.tick(node)

    def tick(self, node: NodeView) -> None:
        """Set the fees that are others."""
        for channel in node.channels():
            ppm = self._ppm_by_index.get(channel.index)
            if ppm is not None and (channel.ppm, channel.base_msat) != (ppm, 0):
                node.set_fee(channel.index, ppm)
