"""feelancer's spread controller with its proportional part alone, on the outgoing rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cl_revenue_ops.bench.baselines.history import DAY_S, Deaf
from cl_revenue_ops.bench.baselines.peers import by_peer, local_share
from cl_revenue_ops.bench.policy import ChannelView, NodeView

DEMO_GAIN_PPM_PER_DAY = 1.0
MARGIN_PPM = 50.0
_MOST_PPM = 2_500
_LEAST_STEP_PPM, _LEAST_PAUSE_S = 10, DAY_S
_FIRST_STEP_S = 3_600.0


def liquidity_error(remote_share: float, target: float) -> float:
    """Return 0 at the target, rising straight to 0.5 at 1 and falling straight to -0.5 at 0."""
    if remote_share >= target:
        return 0.5 * (remote_share - target) / (1 - target) if target < 1 else 0.0
    return 0.5 * (remote_share - target) / target


def out_ppm(margin: float, spread: float) -> int:
    """Return `(margin + spread) / (1 - spread)` in whole ppm, within 0 to 2500."""
    return min(int(max((margin + spread) / (1 - spread / 1e6), 0.0)), _MOST_PPM)


def spread_of(ppm: float, margin: float) -> float:
    """Return the spread at which `out_ppm` gives a fee, both in ppm."""
    return (ppm - margin) / (1 + ppm / 1e6)


@dataclass(slots=True)
class _Controller:
    spread: float
    error: float = 0.0
    last_s: float | None = None


class Feelancer(Deaf):
    """Every 15 minutes `spread += gain * mean error * days`, per peer, the margin standing still.

    The target is the node's average, the margin the demo's 50 ppm, where its own controller
    rests. A peer starts from the fee found. A fee is sent at most daily and from 10 ppm on, the
    documented defaults. Integral and derivative parts, drift and inbound rates are left out. The
    demo's gain moves a fee by less than 1 ppm a day; `gain_ppm_per_day` is there for a variant
    of ours.
    """

    interval_s = 900.0

    def __init__(self, name: str, gain_ppm_per_day: float = DEMO_GAIN_PPM_PER_DAY) -> None:
        self.name = name
        self._gain = gain_ppm_per_day
        self._controllers: dict[str, _Controller] = {}
        self._sent_s: dict[int, float] = {}

    def begin(self, node: NodeView) -> None:
        """Run once at the start."""
        self.tick(node)

    def tick(self, node: NodeView) -> None:
        """Move every peer's spread, and send the fees that moved enough."""
        channels = node.channels()
        if not channels:
            return
        target = 1 - local_share(channels)
        for peer_id, theirs in by_peer(channels).items():
            spread = self._spread(peer_id, theirs, target, node.now_s)
            ppm = out_ppm(MARGIN_PPM, spread)
            for channel in theirs:
                self._send(channel, ppm, node)

    def _spread(
        self, peer_id: str, channels: Sequence[ChannelView], target: float, now_s: float
    ) -> float:
        one = self._controllers.get(peer_id)
        if one is None:
            whole = sum(c.capacity_msat for c in channels)
            found = sum(c.ppm * c.capacity_msat for c in channels) / whole
            one = self._controllers[peer_id] = _Controller(spread_of(found, MARGIN_PPM))
        error = liquidity_error(1 - local_share(channels), target)
        passed_s = _FIRST_STEP_S if one.last_s is None else now_s - one.last_s
        one.spread += self._gain * (error + one.error) / 2 * passed_s / DAY_S
        one.error, one.last_s = error, now_s
        return one.spread

    def _send(self, channel: ChannelView, ppm: int, node: NodeView) -> None:
        sent_s = self._sent_s.get(channel.index)
        rested = sent_s is None or node.now_s - sent_s >= _LEAST_PAUSE_S
        if rested and abs(ppm - channel.ppm) >= _LEAST_STEP_PPM:
            node.set_fee(channel.index, ppm, channel.base_msat)
            self._sent_s[channel.index] = node.now_s
