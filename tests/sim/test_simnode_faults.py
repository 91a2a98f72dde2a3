"""Injected faults: what the plugin sees of them, and that a test's own look is spared."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cl_revenue_ops.simnode.faults import NOTIFICATION_KINDS, RPC_KINDS, Fault, Faults
from cl_revenue_ops.simnode.identity import digest
from cl_revenue_ops.simnode.node import SimulatedNode

START_S = 1_700_000_000.0
PLUGIN = [sys.executable, str(Path(__file__).with_name("recording_plugin.py"))]


@pytest.fixture
def node() -> Iterator[SimulatedNode]:
    with SimulatedNode(PLUGIN, start_s=START_S, seed=2) as node:
        yield node


def from_plugin(node: SimulatedNode, method: str) -> dict[str, Any]:
    answer: dict[str, Any] = node.call("revenue-node-call", {"method": method})
    return answer


def heights(node: SimulatedNode) -> list[int]:
    told = node.call("revenue-heard", {"topic": "block_added"})["heard"]
    return [params["block_added"]["height"] - 800_000 for _, params in told]


def test_an_error_meets_the_plugin_and_not_the_tester(node: SimulatedNode) -> None:
    node.fault("error", "getinfo", code=-1, message="out of order")
    assert "out of order" in from_plugin(node, "getinfo")["text"]
    assert node.call("getinfo")["id"] == node.world.id
    assert "result" in from_plugin(node, "listfunds")
    node.faults.clear()
    assert "result" in from_plugin(node, "getinfo")


def test_a_count_ends_a_fault(node: SimulatedNode) -> None:
    rule = node.fault("error", "get*", count=2)
    answers = ["failed" in from_plugin(node, "getinfo") for _ in range(3)]
    assert answers == [True, True, False]
    assert rule is not None
    assert rule.hits == 2


def test_a_timeout_closes_the_connection_unanswered(node: SimulatedNode) -> None:
    node.fault("timeout", "getinfo", count=1)
    assert "failed" in from_plugin(node, "getinfo")
    assert node.calls["getinfo"] == 1


def test_a_truncated_answer_is_no_json(node: SimulatedNode) -> None:
    node.fault("truncated", "getinfo", count=1)
    with_fault = from_plugin(node, "getinfo")
    assert "result" not in with_fault


@pytest.mark.parametrize("kind", ["wrong_type", "missing_keys", "nulls"])
def test_a_malformed_answer_differs_and_is_still_json(node: SimulatedNode, kind: str) -> None:
    sound = node.call("getinfo")
    node.fault(kind, "getinfo")
    spoiled = from_plugin(node, "getinfo")["result"]
    assert spoiled != sound
    assert node.call("getinfo") == sound


def test_lost_and_doubled_notifications(node: SimulatedNode) -> None:
    node.fault("lost", "block_added", count=1)
    node.mine(2)
    node.fault("doubled", "block_added", count=1)
    node.mine(2)
    assert heights(node) == [2, 3, 3, 4]


def test_reordered_notifications_change_places(node: SimulatedNode) -> None:
    node.fault("reordered", "block_added", count=1)
    node.mine(3)
    assert heights(node) == [2, 1, 3]


def test_late_notifications_come_when_they_are_due(node: SimulatedNode) -> None:
    node.fault("late", "block_added", count=1, seconds=100)
    node.mine(2)
    assert heights(node) == [2]
    node.advance(START_S + 99)
    assert heights(node) == [2]
    node.advance(START_S + 100)
    assert heights(node) == [2, 1]


def test_malformed_notifications_keep_their_topic(node: SimulatedNode) -> None:
    node.fault("malformed", "block_added", count=1)
    node.mine(2)
    told = node.call("revenue-heard", {"topic": "block_added"})["heard"]
    sound = [
        {"block_added": {"hash": digest(2, "block", height), "height": height}}
        for height in (800_001, 800_002)
    ]
    assert told[0][1] != sound[0]
    assert told[1][1] == sound[1]


def test_the_same_seed_strikes_at_the_same_places() -> None:
    def strikes(seed: int) -> list[str]:
        faults = Faults(seed, lambda: START_S)
        faults.swarm(chance=0.3)
        out = []
        for number in range(60):
            rule = faults.on_rpc(("getinfo", "setchannel", "listfunds")[number % 3])
            news = faults.notifications("connect", {"connect": {"id": number}})
            out.append(json.dumps([rule and rule.kind, [n.params for n in news]], default=dict))
        return out

    assert strikes(1) == strikes(1)
    assert strikes(1) != strikes(2)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown fault"):
        Fault("gremlins")
    assert not set(RPC_KINDS) & set(NOTIFICATION_KINDS)


def test_no_rule_no_fault() -> None:
    faults = Faults(1, lambda: START_S)
    assert faults.on_rpc("getinfo") is None
    assert [n.params for n in faults.notifications("x", {"a": 1})] == [{"a": 1}]
