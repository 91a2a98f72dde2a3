"""lndmanage: once a week, fees follow the peer's outflow towards a target, by factors."""

from __future__ import annotations

from cl_revenue_ops.bench.baselines.history import DAY_S, Remembering
from cl_revenue_ops.bench.baselines.peers import by_peer
from cl_revenue_ops.bench.policy import ChannelView, NodeView

_WEEK_S = 7 * DAY_S
_TARGET_SAT_PER_DAY, _TARGET_FORWARDS_PER_DAY = 100_000 / 7, 4 / 7
_RESERVE_MSAT = 500_000_000
_MOST_FACTOR, _LEAST_BASE_FACTOR = 1.5, 0.75
_LEAST_PPM, _MOST_PPM, _MOST_BASE_MSAT = 5, 5_000, 5_000


def demand_factor(rate: float, target: float) -> float:
    """Return `1 + 0.5 (rate / target - 1)`: 0.5 without any flow, 1 at the target."""
    return 1 + 0.5 * (rate / target - 1)


def least_factor(local_msat: int, capacity_msat: int) -> float:
    """Return the factor below which a channel's rate is not cut: 1.05 empty, 1 at the reserve.

    Above the reserve it falls to 0.5 when full. The reserve is 500,000 sat, or a third of the
    capacity where that would be more than half of it.
    """
    reserve_msat = float(_RESERVE_MSAT)
    if reserve_msat > capacity_msat / 2:
        reserve_msat = capacity_msat / 3
    if local_msat < reserve_msat:
        return 1 + 0.05 * (reserve_msat - local_msat) / reserve_msat
    return 1 - 0.5 * (local_msat - reserve_msat) / (capacity_msat - reserve_msat)


def next_ppm(ppm: int, factor: float, least: float) -> int:
    """Return the rate times the factor, that between `least` and 1.5, within 5 to 5000 ppm."""
    return min(max(round(ppm * min(max(factor, least), _MOST_FACTOR)), _LEAST_PPM), _MOST_PPM)


def next_base_msat(base_msat: int, factor: float) -> int:
    """Return the base times the factor, that between 0.75 and 1.5, within 0 to 5000 msat."""
    factor = min(max(factor, _LEAST_BASE_FACTOR), _MOST_FACTOR)
    return min(round(base_msat * factor), _MOST_BASE_MSAT)


class Lndmanage(Remembering):
    """`lndmanage update-fees` once a week, the first time after a week of watching.

    It starts from the fees found, as without the option that first sets all to 2500 ppm.
    """

    name = "lndmanage"
    interval_s = _WEEK_S

    def __init__(self) -> None:
        super().__init__(keep_s=8 * DAY_S)

    def begin(self, node: NodeView) -> None:
        """Watch first."""

    def tick(self, node: NodeView) -> None:
        """Move the fees of every peer's channels by the peer's week."""
        since_s = node.now_s - _WEEK_S
        for channels in by_peer(node.channels()).values():
            past = [self.history.of(channel.index).out for channel in channels]
            sat_per_day = sum(out.since(since_s) for out in past) / 1_000 / 7
            forwards_per_day = sum(out.count_since(since_s) for out in past) / 7
            for channel in channels:
                self._move(channel, sat_per_day, forwards_per_day, node)

    @staticmethod
    def _move(
        channel: ChannelView, sat_per_day: float, forwards_per_day: float, node: NodeView
    ) -> None:
        least = least_factor(channel.local_msat, channel.capacity_msat)
        ppm = next_ppm(channel.ppm, demand_factor(sat_per_day, _TARGET_SAT_PER_DAY), least)
        factor = demand_factor(forwards_per_day, _TARGET_FORWARDS_PER_DAY)
        node.set_fee(channel.index, ppm, next_base_msat(channel.base_msat, factor))
