"""charge-lnd's proportional strategy: the emptier our side, the dearer, in a straight line."""

from __future__ import annotations

from cl_revenue_ops.bench.baselines.history import Deaf
from cl_revenue_ops.bench.policy import NodeView

_LEAST_STEP_PPM = 10


def proportional_ppm(local_msat: int, capacity_msat: int, min_ppm: int, max_ppm: int) -> int:
    """Return `max(0, int(min + (1 - local/capacity) * (max - min)))`, charge-lnd's formula."""
    share = local_msat / capacity_msat
    return max(0, int(min_ppm + (1 - share) * (max_ppm - min_ppm)))


class Proportional(Deaf):
    """charge-lnd on an hourly timer with `strategy = proportional`, 100 to 1000 ppm.

    A change of fewer than 10 ppm is not made (the tool forces this for the strategy). The base
    fee stays as found, as the tool leaves it unless told.
    """

    name = "proportional"
    interval_s = 3_600.0

    def __init__(self, min_ppm: int = 100, max_ppm: int = 1_000) -> None:
        self._min_ppm = min_ppm
        self._max_ppm = max_ppm

    def begin(self, node: NodeView) -> None:
        """Run once at the start."""
        self.tick(node)

    def tick(self, node: NodeView) -> None:
        """Price every channel by its balance."""
        for channel in node.channels():
            ppm = proportional_ppm(
                channel.local_msat, channel.capacity_msat, self._min_ppm, self._max_ppm
            )
            if abs(ppm - channel.ppm) >= _LEAST_STEP_PPM:
                node.set_fee(channel.index, ppm, channel.base_msat)
