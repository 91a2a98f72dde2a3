"""BRLN's autofee, its core: a market seed, moved by balance and demand, in small capped steps."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

from cl_revenue_ops.bench.baselines.history import DAY_S, ChannelHistory, Remembering
from cl_revenue_ops.bench.baselines.peers import weighted_quantiles
from cl_revenue_ops.bench.policy import ChannelView, NodeView

_HOUR_S = 3_600.0
_WEEK_S, _STALE_S = 7 * DAY_S, 6 * DAY_S
_LEAST_PPM, _MOST_PPM, _MOST_SEED_PPM, _CUSHION_PPM = 10, 2_000, 1_600.0, 25
_SEED_MEMORY, _SEED_SMOOTHING, _SEED_JUMP = 168, 0.20, 0.50
_UP_PAUSE_S, _DOWN_PAUSE_S, _SOLD_S = 2 * _HOUR_S, 3 * _HOUR_S, 16 * _HOUR_S


class Facts(NamedTuple):
    """What one round knows of a channel; `streak` counts rounds below 10 % local balance.

    `forwards` left in seven days, `sold_ppm` is what they paid on average, `revenue_share` their
    part of the node's fees. `idle`: none of them, `stale`: nothing left in six days of watching.
    """

    share: float
    streak: int
    forwards: int
    sold_ppm: float
    revenue_share: float
    idle: bool
    stale: bool

    @property
    def discovery(self) -> bool:
        """Whether there is balance to sell and has long been no buyer."""
        return self.stale and self.share >= 0.40


def target_ppm(seed: float, facts: Facts) -> float:
    """Return the wanted rate: seed and 25 ppm, times what balance and demand ask."""
    target = seed + _CUSHION_PPM
    if facts.share < 0.05:
        target *= 1.02
    elif facts.share > 0.20:
        target *= 0.98
        if facts.idle and facts.share > 0.60:
            target *= 1 - 0.015
    target *= 1 + min(0.05 * facts.streak, 0.25)
    if facts.share < 0.10:
        target *= 1 + min(0.50 * (0.10 - facts.share) / 0.10, 0.20)
    if facts.revenue_share >= 0.20:
        target *= 1.12
    return target


def floor_ppm(seed: float, facts: Facts) -> float:
    """Return the rate that sold (from 4 forwards on) and 5 %, 140 if very busy; <= 1.2 seed.

    No floor in discovery. The cost of rebalancing would be the third part; there is none here.
    """
    if facts.discovery:
        return 0.0
    pegged = 1.05 * facts.sold_ppm if facts.forwards >= 4 else 0.0
    busy = 140.0 if facts.forwards >= 80 else 0.0
    return min(max(pegged, busy), 1.2 * seed)


def capped_ppm(ppm: int, target: float, facts: Facts) -> int:
    """Return the next rate towards the target, by the largest step that a round allows."""
    if ppm == 0:
        return _clamped(target)
    up = down = 0.05
    if facts.forwards > 0 and facts.streak >= 16 and facts.share < 0.04:
        up = 0.20 if facts.streak >= 300 and facts.share < 0.01 else 0.15
    if facts.discovery:
        down = 0.20
    elif facts.idle and facts.share > 0.60:
        down = 0.12
    up_ppm, down_ppm = max(5.0, up * ppm), max(5.0, down * ppm)
    return _clamped(min(max(target, ppm - down_ppm), ppm + up_ppm))


def _clamped(ppm: float) -> int:
    return round(min(max(ppm, _LEAST_PPM), _MOST_PPM))


def worth_sending(ppm: int, new_ppm: int) -> bool:
    """Whether a change is not below both 15 ppm and 4 %."""
    step = abs(new_ppm - ppm)
    return step > 0 and (step >= 15 or step >= 0.04 * ppm)


class Seed:
    """A peer's market rate: guarded, blended with the median, cut for volatility, smoothed."""

    def __init__(self) -> None:
        self.ppm: float | None = None
        self._past: deque[int] = deque(maxlen=_SEED_MEMORY)
        self._sum = self._squares = 0

    def take(self, high: int, middle: int) -> float:
        """Take a round's 65th percentile and median (ppm) and return the seed."""
        self._remember(high)
        seed = min(float(high), _MOST_SEED_PPM)
        if self.ppm is not None:
            seed = min(max(seed, self.ppm * (1 - _SEED_JUMP)), self.ppm * (1 + _SEED_JUMP))
        seed = 0.7 * seed + 0.3 * min(float(middle), _MOST_SEED_PPM)
        seed *= 1 - min(0.25 * self._volatility(), 0.15)
        self.ppm = seed if self.ppm is None else self.ppm + _SEED_SMOOTHING * (seed - self.ppm)
        return self.ppm

    def _remember(self, ppm: int) -> None:
        if len(self._past) == _SEED_MEMORY:
            self._sum -= self._past[0]
            self._squares -= self._past[0] ** 2
        self._past.append(ppm)
        self._sum += ppm
        self._squares += ppm**2

    def _volatility(self) -> float:
        """Return the standard deviation of the last week's rounds over their mean."""
        count = len(self._past)
        variance = self._squares * count - self._sum**2
        return sqrt(variance) / self._sum if self._sum else 0.0


@dataclass(slots=True)
class _Channel:
    seen_s: float
    streak: int = 0
    changed_s: float | None = None
    raised: bool = False
    forwards_then: int = 0


class Brln(Remembering):
    """The script's core with its documented defaults, hourly; the base fee stays as found.

    Its seed comes from a paid service's statistics of the peer's incoming fees over a week; here
    it is the capacity-weighted 65th percentile of what others charge into the peer now, the
    median likewise, and volatility that of the percentile over the last 168 rounds. Left out for
    want of data: rebalance costs and margins, the peer's in/out ratio, its share of entries.
    Left out of the core: classes, explorer, new inbound channels, super sources, experiments.
    Lack of forwards counts as idle only after a day of watching, since the run starts without a
    past. A peer into which nobody else has a channel is left alone.
    """

    name = "brln"
    interval_s = _HOUR_S

    def __init__(self) -> None:
        super().__init__(keep_s=8 * DAY_S)
        self._channels: dict[int, _Channel] = {}
        self._seeds: dict[str, Seed] = {}

    def begin(self, node: NodeView) -> None:
        """Run the first round."""
        self.tick(node)

    def tick(self, node: NodeView) -> None:
        """Run a round over all channels."""
        channels, since_s = node.channels(), node.now_s - _WEEK_S
        earned = {c.index: self.history.of(c.index).earned.since(since_s) for c in channels}
        total_msat = sum(earned.values())
        seeds: dict[str, float | None] = {}
        for channel in channels:
            if channel.peer_id not in seeds:
                seeds[channel.peer_id] = self._seed(channel.peer_id, node)
            seed = seeds[channel.peer_id]
            revenue_share = earned[channel.index] / total_msat if total_msat else 0.0
            if seed is not None:
                self._price(channel, seed, revenue_share, node)

    def _seed(self, peer_id: str, node: NodeView) -> float | None:
        quotes = ((quote.ppm, quote.capacity_msat) for quote in node.quotes(peer_id))
        found = weighted_quantiles(quotes, 0.5, 0.65)
        if not found:
            return None
        middle, high = found
        return self._seeds.setdefault(peer_id, Seed()).take(high, middle)

    def _price(
        self, channel: ChannelView, seed: float, revenue_share: float, node: NodeView
    ) -> None:
        now_s = node.now_s
        state = self._channels.setdefault(channel.index, _Channel(now_s))
        past = self.history.of(channel.index)
        share = channel.local_msat / channel.capacity_msat
        state.streak = state.streak + 1 if share < 0.10 else 0
        facts = _facts(share, state, past, revenue_share, now_s)
        target = max(target_ppm(seed, facts), floor_ppm(seed, facts))
        ppm = capped_ppm(channel.ppm, target, facts)
        if _flow_broke(state, facts, now_s):
            ppm = _clamped(0.9 * channel.ppm)
        if ppm < channel.ppm:
            ppm = min(channel.ppm, max(ppm, _sold_lately_ppm(past, now_s)))
        pause_s = _UP_PAUSE_S if ppm > channel.ppm else _DOWN_PAUSE_S
        rested = state.changed_s is None or now_s - state.changed_s >= pause_s
        if rested and worth_sending(channel.ppm, ppm):
            node.set_fee(channel.index, ppm, channel.base_msat)
            state.raised, state.changed_s = ppm > channel.ppm, now_s
            state.forwards_then = facts.forwards


def _facts(
    share: float, state: _Channel, past: ChannelHistory, revenue_share: float, now_s: float
) -> Facts:
    sold_msat = past.out.since(now_s - _WEEK_S)
    sold_ppm = past.earned.since(now_s - _WEEK_S) * 1e6 / sold_msat if sold_msat else 0.0
    forwards = past.out.count_since(now_s - _WEEK_S)
    idle = forwards == 0 and now_s - state.seen_s >= DAY_S
    last_s = state.seen_s if past.out.last_s is None else past.out.last_s
    stale = now_s - last_s >= _STALE_S
    return Facts(share, state.streak, forwards, sold_ppm, revenue_share, idle, stale)


def _flow_broke(state: _Channel, facts: Facts, now_s: float) -> bool:
    """Whether a week's forwards fell below 70 % of those at a rise of the last seven days."""
    recent = state.changed_s is not None and now_s - state.changed_s <= _WEEK_S
    return state.raised and recent and facts.forwards < 0.70 * state.forwards_then


def _sold_lately_ppm(past: ChannelHistory, now_s: float) -> int:
    """Return the average rate of what left within 16 h, 0 where nothing did."""
    sold_msat = past.out.since(now_s - _SOLD_S)
    return round(past.earned.since(now_s - _SOLD_S) * 1e6 / sold_msat) if sold_msat else 0
