"""The fluid bound replayed: no rule beats it, fluid or in the arena, and its own comes near."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cl_revenue_ops.bench.arena import play
from cl_revenue_ops.bench.bound import Bound, fluid_bound
from cl_revenue_ops.bench.bound_demand import TrueDemand
from cl_revenue_ops.bench.policy import NodeView, Refused, Settled
from cl_revenue_ops.bench.scenarios import Scenario
from cl_revenue_ops.simnode.market import Market, draw_market
from cl_revenue_ops.simnode.market_quantiles import FloatArray
from cl_revenue_ops.simnode.prices import HOUR_S

# What is asked into each peer, in ppm: (hour, our stock per peer in msat) -> (peers,).
Rule = Callable[[int, FloatArray], FloatArray]


class Fluid:
    """Plays a rule forward with the expected demand, hour by hour; full or empty sides refuse."""

    def __init__(self, market: Market) -> None:
        self.market, self.demand = market, TrueDemand(market)
        self.peers = range(len(market.peers))
        self.capacity = np.zeros(len(self.peers))
        self.start = np.zeros(len(self.peers))
        for channel in market.channels:
            self.capacity[channel.peer] += channel.capacity_sat * 1e3
            self.start[channel.peer] += channel.local_sat * 1e3

    def level_ppm(self, hour: int) -> FloatArray:
        return np.asarray(np.exp(self.market.levels.log_ppm[hour]), dtype=np.float64)

    def comes(self, hour: int, peer: int, fee_ppm: FloatArray) -> FloatArray:
        """Return the msat from each peer that would settle in this hour, (fees, in peers)."""
        at_s = np.array([self.market.start_s + HOUR_S * (hour + 0.5)])
        rates, mix = self.demand.pair_rates_per_day(peer, at_s)
        usual = rates[0] * self.demand.usual_factor(peer, at_s)
        whale = mix[0] * self.demand.whale_rate_per_day(at_s)
        laws = self.demand.binding(peer).tolist()
        volume = np.array(
            [
                usual[i] * self.demand.usual[law].volume_msat
                + whale[i] * self.demand.whale[law].volume_msat
                for i, law in enumerate(laws)
            ]
        )
        level = np.array(self.market.levels.log_ppm[hour, peer])
        taken = self.demand.accepted(peer, level, fee_ppm)
        settles = (1.0 - self.market.parameters.downstream_failure) / 24.0
        return np.asarray(taken @ volume.T * settles)

    def play(self, rule: Rule) -> float:
        """Return the fees that `rule` earns, msat."""
        low, high = 0.01 * self.capacity, 0.99 * self.capacity
        stock, earned = np.clip(self.start, low, high), 0.0
        for hour in range(24 * self.market.days):
            fees = rule(hour, stock)
            flow = np.array([self.comes(hour, j, fees[[j]])[0] for j in self.peers]).T
            for _ in range(200):
                inflow, outflow = flow.sum(axis=1), flow.sum(axis=0)
                can_send = (stock - low + inflow) / np.maximum(outflow, 1e-9)
                can_take = (high - stock + outflow) / np.maximum(inflow, 1e-9)
                if min(can_send.min(), can_take.min()) >= 1.0 - 1e-9:
                    break
                flow = flow * np.minimum(can_send, 1.0) * np.minimum(can_take, 1.0)[:, None]
            stock = np.clip(stock + flow.sum(axis=1) - flow.sum(axis=0), low, high)
            earned += float((flow.sum(axis=0) * fees).sum()) / 1e6
        return earned

    def planned(self, bound: Bound, pull: float) -> Rule:
        """Return the rule that asks the best price at the planner's values of our stock.

        A sat is worth more where we fell behind the plan, by `pull` levels for a whole channel.
        """
        path = np.concatenate([self.start[:, None], bound.stock_msat], axis=1)

        def asked(hour: int, stock: FloatArray) -> FloatArray:
            day, part = divmod(hour, 24)
            due = path[:, day] + (path[:, day + 1] - path[:, day]) * part / 24.0
            behind = (due - stock) / self.capacity
            value = bound.stock_value_ppm[:, day] + pull * behind * self.level_ppm(hour)
            room = stock < 0.985 * self.capacity
            best = []
            for peer in self.peers:
                fees = self.level_ppm(hour)[peer] * np.geomspace(0.05, 20.0, 60)
                gain = fees[:, None] - value[peer] + value
                gain = np.where(room, gain, np.maximum(gain, 0.0))
                best.append(fees[int(np.argmax((gain * self.comes(hour, peer, fees)).sum(axis=1)))])
            return np.array(best)

        return asked


@pytest.mark.parametrize("seed", [2, 11, 12])
def test_no_fluid_replay_of_any_rule_beats_it_and_its_own_values_come_near(seed: int) -> None:
    market = draw_market(seed, 6, 8)
    bound, fluid = fluid_bound(market), Fluid(market)
    first = fluid.level_ppm(0)
    rules: dict[str, Rule] = {
        "cheap": lambda hour, stock: 0.5 * first,
        "fixed": lambda hour, stock: first,
        "dear": lambda hour, stock: 2.0 * first,
        "level": lambda hour, stock: fluid.level_ppm(hour),
        "scarce": lambda hour, stock: (
            fluid.level_ppm(hour) * np.exp(1.5 - 2.0 * stock / fluid.capacity)
        ),
        "planned": fluid.planned(bound, pull=10.0),
    }
    shares = {name: fluid.play(rule) / bound.total_msat for name, rule in rules.items()}
    assert all(0.0 < share <= 1.002 for share in shares.values()), (seed, shares)
    assert max(shares.values()) == shares["planned"] > 0.9, (seed, shares)


class Replayed:
    """Asks in the arena, hour by hour, what a rule asks that knows the market; no base fee."""

    name, interval_s = "replayed", HOUR_S

    def __init__(self, market: Market, rule: Rule) -> None:
        self._market, self._rule = market, rule

    def begin(self, node: NodeView) -> None:
        self.tick(node)

    def tick(self, node: NodeView) -> None:
        channels = {view.index: view for view in node.channels()}
        stock = np.zeros(len(self._market.peers))
        for index, view in channels.items():
            stock[self._market.channels[index].peer] += view.local_msat
        hour = int((node.now_s - self._market.start_s) // HOUR_S)
        fees = self._rule(min(hour, 24 * self._market.days - 1), stock)
        for index in channels:
            node.set_fee(index, round(float(fees[self._market.channels[index].peer])))

    def settled(self, forward: Settled, node: NodeView) -> None:
        """Learn nothing."""

    def refused(self, forward: Refused, node: NodeView) -> None:
        """Learn nothing."""


def test_no_play_in_the_arena_beats_it_in_the_mean() -> None:
    scenario, days = Scenario("wide", "everything drawn"), 6
    ratios = []
    for seed in (2, 3, 11, 14):
        market = scenario.market(seed, channels=6, days=days)
        bound, fluid = fluid_bound(market), Fluid(market)
        rule = fluid.planned(bound, pull=10.0)
        outcome = play(market, scenario, Replayed(market, rule), step_s=1_800.0)
        ratios.append(outcome.net_msat / bound.total_msat)
    assert 0.4 < np.mean(ratios) < 1.0, ratios
