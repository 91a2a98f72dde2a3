"""The fluid bound against closed forms, in worlds in which nothing moves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import ndtr, ndtri

from cl_revenue_ops.bench.bound import TOLERANCE, Bound, fluid_bound
from cl_revenue_ops.simnode.market import Market, draw_market
from cl_revenue_ops.simnode.market_quantiles import FloatArray
from cl_revenue_ops.simnode.prices import DAY_S, HOUR_S, LevelPaths
from tests.unit.bound_support import (
    AMPLE,
    AMPLE_SAT,
    DAILY_SAT,
    DAYS,
    LEVEL_PPM,
    LIMIT_SD,
    MEAN_SAT,
    RATE,
    Rates,
    still,
)

EXACT = TOLERANCE + 0.001  # tolerance of the rounds, and the spacing of the prices


def kept(fee_ppm: FloatArray | float) -> FloatArray:
    return np.asarray(ndtr(np.log(LEVEL_PPM / np.asarray(fee_ppm)) / LIMIT_SD))


def best_margin(cost_ppm: float = 0.0) -> tuple[float, float]:
    """Return (fee, margin per sat of demand) of a seller whose sats cost `cost_ppm`."""
    found = minimize_scalar(lambda f: -(f - cost_ppm) * float(kept(f)), bounds=(1.0, 2_000.0))
    return float(found.x), -float(found.fun)


def msat(fees_sat_ppm: float) -> float:
    return fees_sat_ppm / 1e3


def check(bound: Bound, exact_msat: float) -> None:
    """The bound is what the closed form says, from above but for the spacing of its prices."""
    assert bound.total_msat == pytest.approx(exact_msat, rel=EXACT)
    assert bound.planned_msat <= bound.total_msat <= bound.planned_msat * (1 + TOLERANCE) + 1


# -- closed forms --------------------------------------------------------------------------------


def test_with_stock_and_room_for_all_it_is_the_monopoly_price() -> None:
    bound = fluid_bound(still([[0, RATE], [0, 0]], [AMPLE, AMPLE]))
    exact = msat(DAYS * DAILY_SAT * best_margin()[1])
    check(bound, exact)
    assert sum(bound.per_channel_msat) == sum(bound.per_day_msat) == bound.total_msat
    assert bound.per_channel_msat[0] == 0
    assert bound.per_day_msat == pytest.approx([exact / DAYS] * DAYS, rel=0.01)
    assert abs(bound.stock_value_ppm).max() < 1e-6


@pytest.mark.parametrize("scarce", ["stock", "room"])
def test_what_is_scarce_is_sold_at_the_price_that_just_clears_it(scarce: str) -> None:
    share = 0.1
    amount_sat = share * DAYS * DAILY_SAT
    little = round(amount_sat)
    stocks = [AMPLE, (little, AMPLE_SAT)] if scarce == "stock" else [(AMPLE_SAT, little), AMPLE]
    bound = fluid_bound(still([[0, RATE], [0, 0]], stocks))
    fee_ppm = LEVEL_PPM * np.exp(-LIMIT_SD * ndtri(share))
    check(bound, msat(fee_ppm * amount_sat))
    # One more sat is worth the marginal revenue f + S/S', lost in the in peer's room alike.
    step = 1e-3
    slope = (kept(fee_ppm + step) - kept(fee_ppm - step)) / (2 * step)
    worth = fee_ppm + share / float(slope)
    gap = bound.stock_value_ppm[1] - bound.stock_value_ppm[0]
    assert gap == pytest.approx(np.full(DAYS, worth), rel=0.05)


def test_flows_that_cancel_need_no_stock() -> None:
    bound = fluid_bound(still([[0, RATE], [RATE, 0]], [(200_000, 200_000), (200_000, 200_000)]))
    check(bound, msat(2 * DAYS * DAILY_SAT * best_margin()[1]))


def test_unequal_flows_are_balanced_by_both_prices() -> None:
    spare_sat = 200_000
    stocks = [(AMPLE_SAT, AMPLE_SAT), (spare_sat, AMPLE_SAT)]
    bound = fluid_bound(still([[0, RATE], [RATE / 4, 0]], stocks))
    fees = np.geomspace(10.0, 600.0, 1_500)
    out, back = DAYS * DAILY_SAT * kept(fees), DAYS * DAILY_SAT / 4 * kept(fees)
    allowed = out[:, None] - back[None, :] <= spare_sat
    earned = np.where(allowed, (fees * out)[:, None] + (fees * back)[None, :], 0.0)
    check(bound, msat(float(earned.max())))


def test_a_full_side_refuses_its_own_payments_only() -> None:
    rates: Rates = [[0, 0, RATE], [0, 0, RATE], [0, 0, 0]]
    bound = fluid_bound(still(rates, [(AMPLE_SAT, 100), AMPLE, AMPLE]))
    check(bound, msat(DAYS * DAILY_SAT * best_margin()[1]))


@pytest.mark.parametrize("stock_share", [10.0, 0.5])
def test_all_in_peers_meet_one_price_whatever_their_sats_are_worth(stock_share: float) -> None:
    # What comes in from 0 can be sold on to 1's payers; what comes in from 1 is worth nothing.
    # Neither side of theirs can ever be full: so none of them can be refused for another either.
    fees = np.geomspace(20.0, 600.0, 1_500)
    sold = DAYS * DAILY_SAT * kept(fees)
    earned, stock_sat = fees * sold, stock_share * DAYS * DAILY_SAT
    rates: Rates = [[0, 0, RATE], [4 * RATE, 0, RATE], [0, 0, 0]]
    bound = fluid_bound(still(rates, [(0, AMPLE_SAT), AMPLE, (round(stock_sat), AMPLE_SAT)]))
    into_2, into_0 = sold[:, None], 4 * sold[None, :]
    allowed = (into_0 <= into_2) & (2 * into_2 <= stock_sat)
    one_price = np.where(allowed, 2 * earned[:, None] + 4 * earned[None, :], 0.0).max()
    allowed = (into_0 <= into_2) & (into_2 <= stock_sat)
    only_from_0 = np.where(allowed, earned[:, None] + 4 * earned[None, :], 0.0).max()
    if stock_share < 1.0:
        assert only_from_0 > 1.02 * one_price
    else:
        assert only_from_0 + earned.max() > 1.02 * one_price
    check(bound, msat(float(one_price)))


def test_a_scarce_stock_waits_for_the_higher_price() -> None:
    amount_sat = 0.1 * DAYS * DAILY_SAT
    market = still([[0, RATE], [0, 0]], [AMPLE, (round(amount_sat), AMPLE_SAT)])
    log_ppm = market.levels.log_ppm.copy()
    log_ppm[DAYS * 12 :] += np.log(2.0)
    market = replace(market, levels=LevelPaths(market.start_s, log_ppm))
    fees = np.geomspace(20.0, 2_000.0, 1_500)
    half = 0.5 * DAYS * DAILY_SAT
    first, then = half * kept(fees), half * kept(fees / 2)
    allowed = first[:, None] + then[None, :] <= amount_sat
    earned = np.where(allowed, (fees * first)[:, None] + (fees * then)[None, :], 0.0)
    bound = fluid_bound(market)
    check(bound, msat(float(earned.max())))
    assert sum(bound.per_day_msat[DAYS // 2 :]) > 3 * sum(bound.per_day_msat[: DAYS // 2])


def test_a_channel_earns_from_the_day_on_which_it_opens() -> None:
    market = still([[0, RATE], [0, 0]], [AMPLE, AMPLE])
    first, second = market.channels
    bound = fluid_bound(replace(market, channels=(first, replace(second, opens_day=4))))
    check(bound, msat((DAYS - 4) * DAILY_SAT * best_margin()[1]))
    assert bound.per_day_msat[:4] == (0, 0, 0, 0)
    # What opens empty on our side has nothing to sell, what opens full does.
    little = replace(second, capacity_sat=1_000_000, opens_day=4)
    none, all_ours = (replace(little, local_sat=sat) for sat in (0, 1_000_000))
    assert fluid_bound(replace(market, channels=(first, none))).total_msat == 0
    assert fluid_bound(replace(market, channels=(first, all_ours))).total_msat > 0


def test_a_second_channel_brings_its_stock_when_it_opens() -> None:
    share, late = 0.1, 8
    little = round(share * late * DAILY_SAT)
    market = still([[0, RATE], [0, 0]], [AMPLE, (little, AMPLE_SAT)])
    sender, early = market.channels
    second = replace(early, index=2, local_sat=early.capacity_sat, opens_day=late)
    bound = fluid_bound(replace(market, channels=(sender, early, second)))
    scarce = LEVEL_PPM * np.exp(-LIMIT_SD * ndtri(share)) * little
    check(bound, msat(scarce + (DAYS - late) * DAILY_SAT * best_margin()[1]))


def test_a_base_fee_like_the_others_earns_it_on_top() -> None:
    base_msat = 1_000
    market = still([[0, RATE], [0, 0]], [AMPLE, AMPLE], base_msat=base_msat)
    per_payment_ppm = base_msat * 1e3 / MEAN_SAT
    exact = msat(DAYS * DAILY_SAT * (best_margin(-per_payment_ppm)[1]))
    without = fluid_bound(market)
    check(fluid_bound(market, base_shares=(0.0, 1.0)), exact)
    # Without one of our own we still win small payments at a higher rate: somewhere between.
    assert msat(DAYS * DAILY_SAT * best_margin()[1]) * 1.05 < without.total_msat < 0.98 * exact


def test_no_demand_no_revenue() -> None:
    bound = fluid_bound(still([[0, 0], [0, 0]], [AMPLE, AMPLE]))
    assert (bound.total_msat, bound.planned_msat) == (0, 0)
    assert set(bound.per_channel_msat) == set(bound.per_day_msat) == {0}


def test_channels_to_one_peer_are_one_stock_and_share_its_revenue_by_size() -> None:
    share = 0.1
    little = round(share * DAYS * DAILY_SAT)
    market = still([[0, RATE], [0, 0]], [AMPLE, (little, AMPLE_SAT)])
    sender, whole = market.channels
    size, local = whole.capacity_sat // 4, whole.local_sat // 4
    parts = (
        replace(whole, capacity_sat=3 * size, local_sat=3 * local),
        replace(whole, index=2, capacity_sat=size, local_sat=local),
    )
    bound = fluid_bound(replace(market, channels=(sender, *parts)))
    check(bound, float(fluid_bound(market).total_msat))
    assert bound.per_channel_msat[1] == pytest.approx(3 * bound.per_channel_msat[2], abs=4)


def test_shorter_periods_and_fewer_prices_leave_the_planner_less() -> None:
    for seed in (2, 12):
        market = draw_market(seed, 6, 4)
        days = fluid_bound(market)
        assert days.total_msat <= days.planned_msat * (1.0 + TOLERANCE), seed
        assert fluid_bound(market, period_s=4 * HOUR_S).planned_msat <= days.total_msat, seed
        coarse = fluid_bound(market, grid=8)
        assert coarse.total_msat < days.total_msat, seed
        low, high = (share * 1e3 * capacities(market)[:, None] for share in (0.01, 0.99))
        assert (days.stock_msat >= low - 1.0).all() and (days.stock_msat <= high + 1.0).all(), seed


def capacities(market: Market) -> FloatArray:
    capacity_sat = np.zeros(len(market.peers))
    for channel in market.channels:
        capacity_sat[channel.peer] += channel.capacity_sat
    return capacity_sat


def test_what_does_not_fit_is_refused() -> None:
    market = still([[0, RATE], [0, 0]], [AMPLE, AMPLE])
    for period_s in (5 * HOUR_S, 1_800.0, 2 * DAY_S):
        with pytest.raises(ValueError, match="period"):
            fluid_bound(market, period_s=period_s)
    for bases in ((), (-0.5,)):
        with pytest.raises(ValueError, match="base fees"):
            fluid_bound(market, base_shares=bases)
    with pytest.raises(ValueError, match="refill"):
        fluid_bound(market, rebalancing=True, cost_ppm=lambda peer, day: -1.0)


# -- rebalancing ---------------------------------------------------------------------------------


def test_a_refill_is_bought_where_it_sells_for_more() -> None:
    stock_sat, cost = 100_000, 30.0
    market = still([[0, RATE], [0, 0]], [AMPLE, (stock_sat, AMPLE_SAT)])
    bound = fluid_bound(market, rebalancing=True, cost_ppm=lambda peer, day: cost)
    exact = DAYS * DAILY_SAT * best_margin(cost)[1] + cost * stock_sat
    check(bound, msat(exact))
    assert bound.stock_value_ppm[1] == pytest.approx(np.full(DAYS, cost), rel=0.01)
    by_default = fluid_bound(market, rebalancing=True)
    half = LEVEL_PPM / 2
    check(by_default, msat(DAYS * DAILY_SAT * best_margin(half)[1] + half * stock_sat))


def test_a_refill_that_costs_too_much_is_not_bought_and_none_makes_sats() -> None:
    market = still([[0, RATE], [0, 0]], [(0, 400_000), (400_000, AMPLE_SAT)])
    without = fluid_bound(market).total_msat
    dear = fluid_bound(market, rebalancing=True, cost_ppm=lambda peer, day: 5_000.0)
    assert dear.total_msat == pytest.approx(without, rel=EXACT)
    # For nothing, what came in from 0 goes round to 1 again and again.
    free = fluid_bound(market, rebalancing=True, cost_ppm=lambda peer, day: 0.0)
    check(free, msat(DAYS * DAILY_SAT * best_margin()[1]))


def test_a_refill_costs_what_its_day_and_peer_say() -> None:
    market = still([[0, RATE], [0, 0]], [AMPLE, (0, AMPLE_SAT)])
    bound = fluid_bound(
        market, rebalancing=True, cost_ppm=lambda peer, day: 20.0 if (peer, day) == (1, 6) else 1e4
    )
    # All is bought on day 6, for the rest of the run.
    fee_ppm, margin = best_margin(20.0)
    check(bound, msat((DAYS - 6) * DAILY_SAT * margin))
    daily = msat(DAILY_SAT * float(kept(fee_ppm)))
    bought = daily * (fee_ppm - (DAYS - 6) * 20.0)
    rest = daily * fee_ppm
    assert bound.per_day_msat == pytest.approx([0.0] * 6 + [bought] + [rest] * 3, rel=0.02)
