"""The best fixed fee of each channel in hindsight, by a bounded coordinate search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

Play = Callable[[Mapping[int, int]], int]


class BestStatic(NamedTuple):
    """The best fees found, what they earned, and how many plays it took to find them."""

    ppm_by_index: dict[int, int]
    fees_msat: int
    plays: int


class _Score:
    """Plays each set of fees at most once, and no more sets than allowed."""

    def __init__(self, play: Play, channels: Sequence[int], most_plays: int) -> None:
        self._play = play
        self._channels = channels
        self._most_plays = most_plays
        self._seen: dict[tuple[int, ...], int] = {}

    @property
    def plays(self) -> int:
        return len(self._seen)

    def of(self, fees: Sequence[int]) -> int | None:
        """Return what the fees earn; None where the plays are used up."""
        key = tuple(fees)
        if key not in self._seen:
            if self.plays >= self._most_plays:
                return None
            self._seen[key] = self._play(dict(zip(self._channels, key, strict=True)))
        return self._seen[key]


def best_static(
    play: Play,
    grid: Sequence[int],
    channels: Sequence[int],
    sweeps: int = 2,
    most_plays: int = 200,
) -> BestStatic:
    """Return the best fixed ppm of each channel that a coordinate search on a grid finds.

    `play` takes a ppm for each channel's index and returns the fees that the market then pays;
    it must not depend on anything else. First all channels share one ppm, each of the grid in
    turn; from the best of these each channel, in the order given (put those that earn most
    first), climbs the grid while that pays, up and then down, in each sweep; what was played
    once is not played again. It is a lower bound of the best: the climb stops at the first point
    where no single step helps. ValueError where there is no channel, no grid or no play.
    """
    steps = sorted(set(grid))
    if not steps or not channels or most_plays < 1:
        raise ValueError("a search needs a grid, channels and at least one play")
    score = _Score(play, channels, most_plays)
    best, best_msat = _best_shared(score, steps, len(channels))
    for _ in range(sweeps):
        for at in range(len(channels)):
            best_msat = _climb(score, steps, best, best_msat, at)
    fees = dict(zip(channels, best, strict=True))
    return BestStatic(fees, best_msat, score.plays)


def _best_shared(score: _Score, steps: Sequence[int], count: int) -> tuple[list[int], int]:
    found: list[tuple[int, int]] = []
    for ppm in steps:
        earned = score.of([ppm] * count)
        if earned is None:
            break
        found.append((earned, ppm))
    best_msat, ppm = max(found, key=lambda pair: pair[0])
    return [ppm] * count, best_msat


def _climb(score: _Score, steps: Sequence[int], best: list[int], best_msat: int, at: int) -> int:
    """Move one channel's fee along the grid while that earns more; `best` is changed in place."""
    for direction in (1, -1):
        while 0 <= (to := steps.index(best[at]) + direction) < len(steps):
            trial = [*best]
            trial[at] = steps[to]
            earned = score.of(trial)
            if earned is None or earned <= best_msat:
                break
            best[at], best_msat = steps[to], earned
    return best_msat
