"""feeadjuster for Core Lightning: a node-wide or median fee times 50 to the power of imbalance."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np

from cl_revenue_ops.bench.baselines.history import DAY_S
from cl_revenue_ops.bench.policy import ChannelView, Moved, NodeView, QuoteView, Refused, Settled

NODE_DEFAULT_PPM = 10
NODE_DEFAULT_BASE_MSAT = 1_000
_EXTREME_PPM = 5_000
_SHARE_THRESHOLD = 0.05
_BALANCE_THRESHOLD_MSAT = 100_000_000
_FUZZ = 0.015


def balance_ratio(share: float) -> float:
    """Return `50^(0.5 - share)`: 7.07 where we have nothing, 1 at half, 0.141 where we have all."""
    return float(50.0 ** (0.5 - share))


def median_ppm(quotes: Sequence[QuoteView]) -> float:
    """Return the median ppm of the rivals' channels, those at 0 or from 5000 ppm on left out.

    The node's default where none is left.
    """
    usual = [quote.ppm for quote in quotes if 0 < quote.ppm < _EXTREME_PPM]
    return median(usual) if usual else float(NODE_DEFAULT_PPM)


class FeeAdjuster:
    """The plugin's defaults: update both channels of each settled forward, and all at the start.

    A channel is updated if its share moved by more than 0.05 +- U(0.015) or its balance by more
    than 0.001 BTC +- 1.5 % since its last update. The base is the node's default of 1000 msat,
    never multiplied; `base_msat` is there for a variant of ours. Left out: the pause of up to
    5 s that one update in ten takes first, since the view has no delayed action, and the
    options that are off by default (enough-liquidity, imbalance, max-htlc-steps, deactivation).
    """

    interval_s = DAY_S

    def __init__(
        self,
        name: str,
        by_median: bool,
        rng: np.random.Generator,
        base_msat: int = NODE_DEFAULT_BASE_MSAT,
    ) -> None:
        self.name = name
        self._by_median = by_median
        self._rng = rng
        self._base_msat = base_msat
        self._last_msat: dict[int, int] = {}

    def begin(self, node: NodeView) -> None:
        """Update every channel."""
        for channel in node.channels():
            self._update(channel, node)

    def tick(self, node: NodeView) -> None:
        """Do nothing: the plugin has no timer."""

    def settled(self, forward: Settled, node: NodeView) -> None:
        """Update the forward's two channels where they moved enough."""
        for index in (forward.in_index, forward.out_index):
            try:
                channel = node.channel(index)
            except KeyError:
                continue
            if self._moved(channel):
                self._update(channel, node)

    def refused(self, forward: Refused, node: NodeView) -> None:
        """Ignore it."""

    def refilled(self, source: int, dest: int, moved: Moved, node: NodeView) -> None:
        """Update both channels: the collection's own rebalancer calls it at the end of its run."""
        for index in (source, dest):
            self._update(node.channel(index), node)

    def _moved(self, channel: ChannelView) -> bool:
        last_msat = self._last_msat.get(channel.index)
        if last_msat is None:
            return True
        change_msat = abs(channel.local_msat - last_msat)
        fuzz = self._rng.uniform(-_FUZZ, _FUZZ)
        return bool(
            change_msat / channel.capacity_msat > _SHARE_THRESHOLD + fuzz
            or change_msat > _BALANCE_THRESHOLD_MSAT * (1 + self._rng.uniform(-_FUZZ, _FUZZ))
        )

    def _update(self, channel: ChannelView, node: NodeView) -> None:
        self._last_msat[channel.index] = channel.local_msat
        asked = median_ppm(node.quotes(channel.peer_id)) if self._by_median else NODE_DEFAULT_PPM
        ppm = int(asked * balance_ratio(channel.local_msat / channel.capacity_msat))
        node.set_fee(channel.index, ppm, self._base_msat)
