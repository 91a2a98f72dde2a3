"""LNDg's AutoRebalance with its AutoPilot: 3 % at a time into what sells, rapid while it works."""

from __future__ import annotations

from collections.abc import Sequence

from cl_revenue_ops.bench.baselines.history import DAY_S, Remembering
from cl_revenue_ops.bench.baselines.peers import by_peer
from cl_revenue_ops.bench.policy import ChannelView, FeePolicy, Moved, NodeView
from cl_revenue_ops.bench.rebalancers.pair import send

_IN_TARGET, _OUT_TARGET = 90.0, 75.0
_VALUE_SHARE, _MOST_PPM, _COST_PERCENT = 0.03, 500, 65
_WAIT_S, _TRY_S, _RAPID_TRY_S = 1_800.0, 300.0, 60.0
_RAPID_GROWTH, _RAPID_FLOOR_MSAT = 1.21, 69_420_000
_PILOT_RATIO, _PILOT_PERCENT = 1.1, 75.0
_INTERVAL_S = 600.0


def rate_ppm(dest: ChannelView) -> int:
    """Return the most that a route may cost: 65 % of what the destination asks, 500 ppm; 0 where
    that is not above what its peer asks towards us."""
    rate = min(_MOST_PPM, int(dest.ppm * _COST_PERCENT / 100))
    return rate if rate > dest.remote_ppm else 0


def remote_percent(channel: ChannelView) -> float:
    """Return the peer's part of a channel."""
    return 100.0 * (channel.capacity_msat - channel.local_msat) / channel.capacity_msat


def may_pay(source: ChannelView, value_msat: int) -> bool:
    """Whether a source keeps 75 % after paying a value."""
    return 100.0 * (source.local_msat - value_msat) / source.capacity_msat >= _OUT_TARGET


def pilot(is_on: bool, out_msat: int, in_msat: int, remote: float) -> bool:
    """Return AutoPilot's flag for a peer after a week's volumes, with its remote percentage.

    On above 75 % where more leaves than comes (by a tenth), off below 25 % where it does not.
    """
    if out_msat > _PILOT_RATIO * in_msat and remote > _PILOT_PERCENT:
        return True
    if out_msat < _PILOT_RATIO * in_msat and 100.0 - remote > _PILOT_PERCENT:
        return False
    return is_on


class LndgAutoRebalance(Remembering):
    """AutoRebalance with its defaults; AutoPilot, off by default, sets its flags here.

    The tool's flags are the operator's; without any it moves nothing, so AutoPilot is its fair
    chance. The tool hands its node all sources at once: they are tried in turn, fullest first, for
    five minutes. One worker: no more than ten minutes of tries in each ten minutes.
    After a run into a destination 30 minutes pass before the next. In a rapid fire, which begins
    with the first success or failure, tries last a minute each: a fifth more after a success, half
    after a failure, until the destination is below its target or the value below 69,420 sat.
    """

    name = "ar"
    interval_s = _INTERVAL_S

    def __init__(self, fees: FeePolicy) -> None:
        super().__init__(keep_s=8 * DAY_S)
        self._fees = fees
        self._flags: dict[str, bool] = {}
        self._ended_s: dict[int, float] = {}
        self._left_s = 0.0

    def begin(self, node: NodeView) -> None:
        """Wait for the first run."""

    def tick(self, node: NodeView) -> None:
        """Set the flags, then fill what is below its target, emptiest first."""
        self._fly(node)
        self._left_s = _INTERVAL_S
        dests = [c for c in node.channels() if self._wants(c)]
        for dest in sorted(dests, key=lambda c: -remote_percent(c)):
            if node.now_s - self._ended_s.get(dest.index, -_WAIT_S) >= _WAIT_S:
                self._run(dest, node)

    def _fly(self, node: NodeView) -> None:
        week_s = node.now_s - 7 * DAY_S
        for peer_id, channels in by_peer(node.channels()).items():
            past = [self.history.of(channel.index) for channel in channels]
            capacity_msat = sum(channel.capacity_msat for channel in channels)
            local_msat = sum(channel.local_msat for channel in channels)
            self._flags[peer_id] = pilot(
                self._flags.get(peer_id, False),
                sum(one.out.since(week_s) for one in past),
                sum(one.into.since(week_s) for one in past),
                100.0 * (capacity_msat - local_msat) / capacity_msat,
            )

    def _wants(self, channel: ChannelView) -> bool:
        return self._flags.get(channel.peer_id, False) and remote_percent(channel) >= _IN_TARGET

    def _run(self, dest: ChannelView, node: NodeView) -> None:
        value_msat, rate = int(_VALUE_SHARE * dest.capacity_msat), rate_ppm(dest)
        patience_s = _TRY_S
        while rate > 0 and value_msat >= _RAPID_FLOOR_MSAT and self._left_s > 0.0:
            self._ended_s[dest.index] = node.now_s
            moved = self._try(dest, value_msat, rate, min(patience_s, self._left_s), node)
            if moved is None:
                return
            value_msat = int(value_msat * _RAPID_GROWTH) if moved.ok else value_msat // 2
            patience_s = _RAPID_TRY_S
            if not self._wants(node.channel(dest.index)):
                return

    def _try(
        self, dest: ChannelView, value_msat: int, rate: int, patience_s: float, node: NodeView
    ) -> Moved | None:
        """Try the sources in turn; the last answer, None where there is no source."""
        moved, used_s = None, 0.0
        for source in self._sources(value_msat, node.channels()):
            moved = send(node, self._fees, source.index, dest.index, value_msat, rate)
            used_s += moved.seconds
            if moved.ok or used_s >= patience_s:
                break
        self._left_s -= used_s
        return moved

    def _sources(self, value_msat: int, channels: Sequence[ChannelView]) -> list[ChannelView]:
        """Channels that can spare a value; the destination's peer has its flag, so it is none."""
        found = [
            c for c in channels if not self._flags.get(c.peer_id, False) and may_pay(c, value_msat)
        ]
        return sorted(found, key=remote_percent)
