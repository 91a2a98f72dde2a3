"""Payment attempts: rates, shares, amounts, limits and the independence from any policy."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from cl_revenue_ops.simnode.market import Market, draw_market
from cl_revenue_ops.simnode.market_parameters import MarketRanges
from cl_revenue_ops.simnode.prices import DAY_S, HOUR_S
from cl_revenue_ops.simnode.traffic import (
    Attempts,
    all_attempts,
    attempts_of_day,
    joined,
)


def world(seed: int, channels: int = 20, days: int = 14, **fixed: float) -> Market:
    return draw_market(seed, channels, days, ranges=MarketRanges().fixed(**fixed))


def drawn(market: Market) -> Attempts:
    return joined(list(all_attempts(market)))


def same(left: Attempts, right: Attempts) -> bool:
    return all(
        np.array_equal(getattr(left, entry.name), getattr(right, entry.name))
        for entry in fields(Attempts)
    )


def test_the_same_seed_draws_the_same_attempts() -> None:
    assert same(drawn(world(1)), drawn(world(1)))
    assert not same(attempts_of_day(world(1), 0), attempts_of_day(world(2), 0))


def test_a_day_does_not_depend_on_the_days_around_it_nor_on_the_order_of_drawing() -> None:
    short, long = world(3, days=5), world(3, days=20)
    backwards = [attempts_of_day(long, day) for day in (4, 3, 2, 1, 0)]
    for day in range(5):
        assert same(attempts_of_day(short, day), backwards[4 - day]), day


def test_days_differ() -> None:
    market = world(3)
    first, second = attempts_of_day(market, 0), attempts_of_day(market, 1)
    clock = [set(((day.at_s - market.start_s) % DAY_S).round(3)) for day in (first, second)]
    assert not clock[0] & clock[1]


def test_demand_drifts_as_drawn() -> None:
    market = world(
        15,
        days=60,
        attempts_per_channel_day=150.0,
        demand_drift_sd=0.1,
        whale_days=0.0,
        bursts_per_day=1e-9,
        weekly_swing=0.0,
    )
    busiest = int(np.argmax(market.pair_rate_per_day.sum(axis=0)))
    counts = [int(np.sum(day.out_peer == busiest)) for day in all_attempts(market)]
    assert np.corrcoef(counts, market.demand_factor[:, busiest])[0, 1] > 0.9


def test_attempts_are_in_order_of_time_within_their_day() -> None:
    market = world(4)
    for day, attempts in enumerate(all_attempts(market)):
        begin_s = market.start_s + day * DAY_S
        assert np.all(np.diff(attempts.at_s) >= 0)
        assert attempts.at_s[0] >= begin_s and attempts.at_s[-1] <= begin_s + DAY_S
        assert np.all(attempts.in_peer != attempts.out_peer)


@pytest.mark.parametrize("rate", [5.0, 50.0])
def test_the_number_of_attempts_is_as_drawn(rate: float) -> None:
    counts = []
    for seed in range(6):
        market = world(
            seed, days=28, attempts_per_channel_day=rate, whale_days=0.0, demand_drift_sd=1e-6
        )
        counts.append(len(drawn(market)) / (20 * 28))
    assert np.mean(counts) == pytest.approx(rate, rel=0.1), counts


def test_pairs_come_in_the_proportions_of_their_rates() -> None:
    market = world(5, days=28, attempts_per_channel_day=100.0, demand_drift_sd=1e-6, whale_days=0.0)
    attempts = drawn(market)
    peers = len(market.peers)
    seen = np.bincount(attempts.out_peer * peers + attempts.in_peer, minlength=peers**2)
    wanted = market.pair_rate_per_day.T.ravel() * market.days
    busy = wanted > 300
    assert busy.sum() >= 5
    np.testing.assert_allclose(seen[busy], wanted[busy], rtol=0.35)
    assert np.corrcoef(seen, wanted)[0, 1] > 0.99


def test_revenue_is_very_unequal_and_many_channel_weeks_earn_nothing() -> None:
    """About two of 36 earning channels make most of what can be earned."""
    top, idle = [], []
    for seed in range(10):
        market = world(seed, channels=36, days=14)
        attempts = drawn(market)
        peers = len(market.peers)
        worth = np.bincount(
            attempts.out_peer, attempts.amount_msat * attempts.limit_ppm, minlength=peers
        )
        top.append(np.sort(worth)[::-1][:2].sum() / worth.sum())
        pays = (attempts.limit_ppm > 150.0) & attempts.downstream_ok
        week = ((attempts.at_s - market.start_s) // (7 * DAY_S)).astype(int)
        earned = np.zeros((2, peers))
        np.add.at(earned, (week[pays], attempts.out_peer[pays]), 1)
        idle.append(np.mean(earned == 0))
    assert 0.55 < np.mean(top) < 0.9, top
    assert 0.3 < np.mean(idle) < 0.8, idle


def test_amounts_are_log_normal_over_orders_of_magnitude() -> None:
    market = world(6, attempts_per_channel_day=80.0, amount_sd=1.3, whale_days=0.0)
    logs = np.log(drawn(market).amount_msat)
    assert np.std(logs) == pytest.approx(1.3, rel=0.03)
    assert np.median(logs) == pytest.approx(np.log(market.median_amount_sat * 1000), abs=0.05)
    assert np.ptp(logs) > np.log(1000.0)


def test_a_day_turns_over_the_drawn_share_of_all_capacity() -> None:
    market = world(
        7,
        days=28,
        attempts_per_channel_day=60.0,
        turnover_per_day=0.4,
        whale_days=0.0,
        demand_drift_sd=1e-6,
    )
    volume = drawn(market).amount_msat.sum() / 1000 / market.days
    capacity = sum(channel.capacity_sat for channel in market.channels)
    assert volume / capacity == pytest.approx(0.4, rel=0.2)


def test_limits_are_log_normal_about_the_level_of_their_hour() -> None:
    market = world(8, attempts_per_channel_day=80.0, limit_sd=0.7, jumps_per_day=0.08)
    attempts = drawn(market)
    hour = ((attempts.at_s - market.start_s) // HOUR_S).astype(int)
    away = np.log(attempts.limit_ppm) - market.levels.log_ppm[hour, attempts.out_peer]
    assert np.mean(away) == pytest.approx(0.0, abs=0.03)
    assert np.std(away) == pytest.approx(0.7, rel=0.03)
    assert np.mean(np.abs(away) < 0.7) == pytest.approx(0.683, abs=0.02)


def test_expected_demand_is_what_the_limits_say() -> None:
    market = world(9, days=1, attempts_per_channel_day=200.0, jumps_per_day=0.01, drift_sd=0.03)
    attempts = drawn(market)
    busiest = int(np.argmax(market.pair_rate_per_day.sum(axis=0)))
    mine = attempts.take(attempts.out_peer == busiest)
    noon_s = market.start_s + 12 * HOUR_S
    for factor in (0.3, 1.0, 2.5):
        fee_ppm = factor * market.level_ppm(busiest, noon_s)
        seen = float(np.mean(mine.limit_ppm > fee_ppm))
        assert seen == pytest.approx(market.demand_share(busiest, noon_s, fee_ppm), abs=0.08)


def test_traffic_follows_the_season() -> None:
    market = world(
        10,
        days=28,
        attempts_per_channel_day=80.0,
        daily_swing=0.6,
        weekly_swing=0.3,
        bursts_per_day=0.0001,
        whale_days=0.0,
    )
    attempts = drawn(market)
    slots = np.arange(market.start_s, market.end_s, 6 * HOUR_S)
    seen = np.histogram(attempts.at_s, bins=np.append(slots, market.end_s))[0]
    expected = market.season(slots + 3 * HOUR_S)
    assert np.corrcoef(seen, expected)[0, 1] > 0.85


def test_bursts_make_counts_overdispersed() -> None:
    def dispersion(bursts: float) -> float:
        market = world(
            11,
            attempts_per_channel_day=60.0,
            daily_swing=0.0,
            weekly_swing=0.0,
            whale_days=0.0,
            demand_drift_sd=1e-6,
            bursts_per_day=bursts,
            burst_factor=8.0,
        )
        attempts = drawn(market)
        busiest = int(np.argmax(market.pair_rate_per_day.sum(axis=0)))
        mine = attempts.at_s[attempts.out_peer == busiest]
        hours = np.histogram(mine, bins=np.arange(market.start_s, market.end_s + 1, HOUR_S))[0]
        return float(np.var(hours) / np.mean(hours))

    assert dispersion(1e-9) < 1.5
    assert dispersion(0.5) > 3.0


def test_whale_days_push_large_amounts_through_one_pair() -> None:
    market = world(12, days=28, whale_days=0.03, attempts_per_channel_day=30.0)
    attempts = drawn(market)
    whales, others = attempts.take(attempts.whale), attempts.take(~attempts.whale)
    assert len(whales) > 30
    assert np.median(whales.amount_msat) > 3 * np.median(others.amount_msat)
    day = ((whales.at_s - market.start_s) // DAY_S).astype(int)
    for which in set(zip(day.tolist(), whales.out_peer.tolist(), strict=True)):
        mine = (day == which[0]) & (whales.out_peer == which[1])
        assert len(np.unique(whales.in_peer[mine])) == 1
        assert len(np.unique(whales.sender[mine])) == 1


def test_news_of_a_fee_takes_minutes_to_hours() -> None:
    ages = drawn(world(13)).propagation_s
    assert ages.min() >= 60 and ages.max() <= 6 * HOUR_S
    assert 900 < np.median(ages) < 1500
    assert 0.05 < np.mean(ages > HOUR_S) < 0.25


def test_senders_go_on_as_drawn() -> None:
    market = world(14, attempts_per_channel_day=60.0, downstream_failure=0.3)
    attempts = drawn(market)
    assert np.mean(attempts.downstream_ok) == pytest.approx(0.7, abs=0.02)
    assert 2700 < np.median(attempts.memory_s) < 4500
    assert attempts.retry_gap_s.min() >= 5 and np.median(attempts.retry_gap_s) < 180
    assert attempts.retries.min() == 0 and attempts.retries.max() <= 4
    assert np.mean(attempts.retries) == pytest.approx(0.95, abs=0.1)
    assert np.all(attempts.sender // 48 == attempts.in_peer)
