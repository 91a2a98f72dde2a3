"""The named scenarios of the bench: which worlds are drawn, and what happens in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from cl_revenue_ops.simnode.market import DEFAULT_START_S, Market, draw_market
from cl_revenue_ops.simnode.market_parameters import MarketRanges, Purpose, Span, stream
from cl_revenue_ops.simnode.market_quantiles import FloatArray
from cl_revenue_ops.simnode.prices import LEVEL_BOUNDS_LOG, ChainPath, LevelPaths, Rivals

CHANNELS, DAYS = 16, 45
HOURS = 24
UNDERCUT_PEERS = 3
UNDERCUT_HOURS = 7 * HOURS
UNDERCUT_DEPTH = (0.40, 0.60)
UNDERCUT_FIRST_DAY = (3.0, 10.0)
UNDERCUT_PAUSE_DAYS = (3.0, 7.0)
NEW_CHANNEL_DAY = 10
MEMPOOL_SPIKES_PER_DAY = 0.2
MEMPOOL_HALF_LIFE_H = 8.0
MEMPOOL_LOG_SIZE = (float(np.log(3.0)), float(np.log(15.0)))
# How far what others charge, and demand, follow a spike of the chain's fee rate (in the log).
LEVEL_FOLLOWS, DEMAND_FOLLOWS = 0.25, 0.30

_WIDE = MarketRanges()


def _unchanged(market: Market) -> Market:
    return market


@dataclass(frozen=True)
class Scenario:
    """Where a world's parameters lie, and what is laid over a drawn world.

    `alter` turns a drawn market into that of the scenario; `attacked` adds the drain attack, which
    answers to our fees and therefore is no part of the market.
    """

    name: str
    about: str
    ranges: MarketRanges = _WIDE
    alter: Callable[[Market], Market] = _unchanged
    attacked: bool = False

    def market(
        self,
        seed: int,
        channels: int = CHANNELS,
        days: int = DAYS,
        start_s: float = DEFAULT_START_S,
    ) -> Market:
        """Draw the world of `seed`: at least two channels, at least one day."""
        return self.alter(draw_market(seed, channels, days, start_s, self.ranges))


def potential_msat_per_day(market: Market) -> FloatArray:
    """Return for each peer what a day's attempts into it would pay at the first price level.

    Mean attempts x median amount x level; the same factor of all peers is left out of account, so
    it serves for ranking only.
    """
    levels = np.exp(market.levels.log_ppm[0])
    rate = market.pair_rate_per_day.sum(axis=0)
    return np.asarray(rate * market.median_amount_sat * 1e3 * levels / 1e6, dtype=np.float64)


def busiest_peers(market: Market, single: bool = False) -> list[int]:
    """Return the peers by what they could earn us, best first; `single`: with one channel only."""
    worth = potential_msat_per_day(market)
    ranked = [int(peer) for peer in np.argsort(-worth, kind="stable")]
    if not single:
        return ranked
    counts = [0] * len(market.peers)
    for channel in market.channels:
        counts[channel.peer] += 1
    return [peer for peer in ranked if counts[peer] == 1]


def target_of_attack(market: Market) -> int:
    """Return the channel that a drain attack aims at: the largest one of the best peer."""
    best = busiest_peers(market)[0]
    own = [channel for channel in market.channels if channel.peer == best]
    return max(own, key=lambda channel: channel.capacity_sat).index


# -- what is laid over a market ------------------------------------------------------------------


def _rng(market: Market, name: str) -> np.random.Generator:
    return stream(market.seed, Purpose.SCENARIO, crc32(name.encode()))


def _with_levels(market: Market, log_ppm: FloatArray) -> Market:
    """Move the price of the alternatives; the rivals that follow it see the new one."""
    levels = LevelPaths(market.levels.start_s, np.clip(log_ppm, *LEVEL_BOUNDS_LOG))
    return replace(market, levels=levels, rivals=Rivals(levels, market.rivals.books))


def undercut(market: Market) -> Market:
    """Rivals go 40 to 60 % below the level into the three busiest peers, a week at a time.

    After each week the level comes back for three to seven days. When and how deep is drawn, not
    an answer to our moves: every policy has the same rivals.
    """
    rng = _rng(market, "undercut")
    log_ppm = market.levels.log_ppm.copy()
    for peer in busiest_peers(market)[:UNDERCUT_PEERS]:
        hour = int(rng.uniform(*UNDERCUT_FIRST_DAY) * HOURS)
        while hour < len(log_ppm):
            depth = float(rng.uniform(*UNDERCUT_DEPTH))
            log_ppm[hour : hour + UNDERCUT_HOURS, peer] += np.log1p(-depth)
            hour += UNDERCUT_HOURS + int(rng.uniform(*UNDERCUT_PAUSE_DAYS) * HOURS)
    return _with_levels(market, log_ppm)


def open_later(market: Market) -> Market:
    """Let the channel to the second busiest peer be opened by us, on day 10 of the run.

    It is full on our side. Where the world ends before that day, it opens half way through.
    """
    ranked = busiest_peers(market, single=True)
    peer = ranked[min(1, len(ranked) - 1)]
    day = NEW_CHANNEL_DAY if market.days > NEW_CHANNEL_DAY else max(1, market.days // 2)
    channels = tuple(
        replace(c, opener="local", local_sat=c.capacity_sat, opens_day=day) if c.peer == peer else c
        for c in market.channels
    )
    return replace(market, channels=channels)


def crowd_mempool(market: Market) -> Market:
    """Let block space become dear for hours: rivals then charge more, and more is paid off chain.

    Spikes of ln 3 to ln 15 come about every five days and halve in eight hours; ln(level) follows
    by a quarter, ln(demand) by three tenths. There is at least one.
    """
    rng = _rng(market, "mempool")
    hours = len(market.chain.sat_per_vb)
    starts = np.flatnonzero(rng.random(hours) < MEMPOOL_SPIKES_PER_DAY / HOURS)
    if not len(starts):
        starts = rng.integers(0, hours, 1)
    height = np.zeros(hours)
    height[starts] = rng.uniform(*MEMPOOL_LOG_SIZE, len(starts))
    keep, spike = 0.5 ** (1.0 / MEMPOOL_HALF_LIFE_H), 0.0
    for hour in range(hours):
        spike = height[hour] = keep * spike + height[hour]
    chain = ChainPath(
        market.chain.start_s, market.chain.block_times_s, market.chain.sat_per_vb * np.exp(height)
    )
    risen = _with_levels(market, market.levels.log_ppm + LEVEL_FOLLOWS * height[:, None])
    return replace(risen, chain=chain, surge=np.exp(DEMAND_FOLLOWS * height))


# -- the table -----------------------------------------------------------------------------------

_STILL = _WIDE.fixed(drift_sd=0.0, jumps_per_day=0.0, demand_drift_sd=0.0)

_ROWS = (
    Scenario("stationary", "prices and demand stand still", _STILL),
    Scenario(
        "even",
        "all peers about equally busy",
        replace(_WIDE, activity_sd=Span(0.3, 0.8), dormant_share=Span(0.0, 0.1)),
    ),
    Scenario(
        "skewed",
        "one or two peers have nearly everything",
        replace(_WIDE, activity_sd=Span(3.0, 4.0), dormant_share=Span(0.5, 0.7)),
    ),
    Scenario(
        "sparse",
        "a few payments a day",
        replace(_WIDE, attempts_per_channel_day=Span(2.0, 10.0, log=True)),
    ),
    Scenario(
        "dense",
        "a payment every few minutes",
        replace(_WIDE, attempts_per_channel_day=Span(100.0, 250.0, log=True)),
    ),
    Scenario(
        "jumpy",
        "rivals open, undercut and close all the time",
        replace(_WIDE, jumps_per_day=Span(0.08, 0.20), jump_sd=Span(0.7, 1.1)),
    ),
    Scenario("undercutting", "rivals undercut the busiest peers by half", _WIDE, undercut),
    Scenario("new_channel", "a channel to a busy peer opens on day 10", _WIDE, open_later),
    Scenario(
        "one_way",
        "nearly every peer only sends or only receives",
        replace(_WIDE, one_way_share=Span(0.9, 1.0), one_way_lean=Span(8.0, 25.0, log=True)),
    ),
    Scenario("drain_attack", "our best channel is bought empty when cheap", attacked=True),
    Scenario(
        "whales",
        "bursts, and single payers that push a lot",
        replace(
            _WIDE,
            whale_days=Span(0.05, 0.15),
            bursts_per_day=Span(0.5, 1.5),
            burst_factor=Span(8.0, 25.0),
        ),
    ),
    Scenario("mempool_spike", "block space becomes dear for hours", _WIDE, crowd_mempool),
    Scenario(
        "season",
        "days and weeks swing widely",
        replace(_WIDE, daily_swing=Span(0.6, 0.9), weekly_swing=Span(0.3, 0.6)),
    ),
)

# The same worlds as drain_attack's, in peace; apart, so that no mean over scenarios counts it.
_CONTROL = Scenario("no_attack", "the worlds of drain_attack without the attack")

SCENARIOS: Mapping[str, Scenario] = {row.name: row for row in _ROWS}
ALL_SCENARIOS: Mapping[str, Scenario] = {**SCENARIOS, _CONTROL.name: _CONTROL}
