"""What rivals' moves say of the price of the alternatives: an index of repeated quotes.

Rivals into one destination ask prices that differ by more than ten times, for ever. What each of them
changes its own price by is news all the same: if each asks a lasting multiple of what the market
bears, then its moves are the market's. So every rival is compared with itself alone, as a price index
compares repeated sales of the same house.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

LEAST_MOVE: Final = 0.02
MOST_RIVALS: Final = 64
# How far the market has usually moved when a rival moves, in the log.
USUAL_MOVE: Final = 0.5
# The noise of one rival's move before any two were compared, and how many comparisons that counts.
NOISE_SD: Final = 0.15
NOISE_WEIGHT: Final = 4.0
LIVE_DAYS: Final = 3.0
DAY_S: Final = 86_400.0


class Ask(NamedTuple):
    """What one rival asks (ppm), by its scid, and the capacity behind it."""

    scid: str
    ppm: int
    capacity_msat: int


class Known(NamedTuple):
    """A rival's price as last seen, in ln ppm, and where the index stood when it set it."""

    log_ppm: float
    index: float


@dataclass(frozen=True)
class Rivals:
    """The rivals into one destination by scid, and the index: ln of how far the market has moved
    since it was first looked at. `live` counts moves, fading over LIVE_DAYS.
    """

    known: Mapping[str, Known] = field(default_factory=dict)
    index: float = 0.0
    live: float = 0.0
    read_s: float = 0.0


class Noise(NamedTuple):
    """What rivals that moved at the same time disagreed by: a sum of squares over `count`."""

    squares: float = NOISE_WEIGHT * NOISE_SD**2
    count: float = NOISE_WEIGHT

    @property
    def variance(self) -> float:
        """The variance of one rival's move about the market's."""
        return self.squares / self.count


class Told(NamedTuple):
    """A rival's move: where the index stands by it, and its weight."""

    index: float
    weight: float


def read(rivals: Rivals, asks: Iterable[Ask], noise: Noise, now_s: float) -> tuple[Rivals, Noise]:
    """Return the index after a look at gossip, and the noise after what was compared."""
    largest = sorted(asks, key=lambda ask: (-ask.capacity_msat, ask.scid))[:MOST_RIVALS]
    told: dict[str, Told] = {}
    for ask in largest:
        before = rivals.known.get(ask.scid)
        if ask.ppm > 0 and before is not None:
            move = math.log(ask.ppm) - before.log_ppm
            if abs(move) > max(LEAST_MOVE, 1.0 / ask.ppm):
                told[ask.scid] = Told(before.index + move, math.sqrt(ask.capacity_msat))
    index = rivals.index
    if told:
        seen = sorted(told.values())
        centre = _median(seen)
        spread = noise.variance / len(seen)
        index += (centre - index) * USUAL_MOVE**2 / (USUAL_MOVE**2 + spread)
        noise = compared(noise, seen)
    known = {}
    for ask in largest:
        if ask.ppm > 0:
            before = rivals.known.get(ask.scid)
            if before is None or ask.scid in told:
                known[ask.scid] = Known(math.log(ask.ppm), index)
            else:
                known[ask.scid] = before
    keep = math.exp(-max(0.0, now_s - rivals.read_s) / DAY_S / LIVE_DAYS) if rivals.read_s else 0.0
    return Rivals(known, index, keep * rivals.live + len(told), now_s), noise


def compared(noise: Noise, told: Sequence[Told]) -> Noise:
    """Return the noise after rivals that moved between the same two looks were compared."""
    if len(told) < 2:
        return noise
    mean = sum(one.index for one in told) / len(told)
    squares = sum(min((one.index - mean) ** 2, 4.0) for one in told)
    kept = Noise(noise.squares + squares, noise.count + len(told) - 1)
    most = 400.0
    return kept if kept.count <= most else Noise(kept.variance * most, most)


def _median(told: Sequence[Told]) -> float:
    half, below = 0.5 * sum(one.weight for one in told), 0.0
    for one in told:
        below += one.weight
        if below >= half:
            return one.index
    raise ValueError("nobody moved")
