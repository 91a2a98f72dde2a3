"""The fee cycle of the earlier cl-revenue-ops, on a node alone, by its published rules."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cl_revenue_ops.bench.baselines.earlier_bounds import (
    ChannelFacts,
    bounds,
    cold_started,
    flow_state,
    scarcity_factor,
)
from cl_revenue_ops.bench.baselines.earlier_learning import (
    Aimd,
    Sleep,
    Thompson,
    bucket,
    regime_changed,
)
from cl_revenue_ops.bench.baselines.history import DAY_S, ChannelHistory, Remembering
from cl_revenue_ops.bench.policy import ChannelView, NodeView, Settled

_HOUR_S = 3_600.0
_SMOOTHING = 0.3
_GOSSIP_SHARE = 0.05
_OPEN_COST_MSAT, _PROFITABLE_ROI = 5_000_000, 0.20


def revenue_sat(volume_msat: int, ppm: int) -> int:
    """Return what a volume would earn at the fee in force now, floored to whole sats."""
    return volume_msat // 1_000 * ppm // 1_000_000


def least_change_ppm(ppm: int) -> float:
    """Return the smallest change that passes: 1 ppm below 100 ppm, else 5 ppm or 3 %."""
    return 1.0 if ppm < 100 else max(5.0, 0.03 * ppm)


def is_broadcast(ppm: int, last_ppm: int, label: str, last_label: str) -> bool:
    """Whether a target is sent: off by over 5 %, at the edge of nothing, or newly labelled."""
    if last_ppm <= 1 or ppm <= 1 or label != last_label:
        return True
    return abs(ppm - last_ppm) / last_ppm > _GOSSIP_SHARE


@dataclass(slots=True)
class _Channel:
    seen_s: float
    sleep: Sleep
    thompson: Thompson = field(default_factory=Thompson)
    aimd: Aimd = field(default_factory=Aimd)
    updated_s: float | None = None
    rate: float | None = None
    regime_s: float = 0.0
    label: str = ""
    gained_msat: int = 0


class Earlier(Remembering):
    """Observe, bound, sample, guard and broadcast, every 30 minutes, base fee 0.

    With the documented effects: the mempool reflex (Vegas) never reaches a floor, no channel is
    ever exempt from scarcity, a target that is kept back does not end its window (the same
    forwards are observed again), and the context in the label lets a change of balance bucket
    past the 5 % gate. Left out, as the view has no such data: slots in use (congestion), slow
    or unreliable peers, rebalance costs, who opened a channel (ours, at the default cost of
    5000 sat), and the Kalman filter over the flow ratio, whose input decides here. No hive.

    `freezes` brings the observed fault that a channel with flat revenue stays asleep for as long
    as it stays flat; without it sleep ends as documented.
    """

    interval_s = 1_800.0

    def __init__(self, name: str, rng: np.random.Generator, freezes: bool = False) -> None:
        super().__init__(keep_s=8 * DAY_S)
        self.name = name
        self._rng = rng
        self._freezes = freezes
        self._channels: dict[int, _Channel] = {}

    def begin(self, node: NodeView) -> None:
        """See the channels for the first time; the first cycle comes with the first tick."""
        for channel in node.channels():
            self._of(channel.index, node.now_s)

    def settled(self, forward: Settled, node: NodeView) -> None:
        """File it, and credit both channels for as long as they live."""
        super().settled(forward, node)
        for index in (forward.in_index, forward.out_index):
            self._of(index, node.now_s).gained_msat += forward.fee_msat

    def tick(self, node: NodeView) -> None:
        """Run one cycle."""
        sat_per_vb = node.sat_per_vb()
        for channel in node.channels():
            state = self._of(channel.index, node.now_s)
            if state.updated_s is None or node.now_s - state.updated_s >= _HOUR_S:
                self._cycle(channel, state, sat_per_vb, node)

    def _of(self, index: int, now_s: float) -> _Channel:
        state = self._channels.get(index)
        if state is None:
            state = self._channels[index] = _Channel(now_s, Sleep(self._freezes))
        return state

    def _cycle(
        self, channel: ChannelView, state: _Channel, sat_per_vb: float, node: NodeView
    ) -> None:
        now_s, past = node.now_s, self.history.of(channel.index)
        since_s = state.seen_s if state.updated_s is None else state.updated_s
        hours = 1.0 if state.updated_s is None else (now_s - since_s) / _HOUR_S
        raw = revenue_sat(past.out.since(since_s), channel.ppm) / hours
        last = state.rate
        state.rate = raw if last is None else _SMOOTHING * raw + (1 - _SMOOTHING) * last
        if last is not None and state.sleep.through(state.rate, last, now_s):
            return
        place = bucket(channel.local_msat / channel.capacity_msat)
        self._learn(channel, state, past.out.count_since(since_s) > 0, hours, place, now_s)
        ppm = self._wanted(channel, state, past, sat_per_vb, place, now_s)
        self._send(channel, state, ppm, state.thompson.label(place), node)

    @staticmethod
    def _learn(
        channel: ChannelView, state: _Channel, sold: bool, hours: float, place: int, now_s: float
    ) -> None:
        rate = state.rate or 0.0
        if now_s - state.regime_s >= _HOUR_S:
            state.regime_s = now_s
            if regime_changed(state.thompson.observations, rate):
                state.thompson = Thompson()
                state.aimd = Aimd()
        state.thompson.observe(channel.ppm, rate, hours, now_s, place)
        state.aimd.take(sold, now_s)

    def _wanted(
        self,
        channel: ChannelView,
        state: _Channel,
        past: ChannelHistory,
        sat_per_vb: float,
        place: int,
        now_s: float,
    ) -> int:
        facts = _facts(channel, state, past, sat_per_vb, now_s)
        limits = bounds(facts)
        ppm = limits.clamp(state.thompson.sample(place, now_s, self._rng))
        if state.gained_msat > (1 + _PROFITABLE_ROI) * _OPEN_COST_MSAT:
            ppm = int(1.10 * ppm)
        ppm = limits.clamp(state.aimd.apply(ppm))
        ppm, limits = cold_started(ppm, facts, limits)
        return limits.clamp(ppm * scarcity_factor(facts.share))

    @staticmethod
    def _send(channel: ChannelView, state: _Channel, ppm: int, label: str, node: NodeView) -> None:
        if ppm == channel.ppm:
            state.updated_s = node.now_s
            return
        if abs(ppm - channel.ppm) < least_change_ppm(channel.ppm):
            return
        if is_broadcast(ppm, channel.ppm, label, state.label):
            node.set_fee(channel.index, ppm)
            state.updated_s, state.label = node.now_s, label


def _facts(
    channel: ChannelView, state: _Channel, past: ChannelHistory, sat_per_vb: float, now_s: float
) -> ChannelFacts:
    share = channel.local_msat / channel.capacity_msat
    week_s, day_s = now_s - 7 * DAY_S, now_s - DAY_S
    out_msat, in_msat = past.out.since(week_s), past.into.since(week_s)
    net_msat_per_day = (out_msat - in_msat) / 7
    return ChannelFacts(
        share,
        channel.capacity_msat,
        sat_per_vb,
        flow_state(share, net_msat_per_day, channel.capacity_msat, out_msat + in_msat > 0),
        channel.ppm,
        past.out.count_since(day_s) + past.into.count_since(day_s),
        past.out.count_since(week_s) + past.into.count_since(week_s),
        None if past.out.last_s is None else now_s - past.out.last_s,
        now_s - state.seen_s,
    )
