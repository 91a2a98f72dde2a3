"""What a move is expected to earn: its size, its price, and when it is not made."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cl_revenue_ops.domain.rebalance import expected
from cl_revenue_ops.domain.rebalance.ends import LEAST_MSAT
from cl_revenue_ops.domain.rebalance.expected import (
    FIRST_PAYMENT_MSAT,
    NO_BUDGET,
    OVERHEAD_MSAT,
    SAT,
    Stakes,
    best_price,
    kelly_share,
    payment_msat,
)
from cl_revenue_ops.domain.rebalance.facts import Pair, Terms
from cl_revenue_ops.domain.rebalance.routes import NODES, RouteBook
from messages.channels import Policy
from messages.rebalance import StockCurve
from tests.unit.rebalance_support import (
    MILLION,
    NOW,
    PLAIN,
    FixedRoutes,
    curve,
    fact,
    falling,
    flat,
    looked_at,
    situation,
    two,
)

COSTS = st.lists(st.floats(0.0, 5_000.0), min_size=NODES, max_size=NODES).map(
    lambda found: tuple(sorted(found))
)
GAINS = st.floats(-1e6, 1e8)


@st.composite
def any_curve(draw: st.DrawFn, name: str) -> StockCurve:
    """Values that fall over stocks of 0 to 10M sat, believed to any degree."""
    stocks = sorted(draw(st.lists(st.integers(0, 10), min_size=2, max_size=5)))
    values = sorted(
        draw(st.lists(st.floats(-500.0, 3_000.0), min_size=len(stocks), max_size=len(stocks))),
        reverse=True,
    )
    evidence = draw(st.sampled_from([0.0, 1.0, 20.0, 1e9]))
    others = draw(st.integers(1, 2_000))
    knots = tuple(zip(stocks, values, strict=True))
    return curve(f"peer-{name}", *knots, evidence=evidence, others_ppm=others)


ANY_TERMS = st.builds(
    Terms, st.integers(0, 10**6), st.integers(0, 10**6),
    st.one_of(st.none(), st.floats(0.05, 1.0)), st.booleans(),
)  # fmt: skip


# -- the price -------------------------------------------------------------------------------------


def test_the_price_by_hand() -> None:
    """1M sat gain 300 ppm; prices 100 and 400 ppm with even odds: half a chance, at 100."""
    costs = (100.0,) * (NODES // 2) + (400.0,) * (NODES // 2)
    found = best_price(costs, 0.8, Stakes(MILLION, 350_000.0, 50_000.0, 1.0), 0.0)
    assert found is not None
    assert (found.max_ppm, found.cost_ppm) == (101, 100.0)
    assert found.success == pytest.approx(0.4)
    assert found.expected_msat == pytest.approx(0.4 * (300_000 - 100_000) - OVERHEAD_MSAT)


def test_a_higher_price_is_offered_where_it_earns_more() -> None:
    costs = (100.0,) * (NODES // 2) + (140.0,) * (NODES // 2)
    found = best_price(costs, 1.0, Stakes(MILLION, 300_000.0, 0.0, 1.0), 0.0)
    assert found is not None
    assert (found.max_ppm, found.success) == (141, 1.0)
    assert found.cost_ppm == pytest.approx(120.0)


@given(COSTS, st.floats(0.0, 1.0), st.integers(LEAST_MSAT, 10**10), GAINS, st.floats(-1e5, 1e6))
def test_law_no_price_is_above_what_the_move_is_worth(
    costs: tuple[float, ...], works: float, amount: int, gain: float, least: float
) -> None:
    """So a payment at the very highest price still leaves the least gain."""
    found = best_price(costs, works, Stakes(amount, gain, 0.0, 0.0), least)
    if found is None:
        assert (int(costs[0]) + 1) * amount / 1e6 > gain - least - 1.0
        return
    assert gain - found.max_ppm * amount / 1e6 >= least - 1e-3
    assert found.cost_ppm <= found.max_ppm
    assert 0.0 <= found.success <= works + 1e-9


@given(COSTS, st.lists(st.floats(0.0, 500.0), min_size=NODES, max_size=NODES),
       st.integers(LEAST_MSAT, 10**10), GAINS, st.floats(0.0, 1e5))  # fmt: skip
def test_law_more_cost_never_raises_what_is_expected(
    costs: tuple[float, ...], more: list[float], amount: int, gain: float, least: float
) -> None:
    at = Stakes(amount, gain, 0.0, 0.0)
    dearer = tuple(cost + extra for cost, extra in zip(costs, sorted(more), strict=True))
    cheap, dear = best_price(costs, 0.9, at, least), best_price(dearer, 0.9, at, least)
    if dear is not None:
        assert cheap is not None
        assert dear.expected_msat <= cheap.expected_msat + 1e-6 * (1.0 + abs(gain))


@given(COSTS, st.integers(LEAST_MSAT, 10**10), GAINS, st.floats(0.0, 1e6))
def test_law_more_gain_never_lowers_what_is_expected(
    costs: tuple[float, ...], amount: int, gain: float, more: float
) -> None:
    less = best_price(costs, 0.9, Stakes(amount, gain, 0.0, 0.0), 0.0)
    found = best_price(costs, 0.9, Stakes(amount, gain + more, 0.0, 0.0), 0.0)
    if less is not None:
        assert found is not None
        assert found.expected_msat >= less.expected_msat - 1e-6 * (1.0 + abs(gain))


# -- Kelly -----------------------------------------------------------------------------------------


@given(st.floats(0.0, 1.0), st.floats(-1e9, 1e9), st.floats(-1e3, 1e9), st.floats(0.0, 1.0))
def test_law_the_share_by_kelly_is_a_share(
    success: float, gain: float, risked: float, fraction: float
) -> None:
    assert 0.0 <= kelly_share(success, gain, risked, fraction) <= 1.0


def test_kelly_by_hand() -> None:
    assert kelly_share(0.6, 3.0, 1.0, 1.0) == pytest.approx(0.6 - 0.4 / 2.0)
    assert kelly_share(0.6, 3.0, 1.0, 0.5) == pytest.approx(0.2)
    assert kelly_share(0.3, 2.0, 1.0, 1.0) == 0.0
    assert kelly_share(0.3, 2.0, 0.0, 0.5) == 1.0


def test_kelly_scales_a_move_only_where_it_is_enabled() -> None:
    now = two(flat("b", 500.0), flat("a", 0.0))
    routes = FixedRoutes(100.0, works=0.8)
    whole = looked_at(now, routes)
    half = looked_at(replace(now, terms=replace(PLAIN, kelly_fraction=0.5)), routes)
    assert whole.refusal is None and "kelly_share" not in whole.record
    share = 0.5 * (0.8 - 0.2 / 4.0)
    assert half.record["kelly_share"] == pytest.approx(share, abs=1e-3)
    assert half.amount_msat == pytest.approx(whole.amount_msat * share, rel=1e-3)


# -- what is worth moving --------------------------------------------------------------------------


@settings(max_examples=200)
@given(
    there=any_curve("b"),
    here=any_curve("a"),
    terms=ANY_TERMS,
    free=st.integers(0, 10**7),
    route=st.one_of(st.none(), st.floats(1.0, 1_000.0)),
    works=st.floats(0.0, 1.0),
    hive=st.booleans(),
    shares=st.tuples(st.floats(0.1, 1.0), st.floats(0.0, 0.9)),
)
def test_law_a_move_that_is_made_can_not_lose_and_keeps_to_budget_and_terms(
    there: StockCurve, here: StockCurve, terms: Terms, free: int, route: float | None,
    works: float, hive: bool, shares: tuple[float, float],
) -> None:  # fmt: skip
    facts = [fact("a", shares[0]), fact("b", shares[1])]
    now = situation(facts, [there, here], terms, free, hive=frozenset({"peer-b"} if hive else ()))
    assume(facts[0].spendable_msat > MILLION and facts[1].receivable_msat > MILLION)
    pair = looked_at(now, RouteBook() if route is None else FixedRoutes(route, works))
    if pair.refusal is not None:
        return
    gain_msat = pair.value_msat - pair.loss_msat
    least_msat = -terms.hive_tolerance_msat if hive else terms.min_profit_msat
    assert gain_msat - pair.amount_msat * pair.max_ppm / 1e6 >= least_msat - 2.0
    assert pair.reserve_msat == -(-pair.amount_msat * pair.max_ppm // 1_000_000) <= free
    assert pair.expected_msat >= min(least_msat, 0)
    assert pair.expected_msat > 0 or (hive and terms.hive_tolerance_msat > 0)
    assert pair.amount_msat % pair.payment_msat == 0 < pair.payment_msat
    assert pair.payment_msat % SAT == 0
    assert LEAST_MSAT <= pair.amount_msat <= facts[0].spendable_msat
    ev = pair.success * (gain_msat - pair.cost_msat) - OVERHEAD_MSAT
    assert pair.expected_msat == pytest.approx(ev, rel=1e-3, abs=1e-4 * abs(gain_msat) + 5)


@given(any_curve("b"), st.floats(0.05, 0.9), st.integers(0, 3_000))
def test_law_between_equal_values_nothing_is_moved(
    there: StockCurve, share: float, route: int
) -> None:
    """Equal curves at equal stocks, and flat ones of one value at any."""
    here = there._replace(peer_id="peer-a")
    even = situation([fact("a", share), fact("b", share)], [there, here])
    assume(share > 0.1)
    assert looked_at(even, FixedRoutes(float(route))).refusal is not None
    level = max(0.0, there.knots[0][1])
    sure = two(flat("b", level, evidence=there.evidence), flat("a", level))
    assert looked_at(sure, FixedRoutes(float(route))).refusal is not None


def test_an_asking_price_alone_makes_no_move() -> None:
    """An empty channel at 5,000 ppm that nobody buys from, beside a full one that is free."""
    there = flat("b", 0.0, price_ppm=5_000, others_ppm=5_000)
    facts = [fact("a", 0.9, fee_ppm=0), fact("b", 0.0, fee_ppm=5_000)]
    pair = looked_at(situation(facts, [there, flat("a", 0.0)]), FixedRoutes(1.0))
    assert pair.refusal == "a sat is worth no more there than here (0 ppm)"


@pytest.mark.parametrize("route", [100, 300, 500, 700, 900])
def test_b01_the_better_the_spread_the_surer_the_move(route: int) -> None:
    now = two(flat("b", 1_000.0), flat("a", 0.0))
    pair, dearer = (looked_at(now, FixedRoutes(float(ppm))) for ppm in (route, route + 50))
    assert pair.refusal is None
    assert pair.expected_msat > dearer.expected_msat
    assert pair.max_ppm == route + 1, "the spread is not what is paid"


def test_b28_what_flows_in_is_no_reason_to_refill() -> None:
    """The sales and the price that a curve tells are no part of its value: only the curve is."""
    quiet, busy = flat("b", 40.0), flat("b", 40.0)._replace(sales_msat_per_day=10**12)
    found = [looked_at(two(one, flat("a", 0.0)), FixedRoutes(60.0)) for one in (quiet, busy)]
    assert found[0] == found[1]
    assert found[0].refusal is not None


def test_no_more_is_moved_than_will_sell() -> None:
    """Value falls from 400 ppm to nothing at 5M sat: at 100 ppm the last sat is worth 100."""
    pair = looked_at(two(falling("b", 400.0), flat("a", 0.0)), FixedRoutes(100.0))
    stock = pair.record["stock_there_msat"] + pair.amount_msat
    assert stock == pytest.approx(3.75 * MILLION, rel=0.3)
    assert pair.record["margin_ppm"] == pytest.approx(400.0 - 80.0 * stock / MILLION, abs=0.1)
    assert pair.amount_msat < 4 * MILLION


def test_what_is_little_known_is_little_believed_and_a_loss_in_full() -> None:
    routes = FixedRoutes(100.0)
    sure = looked_at(two(flat("b", 400.0), flat("a", 20.0)), routes)
    weak = looked_at(two(flat("b", 400.0, evidence=3.5), flat("a", 20.0, evidence=0.0)), routes)
    assert weak.amount_msat == sure.amount_msat
    assert weak.value_msat == pytest.approx(sure.value_msat / 2, abs=1)
    assert weak.loss_msat == sure.loss_msat > 0
    relieved = looked_at(two(flat("b", 400.0), flat("a", -20.0, evidence=3.5)), routes)
    assert relieved.loss_msat == pytest.approx(-sure.loss_msat / 2, abs=1)
    assert [expected.believed(n) for n in (0.0, 3.5, 1e9)] == pytest.approx([1 / 9, 0.5, 1.0])


def test_the_last_hops_own_price_is_counted() -> None:
    facts = [fact("a", 0.9), fact("b", 0.05, remote=Policy(0, 350, 0, 0))]
    now = situation(facts, [flat("b", 300.0), flat("a", 0.0)])
    assert "no route is likely below 350" in str(looked_at(now).refusal)


def test_what_earns_less_than_the_least_profit_is_left() -> None:
    facts = [fact("a", 0.9), fact("b", 0.9, receivable_msat=MILLION // 10 + MILLION // 10)]
    now = situation(facts, [flat("b", 200.0), flat("a", 0.0)], PLAIN)
    found = {}
    for sat in (8, 9, 11):
        terms = replace(PLAIN, min_profit_msat=sat * SAT)
        found[sat] = looked_at(replace(now, terms=terms), FixedRoutes(99.0)).refusal
    assert found[8] is None and found[9] is None
    assert found[11] is not None


# -- our own fleet ---------------------------------------------------------------------------------


def fleet(loss_ppm: float, tolerance_sat: int, hive: bool = True) -> Pair:
    """A move of 100,000 sat into a fleet member that loses so much."""
    terms = replace(PLAIN, hive_tolerance_msat=tolerance_sat * SAT)
    facts = [fact("a", 0.9), fact("b", 0.9, receivable_msat=MILLION // 5)]
    members = frozenset({"peer-b"} if hive else ())
    now = situation(facts, [flat("b", 0.0), flat("a", 0.0)], terms, hive=members)
    return looked_at(now, FixedRoutes(loss_ppm))


def test_b03_a_fleet_member_may_cost_what_is_tolerated_and_nobody_else() -> None:
    pair = fleet(200.0, 25)
    assert pair.refusal is None
    assert -25 * SAT <= pair.expected_msat < 0
    assert fleet(200.0, 25, hive=False).refusal is not None
    assert fleet(200.0, 0).refusal is not None


@given(st.floats(0.0, 3_000.0), st.integers(0, 200))
def test_law_a_fleet_member_never_costs_more_than_is_tolerated(loss: float, tolerance: int) -> None:
    pair = fleet(loss, tolerance)
    if pair.refusal is None:
        assert pair.reserve_msat <= tolerance * SAT
        assert pair.expected_msat >= -tolerance * SAT


# -- budget, reputation, payments ------------------------------------------------------------------


def test_what_the_budget_does_not_cover_is_made_smaller_or_left() -> None:
    now = two(flat("b", 500.0), flat("a", 0.0))
    routes = FixedRoutes(100.0)
    whole = looked_at(now, routes)
    less = looked_at(now, routes, whole.reserve_msat // 3)
    assert less.refusal is None
    assert less.reserve_msat <= whole.reserve_msat // 3 and less.amount_msat < whole.amount_msat
    assert looked_at(now, routes, 10).refusal == NO_BUDGET


def test_little_money_buys_at_the_cheap_hours_or_little() -> None:
    """Of a price that is sometimes low, only the low one is offered; of a large channel little."""
    now = two(flat("b", 800.0), flat("a", 0.0))
    routes = FixedRoutes(costs=(50.0,) * 12 + (700.0,) * 12)
    rich, poor = looked_at(now, routes), looked_at(now, routes, 100 * SAT)
    assert rich.max_ppm == 701 > poor.max_ppm == 51
    assert poor.refusal is None and poor.amount_msat > 100 * SAT / 701e-6
    least = LEAST_MSAT * 51 // 1_000_000
    small = looked_at(now, FixedRoutes(50.0), least + 10 * SAT)
    assert small.refusal is None
    assert LEAST_MSAT <= small.amount_msat < 0.05 * rich.amount_msat
    assert looked_at(now, routes, least - 1).refusal == NO_BUDGET


def test_a_move_that_kelly_scales_keeps_to_the_budget_too() -> None:
    """Of the smaller amount each sat gains more, so that a dearer route is worth it."""
    routes = FixedRoutes(costs=(100.0,) * 12 + (500.0,) * 12)
    now = two(falling("b", 800.0), flat("a", 0.0), replace(PLAIN, kelly_fraction=1.0))
    free = looked_at(now, routes)
    assert free.refusal is None and free.max_ppm == 501
    for part in (0.9, 0.7, 0.5, 0.3):
        tight = looked_at(now, routes, round(part * free.reserve_msat))
        assert tight.reserve_msat <= part * free.reserve_msat + 1 or tight.refusal == NO_BUDGET


def test_without_reputation_a_route_counts_as_working() -> None:
    now = two(flat("b", 500.0), flat("a", 0.0))
    routes = FixedRoutes(100.0, works=0.4)
    weighed = looked_at(now, routes)
    plain = looked_at(replace(now, terms=replace(PLAIN, weigh_reputation=False)), routes)
    assert (weighed.success, plain.success) == (0.4, 1.0)
    assert weighed.payment_msat == plain.payment_msat


@given(st.integers(1, 20_000_000), st.lists(st.tuples(st.integers(1, 10**6), st.booleans())))
def test_law_payments_are_whole_satoshis_and_no_more_than_the_whole(
    total_sat: int, seen: list[tuple[int, bool]]
) -> None:
    routes = RouteBook()
    for sat, ok in seen:
        routes.came("peer-a", "peer-b", sat * SAT, ok, 1.0, NOW)
    found = payment_msat(routes, "peer-a", "peer-b", total_sat * SAT, NOW)
    assert 0 < found <= total_sat * SAT
    assert found % SAT == 0
    assert found <= max(FIRST_PAYMENT_MSAT, total_sat * SAT // 8)
    assert found >= min(LEAST_MSAT, total_sat * SAT)


def test_payments_are_smaller_where_large_ones_failed() -> None:
    routes, total = RouteBook(), 160_000 * SAT
    assert payment_msat(routes, "peer-a", "peer-b", total, NOW) == total
    for _ in range(8):
        routes.came("peer-a", "peer-b", 90_000 * SAT, False, 1.0, NOW)
        routes.came("peer-a", "peer-b", 40_000 * SAT, True, 1.0, NOW)
    assert payment_msat(routes, "peer-a", "peer-b", total, NOW) == 40_000 * SAT
