"""The simulated CLBoss by its contract: sets replaced whole, nothing trimmed, fees set by peer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from cl_revenue_ops.simnode import clboss
from cl_revenue_ops.simnode.errors import SimRpcError
from cl_revenue_ops.simnode.node import SimulatedNode
from tests.node.line import PLUGIN

PEER = "02" + "5a" * 32
START_S = 1_700_000_000.0


@pytest.fixture
def node() -> Iterator[SimulatedNode]:
    with SimulatedNode(
        start_s=START_S, clboss=clboss.NEWEST, options={"fee-per-satoshi": 300}
    ) as node:
        yield node


def unmanage(node: SimulatedNode, tags: object, peer_id: object = PEER) -> Any:
    return node.call("clboss-unmanage", {"nodeid": peer_id, "tags": tags})


def listed(node: SimulatedNode) -> dict[str, str]:
    found: dict[str, str] = node.call("clboss-status")["unmanaged"]
    return found


def test_a_set_is_replaced_whole_and_shown_sorted_with_spaces(node: SimulatedNode) -> None:
    assert list(listed(node)) == ["comment"]
    assert unmanage(node, "open,lnfee,balance") == {}
    assert listed(node)[PEER] == "balance, lnfee, open"
    node.call("clboss-unmanage", [PEER, "close"])
    assert listed(node)[PEER] == "close"
    unmanage(node, "")
    assert list(listed(node)) == ["comment"]


@pytest.mark.parametrize("tags", ["fees", "lnfee, open", " lnfee", "LNFEE", 5, None])
def test_unknown_tags_are_refused_and_change_nothing(node: SimulatedNode, tags: object) -> None:
    unmanage(node, "close")
    with pytest.raises(SimRpcError) as refused:
        unmanage(node, tags)
    assert refused.value.code == -32602
    assert listed(node)[PEER] == "close"


@pytest.mark.parametrize("peer_id", ["", "02ab", "04" + "5a" * 32, 7, None])
def test_a_malformed_id_is_refused(node: SimulatedNode, peer_id: object) -> None:
    with pytest.raises(SimRpcError) as refused:
        unmanage(node, "lnfee", peer_id)
    assert refused.value.code == -32602


@pytest.mark.parametrize(
    ("version", "known"), [("0.11B", False), ("0.12", False), ("0.13A", True), ("v0.16.3", True)]
)
def test_balance_came_with_0_13a(version: str, known: bool) -> None:
    with SimulatedNode(start_s=START_S, clboss=version) as node:
        assert node.call("clboss-status")["info"]["version"] == version
        unmanage(node, "lnfee")
        if known:
            unmanage(node, "balance")
        else:
            with pytest.raises(SimRpcError) as refused:
                unmanage(node, "lnfee,balance")
            assert refused.value.code == -32602


def test_its_sets_outlive_the_node_and_it_cannot_be_stopped(node: SimulatedNode) -> None:
    unmanage(node, "lnfee")
    with pytest.raises(SimRpcError):
        node.call("plugin", {"subcommand": "stop", "plugin": "clboss"})
    rows = node.call("plugin", {"subcommand": "list"})["plugins"]
    (row,) = (row for row in rows if row["name"].endswith("/clboss"))
    assert (row["active"], row["dynamic"]) == (True, False)
    node.restart()
    assert listed(node)[PEER] == "lnfee"


def test_absent_its_commands_are_unknown(node: SimulatedNode) -> None:
    node.plugins.set_present("clboss", False)
    with pytest.raises(SimRpcError) as refused:
        node.call("clboss-status")
    assert refused.value.code == -32601


def test_it_sets_fees_every_few_hours_on_all_channels_of_a_peer_that_is_not_spared(
    node: SimulatedNode,
) -> None:
    spared, other = (
        node.world.channel(node.open(name, 1_000_000)).peer_id for name in ("spared", "other")
    )
    node.open("other", 500_000)
    unmanage(node, "balance,lnfee", spared)
    before = {c.channel_id: c.policy for c in node.world.channels.values()}
    assert node.clboss is not None
    node.advance(START_S + 86_400.0, step_s=900.0)
    assert 8 <= node.clboss.passes <= 24
    now = {c.channel_id: c.policy for c in node.world.channels.values()}
    moved = {c for c in now if now[c].ppm != before[c].ppm}
    assert {node.world.channel(c).peer_id for c in moved} == {other}
    assert len({now[c].ppm for c in moved}) == 1
    assert len(moved) == 2


def test_a_stop_beside_one_that_hangs_is_clean() -> None:
    """A real process in real time: the plugin leaves before lightningd's patience ends."""
    with SimulatedNode([sys.executable, str(PLUGIN)], clboss=clboss.NEWEST) as node:
        node.wait_until(lambda: "clboss-keeper" in node.call("revenue-status")["actors"])
        node.wait_until(
            lambda: node.call("revenue-status")["actors"]["clboss-keeper"]["state"] == "ready"
        )
        node.call("revenue-ignore", [PEER])
        node.fault("timeout", "clboss-*", seconds=60.0)
        node.call("revenue-config", ["set", "clboss_enabled", False])
        host = node.plugin
        host.stop()
        assert host.exit_code == 0
        assert host.stderr_tail() == ""
