"""All that is believed of demand, peer by peer, and what the stocks are worth in its light."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from cl_revenue_ops.domain.demand import (
    belief,
    birth,
    peer,
    pool,
    posterior,
    rivals,
    season,
    shadow,
)
from cl_revenue_ops.domain.demand.belief import Belief
from cl_revenue_ops.domain.demand.birth import Birth, Opinion
from cl_revenue_ops.domain.demand.curve import FEES, FloatArray, within
from cl_revenue_ops.domain.demand.peer import Arrival, Evidence, PeerDemand, Stretch
from cl_revenue_ops.domain.demand.pool import Pool
from cl_revenue_ops.domain.demand.posterior import Posterior, Prior
from cl_revenue_ops.domain.demand.rivals import Ask, Noise, Rivals
from cl_revenue_ops.domain.demand.season import Season
from cl_revenue_ops.domain.demand.shadow import Mix, Multipliers
from cl_revenue_ops.domain.fees.surprise import p_high, p_low

DAY_S: Final = 86_400.0
PRIOR_SHAPE: Final = 0.05
MIX_WEIGHT: Final = 4.0
STEEPNESS_MOVED: Final = 0.02
# Destinations that are worked on at a time.
BLOCK: Final = 100
_TINY: Final = 1e-150
# The plan that holds still: quicker while the last solution is near.
GO_ON: Final = shadow.Ascent(steps=60, size=0.1, lean=0.0)
FROM_NOTHING: Final = shadow.Ascent(steps=600, size=0.1, lean=0.0)
# A longer stretch (the plugin was down) belongs to no hour of the day.
SEASONED_DAYS: Final = 0.1


class Stock(NamedTuple):
    """A peer's channels together: `local_msat` above our reserve of `capacity_msat` above it.

    It is sold for `least_ppm` to `most_ppm`, whatever demand would pay.
    """

    peer_id: str
    local_msat: float
    capacity_msat: float
    least_ppm: float = 0.0
    most_ppm: float = math.inf


def sold(volumes: FloatArray, stocks: Sequence[Stock]) -> FloatArray:
    """Return the volumes (stocks, FEES) that can be had at the fees that can be asked."""
    bounds = np.array([(stock.least_ppm, stock.most_ppm) for stock in stocks])
    return within(volumes, bounds[:, 0], bounds[:, 1])


@dataclass(frozen=True)
class Surprise:
    """How improbable what came since the last look was under the posterior of then.

    `count` and `mean` in forwards of usual size. `p_low` is the probability of so few or fewer
    where fewer came than expected, `p_high` that of so many or more where more came; else 1.
    """

    count: float
    mean: float
    p_low: float
    p_high: float


class Worth(NamedTuple):
    """What a decision is told of one destination. pi in ppm: `own_ppm` of a sat that leaves here,
    `entering_ppm` the mean of it where this traffic enters; `scarce_ppm` and `full_ppm` the parts
    of `own_ppm` that come of the plan, the rest leans on the balance; `level_ppm` the node's.
    """

    belief: Belief
    own_ppm: float
    entering_ppm: float
    scarce_ppm: float
    full_ppm: float
    level_ppm: float
    size_msat: float
    surprise: Surprise | None


@dataclass
class DemandBook:
    """Beliefs by peer_id, the pool, and the multipliers of the last plan; times Unix seconds.

    `volumes` is what the last appraisal expected in msat a day at each fee: (peers, FEES).
    """

    peers: dict[str, PeerDemand] = field(default_factory=dict)
    posteriors: dict[str, Posterior] = field(default_factory=dict)
    pool: Pool = field(default_factory=Pool)
    season: Season = field(default_factory=Season)
    values: dict[str, tuple[float, float]] = field(default_factory=dict)
    settled: dict[str, tuple[float, float]] = field(default_factory=dict)
    learned_s: float | None = None
    surprises: dict[str, Surprise] = field(default_factory=dict)
    rivals: dict[str, Rivals] = field(default_factory=dict)
    noise: Noise = field(default_factory=Noise)
    volumes: FloatArray = field(default_factory=lambda: np.zeros((0, FEES)), compare=False)

    def meet(self, births: Mapping[str, Birth]) -> None:
        """Begin to learn of destinations; those that are known already are left as they are."""
        new = {name: one for name, one in births.items() if name not in self.peers}
        if not new:
            return
        law = posterior.stacked(list(self.posteriors.values()))
        priors = birth.opinions(new, [Opinion(*row) for row in posterior.log_prices(law)])
        for name, one in new.items():
            believed = priors[name]
            sd = math.sqrt(believed.variance)
            rate, steepness = one.rate_msat, self.pool.steepness
            self.peers[name] = PeerDemand()
            self.posteriors[name] = posterior.initial(
                Prior(believed.log_price, sd, rate, PRIOR_SHAPE, steepness)
            )

    def hear(self, peer_id: str, asks: Iterable[Ask], now_s: float) -> None:
        """This is what rivals ask into a peer now: its price follows where they have moved."""
        before = self.rivals.get(peer_id, Rivals())
        after, self.noise = rivals.read(before, asks, self.noise, now_s)
        self.rivals[peer_id] = after
        move = after.level - before.level
        if move and peer_id in self.posteriors:
            self.posteriors[peer_id] = posterior.shifted(self.posteriors[peer_id], move)

    def ask(self, peer_id: str, ppm: int, base_msat: int, at_s: float) -> None:
        """This is what our channels to a peer ask since `at_s` at the latest."""
        self.peers[peer_id] = peer.asks(self.peers[peer_id], ppm, base_msat, at_s)

    def forget(self, peer_id: str) -> None:
        """Let go of a destination."""
        tables = self.peers, self.posteriors, self.values, self.settled, self.surprises, self.rivals
        for table in tables:
            table.pop(peer_id, None)

    # -- learning -----------------------------------------------------------------------------

    def learn(
        self,
        arrivals: Mapping[str, Sequence[Arrival]],
        carried_s: Mapping[str, float],
        until_s: float,
        open_share: Mapping[str, float] | None = None,
    ) -> None:
        """Take in everything from the last time on until `until_s`.

        `arrivals` by the peer they were for; `carried_s` for how long its channels could carry a
        usual forward. `open_share` is the part of the time in which a peer could send us one (all
        of it where nothing is said): traffic that enters by a full channel never shows, so it is
        no evidence that it did not come.
        """
        from_s = until_s if self.learned_s is None else min(self.learned_s, until_s)
        days = (until_s - from_s) / DAY_S
        self.pool = pool.faded(self.pool, days)
        names = list(self.peers)
        size = self.pool.size_msat
        middle_s = 0.5 * (from_s + until_s)
        factor = season.factor(self.season, middle_s) if days < SEASONED_DAYS else 1.0
        entering = self._entering_share(names, open_share or {})
        found = []
        for place, name in enumerate(names):
            carried = carried_s.get(name, 0.0) * entering[place]
            stretch = Stretch(from_s, until_s, carried, factor)
            one, self.peers[name] = peer.evidence(
                self.peers[name], place % BLOCK, arrivals.get(name, ()), stretch, size
            )
            found.append(one)
        hoped, steepness = self._observe(names, found, days)
        self._judge(names, found, hoped)
        if days < SEASONED_DAYS:
            unit = size * self.pool.dispersion
            counted = sum(one.volume_msat for one in found) / unit
            usual = float(hoped.mean.sum()) / (unit * factor)
            self.season = season.counted(self.season, middle_s, counted, usual, days)
        for name, one, mean in zip(names, found, hoped.mean.tolist(), strict=True):
            known, window = peer.windowed(self.peers[name], one, mean, until_s)
            if window is not None:
                counts = window.volume_msat / size, window.mean_msat / size
                self.pool = pool.counted(self.pool, *counts)
            came = arrivals.get(name, ())
            self.peers[name] = peer.take_sizes(known, came, until_s) if came else known
        self._pool_sizes(arrivals, size)
        self._pool_steepness(names, steepness)
        self.learned_s = until_s

    def _entering_share(self, names: Sequence[str], open_share: Mapping[str, float]) -> list[float]:
        """Return for each destination the part of its traffic that could enter."""
        if not (open_share and names):
            return [1.0] * len(names)
        mix = self.mix(names)
        is_open = np.array([min(1.0, open_share.get(name, 1.0)) for name in names])
        named = np.bincount(mix.out, mix.share * is_open[mix.into], len(names))
        part: list[float] = (named + mix.rest * float(mix.common @ is_open)).tolist()
        return part

    def _observe(
        self, names: Sequence[str], found: Sequence[Evidence], days: float
    ) -> tuple[posterior.Expected, FloatArray]:
        """Let time pass, take in what was found; return what was then to be expected, and the
        weight of each steepness afterwards.

        No row says anything to another: some at a time stay within the processor's cache.
        """
        unit = self.pool.dispersion * self.pool.size_msat
        hoped = posterior.Expected(np.zeros(len(names)), np.zeros(len(names)))
        steepness = np.zeros((len(names), len(self.pool.steepness)))
        for first in range(0, len(names), BLOCK):
            block = slice(first, first + BLOCK)
            some, evidence = names[block], found[block]
            led = [rivals.leads(self.rivals.get(name)) for name in some]
            law = posterior.stacked([self.posteriors[name] for name in some])
            law = posterior.drifted(law, days, np.array(led, dtype=bool))
            exposed = posterior.exposure(len(some), [o for one in evidence for o in one.offered])
            hoped.mean[block], hoped.variance[block] = posterior.expected(law, exposed)
            seen = [entry for one in evidence for entry in one.seen]
            law = posterior.observe(law, seen, exposed, unit)
            steepness[block] = posterior.steepness(law)
            self._keep(some, law)
        return hoped, steepness

    def _keep(self, names: Sequence[str], law: Posterior) -> None:
        self.posteriors.update((name, law.row(place)) for place, name in enumerate(names))

    def _judge(
        self, names: Sequence[str], found: Sequence[Evidence], hoped: posterior.Expected
    ) -> None:
        size, dispersion = self.pool.size_msat, self.pool.dispersion
        doubts = np.log1p(hoped.variance / np.maximum(hoped.mean, _TINY) ** 2).tolist()
        means = (hoped.mean / size).tolist()
        self.surprises = {}
        for name, one, mean, log_variance in zip(names, found, means, doubts, strict=True):
            if mean <= 0.0:
                continue
            count = one.volume_msat / size
            # Rounded towards what was expected: part of a forward is no surprise.
            low = p_low(math.ceil(count), mean, dispersion, log_variance) if count < mean else 1.0
            high = p_high(int(count), mean, dispersion, log_variance) if count > mean else 1.0
            self.surprises[name] = Surprise(count, mean, low, high)

    def _pool_sizes(self, arrivals: Mapping[str, Sequence[Arrival]], size: float) -> None:
        amounts = [a.out_msat for came in arrivals.values() for a in came if a.settled]
        if amounts:
            most = peer.MOST_SIZES * size
            capped = sum(min(amount, most) for amount in amounts)
            self.pool = pool.sized(self.pool, sum(amounts), len(amounts), capped)

    def _pool_steepness(self, names: Sequence[str], steepness: FloatArray) -> None:
        old = self.pool.steepness
        seen = np.array([self.peers[name].seen for name in names])
        new = pool.pooled_steepness(steepness, seen, old)
        if max(abs(a - b) for a, b in zip(old, new, strict=True)) < STEEPNESS_MOVED:
            return
        law = posterior.stacked([self.posteriors[name] for name in names])
        self._keep(names, posterior.reweighed(law, np.array(new) / np.maximum(old, 1e-6)))
        self.pool = pool.with_steepness(self.pool, new)

    # -- valuing ------------------------------------------------------------------------------

    def believed(self, names: Sequence[str], now_s: float) -> list[Belief]:
        """Return what is believed of each destination; `now_s` is for a book that knows."""
        del now_s
        law = posterior.stacked([self.posteriors[name] for name in names])
        return belief.believe(law, self.pool.tail)

    def neutral_ppm(self, peer_id: str, now_s: float) -> float | None:
        """Return the best fee were stock worth nothing; None where the peer is not known."""
        if peer_id not in self.peers:
            return None
        volumes = belief.volumes_msat_per_day(self.believed([peer_id], now_s))
        return float(np.exp(belief.greedy_log_fees(volumes, np.zeros(1))[0]))

    def appraise(self, stocks: Iterable[Stock], now_s: float) -> dict[str, Worth]:
        """Return what each peer's stock is worth now, with what is believed of its demand.

        In the order of `stocks`; `volumes` then has a row for each.
        """
        held = [stock for stock in stocks if stock.peer_id in self.peers]
        if not held:
            self.volumes = np.zeros((0, FEES))
            return {}
        names = [stock.peer_id for stock in held]
        beliefs = self.believed(names, now_s)
        self.volumes = belief.volumes_msat_per_day(beliefs)
        start = np.array([self.values.get(name, (0.0, 0.0)) for name in names])
        made = shadow.plan(
            sold(self.volumes, held),
            self.mix(names),
            np.array([stock.local_msat for stock in held]),
            np.array([stock.capacity_msat for stock in held]),
            Multipliers(start[:, 0], start[:, 1]),
        )
        found = made.multipliers
        columns = (found.scarce, found.full, made.own, made.entering)
        rows = np.round(np.stack(columns, axis=1), 3).tolist()
        self.values.update((name, (row[0], row[1])) for name, row in zip(names, rows, strict=True))
        usual, level = self.pool.size_msat, round(made.level_ppm, 2)
        return {
            name: Worth(
                beliefs[place],
                own,
                entering,
                scarce,
                full,
                level,
                round(peer.size_msat(self.peers[name], usual), 0),
                self.surprises.get(name),
            )
            for place, (name, (scarce, full, own, entering)) in enumerate(
                zip(names, rows, strict=True)
            )
        }

    def settle(self, stocks: Sequence[Stock], volumes: FloatArray, mix: Mix) -> shadow.Plan:
        """Return a plan that holds still: what acts on the value of stock itself reads this one.

        `stocks` are of known peers; `volumes`, as they can be sold, and `mix` are
        theirs. From the last solution on.
        """
        names = [stock.peer_id for stock in stocks]
        known = all(name in self.settled for name in names)
        start = np.array([self.settled.get(name, (0.0, 0.0)) for name in names])
        made = shadow.plan(
            volumes,
            mix,
            np.array([stock.local_msat for stock in stocks]),
            np.array([stock.capacity_msat for stock in stocks]),
            Multipliers(start[:, 0], start[:, 1]),
            GO_ON if known else FROM_NOTHING,
        )
        found = np.round(np.stack([made.multipliers.scarce, made.multipliers.full], 1), 3).tolist()
        self.settled.update((name, (a, b)) for name, (a, b) in zip(names, found, strict=True))
        return made

    def mix(self, names: Sequence[str]) -> Mix:
        """Return where each peer's traffic enters, leaning on where the node's traffic enters."""
        places = {name: place for place, name in enumerate(names)}
        common: FloatArray = np.full(len(names), self.pool.size_msat / len(names))
        entered = [self.peers[name].entered for name in names]
        each = np.array([places.get(one, -1) for row in entered for one in row], dtype=np.intp)
        msat = np.array([one for row in entered for one in row.values()], dtype=np.float64)
        known = each >= 0
        into, amount = each[known], msat[known]
        leaving = np.repeat(np.arange(len(names)), [len(row) for row in entered])[known]
        np.add.at(common, into, amount)
        total = np.bincount(leaving, amount, len(names)).astype(np.float64)
        lean = MIX_WEIGHT * self.pool.size_msat
        return Mix(
            into,
            leaving,
            amount / (total[leaving] + lean),
            lean / (total + lean),
            common / common.sum(),
        )
