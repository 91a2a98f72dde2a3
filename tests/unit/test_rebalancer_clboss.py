"""CLBoss's rebalancers against their published formulas."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from cl_revenue_ops.bench.baselines import BASELINES
from cl_revenue_ops.bench.policy import NO_CHEAP_ROUTE, Refused, Settled
from cl_revenue_ops.bench.rebalancers.clboss import (
    ClbossEarnings,
    ClbossJit,
    Plan,
    Purse,
    Standing,
    jit_budget_msat,
    jit_move_msat,
    plans,
)
from tests.unit.baseline_support import CAPACITY_MSAT, HOUR_S, NO_ROOM, SAT, FakeNode, channel, run

C = CAPACITY_MSAT


def purses(**net: int) -> dict[str, Purse]:
    """Purses that earned so much, in sat: an exit (d..) or an entry (s..)."""
    found: dict[str, Purse] = defaultdict(Purse)
    for peer_id, sat in net.items():
        found[peer_id] = Purse(earned_out=sat * SAT) if peer_id[0] == "d" else Purse(
            earned_in=sat * SAT
        )  # fmt: skip
    return found


def at(peer_id: str, share: float) -> Standing:
    return Standing(peer_id, int(share * C), C)


def earn(
    policy: ClbossEarnings | ClbossJit, node: FakeNode, exit_: int, entry: int, sat: int
) -> None:
    policy.settled(Settled(node.now_s, entry, exit_, C // 10, sat * SAT), node)


# -- EarningsRebalancer ----------------------------------------------------------------------------


def test_an_empty_exit_that_earned_is_filled_to_three_quarters() -> None:
    found = plans([at("d", 0.1), at("s", 0.99)], purses(d=10_000, s=5))
    amount = int(0.75 * C) - int(0.1 * C)
    assert found == [Plan("s", "d", amount, amount // 1_000)]


def test_a_source_keeps_what_makes_it_one() -> None:
    found = plans([at("d", 0.1), at("s", 0.6)], purses(d=10_000, s=5))
    assert found[0].amount_msat == int(0.6 * C) - int(0.275 * C)


def test_a_destination_pays_no_more_than_it_has_earned() -> None:
    found = plans([at("d", 0.1), at("s", 0.99)], purses(d=50, s=5))
    assert found == [Plan("s", "d", 50_000 * 1_000, 50_000)]


@pytest.mark.parametrize(("share", "acts"), [(0.249, True), (0.25, False)])
def test_who_is_a_destination(share: float, acts: bool) -> None:
    assert bool(plans([at("d", share), at("s", 0.9)], purses(d=100, s=1))) == acts


@pytest.mark.parametrize(("share", "acts"), [(0.28, True), (0.274, False)])
def test_who_is_a_source(share: float, acts: bool) -> None:
    assert bool(plans([at("d", 0.1), at("s", share)], purses(d=100, s=1))) == acts


def test_the_first_fifth_is_paired_by_rank_and_at_least_one() -> None:
    peers = [at(f"d{k}", 0.1) for k in range(10)] + [at(f"s{k}", 0.9) for k in range(10)]
    earned = {f"d{k}": 100 + k for k in range(10)} | {f"s{k}": 200 + k for k in range(10)}
    assert [(p.source, p.dest) for p in plans(peers, purses(**earned))] == [
        ("s9", "d9"),
        ("s8", "d8"),
    ]
    assert len(plans(peers[:4] + peers[10:14], purses(**earned))) == 1


def test_ranks_are_what_was_earned_less_what_was_spent() -> None:
    peers = [at("d1", 0.1), at("d2", 0.1), at("s1", 0.9), at("s2", 0.9)]
    books = purses(d1=900, d2=800, s1=900, s2=800)
    books["d1"].spent_out = books["s1"].spent_in = 200 * SAT
    assert [(p.source, p.dest) for p in plans(peers, books)] == [("s2", "d2")]


def test_it_stops_at_a_destination_that_has_nothing_left() -> None:
    books = purses(d=100, s=1)
    books["d"].spent_out = 100 * SAT
    assert plans([at("d", 0.1), at("s", 0.9)], books) == []
    assert plans([], books) == plans([at("d", 0.1)], books) == []


def earning(seed: int = 1) -> tuple[FakeNode, ClbossEarnings]:
    """A node with an empty exit that has earned 20,000 sat, and a full entry."""
    node = FakeNode(channel(0, 0.1), channel(1, 0.99))
    policy = ClbossEarnings(BASELINES["static"](1), np.random.default_rng(seed))
    policy.begin(node)
    earn(policy, node, exit_=0, entry=1, sat=20_000)
    return node, policy


def test_it_acts_about_every_other_hour() -> None:
    node, policy = earning()
    node.route_ppm = 5_000  # too dear: each run asks once and gives up
    run(policy, node, 400 * HOUR_S)
    assert {why for *_, why in node.tried} == {NO_CHEAP_ROUTE}
    assert 150 < len(node.tried) < 250


def test_it_moves_and_books_what_that_cost_to_both() -> None:
    node, policy = earning()
    run(policy, node, 12 * HOUR_S)
    ((source, dest, msat, most, _), *_) = node.tried
    # The spendable balance is that above the reserve of 1 %.
    assert (source, dest, msat, most) == (1, 0, int(0.75 * C) - int(0.09 * C), 1_000)
    spent = msat * 100 // 1_000_000
    assert policy.purses["peer0"] == Purse(earned_out=20_000 * SAT, spent_out=spent)
    assert policy.purses["peer1"] == Purse(earned_in=20_000 * SAT, spent_in=spent)


def test_what_does_not_go_through_is_split_at_the_golden_ratio() -> None:
    node, policy = earning()
    node.room_msat, node.seconds = C // 4, 1.0
    policy.move(Plan("peer1", "peer0", 1_000_000_000, 1_000_000), node)
    node.room_msat = 500_000_000
    node.tried.clear()
    policy.move(Plan("peer1", "peer0", 1_000_000_000, 1_000_000), node)
    sizes = [msat for _, _, msat, _, _ in node.tried]
    assert sizes[:3] == [1_000_000_000, 618_033_988, int(618_033_988 * 0.618_033_988_749_895)]
    assert sum(msat for _, _, msat in node.arrived) == 1_000_000_000
    assert {most for *_, most, _ in node.tried} == {1_000}


def test_parts_share_the_budget() -> None:
    node, policy = earning()
    moved = policy.move(Plan("peer1", "peer0", 1_000_000_000, 30_000), node)
    # 30 ppm for all of it, 48 for the first part, 78 for the next, and 127 buys 236,000 sat.
    assert [most for *_, most, _ in node.tried][:4] == [30, 48, 78, 127]
    assert node.arrived[0] == (1, 0, 236_067_976)
    spent = policy.purses["peer0"].spent_out
    assert 0.8 * 30_000 < spent <= 30_000 + 1
    assert moved == pytest.approx(spent * 10_000, rel=1e-4)
    assert all(most <= 1_000 for *_, most, _ in node.tried)
    node.tried.clear()
    node.route_ppm = 1_001
    policy.move(Plan("peer1", "peer0", 1_000_000_000, 30_000), node)
    assert {why for *_, why in node.tried} == {NO_CHEAP_ROUTE}
    assert node.tried[-1][3] == 1_000, "nothing is asked for at less than the most it may cost"


def test_it_tries_thirty_times_and_two_minutes_and_no_crumbs() -> None:
    node, policy = earning()
    node.room_msat, node.seconds = 0, 0.1
    policy.move(Plan("peer1", "peer0", 1_000_000_000, 1_000_000), node)
    assert len(node.tried) == 30
    assert min(msat for _, _, msat, _, _ in node.tried) >= 100_000
    node.tried.clear()
    node.seconds = 50.0
    policy.move(Plan("peer1", "peer0", 1_000_000_000, 1_000_000), node)
    assert [why for *_, why in node.tried] == [NO_ROOM] * 3
    node.tried.clear()
    policy.move(Plan("peer1", "peer0", 150_000, 150), node)
    assert len(node.tried) == 1


# -- JitRebalancer ---------------------------------------------------------------------------------


def test_the_move_and_its_budget() -> None:
    assert jit_move_msat(200, 100, 1_000) == 500
    # 10 sat + a quarter of what was earned - what was spent; at least 5 sat, 0.1 % of the move.
    assert jit_budget_msat(10**9, Purse(earned_out=400_000, spent_out=30_000)) == 80_000
    assert jit_budget_msat(10**9, Purse(earned_out=10**9)) == 10**6
    assert jit_budget_msat(1_000, Purse(earned_out=10**9)) == 5_000
    assert jit_budget_msat(10**9, Purse(spent_out=10_001)) < 0


def jit(share: float = 0.02) -> tuple[FakeNode, ClbossJit]:
    """A node whose exit 0 is nearly empty and has earned much."""
    node = FakeNode(channel(0, share), channel(1, 0.8))
    policy = ClbossJit(BASELINES["static"](1), np.random.default_rng(1))
    policy.begin(node)
    earn(policy, node, exit_=0, entry=1, sat=100_000)
    return node, policy


def refuse(policy: ClbossJit, node: FakeNode, msat: int = C // 10) -> None:
    policy.refused(Refused(node.now_s, 1, 0, msat), node)


def test_a_refusal_for_lack_of_balance_is_answered_at_once() -> None:
    node, policy = jit()
    refuse(policy, node)
    move = (C // 10 + C) // 2 - round(0.02 * C)
    assert node.tried == [(1, 0, move, 1_000, "")]
    assert policy.purses["peer0"].spent_out == policy.purses["peer1"].spent_in == move // 10_000
    run(policy, node, 24 * HOUR_S)
    assert len(node.tried) == 1, "it has no timer"


def test_it_answers_only_where_the_balance_was_too_small() -> None:
    node, policy = jit(share=0.2)
    refuse(policy, node, C // 5 - 172 // 4 * 1_000)
    assert node.tried == []
    refuse(policy, node, C // 5 - 172 // 4 * 1_000 + 1)
    assert len(node.tried) == 1


def test_one_move_for_each_destination_and_step() -> None:
    node, policy = jit()
    node.room_msat, node.seconds = 0, 200.0
    refuse(policy, node)
    refuse(policy, node)
    assert len(node.tried) == 1
    node.now_s += 600.0
    refuse(policy, node)
    assert len(node.tried) == 2


def test_what_earned_nothing_gets_ten_sat_once() -> None:
    node = FakeNode(channel(0, 0.0), channel(1, 0.8))
    policy = ClbossJit(BASELINES["static"](1), np.random.default_rng(1))
    policy.begin(node)
    node.route_ppm = 1
    refuse(policy, node, 10**6)
    (tried,) = node.tried
    assert tried[3] == 10_000 * 10**6 // tried[2]
    policy.purses["peer0"].spent_out = 10_000
    node.balance(0, 0.0)
    node.now_s += 600.0
    refuse(policy, node, 10**6)
    assert len(node.tried) == 1


def test_the_source_is_drawn_by_our_share_in_it() -> None:
    chosen = []
    for seed in range(300):
        node = FakeNode(channel(0, 0.02), channel(1, 0.9), channel(2, 0.3), channel(3, 0.0))
        node.route_ppm = 10**6
        policy = ClbossJit(BASELINES["static"](1), np.random.default_rng(seed))
        policy.begin(node)
        refuse(policy, node)
        chosen.append(node.tried[0][0])
    assert len(chosen) == 300
    assert set(chosen) == {1, 2}
    assert 0.68 < chosen.count(1) / 300 < 0.82
