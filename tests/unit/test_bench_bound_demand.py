"""The demand behind the fluid bound: it is the mean of the attempts that the market draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr

from cl_revenue_ops.bench.bound_demand import (
    TrueDemand,
    ceilings_msat,
    count_share,
    expected_count_rate_per_day,
    expected_share,
    mean_amount_msat,
    volume_share,
)
from cl_revenue_ops.simnode.market import Market, draw_market
from cl_revenue_ops.simnode.market_parameters import MarketRanges
from cl_revenue_ops.simnode.prices import DAY_S, HOUR_S
from cl_revenue_ops.simnode.traffic import all_attempts, joined
from tests.unit.bound_support import AMOUNT_SD, AMPLE, AMPLE_SAT, MEAN_SAT, RATE, Rates, still


def lively(seed: int) -> Market:
    return draw_market(
        seed,
        6,
        40,
        ranges=MarketRanges().fixed(
            attempts_per_channel_day=1_500.0,
            activity_sd=0.8,
            dormant_share=0.0,
            whale_days=0.03,
            bursts_per_day=0.5,
        ),
    )


def test_shares_rates_and_sizes_are_those_of_the_drawn_attempts() -> None:
    seed = 3
    market = replace(lively(seed), surge=np.where(np.arange(40 * 24) % 24 < 12, 1.5, 1.0))
    drawn = joined(list(all_attempts(market)))
    ceiling = ceilings_msat(market)
    passes = drawn.amount_msat <= np.minimum(ceiling[drawn.in_peer], ceiling[drawn.out_peer])
    hours_s = market.start_s + HOUR_S * (np.arange(40 * 24) + 0.5)
    demand = TrueDemand(market)
    compared = 0
    for peer in range(len(market.peers)):
        seen = passes & (drawn.out_peer == peer)
        amounts, limits = drawn.amount_msat[seen].astype(float), drawn.limit_ppm[seen]
        per_day = [demand.per_day(peer, at_s) for at_s in hours_s.tolist()]
        counts = np.array([masses.counts.sum() for masses in per_day])
        volume = np.array([masses.volume_msat.sum() for masses in per_day])
        if counts.sum() / 24.0 < 20_000:
            continue
        compared += 1
        assert counts.sum() / 24.0 == pytest.approx(len(amounts), rel=0.05), (seed, peer)
        assert volume.sum() / 24.0 == pytest.approx(amounts.sum(), rel=0.06), (seed, peer)
        fees = np.exp(np.median(market.levels.log_ppm[:, peer])) * np.array([0.5, 1.0, 2.0])
        alternative = market.peers[peer].alternative_base_msat
        for base in (0, alternative // 2, 2 * alternative + 100):
            shares = [demand.share(peer, at_s, fees, base) for at_s in hours_s.tolist()]
            expected = counts @ np.array([share.counts for share in shares]) / counts.sum()
            by_volume = volume @ np.array([share.volume for share in shares]) / volume.sum()
            limit = alternative + amounts * limits / 1e6
            comes = np.array([base + amounts * fee / 1e6 < limit for fee in fees.tolist()])
            at = (seed, peer, base)
            assert expected == pytest.approx(comes.mean(axis=1), abs=0.012), at
            assert by_volume == pytest.approx(comes @ amounts / amounts.sum(), abs=0.03), at
    assert compared >= 3


def test_whales_come_in_the_hours_and_sizes_that_are_drawn() -> None:
    seed, days = 4, 60
    ranges = MarketRanges().fixed(attempts_per_channel_day=1.0, whale_days=0.9)
    market = draw_market(seed, 12, days, ranges=ranges)
    # Rooms without limit, so that few very large payments do not decide the sums.
    wide = tuple(replace(channel, capacity_sat=AMPLE_SAT) for channel in market.channels)
    market = replace(market, channels=wide)
    drawn, demand = joined(list(all_attempts(market))), TrueDemand(market)
    hours = np.arange(days * 24)
    per_day = [
        [demand.per_day(peer, market.start_s + HOUR_S * (hour + 0.5)) for hour in hours.tolist()]
        for peer in range(len(market.peers))
    ]
    counts = np.array([[masses.counts.sum() for masses in row] for row in per_day]) / 24.0
    volume = np.array([[masses.volume_msat.sum() for masses in row] for row in per_day]) / 24.0
    assert drawn.whale.mean() > 0.5
    assert counts.sum() == pytest.approx(len(drawn), rel=0.06), seed
    assert volume.sum() == pytest.approx(drawn.amount_msat.sum(), rel=0.1), seed
    of_day = ((drawn.at_s - market.start_s) % DAY_S // (6 * HOUR_S)).astype(int)
    quarters = counts.sum(axis=0).reshape(days, 4, 6).sum(axis=(0, 2))
    assert quarters / quarters.sum() == pytest.approx(
        np.bincount(of_day, minlength=4) / len(drawn), abs=0.03
    ), seed


def test_the_single_questions_agree_with_each_other() -> None:
    market, fees = lively(5), np.array([0.0, 40.0, 4_000.0])
    at_s = market.start_s + 3.3 * DAY_S
    share = expected_share(market, 1, at_s, fees, 10.0)
    assert np.array_equal(share.counts, count_share(market, 1, at_s, fees, 10.0))
    assert np.array_equal(share.volume, volume_share(market, 1, at_s, fees, 10.0))
    masses = TrueDemand(market).per_day(1, at_s)
    rate, mean = expected_count_rate_per_day(market, 1, at_s), mean_amount_msat(market, 1, at_s)
    assert rate == pytest.approx(masses.counts.sum())
    assert rate * mean == pytest.approx(masses.volume_msat.sum())
    assert np.array(expected_share(market, 1, at_s, 0.0)) == pytest.approx(1.0)


def test_without_a_base_fee_the_share_is_the_market_s_own() -> None:
    market = still([[0, RATE], [RATE, 0]], [AMPLE, AMPLE])
    fees = np.array([20.0, 100.0, 300.0])
    expected = [market.demand_share(1, market.start_s, fee) for fee in fees.tolist()]
    assert count_share(market, 1, market.start_s, fees) == pytest.approx(expected)
    assert volume_share(market, 1, market.start_s, fees) == pytest.approx(expected)


def test_nobody_comes_to_or_from_a_peer_before_its_channel_opens() -> None:
    market = still([[0, RATE], [RATE, 0]], [AMPLE, AMPLE])
    first, second = market.channels
    market = replace(market, channels=(first, replace(second, opens_day=4)))
    for day, rate in ((3.9, 0.0), (4.1, RATE)):
        for peer in (0, 1):
            at_s = market.start_s + day * DAY_S
            assert expected_count_rate_per_day(market, peer, at_s) == pytest.approx(rate)


def test_a_payment_larger_than_either_channel_never_comes() -> None:
    rates: Rates = [[0, RATE], [0, 0]]
    both = still(rates, [AMPLE, AMPLE], days=1)
    small_sat = 2_000
    z = np.log(small_sat / 2_000.0) / AMOUNT_SD
    for stocks in ([AMPLE, (0, small_sat)], [(small_sat, 0), AMPLE]):
        market = still(rates, stocks, days=1)
        mean = mean_amount_msat(market, 1, market.start_s)
        rate = expected_count_rate_per_day(market, 1, market.start_s)
        assert rate == pytest.approx(RATE * ndtr(z), rel=1e-3)
        assert rate * mean == pytest.approx(RATE * MEAN_SAT * 1e3 * ndtr(z - AMOUNT_SD), rel=1e-3)
    assert expected_count_rate_per_day(both, 1, both.start_s) == pytest.approx(RATE)
