"""LN Operator: a sigmoid of the balance times a multiplier that follows traffic, damped."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

from cl_revenue_ops.bench.baselines.history import DAY_S, Remembering
from cl_revenue_ops.bench.policy import ChannelView, Moved, NodeView

_CEILING_PPM = 5_000
_LOW, _HIGH = 0.2, 0.8
_LEAST_STEP_PPM, _LEAST_STEP_SHARE, _SNAP_PPM = 10, 0.10, 30
_COOL_DOWN_S = 6 * 3_600.0
_NUDGE, _DRAIN_NUDGE = 0.15, 0.40
_LEAST_MULTIPLIER, _MOST_MULTIPLIER = -0.5, 1.0
_BUSY_S, _SILENT_S = DAY_S, 3 * DAY_S
_FIRST_LOOK_BACK_S = 7_200.0
_FLOOR_FACTOR, _FLOOR_END_PPM = 1.1, 25.0
_FLOOR_IDLE_S, _FLOOR_HALF_LIFE_S = 3 * DAY_S, 3 * DAY_S


def sigmoid_ppm(share: float) -> int:
    """Return `25 + 725 / (1 + exp(8 (share - 0.5)))`: 690 at 0.2, 388 at 0.5, 85 at 0.8."""
    return round(25 + 725 / (1 + exp(8 * (share - 0.5))))


def nightly(multiplier: float, silent_s: float | None) -> float:
    """Return the multiplier after a night: up when busy within a day, down when silent 3 days.

    `silent_s` is the time since the last forward, None where there never was one (silent).
    """
    if silent_s is not None and silent_s <= _BUSY_S:
        multiplier += _NUDGE
    elif silent_s is None or silent_s >= _SILENT_S:
        multiplier -= _NUDGE
    return min(max(multiplier, _LEAST_MULTIPLIER), _MOST_MULTIPLIER)


def floor_ppm(refill_ppm: float, idle_s: float) -> float:
    """Return the fee that a refill at a price asks for: 1.1 times as much.

    After three idle days it falls towards 25 ppm with a half-life of three days.
    """
    floor = _FLOOR_FACTOR * refill_ppm
    if idle_s <= _FLOOR_IDLE_S or floor <= _FLOOR_END_PPM:
        return floor
    left = 0.5 ** ((idle_s - _FLOOR_IDLE_S) / _FLOOR_HALF_LIFE_S)
    return float(_FLOOR_END_PPM + (floor - _FLOOR_END_PPM) * left)


def zone(share: float) -> int:
    """Return -1 below 20 %, 1 above 80 %, else 0."""
    return (share > _HIGH) - (share < _LOW)


@dataclass(slots=True)
class _Signals:
    multiplier: float = 0.0
    updated_s: float | None = None
    updated_share: float | None = None
    refill_ppm: float | None = None
    refilled_s: float = 0.0


class LnOperator(Remembering):
    """The tool's 2-hourly fee run and nightly multiplier, base fee 0.

    Its floor of last refill price times 1.1 is off until a rebalancer beside it has told of a
    refill. A channel is idle from its last forward or refill on. Below 20 % the multiplier may
    only raise. A forward counts for both of its channels.
    """

    name = "lnoperator"
    interval_s = 7_200.0

    def __init__(self) -> None:
        super().__init__(keep_s=4 * DAY_S)
        self._signals: dict[int, _Signals] = {}
        self._night = 0

    def begin(self, node: NodeView) -> None:
        """Price every channel for the first time."""
        self._night = int(node.now_s // DAY_S)
        self.tick(node)

    def tick(self, node: NodeView) -> None:
        """Take the night's nudges where one has passed, then price every channel."""
        night = int(node.now_s // DAY_S)
        channels = node.channels()
        if night != self._night:
            self._night = night
            for channel in channels:
                self._nudge(channel.index, node.now_s)
        for channel in channels:
            self._price(channel, node)

    def refilled(self, source: int, dest: int, moved: Moved, node: NodeView) -> None:
        """Arm the destination's floor with what the refill cost."""
        signals = self._of(dest)
        signals.refill_ppm = moved.cost_msat * 1_000_000 / moved.moved_msat
        signals.refilled_s = node.now_s

    def _floor(self, index: int, now_s: float) -> float:
        signals = self._of(index)
        if signals.refill_ppm is None:
            return 0.0
        busy_s = max(signals.refilled_s, self.history.of(index).last_forward_s() or 0.0)
        return floor_ppm(signals.refill_ppm, now_s - busy_s)

    def _of(self, index: int) -> _Signals:
        return self._signals.setdefault(index, _Signals())

    def _nudge(self, index: int, now_s: float) -> None:
        signals = self._of(index)
        last_s = self.history.of(index).last_forward_s()
        silent_s = None if last_s is None else now_s - last_s
        signals.multiplier = nightly(signals.multiplier, silent_s)

    def _price(self, channel: ChannelView, node: NodeView) -> None:
        signals = self._of(channel.index)
        share = channel.local_msat / channel.capacity_msat
        if share < _LOW:
            since_s = signals.updated_s or node.now_s - _FIRST_LOOK_BACK_S
            if self.history.of(channel.index).refused.count_since(since_s):
                signals.multiplier = min(_MOST_MULTIPLIER, signals.multiplier + _DRAIN_NUDGE)
        curve = sigmoid_ppm(share)
        target = curve * (1 + signals.multiplier)
        if share < _LOW:
            target = max(target, curve)
        target = max(target, self._floor(channel.index, node.now_s))
        ppm = round(min(target, _CEILING_PPM))
        if self._worth(ppm - channel.ppm, channel.ppm, share, signals, node.now_s):
            node.set_fee(channel.index, ppm)
            signals.updated_s, signals.updated_share = node.now_s, share

    @staticmethod
    def _worth(step: int, ppm: int, share: float, signals: _Signals, now_s: float) -> bool:
        """Whether a step passes tolerance, and then snap, edge crossing or cool-down."""
        size = abs(step)
        if size < _LEAST_STEP_PPM and size / max(ppm, 1) < _LEAST_STEP_SHARE:
            return False
        if size >= _SNAP_PPM or signals.updated_s is None or signals.updated_share is None:
            return True
        crossed = zone(share) != zone(signals.updated_share)
        return crossed or now_s - signals.updated_s >= _COOL_DOWN_S
