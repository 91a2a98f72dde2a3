"""The desk: moves that are named by hand, what a job teaches, and what is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.domain.rebalance.breaker import FUTILE
from cl_revenue_ops.domain.rebalance.desk import RebalanceDesk
from cl_revenue_ops.domain.rebalance.facts import Pair, Result, Situation
from messages.policies import PeerPolicy
from tests.unit.rebalance_support import (
    HOUR_S,
    MILLION,
    NOW,
    SAT,
    FixedRoutes,
    fact,
    flat,
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


# -- by hand ---------------------------------------------------------------------------------------


def by_hand(
    now: Situation, most_sat: int | None = None, force: bool = False, ppm: float = 100.0
) -> Pair:
    return desk(ppm).by_hand(now, "a", "b", MILLION, most_sat and most_sat * SAT, force)


def test_by_hand_the_price_is_what_it_is_worth_unless_one_is_given() -> None:
    pair = by_hand(WORTH)
    assert (pair.refusal, pair.amount_msat, pair.max_ppm) == (None, MILLION, 101)
    given_one = by_hand(WORTH, 300)
    assert (given_one.refusal, given_one.max_ppm, given_one.reserve_msat) == (None, 300, 300 * SAT)


def test_by_hand_what_loses_is_refused_unless_forced() -> None:
    loses = two(flat("b", 50.0), flat("a", 0.0))
    assert by_hand(loses).refusal is not None
    assert by_hand(loses, 300).refusal == "it is expected to lose"
    forced = by_hand(loses, force=True)
    assert (forced.refusal, forced.max_ppm) == (None, 101)
    assert by_hand(loses, 300, force=True).refusal is None
    assert by_hand(loses, 50, force=True).max_ppm == 50


@given(st.integers(1, 2_000), st.integers(1, 10**9), st.booleans())
def test_law_by_hand_no_more_is_reserved_than_may_be_paid(
    most_sat: int, amount_sat: int, force: bool
) -> None:
    amount_msat = min(amount_sat * SAT, 8 * MILLION)
    pair = desk().by_hand(WORTH, "a", "b", amount_msat, most_sat * SAT, force)
    assert pair.reserve_msat <= most_sat * SAT
    assert pair.amount_msat <= amount_msat


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"policies": {"peer-b": PeerPolicy("peer-b", rebalance="disabled")}}, "policy"),
        ({"facts": (fact("a", 0.9, last_stable_connection_s=int(NOW) - 60), fact("b", 0.05))},
         "its peer comes and goes"),
    ],
)  # fmt: skip
def test_by_hand_policies_and_unrest_count_unless_forced(
    changes: dict[str, Any], words: str
) -> None:
    now = replace(WORTH, **changes)
    assert str(by_hand(now).refusal).startswith(words)
    assert by_hand(now, force=True).refusal is None


def test_by_hand_a_breaker_counts_unless_forced() -> None:
    found = desk()
    for _ in range(FUTILE):
        found.breakers.failed("x", "b", NOW)
    assert "futile" in str(found.by_hand(WORTH, "a", "b", MILLION, None, False).refusal)
    assert found.by_hand(WORTH, "a", "b", MILLION, None, True).refusal is None


# -- learning --------------------------------------------------------------------------------------

DEAR = Result(0, 0, 0, 7_200.0, "1:NoCheapRoute")
FAILED = Result(0, 0, 0, 7_200.0, "1:NoRoute")


def learner() -> tuple[RebalanceDesk, Pair]:
    found = RebalanceDesk()
    now = two(flat("b", 2_000.0), flat("a", 0.0))
    (pair,) = found.survey(now).chosen
    return found, pair


def test_a12_ten_jobs_that_moved_nothing_open_the_breaker_and_one_that_did_closes_it() -> None:
    found, pair = learner()
    for number in range(FUTILE):
        assert found.breakers.open_until_s("b") is None, number
        found.learn(pair, PEERS, FAILED, NOW)
    assert found.breakers.open_until_s("b") is not None
    now = two(flat("b", 9_000.0), flat("a", 0.0))
    assert chosen(found, now) == []
    assert "futile: 10 jobs moved nothing" in str(reason(found, now))
    assert {row["channel_id"] for row in found.resting(NOW)} == {"b"}
    found.learn(pair, PEERS, Result(SAT, 1, 1, 60.0, ""), NOW)
    assert found.breakers.open_until_s("b") is None and found.resting(NOW) == []


def test_what_was_too_dear_is_never_futile_and_raises_the_price_once_an_hour() -> None:
    found, pair = learner()
    means = [found.routes.law(*PEERS, NOW).mean]
    for _ in range(3):
        found.learn(pair, PEERS, DEAR, NOW)
        means.append(found.routes.law(*PEERS, NOW).mean)
    assert means[0] < means[1] == means[2] == means[3]
    for hour in range(1, FUTILE + 5):
        found.learn(pair, PEERS, DEAR, NOW + hour * HOUR_S)
    assert found.routes.law(*PEERS, NOW + 20 * HOUR_S).mean > means[3]
    assert found.breakers.runs == {} and found.routes.outcomes == {}


def test_a_failure_lowers_success_and_says_nothing_of_the_price() -> None:
    found, pair = learner()
    law, before = found.routes.law(*PEERS, NOW), found.routes.success(*PEERS, MILLION, NOW)
    found.learn(pair, PEERS, FAILED, NOW)
    assert found.routes.law(*PEERS, NOW) == law
    assert found.routes.success(*PEERS, MILLION, NOW) < before


def test_a07_a_job_that_moved_a_part_until_its_time_was_up_is_learned_of_and_is_no_futile_one(
) -> None:  # fmt: skip
    found, pair = learner()
    found.learn(pair, PEERS, FAILED, NOW)
    moved = Result(pair.amount_msat // 4, pair.amount_msat // 4 // 2_500, 2, 7_200.0, "timeout")
    found.learn(pair, PEERS, moved, NOW)
    assert found.breakers.runs == {}
    assert found.routes.law(*PEERS, NOW).mean > 0.3, "400 ppm were paid where others cost 100"
    came = found.routes.outcomes[PEERS]
    assert [(one.ok, one.weight) for one in came] == [(False, 1.0), (True, 2.0), (False, 1.0)]
    assert found.moves.filled_s == {"b": NOW}


def test_b12_what_a_balance_did_by_itself_is_no_success() -> None:
    """Only what the job's own payments moved counts, not what stands in the channel after it."""
    found, pair = learner()
    fuller = two(flat("b", 2_000.0), flat("a", 0.0))
    fuller = replace(fuller, facts=(fact("a", 0.2), fact("b", 0.8)))
    found.know(fuller.facts)
    found.survey(fuller)
    found.learn(pair, PEERS, FAILED, NOW)
    assert found.breakers.runs["b"].failures == 1
    assert found.moves.filled_s == {}


def test_channels_and_peers_that_are_gone_are_forgotten() -> None:
    found, pair = learner()
    found.learn(pair, PEERS, Result(pair.amount_msat, 9, 1, 1.0, ""), NOW)
    found.learn(pair, PEERS, FAILED, NOW)
    found.know((fact("a"), fact("b")))
    assert PEERS in found.routes.laws and "b" in found.breakers.runs
    found.know((fact("a"),))
    assert PEERS not in found.routes.laws
    assert found.breakers.runs == {}
    assert found.moves.filled_s == {} and found.moves.drained_s == {"a": NOW}


# -- memory ----------------------------------------------------------------------------------------

RESULTS = st.lists(
    st.tuples(st.sampled_from([DEAR, FAILED, Result(50 * SAT * SAT, 7_777, 3, 5.0, "")]),
              st.integers(0, 10**6)),
    max_size=8,
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(RESULTS)
def test_law_what_is_kept_comes_back_exactly_and_the_next_search_is_the_same(
    results: list[tuple[Result, int]],
) -> None:
    found, pair = learner()
    for result, seconds in results:
        found.learn(pair, PEERS, result, NOW + seconds)
    again = RebalanceDesk()
    for name, text in found.pack().items():
        again.read(name, text)
    assert again.pack() == found.pack()
    now = two(flat("b", 2_000.0), flat("a", 0.0))
    assert again.survey(now) == found.survey(now)


@pytest.mark.parametrize("name", ["routes", "breakers", "moves", "others"])
@pytest.mark.parametrize("text", ["", "[]", "{}", '{"filled": {"a": "b"}, "drained": {}}'])
def test_anything_else_is_refused_and_changes_nothing(name: str, text: str) -> None:
    found, pair = learner()
    found.learn(pair, PEERS, FAILED, NOW)
    before = found.pack()
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        found.read(name, text)
    assert found.pack() == before
