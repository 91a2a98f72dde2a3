"""A small market for tests of pricing: destinations with a hidden demand, and a house on them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cl_revenue_ops.domain.fees.book import FeeBook, Situation
from cl_revenue_ops.domain.fees.decide import FeeDecision
from cl_revenue_ops.domain.fees.facts import Conditions, Fee, FeeParameters, PriorPrice
from cl_revenue_ops.domain.fees.quote_book import Asked, price_into
from cl_revenue_ops.domain.reputation import Trust
from cl_revenue_ops.runtime.rng import uniform
from messages.channels import ChannelEntry, ChannelFact
from messages.forwards import FAILED, LOCAL_FAILED, SETTLED, LoggedForward
from tests.unit.fees_support import DAY_S, DEFAULTS, HALF_HOUR_S, NOW, WELL

NO_LIQUIDITY = 0x1007
RESERVE_MSAT = 100_000_000
TARGET_FLOW_MSAT = 100_000_000
EVERYBODY = Trust(None)


@dataclass(frozen=True)
class Demand:
    """What senders pay to reach a peer: `per_day` forwards at a fee of zero, of `size_msat`."""

    price_ppm: float
    steepness: float
    per_day: float
    size_msat: float


@dataclass
class World:
    """Channels 1 to n; channel n leads to the peer of channel 1. All that happens is seeded."""

    seed: int
    demands: list[Demand]
    local_msat: list[int]
    fees: list[Fee]
    capacity_msat: int = 10_000_000_000
    now_s: float = NOW
    away: frozenset[int] = frozenset()
    slots_used: dict[int, int] = field(default_factory=dict)
    seq: int = 0
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def peer(self, number: int) -> str:
        """The peer that a channel leads to; their ids sort in another order."""
        return "02" + hashlib.sha256(bytes([number % len(self.demands)])).hexdigest()

    def facts(self) -> list[ChannelFact]:
        """The channels as the node reports them now."""
        return [
            ChannelFact(
                f"{number:064x}",
                self.peer(number),
                "CHANNELD_NORMAL",
                number not in self.away,
                number not in self.away,
                scid=f"{number}x1x0",
                opener="remote" if number % 3 == 0 else "local",
                capacity_msat=self.capacity_msat,
                local_msat=local,
                spendable_msat=max(0, local - RESERVE_MSAT),
                receivable_msat=max(0, self.capacity_msat - local - RESERVE_MSAT),
                our_reserve_msat=RESERVE_MSAT,
                htlcs_out=self.slots_used.get(number, 0),
                fee_ppm=fee.ppm,
                fee_base_msat=fee.base_msat,
            )
            for number, (local, fee) in enumerate(zip(self.local_msat, self.fees, strict=True))
        ]

    def pass_time(self, seconds: float) -> list[LoggedForward]:
        """What the node logs while this time passes, oldest first."""
        came: list[tuple[float, int]] = []
        for number, demand in enumerate(self.demands):
            hoped = demand.per_day * seconds / DAY_S
            at_s = self.now_s + self.rng.uniform(0.0, seconds, self.rng.poisson(hoped))
            came.extend((float(one), number) for one in at_s)
        self.now_s += seconds
        rows = [self._arrive(at_s, number) for at_s, number in sorted(came)]
        return [row for row in rows if row is not None]

    def _arrive(self, at_s: float, peer: int) -> LoggedForward | None:
        """One payer looks at our fee: away, refused, failed further down, or settled."""
        demand = self.demands[peer]
        channels = [n for n in range(len(self.fees)) if n % len(self.demands) == peer]
        out = max(channels, key=lambda n: self.local_msat[n])
        into = int(self.rng.integers(len(self.fees)))
        amount = int(demand.size_msat * self.rng.lognormal(-0.125, 0.5))
        kept = 1.0 / (1.0 + (max(self.fees[out].ppm, 1) / demand.price_ppm) ** demand.steepness)
        fee = self.fees[out].base_msat + amount * self.fees[out].ppm // 1_000_000
        room = self.capacity_msat - RESERVE_MSAT - self.local_msat[into]
        if self.rng.random() > kept or into in channels or {out, into} & self.away:
            return None
        if room < amount + fee:
            return None
        status, failcode = SETTLED, None
        if self.local_msat[out] - RESERVE_MSAT < amount:
            status, failcode = LOCAL_FAILED, NO_LIQUIDITY
        elif self.rng.random() < 0.1:
            status = FAILED
        else:
            self.local_msat[out] -= amount
            self.local_msat[into] += amount + fee
        self.seq += 1
        fact = (self.seq, f"{into}x1x0", f"{out}x1x0", amount + fee, amount, fee)
        return LoggedForward(*fact, status, at_s, failcode)


def world(seed: int, peers: int = 6) -> World:
    """A market drawn from a seed: prices of 50 to 2,000 ppm, from quiet to busy."""
    rng = np.random.default_rng([seed, 1])
    demands = [
        Demand(
            float(math.exp(rng.uniform(4.0, 7.5))),
            float(rng.uniform(1.5, 8.0)),
            float(math.exp(rng.uniform(2.0, 5.5))),
            float(math.exp(rng.uniform(17.0, 19.5))),
        )
        for _ in range(peers)
    ]
    local = [int(one) for one in rng.integers(RESERVE_MSAT, 9_900_000_000, peers + 1)]
    fees = [Fee(int(one), 1000) for one in rng.integers(20, 900, peers + 1)]
    return World(seed, demands, local, fees)


@dataclass
class House:
    """A fee book run over a world in the order in which the controller does it."""

    world: World
    book: FeeBook = field(default_factory=FeeBook)
    parameters: FeeParameters = DEFAULTS
    conditions: Conditions = WELL
    trust: Trust = EVERYBODY
    target_flow_msat: int = TARGET_FLOW_MSAT
    root: int = 7
    decisions: list[FeeDecision] = field(default_factory=list)

    def look(self) -> list[ChannelFact]:
        """Read the channels between two cycles."""
        facts = self.world.facts()
        self.book.desk.look(facts, self.world.now_s)
        return facts

    def price(self, rows: Sequence[LoggedForward]) -> list[ChannelFact]:
        """Learn and price at the time that the world has now."""
        desk, facts, now_s = self.book.desk, self.world.facts(), self.world.now_s
        quoted = {f.peer_id: price_into(self.book.quotes, f.peer_id) for f in facts}
        priors = {peer_id: prior for peer_id, prior in quoted.items() if prior is not None}
        desk.meet(facts, priors, self.target_flow_msat)
        desk.ask(facts, now_s)
        desk.look(facts, now_s)
        peers = {fact.channel_id: fact.peer_id for fact in facts}
        scids = {fact.scid or "": fact.channel_id for fact in facts}
        desk.learn(rows, scids, peers, self.trust, now_s)
        desk.cursor = self.world.seq
        desk.price(facts, lambda purpose, number: uniform(self.root, purpose, number), now_s)
        return facts

    def decide(self, facts: Iterable[ChannelFact]) -> list[FeeDecision]:
        """Decide and write every channel."""
        situation = Situation(self.conditions, self.world.now_s, self.parameters)
        made = [self.book.decide(fact, situation) for fact in facts]
        for number, decision in enumerate(made):
            if decision.action == "set" and decision.target is not None:
                self.world.fees[number] = decision.target
                self.book.written(decision.facts.channel_id, self.world.now_s)
        self.decisions.extend(made)
        return made

    def cycle(self, rows: Sequence[LoggedForward] = ()) -> list[FeeDecision]:
        """One fee cycle on what was logged since the last."""
        return self.decide(self.price(rows))

    def hour(self) -> list[FeeDecision]:
        """An hour of traffic with a look half-way, then a cycle."""
        rows = self.world.pass_time(HALF_HOUR_S)
        self.look()
        rows += self.world.pass_time(HALF_HOUR_S)
        return self.cycle(rows)

    def restart(self) -> House:
        """The house that comes back from what the store keeps: rows in the order of their ids."""
        channel_ids = sorted(fact.channel_id for fact in self.world.facts())
        header, rows = self.book.header(), self.book.pack(channel_ids)
        demand = dict(sorted(self.book.desk.pack().items()))
        book = FeeBook.unpack(header, rows, demand, self.world.now_s)
        assert book.unreadable == ()
        book.settled_out, book.spike = dict(self.book.settled_out), self.book.spike
        return replace(self, book=book, decisions=[])


def quotes(house: House, factor: float = 1.0) -> None:
    """Gossip answers what rivals ask into every second peer: near its demand's price."""
    for number, demand in enumerate(house.world.demands):
        prior = PriorPrice(round(demand.price_ppm * factor, 3), 0.6, 5)
        asked = Asked(house.world.now_s, prior if number % 2 else None)
        house.book.quotes[house.world.peer(number)] = asked


def entries(facts: Iterable[ChannelFact], *, closed: bool = False) -> list[ChannelEntry]:
    """The channels as the registry tells of them."""
    return [
        ChannelEntry(fact.channel_id, fact.peer_id, (fact.scid or "",), 0.0, closed, fact)
        for fact in facts
    ]
