"""Owns the parameters of a market, the ranges they are drawn from, and the seeded streams."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntEnum
from zlib import crc32

import numpy as np


class Purpose(IntEnum):
    """What a random stream is for; part of its spawn key, so never renumber."""

    PARAMETERS = 1
    CAPACITIES = 2
    BALANCES = 3
    ACTIVITY = 4
    PAIRS = 5
    LEVEL_START = 6
    LEVEL_WALK = 7
    LEVEL_JUMP_AT = 8
    LEVEL_JUMP_SIZE = 9
    RIVALS = 10
    BLOCKS = 11
    FEERATES = 12
    GROUPING = 13
    SEASON = 14
    ALTERNATIVE_BASE = 15
    ARRIVALS = 16
    AMOUNTS = 17
    LIMITS = 18
    ROUTES = 19
    SENDERS = 20
    TIMING = 21
    WHALES = 22
    BURSTS = 23
    DEMAND_WALK = 24
    FIRST_POLICY = 25
    REMOTE_POLICY = 26
    SCENARIO = 27
    REFILL_PAIRS = 28
    REFILL_HOURS = 29
    REFILL_TRIES = 30


def stream(seed: int, purpose: Purpose, *keys: int) -> np.random.Generator:
    """Return the generator of one purpose; streams of one seed are independent of each other."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(purpose), *keys)))


@dataclass(frozen=True)
class Span:
    """A closed range that a parameter is drawn from: uniform, or uniform in the log."""

    low: float
    high: float
    log: bool = False

    def draw(self, rng: np.random.Generator) -> float:
        """Draw one value."""
        if self.log:
            return float(np.exp(rng.uniform(np.log(self.low), np.log(self.high))))
        return float(rng.uniform(self.low, self.high))


@dataclass(frozen=True)
class MarketRanges:
    """Where each parameter of a world may lie; the names are those of `MarketParameters`."""

    attempts_per_channel_day: Span = Span(5.0, 200.0, log=True)
    turnover_per_day: Span = Span(0.1, 1.0, log=True)
    amount_sd: Span = Span(1.0, 1.5)
    limit_sd: Span = Span(0.3, 1.0)
    level_median_ppm: Span = Span(60.0, 250.0, log=True)
    level_spread_sd: Span = Span(0.5, 1.0)
    drift_sd: Span = Span(0.03, 0.15)
    jumps_per_day: Span = Span(0.01, 0.08)
    jump_sd: Span = Span(0.5, 0.9)
    quote_sd: Span = Span(0.3, 1.2)
    quote_followers: Span = Span(0.3, 0.9)
    capacity_median_sat: Span = Span(2e6, 8e6, log=True)
    capacity_sd: Span = Span(0.5, 1.0)
    activity_sd: Span = Span(1.8, 3.2)
    dormant_share: Span = Span(0.3, 0.6)
    one_way_share: Span = Span(0.3, 0.7)
    one_way_lean: Span = Span(3.0, 12.0, log=True)
    daily_swing: Span = Span(0.1, 0.6)
    weekly_swing: Span = Span(0.0, 0.3)
    bursts_per_day: Span = Span(0.05, 0.5)
    burst_factor: Span = Span(3.0, 15.0)
    whale_days: Span = Span(0.005, 0.03)
    first_fee_sd: Span = Span(0.3, 1.0)
    downstream_failure: Span = Span(0.05, 0.4)
    demand_drift_sd: Span = Span(0.02, 0.1)
    chain_sat_per_vb: Span = Span(1.5, 8.0, log=True)
    chain_spikes_per_day: Span = Span(0.03, 0.15)

    def fixed(self, **values: float) -> MarketRanges:
        """Return these ranges with some parameters held at one value."""
        return replace(self, **{name: Span(value, value) for name, value in values.items()})


@dataclass(frozen=True)
class MarketParameters:
    """One world's parameters. sd are of natural logs; drift is per sqrt(day); rates are per day.

    `one_way_lean` is the ratio of the main to the other direction of a one-way peer; swings are
    relative amplitudes; `dormant_share`, `whale_days` and `downstream_failure` are probabilities.
    """

    attempts_per_channel_day: float
    turnover_per_day: float
    amount_sd: float
    limit_sd: float
    level_median_ppm: float
    level_spread_sd: float
    drift_sd: float
    jumps_per_day: float
    jump_sd: float
    quote_sd: float
    quote_followers: float
    capacity_median_sat: float
    capacity_sd: float
    activity_sd: float
    dormant_share: float
    one_way_share: float
    one_way_lean: float
    daily_swing: float
    weekly_swing: float
    bursts_per_day: float
    burst_factor: float
    whale_days: float
    first_fee_sd: float
    downstream_failure: float
    demand_drift_sd: float
    chain_sat_per_vb: float
    chain_spikes_per_day: float


def draw_parameters(seed: int, ranges: MarketRanges) -> MarketParameters:
    """Draw one world's parameters, each from a stream of its name: fixing one moves no other."""
    names = [entry.name for entry in fields(MarketRanges)]
    streams = {name: stream(seed, Purpose.PARAMETERS, crc32(name.encode())) for name in names}
    return MarketParameters(**{name: getattr(ranges, name).draw(streams[name]) for name in names})
