"""The node port's look at the node's other plugins: which of them set fees too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cl_revenue_ops.ports import CircuitOpen, MalformedReply, NodeRefused, StaleGeneration, TimedOut
from tests.unit.test_adapter_node import Desk
from tests.unit.test_adapter_server import Step, a_bench, hang_up, refusal, result


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with a_bench(tmp_path) as bench:
        yield Desk(bench)


def listed(*rows: object) -> Step:
    return result({"command": "list", "plugins": list(rows)})


def plugin(path: object, active: object = True) -> dict[str, object]:
    return {"name": path, "active": active, "dynamic": False}


def test_the_active_ones_that_set_fees_are_named(desk: Desk) -> None:
    desk.script(
        listed(
            plugin("/usr/libexec/c-lightning/plugins/pay"),
            plugin("/opt/cl-hive/cl-hive.py"),
            plugin("/home/ln/bin/clboss"),
            plugin("/opt/sling"),
        )
    )
    assert desk.node.fee_writers() == ("CLBoss", "cl-hive")
    assert desk.asked == [("plugin", {"subcommand": "list"})]
    assert desk.left_out.counts() == {}


@pytest.mark.parametrize(
    ("row", "names"),
    [
        (plugin("clboss"), ("CLBoss",)),
        (plugin("/opt/clboss.sh"), ("CLBoss",)),
        (plugin("/opt/cl-hive"), ("cl-hive",)),
        (plugin("/opt/clboss", active=False), ()),
        (plugin("/opt/clboss/sling"), ()),
        (plugin("/opt/cl-hive-archon.py"), ()),
        (plugin("/opt/my-clboss"), ()),
        (plugin(""), ()),
        (plugin("/"), ()),
    ],
    ids=str,
)
def test_a_plugin_is_known_by_the_name_of_its_file(
    desk: Desk, row: object, names: tuple[str, ...]
) -> None:
    desk.script(listed(row))
    assert desk.node.fee_writers() == names
    assert desk.left_out.counts() == {}


@pytest.mark.parametrize(
    "row",
    [
        None,
        "clboss",
        {},
        {"name": "/opt/clboss"},
        {"active": True},
        plugin(5),
        plugin(None),
        plugin("/opt/clboss", active="true"),
        plugin("/opt/clboss", active=1),
    ],
    ids=str,
)
def test_a_malformed_entry_is_left_out_and_counted(desk: Desk, row: object) -> None:
    desk.script(listed(row, plugin("/opt/cl-hive.py")))
    assert desk.node.fee_writers() == ("cl-hive",)
    assert desk.left_out.counts() == {"plugin": 1}


@pytest.mark.parametrize("reply", [{}, {"plugins": None}, {"plugins": {}}], ids=str)
def test_a_reply_without_a_list_is_malformed(desk: Desk, reply: dict[str, object]) -> None:
    desk.script(result(reply))
    with pytest.raises(MalformedReply, match="plugin"):
        desk.node.fee_writers()


def test_a_node_that_refuses_or_does_not_answer_is_passed_on(desk: Desk) -> None:
    desk.script(refusal(-32601, "Unknown command"), hang_up)
    with pytest.raises(NodeRefused):
        desk.node.fee_writers()
    with pytest.raises(TimedOut):
        desk.node.fee_writers()


def test_its_outages_open_a_breaker_of_its_own(desk: Desk) -> None:
    desk.script(hang_up, hang_up, hang_up, result({"perkb": {"estimates": []}}))
    for _ in range(3):
        with pytest.raises(TimedOut):
            desk.node.fee_writers()
    with pytest.raises(CircuitOpen):
        desk.node.fee_writers()
    assert desk.node.feerate_sat_per_vb() is None
    assert [method for method, _ in desk.asked] == ["plugin"] * 3 + ["feerates"]


def test_a_replaced_incarnation_asks_nothing(desk: Desk) -> None:
    desk.bench.lease.stale = True
    with pytest.raises(StaleGeneration):
        desk.node.fee_writers()
    assert desk.asked == []
