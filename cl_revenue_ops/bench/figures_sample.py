"""Looks at random moments of a run whether what the rule believes of demand holds the truth."""

from __future__ import annotations

import math
from typing import NamedTuple
from zlib import crc32

import numpy as np

from cl_revenue_ops.bench.bound_demand import TrueDemand
from cl_revenue_ops.bench.policy import NodeView
from cl_revenue_ops.bench.rule import Rule
from cl_revenue_ops.domain.demand import belief
from cl_revenue_ops.domain.demand.curve import FEES_PPM, FloatArray, best_log_fees
from cl_revenue_ops.domain.fees.facts import Market as PricedMarket
from cl_revenue_ops.simnode.market import Market
from cl_revenue_ops.simnode.prices import DAY_S, HOUR_S

FIRST_DAY = 3
EVERY_S = 12 * HOUR_S
LEAST_MSAT = (
    1_000.0  # a day's revenue at the best fee, below which there is no best fee to speak of
)
MOMENTS_OF_DAY = 8
_AROUND_S = ((np.arange(MOMENTS_OF_DAY) + 0.5) / MOMENTS_OF_DAY - 0.5) * DAY_S


class Guess(NamedTuple):
    """An interval of 80 % with its centre, and what is true."""

    low: float
    mid: float
    high: float
    true: float

    @property
    def covers(self) -> bool:
        """Whether the truth lies in it."""
        return self.low <= self.true <= self.high


class Look(NamedTuple):
    """What is believed of one peer at a moment, beside the truth.

    `fee` is the best fee (ppm) at the value of the stock. The others are the volume a day (msat) at
    the fee in force: `now` as demand is at the moment, `mean` as it is over the day around it,
    `enters` the part of that whose sender's peer had the balance to bring it to us. `weight` is
    the true revenue a day (msat) at the best fee.
    """

    day: float
    peer: int
    weight: float
    fee: Guess
    now: Guess
    mean: Guess
    enters: Guess


class Truth:
    """The demand of a market as the belief means it: volume a day that would settle."""

    def __init__(self, market: Market) -> None:
        self._demand = TrueDemand(market)
        self._arrives = 1.0 - market.parameters.downstream_failure
        self._level = market.levels.log_at
        self.amount_msat = self._demand.law.amount_msat

    def taken(self, peer: int, at_s: float, fees_ppm: FloatArray, base_msat: int = 0) -> FloatArray:
        """Return the probability that a payment comes and settles, per fee and cell of amounts."""
        level = np.array(self._level(peer, at_s))
        return self._demand.accepted(peer, level, fees_ppm, float(base_msat)) * self._arrives

    def offered_msat(self, peer: int, at_s: FloatArray) -> FloatArray:
        """Return the volume a day into `peer` at no fee: shape (peers it comes from, cells).

        It is the mean over the moments `at_s`.
        """
        demand, binding = self._demand, self._demand.binding(peer).tolist()
        rate, mix = demand.pair_rates_per_day(peer, at_s)
        usual = (demand.usual_factor(peer, at_s)[:, None] * rate).mean(axis=0)
        whale = (demand.whale_rate_per_day(at_s)[:, None] * mix).mean(axis=0)
        often = np.array([demand.usual[place].volume_msat for place in binding])
        seldom = np.array([demand.whale[place].volume_msat for place in binding])
        return np.asarray(usual[:, None] * often + whale[:, None] * seldom, dtype=np.float64)


class Sampled(Rule):
    """The rule; at a random moment of every twelve hours from day 3 on it is looked at."""

    def __init__(self, seed: int, market: Market) -> None:
        super().__init__(seed)
        slots = int((market.days - FIRST_DAY) * DAY_S // EVERY_S)
        rng = np.random.default_rng([seed, crc32(b"looks")])
        first_s = market.start_s + FIRST_DAY * DAY_S
        moments_s = first_s + EVERY_S * (np.arange(max(0, slots)) + rng.random(max(0, slots)))
        self.looks: list[Look] = []
        self._moments_s: list[float] = moments_s.tolist()
        self._start_s = market.start_s
        self._room_msat = np.zeros(len(market.peers))
        self._truth = Truth(market)
        self._peers = {peer.node_id: peer.index for peer in market.peers}

    def tick(self, node: NodeView) -> None:
        """Act as the rule does, looked at if a moment has come."""
        if not self._moments_s or node.now_s < self._moments_s[0]:
            super().tick(node)
            return
        self._moments_s.pop(0)
        self._note_room(node)
        asked: dict[str, tuple[int, int]] = {}
        for channel in node.channels():
            policy = (channel.ppm, channel.base_msat)
            asked[channel.peer_id] = min(policy, asked.get(channel.peer_id, policy))
        super().tick(node)
        for peer_id, market in self.book.desk.markets.items():
            self._look(self._peers[peer_id], market, *asked[peer_id], node.now_s)

    def _note_room(self, node: NodeView) -> None:
        """Note how much each peer could send us in one payment."""
        self._room_msat = np.zeros(len(self._peers))
        for channel in node.channels():
            peer = self._peers[channel.peer_id]
            theirs_msat = channel.capacity_msat - channel.local_msat - channel.our_reserve_msat
            self._room_msat[peer] = max(self._room_msat[peer], theirs_msat)

    def _look(
        self, peer: int, market: PricedMarket, ppm: int, base_msat: int, now_s: float
    ) -> None:
        truth, known, net_ppm = self._truth, market.worth.belief, market.priced.net_ppm
        now = truth.offered_msat(peer, np.array([now_s])).sum(axis=0)
        volumes = truth.taken(peer, now_s, FEES_PPM) @ now
        values = volumes * (FEES_PPM - net_ppm)
        best_ppm = math.exp(float(best_log_fees(values[None, :])[0]))
        weight = float(volumes[np.argmax(values)]) * best_ppm / 1e6
        if weight < LEAST_MSAT:
            return
        taken = truth.taken(peer, now_s, np.array([float(ppm)]), base_msat)[0]
        around = truth.offered_msat(peer, now_s + _AROUND_S)
        enters = np.where(truth.amount_msat <= self._room_msat[:, None], around, 0.0)
        best = Guess(*belief.best_fee(known, net_ppm), best_ppm)
        volume = belief.volume_at(known, math.log(max(ppm, 1)))
        day = (now_s - self._start_s) / DAY_S
        now_msat, mean_msat, enters_msat = (
            float(taken @ cells) for cells in (now, around.sum(axis=0), enters.sum(axis=0))
        )
        self.looks.append(
            Look(
                day,
                peer,
                weight,
                best,
                Guess(*volume, now_msat),
                Guess(*volume, mean_msat),
                Guess(*volume, enters_msat),
            )
        )
