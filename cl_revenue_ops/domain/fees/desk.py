"""The pricing desk: what traffic taught about demand, and the price of each destination by it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, Final, NamedTuple

from cl_revenue_ops.domain import jsontext, watch
from cl_revenue_ops.domain.channels import usable
from cl_revenue_ops.domain.demand import packing, peer, season
from cl_revenue_ops.domain.demand.birth import Birth
from cl_revenue_ops.domain.demand.book import DemandBook, Stock
from cl_revenue_ops.domain.demand.peer import Arrival
from cl_revenue_ops.domain.demand.price import BANDS, Asked, Draw, price_all
from cl_revenue_ops.domain.demand.rivals import Ask, Rivals
from cl_revenue_ops.domain.fees import aimd, stock_curves
from cl_revenue_ops.domain.fees.aimd import AimdState
from cl_revenue_ops.domain.fees.facts import Market, PriorPrice, finite
from cl_revenue_ops.domain.flow_exposure import Carrying
from cl_revenue_ops.domain.policy.terms import PPM_MOST, Limits
from cl_revenue_ops.domain.reputation import UNKNOWN, Trust
from cl_revenue_ops.domain.watch import Stretch, Watch
from messages.channels import ChannelEntry, ChannelFact
from messages.forwards import LOCAL_FAILED, SETTLED, LoggedForward
from messages.rebalance import StockCurves

# WIRE_TEMPORARY_CHANNEL_FAILURE: no balance, no slot, or no connection.
NO_LIQUIDITY: Final = 0x1007
# What lightningd asks where nobody ever set a fee: it says nothing of a price.
DEFAULT_POLICIES: Final = ((10, 1_000), (1, 1_000), (10, 1), (1, 1))
TRUST_BOUNDS: Final = (0.25, 1.5)
DAY_S: Final = 86_400.0
# Stands in the watch for the time in which anybody watched at all.
EVERYONE: Final = ""
_STANDARD: Final = NormalDist()
ANY_FEE: Final[Mapping[str, Limits]] = {}
_UNLIMITED: Final = Limits(0, PPM_MOST)

Uniform = Callable[[str, int], float]
"""A draw from [0, 1) that depends on nothing but a purpose and a number."""


class Fit(NamedTuple):
    """Which part of the usual volume has room to come `into` a peer's channels and go `out`."""

    into: float
    out: float


@dataclass
class PricingDesk:
    """Beliefs, draws and AIMD by peer_id, the watch over who could carry, and the log's cursor.

    `markets` is the outcome of the last pricing, by peer_id. `fits` is what the last reading had
    room for, `fitted` what there was when last was learned. What is stored comes back exactly: the
    next pricing is the same.
    """

    demand: DemandBook = field(default_factory=DemandBook)
    draws: dict[str, Draw] = field(default_factory=dict)
    aimd: dict[str, AimdState] = field(default_factory=dict)
    watch: Watch = field(default_factory=Watch)
    cursor: int = 0
    markets: dict[str, Market] = field(default_factory=dict)
    fits: Mapping[str, Fit] = field(default_factory=dict)
    fitted: Mapping[str, Fit] = field(default_factory=dict)

    # -- watching -----------------------------------------------------------------------------

    def look(self, facts: Iterable[ChannelFact], at_s: float) -> None:
        """Take in a reading of all channels: which peers could be traded with, and what fits."""
        carrying, fits = {EVERYONE: Carrying(True, True)}, dict[str, Fit]()
        for fact in facts:
            name, now = fact.peer_id, _carries(fact)
            before = carrying.get(name, Carrying(False, False))
            carrying[name] = Carrying(
                before.inwards or now.inwards, before.outwards or now.outwards
            )
            fits[name] = _larger(fits.get(name, Fit(0.0, 0.0)), self._fit(fact))
        self.fits = fits
        if self.watch.read_s is not None and at_s < self.watch.read_s - watch.GAP_S:
            # So old is no reading that is told late: the clock was set back.
            self.watch = watch.not_after(self.watch, at_s)
        if self.watch.read_s is None or at_s >= self.watch.read_s:
            self.watch = watch.read(self.watch, carrying, at_s)

    def _fit(self, fact: ChannelFact) -> Fit:
        usual, capacity = self.demand.pool.size_msat, fact.capacity_msat
        known = self.demand.peers.get(fact.peer_id)
        typical = usual if known is None else peer.size_msat(known, usual)
        return Fit(
            peer.fitting(fact.receivable_msat, usual, capacity),
            peer.fitting(fact.spendable_msat, typical, capacity),
        )

    def hear(self, peer_id: str, asks: Iterable[Ask], at_s: float) -> None:
        """Take in what rivals ask into a peer by gossip."""
        self.demand.hear(peer_id, asks, at_s)

    def meet(
        self, facts: Iterable[ChannelFact], priors: Mapping[str, PriorPrice], target_flow_msat: int
    ) -> None:
        """Begin to learn of peers that are new, from what rivals quote and the fee found."""
        # Half of the demand is kept at the prior price.
        rate_msat = 2.0 * max(target_flow_msat, 1_000)
        births: dict[str, Birth] = {}
        for fact in facts:
            prior, policy, found = (
                priors.get(fact.peer_id),
                (fact.fee_ppm, fact.fee_base_msat),
                None,
            )
            if None not in policy and policy not in DEFAULT_POLICIES:
                found = float(fact.fee_ppm or 0)
            ppm, quotes = (None, 0) if prior is None else (prior.ppm, prior.quotes)
            births.setdefault(fact.peer_id, Birth(ppm, quotes, found, rate_msat))
        self.demand.meet(births)
        # In the order in which the store gives them: sums then come out the same after a restart.
        self.demand.peers = dict(sorted(self.demand.peers.items()))

    def ask(self, facts: Iterable[ChannelFact], at_s: float) -> None:
        """Take in which fees are in force; where channels to a peer differ, the lowest counts."""
        lowest: dict[str, tuple[int, int]] = {}
        for fact in facts:
            if fact.fee_ppm is not None and fact.fee_base_msat is not None and usable(fact):
                policy = (fact.fee_ppm, fact.fee_base_msat)
                lowest[fact.peer_id] = min(policy, lowest.get(fact.peer_id, policy))
        for peer_id, (ppm, base_msat) in lowest.items():
            if peer_id in self.demand.peers:
                self.demand.ask(peer_id, ppm, base_msat, at_s)

    # -- learning -----------------------------------------------------------------------------

    def learn(
        self,
        rows: Sequence[LoggedForward],
        channel_by_scid: Mapping[str, str],
        peer_by_channel: Mapping[str, str],
        trust: Trust,
        now_s: float,
    ) -> None:
        """Take in all that was logged since the last time, beside the time that was watched.

        What came while nobody watched (before the first start, while the plugin was down) says
        how large forwards are and where they enter, and nothing of how many come. So does what is
        logged so late that the time it came in was taken in long ago.
        """
        before_s, late_s = self.demand.learned_s, math.inf
        if before_s is not None and before_s <= now_s:
            late_s = before_s - watch.GAP_S
        stretches, self.watch = watch.close(self.watch, now_s)
        arrivals: dict[str, list[Arrival]] = defaultdict(list)
        usual = _usual_trust(trust, peer_by_channel.values())
        for row in rows:
            out = peer_by_channel.get(channel_by_scid.get(row.out_scid or "", ""))
            entered = peer_by_channel.get(channel_by_scid.get(row.in_scid, ""))
            if out is None or entered is None or row.out_msat is None:
                continue
            refused = row.status == LOCAL_FAILED and row.failcode == NO_LIQUIDITY
            if row.status != SETTLED and not refused:
                continue
            watched = row.at_s > late_s and bool(_exposure(stretches, row.at_s))
            low, high = TRUST_BOUNDS
            weight = min(high, max(low, trust.of(entered) / usual))
            fee_msat = row.in_msat - row.out_msat if row.fee_msat is None else row.fee_msat
            arrivals[out].append(
                Arrival(row.at_s, entered, row.out_msat, fee_msat, not refused, weight, watched)
            )
        carried_s, open_share = self._fitted(*_carried(stretches))
        self.demand.learn(arrivals, carried_s, now_s, open_share)
        self._give_way(now_s, 0.0 if before_s is None else now_s - before_s)

    def _fitted(
        self, carried_s: Mapping[str, float], open_share: Mapping[str, float]
    ) -> tuple[dict[str, float], dict[str, float]]:
        """What was carried and open, by the part of the usual volume that fitted.

        The mean of what fits now and what did the last time: both at a cycle, so that readings in
        between, of which a restart makes more, change nothing.
        """
        if not carried_s:
            # No time has passed: a cycle that was cut off begins anew.
            return {}, {}
        before, self.fitted = self.fitted, self.fits
        mean = {
            name: Fit(
                *(0.5 * (was + now) for was, now in zip(before.get(name, fit), fit, strict=True))
            )
            for name, fit in self.fits.items()
        }
        all_of_it = Fit(1.0, 1.0)
        leaving = {name: s * mean.get(name, all_of_it).out for name, s in carried_s.items()}
        entering = {
            name: part * mean.get(name, all_of_it).into for name, part in open_share.items()
        }
        return leaving, entering

    def _give_way(self, now_s: float, since_s: float) -> None:
        for peer_id in self.demand.peers:
            surprise = self.demand.surprises.get(peer_id)
            seen_low = None if surprise is None else surprise.p_low
            state = self.aimd.get(peer_id, AimdState())
            self.aimd[peer_id], _ = aimd.observe(state, seen_low, now_s, since_s / AIMD_INTERVAL_S)

    # -- pricing ------------------------------------------------------------------------------

    def price(
        self,
        facts: Iterable[ChannelFact],
        uniform: Uniform,
        now_s: float,
        limits: Mapping[str, Limits] = ANY_FEE,
    ) -> None:
        """Value the stocks within `limits` of their fees by peer_id, and price every destination.

        Draws that are due are drawn.
        """
        stocks = _stocks(facts, limits)
        worths = self.demand.appraise(stocks, now_s)
        asked: dict[str, Asked] = {}
        for stock in stocks:
            peer_id = stock.peer_id
            if peer_id in worths:
                held = self.draws.get(peer_id)
                number = 1 if held is None else held.number + 1
                share = round(stock.local_msat / max(stock.capacity_msat, 1.0), 5)
                fresh = round(_normal(uniform(f"draw {peer_id}", number)), 6)
                asked[peer_id] = Asked(worths[peer_id], share, held, fresh)
        self.markets = {}
        made = price_all(list(asked.values()), now_s, self.demand.volumes)
        for peer_id, priced in zip(asked, made, strict=True):
            multiplier = round(self.aimd.get(peer_id, AimdState()).multiplier, 6)
            self.draws[peer_id] = priced.draw
            self.markets[peer_id] = Market(*asked[peer_id], now_s, multiplier, priced)

    def stock_curves(
        self, facts: Iterable[ChannelFact], now_s: float, limits: Mapping[str, Limits] = ANY_FEE
    ) -> StockCurves:
        """Return what stock is worth at every peer priced last, by how much there is."""
        facts = list(facts)
        asked: dict[str, int] = {}
        for fact in facts:
            if usable(fact) and fact.fee_ppm is not None:
                asked[fact.peer_id] = min(fact.fee_ppm, asked.get(fact.peer_id, fact.fee_ppm))
        held = [stock for stock in _stocks(facts, limits) if stock.peer_id in self.markets]
        worths = {stock.peer_id: self.markets[stock.peer_id].worth for stock in held}
        return stock_curves.of(self.demand, held, worths, asked, now_s)

    def forget(self, entries: Iterable[ChannelEntry]) -> None:
        """Let go of peers without any of these channels."""
        kept = {entry.peer_id for entry in entries}
        known = (*self.demand.peers, *self.demand.rivals)
        for peer_id in [peer_id for peer_id in dict.fromkeys(known) if peer_id not in kept]:
            self.demand.forget(peer_id)
            for table in (self.draws, self.aimd, self.markets):
                table.pop(peer_id, None)

    # -- packing ------------------------------------------------------------------------------

    def header(self) -> dict[str, Any]:
        """Everything that is no single peer's, as plain JSON values."""
        return {
            "cursor": self.cursor,
            "learned_s": self.demand.learned_s,
            "pool": packing.pool_to_row(self.demand.pool),
            "noise": list(self.demand.noise),
            "season": season.to_row(self.demand.season),
            "watch": watch.to_row(self.watch),
            "fitted": {name: list(fit) for name, fit in self.fitted.items()},
        }

    def read_header(self, row: Mapping[str, Any], now_s: float) -> None:
        """Take in what `header` gave; anything else raises (as `read` does) and changes nothing."""
        pool, seasons = packing.pool_from_row(row["pool"]), season.from_row(row["season"])
        noise = packing.noise_from_row(row["noise"])
        watched = watch.not_after(watch.from_row(row["watch"]), now_s)
        fitted = {str(name): Fit(*map(finite, fit)) for name, fit in row["fitted"].items()}
        learned_s, cursor = row["learned_s"], row["cursor"]
        if isinstance(cursor, bool) or not isinstance(cursor, int):
            raise TypeError("a cursor is a whole number")
        learned_s = None if learned_s is None else min(float(finite(learned_s)), now_s)
        self.demand.learned_s = learned_s
        self.demand.pool, self.demand.season, self.demand.noise = pool, seasons, noise
        self.watch, self.cursor, self.fitted = watched, cursor, fitted

    def pack(self) -> dict[str, str]:
        """What is kept of each peer, for the store."""
        return {peer_id: jsontext.dumps(self._row(peer_id)) for peer_id in self.demand.peers}

    def _row(self, peer_id: str) -> dict[str, Any]:
        draw = self.draws.get(peer_id)
        return {
            "posterior": packing.posterior_to_row(self.demand.posteriors[peer_id]),
            "peer": packing.peer_to_row(self.demand.peers[peer_id]),
            "rivals": packing.rivals_to_row(self.demand.rivals.get(peer_id, Rivals())),
            "value": list(self.demand.values.get(peer_id, (0.0, 0.0))),
            "settled": list(self.demand.settled.get(peer_id, ())),
            "draw": None if draw is None else list(draw),
            "aimd": list(aimd.state_to_row(self.aimd.get(peer_id, AimdState()))),
        }

    def read(self, peer_id: str, text: str) -> None:
        """Take in what `pack` wrote of one peer.

        Anything else raises ValueError, TypeError, KeyError, AttributeError, OverflowError or
        RecursionError, with nothing changed.
        """
        row = jsontext.loads(text)
        known = packing.peer_from_row(row["peer"])
        law = packing.posterior_from_row(row["posterior"])
        rivals = packing.rivals_from_row(row["rivals"])
        scarce, full = (float(finite(value)) for value in row["value"])
        settled = [float(finite(value)) for value in row.get("settled", ())]
        if len(settled) not in (0, 2):
            raise ValueError("a value of stock has two parts")
        draw = None if row["draw"] is None else _draw(row["draw"])
        state = aimd.state_from_row(row["aimd"])
        self.demand.peers[peer_id], self.demand.posteriors[peer_id] = known, law
        self.demand.values[peer_id], self.demand.rivals[peer_id] = (scarce, full), rivals
        if settled:
            self.demand.settled[peer_id] = (settled[0], settled[1])
        self.aimd[peer_id] = state
        if draw is not None:
            self.draws[peer_id] = draw


AIMD_INTERVAL_S: Final = 1_800.0


def _carries(fact: ChannelFact) -> Carrying:
    """Whether anything at all could enter and leave by a channel."""
    if not usable(fact):
        return Carrying(False, False)
    return Carrying(
        fact.htlcs_in < fact.slots_in and fact.receivable_msat > 0,
        fact.htlcs_out < fact.slots_out and fact.spendable_msat >= max(fact.htlc_min_msat, 1),
    )


def _larger(one: Fit, other: Fit) -> Fit:
    return Fit(max(one.into, other.into), max(one.out, other.out))


def _draw(row: Sequence[Any]) -> Draw:
    number, z, at_s, band, log_fee = (finite(value) for value in row)
    if number != int(number) or band not in range(len(BANDS) + 1):
        raise ValueError("a draw of no band, or that is not counted")
    return Draw(int(number), float(z), float(at_s), int(band), float(log_fee))


def _normal(uniform: float) -> float:
    return _STANDARD.inv_cdf(min(max(uniform, 1e-9), 1.0 - 1e-9))


def _stocks(facts: Iterable[ChannelFact], limits: Mapping[str, Limits]) -> list[Stock]:
    """The stock of each peer that can be traded with now, in the order of their ids."""
    local: dict[str, float] = defaultdict(float)
    capacity: dict[str, float] = defaultdict(float)
    for fact in facts:
        if usable(fact):
            local[fact.peer_id] += max(0, fact.local_msat - fact.our_reserve_msat)
            capacity[fact.peer_id] += max(1, fact.capacity_msat - 2 * fact.our_reserve_msat)
    return [
        Stock(
            peer_id,
            min(local[peer_id], capacity[peer_id]),
            capacity[peer_id],
            *limits.get(peer_id, _UNLIMITED),
        )
        for peer_id in sorted(local)
    ]


def _exposure(stretches: Sequence[Stretch], at_s: float) -> Mapping[str, watch.Exposure]:
    return stretches[watch.stretch_of(stretches, at_s)].exposure if stretches else {}


def _carried(stretches: Iterable[Stretch]) -> tuple[dict[str, float], dict[str, float]]:
    """For how long each peer could be sent to, and in which part of the time it could send us."""
    leaving: dict[str, float] = defaultdict(float)
    entering: dict[str, float] = defaultdict(float)
    for stretch in stretches:
        for peer_id, exposure in stretch.exposure.items():
            leaving[peer_id] += exposure.out_s
            entering[peer_id] += exposure.in_s
    watched_s = leaving.pop(EVERYONE, 0.0)
    entering.pop(EVERYONE, None)
    if watched_s <= 0.0:
        return {}, {}
    return dict(leaving), {peer_id: in_s / watched_s for peer_id, in_s in entering.items()}


def _usual_trust(trust: Trust, peer_ids: Iterable[str]) -> float:
    """The mean score of the node's peers: a usual peer's traffic counts as one."""
    scores = [trust.of(peer_id) for peer_id in dict.fromkeys(peer_ids)]
    return sum(scores) / len(scores) if scores else UNKNOWN
