"""What a cycle of the rule costs: processor time and memory for a thousand destinations."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cl_revenue_ops.bench.figures_table import NUMBER, SATS, Estimate, Figure, Row
from cl_revenue_ops.domain.demand.birth import Birth
from cl_revenue_ops.domain.demand.book import DemandBook, Stock, Worth
from cl_revenue_ops.domain.demand.peer import Arrival
from cl_revenue_ops.domain.demand.price import Asked, price_all
from cl_revenue_ops.domain.fees.book import FeeBook, Situation
from cl_revenue_ops.domain.fees.facts import Conditions, FeeParameters, Market
from messages.channels import ChannelFact

PEERS = 1_000
CYCLE_S = 1_800.0
START_S = 1_767_225_600.0
WARM, MEASURED = 3, 9
PER_CYCLE = 0.5  # arrivals of one destination
ENTRIES = 20  # from how many different peers they come
CAPACITY_MSAT = 5_000_000_000
RESERVE_MSAT = 50_000_000
AT_A_TIME = 20  # channels that are decided on before what was decided is let go
PARTS = ("learn", "appraise", "price", "decide", "all")


@dataclass
class Load:
    """A node of many destinations, one channel each; every cycle brings random stocks and arrivals.

    What is decided stands on the node at once: `fees_ppm` are the fees in force.
    """

    rng: np.random.Generator
    fees: FeeBook
    names: list[str]
    now_s: float
    fees_ppm: list[int]

    @property
    def book(self) -> DemandBook:
        """What is believed of demand."""
        return self.fees.desk.demand

    def cycle(self) -> dict[str, float]:
        """Bring one cycle and return the processor time of each part in seconds."""
        self.now_s += CYCLE_S
        arrivals = {name: self._arrivals() for name in self.names}
        shares = self.rng.uniform(0.02, 0.98, len(self.names)).tolist()
        facts = self._facts(shares)
        sellable = float(CAPACITY_MSAT - RESERVE_MSAT)
        stocks = [
            Stock(one.peer_id, float(one.local_msat - RESERVE_MSAT), sellable, 10.0, 5_000.0)
            for one in facts
        ]
        z = self.rng.standard_normal(len(self.names)).tolist()
        for name, ppm in zip(self.names, self.fees_ppm, strict=True):
            self.book.ask(name, ppm, 0, self.now_s - CYCLE_S)
        carried = dict.fromkeys(self.names, CYCLE_S)
        spent: dict[str, float] = {}
        _timed(spent, "learn", lambda: self.book.learn(arrivals, carried, self.now_s))
        worths: dict[str, Worth] = {}
        _timed(spent, "appraise", lambda: worths.update(self.book.appraise(stocks, self.now_s)))
        _timed(spent, "price", lambda: self._price(worths, shares, z))
        _timed(spent, "decide", lambda: self._decide(facts))
        spent["all"] = sum(spent.values())
        return spent

    def _price(self, worths: dict[str, Worth], shares: list[float], z: list[float]) -> None:
        desk = self.fees.desk
        asked = [
            Asked(worths[name], share, desk.draws.get(name), fresh_z)
            for name, share, fresh_z in zip(self.names, shares, z, strict=True)
        ]
        all_made = price_all(asked, self.now_s, self.book.volumes)
        for name, one, made in zip(self.names, asked, all_made, strict=True):
            desk.draws[name] = made.draw
            desk.markets[name] = Market(*one, self.now_s, 1.0, made)

    def _facts(self, shares: list[float]) -> list[ChannelFact]:
        """The channels as the node would report them, each with its share on our side."""
        sellable = CAPACITY_MSAT - RESERVE_MSAT
        return [
            ChannelFact(
                f"{place:064x}",
                name,
                "CHANNELD_NORMAL",
                True,
                True,
                capacity_msat=CAPACITY_MSAT,
                local_msat=RESERVE_MSAT + round(share * sellable),
                our_reserve_msat=RESERVE_MSAT,
                slots_out=483,
                fee_ppm=ppm,
                fee_base_msat=0,
            )
            for place, (name, share, ppm) in enumerate(
                zip(self.names, shares, self.fees_ppm, strict=True)
            )
        ]

    def _decide(self, facts: list[ChannelFact]) -> None:
        conditions = Conditions(node_in_sync=True, paused=False, safe_mode=False)
        situation = Situation(conditions, self.now_s, FeeParameters())
        for first in range(0, len(facts), AT_A_TIME):
            some = facts[first : first + AT_A_TIME]
            for place, made in enumerate([self.fees.decide(fact, situation) for fact in some]):
                if made.action == "set":
                    self.fees_ppm[first + place] = made.wanted.ppm
                    self.fees.written(made.facts.channel_id, self.now_s)

    def _arrivals(self) -> list[Arrival]:
        count = int(self.rng.poisson(PER_CYCLE))
        return [
            Arrival(
                self.now_s - float(self.rng.uniform(0.0, CYCLE_S)),
                self.names[int(self.rng.integers(ENTRIES))],
                int(1e8 * self.rng.lognormal()),
                int(2e4),
                bool(self.rng.random() < 0.9),
            )
            for _ in range(count)
        ]


def _timed(spent: dict[str, float], part: str, work: Callable[[], object]) -> None:
    began_s = time.process_time()
    work()
    spent[part] = time.process_time() - began_s


def load(seed: int, peers: int = PEERS) -> Load:
    """Return a node of so many destinations, none of them watched yet."""
    rng = np.random.default_rng(seed)
    fees, names = FeeBook(), [f"{place:066x}" for place in range(peers)]
    quotes = np.exp(rng.normal(5.0, 1.0, peers)).tolist()
    births = {n: Birth(quote, 8, None, 2e8) for n, quote in zip(names, quotes, strict=True)}
    fees.desk.demand.meet(births)
    return Load(rng, fees, names, START_S, [max(1, round(quote)) for quote in quotes])


def cost(seed: int, peers: int = PEERS) -> dict[str, float]:
    """Return milliseconds of processor time of the parts of a cycle (median), and KiB a peer.

    `traced` is what the allocator was asked for and still holds after the cycles; `arrays` what
    of it the posteriors' arrays are.
    """
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        node = load(seed, peers)
        for _ in range(WARM):
            node.cycle()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    cycles = [node.cycle() for _ in range(MEASURED)]
    found = {part: 1e3 * float(np.median([cycle[part] for cycle in cycles])) for part in PARTS}
    laws = node.book.posteriors.values()
    arrays = sum(law.weight.nbytes + law.rate.nbytes + law.shape.nbytes for law in laws)
    return {**found, "traced": (after - before) / 1024 / peers, "arrays": arrays / 1024 / peers}


def cpu(costs: dict[int, dict[str, float]], peers: int = PEERS) -> Figure:
    """Return the figure of what `cost` found, by seed."""
    heads = {
        **{part: f"{part}, ms of processor time" for part in PARTS},
        "traced": "memory, KiB a destination",
        "arrays": "of it the posterior's arrays",
    }
    rows = [
        Row(
            (head,),
            (
                Estimate(
                    {seed: found[part] for seed, found in costs.items()},
                    SATS if part in PARTS else NUMBER,
                ),
            ),
        )
        for part, head in heads.items()
    ]
    return Figure(
        "cpu",
        f"cpu: a cycle of {peers:,} destinations, median of {MEASURED}",
        ("of", "mean over seeds"),
        tuple(rows),
        ("of this machine, now; not a claim about another one.",),
    )
