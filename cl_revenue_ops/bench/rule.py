"""The plugin's pricing rule without its house, and the same rule told the true demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cl_revenue_ops.bench.bound_demand import TrueDemand
from cl_revenue_ops.bench.policy import ChannelView, NodeView, Refused, Settled
from cl_revenue_ops.config import default_config
from cl_revenue_ops.domain.demand.belief import Belief
from cl_revenue_ops.domain.demand.book import DemandBook
from cl_revenue_ops.domain.demand.curve import FEES, FEES_PPM
from cl_revenue_ops.domain.fees import quote_book, vegas
from cl_revenue_ops.domain.fees.book import FeeBook, Situation
from cl_revenue_ops.domain.fees.decide import parameters_of
from cl_revenue_ops.domain.fees.desk import NO_LIQUIDITY, PricingDesk
from cl_revenue_ops.domain.fees.facts import Conditions, PriorPrice, Spike
from cl_revenue_ops.domain.fees.prior import Quote
from cl_revenue_ops.domain.reputation import Trust
from cl_revenue_ops.runtime.rng import uniform
from cl_revenue_ops.simnode.market import Market
from messages.channels import ChannelFact
from messages.forwards import LOCAL_FAILED, SETTLED, LoggedForward

WELL = Conditions(node_in_sync=True, paused=False, safe_mode=False)
TRUTH_S = 10_800.0
COARSE = 3


@dataclass
class TrueBook(DemandBook):
    """A book that knows the demand of a market where others learn it; peers by their node ids."""

    truth: TrueDemand | None = None
    _places: dict[str, int] = field(default_factory=dict)
    _told: dict[str, Belief] = field(default_factory=dict)
    _period: int = -1

    @classmethod
    def of(cls, market: Market) -> TrueBook:
        """Return a book that knows this market."""
        places = {peer.node_id: place for place, peer in enumerate(market.peers)}
        return cls(truth=TrueDemand(market), _places=places)

    def believed(self, names: Sequence[str], now_s: float) -> list[Belief]:
        """Return the true expected volume at each fee, as of the last whole TRUTH_S."""
        if int(now_s // TRUTH_S) != self._period:
            self._period, self._told = int(now_s // TRUTH_S), {}
        for name in names:
            if name not in self._told:
                self._told[name] = self._known(name, now_s)
        return [self._told[name] for name in names]

    def _known(self, name: str, now_s: float) -> Belief:
        assert self.truth is not None
        place, market = self._places[name], self.truth.market
        at = np.arange(0, FEES, COARSE)
        kept = self.truth.share(place, now_s, FEES_PPM[at]).volume
        passed = 1.0 - market.parameters.downstream_failure
        volume = float(self.truth.per_day(place, now_s).volume_msat.sum()) * passed
        curve = np.round(np.interp(np.arange(FEES), at, kept) * volume)
        return Belief.of((), (), (), 1.0, curve.tolist())


class Rule:
    """Prices by the plugin's own desk and decides by its own sequence, every fee interval.

    With `market` given it is told that market's true demand, and nothing else is different.
    """

    def __init__(self, seed: int, market: Market | None = None) -> None:
        self.name = "rule" if market is None else "truth"
        self.config = default_config()
        self.interval_s = float(self.config.fee_interval)
        self.book = FeeBook()
        if market is not None:
            self.book.desk = PricingDesk(TrueBook.of(market))
        self._seed = seed
        self._rows: list[LoggedForward] = []
        self._names: dict[int, str] = {}
        self._vegas = vegas.VegasState()
        self._ticks = 0

    def begin(self, node: NodeView) -> None:
        """Look and price for the first time; the fees found are the first ones."""
        self.tick(node)

    def settled(self, forward: Settled, node: NodeView) -> None:
        """Log it for the next cycle."""
        self._log(node, forward, SETTLED, forward.fee_msat, None)

    def refused(self, forward: Refused, node: NodeView) -> None:
        """Log it; what its sender would have paid is what we ask now."""
        policy = node.channel(forward.out_index)
        fee_msat = policy.base_msat + forward.out_msat * policy.ppm // 1_000_000
        self._log(node, forward, LOCAL_FAILED, fee_msat, NO_LIQUIDITY)

    def _log(
        self,
        node: NodeView,
        forward: Settled | Refused,
        status: str,
        fee_msat: int,
        failcode: int | None,
    ) -> None:
        came, went = self._name(node, forward.in_index), self._name(node, forward.out_index)
        out_msat = forward.out_msat
        self._rows.append(
            LoggedForward(
                0,
                came,
                went,
                out_msat + fee_msat,
                out_msat,
                fee_msat,
                status,
                forward.at_s,
                failcode,
            )
        )

    def _name(self, node: NodeView, index: int) -> str:
        if index not in self._names:
            self._names[index] = node.channel(index).channel_id
        return self._names[index]

    def tick(self, node: NodeView) -> None:
        """One cycle: learn, price, decide, write."""
        now_s, config, desk = node.now_s, self.config, self.book.desk
        views = node.channels()
        facts = [fact_of(view) for view in views]
        desk.meet(facts, self._priors(node, facts), config.target_flow * 1_000)
        desk.ask(facts, now_s)
        desk.look(facts, now_s)
        peers = {fact.channel_id: fact.peer_id for fact in facts}
        desk.learn(self._rows, {name: name for name in peers}, peers, Trust(None), now_s)
        self._rows = []
        parameters = parameters_of(config)
        limits = self.book.limits(facts, parameters, now_s)
        desk.price(
            facts, lambda purpose, number: uniform(self._seed, purpose, number), now_s, limits
        )
        self.book.spike = self._spike(node)
        situation = Situation(WELL, now_s, parameters)
        for view, fact in zip(views, facts, strict=True):
            decision = self.book.decide(fact, situation)
            if decision.action == "set" and decision.target is not None:
                node.set_fee(view.index, decision.target.ppm, decision.target.base_msat)
                self.book.written(fact.channel_id, now_s)

    def _priors(self, node: NodeView, facts: Sequence[ChannelFact]) -> dict[str, PriorPrice]:
        """What rivals quote, after asking gossip about the peers that are due."""
        peers, quotes = dict.fromkeys(fact.peer_id for fact in facts), self.book.quotes
        for peer_id in peers:
            if quote_book.due(quotes, peer_id, node.now_s):
                rows = [
                    Quote(q.source_id, q.source_id, q.capacity_msat, True, q.base_msat, q.ppm)
                    for q in node.quotes(peer_id)
                ]
                self.book.hear(peer_id, rows, "", node.now_s)
        priors = {peer_id: quote_book.price_into(quotes, peer_id) for peer_id in peers}
        return {peer_id: prior for peer_id, prior in priors.items() if prior is not None}

    def _spike(self, node: NodeView) -> Spike | None:
        self._ticks += 1
        draw, decay = uniform(self._seed, "vegas", self._ticks), self.config.vegas_decay_rate
        rate = node.sat_per_vb()
        self._vegas, verdict = vegas.observe(self._vegas, rate, node.now_s, draw, decay)
        multiplier = round(vegas.floor_multiplier(verdict.intensity), 4)
        if multiplier <= 1.0:
            return None
        return Spike(round(verdict.intensity, 4), multiplier, rate, verdict.mean_sat_per_vb)


def fact_of(view: ChannelView) -> ChannelFact:
    """A channel as the plugin would read it from the node."""
    reserve = view.our_reserve_msat
    return ChannelFact(
        channel_id=view.channel_id,
        peer_id=view.peer_id,
        state="CHANNELD_NORMAL",
        connected=True,
        reestablished=True,
        scid=view.channel_id,
        opener="local",
        capacity_msat=view.capacity_msat,
        local_msat=view.local_msat,
        spendable_msat=max(0, view.local_msat - reserve),
        receivable_msat=max(0, view.capacity_msat - view.local_msat - reserve),
        our_reserve_msat=reserve,
        fee_base_msat=view.base_msat,
        fee_ppm=view.ppm,
    )
