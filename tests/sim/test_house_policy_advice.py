"""Suggestions of the whole house: a week of watching, the numbers, the command, nothing unasked."""

from __future__ import annotations

from typing import Any

from tests.sim.house_policies import agree, ask
from tests.sim.house_support import HouseNode
from tests.sim.house_traffic import Traffic, traffic

DAY_S = 86_400.0
HOUR_S = 3_600.0


def live(it: Traffic, hours: int) -> None:
    """Some hours in which forwards leave to bob, and none to anybody else."""
    for _ in range(hours):
        for _ in range(2):
            it.pay("settled")
            it.node.wait_s(HOUR_S / 2)


def drain(it: Traffic, hours: int) -> None:
    """Hours in which bob's channel gives a hundredth of its capacity each, and is filled by us."""
    two = it.node.world.channels[it.two]
    one = it.node.world.channels[it.one]
    for _ in range(hours):
        it.node.pay(it.one, it.two, 100_000_000)
        it.node.wait_s(HOUR_S)
        two.to_us_msat += 100_000_000
        one.to_us_msat -= 100_000_000


def by_kind(node: HouseNode) -> dict[str, dict[str, Any]]:
    answer = ask(node, "suggest")
    assert answer["count"] == len(answer["suggestions"])
    return {row["kind"]: row for row in answer["suggestions"]}


def test_an_idle_channel_is_found_after_a_week_of_watching_and_not_before() -> None:
    with traffic() as it:
        node = it.node
        carol = node.open("carol", 5_000_000, 4_000_000)
        node.settle()
        node.pay(it.one, carol, 1_000_000)
        node.wait_s(2 * HOUR_S)
        live(it, 24 * 4)
        node.restart()
        live(it, 24 * 3 - 3)
        assert by_kind(node) == {}
        live(it, 12)
        before = node.dump()
        found = by_kind(node)
        assert node.dump() == before, "asking changes nothing"
        zombie = found["zombie"]
        peer_id = node.world.channels[carol].peer_id
        assert zombie["peer_id"] == peer_id
        assert (zombie["severity"], zombie["action"]) == ("high", "consider_close")
        assert zombie["suggested_rebalance_mode"] == "disabled"
        assert zombie["suggested_strategy"] == zombie["current_strategy"] == "dynamic"
        evidence = zombie["evidence"]
        assert 7.0 <= evidence["usable_days_without_a_forward"] < 8.0
        assert (evidence["local_sats"], evidence["earned_in_window_sats"]) == (3_999_000, 0)
        assert evidence["rebalance_cost_known"] is True
        words = zombie["command"].split()
        assert node.call(words[0], words[1:])["status"] == "success"
        assert agree(node)[peer_id].rebalance == "disabled"
        assert "zombie" not in by_kind(node)


def test_the_answer_says_what_it_rests_on() -> None:
    with traffic() as it:
        it.pay("settled")
        it.node.wait_s(120.0)
        answer = ask(it.node, "suggest")
        evidence = answer["evidence"]
        assert (evidence["window_days"], evidence["peers"]) == (7, 2)
        assert evidence["peers_watched_long_enough"] == 0
        assert evidence["forwards_in_window"] == 1
        assert evidence["window_from"] == (it.node.now_s // DAY_S - 7) * DAY_S
        assert evidence["rebalance_cost_in_window_sats"] == 0
        assert answer["suggestions"] == []


def test_before_the_first_analysis_it_is_refused_and_later_answered() -> None:
    with traffic() as it:
        refused = ask(it.node, "suggest")
        assert (refused["status"], refused["success"]) == ("error", False)
        it.node.wait_s(60.0)
        assert ask(it.node, "suggest")["status"] == "success"


def test_a_long_log_is_read_in_pages() -> None:
    with traffic(history=3_500) as it:
        it.node.wait_s(60.0)
        assert ask(it.node, "suggest")["evidence"]["forwards_in_window"] == 2_800
        it.node.wait_s(8 * DAY_S)
        assert ask(it.node, "suggest")["evidence"]["forwards_in_window"] == 0
        it.pay("settled")
        it.node.wait_s(60.0)
        assert ask(it.node, "suggest")["evidence"]["forwards_in_window"] == 1


def test_a_channel_that_drains_fast_is_to_be_protected() -> None:
    with traffic() as it:
        drain(it, 24 * 8)
        source = by_kind(it.node)["source"]
        assert source["peer_id"] == it.node.world.channels[it.two].peer_id
        assert source["suggested_rebalance_mode"] == "sink_only"
        assert source["evidence"]["share_of_capacity_per_day"] > 1 / 7
        assert source["command"].endswith("rebalance=sink_only")
