"""Policies in fee decisions: exact fees, fees left alone, bounds after every stage, and ends."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.domain.fees.alpha import Context, Draft, Ruling, Stage
from cl_revenue_ops.domain.fees.decide import FeeDecision, decide, written
from cl_revenue_ops.domain.fees.facts import (
    ChannelFacts,
    Conditions,
    CongestionState,
    Fee,
    FeeParameters,
    Pin,
)
from cl_revenue_ops.domain.fees.orders import AS_FOUND, NO_ORDERS
from cl_revenue_ops.domain.fees.record import decide_again, replay, to_record, to_text
from cl_revenue_ops.domain.fees.stages import SEQUENCE
from cl_revenue_ops.domain.fees.wording import reason
from cl_revenue_ops.domain.policy.terms import Terms, terms_of
from messages.policies import PeerPolicy
from tests.unit.fees_support import (
    DAY_S,
    DEFAULTS,
    HOUR_S,
    NOW,
    ORDINARY_FEE,
    Node,
    all_facts,
    all_parameters,
    all_states,
    asking,
    facts,
    known,
    peer_policies,
    spike,
)

PEER = "02" + "cd" * 32
CONGESTED = CongestionState(True, 2, NOW)
SPENT = tuple(NOW - hours * HOUR_S for hours in (20.0, 15.0, 10.0, 5.0))


def terms(strategy: str = "dynamic", *, hive_fee_ppm: int = 0, **fields: Any) -> Terms:
    """The terms of a policy that was set at NOW unless told otherwise."""
    made = PeerPolicy(PEER, strategy, **{"updated_at_s": NOW, **fields})
    found = terms_of(made, NOW, hive_fee_ppm)
    assert found is not None
    return found


def once(asked: Terms | None, fee: Fee = ORDINARY_FEE, **changes: Any) -> FeeDecision:
    """One decision on a grown channel of ours whose day's updates are spent."""
    p = changes.pop("p", DEFAULTS)
    state = known(fee, updates_s=SPENT, **changes.pop("state", {}))
    return decide(facts(**{"fee": fee, "terms": asked, **changes}), state, p, NOW)[0]


# -- laws ---------------------------------------------------------------------------------------


def rogue(name: str, change: Callable[[Draft], Draft]) -> Stage:
    """A stage that asks for anything and moves the bounds."""
    return Stage(name, lambda context, draft: Ruling(change(draft), True, reason("not_pinned")))


ROGUES = (
    rogue("dear", lambda d: d._replace(asked_ppm=1e9, floor_ppm=10**9, ceiling_ppm=10**9)),
    rogue("free", lambda d: d._replace(asked_ppm=0.0, floor_ppm=0, ceiling_ppm=0)),
    rogue("open", lambda d: d._replace(floor_ppm=0, ceiling_ppm=10**9, settled_by=None)),
)


@settings(max_examples=400)
@given(
    data=st.data(),
    seen=all_facts,
    p=all_parameters,
    policy=peer_policies,
    now_s=st.floats(NOW, NOW + DAY_S),
    where=st.integers(0, len(SEQUENCE)),
    what=st.none() | st.sampled_from(ROGUES),
)
def test_whatever_the_stages_say_the_policy_holds(
    data: st.DataObject,
    seen: ChannelFacts,
    p: FeeParameters,
    policy: PeerPolicy,
    now_s: float,
    where: int,
    what: Stage | None,
) -> None:
    """Over random policies, markets, states, times and stages: exact is exact, passive is never
    written, and no verdict of any stage leaves the bounds.
    """
    seen = seen._replace(pin=None, terms=terms_of(policy, NOW, 4))
    stages = (*SEQUENCE[:where], *(() if what is None else (what,)), *SEQUENCE[where:])
    decision, _ = decide(seen, data.draw(all_states(seen.fee)), p, now_s, stages)
    fees = [verdict.ppm for verdict in decision.verdicts]
    fees += [decision.wanted.ppm]
    if policy.expires_at_s is not None and policy.expires_at_s <= now_s:
        assert all(p.min_fee_ppm <= ppm <= p.max_fee_ppm for ppm in fees)
        assert "passive" not in [blocker.code for blocker in decision.blockers]
        return
    low, high = policy.min_fee_ppm, policy.max_fee_ppm
    if policy.strategy == "passive":
        assert decision.action == "none"
        assert "passive" in [blocker.code for blocker in decision.blockers]
    elif policy.strategy == "hive":
        assert (set(fees), decision.wanted.base_msat) == ({4}, 0)
    elif policy.strategy == "static" and policy.fee_ppm is not None:
        assert set(fees) == {policy.fee_ppm}
        assert decision.wanted.base_msat == p.base_fee_msat
    else:
        neutral = neutral_ppm(seen, data, decision)
        for ppm in fees:
            assert low is None or ppm >= low
            assert high is None or ppm <= high
            if policy.fee_multiplier_max is not None:
                assert ppm <= max(low or 0, policy.fee_multiplier_max * neutral)
            elif policy.fee_multiplier_min is not None:
                least = min(policy.fee_multiplier_min * neutral, 2**32 - 1)
                assert ppm >= (least if high is None else min(high, least))
    if decision.action == "set":
        assert decision.target == decision.wanted


def neutral_ppm(seen: ChannelFacts, data: st.DataObject, decision: FeeDecision) -> float:
    """The price were stock worth nothing; before demand was looked at what stands in for it."""
    if seen.market is not None:
        return math.exp(seen.market.priced.neutral)
    if seen.prior is not None:
        return seen.prior.ppm
    found = decision.state.found or seen.fee
    return float(decision.parameters.min_fee_ppm if found is None else found.ppm)


@settings(max_examples=200)
@given(data=st.data(), seen=all_facts, p=all_parameters)
def test_policies_are_inputs_of_the_record(
    data: st.DataObject, seen: ChannelFacts, p: FeeParameters
) -> None:
    decision, _ = decide(seen, data.draw(all_states(seen.fee)), p, NOW)
    record = json.loads(to_text(decision))
    inputs_only = {name: record[name] for name in ("version", "at_s", "inputs")}
    assert to_text(decide_again(inputs_only)) == to_text(decision)


def test_a_record_of_the_version_before_is_decided_again() -> None:
    text = (Path(__file__).parent / "data/fee_record_v2.json").read_text(encoding="utf-8")
    record = json.loads(text)
    assert (record["version"], replay(record)) == (2, 612)
    again = decide_again(record)
    assert (again.sentence, again.facts.terms) == (record["sentence"], None)


# -- exact fees ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "fee"),
    [
        (terms("static", fee_ppm=9_000), Fee(9_000, 7)),
        (terms("static", fee_ppm=0), Fee(0, 7)),
        (terms("hive", hive_fee_ppm=1), Fee(1, 0)),
        (terms(min_fee_ppm=3, max_fee_ppm=3), Fee(3, 7)),
    ],
)
def test_an_exact_fee_is_set_at_once_also_outside_the_configured_bounds(
    asked: Terms, fee: Fee
) -> None:
    p = FeeParameters(base_fee_msat=7)
    decision = once(asked, state={"congestion": CONGESTED}, spike=spike(1.0), p=p)
    assert (decision.action, decision.code, decision.target) == ("set", "pin", fee)
    assert f"the peer's policy pins the fee at {fee.ppm} ppm ({asked.origin})" in decision.sentence
    assert Node(Fee(137, 0)).cycle(terms=asked).code == "pin", "a first contact does not wait"


def test_an_exact_fee_is_restored_at_once_and_a_repeat_is_silent() -> None:
    asked = terms("static", fee_ppm=300)
    node = Node(Fee(200, 0), known(), terms=asked)
    assert node.cycle().code == "pin"
    assert node.cycle().code == "unchanged"
    node.fee = Fee(999, 0)
    assert node.cycle().code == "pin_restored"


def test_after_the_end_the_controller_goes_on_from_the_fee_that_stands() -> None:
    """To the second; a young channel steps from the fee before the order, as after a pin."""
    asked = terms("static", fee_ppm=800, expires_at_s=NOW + HOUR_S)
    young = Node(Fee(200, 0), known(observed_s=0.0), market=asking(400.0), terms=asked)
    young.cycle()
    assert young.fee == Fee(800, 0)
    assert young.cycle(after_s=HOUR_S / 2 - 1.0).code == "unchanged"
    ended = young.cycle(after_s=1.0)
    assert (ended.action, ended.whose, ended.target) == ("set", "ours", Fee(300, 0))
    grown = Node(Fee(200, 0), known(), market=asking(400.0))
    grown.cycle(terms=asked)
    assert grown.cycle(terms=None).target == Fee(400, 0)


# -- by hand over the policy ----------------------------------------------------------------------


def test_a_fee_by_hand_stands_above_the_policy_and_says_so() -> None:
    pin = Pin(555, None, "by hand", NOW - DAY_S)
    for asked in (terms("static", fee_ppm=300), terms("hive"), terms(max_fee_ppm=100)):
        decision = once(asked, pin=pin)
        assert decision.target == Fee(555, 0)
        above = f"stands above the peer's policy ({asked.strategy})"
        assert f"pinned at 555 ppm (by hand), and that {above}" in decision.sentence


def test_the_newer_of_a_fee_by_hand_and_a_passive_policy_holds() -> None:
    passive = terms("passive")
    assert once(passive, pin=Pin(555, None, "by hand", NOW - 1.0)).code == "passive"
    assert once(passive, pin=Pin(555, None, "by hand", NOW)).target == Fee(555, 0)


# -- passive --------------------------------------------------------------------------------------


def test_a_passive_peers_fee_is_nobodys_news_and_the_start_of_what_follows() -> None:
    node = Node(Fee(200, 0), known(), market=asking(400.0))
    asked = terms("passive")
    for ppm in (900, 901, 902):
        node.fee = Fee(ppm, 5)
        left = node.cycle(terms=asked, conditions=Conditions(True, False, False, ("CLBoss",)))
        assert (left.action, left.code, left.newly_foreign) == ("none", "passive", False)
        assert left.sentence == "Did nothing because the peer's policy is passive."
        assert node.state.foreign is None
    assert node.state.target == Fee(200, 0), "what was ours is remembered"
    back = node.cycle()
    assert (back.whose, back.code, back.target) == ("ours", "worth_gossip", Fee(400, 0))
    assert "after 902 ppm" in back.sentence


def test_a_passive_policy_that_ended_leaves_an_unchanged_fee_as_ours() -> None:
    node = Node(Fee(200, 0), known(forced_by="congestion", target_forced_by="congestion"))
    node.cycle(terms=terms("passive"))
    assert node.state.forced_by == "congestion"
    assert node.cycle().whose == "ours"


def test_a_first_contact_under_a_passive_policy_remembers_what_was_found() -> None:
    node = Node(Fee(137, 1000))
    assert node.cycle(terms=terms("passive")).code == "passive"
    assert node.state.found == Fee(137, 1000)


# -- bounds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "target"),
    [
        (terms(max_fee_ppm=150), 150),
        (terms(min_fee_ppm=450, max_fee_ppm=9000), 450),
        (terms(fee_multiplier_max=0.4), 96),
        (terms(fee_multiplier_min=3.0), 728),
    ],
)
def test_a_bound_that_the_fee_in_force_breaks_is_an_order(asked: Terms, target: int) -> None:
    """Neither hysteresis nor the day's budget holds it up, nor a first contact, nor another
    writer's day.
    """
    market = asking(400.0)
    decision = once(asked, market=market, p=replace(DEFAULTS, hysteresis=1e6))
    assert (decision.action, decision.code) == ("set", "policy_bound")
    assert decision.target == Fee(target, 0)
    assert "of the peer's policy" in decision.sentence
    first = Node(Fee(200, 0), market=market).cycle(terms=asked)
    assert (first.whose, first.code) == ("first_contact", "policy_bound")
    foreign = once(asked, market=market, state={"target": Fee(9, 0), "confirmed": Fee(9, 0)})
    assert (foreign.whose, foreign.code) == ("foreign", "policy_bound")


def test_a_bound_that_the_fee_in_force_keeps_is_no_order() -> None:
    asked = terms(max_fee_ppm=300)
    assert once(asked, market=asking(400.0)).code == "budget_spent"
    assert Node(Fee(200, 0), market=asking(400.0)).cycle(terms=asked).code == "first_contact"
    held = once(asked, state={"target": Fee(9, 0), "confirmed": Fee(9, 0)})
    assert held.code == "foreign_fee_held"


def test_a_configured_bound_is_no_order_of_the_policy() -> None:
    """Below the configured minimum another writer's fee has its day, whatever the policy caps."""
    state = {"target": Fee(9, 0), "confirmed": Fee(9, 0)}
    held = once(terms(max_fee_ppm=300), Fee(5, 0), state=state)
    assert held.code == "foreign_fee_held"


def test_a_bound_that_follows_the_price_does_not_spend_the_day() -> None:
    """Once a fee was set under the policy, it is followed by what is worth gossip and no less."""
    asked = terms(fee_multiplier_max=0.4, updated_at_s=NOW - DAY_S)
    assert once(asked, Fee(98, 0), market=asking(400.0)).code == "small_change"
    assert once(asked, Fee(105, 0), market=asking(400.0)).code == "policy_bound"
    newer = asked._replace(since_s=NOW)
    assert once(newer, Fee(98, 0), market=asking(400.0)).code == "policy_bound"


def test_a_multiple_below_the_configured_minimum_is_no_emergency_once_it_is_met() -> None:
    asked = terms(fee_multiplier_max=0.4, updated_at_s=NOW - DAY_S)
    p = FeeParameters(min_fee_ppm=150)
    assert once(asked, Fee(96, 0), market=asking(400.0), p=p).code == "unchanged"
    assert once(asked, Fee(95, 0), market=asking(400.0), p=p).code == "small_change"


def test_congestion_and_a_spike_stay_below_the_peers_ceiling() -> None:
    asked = terms(max_fee_ppm=250)
    congested = once(asked, market=asking(40.0), state={"congestion": CONGESTED})
    assert congested.target == Fee(250, 0)
    spiked = once(asked, market=asking(40.0), spike=spike(1.0), local_msat=9_900_000_000)
    assert spiked.wanted.ppm == math.ceil(math.exp(asking(40.0).priced.neutral)) == 243
    assert once(terms(max_fee_ppm=230), market=asking(40.0), spike=spike(1.0)).wanted.ppm == 230


def test_the_step_limit_of_a_young_channel_stays_within_the_bounds() -> None:
    young = once(terms(min_fee_ppm=1000), market=asking(400.0), state={"observed_s": 0.0})
    assert young.target == Fee(1000, 0)


def test_a_bounded_fee_that_was_written_needs_no_second_write() -> None:
    asked = terms(fee_multiplier_max=0.4)
    seen = facts(terms=asked, market=asking(400.0))
    decision, after = decide(seen, known(), DEFAULTS, NOW)
    again, _ = decide(seen._replace(fee=decision.target), written(after, NOW), DEFAULTS, NOW)
    assert (decision.action, again.action) == ("set", "none")


# -- leaving ------------------------------------------------------------------------------------


def test_the_fee_that_an_operator_gets_back_waits_for_no_pause_and_no_peer() -> None:
    back = Pin(137, 1000, AS_FOUND, NOW)
    changes: dict[str, Any] = {"conditions": Conditions(True, True, False)}
    away: dict[str, Any]
    for away in ({"connected": False}, {"reestablished": False}):
        decision = once(terms("static", fee_ppm=9), ORDINARY_FEE, pin=back, **changes, **away)
        assert (decision.action, decision.target) == ("set", Fee(137, 1000))
    assert once(None, pin=back._replace(origin="by hand"), **changes).code == "paused"
    for still in (Conditions(True, True, True), Conditions(False, True, False)):
        assert once(None, pin=back, conditions=still).action == "none"


def test_a_context_knows_its_limits() -> None:
    made = Context(facts(), known(), DEFAULTS, NO_ORDERS, 200, 200)
    assert made.limits() == (10, 5000)
    assert to_record(once(terms(max_fee_ppm=150)))["inputs"]["facts"]["terms"]["max_ppm"] == 150
