"""What the tests of demand share: worlds with a known demand curve, and how forwards come."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cl_revenue_ops.domain.demand.belief import Belief
from cl_revenue_ops.domain.demand.birth import Birth
from cl_revenue_ops.domain.demand.book import DemandBook, Worth
from cl_revenue_ops.domain.demand.curve import FEES_PPM, STEEPNESS, FloatArray, best_log_fees
from cl_revenue_ops.domain.demand.peer import DAY_S, Arrival
from cl_revenue_ops.domain.demand.price import Draw, price

START_S = 1_700_000_000.0
STEP_S = 6 * 3600.0
SIZE_MSAT = 100_000_000


@dataclass
class World:
    """One destination whose demand is known: forwards a day at no fee, price and steepness.

    They come in groups of `group` on average (1: one by one), at times that know of no other.
    """

    name: str
    rng: np.random.Generator
    price_ppm: float
    steep: float
    per_day: float
    group: float = 1.0

    def share(self, ppm: float) -> float:
        """The share of demand kept at a fee."""
        return 1.0 / (1.0 + math.pow(ppm / self.price_ppm, self.steep))

    def best_ppm(self, net_ppm: float = 0.0) -> float:
        """The best fee at a net value of the stock."""
        kept = 1.0 / (1.0 + (FEES_PPM / self.price_ppm) ** self.steep)
        return math.exp(float(best_log_fees(((FEES_PPM - net_ppm) * kept)[None, :])[0]))

    def came(self, ppm: int, from_s: float, seconds: float) -> list[Arrival]:
        """What came for it in a stretch of time at a fee."""
        mean = self.per_day * self.share(ppm) * seconds / DAY_S / self.group
        groups = int(self.rng.poisson(mean))
        often = self.rng.geometric(1.0 / self.group, groups)
        at_s = np.repeat(from_s + np.sort(self.rng.random(groups)) * seconds, often)
        fee = SIZE_MSAT * ppm // 1_000_000
        return [Arrival(float(at), "somebody", SIZE_MSAT, fee, True) for at in at_s]

    def drift(self, days: float, price_drift: float, rate_drift: float) -> None:
        """Let price and volume walk at random, so much per sqrt(day) in the log."""
        root = math.sqrt(days)
        self.price_ppm *= math.exp(price_drift * root * self.rng.normal())
        self.per_day *= math.exp(rate_drift * root * self.rng.normal())


def world(seed: int, per_day: float | None = None, group: float = 1.0) -> World:
    """Any destination: prices around 150 ppm, three to sixty forwards a day at no fee."""
    rng = np.random.default_rng([seed, 7])
    price, steep = float(np.exp(rng.normal(5.0, 1.0))), float(rng.choice(STEEPNESS))
    often = float(np.exp(rng.uniform(math.log(3.0), math.log(60.0))))
    return World(f"peer {seed}", rng, price, steep, often if per_day is None else per_day, group)


@dataclass
class Watched:
    """Some worlds and the book that learns of them, with the fees (ppm) that are in force."""

    worlds: Sequence[World]
    book: DemandBook = field(default_factory=DemandBook)
    now_s: float = START_S
    fees_ppm: dict[str, int] = field(default_factory=dict)
    draws: dict[str, Draw] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.book.learned_s = self.now_s
        for one in self.worlds:
            quote = one.price_ppm * math.exp(one.rng.normal(0.0, 0.7))
            self.book.meet({one.name: Birth(quote, 20, None, 20.0 * SIZE_MSAT)})
            self.ask(one, quote)

    def ask(self, one: World, ppm: float) -> None:
        """Change a fee now."""
        self.fees_ppm[one.name] = max(1, round(ppm))
        self.book.ask(one.name, self.fees_ppm[one.name], 0, self.now_s)

    def step(self) -> None:
        """Let STEP_S pass, and learn."""
        came = {
            one.name: one.came(self.fees_ppm[one.name], self.now_s, STEP_S) for one in self.worlds
        }
        self.now_s += STEP_S
        self.book.learn(came, {one.name: STEP_S for one in self.worlds}, self.now_s)

    def vary(self) -> None:
        """Ask anything around the price of the alternatives."""
        for one in self.worlds:
            self.ask(one, one.price_ppm * math.exp(one.rng.normal(0.0, 0.7)))

    def reprice(self) -> None:
        """Ask what the belief asks, stock being worth nothing."""
        for one, believed in zip(self.worlds, self.beliefs(), strict=True):
            told = worth(believed, surprise=None)
            fresh_z = float(one.rng.normal())
            made = price(told, 0.5, self.draws.get(one.name), fresh_z, self.now_s)
            self.draws[one.name] = made.draw
            self.ask(one, math.exp(made.log_fee))

    def beliefs(self) -> list[Belief]:
        """What is believed of each world."""
        return self.book.believed([one.name for one in self.worlds], self.now_s)


def worth(believed: Belief, **changes: Any) -> Worth:
    """What a decision is told: stock worth nothing, forwards of usual size, no surprise."""
    ordinary = Worth(believed, 0.0, 0.0, 0.0, 0.0, 0.0, float(SIZE_MSAT), None)
    return ordinary._replace(**changes)


def curve(price_ppm: float, steep: float, per_day_msat: float) -> FloatArray:
    """The volume a day (msat) at each fee of the grid."""
    kept: FloatArray = per_day_msat / (1.0 + (FEES_PPM / price_ppm) ** steep)
    return kept


def known(price_ppm: float, steep: float, per_day_msat: float) -> Belief:
    """Demand that is known."""
    return Belief.of((), (), (), 1.0, tuple(curve(price_ppm, steep, per_day_msat).tolist()))
