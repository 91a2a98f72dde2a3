"""Policies that end: from their second on, also in the downtime, and when clocks are set."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sim.house_policies import agree, ask, hearing, policy_house, stored, told
from tests.sim.house_support import HouseNode
from tests.unit.policy_support import peer

A, B = peer(1), peer(2)
HOUR_S = 3_600.0


@pytest.fixture
def node() -> Iterator[HouseNode]:
    with policy_house() as node:
        yield node


def ended_lines(node: HouseNode) -> list[str]:
    return [text for _, text in node.life.logs if "has ended" in text]


def changes(node: HouseNode) -> list[tuple[str, str, bool]]:
    return [
        (row["peer_id"], row["change"], row["deleted"]) for row in ask(node, "changes")["changes"]
    ]


def test_a_policy_vanishes_by_itself_and_says_so(node: HouseNode) -> None:
    ask(node, "set", A, "static", "fee_ppm=5", "expires_in_hours=1")
    ask(node, "set", B, "hive", "expires_in_hours=2")
    node.wait_s(HOUR_S - 1.0)
    assert agree(node).keys() == {A, B}
    with hearing(node) as heard:
        node.wait_s(1.0)
        assert told(node).policies[0].peer_id == B
        assert stored(node).keys() == {B}
    assert [(c.peer_id, c.what, c.after) for c in heard] == [(A, "expired", None)]
    assert heard[0].before is not None
    assert heard[0].before.fee_ppm == 5
    assert len(ended_lines(node)) == 1
    assert A in ended_lines(node)[0]
    assert ask(node, "get", A)["policy"]["updated_at"] == 0
    assert changes(node) == [(A, "expired", True), (B, "set", False)]
    node.wait_s(HOUR_S)
    assert agree(node) == {}
    assert len(ended_lines(node)) == 2


def test_a_policy_that_ended_in_the_downtime_is_gone_at_the_start(node: HouseNode) -> None:
    ask(node, "set", A, "static", "fee_ppm=5", "expires_in_hours=1")
    ask(node, "set", B, "hive", "expires_in_hours=9")
    node.kill()
    node._start_at(node.now_s + HOUR_S)
    node.settle()
    assert [policy.peer_id for policy in told(node).policies] == [B]
    assert stored(node).keys() == {B}
    assert changes(node)[0] == (A, "expired", True)
    assert len(ended_lines(node)) == 1


def test_an_end_counts_for_no_rate(node: HouseNode) -> None:
    for ppm in range(9):
        ask(node, "set", A, f"fee_ppm={ppm}")
    ask(node, "set", A, "expires_in_hours=1")
    node.wait_s(HOUR_S - 0.5)
    for ppm in range(8):
        assert ask(node, "set", A, f"fee_ppm={ppm}")["status"] == "success"
    node.wait_s(0.5)
    assert stored(node) == {}
    for ppm in range(2):
        assert ask(node, "set", A, f"fee_ppm={ppm}")["status"] == "success"
    assert ask(node, "set", A, "fee_ppm=7")["status"] == "error"


def test_an_end_holds_though_it_cannot_be_stored(node: HouseNode) -> None:
    ask(node, "set", A, "static", "fee_ppm=5", "expires_in_hours=1")
    with node.life.full_disk() as make_room:
        node.wait_s(HOUR_S)
        assert ask(node, "list")["count"] == 0
        assert ask(node, "get", A)["policy"]["strategy"] == "dynamic"
        assert ask(node, "changes")["changes"][0]["is_expired"] is True
        assert stored(node).keys() == {A}
        make_room()
        node.wait_s(60.0)
        assert stored(node) == {}, "without being asked"
        assert agree(node) == {}
    assert changes(node)[0] == (A, "expired", True)


def test_an_end_moves_with_hours_and_goes_with_none(node: HouseNode) -> None:
    ask(node, "set", A, "hive", "expires_in_hours=1")
    node.wait_s(1_800.0)
    ask(node, "set", A, "expires_in_hours=1")
    node.wait_s(2_000.0)
    assert agree(node).keys() == {A}
    ask(node, "set", A, "expires_in_hours=0")
    node.wait_s(40 * HOUR_S)
    assert agree(node).keys() == {A}
    assert ended_lines(node) == []


def test_a_policy_that_is_set_anew_after_its_end_starts_from_the_defaults(node: HouseNode) -> None:
    ask(node, "set", A, "static", "fee_ppm=5", "tags=x", "expires_in_hours=1")
    node.wait_s(HOUR_S)
    policy = ask(node, "set", A, "rebalance=disabled")["policy"]
    assert (policy["strategy"], policy["fee_ppm_target"], policy["tags"]) == ("dynamic", None, [])
    assert policy["expires_at"] is None


def test_a_clock_set_back_brings_nothing_back_and_locks_nothing(node: HouseNode) -> None:
    ask(node, "set", A, "hive", "expires_in_hours=1")
    node.wait_s(HOUR_S)
    for ppm in range(10):
        ask(node, "set", B, f"fee_ppm={ppm}")
    cursor = ask(node, "changes")["last_change_timestamp"]
    node.kill()
    node._start_at(node.now_s - HOUR_S)
    node.settle()
    assert agree(node).keys() == {B}
    assert ask(node, "set", B, "fee_ppm=77")["status"] == "success"
    later = ask(node, "changes", f"since={cursor}")
    assert [row["peer_id"] for row in later["changes"]] == [B]
    assert later["last_change_timestamp"] > cursor
