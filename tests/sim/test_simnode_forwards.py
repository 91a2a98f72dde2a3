"""The index rules of listforwards, deletion, bulk history, and waiting for indexes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from cl_revenue_ops.simnode.errors import NodeDown, SimRpcError
from cl_revenue_ops.simnode.forward_log import History
from cl_revenue_ops.simnode.identity import scid_number
from cl_revenue_ops.simnode.model import Policy
from cl_revenue_ops.simnode.node import SimulatedNode

START_S = 1_700_000_000.0


@pytest.fixture
def node() -> Iterator[SimulatedNode]:
    """Rows 1 settled, 2 local_failed, 3 failed, 4 offered, 5 settled; updates go 3, 1, 5."""
    with SimulatedNode(start_s=START_S) as node:
        world = node.world
        one, two = (
            world.open_channel(
                world.add_peer(name), 1_000_000, 500_000_000, policy=Policy(0, 100),
                established=True,
            )
            for name in "ab"
        )  # fmt: skip
        first = world.forward(one, two, 1_000_000, 1_000_100, START_S + 1, "pending")
        world.forward(one, two, 1_000_000, 1_000_000, START_S + 2)
        world.forward(two, one, 1_000_000, 1_000_100, START_S + 3, "failed")
        world.forward(one, two, 2_000_000, 2_000_200, START_S + 4, "pending")
        world.resolve(first.created_index, at_s=START_S + 5)
        world.forward(one, two, 3_000_000, 3_000_300, START_S + 6)
        yield node


def rows(node: SimulatedNode, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = node.call("listforwards", params)["forwards"]
    return found


def created(node: SimulatedNode, **params: Any) -> list[int]:
    return [row["created_index"] for row in rows(node, **params)]


def test_rows_carry_what_their_status_allows(node: SimulatedNode) -> None:
    settled, refused, failed, offered, _ = rows(node)
    assert settled["fee_msat"] == 100
    assert settled["resolved_time"] == pytest.approx(START_S + 5)
    assert (refused["status"], refused["failreason"]) == ("local_failed", "WIRE_FEE_INSUFFICIENT")
    assert "resolved_time" not in refused
    assert "updated_index" not in refused
    assert "out_htlc_id" not in refused
    assert "resolved_time" in failed
    assert "failcode" not in failed
    assert not {"resolved_time", "updated_index"} & set(offered)
    assert all("payment_hash" not in row for row in rows(node))


def test_pages_by_created_start_inclusively(node: SimulatedNode) -> None:
    assert created(node, index="created", start=2, limit=2) == [2, 3]
    assert created(node, index="created", start=6) == []
    assert created(node, index="created", start=1, limit=2, status="settled") == [1, 5]


def test_updated_leaves_out_rows_that_never_changed(node: SimulatedNode) -> None:
    assert created(node, index="updated") == [3, 1, 5]
    assert created(node, index="updated", start=2, limit=1) == [1]


def test_a_channel_filter_ignores_the_limit(node: SimulatedNode) -> None:
    scid = rows(node)[0]["in_channel"]
    assert len(rows(node, in_channel=scid, index="created", limit=1)) == 4
    assert len(rows(node, out_channel=scid)) == 1


@pytest.mark.parametrize(
    "params",
    [
        {"start": 1},
        {"limit": 1},
        {"index": "created", "start": 1, "in_channel": "1x1x1"},
        {"index": "deleted"},
        {"status": "pending"},
        {"in_channel": "nonsense"},
        {"index": "created", "start": -1},
        {"index": "created", "limit": "many"},
        {"surprise": 1},
    ],
)
def test_bad_combinations_are_refused(node: SimulatedNode, params: dict[str, Any]) -> None:
    with pytest.raises(SimRpcError) as refused:
        node.call("listforwards", params)
    assert refused.value.code == -32602


def test_deletion_leaves_gaps_and_keeps_lifetime_fees(node: SimulatedNode) -> None:
    fees_msat = node.call("getinfo")["fees_collected_msat"]
    assert fees_msat == 400
    entry = rows(node)[0]
    key = {"in_channel": entry["in_channel"], "in_htlc_id": entry["in_htlc_id"]}
    with pytest.raises(SimRpcError) as missing:
        node.call("delforward", {**key, "status": "failed"})
    assert missing.value.code == 1401
    node.call("delforward", {**key, "status": "settled"})
    assert created(node, index="created") == [2, 3, 4, 5]
    assert created(node, index="updated") == [3, 5]
    assert node.call("wait", ["forwards", "deleted", 0])["deleted"] == 1
    channels = list(node.world.channels)
    row = node.world.forward(channels[0], channels[1], 1_000, 1_001, START_S + 9)
    assert row.created_index == 6
    assert node.call("getinfo")["fees_collected_msat"] == fees_msat + 1


def test_autoclean_follows_its_options_and_spares_offered_rows(node: SimulatedNode) -> None:
    node.call("setconfig", {"config": "autoclean-succeededforwards-age", "val": 3600})
    node.call("setconfig", {"config": "autoclean-failedforwards-age", "val": 100_000})
    status = node.call("autoclean-status")["autoclean"]
    assert status["succeededforwards"] == {"enabled": True, "age": 3600, "cleaned": 0}
    assert status["paidinvoices"] == {"enabled": False, "cleaned": 0}
    node.advance(START_S + 7_200, step_s=3600)
    node.advance(START_S + 12_000, step_s=3600)
    assert created(node) == [2, 3, 4]
    cleaned = node.call("autoclean-status")["autoclean"]["succeededforwards"]["cleaned"]
    assert cleaned == 2
    node.call("autoclean-once", {"subsystem": "failedforwards", "age": 10})
    assert created(node) == [4]


def test_a_pending_row_can_still_fail_locally(node: SimulatedNode) -> None:
    row = node.world.resolve(4, "local_failed", at_s=START_S + 9)
    assert row.resolved_s is None
    shown = rows(node, index="created", start=4, limit=1)[0]
    assert (shown["status"], shown["updated_index"]) == ("local_failed", 4)
    assert "resolved_time" not in shown


def test_wait_reports_present_indexes_at_once(node: SimulatedNode) -> None:
    assert node.call("wait", ["forwards", "created", 0])["created"] == 5
    answer = node.call("wait", {"subsystem": "forwards", "indexname": "updated", "nextvalue": 0})
    assert answer == {"subsystem": "forwards", "updated": 3}
    # Two pushes at the openings and two rows for each settled forward.
    assert node.call("wait", ["channelmoves", "created", 0])["created"] == 6


def test_wait_blocks_until_the_index_is_reached(node: SimulatedNode) -> None:
    answers: list[Any] = []
    waiting = threading.Thread(
        target=lambda: answers.append(node.call("wait", ["forwards", "created", 6]))
    )
    waiting.start()
    one, two = list(node.world.channels)
    assert answers == []
    node.world.forward(one, two, 1_000, 1_001, START_S + 9)
    waiting.join(10)
    assert answers[0]["created"] == 6


def test_who_had_to_wait_is_told_of_the_newest_forward(node: SimulatedNode) -> None:
    one, two = list(node.world.channels)
    answers: list[Any] = []
    for reached in range(6, 60):
        waiting = threading.Thread(
            target=lambda index: answers.append(node.call("wait", ["forwards", "created", index])),
            args=(reached,),
        )
        asked = node.calls.get("wait", 0)
        waiting.start()
        node.wait_until(lambda asked=asked: node.calls.get("wait", 0) > asked)  # type: ignore[misc]
        node.world.forward(one, two, 1_000, 1_001, START_S + reached)
        waiting.join(10)
        if "forwards" in answers[-1]:
            break
    assert answers[-1]["forwards"]["in_msat"] == 1_001


def test_a_pending_wait_ends_with_the_node(node: SimulatedNode) -> None:
    ends: list[BaseException] = []

    def wait() -> None:
        try:
            node.call("wait", ["forwards", "created", 99])
        except NodeDown as down:
            ends.append(down)

    waiting = threading.Thread(target=wait)
    waiting.start()
    node.wait_until(lambda: "wait" in node.calls)
    node.stop()
    waiting.join(10)
    assert len(ends) == 1


def history(count: int) -> History:
    rng = np.random.default_rng(4)
    received = np.sort(rng.uniform(1.6e9, 1.69e9, count))
    out = rng.integers(1_000, 10**9, count).astype(np.uint64)
    ends = np.array([scid_number("600000x1x0"), scid_number("600000x2x0")], np.uint64)
    return History(
        in_scid=ends[rng.integers(0, 2, count)], out_scid=ends[rng.integers(0, 2, count)],
        in_msat=out + out // np.uint64(1000), out_msat=out,
        status=rng.choice([1, 2, 3], count).astype(np.uint8), received_s=received,
        resolved_s=received + 1.0,
    )  # fmt: skip


def test_preloaded_history_follows_the_same_rules() -> None:
    past = history(5_000)
    with SimulatedNode(start_s=START_S) as node:
        node.world.preload_forwards(past)
        seen: list[dict[str, Any]] = []
        while page := rows(node, index="created", start=len(seen) + 1, limit=1000):
            assert len(page) == 1000
            seen += page
        assert [row["created_index"] for row in seen] == list(range(1, 5_001))
        keys = {(row["in_channel"], row["in_htlc_id"]) for row in seen}
        assert len(keys) == 5_000
        settled = [row for row in seen if row["status"] == "settled"]
        fees_msat = node.call("getinfo")["fees_collected_msat"]
        assert fees_msat == sum(row["fee_msat"] for row in settled)
        updated = rows(node, index="updated", start=1)
        assert [row["updated_index"] for row in updated] == list(range(1, len(updated) + 1))
        assert {row["status"] for row in updated} == {"settled", "failed"}
        assert all("updated_index" not in row for row in seen if row["status"] == "local_failed")


def test_live_forwards_continue_preloaded_history() -> None:
    with SimulatedNode(start_s=START_S) as node:
        world = node.world
        one, two = (
            world.open_channel(world.add_peer(n), 1_000_000, 500_000_000, established=True)
            for n in "ab"
        )
        past = history(50)
        world.preload_forwards(past)
        row = world.forward(one, two, 10_000_000, 10_001_000, START_S)
        assert row.created_index == 51
        last = rows(node, index="updated")[-1]
        assert last["created_index"] == 51
