"""Which channels may be filled and which drained now, and why others may not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.rebalance import ends
from cl_revenue_ops.domain.rebalance.ends import LEAST_MSAT, MOVED_BACK_S, End, Moves
from messages.channels import ChannelFact
from messages.flow import ChannelFlow
from messages.policies import PeerPolicy
from tests.unit.rebalance_support import (
    CAPACITY_MSAT,
    MILLION,
    NOW,
    RESERVE_MSAT,
    fact,
    flat,
    situation,
)

FILL, DRAIN = ends.destination, ends.source


def verdict(judge: Any, one: ChannelFact, moves: Moves | None = None, **changes: Any) -> str | None:
    """Why it is no end; None where it is one."""
    found = judge(situation([one], [flat("a", 0.0)], **changes), one, moves or Moves())
    return found if isinstance(found, str) else None


def policy(mode: str, expires_at_s: float | None = None) -> dict[str, PeerPolicy]:
    return {"peer-a": PeerPolicy("peer-a", rebalance=mode, expires_at_s=expires_at_s)}


@pytest.mark.parametrize(
    ("mode", "fill", "drain"),
    [
        ("enabled", True, True),
        ("disabled", False, False),
        ("sink_only", True, False),
    ],
)
def test_a_policy_says_which_way_a_peer_may_be_rebalanced(
    mode: str, fill: bool, drain: bool
) -> None:
    said = f"policy: rebalance is {mode}"
    assert verdict(FILL, fact("a"), policies=policy(mode)) == (None if fill else said)
    assert verdict(DRAIN, fact("a"), policies=policy(mode)) == (None if drain else said)


def test_a18_source_only_is_drained_and_not_filled() -> None:
    policies = policy("source_only")
    assert verdict(DRAIN, fact("a"), policies=policies) is None
    assert verdict(FILL, fact("a"), policies=policies) == "policy: rebalance is source_only"


def test_a_policy_that_has_ended_forbids_nothing() -> None:
    assert verdict(FILL, fact("a"), policies=policy("disabled", NOW)) is None
    assert verdict(FILL, fact("a"), policies=policy("disabled", NOW + 1.0)) is not None


@pytest.mark.parametrize("judge", [FILL, DRAIN])
def test_a_peer_that_comes_and_goes_is_left_alone_for_an_hour(judge: Any) -> None:
    for seconds, why in ((1, "its peer comes and goes"), (3_599, "its peer comes and goes"),
                         (3_600, None), (-60, None)):  # fmt: skip
        one = fact("a", last_stable_connection_s=int(NOW) - seconds)
        assert verdict(judge, one) == why, seconds
    assert verdict(judge, fact("a", last_stable_connection_s=None)) is None


def test_slots_that_are_half_taken_are_left_to_forwards() -> None:
    assert verdict(FILL, fact("a", htlcs_in=15, slots_in=30)) is not None
    assert verdict(FILL, fact("a", htlcs_in=14, slots_in=30, htlcs_out=30)) is None
    assert verdict(DRAIN, fact("a", htlcs_out=15, slots_out=30, slots_in=483)) is not None
    assert verdict(DRAIN, fact("a", htlcs_out=14, slots_out=30, htlcs_in=400)) is None


def test_what_was_moved_one_way_is_not_moved_back_within_three_days() -> None:
    moves = Moves()
    moves.note("a", "b", NOW - MOVED_BACK_S + 1.0)
    assert verdict(FILL, fact("a"), moves) == "it was drained by a rebalance lately"
    assert verdict(DRAIN, fact("a"), moves) is None
    for judge, allowed in ((DRAIN, False), (FILL, True)):
        one = fact("b", peer_id="peer-a")
        assert (verdict(judge, one, moves) is None) == allowed
    moves.note("a", "b", NOW - MOVED_BACK_S)
    assert verdict(FILL, fact("a"), moves) is None
    assert verdict(DRAIN, fact("b", peer_id="peer-a"), moves) is None


def test_moves_of_channels_that_are_gone_are_forgotten() -> None:
    moves = Moves()
    moves.note("a", "b", NOW)
    moves.note("b", "c", NOW)
    moves.forget(frozenset({"b"}))
    assert (moves.filled_s, moves.drained_s) == ({"b": NOW}, {"b": NOW})


@pytest.mark.parametrize(
    ("klass", "confidence", "fills"),
    [("sink", 0.75, True), ("sink", 0.74, False), ("source", 0.99, False), ("balanced", 1, False)],
)
def test_what_fills_by_itself_is_not_filled_and_may_be_drained(
    klass: str, confidence: float, fills: bool
) -> None:
    flow = ChannelFlow("a", klass, confidence, 0.0, 0.0, 0.0, 0.0, 0.1, 9, NOW, 1e8)
    assert verdict(FILL, fact("a"), flows={"a": flow}) == ("it fills by itself" if fills else None)
    assert verdict(DRAIN, fact("a"), flows={"a": flow}) is None


# -- amounts ---------------------------------------------------------------------------------------


@given(
    share=st.floats(0.0, 1.0),
    capacity=st.integers(MILLION // 50, 20 * MILLION),
    theirs=st.integers(0, MILLION),
)
def test_law_a_source_keeps_its_share_and_a_destination_is_not_filled_to_the_brim(
    share: float, capacity: int, theirs: int
) -> None:
    one = fact("a", share, capacity_msat=capacity)
    room = max(0, one.receivable_msat - theirs)
    one = fact("a", share, capacity_msat=capacity, receivable_msat=room)
    now = situation([one], [flat("a", 0.0)])
    drained, filled = DRAIN(now, one, Moves()), FILL(now, one, Moves())
    if isinstance(drained, End):
        assert LEAST_MSAT <= drained.most_msat <= one.spendable_msat
        assert one.local_msat - drained.most_msat >= ends.keep_msat(one)
    else:
        assert drained == "it has nothing to spare"
        assert one.spendable_msat - 0.05 * capacity < LEAST_MSAT + 1
    if isinstance(filled, End):
        assert LEAST_MSAT <= filled.most_msat == one.receivable_msat - one.our_reserve_msat
    else:
        assert filled == "it has no room"


def test_of_ten_million_the_reserve_and_half_a_million_are_kept() -> None:
    assert ends.keep_msat(fact("a")) == RESERVE_MSAT + CAPACITY_MSAT // 20
    found = DRAIN(situation([fact("a", 0.5)], [flat("a", 0.0)]), fact("a", 0.5), Moves())
    assert isinstance(found, End)
    assert found.most_msat == CAPACITY_MSAT // 2 - RESERVE_MSAT - CAPACITY_MSAT // 20


# -- what lasts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"connected": False}, "it cannot carry payments now"),
        ({"reestablished": False}, "it cannot carry payments now"),
        ({"state": "CHANNELD_SHUTTING_DOWN"}, "it cannot carry payments now"),
        ({"scid": None}, "it has no short channel id yet"),
        ({"peer_id": "peer-z"}, "its stock has no value yet: no fee cycle has priced it"),
    ],
)
def test_what_can_be_no_end_at_all_is_told_why(changes: dict[str, Any], why: str) -> None:
    facts = [fact("a", **changes), fact("b")]
    now = situation(facts, [flat("a", 0.0), flat("b", 0.0)])
    assert ends.lasting_refusals(now, facts) == {"a": why}


def test_a_channel_that_a_job_uses_is_no_end_of_another() -> None:
    facts = [fact("a"), fact("b")]
    now = situation(facts, [flat("a", 0.0), flat("b", 0.0)], busy=frozenset({"b"}))
    assert ends.lasting_refusals(now, facts) == {"b": "a job uses it already"}


def test_before_anything_is_valued_nothing_is_an_end() -> None:
    facts = [fact("a"), fact("b")]
    now = replace(situation(facts, []), curves=None)
    assert set(ends.lasting_refusals(now, facts)) == {"a", "b"}


def test_the_stock_of_a_peer_is_that_of_all_its_usable_channels_above_our_reserve() -> None:
    facts = [
        fact("a", 0.5), fact("b", 0.3, peer_id="peer-a"), fact("c", 0.9, peer_id="peer-a",
        connected=False), fact("d", 0.001),
    ]  # fmt: skip
    now = situation(facts, [])
    assert ends.stocks(now) == {"peer-a": 8 * MILLION - 2 * RESERVE_MSAT, "peer-d": 0}
