"""Faults that an earlier program of this purpose had with policies, each by its name: not here."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.sim.house_policies import agree, ask, complaint, hearing, policy_house
from tests.sim.house_support import HouseNode
from tests.unit.policy_support import peer

A, B = peer(1), peer(2)


@pytest.fixture
def node() -> Iterator[HouseNode]:
    with policy_house(1) as node:
        yield node


def test_a15_suggestions_are_an_action(node: HouseNode) -> None:
    node.wait_s(60.0)
    answer = ask(node, "suggest")
    assert answer["status"] == "success"
    assert answer["suggestions"] == []


def test_a15_the_sweep_of_ended_policies_runs(node: HouseNode) -> None:
    ask(node, "set", A, "hive", "expires_in_hours=1")
    node.wait_s(3_600.0)
    assert node.query("SELECT what FROM policy_change ORDER BY seq") == [("set",), ("expired",)]


def test_a15_changes_are_called_out(node: HouseNode) -> None:
    with hearing(node) as heard:
        ask(node, "set", A, "passive")
    assert len(heard) == 1


def test_a15_set_takes_bounds_and_an_end(node: HouseNode) -> None:
    policy = ask(
        node, "set", A, "fee_multiplier_min=0.5", "fee_multiplier_max=2", "expires_in_hours=2"
    )["policy"]
    assert (policy["fee_multiplier_min"], policy["fee_multiplier_max"]) == (0.5, 2.0)
    assert policy["expires_at"] == int(node.now_s) + 7_200


def test_static_without_a_fee_is_not_taken_for_dynamic(node: HouseNode) -> None:
    assert "fee_ppm" in complaint(node, "set", A, "static")
    assert agree(node) == {}


def test_inverted_bounds_are_not_swapped_silently(node: HouseNode) -> None:
    complaint(node, "set", A, "fee_multiplier_min=3", "fee_multiplier_max=1")
    assert agree(node) == {}


def test_a_batch_checks_the_range_of_multipliers(node: HouseNode) -> None:
    for bound in (0.0, 0.05, 5.5, -1):
        complaint(node, action="batch", updates=[{"peer_id": A, "fee_multiplier_max": bound}])
    assert agree(node) == {}


def test_a_batch_does_not_bypass_the_rate(node: HouseNode) -> None:
    answers = [ask(node, "batch", [{"peer_id": A, "fee_ppm": n}]) for n in range(11)]
    assert [answer["status"] for answer in answers] == ["success"] * 10 + ["error"]


def test_what_is_refused_as_bad_does_not_count_for_the_rate(node: HouseNode) -> None:
    for _ in range(15):
        complaint(node, "set", A, "fast")
    assert ask(node, "set", A, "hive")["status"] == "success"


def test_a_delete_counts_for_the_rate(node: HouseNode) -> None:
    for _ in range(5):
        ask(node, "set", A, "hive")
        ask(node, "delete", A)
    assert ask(node, "set", A, "hive")["status"] == "error"


def test_tag_and_find_work_by_position(node: HouseNode) -> None:
    assert ask(node, "tag", A, "vip")["tags"] == ["vip"]
    assert ask(node, "find", "vip")["count"] == 1


def test_named_texts_work_in_places_of_a_list(node: HouseNode) -> None:
    policy = ask(node, "set", A, "strategy=static", "fee_ppm=100")["policy"]
    assert (policy["strategy"], policy["fee_ppm_target"]) == ("static", 100)


def test_an_unknown_word_is_not_ignored(node: HouseNode) -> None:
    assert "expires" in complaint(node, "set", A, action="set", peer_id=A, expires=5)


def test_deletions_and_ends_leave_a_trace(node: HouseNode) -> None:
    ask(node, "set", A, "hive")
    ask(node, "set", B, "hive", "expires_in_hours=1")
    ask(node, "delete", A)
    node.wait_s(3_600.0)
    rows = ask(node, "changes")["changes"]
    assert [(row["peer_id"], row["change"]) for row in rows] == [(B, "expired"), (A, "deleted")]


def test_a_malformed_peer_is_refused_by_every_action(node: HouseNode) -> None:
    for action in ("set", "get", "delete"):
        complaint(node, action, "02ab")
    for action in ("tag", "untag"):
        complaint(node, action, "02ab", "x")


def test_tags_are_bounded(node: HouseNode) -> None:
    complaint(node, "set", A, tags=[f"t{n}" for n in range(1_000)])
    complaint(node, "tag", A, "x" * 10_000)
    assert agree(node) == {}


def test_a_bad_strategy_is_no_success_whatever_the_case(node: HouseNode) -> None:
    complaint(node, "set", A, "Fast")
    assert ask(node, "set", A, "HIVE")["policy"]["strategy"] == "hive"


def test_odd_types_are_refused_and_crash_nothing(node: HouseNode) -> None:
    for odd in ([], {}, [None], {"a": 1}, True):
        complaint(node, "set", A, fee_ppm=odd)
        complaint(node, "batch", json.dumps([{"peer_id": odd}]))
    actors = node.status()["actors"]
    assert actors["policy-engine"]["restarts"] == 0
