"""Worlds for the tests of the fluid bound in which nothing moves, so that its value is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cl_revenue_ops.simnode.market import Market, draw_market
from cl_revenue_ops.simnode.market_parameters import MarketRanges
from cl_revenue_ops.simnode.prices import LevelPaths

LEVEL_PPM, LIMIT_SD, AMOUNT_SD, FAILS, RATE = 100.0, 0.5, 1.0, 0.2, 400.0
DAYS = 10
AMPLE_SAT = 10_000_000_000

STILL = MarketRanges().fixed(
    limit_sd=LIMIT_SD,
    amount_sd=AMOUNT_SD,
    downstream_failure=FAILS,
    level_median_ppm=LEVEL_PPM,
    drift_sd=0.0,
    jumps_per_day=0.0,
    demand_drift_sd=0.0,
    daily_swing=0.0,
    weekly_swing=0.0,
    bursts_per_day=0.0,
    whale_days=0.0,
)


Rates = Sequence[Sequence[float]]


def still(
    rates: Rates,
    stocks_sat: list[tuple[int, int]],
    base_msat: int = 0,
    days: int = DAYS,
) -> Market:
    """A world in which nothing moves; `stocks_sat` are (what we can send, what we can receive)."""
    drawn = draw_market(1, 2 * len(rates), days, ranges=STILL)
    count = len(rates)
    channels = []
    for channel, (ours, theirs) in zip(drawn.channels[:count], stocks_sat, strict=True):
        capacity = round((ours + theirs) / 0.98)
        local = ours + round(0.01 * capacity)
        index = channel.index
        channels.append(replace(channel, peer=index, capacity_sat=capacity, local_sat=local))
    return replace(
        drawn,
        peers=tuple(replace(p, alternative_base_msat=base_msat) for p in drawn.peers[:count]),
        channels=tuple(channels),
        pair_rate_per_day=np.array(rates),
        demand_factor=np.ones((days, count)),
        levels=LevelPaths(drawn.start_s, np.full((days * 24 + 1, count), np.log(LEVEL_PPM))),
        median_amount_sat=2_000.0,
    )


MEAN_SAT = 2_000.0 * np.exp(0.5 * AMOUNT_SD**2)
DAILY_SAT = RATE * MEAN_SAT * (1.0 - FAILS)  # what would settle in a day at no fee
AMPLE = (AMPLE_SAT, AMPLE_SAT)
