"""Floor, ceiling and scarcity of the earlier cl-revenue-ops, as functions of published facts."""

from __future__ import annotations

from typing import NamedTuple

from cl_revenue_ops.bench.baselines.history import DAY_S

LEAST_PPM, MOST_PPM = 10, 5_000
STATIC_FLOOR_PPM = 21
SCARCITY_SHARE = 0.35
_HOUR_S = 3_600.0
_FLOW_FACTORS = {"source": 1.25, "sink": 0.80, "balanced": 1.0}
_FLOOR_FACTORS = ((0.10, 3.0), (0.25, 2.0), (0.40, 1.25), (0.60, 1.0), (0.75, 0.85), (0.90, 0.7))
_FULL_FLOOR_FACTOR = 0.5


class ChannelFacts(NamedTuple):
    """What the bounds depend on: balance, size, on-chain price, flow and fee in force.

    `forwards_day` counts both ways in 24 h, `forwards_week` in 7 days. `silent_s` is the time
    since the last forward out, None where there never was one; `watched_s` the time since the
    channel was first seen.
    """

    share: float
    capacity_msat: int
    sat_per_vb: float
    state: str
    ppm: int
    forwards_day: int
    forwards_week: int
    silent_s: float | None
    watched_s: float


class Bounds(NamedTuple):
    """The least and the most ppm that a channel may charge."""

    floor_ppm: int
    ceiling_ppm: int

    def clamp(self, ppm: float) -> int:
        """Return the nearest whole fee within the bounds."""
        return int(max(self.floor_ppm, min(self.ceiling_ppm, ppm)))


def flow_state(share: float, net_msat_per_day: float, capacity_msat: int, flowed: bool) -> str:
    """Return source for a daily net outflow above half the capacity, sink for such an inflow.

    Where nothing flowed the balance decides: source below 30 %, sink above 70 %.
    """
    if flowed:
        ratio = net_msat_per_day / capacity_msat
        return "source" if ratio > 0.5 else "sink" if ratio < -0.5 else "balanced"
    return "source" if share < 0.30 else "sink" if share > 0.70 else "balanced"


def chain_floor_ppm(sat_per_vb: float) -> int:
    """Return the on-chain floor: replacing the channel over a year, or enforcing it, at least 21.

    Opening is 140 vB within 500 to 50,000 sat, closing 200 vB within 300 to 50,000, over a
    volume of 365M sat; enforcement is 3 ppm for each sat/vB.
    """
    opening = min(max(140 * sat_per_vb, 500.0), 50_000.0)
    closing = min(max(200 * sat_per_vb, 300.0), 50_000.0)
    replacing = (opening + closing) / 3.65e8 * 1e6
    return max(STATIC_FLOOR_PPM, int(replacing), int(3 * sat_per_vb))


def balance_floor_ppm(share: float) -> int:
    """Return 500 below 10 % local balance, 200 below 25 %, else 0."""
    return 500 if share < 0.10 else 200 if share < 0.25 else 0


def saturation_floor_ppm(facts: ChannelFacts) -> int:
    """Return the floor of a full and quiet channel, 0 for any other."""
    if facts.share < 0.80 or facts.forwards_day >= 50:
        return 0
    activity = 0.5 if facts.forwards_day >= 20 else 0.75 if facts.forwards_day >= 10 else 1.0
    silent_s = facts.silent_s
    idle = 1.0
    if silent_s is None or silent_s > 72 * _HOUR_S:
        idle = 1.5
    elif silent_s > 24 * _HOUR_S:
        idle = 1.25
    return int(max(15.0, facts.capacity_msat / 1_000 / 200_000) * activity * idle)


def floor_factor(share: float) -> float:
    """Return the floor's multiplier by local balance: 3 below 10 % down to 0.5 from 90 % on."""
    return next((factor for below, factor in _FLOOR_FACTORS if share < below), _FULL_FLOOR_FACTOR)


def bounds(facts: ChannelFacts) -> Bounds:
    """Return floor and ceiling by the published steps a to j that act without costs or a hive.

    The floor by rebalance costs needs costs, the ceiling by profitability a cost of rebalancing:
    neither is in the view.
    """
    floor = max(1.0, max(chain_floor_ppm(facts.sat_per_vb), LEAST_PPM) * _FLOW_FACTORS[facts.state])
    guard = max(balance_floor_ppm(facts.share), saturation_floor_ppm(facts))
    protected = guard > LEAST_PPM
    floor = max(floor, float(guard))
    ceiling = float(MOST_PPM)
    if facts.ppm >= 500:
        silent_s = facts.watched_s if facts.silent_s is None else facts.silent_s
        ceiling *= 0.50 if silent_s >= 7 * DAY_S else 0.75 if silent_s >= 3 * DAY_S else 1.0
    if protected:
        ceiling = max(ceiling, floor + 100)
    floor *= floor_factor(facts.share)
    if floor >= ceiling:
        if protected:
            ceiling = floor + 10
        else:
            floor = max(1.0, ceiling - 10)
    return Bounds(int(floor), int(ceiling))


def cold_started(fee_ppm: int, facts: ChannelFacts, limits: Bounds) -> tuple[int, Bounds]:
    """Return fee and bounds of a channel with fewer than five forwards in the window, lowered.

    Any other channel's are returned as they are, and so are those at the least fee.
    """
    if facts.forwards_week >= 5 or facts.ppm <= LEAST_PPM:
        return fee_ppm, limits
    near_ppm = limits.floor_ppm + 50
    ceiling_ppm = min(limits.ceiling_ppm, max(100, near_ppm))
    return min(fee_ppm, near_ppm), Bounds(limits.floor_ppm, ceiling_ppm)


def scarcity_factor(share: float) -> float:
    """Return 1 from 35 % local balance on, rising in a straight line to 3 at none."""
    return 1 + 2 * (1 - share / SCARCITY_SHARE) if share < SCARCITY_SHARE else 1.0
