"""The write gate of the whole house: while any reason stands, no setchannel reaches the node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from cl_revenue_ops.simnode.errors import SimRpcError
from tests.sim.house_support import HouseNode, house_node


class Reason(NamedTuple):
    """How a reason comes and goes, and under which name it is shown."""

    source: str
    come: Callable[[HouseNode], Any]
    go: Callable[[HouseNode], Any]


def setting(key: str, value: bool, way: str) -> Callable[[HouseNode], Any]:
    if way == "setconfig":
        option = "revenue-ops-" + key.replace("_", "-")
        return lambda node: node.call("setconfig", [option, value])
    return lambda node: node.call("revenue-config", ["set", key, value])


def lose_sync(node: HouseNode) -> None:
    node.world.synced = False


def regain_sync(node: HouseNode) -> None:
    node.world.synced = True


REASONS = {
    "pause": Reason("paused", setting("paused", True, "call"), setting("paused", False, "call")),
    "pause by setconfig": Reason(
        "paused", setting("paused", True, "setconfig"), setting("paused", False, "setconfig")
    ),
    "dry run": Reason(
        "dry run", setting("dry_run", True, "call"), setting("dry_run", False, "call")
    ),
    "dry run by setconfig": Reason(
        "dry run", setting("dry_run", True, "setconfig"), setting("dry_run", False, "setconfig")
    ),
    "out of sync": Reason("out of sync", lose_sync, regain_sync),
}


@pytest.fixture
def node() -> Iterator[HouseNode]:
    with house_node(start=False) as node:
        for name in ("alice", "bob"):
            node.open(name, 1_000_000, 500_000)
        node.start()
        node.settle()
        yield node


def written(node: HouseNode) -> int:
    return node.calls.get("setchannel", 0)


def fees(node: HouseNode) -> list[int]:
    return [channel.policy.ppm for channel in node.world.channels.values()]


def price(node: HouseNode, ppm: int) -> dict[str, Any]:
    """revenue-set-fee of the first channel; an error answer of any kind as a result."""
    scid = next(iter(node.world.channels.values())).scid
    try:
        result: dict[str, Any] = node.call("revenue-set-fee", [scid, ppm])
    except SimRpcError as refused:
        return {"status": "error", "error": refused.message}
    return result


@pytest.mark.parametrize("name", REASONS)
def test_no_fee_reaches_the_node_while_a_reason_stands(node: HouseNode, name: str) -> None:
    reason = REASONS[name]
    reason.come(node)
    before = fees(node)
    answer = price(node, 777)
    node.wait_s(4 * 3_600.0)
    assert (written(node), fees(node)) == (0, before)
    assert answer["status"] == "error" or answer["written"] is False
    status = node.status()
    assert status["writes_allowed"] is False
    assert reason.source in status["writes_closed_because"]
    reason.go(node)
    assert price(node, 778)["written"] is True
    assert node.status()["writes_allowed"] is True
    assert (written(node), fees(node)[0]) == (1, 778)
    node.wait_s(2 * 3_600.0)
    assert fees(node)[0] == 778


def test_a_second_reason_outlives_the_first(node: HouseNode) -> None:
    node.call("revenue-config", ["set", "paused", True])
    node.call("revenue-config", ["set", "dry_run", True])
    node.call("revenue-config", ["set", "paused", False])
    price(node, 700)
    assert written(node) == 0
    assert set(node.status()["writes_closed_because"]) == {"dry run"}


def test_a_pause_outlives_the_process(node: HouseNode) -> None:
    node.call("revenue-config", ["set", "paused", True])
    node.restart()
    node.wait_s(2 * 3_600.0)
    assert written(node) == 0
    assert node.status()["paused"] is True


@pytest.mark.parametrize("name", [name for name in REASONS if name != "out of sync"])
def test_it_is_closed_before_anybody_in_the_house_has_heard_of_it(
    node: HouseNode, name: str
) -> None:
    reason = REASONS[name]
    with node.life.held():
        reason.come(node)
        assert reason.source in node.life.gate_when_answered
    node.settle()
    assert reason.source in node.status()["writes_closed_because"]


def test_dry_run_stands_before_its_answer_is_written(node: HouseNode) -> None:
    node.call("revenue-config", ["set", "dry_run", True])
    assert "dry run" in node.life.gate_when_answered


def test_safe_mode_closes_the_gate_and_its_end_opens_it(node: HouseNode) -> None:
    with node.life.full_disk() as make_room:
        one, two = node.world.channels
        node.pay(one, two, 1_000_000, fee_msat=50_000)
        node.wait_s(300.0)
        before = fees(node)
        price(node, 777)
        status = node.status()
        assert (status["safe_mode"], status["writes_allowed"]) == (True, False)
        assert "safe mode" in status["writes_closed_because"]
        node.wait_s(2 * 3_600.0)
        assert (written(node), fees(node)) == (0, before)
        make_room()
        node.wait_s(1_300.0)
        assert node.status()["safe_mode"] is False
        assert price(node, 778)["written"] is True


def test_a_pause_holds_when_it_cannot_be_stored_and_says_so(node: HouseNode) -> None:
    with node.life.full_disk():
        answer = node.call("revenue-config", ["set", "paused", True])
        assert answer["status"] == "error"
        assert "could not be stored" in answer["error"]
        assert node.status()["paused"] is True
        price(node, 700)
    node.wait_s(3 * 3_600.0)
    assert written(node) == 0
    assert node.status()["paused"] is True
    assert node.call("revenue-config", ["set", "paused", False])["status"] == "success"
    assert price(node, 700)["written"] is True


def test_a_pause_holds_when_its_owner_is_not_there_to_hear_of_it() -> None:
    with house_node(start=False) as node:
        node.open("alice", 1_000_000, 500_000)
        node.reachable = False
        node.start()
        node.settle()
        answer = node.call("revenue-config", ["set", "paused", True])
        assert answer["status"] == "error"
        assert node.status()["paused"] is True
        node.wait_s(400.0)
        node.reachable = True
        node.wait_s(4 * 3_600.0)
        assert written(node) == 0
        assert node.status()["paused"] is True
        node.call("revenue-config", ["set", "paused", False])
        assert price(node, 700)["written"] is True


def test_a_dry_run_that_cannot_be_stored_is_not_in_force(node: HouseNode) -> None:
    with node.life.full_disk():
        answer = node.call("revenue-config", ["set", "dry_run", True])
        assert "unchanged" in answer["error"]
        assert node.status()["writes_closed_because"] == {}
        assert node.status()["config"]["dry_run"] is False


def test_an_unpause_that_cannot_be_stored_leaves_it_closed(node: HouseNode) -> None:
    node.call("revenue-config", ["set", "paused", True])
    with node.life.full_disk():
        assert node.call("revenue-config", ["set", "paused", False])["status"] == "error"
        assert node.status()["paused"] is True


@pytest.mark.parametrize(
    ("queued", "option", "source"),
    [
        (("min_fee_ppm", 11), "revenue-ops-dry-run", "dry run"),
        (("paused", False), "revenue-ops-paused", "paused"),
        (("dry_run", False), "revenue-ops-dry-run", "dry run"),
    ],
)
def test_an_older_order_that_waits_does_not_open_what_setconfig_closed(
    node: HouseNode, queued: tuple[str, Any], option: str, source: str
) -> None:
    life = node.life
    mailbox = life.house.core.post.box("settings").mailbox
    settings = life.runtime._actors["settings"]
    with life.held():
        life.ask("revenue-config", ["set", *queued])
        answer = life.ask("setconfig", {"config": option, "val": "true"})
        assert answer is not None
        assert answer["result"] == {}
        assert source in life.gate.reasons()
        while (envelope := mailbox.take()) is not None:
            settings.on_receive(envelope.message)
            assert source in life.gate.reasons(), type(envelope.message).__name__
    node.settle()
    assert source in life.gate.reasons()
