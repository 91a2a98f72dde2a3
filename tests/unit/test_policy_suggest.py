"""Suggestions: each rule at its threshold, nothing on less than a week, and no contradiction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.policy import idle, suggest
from cl_revenue_ops.domain.policy.edits import apply, read_edit
from cl_revenue_ops.domain.policy.fields import Fault
from cl_revenue_ops.domain.policy.idle import IdleMark
from cl_revenue_ops.domain.policy.suggest import ChannelEvidence, PeerEvidence, Suggestion
from messages.flow import ChannelFlow
from messages.policies import REBALANCE_MODES, STRATEGIES, PeerPolicy
from tests.unit.policy_support import NOW_S, peer

DAY_S = 86_400.0
A, B = peer(1), peer(2)
BUSY = ChannelEvidence(
    channel_id="aa" * 32,
    capacity_msat=7_000_000_000,
    local_msat=3_000_000_000,
    known_s=8 * DAY_S,
    observed_s=8 * DAY_S,
    idle_s=0.0,
    settled_out=50,
    earned_msat=90_000_000,
    brought_msat=1_000_000,
    forwards_in_window=9,
    rate_in_msat_per_day=5e8,
    rate_out_msat_per_day=5e8,
    draining=False,
)
IDLE = BUSY._replace(idle_s=7 * DAY_S, settled_out=0, earned_msat=0, forwards_in_window=0)
DRAINING = BUSY._replace(rate_in_msat_per_day=1e8, rate_out_msat_per_day=1.1e9, draining=True)


def found(
    *channels: ChannelEvidence, cost_msat: int | None = None, policy: PeerPolicy | None = None
) -> Suggestion | None:
    policies = {} if policy is None else {A: policy}
    made = suggest.suggestions([PeerEvidence(A, channels, cost_msat)], policies)
    assert len(made) <= 1
    return made[0] if made else None


def kind(*channels: ChannelEvidence, **details: Any) -> str | None:
    made = found(*channels, **details)
    return None if made is None else made.kind


def test_a_channel_that_works_gets_no_suggestion() -> None:
    assert found(BUSY) is None
    assert found() is None


# -- zombies --------------------------------------------------------------------------------------


def test_a_zombie_is_idle_for_seven_usable_days() -> None:
    made = found(IDLE)
    assert made is not None
    assert (made.kind, made.severity, made.action) == ("zombie", "high", "consider_close")
    assert made.fields == (("rebalance", "disabled"),)
    assert made.evidence["usable_days_without_a_forward"] == 7.0
    assert made.evidence["local_sats"] == 3_000_000
    assert kind(IDLE._replace(idle_s=7 * DAY_S - 1)) is None
    assert kind(IDLE._replace(known_s=7 * DAY_S - 1)) is None


def test_a_peer_with_one_channel_that_works_is_no_zombie() -> None:
    assert kind(IDLE, IDLE) == "zombie"
    assert kind(IDLE, BUSY) is None


def test_a_channel_that_brings_forwards_in_is_no_zombie() -> None:
    assert kind(IDLE._replace(forwards_in_window=1)) is None


# -- bleeders -------------------------------------------------------------------------------------


def test_a_bleeder_costs_more_than_it_earns() -> None:
    made = found(BUSY, BUSY, cost_msat=180_000_001)
    assert made is not None
    assert (made.kind, made.severity, made.action) == ("bleeder", "medium", "disable_rebalance")
    assert made.evidence["rebalance_cost_sats"] == 180_000
    assert made.evidence["earned_in_window_sats"] == 180_000
    assert "180000" in made.reason
    assert kind(BUSY, BUSY, cost_msat=180_000_000) is None
    assert kind(BUSY._replace(known_s=6.9 * DAY_S), cost_msat=10**12) is None


def test_costs_of_a_part_of_the_window_are_the_least_they_can_be() -> None:
    peers = [PeerEvidence(A, (BUSY,), 90_001_000, costs_whole=False)]
    (made,) = suggest.suggestions(peers, {})
    assert made.kind == "bleeder"
    assert "cost at least 90001: it lost at least 1 sats" in made.reason
    assert made.evidence["rebalance_cost_known"] is False
    whole = found(BUSY, cost_msat=90_001_000)
    assert whole is not None
    assert "cost 90001: it lost 1 sats" in whole.reason


def test_costs_that_nobody_told_are_not_taken_for_nothing() -> None:
    unknown, none = found(IDLE), found(IDLE, cost_msat=0)
    assert unknown is not None and none is not None
    assert unknown.evidence["rebalance_cost_known"] is False
    assert none.evidence["rebalance_cost_known"] is True
    assert unknown.evidence["rebalance_cost_sats"] is None
    assert none.evidence["rebalance_cost_sats"] == 0
    assert kind(BUSY._replace(earned_msat=0)) is None


# -- channels that drain --------------------------------------------------------------------------


def test_a_channel_that_drains_fast_is_protected_from_our_own_draining() -> None:
    made = found(DRAINING)
    assert made is not None
    assert (made.kind, made.severity, made.action) == ("source", "low", "protect_source")
    assert made.fields == (("rebalance", "sink_only"),)
    assert made.evidence["share_of_capacity_per_day"] == 0.143
    assert made.evidence["flow_ratio"] == 0.83


@pytest.mark.parametrize(
    "change",
    [
        {"rate_out_msat_per_day": 1.09e9},
        {"rate_in_msat_per_day": 4e8, "rate_out_msat_per_day": 2e9},
        {"draining": False},
        {"observed_s": 6.9 * DAY_S},
        {"known_s": 6.9 * DAY_S},
    ],
)
def test_one_that_drains_slowly_or_both_ways_or_is_little_known_is_not(change: Any) -> None:
    assert kind(DRAINING._replace(**change)) is None


# -- all of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", REBALANCE_MODES)
def test_what_a_policy_forbids_already_is_not_suggested(mode: str) -> None:
    policy = PeerPolicy(A, rebalance=mode)
    may_drain = mode in ("enabled", "source_only")
    may_fill = mode in ("enabled", "sink_only")
    assert kind(IDLE, policy=policy) == (None if mode == "disabled" else "zombie")
    assert kind(BUSY, cost_msat=10**12, policy=policy) == ("bleeder" if may_fill else None)
    assert kind(DRAINING, policy=policy) == ("source" if may_drain else None)


def test_members_of_a_fleet_are_left_alone() -> None:
    assert kind(IDLE, policy=PeerPolicy(A, strategy="hive")) is None


def test_the_gravest_come_first() -> None:
    peers = [PeerEvidence(A, (DRAINING,)), PeerEvidence(B, (IDLE,)), PeerEvidence(peer(4), (IDLE,))]
    made = suggest.suggestions(peers, {})
    assert [(s.kind, s.peer_id) for s in made] == [
        ("zombie", B),
        ("zombie", peer(4)),
        ("source", A),
    ]


EVIDENCE = st.builds(
    BUSY._replace,
    known_s=st.floats(0.0, 30 * DAY_S),
    observed_s=st.floats(0.0, 30 * DAY_S),
    idle_s=st.floats(0.0, 30 * DAY_S),
    earned_msat=st.integers(0, 10**9),
    forwards_in_window=st.integers(0, 3),
    rate_in_msat_per_day=st.floats(0.0, 1e10),
    rate_out_msat_per_day=st.floats(0.0, 1e10),
    draining=st.booleans(),
)


@given(
    st.lists(EVIDENCE, min_size=1, max_size=3),
    st.one_of(st.none(), st.integers(0, 10**10)),
    st.sampled_from([s for s in STRATEGIES if s != "static"]),
    st.sampled_from(REBALANCE_MODES),
)
def test_the_command_of_a_suggestion_applies_it_and_ends_it(
    channels: list[ChannelEvidence], cost_msat: int | None, strategy: str, mode: str
) -> None:
    policy = PeerPolicy(A, strategy=strategy, rebalance=mode)
    made = found(*channels, cost_msat=cost_msat, policy=policy)
    if made is None:
        return
    assert min(channel.known_s for channel in channels) >= 7 * DAY_S
    row = suggest.shown(made, policy)
    words = str(row["command"]).split()
    assert words[:3] == ["revenue-policy", "set", A]
    edit = read_edit({"peer_id": A, **dict(word.split("=") for word in words[3:])})
    assert not isinstance(edit, Fault)
    then = apply(edit, policy, NOW_S)
    assert not isinstance(then, Fault)
    assert then.rebalance == row["suggested_rebalance_mode"] != mode
    assert then.strategy == row["suggested_strategy"] == strategy
    again = found(*channels, cost_msat=cost_msat, policy=then)
    assert again is None or again.kind != made.kind


# -- idle time ------------------------------------------------------------------------------------

FLOW = ChannelFlow("aa" * 32, "balanced", 0.5, 0.0, 0.0, 0.0, 0.0, 1.0, 0, 1_000.0, 0.0)


def at(flow: ChannelFlow, settled_out: int, observed_s: float) -> ChannelFlow:
    return replace(flow, settled_out=settled_out, observed_s=observed_s)


def test_idle_time_counts_from_the_last_forward_that_was_seen() -> None:
    marks: dict[str, IdleMark] = {}
    for settled_out, observed_s, idle_s in (
        (0, 1_000.0, 1_000.0),
        (0, 5_000.0, 5_000.0),
        (1, 6_000.0, 0.0),
        (1, 9_000.0, 3_000.0),
        (1, 9_000.0, 3_000.0),
        (2, 9_500.0, 0.0),
        (0, 100.0, 0.0),
        (0, 300.0, 200.0),
    ):
        flow = at(FLOW, settled_out, observed_s)
        marks = idle.marked(marks, [flow])
        assert idle.idle_s(marks[flow.channel_id], flow) == idle_s


def test_one_that_had_forwarded_before_it_was_watched_starts_from_nothing() -> None:
    flow = at(FLOW, 9, 50_000.0)
    marks = idle.marked({}, [flow])
    assert idle.idle_s(marks[flow.channel_id], flow) == 0.0
    assert idle.idle_s(None, flow) == 0.0
    assert idle.marked(marks, []) == {}
