"""The plugin's own rule of rebalancing on the bench: its searches, its jobs, and its budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.bench.baselines import BASELINES
from cl_revenue_ops.bench.policy import NO_CHEAP_ROUTE
from cl_revenue_ops.bench.rebalancers.ev import JOB_S, STEP_S, TRIES, ExpectedValue, KnownRoutes
from cl_revenue_ops.bench.routes import TrueRoutes
from cl_revenue_ops.bench.rule import Rule
from cl_revenue_ops.domain.fees.desk import ANY_FEE, PricingDesk
from cl_revenue_ops.domain.policy.terms import Limits
from messages.channels import ChannelFact
from messages.rebalance import StockCurve, StockCurves
from tests.unit.baseline_support import (
    DAY_S,
    HOUR_S,
    SAT,
    START_S,
    FakeNode,
    channel,
    forward,
    run,
)
from tests.unit.bench_support import world

BUDGET_MSAT, INTERVAL_S = 5_000 * SAT, 900.0
"""Of the settings as they come."""


class Valued(PricingDesk):
    """A desk at which each peer's stock has one value, whatever the forwards say."""

    def __init__(self, pi_ppm: Sequence[float]) -> None:
        super().__init__()
        self.pi_ppm = tuple(pi_ppm)

    def stock_curves(
        self, facts: Iterable[ChannelFact], now_s: float, limits: Mapping[str, Limits] = ANY_FEE
    ) -> StockCurves:
        curves = {
            f"peer{k}": StockCurve(f"peer{k}", 0, 10**10, ((0, pi), (10**10, pi)), 9, 0, 100, 1e9)
            for k, pi in enumerate(self.pi_ppm)
        }
        return StockCurves(now_s, 100.0, curves)


def ev(*pi_ppm: float, follows_revenue: bool = False) -> ExpectedValue:
    """The rule at stock of these values."""
    rule = Rule(1)
    rule.config = replace(rule.config, enable_proportional_budget=follows_revenue)
    rule.book.desk = Valued(pi_ppm)
    return ExpectedValue(rule)


def begun(policy: ExpectedValue, node: FakeNode, seconds: float) -> None:
    policy.begin(node)
    run(policy, node, seconds)


def pair_of(share: float = 0.05) -> FakeNode:
    return FakeNode(channel(0, 0.95), channel(1, share))


def cost_msat(msat: int, ppm: int) -> int:
    return -(-msat * ppm // 1_000_000)


def test_the_settings_are_what_these_tests_take_them_for() -> None:
    config = Rule(1).config
    assert config.daily_budget_sats * SAT == BUDGET_MSAT
    assert float(config.rebalance_interval) == INTERVAL_S
    assert config.proportional_budget_pct == 0.3


def test_it_needs_the_value_of_stock() -> None:
    with pytest.raises(ValueError, match="the value of stock"):
        ExpectedValue(BASELINES["static"](1))


def test_it_looks_when_its_interval_has_passed() -> None:
    node = pair_of()
    begun(ev(0.0, 900.0), node, INTERVAL_S - 1.0)
    assert node.tried == []
    node = pair_of()
    begun(ev(0.0, 900.0), node, INTERVAL_S + STEP_S)
    assert {(source, dest) for source, dest, _ in node.arrived} == {(0, 1)}


def test_equal_values_move_nothing() -> None:
    node = pair_of()
    begun(ev(900.0, 900.0), node, DAY_S)
    assert node.tried == []


def test_no_payment_costs_more_than_it_is_worth() -> None:
    node = pair_of()
    begun(ev(100.0, 900.0), node, 6 * HOUR_S)
    assert node.arrived
    assert all(most_ppm <= 800 for _, _, _, most_ppm, _ in node.tried)


@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(st.floats(-100.0, 4_000.0), min_size=4, max_size=4),
    shares=st.lists(st.floats(0.0, 1.0), min_size=4, max_size=4),
    route=st.integers(1, 2_000),
)
def test_law_of_no_day_more_is_paid_than_the_budget(
    values: list[float], shares: list[float], route: int
) -> None:
    node = FakeNode(*(channel(k, min(0.98, max(0.02, s))) for k, s in enumerate(shares)))
    node.route_ppm = route
    policy = ev(*values)
    policy.begin(node)
    paid: list[tuple[float, int]] = []
    for _ in range(2 * 144):
        seen = len(node.arrived)
        run(policy, node, STEP_S)
        paid += [(node.now_s, cost_msat(msat, route)) for *_, msat in node.arrived[seen:]]
        day = sum(cost for at_s, cost in paid if at_s > node.now_s - DAY_S)
        assert day <= BUDGET_MSAT


def test_a_day_later_the_budget_is_free_again() -> None:
    node = FakeNode(*(channel(k, s, capacity_msat=4 * 10**10) for k, s in ((0, 0.95), (1, 0.05))))
    node.route_ppm = 500
    policy = ev(0.0, 4_000.0)
    policy.begin(node)
    by_day = []
    for _ in range(2):
        seen = len(node.arrived)
        run(policy, node, DAY_S)
        by_day.append(sum(cost_msat(msat, 500) for *_, msat in node.arrived[seen:]))
    assert 0 < by_day[0] <= BUDGET_MSAT
    assert 0 < by_day[1] <= BUDGET_MSAT


def test_a_budget_that_follows_revenue_is_a_tenth_without_any_and_grows_with_it() -> None:
    def spent(earned_sat: int) -> int:
        node, policy = pair_of(), ev(0.0, 900.0, follows_revenue=True)
        policy.settled(forward(START_S, sat=earned_sat * 1_000, ppm=1_000), node)
        begun(policy, node, 4 * HOUR_S)
        return sum(cost_msat(msat, 100) for *_, msat in node.arrived)

    assert 0 < spent(0) <= BUDGET_MSAT // 10 < spent(1_000_000) <= BUDGET_MSAT


# -- jobs ------------------------------------------------------------------------------------------


def test_a_busy_pair_goes_on_in_the_next_step() -> None:
    node, policy = pair_of(), ev(0.0, 900.0)
    node.busy = True
    begun(policy, node, INTERVAL_S + 3 * STEP_S)
    assert len(node.tried) == 3, "once a step"
    assert node.arrived == []
    node.busy = False
    run(policy, node, STEP_S)
    assert node.arrived


def test_too_dear_a_route_ends_the_step_and_teaches_its_price_once_an_hour() -> None:
    node, policy = pair_of(), ev(0.0, 900.0)
    node.route_ppm = 5_000
    before = policy.desk.routes.law("peer0", "peer1", START_S).mean
    begun(policy, node, INTERVAL_S + STEP_S)
    assert [why for *_, why in node.tried] == [NO_CHEAP_ROUTE] * len(node.tried) != []
    assert len(node.tried) <= 2
    run(policy, node, JOB_S + 2 * STEP_S)
    assert policy.desk.routes.law("peer0", "peer1", node.now_s).mean > before
    assert policy.desk.breakers.runs == {}


def test_a_route_that_fails_is_tried_four_times_a_step_and_given_up_after_twelve() -> None:
    node, policy = pair_of(), ev(0.0, 900.0)
    node.room_msat = 0
    begun(policy, node, 2 * STEP_S)
    assert len(node.tried) == TRIES
    run(policy, node, 2 * STEP_S)
    assert len(node.tried) == 3 * TRIES
    assert policy.desk.breakers.runs[f"{1:064x}"].failures == 1


def test_a_job_ends_after_two_hours_at_the_latest() -> None:
    node, policy = pair_of(), ev(0.0, 900.0)
    node.busy = True
    begun(policy, node, 2 * STEP_S + JOB_S - STEP_S)
    assert policy.desk.breakers.runs == {}
    run(policy, node, STEP_S)
    assert {run_.failures for run_ in policy.desk.breakers.runs.values()} == {1}


def test_a_channel_that_is_gone_ends_its_job() -> None:
    node, policy = pair_of(), ev(0.0, 900.0)
    node.busy = True
    begun(policy, node, 2 * STEP_S)
    assert len(node.tried) == 1
    del node.open[1]
    run(policy, node, 4 * STEP_S)
    assert len(node.tried) == 1


def test_a_channel_with_a_job_has_no_other() -> None:
    node = FakeNode(channel(0, 0.95), channel(1, 0.95), channel(2, 0.05))
    node.busy = True
    begun(ev(0.0, 0.0, 900.0), node, HOUR_S)
    assert len({(source, dest) for source, dest, *_ in node.tried}) == 1


# -- told the truth --------------------------------------------------------------------------------


def test_told_the_truth_it_knows_each_route_and_what_it_carries() -> None:
    market, _ = world("even", 2, 5, 1)
    channels = tuple(replace(c, peer=c.index) for c in market.channels[: len(market.peers)])
    market = replace(market, channels=channels)
    true = TrueRoutes(market)
    policy = ExpectedValue(Rule(1, market), true)
    routes = policy.desk.routes
    assert isinstance(routes, KnownRoutes)
    routes.places = {"x": 0, "y": 1}
    at_s = market.start_s + HOUR_S
    route = true.route(0, 1, at_s)
    costs = routes.costs_ppm("x", "y", 1.0, 0.0, at_s)
    assert set(costs) == {float(route.ppm)}
    assert routes.success("x", "y", route.room_msat, at_s) == 1.0
    assert routes.success("x", "y", route.room_msat + 1, at_s) == 0.0
