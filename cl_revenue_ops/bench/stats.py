"""What a table of runs says: means with intervals, and paired differences over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

LEVEL = 0.95

BySeed = Mapping[int, float]


class Interval(NamedTuple):
    """A mean of `size` values and the interval that holds the true one with 95 % confidence.

    With one value the interval is unbounded; with none the mean is NaN.
    """

    mean: float
    low: float
    high: float
    size: int

    @property
    def half(self) -> float:
        """Half the width."""
        return (self.high - self.low) / 2.0


def interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Return the mean and its interval by Student's t."""
    count = len(values)
    if count == 0:
        return Interval(math.nan, -math.inf, math.inf, 0)
    mean = float(np.mean(values))
    if count == 1:
        return Interval(mean, -math.inf, math.inf, 1)
    error = float(stats.sem(values))
    if error == 0.0:
        return Interval(mean, mean, mean, count)
    low, high = stats.t.interval(level, count - 1, loc=mean, scale=error)
    return Interval(mean, float(low), float(high), count)


def paired(one: BySeed, other: BySeed) -> Interval:
    """Return the mean of `one` less `other` over the seeds that both have."""
    return interval([one[seed] - other[seed] for seed in sorted(one) if seed in other])


def shares(values_msat: Mapping[int, int], bounds_msat: BySeed) -> dict[int, float]:
    """Return each seed's value as a share of its bound; seeds without a positive bound drop out."""
    return {
        seed: value / bounds_msat[seed]
        for seed, value in values_msat.items()
        if bounds_msat.get(seed, 0.0) > 0.0
    }


def over_scenarios(by_scenario: Mapping[str, BySeed]) -> dict[int, float]:
    """Return each seed's mean over the scenarios, for the seeds that every scenario has.

    A seed has the same peers, sizes and streams in every scenario, so its values are no
    independent ones: it is the seed that is the unit of what is estimated from this.
    """
    if not by_scenario:
        return {}
    columns = list(by_scenario.values())
    common = sorted(seed for seed in columns[0] if all(seed in column for column in columns))
    return {seed: float(np.mean([column[seed] for column in columns])) for seed in common}
