"""Owns prices in time: of the alternatives per peer, of rivals in gossip, of block space."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from cl_revenue_ops.simnode.market_quantiles import (
    BASE_FEE_MSAT,
    FREE_DIRECTION_SHARE,
    RIVAL_CAPACITY_SAT,
    RIVALS_PER_DESTINATION,
    WITHIN_DESTINATION_LOG_PPM,
    FloatArray,
)

BoolArray = npt.NDArray[np.bool_]

HOUR_S = 3600.0
DAY_S = 86_400.0
BLOCK_INTERVAL_S = 600.0
# Half-life of the weak pull of a price level towards where it began: without it a year of random
# walk at the upper end of the ranges leaves the band in which any fee was ever asked.
LEVEL_PULL_HALF_LIFE_DAYS = 60.0
DEMAND_PULL_HALF_LIFE_DAYS = 30.0
LEVEL_BOUNDS_LOG = (float(np.log(1.0)), float(np.log(20_000.0)))
MAX_ASKED_PPM = 50_000
REQUOTE_MEDIAN_DAYS = 1.5
SPIKE_HALF_LIFE_HOURS = 8.0
MIN_FEERATE_SAT_VB = 1.0


@dataclass(frozen=True)
class LevelPaths:
    """Price of the best alternatives into each peer, in ln(ppm), one row an hour."""

    start_s: float
    log_ppm: FloatArray  # (hours, peers)

    def log_at(self, peer: int, at_s: float) -> float:
        """Return ln(ppm) of `peer` in the hour of `at_s` (first and last hour beyond the ends)."""
        hour = min(max(int((at_s - self.start_s) // HOUR_S), 0), len(self.log_ppm) - 1)
        return float(self.log_ppm[hour, peer])


def pulled_walk(steps: FloatArray, half_life_steps: float) -> FloatArray:
    """Sum `steps` (time, things) along time from zero, halving what is there every half-life."""
    keep = 0.5 ** (1.0 / half_life_steps)
    path = np.empty_like(steps)
    away = np.zeros(steps.shape[1])
    for row in range(len(steps)):
        path[row] = away
        away = keep * away + steps[row]
    return path


def draw_levels(
    start_s: float,
    first_log: FloatArray,
    hours: int,
    drift_sd: float,
    jumps_per_day: float,
    jump_sd: float,
    streams: tuple[np.random.Generator, np.random.Generator, np.random.Generator],
) -> LevelPaths:
    """Draw a random walk with jumps in the log for every peer.

    x(h+1) = x0 + rho (x(h) - x0) + drift_sd / sqrt(24) * N(0,1) + B(jumps_per_day / 24) * N(0,
    jump_sd). Draws run along time first, so a longer path begins with the shorter one.
    """
    shape = (hours, len(first_log))
    walk, jump_at, jump_size = streams
    steps = walk.standard_normal(shape) * (drift_sd / np.sqrt(24.0))
    jumps = (jump_at.random(shape) < jumps_per_day / 24.0) * jump_size.standard_normal(shape)
    path = first_log + pulled_walk(steps + jumps * jump_sd, 24.0 * LEVEL_PULL_HALF_LIFE_DAYS)
    return LevelPaths(start_s, np.clip(path, *LEVEL_BOUNDS_LOG))


def draw_demand_factors(
    rng: np.random.Generator, days: int, peers: int, drift_sd: float
) -> FloatArray:
    """Draw the slow drift of demand into each peer, shape (days, peers), each of mean one.

    ln(factor) is a Gaussian walk of `drift_sd` per sqrt(day) pulled back with a half-life of 30
    days, less half its variance of that day.
    """
    path = pulled_walk(rng.standard_normal((days, peers)) * drift_sd, DEMAND_PULL_HALF_LIFE_DAYS)
    keep = 0.5 ** (1.0 / DEMAND_PULL_HALF_LIFE_DAYS)
    variance = drift_sd**2 * (1.0 - keep ** (2.0 * np.arange(days))) / (1.0 - keep**2)
    return np.asarray(np.exp(path - 0.5 * variance[:, None]), dtype=np.float64)


@dataclass(frozen=True)
class RivalQuote:
    """What one rival direction into a peer asks for in gossip."""

    source_id: str
    short_channel_id: str
    direction: int
    capacity_sat: int
    base_msat: int
    ppm: int
    last_update_s: int


@dataclass(frozen=True)
class RivalBook:
    """The rival channels into one peer, and how each of them quotes.

    A follower looks at the level once per period and asks `level * lasting factor * own offset`
    until it looks again; the others never move from what they asked at the start.
    """

    source_ids: tuple[str, ...]
    short_channel_ids: tuple[str, ...]
    directions: tuple[int, ...]
    capacity_sat: tuple[int, ...]
    base_msat: tuple[int, ...]
    log_offset: FloatArray  # lasting factor of the peer plus the rival's own deviation
    free: FloatArray  # 1.0 where the rival charges no proportional fee
    period_s: FloatArray  # infinite for a rival that never moves
    phase_s: FloatArray

    @cached_property
    def _moves(self) -> BoolArray:
        return np.isfinite(self.period_s)

    @cached_property
    def _finite_period_s(self) -> FloatArray:
        return np.where(self._moves, self.period_s, 1.0)

    def looks(self, start_s: float, at_s: float) -> tuple[FloatArray, float]:
        """Return when each rival last set its fee, seen from `at_s`, and when one may move next.

        The small addend lets a look count at its own moment whatever the rounding. The second
        may be infinite.
        """
        period_s = self._finite_period_s
        done = np.floor((at_s - start_s - self.phase_s) / period_s + 1.0 + 1e-9)
        number = np.where(self._moves, np.maximum(done, 0.0), 0.0)
        last_s = np.where(number < 1.0, start_s, start_s + self.phase_s + (number - 1.0) * period_s)
        next_s = np.where(self._moves, start_s + self.phase_s + number * period_s, np.inf)
        return last_s, float(next_s.min())


@dataclass(frozen=True)
class Rivals:
    """All rival books; answers what a peer's other channels ask at a moment."""

    levels: LevelPaths
    books: tuple[RivalBook, ...]

    def quotes(self, peer: int, at_s: float) -> tuple[RivalQuote, ...]:
        """Return every ask into `peer` that is in force at `at_s`."""
        looks, _ = self.books[peer].looks(self.levels.start_s, at_s)
        return self._asked(peer, looks, range(len(looks)))

    def moved(
        self, peer: int, since_s: float, until_s: float
    ) -> tuple[tuple[RivalQuote, ...], float]:
        """Return the asks in force at `until_s` that were set after `since_s`.

        With them comes the first moment after `until_s` at which one may change again (which may
        be infinite).
        """
        looks, next_s = self.books[peer].looks(self.levels.start_s, until_s)
        return self._asked(peer, looks, np.flatnonzero(looks > since_s).tolist()), next_s

    def _asked(self, peer: int, looks: FloatArray, which: Iterable[int]) -> tuple[RivalQuote, ...]:
        book = self.books[peer]
        rows = []
        for k in which:
            log_ppm = self.levels.log_at(peer, float(looks[k])) + float(book.log_offset[k])
            ppm = 0 if book.free[k] else min(round(math.exp(log_ppm)), MAX_ASKED_PPM)
            rows.append(
                RivalQuote(
                    book.source_ids[k],
                    book.short_channel_ids[k],
                    book.directions[k],
                    book.capacity_sat[k],
                    book.base_msat[k],
                    ppm,
                    int(looks[k]),
                )
            )
        return tuple(rows)


def draw_rival_book(
    rng: np.random.Generator,
    destination_id: str,
    source_ids: tuple[str, ...],
    quote_sd: float,
    followers: float,
) -> RivalBook:
    """Draw the rivals into one peer from the nodes `source_ids` (which bound their number).

    A direction is 0 when its source's id sorts before its destination's, as gossip has it.
    """
    wanted = int(np.rint(RIVALS_PER_DESTINATION.draw(rng, 1)[0]))
    count = min(wanted, len(source_ids))
    chosen = [source_ids[k] for k in rng.permutation(len(source_ids))[:count]]
    lasting = rng.normal(0.0, quote_sd)
    deviation = WITHIN_DESTINATION_LOG_PPM.draw(rng, count)
    moves = rng.random(count) < followers
    period_s = REQUOTE_MEDIAN_DAYS * DAY_S * np.exp(rng.standard_normal(count))
    blocks = rng.integers(500_000, 880_000, count)
    positions = rng.integers(1, 3_000, count)
    return RivalBook(
        source_ids=tuple(chosen),
        short_channel_ids=tuple(f"{b}x{n}x0" for b, n in zip(blocks, positions, strict=True)),
        directions=tuple(0 if source < destination_id else 1 for source in chosen),
        capacity_sat=tuple(int(c) for c in RIVAL_CAPACITY_SAT.draw(rng, count)),
        base_msat=tuple(int(b) for b in BASE_FEE_MSAT.draw(rng, count)),
        log_offset=lasting + deviation,
        free=(rng.random(count) < FREE_DIRECTION_SHARE).astype(np.float64),
        period_s=np.where(moves, period_s, np.inf),
        phase_s=rng.random(count) * period_s,
    )


@dataclass(frozen=True)
class ChainPath:
    """When blocks are found, and what block space costs (one value an hour, sat/vB)."""

    start_s: float
    block_times_s: FloatArray
    sat_per_vb: FloatArray

    def feerate_at(self, at_s: float) -> float:
        """Return the fee rate for the next blocks in sat/vB in the hour of `at_s`."""
        hour = min(max(int((at_s - self.start_s) // HOUR_S), 0), len(self.sat_per_vb) - 1)
        return float(self.sat_per_vb[hour])

    def blocks_until(self, at_s: float) -> int:
        """Return how many blocks were found since the start, up to and including `at_s`."""
        return int(np.searchsorted(self.block_times_s, at_s, side="right"))


def draw_chain(
    start_s: float,
    hours: int,
    base_sat_per_vb: float,
    spikes_per_day: float,
    streams: tuple[np.random.Generator, np.random.Generator],
) -> ChainPath:
    """Draw block times (exponential gaps) and a fee rate that wanders and sometimes spikes.

    ln(rate) = ln(base) + w + s; w is an AR(1) with sd 0.4 and a memory of two days; s jumps by
    ln 3 to ln 15 at a spike and halves every eight hours.
    """
    blocks, fees = streams
    gaps = blocks.exponential(BLOCK_INTERVAL_S, int(hours * 6 * 1.2) + 200)
    times = start_s + np.cumsum(gaps)
    draws = fees.random((hours, 3))
    wander, spike = 0.0, 0.0
    log_rate = np.empty(hours)
    keep, fade = float(np.exp(-1.0 / 48.0)), 0.5 ** (1.0 / SPIKE_HALF_LIFE_HOURS)
    for hour, (u_wander, u_at, u_size) in enumerate(draws.tolist()):
        # A uniform scaled to unit variance: sums over days make it Gaussian.
        wander = keep * wander + 0.4 * np.sqrt(1 - keep**2) * np.sqrt(12.0) * (u_wander - 0.5)
        spike *= fade
        if u_at < spikes_per_day / 24.0:
            spike += np.log(3.0) + u_size * np.log(5.0)
        log_rate[hour] = wander + spike
    rate = np.maximum(base_sat_per_vb * np.exp(log_rate), MIN_FEERATE_SAT_VB)
    return ChainPath(start_s, times[times <= start_s + hours * HOUR_S], rate)
