"""The drawn world: seeded, independent streams, ranges, prices, rivals and chain."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, fields
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.simnode.market import PeerKind, draw_market
from cl_revenue_ops.simnode.market_parameters import (
    MarketRanges,
    Purpose,
    Span,
    draw_parameters,
    stream,
)
from cl_revenue_ops.simnode.market_quantiles import BASE_FEE_MSAT, QuantileTable
from cl_revenue_ops.simnode.prices import (
    DAY_S,
    HOUR_S,
    draw_chain,
    draw_demand_factors,
    draw_levels,
    pulled_walk,
)

SEEDS = range(12)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_every_parameter_lies_in_its_range(seed: int) -> None:
    ranges = MarketRanges()
    for name, value in asdict(draw_parameters(seed, ranges)).items():
        span: Span = getattr(ranges, name)
        assert span.low <= value <= span.high * (1 + 1e-12), (seed, name, value)


def test_fixing_one_parameter_moves_no_other() -> None:
    free = asdict(draw_parameters(5, MarketRanges()))
    held = asdict(draw_parameters(5, MarketRanges().fixed(limit_sd=0.31)))
    assert held.pop("limit_sd") == 0.31 != free.pop("limit_sd")
    assert held == free


def test_ranges_are_at_least_as_wide_as_a_bench_needs() -> None:
    ranges = MarketRanges()
    needed = {
        "limit_sd": (0.3, 1.0),
        "drift_sd": (0.03, 0.15),
        "jumps_per_day": (0.01, 0.08),
        "jump_sd": (0.5, 0.9),
        "attempts_per_channel_day": (5.0, 200.0),
        "capacity_sd": (0.5, 1.0),
        "amount_sd": (1.0, 1.5),
        "quote_sd": (0.3, 1.2),
    }
    for name, (low, high) in needed.items():
        span: Span = getattr(ranges, name)
        assert span.low <= low and span.high >= high, name


def test_the_same_seed_draws_the_same_world_and_another_seed_another() -> None:
    first, again, other = draw_market(3), draw_market(3), draw_market(4)
    assert first.parameters == again.parameters != other.parameters
    assert first.peers == again.peers
    assert first.channels == again.channels != other.channels
    np.testing.assert_array_equal(first.pair_rate_per_day, again.pair_rate_per_day)
    np.testing.assert_array_equal(first.levels.log_ppm, again.levels.log_ppm)
    np.testing.assert_array_equal(first.chain.block_times_s, again.chain.block_times_s)
    assert first.rivals.quotes(0, first.start_s) == again.rivals.quotes(0, first.start_s)


def test_a_longer_world_begins_with_the_shorter_one() -> None:
    short, long = draw_market(8, days=3), draw_market(8, days=9)
    hours = len(short.levels.log_ppm)
    np.testing.assert_array_equal(short.levels.log_ppm, long.levels.log_ppm[:hours])
    np.testing.assert_array_equal(short.demand_factor, long.demand_factor[:3])
    np.testing.assert_array_equal(short.chain.sat_per_vb, long.chain.sat_per_vb[:hours])
    blocks = len(short.chain.block_times_s)
    np.testing.assert_array_equal(short.chain.block_times_s, long.chain.block_times_s[:blocks])
    assert short.channels == long.channels


def test_streams_of_two_purposes_are_independent() -> None:
    first = stream(1, Purpose.AMOUNTS, 0).standard_normal(4000)
    second = stream(1, Purpose.LIMITS, 0).standard_normal(4000)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05
    assert len({int(purpose) for purpose in Purpose}) == len(Purpose)


def test_capacities_are_log_normal_with_the_drawn_spread() -> None:
    ranges = MarketRanges().fixed(capacity_sd=0.8, capacity_median_sat=4e6)
    logs = np.log(
        [c.capacity_sat for s in SEEDS for c in draw_market(s, 40, 1, ranges=ranges).channels]
    )
    # Dormant peers have the smaller channels, which pulls the centre a little below the median.
    assert np.log(2.0e6) < np.median(logs) < np.log(4.5e6)
    assert 0.65 < np.std(logs) < 1.0


def test_balances_lie_anywhere_and_some_are_one_sided() -> None:
    shares = np.array(
        [c.local_sat / c.capacity_sat for s in SEEDS for c in draw_market(s, 30, 1).channels]
    )
    assert shares.min() >= 0 and shares.max() <= 1
    assert 0.12 < np.mean(shares > 0.97) < 0.32
    assert 0.12 < np.mean(shares < 0.03) < 0.32
    inner = shares[(shares > 0.03) & (shares < 0.97)]
    assert 0.4 < np.mean(inner) < 0.6
    assert np.histogram(inner, bins=4)[0].min() > 0.15 * len(inner)


def test_some_peers_have_several_channels_and_each_kind_of_peer_occurs() -> None:
    markets = [draw_market(seed, 30, 1) for seed in SEEDS]
    for market in markets:
        per_peer = Counter(channel.peer for channel in market.channels)
        assert set(per_peer) == set(range(len(market.peers))), market.seed
    assert max(max(Counter(c.peer for c in m.channels).values()) for m in markets) >= 3
    kinds = Counter(peer.kind for market in markets for peer in market.peers)
    assert min(kinds[kind] for kind in PeerKind) > 30


def test_busy_peers_have_the_larger_channels() -> None:
    pairs = [
        (market.peers[channel.peer].activity, channel.capacity_sat)
        for seed in SEEDS
        for market in [draw_market(seed, 30, 1, ranges=MarketRanges().fixed(dormant_share=0.0))]
        for channel in market.channels
    ]
    assert 0.3 < np.corrcoef(np.log(pairs).T)[0, 1] < 0.65


def test_dormant_peers_hardly_send_or_receive() -> None:
    def idle(share: float) -> float:
        ranges = MarketRanges().fixed(dormant_share=share, activity_sd=1.5)
        rates = [draw_market(s, 30, 1, ranges=ranges).pair_rate_per_day for s in SEEDS]
        shares = np.concatenate([rate.sum(axis=0) / rate.sum() for rate in rates])
        return float(np.mean(shares < 1e-3))

    assert idle(0.0) < 0.1
    assert 0.3 < idle(0.5) < 0.6


def test_whoever_put_the_money_in_has_most_of_a_one_sided_channel() -> None:
    one_sided = [
        (channel.opener == "local") == (channel.local_sat > channel.capacity_sat / 2)
        for seed in SEEDS
        for channel in draw_market(seed, 30, 1).channels
        if not 0.02 < channel.local_sat / channel.capacity_sat < 0.98
    ]
    assert np.mean(one_sided) == pytest.approx(0.9, abs=0.06)


def test_the_fees_found_at_the_start_are_near_the_level_of_then() -> None:
    ranges = MarketRanges().fixed(first_fee_sd=0.5)
    away = [
        np.log(channel.own_ppm / market.level_ppm(channel.peer, market.start_s))
        for seed in SEEDS
        for market in [draw_market(seed, 30, 1, ranges=ranges)]
        for channel in market.channels
    ]
    assert np.mean(away) == pytest.approx(0.0, abs=0.06)
    assert np.std(away) == pytest.approx(0.5, rel=0.1)


def test_one_way_peers_lean_and_no_pair_leads_back() -> None:
    sends: list[float] = []
    receives: list[float] = []
    for seed in SEEDS:
        market = draw_market(seed, 30, 1)
        assert not np.diag(market.pair_rate_per_day).any(), seed
        out = market.pair_rate_per_day.sum(axis=0)
        into = market.pair_rate_per_day.sum(axis=1)
        for peer in market.peers:
            ratio = float(np.log(into[peer.index] / out[peer.index]))
            if peer.kind is PeerKind.SENDS:
                sends.append(ratio)
            elif peer.kind is PeerKind.RECEIVES:
                receives.append(ratio)
    assert np.median(sends) > 1.0 > -1.0 > np.median(receives)


def test_pair_rates_sum_to_the_drawn_number_of_attempts() -> None:
    ranges = MarketRanges().fixed(attempts_per_channel_day=50.0)
    market = draw_market(2, channels=20, ranges=ranges)
    assert market.pair_rate_per_day.sum() == pytest.approx(1000.0)


def test_levels_drift_and_jump_at_the_drawn_rates() -> None:
    hours, peers = 24 * 40, 60
    walk, at, size = (np.random.default_rng(n) for n in (1, 2, 3))
    calm = draw_levels(0.0, np.full(peers, 5.0), hours, 0.1, 0.0, 0.7, (walk, at, size))
    daily = np.diff(calm.log_ppm[::24], axis=0)
    assert np.std(daily) == pytest.approx(0.1, rel=0.06)
    jumpy = draw_levels(0.0, np.full(peers, 5.0), hours, 1e-9, 0.05, 0.7, (walk, at, size))
    steps = np.diff(jumpy.log_ppm, axis=0)
    jumps = steps[np.abs(steps) > 0.02]
    assert len(jumps) / (peers * 40) == pytest.approx(0.05, rel=0.3)
    assert np.std(jumps) == pytest.approx(0.7, rel=0.15)


def test_a_walk_forgets_half_of_what_it_was_in_a_half_life() -> None:
    steps = np.zeros((21, 1))
    steps[0] = 1.0
    path = pulled_walk(steps, half_life_steps=10.0)
    np.testing.assert_allclose(path[[0, 1, 11], 0], [0.0, 1.0, 0.5])


def test_demand_factors_have_mean_one_however_far_they_drift() -> None:
    factors = draw_demand_factors(np.random.default_rng(3), 60, 4000, 0.1)
    assert np.all(factors[0] == 1.0)
    np.testing.assert_allclose(factors.mean(axis=1), 1.0, atol=0.04)
    assert 0.35 < np.std(np.log(factors[-1])) < 0.6


def test_level_holds_for_the_hour_and_beyond_the_ends() -> None:
    market = draw_market(6, days=2)
    at_s = market.start_s + 5 * HOUR_S
    assert market.level_ppm(1, at_s) == market.level_ppm(1, at_s + HOUR_S - 1)
    assert market.level_ppm(1, at_s) != market.level_ppm(1, at_s + HOUR_S)
    assert market.level_ppm(1, market.start_s - 1e6) == market.level_ppm(1, market.start_s)
    assert market.level_ppm(1, market.end_s + 1e9) == market.level_ppm(1, market.end_s)


def test_expected_demand_falls_with_the_fee_and_is_half_at_the_level() -> None:
    market = draw_market(7)
    at_s = market.start_s + 3 * DAY_S
    fees = np.geomspace(1, 20_000, 40)
    shares = [market.demand_share(0, at_s, fee) for fee in fees]
    assert all(high >= low for high, low in pairwise(shares))
    assert market.demand_share(0, at_s, market.level_ppm(0, at_s)) == pytest.approx(0.5)
    assert market.demand_share(0, at_s, 0.0) == 1.0


def test_season_averages_one_and_swings_by_day_and_week() -> None:
    ranges = MarketRanges().fixed(daily_swing=0.5, weekly_swing=0.2)
    market = draw_market(9, ranges=ranges)
    at_s = market.start_s + np.arange(0.0, 28 * DAY_S, 900.0)
    season = market.season(at_s)
    assert season.mean() == pytest.approx(1.0, abs=1e-6)
    assert season.min() > 0
    by_hour = season.reshape(28, 96).mean(axis=0)
    by_day = season.reshape(4, 7, 96).mean(axis=(0, 2))
    assert by_hour.max() - by_hour.min() == pytest.approx(1.0, rel=0.02)
    assert 0.2 < by_day.max() - by_day.min() < 0.45


def test_quotes_are_off_by_a_lasting_factor_per_peer() -> None:
    ranges = MarketRanges().fixed(quote_sd=1.0, drift_sd=0.03, jumps_per_day=0.01)
    offsets, changes = [], []
    for seed in range(8):
        market = draw_market(seed, 30, 6, ranges=ranges)
        for peer in market.peers:
            gaps = []
            for at_s in (market.start_s, market.end_s):
                asks = [q.ppm for q in market.rivals.quotes(peer.index, at_s) if q.ppm > 0]
                if len(asks) >= 7:
                    gaps.append(np.log(np.median(asks) / market.level_ppm(peer.index, at_s)))
            if len(gaps) == 2:
                offsets.append(gaps[0])
                changes.append(gaps[1] - gaps[0])
    assert np.std(offsets) > 0.7, "quotes are clearing prices"
    assert np.std(changes) < 0.5 * np.std(offsets), "the factor does not last"


def test_asked_fees_have_the_quantiles_of_public_gossip() -> None:
    asks = np.array(
        [
            quote.ppm
            for seed in range(16)
            for market in [draw_market(seed, 30, 1)]
            for peer in market.peers
            for quote in market.rivals.quotes(peer.index, market.start_s)
        ]
    )
    books = [book for seed in range(16) for book in draw_market(seed, 30, 1).rivals.books]
    free = np.mean(np.concatenate([book.free for book in books]))
    assert free == pytest.approx(0.08, abs=0.02) and np.mean(asks == 0) > free
    p25, median, p75, p95 = np.percentile(asks, [25, 50, 75, 95])
    assert p25 < 40 and 50 < median < 250 and 250 < p75 < 1000 and 2000 < p95 < 15_000
    within = [
        np.std(np.log([q.ppm for q in quotes if q.ppm > 0]))
        for market in [draw_market(1, 30, 1)]
        for peer in market.peers
        for quotes in [market.rivals.quotes(peer.index, market.start_s)]
        if len(quotes) >= 10
    ]
    assert 1.5 < np.median(within) < 3.2


def test_quotes_follow_the_level_late_and_some_never_move() -> None:
    ranges = MarketRanges().fixed(quote_followers=0.5, jumps_per_day=0.08, drift_sd=0.15)
    market = draw_market(11, 30, 20, ranges=ranges)
    moved, stood = 0, 0
    for peer in market.peers:
        first = market.rivals.quotes(peer.index, market.start_s)
        last = market.rivals.quotes(peer.index, market.end_s)
        for before, after in zip(first, last, strict=True):
            assert before.short_channel_id == after.short_channel_id
            assert after.last_update_s <= market.end_s
            stood += after.last_update_s == int(market.start_s)
            moved += after.last_update_s > market.start_s
            if after.last_update_s == int(market.start_s):
                assert before.ppm == after.ppm
    assert 0.3 < moved / (moved + stood) < 0.7


def test_what_moved_between_looks_adds_up_to_all_quotes() -> None:
    market = draw_market(12, 12, 10)
    for peer in market.peers:
        since_s, known, looks = market.start_s, {}, 0
        for quote in market.rivals.quotes(peer.index, since_s):
            known[quote.short_channel_id] = quote
        nothing, at_s = market.rivals.moved(peer.index, since_s, since_s)
        assert not nothing
        while at_s < market.end_s:
            changed, next_s = market.rivals.moved(peer.index, since_s, at_s)
            known.update({quote.short_channel_id: quote for quote in changed})
            looks += 1
            assert changed
            expected = market.rivals.quotes(peer.index, at_s)
            assert sorted(known) == sorted(quote.short_channel_id for quote in expected)
            assert list(known.values()) == list(expected), (peer.index, looks)
            assert next_s > at_s
            since_s, at_s = at_s, next_s


def test_rival_directions_follow_the_order_of_node_ids() -> None:
    market = draw_market(13)
    for peer in market.peers:
        for quote in market.rivals.quotes(peer.index, market.start_s):
            assert quote.direction == (0 if quote.source_id < peer.node_id else 1)


def test_blocks_come_every_ten_minutes_and_fee_rates_spike() -> None:
    rngs = (np.random.default_rng(1), np.random.default_rng(2))
    chain = draw_chain(0.0, 24 * 60, 4.0, 0.15, rngs)
    gaps = np.diff(chain.block_times_s)
    assert gaps.mean() == pytest.approx(600.0, rel=0.05)
    assert gaps.std() == pytest.approx(600.0, rel=0.08)
    assert 2.0 < np.median(chain.sat_per_vb) < 8.0
    again = (np.random.default_rng(1), np.random.default_rng(2))
    calm = draw_chain(0.0, 24 * 60, 4.0, 0.0, again)
    assert calm.sat_per_vb.max() < 3.5 * np.median(calm.sat_per_vb)
    above = chain.sat_per_vb / calm.sat_per_vb
    assert 3.0 < above.max() < 60.0
    # A spike halves in eight hours: few hours of the two months are far above the calm rate.
    assert 0.02 < np.mean(above > 2.0) < 0.3
    assert chain.sat_per_vb.min() >= 1.0
    assert chain.blocks_until(chain.block_times_s[9]) == 10
    assert chain.blocks_until(-1.0) == 0
    assert chain.feerate_at(1e12) == chain.sat_per_vb[-1]


def test_quantile_tables_ascend_and_invert() -> None:
    assert np.median(BASE_FEE_MSAT.draw(np.random.default_rng(1), 4000)) < 1000
    table = QuantileTable((0.1, 0.9), (1.0, 5.0))
    np.testing.assert_allclose(table.at(np.array([0.0, 0.1, 0.5, 0.95])), [1.0, 1.0, 3.0, 5.0])


def test_a_world_needs_two_channels() -> None:
    with pytest.raises(ValueError, match="two channels"):
        draw_market(1, channels=1)
    for seed in SEEDS:
        assert len(draw_market(seed, channels=2, days=1).peers) == 2, seed


def test_names_of_ranges_and_parameters_agree() -> None:
    parameters = draw_parameters(1, MarketRanges())
    assert [f.name for f in fields(MarketRanges)] == [f.name for f in fields(parameters)]
