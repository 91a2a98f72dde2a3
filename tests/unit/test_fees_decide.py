"""Decisions as stories: what is done with a fee over the cycles, and what nothing is done for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.domain.fees.decide import decide, observe_slots, written
from cl_revenue_ops.domain.fees.facts import (
    ChannelFacts,
    Conditions,
    CongestionState,
    Fee,
    FeeParameters,
    Pin,
    PriorPrice,
    channel_facts,
)
from cl_revenue_ops.domain.policy.terms import Terms
from messages.channels import ChannelFact
from tests.unit.fees_support import (
    DAY_S,
    DEFAULTS,
    HALF_HOUR_S,
    HOUR_S,
    NOW,
    WELL,
    Node,
    all_facts,
    all_parameters,
    all_states,
    known,
)

DEAR = PriorPrice(600.0, 1.0, 7)
PASSIVE = Terms("passive", NOW)


def test_first_contact_keeps_the_fee_found_on_the_node() -> None:
    node = Node(Fee(137, 1000), prior=DEAR)
    first = node.cycle()
    assert (first.action, first.code, first.whose) == ("none", "first_contact", "first_contact")
    assert first.target == Fee(137, 1000)
    assert first.wanted.ppm == 205
    assert "137 ppm" in first.sentence
    assert node.state.found == Fee(137, 1000)


def test_then_it_moves_in_small_steps_for_three_days_and_freely_after() -> None:
    node = Node(Fee(100, 1000), prior=PriorPrice(4000.0, 1.0, 7))
    node.cycle()
    seen = []
    while node.state.observed_s < 3 * DAY_S - HALF_HOUR_S:
        before = node.fee.ppm
        node.cycle()
        assert node.fee.ppm <= 1.5 * before
        seen.append(node.fee.ppm)
    assert seen[0] == 150
    assert node.fee.base_msat == 0
    assert node.updates <= 3 * DEFAULTS.fee_updates_per_day
    node.cycle()
    node.cycle()
    assert node.cycle(prior=PriorPrice(500.0, 1.0, 7)).target == Fee(500, 0)


def test_without_quotes_or_scarcity_a_proven_fee_is_never_touched() -> None:
    node = Node(Fee(137, 1000))
    codes = {node.cycle().code for _ in range(500)}
    assert codes == {"first_contact", "base_waits"}
    assert node.fee == Fee(137, 1000)


def test_the_first_managed_write_sets_the_base_fee() -> None:
    node = Node(Fee(200, 1000), known(Fee(200, 1000)), prior=DEAR)
    assert node.cycle().target == Fee(600, DEFAULTS.base_fee_msat)


def test_a04_an_idle_channel_is_never_frozen() -> None:
    node = Node(Fee(200, 0), known())
    for _ in range(200):
        node.cycle()
    assert node.cycle(prior=DEAR).target == Fee(600, 0)


def test_b09_a_change_that_is_held_back_is_not_forgotten_it_adds_up() -> None:
    node = Node(Fee(200, 0), known())
    for ppm in (203.0, 206.0, 209.0):
        held = node.cycle(prior=PriorPrice(ppm, 1.0, 3))
        assert (held.action, held.code) == ("none", "small_change")
        assert held.target == Fee(200, 0)
    assert node.cycle(prior=PriorPrice(210.0, 1.0, 3)).target == Fee(210, 0)


def test_b07_a_steady_market_causes_no_gossip() -> None:
    node = Node(Fee(600, 0), known(Fee(600, 0)))
    for hour in range(72):
        node.cycle(prior=PriorPrice(600.0 + (hour % 5) * 6 - 12, 1.0, 7))
    assert node.updates == 0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"conditions": Conditions(False, False, False)}, "node_not_in_sync"),
        ({"conditions": Conditions(True, True, False)}, "paused"),
        ({"conditions": Conditions(True, False, True)}, "safe_mode"),
        ({"connected": False, "reestablished": False}, "peer_disconnected"),
        ({"reestablished": False}, "not_reestablished"),
        ({"state": "CHANNELD_AWAITING_LOCKIN"}, "state_not_settable"),
        ({"terms": PASSIVE}, "passive"),
        ({"lost_state": True}, "lost_state"),
        ({"fee": None}, "fee_unknown"),
    ],
)
def test_it_did_nothing_because(changes: dict[str, Any], code: str) -> None:
    node = Node(Fee(200, 0), known(), prior=DEAR)
    decision = node.cycle(**changes)
    assert (decision.action, decision.code) == ("none", code)
    assert decision.sentence.startswith("Did nothing because ")
    assert decision.wanted.ppm == 600
    assert node.cycle().target == Fee(600, 0)


def test_all_that_forbids_a_write_is_recorded() -> None:
    decision = Node(Fee(200, 0), known()).cycle(
        connected=False, conditions=Conditions(False, True, False)
    )
    assert [b.code for b in decision.blockers] == [
        "paused", "node_not_in_sync", "peer_disconnected",
    ]  # fmt: skip
    assert "paused and the node is not in sync and the peer" in decision.sentence


def test_during_a_splice_the_fee_is_managed() -> None:
    node = Node(Fee(200, 0), known(), prior=DEAR)
    assert node.cycle(state="CHANNELD_AWAITING_SPLICE").action == "set"


def test_congestion_enters_and_leaves_through_hysteresis_and_small_steps() -> None:
    node = Node(Fee(200, 0), known(observed_s=0.0))
    assert node.cycle(htlcs_out=400).action == "none"
    assert node.cycle(htlcs_out=400).code == "congestion_enter"
    assert node.fee == Fee(5000, 0)
    assert node.cycle(htlcs_out=350).code == "unchanged"
    left = node.cycle(htlcs_out=10)
    assert (left.code, left.target) == ("congestion_leave", Fee(200, 0))
    assert node.cycle().code == "unchanged"
    assert node.state.forced_by is None


def test_a_write_that_failed_when_congestion_ended_is_made_up_for() -> None:
    node = Node(Fee(200, 0), known(observed_s=0.0))
    node.cycle(htlcs_out=400)
    node.cycle(htlcs_out=400)
    assert node.cycle(htlcs_out=0, fails=True).target == Fee(200, 0)
    again = node.cycle()
    assert (again.code, again.target, again.whose) == ("congestion_leave", Fee(200, 0), "ours")


def test_congestion_is_no_excuse_for_gossip_once_it_is_over() -> None:
    """Where the highest fee is also the price, the next small change waits like any other."""
    node = Node(Fee(4900, 0), known(Fee(4900, 0)), prior=PriorPrice(5000.0, 1.0, 3))
    node.cycle(htlcs_out=400)
    node.cycle(htlcs_out=400)
    assert node.fee == Fee(5000, 0)
    assert node.cycle().code == "unchanged"
    assert node.cycle(prior=PriorPrice(4900.0, 1.0, 3)).code == "small_change"


def test_slots_are_sampled_between_cycles_too() -> None:
    node = Node(Fee(200, 0), known())
    node.state = observe_slots(node.state, 400, 483, NOW + 60, DEFAULTS)
    node.state = observe_slots(node.state, 400, 483, NOW + 120, DEFAULTS)
    assert node.cycle(htlcs_out=390).code == "congestion_enter"


def test_a_fee_outside_the_bounds_is_brought_in_at_once() -> None:
    node = Node(Fee(9, 0), known(Fee(9, 0)))
    decision = node.cycle()
    assert (decision.code, decision.target) == ("bounds", Fee(10, 0))


def test_a_foreign_fee_is_reported_once_and_left_alone_for_a_day() -> None:
    node = Node(Fee(200, 0), known(), prior=DEAR)
    node.cycle()
    node.fee = Fee(999, 5000)
    first = node.cycle()
    assert (first.action, first.code, first.whose) == ("none", "foreign_fee_held", "foreign")
    assert first.newly_foreign
    assert first.target == Fee(999, 5000)
    assert "999 ppm" in first.sentence
    assert "24.0 more hours" in first.sentence
    for _ in range(47):
        held = node.cycle()
        assert held.code == "foreign_fee_held"
        assert not held.newly_foreign
    back = node.cycle()
    assert (back.action, back.target) == ("set", Fee(600, 0))
    assert node.cycle().whose == "ours"


def test_a_foreign_base_fee_is_taken_back_after_the_day_although_ppm_is_the_same() -> None:
    node = Node(Fee(200, 5000), known())
    assert node.cycle().code == "foreign_fee_held"
    back = node.cycle(after_s=DAY_S)
    assert (back.code, back.target) == ("base_restored", Fee(200, 0))


def test_a_foreign_fee_near_ours_is_adopted_after_the_day() -> None:
    node = Node(Fee(205, 0), known())
    assert node.cycle().code == "foreign_fee_held"
    adopted = node.cycle(after_s=DAY_S)
    assert (adopted.code, node.state.foreign) == ("small_change", None)
    assert node.cycle().whose == "ours"
    node.fee = Fee(200, 0)
    assert node.cycle().whose == "foreign"


def test_while_writes_are_forbidden_a_foreign_fees_day_runs_on() -> None:
    node = Node(Fee(999, 0), known(), prior=DEAR)
    assert node.cycle(connected=False).newly_foreign
    later = node.cycle(after_s=DAY_S)
    assert later.target == Fee(600, 0)


def test_after_a_crash_between_storing_and_writing_the_fee_is_still_ours() -> None:
    node = Node(Fee(200, 0), known(), prior=DEAR)
    assert node.cycle(fails=True).action == "set"
    again = node.cycle()
    assert (again.whose, again.action, again.target) == ("ours", "set", Fee(600, 0))


def test_after_a_crash_between_writing_and_storing_the_outcome_the_fee_is_ours() -> None:
    node = Node(Fee(200, 0), known(), prior=DEAR)
    node.cycle(fails=True)
    node.fee = Fee(600, 0)
    again = node.cycle()
    assert (again.whose, again.code) == ("ours", "unchanged")


def test_a_pin_is_set_at_once_exactly_and_once() -> None:
    node = Node(Fee(200, 1000), known(Fee(200, 1000)), prior=DEAR)
    pin = Pin(0, 0, "hive", NOW)
    decision = node.cycle(pin=pin)
    assert (decision.code, decision.target) == ("pin", Fee(0, 0))
    again = node.cycle(pin=pin)
    assert (again.whose, again.code) == ("operator_pin", "unchanged")
    assert node.updates == 1


def test_a_pin_at_first_contact_does_not_wait() -> None:
    assert Node(Fee(137, 0)).cycle(pin=Pin(50, None, "static", NOW)).target == Fee(50, 0)


def test_an_order_holds_against_another_writer_and_says_so() -> None:
    node = Node(Fee(50, 0), known(Fee(50, 0)))
    pin = Pin(50, None, "static", NOW)
    node.cycle(pin=pin)
    node.fee = Fee(999, 0)
    restored = node.cycle(pin=pin)
    assert (restored.code, restored.target, restored.newly_foreign) == (
        "pin_restored",
        Fee(50, 0),
        True,
    )
    assert "999 ppm" in restored.sentence
    assert node.cycle(pin=pin).code == "unchanged"


def test_when_a_pin_ends_a_young_channel_steps_from_the_fee_before_it() -> None:
    node = Node(Fee(200, 0), known(observed_s=0.0), prior=DEAR)
    node.cycle(pin=Pin(0, 0, "hive", NOW))
    assert node.cycle(pin=Pin(0, 0, "hive", NOW)).code == "unchanged"
    assert node.cycle().target == Fee(300, 0)


def test_only_usable_time_counts_as_observed_and_gaps_count_little() -> None:
    node = Node(Fee(200, 0))
    node.cycle()
    node.cycle()
    assert node.state.observed_s == HALF_HOUR_S
    node.cycle(connected=False)
    assert node.state.observed_s == HALF_HOUR_S
    node.cycle(after_s=30 * DAY_S)
    assert node.state.observed_s == HALF_HOUR_S + DEFAULTS.longest_gap_s


def test_updates_are_counted_where_they_were_written() -> None:
    node = Node(Fee(200, 0), known(), prior=DEAR)
    node.cycle(fails=True)
    assert node.state.updates_s == ()
    node.cycle()
    assert len(node.state.updates_s) == 1
    node.cycle(after_s=DAY_S + HOUR_S)
    assert node.state.updates_s == ()


def test_facts_come_from_what_the_node_reports() -> None:
    fact = ChannelFact(
        "ab" * 32, "02" + "cd" * 32, "CHANNELD_NORMAL", True, True,
        scid="103x1x0", opener="remote", capacity_msat=10, local_msat=4, our_reserve_msat=1,
        htlcs_out=2, slots_out=30, fee_base_msat=7, fee_ppm=8,
    )  # fmt: skip
    made = channel_facts(
        fact, settled_out=3, sampled_at_s=NOW, prior=DEAR, pin=None, conditions=WELL
    )
    assert made.fee == Fee(8, 7)
    assert (made.scid, made.opener, made.htlcs_out, made.slots_out) == ("103x1x0", "remote", 2, 30)
    silent = replace(fact, fee_ppm=None, scid=None, alias_scid="1x2x3")
    made = channel_facts(
        silent,
        settled_out=3,
        sampled_at_s=NOW,
        prior=None,
        pin=None,
        conditions=WELL,
        terms=PASSIVE,
    )
    assert (made.fee, made.scid, made.terms) == (None, "1x2x3", PASSIVE)


@settings(max_examples=400)
@given(data=st.data(), seen=all_facts, p=all_parameters)
def test_laws_of_every_decision(data: st.DataObject, seen: ChannelFacts, p: FeeParameters) -> None:
    state = data.draw(all_states(seen.fee))
    decision, after = decide(seen, state, p, NOW)
    assert decision.sentence.endswith(".")
    if decision.action == "none":
        assert decision.target == seen.fee
        # Another writer's fee that is the one wanted anyway is ours from here on.
        adopted = decision.code == "unchanged"
        assert not decision.newly_foreign or adopted or after.foreign == seen.fee
        return
    target = decision.target
    assert target is not None
    assert seen.fee is not None
    assert decision.blockers == ()
    assert target != seen.fee
    assert after.target == target
    pinned = target == decision.wanted and decision.code in ("pin", "pin_restored")
    bounded = seen.terms is not None and seen.terms.bounded
    assert pinned or bounded or p.min_fee_ppm <= target.ppm <= p.max_fee_ppm
    exempt = {
        "pin",
        "pin_restored",
        "congestion_enter",
        "congestion_leave",
        "bounds",
        "policy_bound",
        "base_restored",
        "rewritten",
    }
    if decision.code not in exempt:
        assert decision.code == "worth_gossip"
        assert abs(target.ppm - seen.fee.ppm) * 20 >= seen.fee.ppm
        assert sum(NOW - DAY_S < at_s <= NOW for at_s in state.updates_s) < p.fee_updates_per_day


@settings(max_examples=200)
@given(data=st.data(), seen=all_facts, p=all_parameters)
def test_a_fee_that_was_written_needs_no_second_write(
    data: st.DataObject, seen: ChannelFacts, p: FeeParameters
) -> None:
    """The same facts with the decided fee in force lead to nothing more, emergencies included."""
    state = data.draw(all_states(seen.fee))
    grown = state._replace(observed_s=10 * DAY_S, congestion=CongestionState(False, 0, NOW))
    decision, after = decide(seen, grown, p, NOW)
    if decision.action == "set":
        again, _ = decide(seen._replace(fee=decision.target), written(after, NOW), p, NOW)
        assert (again.action, again.whose == "foreign") == ("none", False)
