"""NodeGuard: an integrator on the smoothed balance's distance from a target that flow sets."""

from __future__ import annotations

from dataclasses import dataclass

from cl_revenue_ops.bench.baselines.history import DAY_S, Remembering
from cl_revenue_ops.bench.policy import ChannelView, NodeView

_WINDOW_S = 21 * DAY_S
_CLASS_FLOW, _CYCLES_TO_FLIP = 0.25, 3
_TARGET_RATE, _SMOOTHING, _DEAD_BAND = 0.10, 0.08, 0.03
_GAIN, _MOST_STEP_PPM, _LEAST_STEP_PPM, _MOST_PPM = 0.8, 50.0, 5, 3_000
FIRST_PPM = {"source": 50, "bidirectional": 1_500, "sink": 2_500, "unknown": 1_500}


def flow_class(out_msat: int, in_msat: int) -> str:
    """Return sink for a net outflow above a quarter of all flow, source for such an inflow.

    Unknown where nothing flows at all, else bidirectional.
    """
    if out_msat + in_msat == 0:
        return "unknown"
    net = (out_msat - in_msat) / (out_msat + in_msat)
    if net > _CLASS_FLOW:
        return "sink"
    return "source" if net < -_CLASS_FLOW else "bidirectional"


def goal_share(out_msat: int, in_msat: int) -> float:
    """Return the balance to aim for: `0.5 + clip(0.7 net, +-0.35)`, within 0.1 to 0.9."""
    total = out_msat + in_msat
    net = (out_msat - in_msat) / total if total else 0.0
    return min(max(0.5 + min(max(0.70 * net, -0.35), 0.35), 0.10), 0.90)


def next_ppm(ppm: int, distance: float, class_ppm: int) -> int:
    """Return the fee after a step of `-0.8 distance class_ppm`, at most 50; within 0 to 3000."""
    step = min(max(-_GAIN * distance * class_ppm, -_MOST_STEP_PPM), _MOST_STEP_PPM)
    return min(max(round(ppm + step), 0), _MOST_PPM)


@dataclass(slots=True)
class _State:
    smoothed: float
    target: float = 0.5
    kind: str = "unknown"
    other: str = "unknown"
    cycles: int = 0


class NodeGuard(Remembering):
    """The engine every 30 minutes; a channel's first run sets the price of its class.

    Published for channels of 10M sat and more, with 10M sat of flow and an age of 3024 blocks
    before it classifies; both gates are lifted here, else it would leave ordinary channels
    alone. A class must be seen three times running before it holds. Its inbound fees are left
    out: the view has none. The base fee stays as found.
    """

    name = "nodeguard"
    interval_s = 1_800.0

    def __init__(self) -> None:
        super().__init__(keep_s=_WINDOW_S + DAY_S)
        self._states: dict[int, _State] = {}

    def begin(self, node: NodeView) -> None:
        """Run once at the start."""
        self.tick(node)

    def tick(self, node: NodeView) -> None:
        """Move every channel's fee by its balance's distance from the target."""
        since_s = node.now_s - _WINDOW_S
        for channel in node.channels():
            past = self.history.of(channel.index)
            out_msat, in_msat = past.out.since(since_s), past.into.since(since_s)
            state = self._states.get(channel.index)
            if state is None:
                share = channel.local_msat / channel.capacity_msat
                state = self._states[channel.index] = _State(share)
                node.set_fee(channel.index, FIRST_PPM[state.kind], channel.base_msat)
                continue
            self._classify(state, flow_class(out_msat, in_msat))
            state.target += _TARGET_RATE * (goal_share(out_msat, in_msat) - state.target)
            self._step(channel, state, node)

    @staticmethod
    def _classify(state: _State, seen: str) -> None:
        if seen == state.kind:
            state.cycles = 0
            return
        state.cycles = state.cycles + 1 if seen == state.other else 1
        state.other = seen
        if state.cycles >= _CYCLES_TO_FLIP:
            state.kind, state.cycles = seen, 0

    @staticmethod
    def _step(channel: ChannelView, state: _State, node: NodeView) -> None:
        share = channel.local_msat / channel.capacity_msat
        state.smoothed += _SMOOTHING * (share - state.smoothed)
        distance = state.smoothed - state.target
        if abs(distance) <= _DEAD_BAND:
            return
        ppm = next_ppm(channel.ppm, distance, FIRST_PPM[state.kind])
        if abs(ppm - channel.ppm) >= _LEAST_STEP_PPM:
            node.set_fee(channel.index, ppm, channel.base_msat)
