"""What rivals' moves say of the price of the alternatives: an index of repeated quotes.

Rivals into one destination ask prices that differ by more than ten times, for ever. What one of
them changes its own price by is news all the same: if each asks a lasting multiple of what the
market bears, then its moves are the market's. So every rival is compared with itself alone, as a
price index compares repeated sales of the same house.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

LEAST_MOVE: Final = 0.02
MOST_RIVALS: Final = 64
# How far the market has usually moved when a rival moves, in the log.
USUAL_MOVE: Final = 0.5
# The noise of one rival's move before any two were compared, and how many comparisons that counts.
NOISE_SD: Final = 0.15
NOISE_WEIGHT: Final = 4.0
NOISE_MEMORY: Final = 400.0
MOST_SQUARE: Final = 4.0
# Moves, fading over so many days, that tell of the market.
LIVE: Final = 1.0
LIVE_DAYS: Final = 3.0
DAY_S: Final = 86_400.0


class Ask(NamedTuple):
    """What one rival asks (ppm), by its scid, and the capacity behind it."""

    scid: str
    ppm: int
    capacity_msat: int


class Known(NamedTuple):
    """A rival's price as last seen, in ln ppm, and where the index stood then."""

    log_ppm: float
    level: float


class Rivals(NamedTuple):
    """The rivals into one destination by scid, and the index `level`: ln of how far the market has
    moved since it was first looked at. `live` counts moves, fading over LIVE_DAYS since `read_s`.
    """

    known: Mapping[str, Known] = MappingProxyType({})
    level: float = 0.0
    live: float = 0.0
    read_s: float = 0.0


class Noise(NamedTuple):
    """What rivals that moved at the same time disagreed by: a sum of squares over `weight`."""

    squares: float = NOISE_WEIGHT * NOISE_SD**2
    weight: float = NOISE_WEIGHT

    @property
    def variance(self) -> float:
        """The variance of one rival's move about the market's."""
        return self.squares / self.weight


class Told(NamedTuple):
    """A rival's move: where the index stands by it, and its weight."""

    level: float
    weight: float


def leads(rivals: Rivals | None) -> bool:
    """Whether rivals have moved so lately that the market's moves are known from theirs."""
    return rivals is not None and rivals.live >= LIVE


def read(rivals: Rivals, asks: Iterable[Ask], noise: Noise, now_s: float) -> tuple[Rivals, Noise]:
    """Return the index after a look at gossip, and the noise after what was compared.

    The index moves to the weighted median of where those who moved put it, by the part that a
    usual move has of their variance: so rivals that change their prices for reasons of their own,
    and therefore disagree, move it little. Who moved stands where the index stands now.
    """
    largest = sorted(asks, key=lambda ask: (-ask.capacity_msat, ask.scid))[:MOST_RIVALS]
    told = _told(rivals, largest)
    level = rivals.level
    if told:
        sorted_told = sorted(told.values())
        variance = noise.variance / len(told)
        gain = USUAL_MOVE**2 / (USUAL_MOVE**2 + variance)
        level = round(level + gain * (_median(sorted_told) - level), 6)
        noise = _compared(noise, sorted_told)
    known = {
        ask.scid: Known(round(math.log(ask.ppm), 6), level)
        if ask.scid in told or ask.scid not in rivals.known
        else rivals.known[ask.scid]
        for ask in largest
        if ask.ppm > 0
    }
    since_days = max(0.0, now_s - rivals.read_s) / DAY_S if rivals.read_s else 0.0
    live = rivals.live * math.exp(-since_days / LIVE_DAYS) + len(told)
    return Rivals(known, level, round(live, 4), now_s), noise


def _told(rivals: Rivals, asks: Sequence[Ask]) -> dict[str, Told]:
    """What each rival that moved says; a price that rounding alone can have changed has not."""
    told = {}
    for ask in asks:
        before = rivals.known.get(ask.scid)
        if before is not None and ask.ppm > 0:
            move = math.log(ask.ppm) - before.log_ppm
            if abs(move) > max(LEAST_MOVE, 1.0 / ask.ppm):
                told[ask.scid] = Told(before.level + move, math.sqrt(ask.capacity_msat))
    return told


def _compared(noise: Noise, told: Sequence[Told]) -> Noise:
    """Return the noise after rivals that moved between the same two looks were compared."""
    if len(told) < 2:
        return noise
    mean = sum(one.level for one in told) / len(told)
    squares = sum(min((one.level - mean) ** 2, MOST_SQUARE) for one in told)
    grown = Noise(noise.squares + squares, noise.weight + len(told) - 1)
    if grown.weight <= NOISE_MEMORY:
        return grown
    return Noise(grown.variance * NOISE_MEMORY, NOISE_MEMORY)


def _median(told: Sequence[Told]) -> float:
    """The weighted median of those told, which are sorted."""
    half, below = 0.5 * sum(one.weight for one in told), 0.0
    for one in told:
        below += one.weight
        if below >= half:
            break
    return one.level
