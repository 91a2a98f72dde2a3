"""LNDg's AutoFees: steps of five by weekly flow and balance, per peer, at most one a day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cl_revenue_ops.bench.baselines.history import DAY_S, Remembering
from cl_revenue_ops.bench.baselines.peers import by_peer
from cl_revenue_ops.bench.policy import ChannelView, NodeView, Settled

_INCREMENT_PPM, _MULTIPLIER = 5, 5
_LEAST_PPM, _MOST_PPM = 0, 2_500
_LOW_PERCENT, _EXCESS_PERCENT = 15.0, 95.0
_MANY_FAILURES = 25
_DUST_MSAT = 1_000_000


class PeerWeek(NamedTuple):
    """A peer's channels summed: balance in percent, a week's amounts in msat, a day's failures."""

    local_percent: float
    capacity_msat: int
    out_msat: int
    in_msat: int
    earned_msat: int
    assisted_msat: int
    in_day_msat: int
    failures_day: int


def step_ppm(week: PeerWeek) -> float:
    """Return AutoFees' step before rounding, by its three liquidity classes."""
    net = (week.out_msat - week.in_msat) / week.capacity_msat
    idle = week.out_msat + week.in_msat == 0
    if week.local_percent <= _LOW_PERCENT:
        wanted = week.failures_day > _MANY_FAILURES and week.in_day_msat == 0
        return 5 * _MULTIPLIER if wanted else 0
    if week.local_percent < _EXCESS_PERCENT:
        if idle:
            return -3 * _MULTIPLIER
        return 2 * _MULTIPLIER * (1 + net) if net > 1 else 0
    entry = net < 0 and week.assisted_msat > 10 * week.earned_msat
    return -5 * _MULTIPLIER if idle or entry else 0


def stepped_ppm(ppm: int, step: float) -> int:
    """Return the next fee: to the nearest increment of 5, between 0 and 2500."""
    rounded = round((ppm + step) / _INCREMENT_PPM) * _INCREMENT_PPM
    return min(max(rounded, _LEAST_PPM), _MOST_PPM)


class LndgAutoFees(Remembering):
    """AutoFees with its defaults, run hourly; a channel whose fee changed within 24 h waits.

    A channel counts as changed when first seen, as in the tool's database. Forwards below 1000
    sat are ignored. Failures are the refusals that the view tells, for lack of balance or else.
    Inbound fees are off by default and left out; the base fee is never touched.
    """

    name = "lndg"
    interval_s = 3_600.0

    def __init__(self) -> None:
        super().__init__(keep_s=8 * DAY_S)
        self._changed_s: dict[int, float] = {}

    def begin(self, node: NodeView) -> None:
        """See the channels for the first time."""
        self.tick(node)

    def tick(self, node: NodeView) -> None:
        """Step every channel that may move."""
        now_s = node.now_s
        for channels in by_peer(node.channels()).values():
            due = [
                channel
                for channel in channels
                if now_s - self._changed_s.setdefault(channel.index, now_s) >= DAY_S
            ]
            if not due:
                continue
            step = step_ppm(self._week(channels, now_s))
            for channel in due:
                ppm = stepped_ppm(channel.ppm, step)
                if ppm != channel.ppm:
                    node.set_fee(channel.index, ppm, channel.base_msat)
                    self._changed_s[channel.index] = now_s

    def settled(self, forward: Settled, node: NodeView) -> None:
        """File it unless it is dust."""
        if forward.out_msat >= _DUST_MSAT:
            self.history.settled(forward)

    def _week(self, channels: Sequence[ChannelView], now_s: float) -> PeerWeek:
        past = [self.history.of(channel.index) for channel in channels]
        week_s, day_s = now_s - 7 * DAY_S, now_s - DAY_S
        capacity_msat = sum(channel.capacity_msat for channel in channels)
        return PeerWeek(
            100 * sum(channel.local_msat for channel in channels) / capacity_msat,
            capacity_msat,
            sum(one.out.since(week_s) for one in past),
            sum(one.into.since(week_s) for one in past),
            sum(one.earned.since(week_s) for one in past),
            sum(one.assisted.since(week_s) for one in past),
            sum(one.into.since(day_s) for one in past),
            sum(one.refused.count_since(day_s) for one in past),
        )
