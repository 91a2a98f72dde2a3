"""Beside CLBoss and without it: orders are kept, told where it is, and answered truthfully."""

from __future__ import annotations

import pytest

from tests.node.line import Line, Row, wait_for
from tests.node.wire import RpcError

KINDS = ("beside clboss", "simulated", "elder", "real")
PEER = "02" + "5a" * 32
ALL = {"lnfee", "balance", "open", "close"}


def has_clboss(line: Line) -> bool:
    try:
        line.call("clboss-status")
    except RpcError as refused:
        assert refused.code == -32601
        return False
    return True


@pytest.fixture
def beside(line: Line) -> Line:
    if not has_clboss(line):
        pytest.skip("no CLBoss on this node")
    return line


@pytest.fixture
def alone(line: Line) -> Line:
    if has_clboss(line):
        pytest.skip("CLBoss is on this node")
    return line


def stands(line: Line, peer_id: str) -> set[str]:
    """The tags of a peer as CLBoss tells them."""
    told = line.call("clboss-status")["unmanaged"].get(peer_id, "")
    return {tag.strip() for tag in told.split(",")} - {""}


def ignored(line: Line) -> list[Row]:
    listed: Row = line.call("revenue-list-ignored")
    assert listed["count"] == len(listed["ignored_peers"])
    rows: list[Row] = listed["ignored_peers"]
    return rows


# -- without CLBoss -----------------------------------------------------------------------------


def test_its_absence_is_told(alone: Line) -> None:
    status = alone.call("revenue-clboss-status")
    assert (status["clboss_enabled"], status["clboss_available"]) == (True, False)
    assert status["unmanaged_peers"] == []
    assert "not on this node" in status["message"]
    assert "clboss_status" not in status
    assert status["reverted_fees"]["count"] == 0


def test_an_order_is_recorded_and_not_called_told(alone: Line) -> None:
    answer = alone.call("revenue-ignore", {"peer_id": PEER, "reason": "not today"})
    assert (answer["status"], answer["told"]) == ("success", False)
    assert "not on this node" in answer["warning"]
    (row,) = ignored(alone)
    assert (row["peer_id"], row["reason"]) == (PEER, "not today")
    answer = alone.call("revenue-unignore", [PEER])
    assert (answer["status"], answer["changed"]) == ("success", True)
    assert ignored(alone) == []


def test_giving_back_what_nobody_took_is_no_success(alone: Line) -> None:
    answer = alone.call("revenue-remanage", [PEER])
    assert (answer["status"], answer["success"], answer["tag"]) == ("error", False, "all")
    assert answer["error"] == answer["message"]


# -- beside it ----------------------------------------------------------------------------------


def test_its_presence_is_told(beside: Line) -> None:
    status = wait_for(
        lambda: (s := beside.call("revenue-clboss-status"))["clboss_available"] and s,
        "a CLBoss that is found",
    )
    assert status["clboss_status"]["version"]


def test_a_peer_is_ignored_and_given_back(beside: Line) -> None:
    before = stands(beside, PEER)
    answer = beside.call("revenue-ignore", [PEER, "mine alone"])
    assert (answer["status"], answer["told"], answer["warning"]) == ("success", True, None)
    assert stands(beside, PEER) == ALL
    beside.call("revenue-remanage", [PEER, "open"])
    assert stands(beside, PEER) == before | (ALL - {"open"})
    assert beside.call("revenue-unignore", [PEER])["told"] is True
    assert stands(beside, PEER) == before


def test_what_was_set_with_clboss_directly_is_left(beside: Line) -> None:
    beside.call("clboss-unmanage", {"nodeid": PEER, "tags": "close"})
    beside.call("revenue-ignore", [PEER])
    beside.call("revenue-unignore", [PEER])
    assert stands(beside, PEER) == {"close"}
    beside.call("clboss-unmanage", {"nodeid": PEER, "tags": ""})


# -- anywhere -----------------------------------------------------------------------------------


def test_orders_outlive_a_stop_and_a_kill(line: Line) -> None:
    line.call("revenue-ignore", [PEER, "for good"])
    line.stop_plugin()
    line.start_plugin()
    assert [row["reason"] for row in ignored(line)] == ["for good"]
    line.kill_plugin()
    line.start_plugin()
    assert [row["reason"] for row in ignored(line)] == ["for good"]
    line.call("revenue-unignore", [PEER])


def test_switched_off_it_says_so(line: Line) -> None:
    line.call("revenue-config", ["set", "clboss_enabled", False])
    status = line.call("revenue-clboss-status")
    assert (status["clboss_enabled"], status["clboss_available"]) == (False, False)
    assert line.call("revenue-ignore", [PEER])["told"] is False
    line.call("revenue-unignore", [PEER])
    line.call("revenue-config", ["reset", "clboss_enabled"])


@pytest.mark.parametrize("method", ["revenue-ignore", "revenue-unignore", "revenue-remanage"])
def test_a_bad_peer_id_is_a_fault_of_the_arguments(line: Line, method: str) -> None:
    with pytest.raises(RpcError) as refused:
        line.call(method, ["02abc"])
    assert refused.value.code == -32602
