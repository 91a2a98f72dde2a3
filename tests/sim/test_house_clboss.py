"""The house beside CLBoss: what it takes, what it gives back, and what it never touches."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cl_revenue_ops.simnode.faults import Fault
from messages.policies import PeerPolicy, PolicySnapshot
from tests.sim.clboss_support import ALL, BOTH, HOUR_S, RETRY_S, STRANGER, Beside, beside

LNFEE, BALANCE = frozenset(("lnfee",)), frozenset(("balance",))


@pytest.fixture
def node() -> Iterator[Beside]:
    with beside() as node:
        yield node


# -- what is taken ------------------------------------------------------------------------------


def test_the_fees_and_the_balance_of_our_peers_are_taken_and_told(node: Beside) -> None:
    assert {peer: node.stands(peer) for peer in node.peers} == dict.fromkeys(node.peers, BOTH)
    status = node.boss_status()
    assert (status["clboss_enabled"], status["clboss_available"]) == (True, True)
    assert status["clboss_status"]["version"] == "v0.16.3"
    assert [row["peer_id"] for row in status["unmanaged_peers"]] == node.peers
    assert status["waiting_peers"] == []
    assert "message" not in status
    row = node.row(node.peers[0])
    assert (row["managed"], row["ordered"], row["foreign"]) == (["balance", "lnfee"], [], [])


def test_before_the_policies_are_known_nothing_is_taken() -> None:
    with beside(start=False) as node:
        node.start()
        node.wait_s(2 * HOUR_S)
        if not node.life.house.core.post.retained([PolicySnapshot]):
            assert node.boss.told == []
        node.policies()
        node.wait_s(10)
        assert node.stands(node.peers[0]) == BOTH


def test_tags_are_joined_without_spaces_and_what_stood_before_is_kept(node: Beside) -> None:
    with beside(start=False) as node:
        peer = node.peers[0]
        node.directly(peer, "open", "close")
        node.begin_again()
        node.wait_s(30)
        assert (peer, "balance,close,lnfee,open") in node.boss.told
        assert node.stands(peer) == ALL
        assert node.row(peer)["foreign"] == ["close", "open"]
        assert node.claims() == {(p, tag) for p in node.peers for tag in BOTH}


@pytest.mark.parametrize(
    ("strategy", "rebalance", "tags"),
    [
        ("dynamic", "enabled", BOTH),
        ("static", "source_only", BOTH),
        ("hive", "sink_only", BOTH),
        ("passive", "enabled", BALANCE),
        ("passive", "disabled", frozenset()),
        ("dynamic", "disabled", LNFEE),
    ],
)
def test_a_policy_decides_what_is_taken_and_given_back(
    node: Beside, strategy: str, rebalance: str, tags: frozenset[str]
) -> None:
    peer, other = node.peers
    fee_ppm = 300 if strategy == "static" else None
    node.policies(PeerPolicy(peer, strategy, rebalance, fee_ppm))
    node.wait_s(5)
    assert (node.stands(peer), node.stands(other)) == (tags, BOTH)
    node.policies()
    node.wait_s(5)
    assert node.stands(peer) == BOTH


def test_what_was_given_back_is_taken_again_when_the_policy_ends(node: Beside) -> None:
    peer = node.peers[0]
    what = {"strategy": "passive", "rebalance": "disabled", "expires_in_hours": 1}
    node.call("revenue-policy", {"action": "set", "peer_id": peer, **what})
    node.wait_s(5)
    assert node.stands(peer) == frozenset()
    node.wait_s(HOUR_S)
    assert node.stands(peer) == BOTH


def test_a_peer_that_is_only_away_is_not_given_back(node: Beside) -> None:
    peer = node.peers[0]
    node.world.disconnect(peer)
    node.wait_s(2 * HOUR_S)
    assert node.stands(peer) == BOTH


def test_a_closed_channel_gives_back_what_was_taken_and_no_more() -> None:
    with beside(start=False) as node:
        peer, other = node.peers
        node.directly(peer, "lnfee", "open")
        node.begin_again()
        node.wait_s(30)
        (channel,) = [c for c in node.world.channels.values() if c.peer_id == peer]
        node.close(channel.channel_id)
        node.wait_s(HOUR_S)
        assert node.stands(peer) == {"lnfee", "open"}
        assert node.stands(other) == BOTH


def test_before_the_channels_are_read_nothing_is_taken_by_what_was_known_once(
    node: Beside,
) -> None:
    node.stop_cleanly()
    node.faults.add(Fault("error", "listpeerchannels"))
    node.begin_again()
    node.wait_s(2 * HOUR_S)
    assert [node.stands(peer) for peer in node.peers] == [frozenset(), frozenset()]
    node.faults.clear()
    node.wait_s(120)
    assert [node.stands(peer) for peer in node.peers] == [BOTH, BOTH]


def test_before_policies_and_channels_are_known_nothing_is_given_back(node: Beside) -> None:
    node.restart()
    node.wait_s(2 * HOUR_S)
    assert [node.stands(peer) for peer in node.peers] == [BOTH, BOTH]
    node.kill()
    node.faults.add(Fault("error", "listpeerchannels"))
    node.begin_again()
    node.wait_s(2 * HOUR_S)
    assert [node.stands(peer) for peer in node.peers] == [BOTH, BOTH]


# -- what others do -----------------------------------------------------------------------------


def test_what_somebody_took_away_is_asserted_again_within_the_hour(node: Beside) -> None:
    peer = node.peers[0]
    node.directly(peer)
    node.wait_s(HOUR_S + 60)
    assert node.stands(peer) == BOTH


def test_what_an_operator_sets_with_clboss_stays_when_ours_is_released(node: Beside) -> None:
    peer = node.peers[0]
    node.directly(peer, "lnfee", "balance", "close")
    node.policies(PeerPolicy(peer, "passive", "disabled"))
    node.wait_s(5)
    assert node.stands(peer) == {"close"}


def test_a_tag_that_was_taken_away_and_set_again_is_theirs(node: Beside) -> None:
    peer = node.peers[0]
    node.policies(PeerPolicy(peer, "passive", "disabled"))
    node.wait_s(5)
    node.directly(peer, "lnfee")
    node.wait_s(HOUR_S + 60)
    node.policies()
    node.wait_s(5)
    assert node.claims() >= {(peer, "balance")}
    assert (peer, "lnfee") not in node.claims()
    node.stop_cleanly()
    assert node.stands(peer) == LNFEE


def test_unknown_tags_are_kept(node: Beside) -> None:
    peer = node.peers[0]
    node.boss.unmanaged[peer] = frozenset(("brandnew",))
    type(node.boss).tags, kept = property(lambda _: ALL | {"brandnew"}), type(node.boss).tags  # type: ignore[assignment,method-assign]
    try:
        node.wait_s(HOUR_S + 60)
    finally:
        type(node.boss).tags = kept  # type: ignore[method-assign]
    assert node.stands(peer) == BOTH | {"brandnew"}


# -- presence -----------------------------------------------------------------------------------


def test_absent_is_told_and_asked_again_after_five_minutes() -> None:
    with beside(present=False) as node:
        status = node.boss_status()
        assert (status["clboss_enabled"], status["clboss_available"]) == (True, False)
        assert status["unmanaged_peers"] == []
        assert "not on this node" in status["message"]
        asked = node.calls["clboss-status"]
        for _ in range(5):
            node.boss_status()
        assert node.calls["clboss-status"] == asked == 1
        node.present(True)
        node.wait_s(RETRY_S + 10)
        assert node.stands(node.peers[0]) == BOTH
        assert node.boss_status()["clboss_available"] is True


def test_one_that_stays_away_is_looked_for_hourly_and_when_it_is_announced() -> None:
    with beside(present=False) as node:
        node.wait_s(2 * HOUR_S)
        asked = node.calls["clboss-status"]
        node.wait_s(6 * HOUR_S)
        assert node.calls["clboss-status"] - asked <= 6
        node.present(True)
        node.wait_s(RETRY_S + 10)
        assert node.stands(node.peers[0]) == BOTH


def test_one_that_disappears_and_comes_back_is_told_again(node: Beside) -> None:
    peer = node.peers[0]
    node.present(False)
    node.wait_s(HOUR_S + 60)
    status = node.boss_status()
    assert (status["clboss_available"], status["unmanaged_peers"]) == (False, [])
    node.policies(PeerPolicy(peer, "passive", "disabled"))
    node.wait_s(60)
    assert node.stands(peer) == BOTH
    node.present(True)
    node.wait_s(2 * RETRY_S)
    assert node.stands(peer) == frozenset()


@pytest.mark.parametrize("version", ["0.11B", "v0.12"])
def test_an_old_one_that_refuses_balance_is_told_the_rest_and_it_is_remembered(
    version: str,
) -> None:
    with beside(version, peers=4) as node:
        assert [node.stands(peer) for peer in node.peers] == [LNFEE] * 4
        assert node.claims() == {(peer, "lnfee") for peer in node.peers}
        assert node.calls["clboss-unmanage"] == 5, "refused once, and then not asked for any more"
        status = node.boss_status()
        assert status["clboss_status"]["refused_tags"] == ["balance"]
        assert status["waiting_peers"] == []
        node.wait_s(5 * HOUR_S)
        assert node.calls["clboss-unmanage"] == 5
        answer = node.call("revenue-ignore", [node.peers[0]])
        assert answer["told"] is True
        assert node.stands(node.peers[0]) == {"lnfee", "open", "close"}


def test_many_peers_are_told_in_steps() -> None:
    with beside(peers=45) as node:
        assert {node.stands(peer) for peer in node.peers} == {BOTH}
        assert node.calls["clboss-unmanage"] == 45
        # One a step, and the first look after the start.
        assert node.calls["clboss-status"] == 4


def test_nothing_is_written_where_nothing_differs(node: Beside) -> None:
    written = node.calls["clboss-unmanage"]
    node.wait_s(10 * HOUR_S)
    assert node.calls["clboss-unmanage"] == written == 2
    assert node.calls["clboss-status"] <= 13


# -- trouble ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["timeout", "truncated", "error"])
def test_one_that_does_not_answer_holds_up_no_fee_and_is_told_later(kind: str) -> None:
    with beside(start=False) as node:
        node.faults.add(Fault(kind, "clboss-*"))
        node.begin_again()
        node.wait_s(3 * HOUR_S)
        assert node.boss.told == [] or kind == "truncated"
        assert node.status()["recent_fee_changes"]
        status = node.boss_status()
        assert status["clboss_available"] is False
        assert "could not be read" in status["message"]
        assert node.status()["actors"]["clboss-keeper"]["restarts"] == 0
        node.faults.clear()
        node.wait_s(2 * RETRY_S)
        assert node.stands(node.peers[0]) == BOTH
        assert node.claims() == {(peer, tag) for peer in node.peers for tag in BOTH}


@pytest.mark.parametrize("kind", ["wrong_type", "nulls", "truncated"])
def test_a_spoiled_answer_never_costs_anybody_a_tag(kind: str) -> None:
    with beside(start=False) as node:
        for peer in node.peers:
            node.directly(peer, "open", "close")
        node.faults.add(Fault(kind, "clboss-status", chance=0.7))
        node.begin_again()
        for _ in range(20):
            node.wait_s(HOUR_S)
            for peer in node.peers:
                assert node.stands(peer) >= {"open", "close"}
        node.faults.clear()
        node.wait_s(2 * HOUR_S)
        assert [node.stands(peer) for peer in node.peers] == [ALL, ALL]


def test_a_write_that_was_taken_without_an_answer_is_known_as_ours(node: Beside) -> None:
    peer = node.peers[0]
    node.policies(PeerPolicy(peer, "passive", "disabled"))
    node.wait_s(5)
    node.faults.add(Fault("truncated", "clboss-unmanage", count=1))
    node.policies()
    node.wait_s(2 * RETRY_S)
    assert node.stands(peer) == BOTH
    node.policies(PeerPolicy(peer, "passive", "disabled"))
    node.wait_s(5)
    assert node.stands(peer) == frozenset()


def test_a_peer_that_clboss_refuses_holds_up_no_other(node: Beside) -> None:
    first, second = node.peers
    node.directly(first)
    node.directly(second)
    node.faults.add(Fault("error", "clboss-unmanage", count=1, code=-32602, message="no such tag"))
    # The tag balance is tried without, so the refusal strikes twice.
    node.faults.add(Fault("error", "clboss-unmanage", count=1, code=-32602, message="no such tag"))
    node.wait_s(HOUR_S)
    assert node.stands(second) == BOTH
    assert node.stands(first) == frozenset()
    assert list(node.boss_status()["unwritable_peers"]) == [first]
    assert (first, "lnfee") not in node.claims()
    node.wait_s(HOUR_S + 60)
    assert node.stands(first) == BOTH
    assert node.boss_status()["unwritable_peers"] == {}


def test_one_that_keeps_nothing_is_not_told_without_end(node: Beside) -> None:
    node.boss.unmanaged.clear()
    node.plugins._companions["clboss"] = type(
        "Forgetful",
        (),
        {
            "path": "/usr/local/bin/clboss",
            "methods": {"clboss-status": node.boss.status, "clboss-unmanage": lambda params: {}},
        },
    )()
    before = node.calls["clboss-unmanage"]
    node.wait_s(HOUR_S)
    assert node.calls["clboss-unmanage"] - before == 2
    node.wait_s(60)
    assert node.boss_status()["waiting_peers"] == node.peers
    for number in range(5):
        node.policies(PeerPolicy(STRANGER, ("hive", "passive")[number % 2]))
        node.wait_s(60)
        node.boss_status()
    assert node.calls["clboss-unmanage"] - before == 2
    assert list(node.boss_status()["unwritable_peers"]) == node.peers


def test_what_cannot_be_read_of_a_peer_costs_no_claim_on_it(node: Beside) -> None:
    peer = node.peers[0]
    whole = node.plugins._companions["clboss"]
    spoiled = {"clboss-status": lambda params: {"unmanaged": {peer: 5}}}
    node.plugins._companions["clboss"] = type(
        "Spoiled", (), {"path": whole.path, "methods": {**whole.methods, **spoiled}}
    )()
    node.policies(PeerPolicy(peer, "passive", "disabled"))
    node.wait_s(HOUR_S)
    assert node.stands(peer) == BOTH
    assert {(peer, tag) for tag in BOTH} <= node.claims()
    node.plugins._companions["clboss"] = whole
    node.wait_s(HOUR_S + 60)
    assert node.stands(peer) == frozenset()


# -- the gate and the switch --------------------------------------------------------------------


@pytest.mark.parametrize("key", ["paused", "dry_run"])
def test_while_nothing_may_be_written_nothing_is_told(key: str) -> None:
    with beside(start=False) as node:
        node.options.configured[f"revenue-ops-{key.replace('_', '-')}"] = True
        node.begin_again()
        node.wait_s(2 * HOUR_S)
        assert node.boss.told == []
        status = node.boss_status()
        assert status["waiting_peers"] == node.peers
        assert "nothing is written now" in status["message"]
        assert node.claims() == set()
        node.call("revenue-config", ["set", key, False])
        node.wait_s(5)
        assert node.stands(node.peers[0]) == BOTH


def test_while_paused_a_change_of_policies_does_not_ask_it(node: Beside) -> None:
    node.call("revenue-config", ["set", "paused", True])
    node.wait_s(5)
    asked = node.calls["clboss-status"]
    for number in range(10):
        node.policies(PeerPolicy(node.peers[number % 2], "passive"))
        node.wait_s(3)
    assert node.calls["clboss-status"] == asked


def test_a_pause_gives_nothing_back_and_a_stop_while_paused_neither(node: Beside) -> None:
    node.call("revenue-config", ["set", "paused", True])
    node.policies(PeerPolicy(node.peers[0], "passive", "disabled"))
    node.wait_s(HOUR_S)
    node.stop_cleanly()
    assert [node.stands(peer) for peer in node.peers] == [BOTH, BOTH]
    assert len(node.claims()) == 4


def test_switched_off_it_gives_back_what_is_ours_and_then_is_silent(node: Beside) -> None:
    peer, other = node.peers
    node.directly(other, "lnfee", "balance", "open")
    node.call("revenue-ignore", [STRANGER])
    node.call("revenue-config", ["set", "clboss_enabled", False])
    node.wait_s(5)
    assert node.stands(peer) == frozenset()
    assert node.stands(other) == {"open"}
    assert node.stands(STRANGER) == ALL
    asked = dict(node.calls)
    node.wait_s(5 * HOUR_S)
    status = node.boss_status()
    assert (status["clboss_enabled"], status["clboss_available"]) == (False, False)
    assert "clboss-enabled is false" in status["message"]
    for name in ("clboss-status", "clboss-unmanage"):
        assert node.calls[name] == asked[name]
    node.call("revenue-config", ["set", "clboss_enabled", True])
    node.wait_s(5)
    assert node.stands(peer) == BOTH


def test_switched_off_from_the_start_nothing_is_asked() -> None:
    with beside(start=False) as node:
        node.options.configured["revenue-ops-clboss-enabled"] = False
        node.begin_again()
        node.wait_s(3 * HOUR_S)
        answer = node.call("revenue-ignore", [node.peers[0]])
        assert (answer["status"], answer["told"]) == ("success", False)
        assert "clboss-enabled is false" in answer["warning"]
        node.boss_status()
        assert "clboss-status" not in node.calls
        assert node.boss.told == []
        node.call("revenue-config", ["set", "clboss_enabled", True])
        node.wait_s(5)
        assert node.stands(node.peers[0]) == ALL


def test_what_could_not_be_given_back_when_it_was_switched_off_is_given_back_later(
    node: Beside,
) -> None:
    node.faults.add(Fault("error", "clboss-unmanage"))
    node.call("revenue-config", ["set", "clboss_enabled", False])
    node.wait_s(60)
    assert node.stands(node.peers[0]) == BOTH
    assert "2 peers still have tags" in node.boss_status()["message"]
    node.faults.clear()
    node.wait_s(HOUR_S + 60)
    assert node.stands(node.peers[0]) == frozenset()
    assert node.claims() == set()
