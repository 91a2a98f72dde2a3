"""Orders by hand and searches at awkward moments: just after a job's end, a peer's return."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sim.rebalance_support import RebalanceNode, rebalance_node


@pytest.fixture
def node() -> Iterator[RebalanceNode]:
    with rebalance_node() as node:
        yield node


def test_a_job_that_has_just_ended_is_not_mistaken_for_somebody_elses(node: RebalanceNode) -> None:
    node.force(50_000, 50)
    while node.states() != {"r1": "ended"}:
        node.wait_s(1)
    assert node.call("revenue-rebalance-debug")["executor"]["jobs"] == []
    node.force(50_000, 50)
    node.wait_s(60)
    assert [job["status"] for job in node.jobs()] == ["success", "success"]


@pytest.mark.parametrize("end", ["source", "destination"])
def test_a_peer_that_came_back_lately_is_left_alone_unless_forced(
    node: RebalanceNode, end: str
) -> None:
    channel = node.full[0] if end == "source" else node.empty[0]
    node.world.peers[node.world.channel(channel).peer_id].connected_s = node.now_s - 600.0
    refused = node.by_hand()
    assert "its peer comes and goes" in refused["error"]
    debug = node.call("revenue-rebalance-debug")
    assert debug[f"no_{end}"][node.scid(channel)] == "its peer comes and goes"
    ends = [(pair["from_channel"], pair["to_channel"]) for pair in debug["pairs"]]
    assert ends and all(node.scid(channel) not in pair for pair in ends)
    node.force()
    node.wait_s(60)
    assert node.job()["status"] == "success"


def test_an_hour_later_it_counts_again(node: RebalanceNode) -> None:
    for peer in node.world.peers.values():
        peer.connected_s = node.now_s - 3_600.0
    assert "comes and goes" in node.by_hand()["error"]
    node.wait_s(60)
    node.value()
    assert node.by_hand()["status"] == "initiated"
