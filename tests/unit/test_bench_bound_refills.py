"""The bound with refills: what they cost it at the least, and that no mover beats it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cl_revenue_ops.bench.arena import play
from cl_revenue_ops.bench.bound import fluid_bound
from cl_revenue_ops.bench.policy import NodeView
from cl_revenue_ops.bench.registry import parse, play_spec
from cl_revenue_ops.bench.routes import TrueRoutes, cheapest_refill_ppm, rebalancing_bound
from cl_revenue_ops.bench.scenarios import Scenario
from cl_revenue_ops.simnode.market import Market
from cl_revenue_ops.simnode.prices import LevelPaths
from cl_revenue_ops.simnode.route_market import CHEAPEST_SHARE, RouteMarket
from tests.unit.bench_support import HOUR_S, Scripted
from tests.unit.bound_support import DAILY_SAT, DAYS, RATE, still

WIDE = Scenario("wide", "everything drawn")


def cheap_last_hops(market: Market, ppm: int = 0) -> Market:
    """The same world with one price of every peer towards us."""
    channels = tuple(replace(channel, remote_ppm=ppm) for channel in market.channels)
    return replace(market, channels=channels)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_route_of_a_day_costs_less(seed: int) -> None:
    market = WIDE.market(seed, channels=6, days=3)
    cost, routes, peers = cheapest_refill_ppm(market), RouteMarket(market), len(market.peers)
    for day in range(3):
        for dest in range(peers):
            asked = [
                routes.cheapest(source, dest, market.start_s + (24 * day + hour) * HOUR_S).ppm
                for source in range(peers)
                for hour in range(24)
                if source != dest
            ]
            assert 0.0 < cost(dest, day) <= min(asked), (seed, day, dest)


def test_it_is_the_cheapest_hour_of_the_day_at_half_the_level() -> None:
    market = cheap_last_hops(still([[0, RATE], [0, 0]], [(10**8, 10**8)] * 2))
    log_ppm = market.levels.log_ppm.copy()
    log_ppm[24 * 4 + 7, 1] = np.log(30.0)
    market = replace(market, levels=LevelPaths(market.start_s, log_ppm))
    cost = cheapest_refill_ppm(market)
    assert [cost(1, day) for day in range(DAYS)] == pytest.approx([50.0] * 4 + [15.0] + [50.0] * 5)
    assert CHEAPEST_SHARE == 0.5
    assert cost(0, 4) == pytest.approx(50.0)


def test_the_peer_itself_is_on_every_route_to_us() -> None:
    market = cheap_last_hops(still([[0, RATE], [0, 0]], [(10**8, 10**8)] * 2), 73)
    assert cheapest_refill_ppm(market)(1, 0) == 73.0


def test_refills_raise_the_bound_where_stock_is_scarce_and_never_lower_it() -> None:
    little = round(0.1 * DAILY_SAT)
    scarce = cheap_last_hops(still([[0, RATE], [0, 0]], [(10**10, 10**10), (little, 10**10)]))
    assert rebalancing_bound(scarce).total_msat > 1.2 * fluid_bound(scarce).total_msat
    for seed in (2, 11):
        market = WIDE.market(seed, channels=6, days=4)
        with_refills, without = rebalancing_bound(market), fluid_bound(market)
        assert with_refills.total_msat >= without.planned_msat * 0.998, seed


class Refiller(Scripted):
    """Asks about the level and refills what runs low by the cheapest true route."""

    def __init__(self, market: Market, pull: float) -> None:
        super().__init__(None, "refiller")
        self._market, self._pull, self._routes = market, pull, TrueRoutes(market)

    def tick(self, node: NodeView) -> None:
        for view in node.channels():
            level = self._market.level_ppm(self._market.channels[view.index].peer, node.now_s)
            share = view.local_msat / view.capacity_msat
            node.set_fee(view.index, round(level * np.exp(self._pull * (0.5 - share))))
        for dest in node.channels():
            if dest.local_msat < 0.3 * dest.capacity_msat:
                self._refill(dest.index, node)

    def _refill(self, dest: int, node: NodeView) -> None:
        market, view = self._market, node.channel(dest)
        level = market.level_ppm(market.channels[dest].peer, node.now_s)
        found = []
        for source in node.channels():
            spare = source.local_msat / source.capacity_msat - 0.4
            if source.peer_id != view.peer_id and spare > 0.0:
                route = self._routes.route(source.index, dest, node.now_s)
                found.append(
                    (route.ppm, route.room_msat, int(spare * source.capacity_msat), source)
                )
        for ppm, room, spare, source in sorted(found, key=lambda row: row[0]):
            amount = min(room, spare, int(0.2 * view.capacity_msat))
            if ppm < 0.8 * level and amount > 0:
                node.rebalance(source.index, dest, amount, ppm)
                return


def test_no_policy_that_moves_sats_beats_it_in_the_mean() -> None:
    policies = ("static/economic", "clboss/earnings", "clboss/economic", "lndg/ar",
                "lnoperator/budget", "feeadjuster-median/economic")  # fmt: skip
    shares: dict[str, list[float]] = {}
    moves = 0
    for seed in (2, 3, 11, 14):
        market = WIDE.market(seed, channels=6, days=6)
        bound = rebalancing_bound(market).total_msat
        outcomes = {name: play_spec(parse(name), market, WIDE) for name in policies}
        outcomes["dear"] = play(market, WIDE, Refiller(market, 2.0))
        outcomes["flat"] = play(market, WIDE, Refiller(market, 0.5))
        moves += sum(outcome.moves for outcome in outcomes.values())
        for name, outcome in outcomes.items():
            shares.setdefault(name, []).append(outcome.net_msat / bound)
    means = {name: float(np.mean(own)) for name, own in shares.items()}
    assert moves > 100
    assert all(mean < 1.0 for mean in means.values()), means
    assert max(means.values()) > 0.35, means


def test_told_all_routes_a_refill_pays_in_a_world_that_runs_dry() -> None:
    # What is bought at half the level and sold at the level earns what the bound knows of.
    little = round(0.5 * DAILY_SAT)
    market = cheap_last_hops(still([[0, RATE], [0, 0]], [(10**8, 10**8), (little, 10**6)]))
    bound, without = rebalancing_bound(market), fluid_bound(market)
    moving = play(market, WIDE, Refiller(market, 0.5))
    assert moving.moves > 0
    assert without.total_msat < moving.net_msat < bound.total_msat
