"""Stops, kills and reverts beside CLBoss: ours is never forgotten, another's never claimed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cl_revenue_ops.simnode.faults import Fault
from messages.policies import PeerPolicy
from tests.sim.clboss_support import ALL, BOTH, HOUR_S, RETRY_S, STRANGER, Beside, beside


@pytest.fixture
def node() -> Iterator[Beside]:
    with beside() as node:
        yield node


# -- a clean stop -------------------------------------------------------------------------------


def test_a_clean_stop_gives_back_what_is_ours_and_nothing_else() -> None:
    with beside(start=False) as node:
        peer, other = node.peers
        node.directly(peer, "balance", "close")
        node.begin_again()
        node.wait_s(30)
        node.call("revenue-ignore", [STRANGER])
        node.stop_cleanly()
        assert node.stands(peer) == {"balance", "close"}
        assert node.stands(other) == frozenset()
        assert node.stands(STRANGER) == ALL
        assert node.claims() == {(STRANGER, tag) for tag in ALL}
        node.begin_again()
        node.wait_s(30)
        assert node.stands(other) == BOTH


def test_a_stop_asks_nothing_where_nothing_is_ours() -> None:
    with beside(present=False) as node:
        asked = node.calls["clboss-status"]
        node.wait_s(RETRY_S * 2)
        asked = node.calls["clboss-status"]
        node.stop_cleanly()
        assert node.calls["clboss-status"] == asked


def test_who_leaves_by_restore_fees_leaves_nothing_at_clboss(node: Beside) -> None:
    """In spite of the pause that begins it; what was ordered by hand stays ordered."""
    peer, other = node.peers
    node.call("revenue-ignore", [other])
    node.wait_s(30)
    answer = node.call("revenue-config", ["set", "restore-fees", True])
    assert answer["paused"] is True
    assert (node.stands(peer), node.stands(other)) == (frozenset(), ALL)
    node.wait_s(2 * HOUR_S)
    assert node.stands(peer) == frozenset(), "nothing is taken again while the pause holds"
    node.call("revenue-config", ["set", "paused", False])
    node.wait_s(30)
    assert node.stands(peer) == BOTH


@pytest.mark.parametrize("kind", ["timeout", "error", "truncated"])
def test_what_could_not_be_given_back_stays_remembered_and_is_given_back_later(
    node: Beside, kind: str
) -> None:
    node.faults.add(Fault(kind, "clboss-status"))
    node.stop_cleanly()
    assert len(node.claims()) == 4
    assert [node.stands(peer) for peer in node.peers] == [BOTH, BOTH]
    assert any("has 2 peers back" in text for _, text in node.life.logs)
    node.faults.clear()
    node.begin_again()
    node.policies(*(PeerPolicy(peer, "passive", "disabled") for peer in node.peers))
    node.wait_s(30)
    assert [node.stands(peer) for peer in node.peers] == [frozenset(), frozenset()]


def test_a_stop_makes_a_bounded_number_of_calls() -> None:
    with beside(peers=205) as node:
        node.wait_s(60)
        told = node.calls["clboss-unmanage"]
        assert told == 205
        node.stop_cleanly()
        assert node.calls["clboss-unmanage"] - told == 200
        assert len(node.claims()) == 10


# -- kills --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["clboss-unmanage", "after"])
def test_killed_between_record_and_write_or_after_the_write(tmp_path: Path, method: str) -> None:
    """The two are the same on our disk: what is found at CLBoss decides."""
    with beside(start=False) as node:
        kept: list[Path] = []

        def keep(asked: str) -> None:
            if asked == "clboss-unmanage" and not kept:
                kept.append(node.keep(tmp_path / "kept"))

        node.asked = keep
        node.begin_again()
        if method == "clboss-unmanage":
            node.faults.add(Fault("timeout", "clboss-unmanage"))
        node.wait_s(30)
        node.kill_with(kept[0])
        written = node.stands(node.peers[0]) == BOTH
        assert written is (method == "after")
        assert len(node.claims()) == 4, "it was remembered before it was written"
        node.faults.clear()
        node.start()
        node.policies(*(PeerPolicy(peer, "passive", "disabled") for peer in node.peers))
        node.wait_s(HOUR_S + 60)
        assert [node.stands(peer) for peer in node.peers] == [frozenset(), frozenset()]
        assert node.claims() == set()


def test_what_was_remembered_and_not_written_is_not_ours_when_another_sets_it_later(
    tmp_path: Path,
) -> None:
    with beside(start=False) as node:
        kept: list[Path] = []
        node.asked = lambda asked: (
            kept.append(node.keep(tmp_path / "kept"))
            if asked == "clboss-unmanage" and not kept
            else None
        )
        node.faults.add(Fault("timeout", "clboss-unmanage"))
        node.begin_again()
        node.wait_s(30)
        node.kill_with(kept[0])
        node.faults.clear()
        peer = node.peers[0]
        node.start()
        node.policies(PeerPolicy(peer, "passive", "disabled"))
        node.wait_s(2 * HOUR_S)
        node.directly(peer, "lnfee")
        node.wait_s(2 * HOUR_S)
        node.stop_cleanly()
        assert node.stands(peer) == {"lnfee"}


def test_killed_between_giving_back_and_forgetting(tmp_path: Path, node: Beside) -> None:
    """What was given back and then set by another is theirs, once we have looked in between."""
    peer = node.peers[0]
    kept = node.keep(tmp_path / "kept")
    node.policies(PeerPolicy(peer, "passive", "disabled"))
    node.wait_s(5)
    node.kill_with(kept)
    assert (peer, "lnfee") in node.claims()
    node.start()
    node.policies(PeerPolicy(peer, "passive", "disabled"))
    node.wait_s(30)
    assert (peer, "lnfee") not in node.claims()
    node.directly(peer, "lnfee")
    node.wait_s(HOUR_S + 60)
    node.stop_cleanly()
    assert node.stands(peer) == {"lnfee"}


def test_a_write_that_comes_late_is_known_as_ours(node: Beside) -> None:
    """CLBoss hangs: the write was not answered, and takes effect after the next reading."""
    peer = node.peers[0]
    node.policies(PeerPolicy(peer, "passive", "disabled"))
    node.wait_s(5)
    node.faults.add(Fault("timeout", "clboss-unmanage"))
    node.policies()
    node.wait_s(5)
    node.faults.clear()
    node.policies(PeerPolicy(peer, "passive", "disabled"))
    node.boss_status()
    node.wait_s(120)
    node.boss_status()
    node.directly(peer, "lnfee", "balance")
    node.wait_s(HOUR_S + 60)
    assert node.stands(peer) == frozenset()


def test_a_kill_gives_nothing_back_and_forgets_nothing(node: Beside) -> None:
    node.restart()
    assert [node.stands(peer) for peer in node.peers] == [BOTH, BOTH]
    node.policies(PeerPolicy(node.peers[0], "passive", "disabled"))
    node.wait_s(30)
    assert node.stands(node.peers[0]) == frozenset()


# -- reverted fees ------------------------------------------------------------------------------


def channel_of(node: Beside, peer_id: str) -> str:
    return next(c.channel_id for c in node.world.channels.values() if c.peer_id == peer_id)


def test_clboss_sets_no_fee_of_a_peer_that_is_told_and_all_others() -> None:
    with beside(start=False) as node:
        for _ in range(3):
            node.boss.set_fees()
        before = {c.channel_id: c.policy.ppm for c in node.world.channels.values()}
        assert all(200 < ppm < 500 for ppm in before.values())
        node.directly(node.peers[0], "lnfee")
        node.boss.set_fees()
        kept = channel_of(node, node.peers[0])
        after = {c.channel_id: c.policy.ppm for c in node.world.channels.values()}
        assert [c for c in before if before[c] == after[c]] == [kept]


def test_beside_a_clboss_that_obeys_no_fee_is_reverted(node: Beside) -> None:
    node.advance(node.now_s + 24 * HOUR_S, step_s=1_800.0)
    assert node.boss.passes > 6
    assert node.boss_status()["reverted_fees"] == {"count": 0, "last": None, "peers": []}


def test_a_fee_that_is_changed_in_spite_of_the_tag_is_reported(node: Beside) -> None:
    peer = node.peers[0]
    node.wait_s(12 * HOUR_S)
    ours = node.world.channel(channel_of(node, peer)).policy.ppm
    for _ in range(2):
        node.call("setchannel", {"id": peer, "feeppm": 1_234, "feebase": 7})
        node.wait_s(HOUR_S)
    told = node.boss_status()["reverted_fees"]
    assert told["count"] == 2
    (row,) = told["peers"]
    assert (row["peer_id"], row["count"]) == (peer, 2)
    assert row["last"] == told["last"]
    assert (told["last"]["fee_ppm"], told["last"]["fee_base_msat"]) == (1_234, 7)
    assert ours / 2 < told["last"]["our_fee_ppm"] < ours * 2
    assert told["last"]["channel_id"] == channel_of(node, peer)


def test_a_fee_set_before_the_tag_stood_is_no_revert(node: Beside) -> None:
    peer = node.peers[0]
    node.wait_s(12 * HOUR_S)
    node.stop_cleanly()
    node.boss.set_fees()
    node.begin_again()
    node.wait_s(3 * HOUR_S)
    assert node.world.channel(channel_of(node, peer)).policy.base_msat == 0
    assert node.boss_status()["reverted_fees"]["count"] == 0


def test_a_fee_of_a_passive_peer_is_no_revert(node: Beside) -> None:
    peer = node.peers[0]
    node.policies(PeerPolicy(peer, "passive"))
    node.wait_s(12 * HOUR_S)
    node.call("setchannel", {"id": peer, "feeppm": 1_234, "feebase": 7})
    node.wait_s(HOUR_S)
    assert node.boss_status()["reverted_fees"]["count"] == 0
