"""What routes cost and whether they work, learned from our own jobs, pair by pair.

The price of a route into peer j is a lasting multiple of what the alternatives into j cost, times
noise from hour to hour: ln(cost / others) ~ N(mu, NOISE). mu is learned for the node, for the
destination and for the pair; each leans on the wider one until it has its own history. A payment
that arrived says what the route cost; a job that found none at its price says that it cost more
(a probit factor, moment-matched).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, Final, NamedTuple

DAY_S: Final = 86_400.0
NOISE_SD: Final = 0.35
SPREAD_SD: Final = 0.45
"""Of mu between destinations, and between the sources of one destination."""
FIRST_MEAN: Final = 0.1
FIRST_SD: Final = 0.6
DRIFT_VARIANCE_PER_DAY: Final = 0.02
NODES: Final = 24
_STANDARD: Final = NormalDist()
_Z: Final = tuple(_STANDARD.inv_cdf((k + 0.5) / NODES) for k in range(NODES))
FAR_Z: Final = -6.0

# Outcomes count half after so many days, and lean on so many that were never seen.
OUTCOME_HALF_LIFE_DAYS: Final = 3.0
LEAN: Final = 2.0
KEPT_OUTCOMES: Final = 12
ANY: Final = ""


class Law(NamedTuple):
    """A Gaussian over mu as of `at_s` (Unix seconds)."""

    mean: float
    variance: float
    at_s: float


class Outcome(NamedTuple):
    """Whether payments of this size came through, when; `weight` counts them."""

    at_s: float
    amount_msat: int
    ok: bool
    weight: float


@dataclass
class RouteBook:
    """Laws and outcomes by (source peer, destination peer); ANY stands for all of them."""

    laws: dict[tuple[str, str], Law] = field(default_factory=dict)
    outcomes: dict[tuple[str, str], tuple[Outcome, ...]] = field(default_factory=dict)

    # -- prices -------------------------------------------------------------------------------

    def law(self, source: str, destination: str, now_s: float) -> Law:
        """Return what is believed of a pair now; with ANY for one of them, of what is wider."""
        node = _aged(self.laws.get((ANY, ANY)), Law(FIRST_MEAN, FIRST_SD**2, now_s), now_s)
        if destination == ANY:
            return node
        wide = Law(node.mean, node.variance + SPREAD_SD**2, now_s)
        into = _aged(self.laws.get((ANY, destination)), wide, now_s)
        if source == ANY:
            return into
        narrow = Law(into.mean, into.variance + SPREAD_SD**2, now_s)
        return _aged(self.laws.get((source, destination)), narrow, now_s)

    def costs_ppm(
        self, source: str, destination: str, others_ppm: float, least_ppm: float, now_s: float
    ) -> tuple[float, ...]:
        """Return what a route may cost now: NODES equally probable prices, rising.

        None is below `least_ppm`, what the destination itself charges for the last hop.
        """
        law = self.law(source, destination, now_s)
        sd = math.sqrt(law.variance + NOISE_SD**2)
        typical_ppm, exp = others_ppm * math.exp(law.mean), math.exp
        # In a loop of its own: a search asks this of every pair.
        return tuple([max(typical_ppm * exp(sd * z), least_ppm) for z in _Z])

    def paid(
        self, source: str, destination: str, others_ppm: float, cost_ppm: float, now_s: float
    ) -> None:
        """Take in what a route has cost."""
        log_ratio = math.log(max(cost_ppm, 0.5) / max(others_ppm, 1.0))
        self._learn(source, destination, now_s, lambda law, sd: _seen(law, log_ratio, sd))

    def too_dear(
        self, source: str, destination: str, others_ppm: float, max_ppm: float, now_s: float
    ) -> None:
        """Take in that no route was found at or below a price."""
        log_ratio = math.log(max(max_ppm, 0.5) / max(others_ppm, 1.0))
        self._learn(source, destination, now_s, lambda law, sd: _above(law, log_ratio, sd))

    def _learn(self, source: str, destination: str, now_s: float, update: Any) -> None:
        pair = self.law(source, destination, now_s)
        into, node = self.law(ANY, destination, now_s), self.law(ANY, ANY, now_s)
        spread = SPREAD_SD**2
        self.laws[ANY, ANY] = update(node, math.sqrt(NOISE_SD**2 + 2.0 * spread))
        self.laws[ANY, destination] = update(into, math.sqrt(NOISE_SD**2 + spread))
        self.laws[source, destination] = update(pair, NOISE_SD)

    # -- success ------------------------------------------------------------------------------

    def success(self, source: str, destination: str, amount_msat: int, now_s: float) -> float:
        """Return the probability that a payment of this size gets through at a fair price.

        Laplace-smoothed, and it leans on the destination, then on the node. What came through at
        one size says that less would have; what failed, that more would.
        """
        rate = 0.7
        for key in ((ANY, ANY), (ANY, destination), (source, destination)):
            good, bad = self._counts(key, amount_msat, now_s)
            rate = (good + LEAN * rate) / (good + bad + LEAN)
        return rate

    def _counts(self, key: tuple[str, str], amount_msat: int, now_s: float) -> tuple[float, float]:
        good = bad = 0.0
        for one in self.outcomes.get(key, ()):
            days = max(0.0, now_s - one.at_s) / DAY_S
            weight = one.weight * 0.5 ** (days / OUTCOME_HALF_LIFE_DAYS)
            if one.ok and 1.5 * one.amount_msat >= amount_msat:
                good += weight
            elif not one.ok and one.amount_msat <= 1.5 * amount_msat:
                bad += weight
        return good, bad

    def came(
        self, source: str, destination: str, amount_msat: int, ok: bool, weight: float, now_s: float
    ) -> None:
        """Take in whether payments of a size came through."""
        found = Outcome(now_s, amount_msat, ok, round(weight, 4))
        for key in ((ANY, ANY), (ANY, destination), (source, destination)):
            kept = (*self.outcomes.get(key, ()), found)
            self.outcomes[key] = kept[-KEPT_OUTCOMES:]

    # -- memory -------------------------------------------------------------------------------

    def forget(self, peers: frozenset[str]) -> None:
        """Let go of pairs with a peer that is not among these."""
        known = peers | {ANY}
        self.laws = {key: law for key, law in self.laws.items() if known.issuperset(key)}
        self.outcomes = {key: rows for key, rows in self.outcomes.items() if known.issuperset(key)}

    def to_row(self) -> dict[str, Any]:
        """Return all as plain JSON values."""
        return {
            "laws": [[*key, *law] for key, law in self.laws.items()],
            "outcomes": [[*key, *map(list, rows)] for key, rows in self.outcomes.items()],
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> RouteBook:
        """Return what `to_row` gave; ValueError, TypeError or KeyError for anything else."""
        laws = {(str(a), str(b)): _law(rest) for a, b, *rest in row["laws"]}
        outcomes = {
            (str(a), str(b)): tuple(_outcome(one) for one in rest)
            for a, b, *rest in row["outcomes"]
        }
        return cls(laws, outcomes)


def _law(row: Sequence[Any]) -> Law:
    mean, variance, at_s = (float(value) for value in row)
    if not (math.isfinite(mean) and 0.0 < variance < math.inf and math.isfinite(at_s)):
        raise ValueError("no law of a route")
    return Law(mean, variance, at_s)


def _outcome(row: Sequence[Any]) -> Outcome:
    at_s, amount_msat, ok, weight = row
    if not math.isfinite(float(at_s)) or not 0.0 <= float(weight) < math.inf:
        raise ValueError("no outcome of a payment")
    return Outcome(float(at_s), int(amount_msat), bool(ok), float(weight))


def _aged(law: Law | None, wider: Law, now_s: float) -> Law:
    """Let a law spread with time, up to what is believed without it."""
    if law is None:
        return wider
    days = max(0.0, now_s - law.at_s) / DAY_S
    return Law(law.mean, min(law.variance + DRIFT_VARIANCE_PER_DAY * days, wider.variance), now_s)


def _seen(law: Law, value: float, sd: float) -> Law:
    gain = law.variance / (law.variance + sd * sd)
    return Law(law.mean + gain * (value - law.mean), (1.0 - gain) * law.variance, law.at_s)


def _above(law: Law, value: float, sd: float) -> Law:
    """The moments after learning that a noisy reading lies above `value` (a probit factor)."""
    total = math.sqrt(law.variance + sd * sd)
    z = (law.mean - value) / total
    ratio = _hazard(z)
    mean = law.mean + law.variance / total * ratio
    variance = law.variance - (law.variance / total) ** 2 * ratio * (ratio + z)
    return Law(mean, max(variance, 1e-4), law.at_s)


def _hazard(z: float) -> float:
    """Return phi(z) / Phi(z); far out, where Phi is lost in rounding, by its asymptotic series."""
    if z > FAR_Z:
        return _STANDARD.pdf(z) / _STANDARD.cdf(z)
    return -z - 1.0 / z + 2.0 / z**3 - 10.0 / z**5
