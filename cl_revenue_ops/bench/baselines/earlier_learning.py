"""What the earlier cl-revenue-ops learned by, and when it slept: Thompson sampling, AIMD."""

from __future__ import annotations

from collections import deque
from math import sqrt
from typing import NamedTuple

import numpy as np

PRIOR_MEAN_PPM, PRIOR_STD_PPM = 200.0, 100.0
# Of a node without a fleet: 1.5 for no pheromone times 0.85 for a primary role.
SPREAD = 1.275
LEAST_STD_PPM = 10.0
_MOST_OBSERVATIONS = 200
_HALF_LIFE_H = 168.0
_LEAST_OBSERVATIONS = 3
_BUCKETS = ("depleted", "low", "balanced", "high", "saturated")
_BUCKET_EDGES = (0.15, 0.35, 0.65, 0.85)
_REGIME_LENGTH, _REGIME_SIGMAS = 10, 2.5
_HOUR_S = 3_600.0
_CALM, _WAKE, _CALM_CYCLES, _SLEEP_S = 0.01, 0.20, 3, _HOUR_S


class Observation(NamedTuple):
    """A fee in force and the revenue rate (sat an hour) seen under it."""

    fee_ppm: int
    rate: float
    weight: float
    at_s: float


def observation_weight(hours: float, rate: float) -> float:
    """Return the weight of a window: its length up to 6 h times its rate up to 99 sat an hour."""
    return max(0.01, min(1.0, hours / 6) * min(1.0, (rate + 1) / 100))


def bucket(share: float) -> int:
    """Return the place of a balance among the five balance buckets."""
    return sum(share >= edge for edge in _BUCKET_EDGES)


class _Context:
    __slots__ = ("count", "mean", "std")

    def __init__(self) -> None:
        self.mean, self.std, self.count = PRIOR_MEAN_PPM, PRIOR_STD_PPM, 0


class Thompson:
    """A channel's fee posterior: the weighted mean of fees it tried, and one mean per bucket.

    The keys of a node alone differ by balance bucket only: no pheromone, normal time, primary.
    """

    def __init__(self) -> None:
        self.observations: deque[Observation] = deque(maxlen=_MOST_OBSERVATIONS)
        self._contexts: dict[int, _Context] = {}

    def observe(self, fee_ppm: int, rate: float, hours: float, at_s: float, place: int) -> None:
        """Take one window in; `place` is the balance bucket."""
        weight = observation_weight(hours, rate)
        self.observations.append(Observation(fee_ppm, rate, weight, at_s))
        reward = min(1.0, rate / 100)
        here = self._contexts.setdefault(place, _Context())
        here.mean += 0.1 * (1 + reward) * reward * (fee_ppm - here.mean)
        here.std = max(LEAST_STD_PPM, 0.95 * here.std)
        here.count += 1
        for beside in (place - 1, place + 1):
            other = self._contexts.get(beside)
            if other is not None:
                other.mean += 0.03 * reward * (fee_ppm - other.mean)

    def posterior(self, now_s: float) -> tuple[float, float]:
        """Return mean and standard deviation in ppm; the prior's where nothing weighs enough."""
        total = fees = 0.0
        weighed = []
        for seen in self.observations:
            decay = 0.5 ** ((now_s - seen.at_s) / _HOUR_S / _HALF_LIFE_H)
            weight = seen.weight * decay * min(2.0, (seen.rate + 10) / 50)
            weighed.append((weight, seen.fee_ppm))
            total += weight
            fees += weight * seen.fee_ppm
        if total <= 0.1:
            return PRIOR_MEAN_PPM, PRIOR_STD_PPM
        mean = fees / total
        spread = sqrt(sum(weight * (fee - mean) ** 2 for weight, fee in weighed) / total)
        prior = max(0.1, 1 / (1 + len(weighed) / 10))
        std = (1 - prior) * max(LEAST_STD_PPM, spread) + prior * PRIOR_STD_PPM
        return (1 - prior) * mean + prior * PRIOR_MEAN_PPM, max(LEAST_STD_PPM, std)

    def sample(self, place: int, now_s: float, rng: np.random.Generator) -> int:
        """Draw a fee: from the prior first, from the bucket's mean once that was seen thrice."""
        if len(self.observations) < _LEAST_OBSERVATIONS:
            return int(rng.normal(PRIOR_MEAN_PPM, 1.5 * PRIOR_STD_PPM * SPREAD))
        here = self._contexts.get(place)
        if here is not None and here.count >= _LEAST_OBSERVATIONS:
            mean, std = here.mean, here.std
        else:
            mean, std = self.posterior(now_s)
        return int(rng.normal(mean, max(LEAST_STD_PPM, std * SPREAD)))

    def label(self, place: int) -> str:
        """Return the context as the decision's label wrote it."""
        return f"{_BUCKETS[place]}:none:normal:P"


def regime_changed(observations: deque[Observation], rate: float) -> bool:
    """Whether a rate lies more than 2.5 deviations off the last ten, or 3 times where they agree.

    Needs ten observations.
    """
    if len(observations) < _REGIME_LENGTH:
        return False
    last = [observations[-k].rate for k in range(1, _REGIME_LENGTH + 1)]
    mean = sum(last) / _REGIME_LENGTH
    std = sqrt(sum((one - mean) ** 2 for one in last) / _REGIME_LENGTH)
    if std > 0.01:
        return abs(rate - mean) / std > _REGIME_SIGMAS
    return mean > 0 and not 0.33 <= rate / mean <= 3


class Aimd:
    """Multiplicative decrease after three silent windows, additive recovery after ten that sold."""

    def __init__(self) -> None:
        self.modifier = 1.0
        self.defending = False
        self._sold = self._silent = 0
        self._cut_s: float | None = None

    def take(self, sold: bool, now_s: float) -> None:
        """Take one window's outcome in."""
        if sold:
            self._sold, self._silent = self._sold + 1, 0
            if self._sold >= 10:
                self._sold = 0
                self.modifier = min(1.5, self.modifier + 0.02)
                if self.modifier >= 1.0:
                    self.defending = False
            return
        self._sold, self._silent = 0, self._silent + 1
        rested = self._cut_s is None or now_s - self._cut_s >= _HOUR_S
        if self._silent >= 3 and rested:
            self.modifier = max(0.5, 0.85 * self.modifier)
            self.defending, self._cut_s = True, now_s

    def apply(self, fee_ppm: int) -> int:
        """Return the fee, lowered while on the defence."""
        return int(fee_ppm * self.modifier) if self.defending else fee_ppm


class Sleep:
    """A channel whose revenue rate is calm for three cycles sleeps for two fee intervals.

    `for_good` keeps it asleep until the rate stirs, however long that takes.
    """

    def __init__(self, for_good: bool) -> None:
        self._for_good = for_good
        self._calm = 0
        self._until_s: float | None = None
        self._rate = 0.0

    def through(self, rate: float, last: float, now_s: float) -> bool:
        """Whether the channel sleeps through this cycle; rates in sat an hour.

        A change from no revenue counts as none. More than 20 % off the rate that it fell asleep
        at wakes it.
        """
        if self._until_s is not None:
            stirred = abs(rate - self._rate) / max(1.0, self._rate) > _WAKE
            if not stirred and (self._for_good or now_s < self._until_s):
                return True
            self._until_s, self._calm = None, 0
            return False
        change = abs(rate - last) / max(1.0, last) if last else 0.0
        self._calm = self._calm + 1 if change < _CALM else 0
        if self._calm < _CALM_CYCLES:
            return False
        self._until_s, self._rate = now_s + _SLEEP_S, rate
        return True
