"""Moving sats in the arena: what it costs and where it is counted, how fast, and the same luck."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from cl_revenue_ops.bench.arena import ArenaNode, play
from cl_revenue_ops.bench.moving import PAYMENTS_PER_STEP
from cl_revenue_ops.bench.outcome import own_moves
from cl_revenue_ops.bench.policy import (
    BUSY,
    DEST_FULL,
    NO_CHEAP_ROUTE,
    NO_SUCH_MOVE,
    SOURCE_LACKS,
    Moved,
    NodeView,
)
from cl_revenue_ops.bench.routes import TrueRoutes
from cl_revenue_ops.bench.scenarios import Scenario
from cl_revenue_ops.bench.stage import STEP_S, Stage
from cl_revenue_ops.simnode.clock import VirtualClock
from cl_revenue_ops.simnode.market import Market
from cl_revenue_ops.simnode.world import World
from tests.unit.bench_support import HOUR_S, Scripted, flat, still, world

ANY_PPM = 10**6
SMALL_MSAT = 1_000_000


def half_full(seed: int = 2, days: int = 1) -> tuple[Market, Scenario]:
    """A world with one channel a peer, each half ours, in which nobody asks much."""
    market, scenario = world("even", seed, 6, days)
    channels = tuple(
        replace(c, peer=c.index, local_sat=c.capacity_sat // 2, opener="remote", remote_ppm=1)
        for c in market.channels[: len(market.peers)]
    )
    return replace(market, channels=channels), scenario


def arena(seed: int = 2) -> tuple[ArenaNode, Stage]:
    """A node at the beginning of such a world."""
    market, scenario = half_full(seed)
    clock = VirtualClock(market.start_s)
    stage = Stage(market, scenario, World(clock, seed=seed, network="bitcoin"))
    return ArenaNode(stage), stage


def until_ok(node: ArenaNode, source: int, dest: int, msat: int = SMALL_MSAT) -> Moved:
    """Try in step after step until a payment arrives."""
    for _ in range(60):
        moved = node.rebalance(source, dest, msat, ANY_PPM)
        if moved.ok:
            return moved
        assert moved.why in ("WIRE_TEMPORARY_CHANNEL_FAILURE", BUSY), moved
        node.at_s += STEP_S
    raise AssertionError("nothing arrived within ten hours")


def test_what_arrives_leaves_elsewhere_with_what_it_costs() -> None:
    node, stage = arena()
    before = [view.local_msat for view in node.channels()]
    moved = until_ok(node, 0, 3)
    after = [view.local_msat for view in node.channels()]
    change = [new - old for new, old in zip(after, before, strict=True)]
    assert moved.cost_msat > 0
    assert change == [-SMALL_MSAT - moved.cost_msat, 0, 0, SMALL_MSAT, *([0] * (len(before) - 4))]
    ppm = TrueRoutes(stage.market).route_ppm(0, 3, node.now_s)
    assert moved.cost_msat == -(-SMALL_MSAT * ppm // 1_000_000)
    sums = own_moves(stage)
    assert (sums.arrived, sums.moved_msat, sums.cost_msat) == (1, SMALL_MSAT, moved.cost_msat)


def test_the_outcome_counts_moves_and_their_cost_from_the_node() -> None:
    market, scenario = half_full(days=1)
    made: list[Moved] = []
    policy = still()
    policy.looks.append(lambda node: made.append(node.rebalance(1, 2, SMALL_MSAT, ANY_PPM)))
    outcome = play(market, scenario, policy)
    arrived = [moved for moved in made if moved.ok]
    assert 0 < len(arrived) < len(made) == 24
    assert outcome.moves == len(arrived)
    assert outcome.move_tries == sum(moved.why != NO_CHEAP_ROUTE for moved in made)
    assert outcome.moved_msat == SMALL_MSAT * len(arrived)
    assert outcome.rebalance_cost_msat == sum(moved.cost_msat for moved in arrived) > 0
    assert outcome.net_msat == outcome.fees_msat - outcome.rebalance_cost_msat


def test_without_moves_nothing_is_counted() -> None:
    outcome = play(*half_full(), still())
    assert (outcome.moves, outcome.move_tries, outcome.moved_msat) == (0, 0, 0)
    assert outcome.rebalance_cost_msat == 0


def test_no_route_above_the_most_that_it_may_cost() -> None:
    node, stage = arena()
    ppm = TrueRoutes(stage.market).route_ppm(0, 3, node.now_s)
    assert ppm > 1
    assert node.rebalance(0, 3, SMALL_MSAT, ppm - 1).why == NO_CHEAP_ROUTE
    assert own_moves(stage).sent == 0, "what has no route is not sent"
    assert node.rebalance(0, 3, SMALL_MSAT, ppm).why != NO_CHEAP_ROUTE
    assert own_moves(stage).sent == 1


def test_what_fails_on_the_way_is_in_the_list_and_moves_nothing() -> None:
    node, stage = arena()
    before = [view.local_msat for view in node.channels()]
    source = max(node.channels(), key=lambda view: view.capacity_msat).index
    routes = TrueRoutes(stage.market)
    rooms = {
        view.index: routes.route(source, view.index, node.now_s).room_msat / view.capacity_msat
        for view in node.channels()
        if view.index != source
    }
    dest = min(rooms, key=lambda index: rooms[index])
    assert rooms[dest] < 0.3, "the world has such a pair"
    whole = int(0.4 * node.channel(dest).capacity_msat)
    moved = node.rebalance(source, dest, whole, ANY_PPM)
    assert (moved.moved_msat, moved.cost_msat) == (0, 0)
    assert moved.why == "WIRE_TEMPORARY_CHANNEL_FAILURE"
    assert [view.local_msat for view in node.channels()] == before
    sums = own_moves(stage)
    assert (sums.sent, sums.arrived, sums.cost_msat) == (1, 0, 0)


def test_what_a_node_cannot_send() -> None:
    node, _ = arena()
    full = node.channel(0).capacity_msat
    assert node.rebalance(0, 3, node.channel(0).local_msat, ANY_PPM).why in (
        SOURCE_LACKS,
        DEST_FULL,
    )
    assert node.rebalance(0, 3, full * 100, ANY_PPM).why == DEST_FULL
    largest = max(node.channels(), key=lambda view: view.capacity_msat).index
    source = min(node.channels(), key=lambda view: view.capacity_msat)
    assert node.rebalance(source.index, largest, source.local_msat, ANY_PPM).why == SOURCE_LACKS
    assert node.rebalance(0, 0, SMALL_MSAT, ANY_PPM).why == NO_SUCH_MOVE
    for pair in ((0, 99), (-1, 2)):
        with pytest.raises(KeyError):
            node.rebalance(*pair, SMALL_MSAT, ANY_PPM)
    for bad in ((0, ANY_PPM), (-5, ANY_PPM), (SMALL_MSAT, -1)):
        with pytest.raises(ValueError, match="no such payment"):
            node.rebalance(0, 3, *bad)


def test_two_channels_to_one_peer_do_not_pay_each_other() -> None:
    market, scenario = half_full()
    extra = replace(market.channels[0], index=len(market.channels))
    market = replace(market, channels=(*market.channels, extra))
    clock = VirtualClock(market.start_s)
    node = ArenaNode(Stage(market, scenario, World(clock, seed=2, network="bitcoin")))
    assert node.rebalance(0, extra.index, SMALL_MSAT, ANY_PPM).why == NO_SUCH_MOVE
    with pytest.raises(ValueError, match="itself"):
        TrueRoutes(market).route(0, extra.index, market.start_s)


def test_a_pair_takes_no_more_than_the_minutes_allow() -> None:
    node, _ = arena()
    tries = [node.rebalance(0, 3, SMALL_MSAT, ANY_PPM) for _ in range(2 * PAYMENTS_PER_STEP)]
    sent = [moved for moved in tries if moved.why != BUSY]
    assert 0 < len(sent) <= PAYMENTS_PER_STEP
    # All but the last one have ended within the step; after it nothing begins any more.
    assert sum(moved.seconds for moved in sent[:-1]) < STEP_S
    assert len(sent) == PAYMENTS_PER_STEP or sum(moved.seconds for moved in sent) >= STEP_S
    assert tries[len(sent) :] == [Moved(0, 0, BUSY)] * (len(tries) - len(sent))
    # Another pair has minutes of its own; the next step has new ones for this one.
    assert node.rebalance(0, 2, SMALL_MSAT, ANY_PPM).why != BUSY
    node.at_s += 2 * STEP_S
    assert node.rebalance(0, 3, SMALL_MSAT, ANY_PPM).why != BUSY


def test_questions_for_a_route_are_bounded_as_well() -> None:
    node, _ = arena()
    told = Counter(node.rebalance(0, 3, SMALL_MSAT, 0).why for _ in range(50))
    assert told == {NO_CHEAP_ROUTE: PAYMENTS_PER_STEP, BUSY: 50 - PAYMENTS_PER_STEP}


def test_the_nth_payment_of_a_pair_and_hour_meets_the_same_luck_whoever_sends_it() -> None:
    def lucks(before: Callable[[ArenaNode], object], msat: int) -> list[tuple[bool, float]]:
        node, _ = arena()
        before(node)
        node.at_s += 2 * STEP_S
        found = []
        for _ in range(3):
            moved = node.rebalance(0, 3, msat, ANY_PPM)
            found.append((moved.ok, moved.seconds))
            node.at_s += STEP_S
        return found

    alone = lucks(lambda node: None, SMALL_MSAT)
    assert len(set(alone)) > 1
    # Neither other pairs, nor questions without a payment, nor the amount move a draw.
    assert lucks(lambda node: node.rebalance(3, 0, SMALL_MSAT, ANY_PPM), SMALL_MSAT) == alone
    assert lucks(lambda node: node.rebalance(0, 3, SMALL_MSAT, 0), SMALL_MSAT) == alone
    assert lucks(lambda node: None, SMALL_MSAT // 3) == alone
    # A payment of the same hour and pair does: it is the first, and these come after it.
    sent = lucks(lambda node: node.rebalance(0, 3, SMALL_MSAT, ANY_PPM), SMALL_MSAT)
    assert sent[:2] == alone[1:]


def test_an_hour_draws_anew() -> None:
    node, stage = arena()
    routes = TrueRoutes(stage.market)
    first = [routes.route_ppm(0, 3, node.now_s + hour * HOUR_S) for hour in range(6)]
    assert len(set(first)) > 1
    assert routes.route_ppm(0, 3, node.now_s + 0.9 * HOUR_S) == first[0]


def test_moves_leave_the_market_as_it_was() -> None:
    market, scenario = half_full(days=2)

    def mover(node: NodeView) -> None:
        node.rebalance(0, 3, SMALL_MSAT, ANY_PPM)

    policy = flat(10**6)
    policy.looks.append(mover)
    moving, resting = play(market, scenario, policy), play(market, scenario, flat(10**6))
    assert moving.moves > 0
    assert moving.attempts == resting.attempts
    cleared = replace(moving, moves=0, move_tries=0, moved_msat=0, rebalance_cost_msat=0)
    assert replace(cleared, local_share=(), depleted_share=0.0) == replace(
        resting, local_share=(), depleted_share=0.0
    )


def test_a_policy_sees_no_price_of_a_route() -> None:
    shown = {name for name in dir(NodeView) if not name.startswith("_")}
    assert shown == {
        *("now_s", "channels", "channel", "quotes", "sat_per_vb", "set_fee", "rebalance"),
    }
    node, _ = arena()
    assert {name for name in vars(type(node)) if not name.startswith("_")} == shown
    assert isinstance(Scripted(None), Scripted)
