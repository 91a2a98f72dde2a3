"""revenue-wake-all: held draws go, all channels are decided at once, and nothing else changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from messages.control import Resume, Suspend
from tests.sim.house_support import HouseNode, house_node

HOUR_S = 3600.0


@pytest.fixture
def node() -> Iterator[HouseNode]:
    """A house in the midst of its draws: the last ones are an hour or so old."""
    with house_node(start=False) as node:
        for name in ("alice", "bob"):
            node.open(name, 10_000_000, 5_000_000)
        node.start()
        node.settle()
        node.wait_s(4 * 86_400.0 + 2.5 * HOUR_S)
        yield node


def draws(node: HouseNode) -> list[dict[str, Any]]:
    """The draw in each channel's last decision."""
    found = []
    for channel_id in sorted(node.world.channels):
        (row,) = node.call("revenue-fee-debug", [channel_id])["channels"]
        found.append(row["belief"]["draw"])
    return found


def decisions(node: HouseNode) -> int:
    return int(node.query("SELECT sum(repeats) FROM fee_decision")[0][0])


def writes(node: HouseNode) -> int:
    return node.calls.get("setchannel", 0)


def tell(node: HouseNode, message: Any) -> None:
    post = node.life.runtime.post
    post.tell("fee-controller", message)
    node.settle()


def test_held_draws_are_drawn_anew_and_all_channels_decided_at_once(node: HouseNode) -> None:
    before, decided = draws(node), decisions(node)
    assert all(0.0 < node.now_s - draw["since"] < 6 * HOUR_S for draw in before), "none is held"
    answer = node.call("revenue-wake-all")
    assert (answer["status"], answer["channels_woken"]) == ("ok", 2)
    assert set(answer) == {"status", "channels_woken", "message"}
    node.settle()
    after = draws(node)
    assert [draw["number"] for draw in after] == [draw["number"] + 1 for draw in before]
    assert [draw["since"] for draw in after] == [node.now_s] * 2
    assert {draw["redrawn_because"] for draw in after} == {
        "the last one was let go or its time was over"
    }
    assert decisions(node) == decided + 2


def test_without_it_draws_are_held(node: HouseNode) -> None:
    """So the test above is not vacuous: a cycle alone draws nothing."""
    before = draws(node)
    node.wait_s(1_800.0)
    assert [draw["number"] for draw in draws(node)] == [draw["number"] for draw in before]


def test_pins_and_the_regular_cycle_stay_as_they_are(node: HouseNode) -> None:
    scid = next(iter(node.world.channels.values())).scid
    node.call("revenue-set-fee", [scid, 777])
    node.call("revenue-wake-all")
    node.wait_s(60.0)
    assert next(iter(node.world.channels.values())).policy.ppm == 777
    decided = decisions(node)
    node.wait_s(1_800.0)
    assert decisions(node) == decided + 2


@pytest.mark.parametrize("key", ["paused", "dry_run"])
def test_with_the_gate_closed_it_decides_and_writes_nothing(node: HouseNode, key: str) -> None:
    node.call("revenue-config", ["set", key, True])
    before, decided, written = draws(node), decisions(node), writes(node)
    answer = node.call("revenue-wake-all")
    node.settle()
    assert answer["status"] == "ok"
    assert "nothing is written" in answer["message"]
    assert [draw["number"] for draw in draws(node)] == [draw["number"] + 1 for draw in before]
    assert decisions(node) == decided + 2
    assert writes(node) == written


def test_suspended_it_is_refused_and_the_draws_stay(node: HouseNode) -> None:
    tell(node, Suspend("the disk is full"))
    before, decided = draws(node), decisions(node)
    answer = node.call("revenue-wake-all")
    assert (answer["status"], answer["success"]) == ("error", False)
    assert "the disk is full" in answer["error"]
    assert (draws(node), decisions(node)) == (before, decided)
    tell(node, Resume())
    node.wait_s(1_800.0)
    assert [draw["number"] for draw in draws(node)] == [draw["number"] for draw in before]


def test_twice_running_is_as_good_as_once_and_more(node: HouseNode) -> None:
    before = draws(node)
    for _ in range(3):
        assert node.call("revenue-wake-all")["status"] == "ok"
        node.settle()
    assert [draw["number"] for draw in draws(node)] == [draw["number"] + 3 for draw in before]


def test_before_the_first_decision_there_is_nothing_to_wake() -> None:
    with house_node(start=False) as node:
        node.open("alice", 1_000_000, 500_000)
        node.start()
        node.settle()
        assert node.call("revenue-wake-all")["channels_woken"] == 0
        node.settle()
        assert len(node.call("revenue-fee-debug")["channels"]) == 1


def test_without_a_channel_the_explanation_stays_short(node: HouseNode) -> None:
    rows = node.call("revenue-fee-debug")["channels"]
    assert [name for row in rows for name in ("record", "belief") if name in row] == []
    assert max(len(json.dumps(row)) for row in rows) < 1_500


def test_the_next_decision_is_told(node: HouseNode) -> None:
    """It comes when it was said to come."""
    (row, _) = node.call("revenue-fee-debug")["channels"]
    decided, at_s = decisions(node), row["next"]["at"]
    assert node.now_s < at_s <= node.now_s + 1_800.0
    node.advance(at_s - 2.0)
    assert decisions(node) == decided
    node.advance(at_s + 2.0)
    assert decisions(node) == decided + 2


def test_what_stands_in_the_way_is_told_while_it_does(node: HouseNode) -> None:
    channel_id = next(iter(node.world.channels))

    def in_the_way() -> str:
        (row,) = node.call("revenue-fee-debug", [channel_id])["channels"]
        return "; ".join(row["next"]["in_the_way"])

    assert "the draw in force is held for" in in_the_way()
    node.call("revenue-config", ["set", "paused", True])
    assert "nothing is written: paused" in in_the_way()
    node.call("revenue-config", ["set", "paused", False])
    assert "paused" not in in_the_way()
    node.call("revenue-set-fee", [channel_id, 777])
    assert "pinned at 777 ppm" in in_the_way()
    node.call("revenue-set-fee", [channel_id, "auto"])
    node.call("setchannel", {"id": channel_id, "feeppm": 1_234})
    node.wait_s(1_800.0)
    assert "another writer's 1234 ppm is left alone for 2" in in_the_way()
