"""The desk: which moves are chosen together, and which are still made at the second look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.domain.demand.stock_curve import worth_msat
from cl_revenue_ops.domain.rebalance import ends
from cl_revenue_ops.domain.rebalance.desk import MOST_JOBS, RebalanceDesk
from cl_revenue_ops.domain.rebalance.facts import Pair, Result, Situation
from messages.channels import ChannelFact
from messages.policies import PeerPolicy
from messages.rebalance import StockCurve
from tests.unit.rebalance_support import (
    HOUR_S,
    MILLION,
    NOW,
    PLAIN,
    SAT,
    FixedRoutes,
    curve,
    fact,
    falling,
    flat,
    situation,
    two,
)

PEERS = ("peer-a", "peer-b")
WORTH = two(flat("b", 500.0), flat("a", 0.0))


def desk(ppm: float = 100.0, works: float = 1.0) -> RebalanceDesk:
    found = RebalanceDesk()
    found.routes = FixedRoutes(ppm, works)
    return found


def chosen(found: RebalanceDesk, now: Situation) -> list[tuple[str, str]]:
    return [(pair.source_channel_id, pair.channel_id) for pair in found.survey(now).chosen]


def reason(found: RebalanceDesk, now: Situation, source: str = "a", into: str = "b") -> str | None:
    (pair,) = [one for one in found.survey(now).pairs if one[:2] == (source, into)]
    return pair.refusal


# -- choosing --------------------------------------------------------------------------------------


@st.composite
def nodes(draw: st.DrawFn) -> Situation:
    """Up to eight channels with up to five peers, a budget, and a fleet member now and then."""
    names = "abcdefgh"[: draw(st.integers(2, 8))]
    facts: list[ChannelFact] = []
    for name in names:
        peer = f"peer-{draw(st.sampled_from('abcde'))}"
        facts.append(fact(name, draw(st.floats(0.0, 1.0)), peer_id=peer))
    curves: list[StockCurve] = []
    for peer in sorted({one.peer_id for one in facts}):
        high, drop = draw(st.floats(-50.0, 1_500.0)), draw(st.floats(0.0, 1_000.0))
        at = draw(st.integers(1, 20))
        curves.append(replaced(curve(peer, (0, high), (at, high - drop))))
    hive = frozenset(draw(st.sets(st.sampled_from(["peer-a", "peer-b"]), max_size=1)))
    free = draw(st.integers(0, 3_000_000))
    kelly = draw(st.sampled_from([None, 0.5]))
    return situation(facts, curves, replace(PLAIN, kelly_fraction=kelly), free, hive=hive)


def replaced(one: StockCurve) -> StockCurve:
    return one._replace(others_ppm=200)


def worth_of_all(now: Situation, moves: Sequence[Pair]) -> float:
    """What all moves together are worth, at the stocks that they leave behind."""
    assert now.curves is not None
    peers = {one.channel_id: one.peer_id for one in now.facts}
    delta = dict.fromkeys(peers.values(), 0)
    for pair in moves:
        delta[peers[pair.source_channel_id]] -= pair.amount_msat
        delta[peers[pair.channel_id]] += pair.amount_msat
    local = ends.stocks(now)
    return sum(
        worth_msat(now.curves.curves[peer].knots, local[peer], local[peer] + change)
        for peer, change in delta.items()
    )


@settings(max_examples=150, deadline=None)
@given(nodes())
def test_law_moves_share_no_channel_keep_to_the_budget_and_promise_no_stock_twice(
    now: Situation,
) -> None:
    for found in (RebalanceDesk(), desk(60.0)):
        moves = found.survey(now).chosen
        used = [name for pair in moves for name in pair[:2]]
        assert len(used) == len(set(used))
        assert len(moves) <= MOST_JOBS
        assert sum(pair.reserve_msat for pair in moves) <= now.free_msat
        promised = sum(pair.value_msat - pair.loss_msat for pair in moves)
        assert promised <= worth_of_all(now, moves) + 10.0 * len(moves) + 1e-6 * abs(promised)
        assert all(pair.refusal is None for pair in moves)


@settings(max_examples=60, deadline=None)
@given(nodes())
def test_law_every_pair_is_told_and_only_what_is_chosen_is_not_refused(now: Situation) -> None:
    survey = desk(60.0).survey(now)
    peers = {one.channel_id: one.peer_id for one in now.facts}
    taken = {pair[:2] for pair in survey.chosen}
    seen = [pair[:2] for pair in survey.pairs]
    assert len(seen) == len(set(seen)) and taken <= set(seen)
    for pair in survey.pairs:
        assert peers[pair.source_channel_id] != peers[pair.channel_id]
        assert pair.refusal is not None or pair[:2] in taken
    out = set(peers) - set(survey.no_source)
    into = set(peers) - set(survey.no_destination)
    assert set(seen) == {(a, b) for a in out for b in into if peers[a] != peers[b]}


def test_the_second_channel_of_a_peer_is_filled_by_what_the_first_leaves_it_worth() -> None:
    facts = [fact("a", 0.9), fact("c", 0.9), fact("b", 0.05), fact("d", 0.05, peer_id="peer-b")]
    curves = [flat("a", 0.0), flat("c", 0.0), falling("b", 400.0)]
    moves = desk(100.0).survey(situation(facts, curves)).chosen
    total = sum(pair.amount_msat for pair in moves)
    assert total <= 4 * MILLION, (
        "beyond 3.75M sat the stock of this peer is worth less than a route"
    )
    if len(moves) == 2:
        assert (
            moves[1].value_msat / moves[1].amount_msat < moves[0].value_msat / moves[0].amount_msat
        )


def test_the_second_channel_of_a_peer_is_drained_at_what_the_first_leaves_it_worth() -> None:
    facts = [fact("a", 0.9), fact("c", 0.9, peer_id="peer-a"), fact("b", 0.05), fact("d", 0.05)]
    curves = [curve("peer-a", (10, 400.0), (18, 0.0)), flat("b", 350.0), flat("d", 350.0)]
    now = situation(facts, curves)
    moves = desk(100.0).survey(now).chosen
    promised = sum(pair.value_msat - pair.loss_msat for pair in moves)
    assert promised == pytest.approx(worth_of_all(now, moves), rel=1e-6)


def test_the_best_moves_come_first_and_there_are_three_at_most() -> None:
    facts = [fact(name, 0.9) for name in "abcde"] + [fact(name, 0.05) for name in "vwxyz"]
    curves = [flat(name, 0.0) for name in "abcde"]
    curves += [flat(name, 200.0 + 50.0 * place) for place, name in enumerate("vwxyz")]
    found = desk()
    assert [into for _, into in chosen(found, situation(facts, curves))] == ["z", "y", "x"]
    assert reason(found, situation(facts, curves), "d", "v") == (
        "another move into it or out of it earns more"
    )


def test_an_asking_price_alone_chooses_nothing() -> None:
    facts = [fact("a", 0.9, fee_ppm=0), fact("b", 0.0, fee_ppm=5_000)]
    curves = [flat("a", 0.0), flat("b", 0.0, price_ppm=5_000, others_ppm=5_000)]
    assert chosen(desk(1.0), situation(facts, curves)) == []


def test_two_channels_of_one_peer_are_no_pair() -> None:
    facts = [fact("a", 0.9), fact("b", 0.05, peer_id="peer-a")]
    now = situation(facts, [falling("a", 900.0)])
    assert desk(0.0).survey(now).pairs == ()
    by_hand = desk(0.0).by_hand(now, "a", "b", MILLION, None, True)
    assert by_hand.refusal == "both channels are with the same peer"


def test_of_one_channel_only_moves_into_it_are_looked_at() -> None:
    facts = [fact("a", 0.9), fact("b", 0.05), fact("c", 0.05), fact("d", 0.998)]
    curves = [flat("a", 0.0), flat("b", 300.0), flat("c", 900.0), flat("d", 0.0)]
    survey = desk().survey(situation(facts, curves), "b")
    assert {pair.channel_id for pair in survey.pairs} == {"b"}
    assert [pair.channel_id for pair in survey.chosen] == ["b"]
    assert survey.no_destination == {}
    assert desk().survey(situation(facts, curves), "d").no_destination == {"d": "it has no room"}


def test_c11_while_it_is_closed_nothing_is_chosen_and_all_is_still_told() -> None:
    """What could not be read closes it: the desk never takes that for leave to spend."""
    survey = desk().survey(replace(WORTH, closed="the wallet could not be read"))
    assert survey.chosen == ()
    (worth,) = [pair for pair in survey.pairs if pair[:2] == ("a", "b")]
    assert worth.refusal == "the wallet could not be read" and worth.expected_msat > 0
    found = desk()
    (pair,) = found.survey(WORTH).chosen
    assert found.recheck(replace(WORTH, closed="no"), pair, force=True) == "no"


def test_without_a_budget_nothing_is_chosen() -> None:
    assert chosen(desk(), replace(WORTH, free_msat=0)) == []
    assert chosen(desk(), WORTH) == [("a", "b")]


def test_a18_a_source_only_peer_is_drained_by_the_search() -> None:
    policies = {"peer-a": PeerPolicy("peer-a", rebalance="source_only")}
    assert chosen(desk(), replace(WORTH, policies=policies)) == [("a", "b")]
    policies = {"peer-b": PeerPolicy("peer-b", rebalance="source_only")}
    survey = desk().survey(replace(WORTH, policies=policies))
    assert survey.chosen == ()
    assert survey.no_destination["b"] == "policy: rebalance is source_only"


def test_what_was_moved_is_not_moved_back() -> None:
    found = desk()
    (pair,) = found.survey(WORTH).chosen
    found.learn(pair, PEERS, Result(pair.amount_msat, 5, 1, 60.0, ""), NOW)
    back = situation([fact("a", 0.05), fact("b", 0.9)], [flat("a", 500.0), flat("b", 0.0)])
    assert chosen(found, back) == []
    assert chosen(found, replace(back, now_s=NOW + 4 * 24 * HOUR_S)) == [("b", "a")]


# -- rechecking ------------------------------------------------------------------------------------


def rechecked(now: Situation, force: bool = False) -> str | None:
    """What is said now of the move that WORTH made one choose."""
    found = desk()
    (pair,) = found.survey(WORTH).chosen
    return found.recheck(now, pair, force=force)


def test_a_move_that_is_still_worth_it_may_be_made() -> None:
    assert rechecked(WORTH) is None
    assert rechecked(replace(WORTH, now_s=NOW + HOUR_S)) is None


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (two(flat("b", 90.0), flat("a", 0.0)), "it is expected to lose"),
        (two(flat("b", 500.0), flat("a", 450.0)), "it is expected to lose"),
        (replace(WORTH, curves=None), "source: its stock has no value yet"),
        (replace(WORTH, busy=frozenset({"b"})), "destination: a job uses it already"),
        (replace(WORTH, facts=WORTH.facts[:1]), "the channel is not open"),
        (replace(WORTH, facts=(fact("a", 0.1), WORTH.facts[1])), "the source can send"),
        (replace(WORTH, facts=(WORTH.facts[0], fact("b", 0.9))), "the destination can receive"),
        (
            replace(WORTH, policies={"peer-a": PeerPolicy("peer-a", rebalance="sink_only")}),
            "policy: rebalance is sink_only",
        ),
        (replace(WORTH, closed="safe mode"), "safe mode"),
    ],
)
def test_a_move_that_is_not_any_more_must_not_be_made(now: Situation, why: str) -> None:
    assert str(rechecked(now)).startswith(why)


def test_force_overrules_worth_and_policy_and_nothing_that_cannot_work() -> None:
    assert rechecked(two(flat("b", 90.0), flat("a", 0.0)), force=True) is None
    policies = {"peer-b": PeerPolicy("peer-b", rebalance="disabled")}
    assert rechecked(replace(WORTH, policies=policies), force=True) is None
    assert rechecked(replace(WORTH, busy=frozenset({"b"})), force=True) is not None
    assert rechecked(replace(WORTH, curves=None), force=True) is not None


def test_b03_a_move_into_the_fleet_that_may_cost_passes_the_second_look_too() -> None:
    terms = replace(PLAIN, hive_tolerance_msat=50 * SAT)
    facts = [fact("a", 0.9), fact("b", 0.9, receivable_msat=MILLION // 5)]
    curves = [flat("b", 0.0), flat("a", 0.0)]
    now = situation(facts, curves, terms, hive=frozenset({"peer-b"}))
    found = desk(200.0)
    (pair,) = found.survey(now).chosen
    assert pair.expected_msat < 0
    assert found.recheck(now, pair) is None
    assert found.recheck(replace(now, hive=frozenset()), pair) is not None
    less = replace(now, terms=replace(terms, hive_tolerance_msat=SAT))
    assert found.recheck(less, pair) is not None
