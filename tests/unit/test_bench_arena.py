"""A policy in the arena: what it sees, what it is told, and that the sums are the node's own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cl_revenue_ops.bench.arena import ArenaNode, play
from cl_revenue_ops.bench.outcome import Outcome, measure
from cl_revenue_ops.bench.policy import NodeView, QuoteView, Refused, Settled
from cl_revenue_ops.bench.scenarios import Scenario
from cl_revenue_ops.bench.stage import STEP_S, Stage
from cl_revenue_ops.simnode.clock import VirtualClock
from cl_revenue_ops.simnode.market import Market
from cl_revenue_ops.simnode.world import World
from tests.unit.bench_support import DAY_S, HOUR_S, Scripted, flat, still, world

BUSY = {"attempts_per_channel_day": 80.0, "dormant_share": 0.0}


def stage_of(market: Market, scenario: Scenario) -> Stage:
    """A stage with a node of its own."""
    return Stage(
        market, scenario, World(VirtualClock(market.start_s), seed=market.seed, network="bitcoin")
    )


def run_out(stage: Stage) -> None:
    """Play the market to its end, without a policy."""
    at_s = stage.market.start_s
    stage.look(at_s)
    while at_s < stage.market.end_s:
        at_s += STEP_S
        stage.step(at_s)
        stage.look(at_s)
    stage.finish()


@pytest.mark.parametrize("name", ["jumpy", "new_channel", "drain_attack", "mempool_spike"])
def test_the_same_seed_gives_the_same_outcome(name: str) -> None:
    market, scenario = world(name, 3, 5, 7, **BUSY)
    one = play(market, scenario, flat(40))
    two = play(world(name, 3, 5, 7, **BUSY)[0], scenario, flat(40))
    assert one == two
    assert one.forwards > 0
    other = play(world(name, 4, 5, 7, **BUSY)[0], scenario, flat(40))
    assert other.fees_msat != one.fees_msat


def test_policies_face_the_same_payments() -> None:
    market, scenario = world("even", 2, 6, 4, **BUSY)
    cheap, turned = flat(30), Scripted(lambda day, index: 30 if day < 2.0 else 900)
    one, two = play(market, scenario, cheap), play(market, scenario, turned)
    assert one.attempts == two.attempts
    # Until they part, everything that happens to them is the same.
    until_s = market.start_s + 2.0 * DAY_S
    before = [[f for f in policy.facts if f.at_s < until_s] for policy in (cheap, turned)]
    assert before[0] == before[1]
    assert len(before[0]) > 20
    assert cheap.facts != turned.facts


@pytest.mark.parametrize("name", ["even", "new_channel", "drain_attack"])
def test_fees_are_conserved(name: str) -> None:
    market, scenario = world(name, 2, 6, 8, **BUSY)
    stage = stage_of(market, scenario)
    opened = {
        stage.driver.channel_ids[channel.index]: channel.local_sat * 1_000
        for channel in market.channels
        if not channel.opens_day
    }
    run_out(stage)
    outcome = measure(stage, "nobody")
    assert outcome.fees_msat == stage.world.forwards.fees_collected_msat > 0
    assert sum(outcome.channel_fees_msat) == outcome.fees_msat
    assert sum(outcome.daily_fees_msat) == outcome.fees_msat
    assert outcome.net_msat == outcome.fees_msat
    # What we earned lies in our channels, and nothing else does.
    start_msat = sum(opened.values())
    for channel_id in set(stage.driver.channel_ids) - set(opened):
        start_msat += stage.world.channel(channel_id).total_msat
    now_msat = sum(channel.to_us_msat for channel in stage.world.channels.values())
    assert now_msat - start_msat == outcome.fees_msat


def test_what_a_policy_is_told_adds_up_to_the_outcome() -> None:
    market, scenario = world("even", 2, 6, 4, **BUSY)
    policy = flat(30)
    outcome = play(market, scenario, policy)
    times = [fact.at_s for fact in policy.facts]
    assert times == sorted(times)
    settled = [fact for fact in policy.facts if isinstance(fact, Settled)]
    refused = [fact for fact in policy.facts if isinstance(fact, Refused)]
    # Only what was still in flight when the run ended is told to nobody.
    assert 0 <= outcome.forwards - len(settled) <= 5
    assert outcome.refused == len(refused) > 0
    assert sum(fact.fee_msat for fact in settled) == pytest.approx(outcome.fees_msat, rel=0.02)
    for fact in settled:
        assert fact.in_index != fact.out_index
        assert fact.fee_msat >= fact.out_msat * 30 // 1_000_000
    for index in range(6):
        own = sum(fact.fee_msat for fact in settled if fact.out_index == index)
        assert own <= outcome.channel_fees_msat[index]


def test_a_policy_starts_with_what_it_finds() -> None:
    market, scenario = world("even", 5, 5, 1)
    found: list[tuple[int, int, int]] = []
    policy = still()

    def look(node: NodeView) -> None:
        found.extend((view.index, view.base_msat, view.ppm) for view in node.channels())

    policy.looks.append(look)
    outcome = play(market, scenario, policy)
    drawn = [(c.index, c.own_base_msat, c.own_ppm) for c in market.channels]
    assert found[:5] == drawn
    assert outcome.broadcasts == (0,) * 5
    assert outcome.broadcasts_per_channel_day == 0.0
    assert [path[0] for path in outcome.fee_path_ppm] == [c.own_ppm for c in market.channels]


def test_only_a_change_is_broadcast() -> None:
    market, scenario = world("even", 5, 5, 2)
    once = play(market, scenario, flat(77))
    assert once.broadcasts == (1,) * 5
    assert once.broadcasts_per_channel_day == 0.5
    daily = play(market, scenario, Scripted(lambda day, index: 50 + int(day)))
    assert daily.broadcasts == (3,) * 5  # at the start, and as each of two days has passed


def test_what_the_node_refuses_to_set() -> None:
    market, scenario = world("new_channel", 1, 5, 4)
    (late,) = [channel.index for channel in market.channels if channel.opens_day]
    node = ArenaNode(stage_of(market, scenario))
    for index in (late, -1, 5):
        with pytest.raises(KeyError):
            node.set_fee(index, 10)
        with pytest.raises(KeyError):
            node.channel(index)
    first = node.channels()[0].index
    for fee in ({"ppm": -1}, {"ppm": 2**32}, {"ppm": 1, "base_msat": -1}):
        with pytest.raises(ValueError, match="no fee"):
            node.set_fee(first, **fee)
    node.set_fee(first, 12, 345)
    assert (node.channel(first).ppm, node.channel(first).base_msat) == (12, 345)
    assert len(node.channels()) == 4


def test_a_policy_sees_the_rivals_as_gossip_shows_them() -> None:
    market, scenario = world("jumpy", 3, 6, 2)
    policy, looks = still(), [0]

    def look(node: NodeView) -> None:
        looks[0] += 1
        for view in node.channels():
            peer = market.peers[market.channels[view.index].peer]
            assert view.peer_id == peer.node_id
            quotes = market.rivals.quotes(peer.index, node.now_s)
            assert sorted(node.quotes(view.peer_id)) == sorted(
                QuoteView(q.source_id, q.capacity_sat * 1_000, q.base_msat, q.ppm) for q in quotes
            )
            assert market.chain.feerate_at(node.now_s) == node.sat_per_vb()

    policy.looks.append(look)
    play(market, scenario, policy)
    assert looks[0] == 48
    with pytest.raises(KeyError):
        ArenaNode(stage_of(market, scenario)).quotes("02" * 33)


def test_ticks_come_at_their_interval() -> None:
    market, scenario = world("even", 1, 3, 1)
    policy = still()
    play(market, scenario, policy)
    assert policy.ticks_s == [market.start_s + HOUR_S * n for n in range(1, 25)]
    policy = still()
    policy.interval_s = 250.0  # shorter than a step: once a step, not more
    play(market, scenario, policy)
    assert len(policy.ticks_s) == 144
    policy = still()
    policy.interval_s = 1_500.0  # not a multiple of a step: no drift
    play(market, scenario, policy)
    assert len(policy.ticks_s) == 57
    assert policy.ticks_s[:3] == [market.start_s + at_s for at_s in (1_800.0, 3_000.0, 4_800.0)]


def test_an_old_fee_is_honoured_for_ten_minutes() -> None:
    market, scenario = world("even", 2, 6, 3, attempts_per_channel_day=200.0, dormant_share=0.0)
    dear = Scripted(lambda day, index: 10 if int(day * 24) % 2 == 0 else 60)
    outcome = play(market, scenario, dear)
    paid = [fact for fact in dear.facts if isinstance(fact, Settled) and fact.out_msat > 10**6]
    odd = [f for f in paid if int((f.at_s - market.start_s) // HOUR_S) % 2 == 1]
    low = [f for f in odd if f.fee_msat < f.out_msat * 50 // 10**6]
    within_s = [(f.at_s - market.start_s) % HOUR_S for f in low]
    assert low
    assert outcome.forwards > len(low)
    # Held payments settle later than they were accepted; the median one does not.
    assert sorted(within_s)[len(within_s) // 2] <= 660.0


def test_an_empty_channel_counts_as_depleted() -> None:
    market, scenario = world("stationary", 1, 4, 2, attempts_per_channel_day=5.0)
    shares = {0: 0.03, 1: 0.5, 2: 0.5, 3: 0.5}
    channels = tuple(
        replace(c, local_sat=int(c.capacity_sat * shares[c.index]), opener="remote")
        for c in market.channels
    )
    # Nothing moves: no fee is low enough for anybody.
    silent = replace(market, channels=channels)
    outcome = play(silent, scenario, flat(1_000_000))
    assert outcome.forwards == 0
    assert outcome.depleted_share == pytest.approx(0.25)


def test_an_outcome_survives_its_way_through_text() -> None:
    import json

    market, scenario = world("even", 1, 4, 2, **BUSY)
    outcome = play(market, scenario, flat(30))
    assert Outcome.from_json(json.loads(json.dumps(outcome.as_json()))) == outcome
    assert len(outcome.sample_s) == len(outcome.fee_path_ppm[0]) == len(outcome.local_share[0]) == 5
    assert len(outcome.daily_fees_msat) == 2
    row = outcome.as_json()
    del row["refused"]
    with pytest.raises(KeyError):
        Outcome.from_json(row)
