"""An operator's orders to CLBoss through the house: given, kept, taken back, told truthfully."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cl_revenue_ops.simnode.errors import SimRpcError
from cl_revenue_ops.simnode.faults import Fault
from messages.policies import PeerPolicy
from tests.sim.clboss_support import ALL, BOTH, HOUR_S, RETRY_S, STRANGER, Beside, beside


@pytest.fixture
def node() -> Iterator[Beside]:
    with beside() as node:
        yield node


def test_ignore_sets_all_four_and_leaves_our_policy_alone(node: Beside) -> None:
    peer = node.peers[0]
    answer = node.call("revenue-ignore", [peer, "mine alone"])
    assert {key: answer[key] for key in ("status", "action", "peer_id", "reason", "warning")} == {
        "status": "success",
        "action": "ignored",
        "peer_id": peer,
        "reason": "mine alone",
        "warning": None,
    }
    assert answer["told"] is True
    assert "its fee is set from here" in answer["message"]
    assert node.stands(peer) == ALL
    row = node.row(peer)
    assert row["ordered"] == sorted(ALL)
    assert row["managed"] == sorted(BOTH)
    listed = node.call("revenue-list-ignored")
    assert (listed["count"], listed["warning"]) == (1, None)
    (shown,) = listed["ignored_peers"]
    assert (shown["peer_id"], shown["reason"]) == (peer, "mine alone")
    assert shown["ignored_at"] == int(node.now_s)
    assert node.boss_status()["ignored_count"] == 1


def test_a_peer_without_a_channel_may_be_ignored(node: Beside) -> None:
    node.call("revenue-ignore", {"peer_id": STRANGER.upper()})
    assert node.stands(STRANGER) == ALL
    (shown,) = node.call("revenue-list-ignored")["ignored_peers"]
    assert (shown["peer_id"], shown["reason"]) == (STRANGER, "manual")
    answer = node.call("revenue-unignore", [STRANGER])
    assert (answer["changed"], answer["told"], answer["message"]) == (
        True,
        True,
        "not ignored any more",
    )
    assert node.stands(STRANGER) == frozenset()
    assert node.claims() == {(peer, tag) for peer in node.peers for tag in BOTH}


def test_unignore_leaves_what_is_managed_from_here_and_says_so(node: Beside) -> None:
    peer = node.peers[0]
    node.call("revenue-ignore", [peer])
    answer = node.call("revenue-unignore", [peer])
    assert "lnfee,balance stays: managed from here" in answer["message"]
    assert node.stands(peer) == BOTH
    node.policies(PeerPolicy(peer, "passive", "disabled"))
    node.wait_s(5)
    assert node.stands(peer) == frozenset()


def test_while_ignored_a_passive_peer_keeps_its_tags(node: Beside) -> None:
    peer = node.peers[0]
    node.call("revenue-ignore", [peer])
    node.policies(PeerPolicy(peer, "passive", "disabled"))
    node.wait_s(5)
    assert node.stands(peer) == ALL
    node.call("revenue-unignore", [peer])
    assert node.stands(peer) == frozenset()


def test_what_the_operator_had_set_with_clboss_survives_ignore_and_unignore() -> None:
    with beside(start=False) as node:
        node.directly(STRANGER, "open")
        node.begin_again()
        node.wait_s(30)
        node.call("revenue-ignore", [STRANGER])
        answer = node.call("revenue-unignore", [STRANGER])
        assert node.stands(STRANGER) == {"open"}
        assert "open stays: set with CLBoss directly" in answer["message"]


def test_unignore_of_a_peer_that_is_not_ignored_says_so(node: Beside) -> None:
    answer = node.call("revenue-unignore", [STRANGER])
    assert (answer["status"], answer["changed"]) == ("success", False)
    assert "nothing has changed" in answer["message"]


def test_before_the_channels_are_read_unignore_says_what_is_not_told_yet(node: Beside) -> None:
    node.call("revenue-ignore", [STRANGER])
    node.kill()
    node.faults.add(Fault("error", "listpeerchannels"))
    node.begin_again()
    answer = node.call("revenue-unignore", [STRANGER])
    assert answer["told"] is False
    assert "when it is known which peers are managed from here" in answer["warning"]
    assert node.stands(STRANGER) == BOTH
    node.faults.clear()
    node.wait_s(120)
    assert node.stands(STRANGER) == frozenset()


# -- remanage -----------------------------------------------------------------------------------


def test_remanage_gives_one_tag_back(node: Beside) -> None:
    node.call("revenue-ignore", [STRANGER])
    answer = node.call("revenue-remanage", [STRANGER, "open"])
    assert (answer["status"], answer["success"], answer["tag"]) == ("success", True, "open")
    assert (answer["action"], answer["peer_id"]) == ("remanage", STRANGER)
    assert node.stands(STRANGER) == ALL - {"open"}
    (shown,) = node.call("revenue-list-ignored")["ignored_peers"]
    assert shown["tags"] == ["balance", "close", "lnfee"]
    for tag in ("close", "balance", "lnfee"):
        node.call("revenue-remanage", [STRANGER, tag])
    assert node.stands(STRANGER) == frozenset()
    assert node.call("revenue-list-ignored")["count"] == 0


@pytest.mark.parametrize("arguments", [[STRANGER], [STRANGER, "all"], {"peer_id": STRANGER}])
def test_remanage_without_a_tag_gives_everything_back(node: Beside, arguments: object) -> None:
    node.call("revenue-ignore", [STRANGER])
    answer = node.call("revenue-remanage", arguments)
    assert (answer["success"], answer["tag"]) == (True, "all")
    assert node.stands(STRANGER) == frozenset()


def test_remanage_of_what_is_managed_from_here_is_no_success(node: Beside) -> None:
    peer = node.peers[0]
    answer = node.call("revenue-remanage", [peer, "lnfee"])
    assert (answer["status"], answer["success"]) == ("error", False)
    assert "lnfee stays: managed from here" in answer["error"]
    assert node.stands(peer) == BOTH
    node.call("revenue-ignore", [peer])
    answer = node.call("revenue-remanage", [peer])
    assert answer["success"] is True
    assert "lnfee,balance stays" in answer["message"]
    assert node.stands(peer) == BOTH


def test_remanage_of_what_was_set_directly_is_no_success_and_says_how(node: Beside) -> None:
    node.directly(STRANGER, "open")
    node.wait_s(60)
    answer = node.call("revenue-remanage", [STRANGER])
    assert (answer["status"], answer["success"]) == ("error", False)
    assert "clboss-unmanage" in answer["error"]
    assert node.stands(STRANGER) == {"open"}


def test_remanage_of_what_clboss_manages_already_is_a_success(node: Beside) -> None:
    answer = node.call("revenue-remanage", [STRANGER, "close"])
    assert (answer["status"], answer["success"]) == ("success", True)
    assert "manages it already" in answer["message"]


# -- CLBoss is not there ------------------------------------------------------------------------


def test_without_clboss_an_order_is_recorded_and_told_when_it_is_there() -> None:
    with beside(present=False) as node:
        answer = node.call("revenue-ignore", [STRANGER])
        assert (answer["status"], answer["told"]) == ("success", False)
        assert "not on this node; it is told as soon as it can be" in answer["warning"]
        assert answer["message"].startswith("recorded")
        listed = node.call("revenue-list-ignored")
        assert listed["count"] == 1
        assert "not on this node" in listed["warning"]
        node.restart()
        assert node.call("revenue-list-ignored")["count"] == 1
        node.present(True)
        node.wait_s(RETRY_S + 30)
        assert node.stands(STRANGER) == ALL
        assert node.call("revenue-list-ignored")["warning"] is None


def test_without_clboss_nothing_that_was_never_recorded_is_given_back() -> None:
    with beside(present=False) as node:
        answer = node.call("revenue-remanage", [STRANGER])
        assert (answer["status"], answer["success"]) == ("error", False)
        assert "nothing has changed" in answer["error"]
        assert "as soon as" not in answer["error"]
        node.call("revenue-ignore", [STRANGER])
        answer = node.call("revenue-remanage", [STRANGER])
        assert (answer["status"], answer["success"], answer["told"]) == ("success", True, False)
        assert node.call("revenue-list-ignored")["count"] == 0


@pytest.mark.parametrize("key", ["paused", "dry_run"])
def test_while_nothing_may_be_written_an_order_is_recorded(node: Beside, key: str) -> None:
    node.call("revenue-config", ["set", key, True])
    answer = node.call("revenue-ignore", [STRANGER])
    assert (answer["status"], answer["told"]) == ("success", False)
    assert "when writing is allowed again" in answer["warning"]
    assert node.stands(STRANGER) == frozenset()
    node.call("revenue-config", ["set", key, False])
    node.wait_s(5)
    assert node.stands(STRANGER) == ALL


def test_one_that_does_not_answer_is_told_later(node: Beside) -> None:
    node.faults.add(Fault("timeout", "clboss-*"))
    answer = node.call("revenue-ignore", [STRANGER])
    assert (answer["told"], answer["status"]) == (False, "success")
    assert "could not be read or told" in answer["warning"]
    node.faults.clear()
    node.wait_s(RETRY_S + 10)
    assert node.stands(STRANGER) == ALL


def test_an_order_that_clboss_refuses_is_told_so(node: Beside) -> None:
    node.faults.add(Fault("error", "clboss-unmanage", message="I know no such node"))
    answer = node.call("revenue-ignore", [STRANGER])
    assert answer["told"] is False
    assert "I know no such node" in answer["warning"]
    assert {peer for peer, _ in node.claims()} == set(node.peers)
    node.faults.clear()
    assert node.call("revenue-ignore", [STRANGER])["told"] is True


def test_an_order_stands_over_stops_and_is_asserted_hourly(node: Beside) -> None:
    node.call("revenue-ignore", [STRANGER])
    node.stop_cleanly()
    assert node.stands(STRANGER) == ALL
    node.begin_again()
    node.directly(STRANGER)
    node.wait_s(HOUR_S + 60)
    assert node.stands(STRANGER) == ALL
    node.call("revenue-unignore", [STRANGER])
    assert node.stands(STRANGER) == frozenset()


def test_taken_back_while_switched_off_it_is_given_back_all_the_same(node: Beside) -> None:
    node.call("revenue-ignore", [STRANGER])
    node.call("revenue-config", ["set", "clboss_enabled", False])
    node.wait_s(10)
    assert node.stands(STRANGER) == ALL
    node.call("revenue-unignore", [STRANGER])
    node.wait_s(10)
    assert node.stands(STRANGER) == frozenset()


# -- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["revenue-ignore", "revenue-unignore", "revenue-remanage"])
@pytest.mark.parametrize("peer_id", ["", "abc", "04" + "ab" * 32, "02" + "ab" * 31, 5, None, []])
def test_a_bad_peer_id_is_refused_in_one_line(node: Beside, method: str, peer_id: object) -> None:
    with pytest.raises(SimRpcError) as refused:
        node.call(method, [peer_id])
    assert refused.value.code == -32602
    assert "node id" in refused.value.message
    assert "\n" not in refused.value.message


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("revenue-remanage", [STRANGER, "fees"]),
        ("revenue-ignore", [STRANGER, "two\nlines"]),
        ("revenue-ignore", [STRANGER, "x" * 201]),
        ("revenue-ignore", []),
        ("revenue-list-ignored", [1]),
        ("revenue-clboss-status", [1]),
    ],
)
def test_other_bad_input_is_refused(node: Beside, method: str, arguments: object) -> None:
    with pytest.raises(SimRpcError) as refused:
        node.call(method, arguments)
    assert refused.value.code == -32602
    assert node.call("revenue-list-ignored")["count"] == 0
