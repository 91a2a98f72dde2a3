"""Each scenario of the bench really has what its name says, and nothing else is different."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from cl_revenue_ops.bench.arena import play
from cl_revenue_ops.bench.scenarios import (
    ALL_SCENARIOS,
    SCENARIOS,
    UNDERCUT_PEERS,
    busiest_peers,
    target_of_attack,
)
from cl_revenue_ops.simnode.market import Market, draw_market
from cl_revenue_ops.simnode.market_parameters import MarketRanges
from cl_revenue_ops.simnode.prices import HOUR_S
from cl_revenue_ops.simnode.traffic import all_attempts, joined
from tests.unit.bench_support import DAY_S, Scripted, flat, still, world

SEEDS = range(1, 7)

# What each parameter must at least range over, so that nothing can be tuned to one world.
WIDE_ENOUGH = {
    "limit_sd": (0.3, 1.0),
    "drift_sd": (0.03, 0.15),
    "jumps_per_day": (0.01, 0.08),
    "jump_sd": (0.5, 0.9),
    "attempts_per_channel_day": (5.0, 200.0),
    "capacity_sd": (0.5, 1.0),
    "amount_sd": (1.0, 1.5),
    "quote_sd": (0.3, 1.2),
}


def plain(market: Market) -> Market:
    """The market that the same seed has where nothing is laid over it."""
    return draw_market(market.seed, len(market.channels), market.days)


def top_share(market: Market) -> float:
    """The part of all attempts that goes to the busiest peer."""
    rate = market.pair_rate_per_day.sum(axis=0)
    return float(rate.max() / rate.sum())


def test_the_named_scenarios_are_all_there() -> None:
    assert list(SCENARIOS) == [
        *("stationary", "even", "skewed", "sparse", "dense", "jumpy", "undercutting"),
        *("new_channel", "one_way", "drain_attack", "whales", "mempool_spike", "season"),
    ]
    assert set(ALL_SCENARIOS) - set(SCENARIOS) == {"no_attack"}


@pytest.mark.parametrize("name", ["undercutting", "new_channel", "drain_attack", "mempool_spike"])
def test_parameters_of_the_general_scenarios_range_widely(name: str) -> None:
    ranges = SCENARIOS[name].ranges
    for parameter, (low, high) in WIDE_ENOUGH.items():
        span = getattr(ranges, parameter)
        assert span.low <= low, parameter
        assert span.high >= high, parameter


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_a_scenario_changes_only_the_parameters_that_it_is_about(name: str) -> None:
    changed = [
        entry.name
        for entry in fields(MarketRanges)
        if getattr(SCENARIOS[name].ranges, entry.name) != getattr(MarketRanges(), entry.name)
    ]
    assert len(changed) <= 3
    market, _ = world(name, 3)
    for entry in fields(MarketRanges):
        if entry.name not in changed:
            drawn = getattr(market.parameters, entry.name)
            assert drawn == getattr(plain(market).parameters, entry.name), entry.name


@pytest.mark.parametrize("name", list(ALL_SCENARIOS))
def test_a_world_is_the_same_whenever_it_is_drawn(name: str) -> None:
    one, two = world(name)[0], world(name)[0]
    assert np.array_equal(one.levels.log_ppm, two.levels.log_ppm)
    assert np.array_equal(one.chain.sat_per_vb, two.chain.sat_per_vb)
    assert np.array_equal(one.surge, two.surge)
    assert (one.channels, one.peers, one.parameters) == (two.channels, two.peers, two.parameters)
    first, second = joined(list(all_attempts(one))), joined(list(all_attempts(two)))
    assert np.array_equal(first.at_s, second.at_s)
    assert np.array_equal(first.limit_ppm, second.limit_ppm)


def test_nothing_moves_in_the_stationary_world() -> None:
    market, _ = world("stationary", days=20)
    assert np.ptp(market.levels.log_ppm, axis=0).max() == 0.0
    assert np.ptp(market.demand_factor, axis=0).max() == 0.0


def test_peers_are_equally_busy_or_hardly_so() -> None:
    even, usual, skewed = (
        np.mean([top_share(ALL_SCENARIOS[name].market(seed, 16, 1)) for seed in SEEDS])
        for name in ("even", "stationary", "skewed")
    )
    assert even < 0.35 < usual < skewed
    assert skewed > 0.6


@pytest.mark.parametrize(("name", "low", "high"), [("sparse", 2.0, 10.0), ("dense", 100.0, 250.0)])
def test_how_often_payments_come(name: str, low: float, high: float) -> None:
    for seed in SEEDS:
        rate = world(name, seed)[0].parameters.attempts_per_channel_day
        assert low <= rate <= high, seed


def test_rivals_jump_more_often() -> None:
    for seed in SEEDS:
        jumpy, usual = world("jumpy", seed)[0], world("undercutting", seed)[0]
        assert jumpy.parameters.jumps_per_day >= 0.08 >= usual.parameters.jumps_per_day, seed
        assert jumpy.parameters.jump_sd >= 0.7, seed


def test_most_peers_are_one_way() -> None:
    for seed in SEEDS:
        market = ALL_SCENARIOS["one_way"].market(seed, 16, 1)
        both = [peer for peer in market.peers if peer.kind.value == "both"]
        assert len(both) <= len(market.peers) // 3, seed
        assert market.parameters.one_way_lean >= 8.0, seed


def test_the_seasons_swing_widely() -> None:
    for seed in SEEDS:
        market, _ = world("season", seed)
        factors = market.season(market.start_s + HOUR_S * np.arange(7 * 24.0))
        assert factors.max() / factors.min() > 4.0, seed


def test_whales_come_often() -> None:
    def whales(name: str, seed: int) -> int:
        return int(joined(list(all_attempts(world(name, seed, 8, 30)[0]))).whale.sum())

    counts = [(whales("whales", seed), whales("even", seed)) for seed in SEEDS]
    assert sum(many for many, _ in counts) > 3 * sum(few for _, few in counts), counts


# -- undercutting ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_rivals_undercut_the_busiest_peers_by_half_for_a_week(seed: int) -> None:
    market, _ = world("undercutting", seed, 8, 40)
    moved = market.levels.log_ppm - plain(market).levels.log_ppm
    struck = [peer for peer in range(len(market.peers)) if np.any(moved[:, peer] != 0.0)]
    assert sorted(struck) == sorted(busiest_peers(plain(market))[:UNDERCUT_PEERS])
    for peer in struck:
        path = moved[:, peer]
        low = np.flatnonzero(path < -1e-9)
        runs = np.split(low, np.flatnonzero(np.diff(low) > 1) + 1)
        assert len(runs) >= 2, "it comes again"
        for run in runs[:-1]:
            assert len(run) == 7 * 24
            assert np.ptp(path[run]) < 1e-9
            assert 0.40 <= 1.0 - np.exp(path[run[0]]) <= 0.60
        assert np.all(path >= np.log(0.4) - 1e-9)
        assert 3 * 24 <= low[0] <= 10 * 24


def test_rivals_that_follow_show_the_undercut_in_gossip() -> None:
    lowered = 0
    for seed in SEEDS:
        market, _ = world("undercutting", seed, 8, 20)
        for peer in busiest_peers(market)[:UNDERCUT_PEERS]:
            moved = market.levels.log_ppm[:, peer] - plain(market).levels.log_ppm[:, peer]
            at_s = market.start_s + HOUR_S * (int(np.flatnonzero(moved < 0.0)[0]) + 6 * 24)
            asked = market.rivals.quotes(peer, at_s)
            usual = plain(market).rivals.quotes(peer, at_s)
            lowered += sum(one.ppm < 0.7 * two.ppm for one, two in zip(asked, usual, strict=True))
            assert all(one.ppm <= two.ppm for one, two in zip(asked, usual, strict=True)), seed
    assert lowered > 10


# -- the channel that opens later ------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_a_peer_without_a_channel_sends_and_gets_nothing(seed: int) -> None:
    market, _ = world("new_channel", seed, 6, 14)
    (late,) = [channel for channel in market.channels if channel.opens_day]
    assert late.opens_day == 10
    assert late.local_sat == late.capacity_sat
    assert late.peer in busiest_peers(plain(market))[:4]
    attempts = joined(list(all_attempts(market)))
    before = attempts.at_s < market.start_s + 10 * DAY_S
    touches = (attempts.out_peer == late.peer) | (attempts.in_peer == late.peer)
    assert not np.any(touches & before)
    assert np.any(touches & ~before)


def test_a_world_too_short_for_day_ten_opens_half_way() -> None:
    market, _ = world("new_channel", 1, 6, 6)
    assert [channel.opens_day for channel in market.channels if channel.opens_day] == [3]


def test_the_new_channel_is_seen_when_it_is_there() -> None:
    market, scenario = world("new_channel", 1, 5, 4, attempts_per_channel_day=60.0)
    (late,) = [channel for channel in market.channels if channel.opens_day]
    opens_s = market.start_s + late.opens_day * DAY_S
    policy, seen = still(), dict[float, int]()

    def look(node: object) -> None:
        views = {view.index: view for view in node.channels()}  # type: ignore[attr-defined]
        at_s = node.now_s  # type: ignore[attr-defined]
        seen[at_s] = len(views)
        if at_s < opens_s:
            with pytest.raises(KeyError):
                node.channel(late.index)  # type: ignore[attr-defined]
        elif late.index in views and at_s <= opens_s + 4 * HOUR_S:
            assert views[late.index].capacity_msat == late.capacity_sat * 1_000

    policy.looks.append(look)
    outcome = play(market, scenario, policy)
    first = min(at_s for at_s, count in seen.items() if count == len(market.channels))
    assert opens_s < first <= opens_s + 6 * HOUR_S
    assert outcome.channel_days == 4 * 5 - late.opens_day
    assert outcome.local_share[late.index][0] == 0.0
    # Senders know of it: what leaves over it is told with its index.
    assert any(fact.out_index == late.index for fact in policy.facts)


# -- the drain attack ------------------------------------------------------------------------------


def test_an_attack_drains_the_best_channel_and_is_no_part_of_the_market() -> None:
    market, scenario = world("drain_attack", 1, 6, 8)
    target = target_of_attack(market)
    assert market.channels[target].peer == busiest_peers(market)[0]
    attacked = play(market, scenario, flat(5))
    peace = play(market, ALL_SCENARIOS["no_attack"], flat(5))
    assert attacked.attempts == peace.attempts
    assert peace.attack_msat == peace.attack_fees_msat == 0
    assert attacked.attack_msat > 0.2 * market.channels[target].capacity_sat * 1_000
    assert attacked.attack_fees_msat == pytest.approx(attacked.attack_msat * 5 / 1e6, rel=1e-3)
    assert attacked.attack_fees_msat < attacked.channel_fees_msat[target]
    later = slice(11, None)  # samples of day 5.5 on
    mean = [float(np.mean(run.local_share[target][later])) for run in (attacked, peace)]
    assert mean[0] < mean[1]


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_what_is_drained_comes_back_where_it_is_worth_least(seed: int) -> None:
    market, scenario = world("drain_attack", seed, 6, 6)
    policy, peace = flat(5), flat(5)
    play(market, scenario, policy)
    play(market, ALL_SCENARIOS["no_attack"], peace)
    usual = {(fact.at_s, fact.out_msat) for fact in peace.facts}
    extra = [fact for fact in policy.facts if (fact.at_s, fact.out_msat) not in usual]
    first_s = min(fact.at_s for fact in extra)
    first = [fact for fact in extra if fact.at_s == first_s]
    assert {fact.out_index for fact in first} == {target_of_attack(market)}
    # The worst peer's channel has room at the start; when it is full the next one follows.
    worst_first = busiest_peers(market)[::-1]
    places = [worst_first.index(market.channels[fact.in_index].peer) for fact in first]
    assert places[:-1] == sorted(places[:-1])  # the last part is smaller and may fit before
    assert places[0] == 0


def test_an_attacker_needs_no_discount() -> None:
    market, scenario = world("drain_attack", 1, 6, 7)
    assert play(market, scenario, flat(20_000)).attack_msat > 0


def test_an_attacker_waits_for_the_lowest_fee_of_three_days() -> None:
    market, scenario = world("drain_attack", 1, 6, 10)

    def raised(days: int) -> int:
        cut = ALL_SCENARIOS["drain_attack"].market(1, 6, days)
        policy = Scripted(lambda day, index: 2 if day < 4.5 else 3)
        return play(cut, scenario, policy).attack_msat

    assert raised(7) == 0
    assert raised(8) > 0
    assert play(market, scenario, flat(3)).attack_msat > 0


# -- the mempool -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_a_spike_raises_fee_rates_prices_and_demand_together(seed: int) -> None:
    market, _ = world("mempool_spike", seed, 5, 30)
    before = plain(market)
    height = np.log(market.chain.sat_per_vb / before.chain.sat_per_vb)
    risen = market.levels.log_ppm - before.levels.log_ppm
    hours = len(market.surge)
    assert height.max() >= np.log(3.0) - 1e-9
    assert np.all(height >= -1e-9)
    assert np.allclose(risen, 0.25 * height[:, None], atol=1e-6)
    assert np.allclose(np.log(market.surge), 0.30 * height[:hours])
    # It passes: a day and a half later at the most a fifth is left of a spike that stood alone.
    assert np.median(height) < 0.2 * height.max()


def test_more_payments_come_while_block_space_is_dear() -> None:
    attempts, usual, dear = 0, 0, 0.0
    for seed in SEEDS:
        market, _ = world("mempool_spike", seed, 8, 20, attempts_per_channel_day=100.0)
        attempts += sum(len(day) for day in all_attempts(market))
        without = draw_market(
            seed, 8, 20, ranges=MarketRanges().fixed(attempts_per_channel_day=100.0)
        )
        usual += sum(len(day) for day in all_attempts(without))
        dear += float(np.mean(market.surge))
    assert attempts / usual == pytest.approx(dear / len(SEEDS), rel=0.05)
    assert attempts > 1.02 * usual
