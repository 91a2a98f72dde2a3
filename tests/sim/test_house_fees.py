"""Fees of the whole house: what is written is what is told, whatever the node answers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cl_revenue_ops.simnode.errors import SimRpcError
from cl_revenue_ops.simnode.gossip import Edge
from cl_revenue_ops.simnode.model import Policy
from tests.sim.house_support import HouseNode, house_node

DAY_S = 86_400.0
ENTRY = Path(__file__).resolve().parents[2] / "cl-revenue-ops.py"


@pytest.fixture
def node() -> Iterator[HouseNode]:
    with house_node(start=False) as node:
        for name in ("alice", "bob"):
            node.open(name, 1_000_000, 500_000)
        node.start()
        node.settle()
        yield node


def first_scid(node: HouseNode) -> str:
    return str(next(iter(node.world.channels.values())).scid)


def first_ppm(node: HouseNode) -> int:
    return int(next(iter(node.world.channels.values())).policy.ppm)


def decision(node: HouseNode, scid: str) -> dict[str, Any]:
    (row,) = node.call("revenue-fee-debug", [scid])["channels"]
    assert isinstance(row, dict)
    return row


def rivals_ask(node: HouseNode, peer_id: str, *prices_ppm: int) -> None:
    """Others charge these prices into the peer."""
    for number, ppm in enumerate(prices_ppm):
        node.world.gossip.update(
            Edge(
                f"60000{number}x{int(peer_id[2:6], 16)}x0",
                "03" + f"{number:02x}" * 32,
                peer_id,
                10_000_000_000,
                Policy(0, ppm),
                int(node.now_s),
            )
        )


def lose_answers(node: HouseNode, method: str, *, taken: bool) -> Callable[[], None]:
    """Answers to this method get lost, after or before the node took the call; returns the end."""
    whole = node.answer

    def answer(request: bytes, before_send: Callable[[], None] | None) -> bytearray | None:
        if json.loads(request)["method"] != method:
            return whole(request, before_send)
        if taken:
            whole(request, before_send)
        return None

    node.answer = answer  # type: ignore[method-assign]

    def end() -> None:
        node.answer = whole  # type: ignore[method-assign]

    return end


def test_a_lost_answer_of_a_write_that_was_taken_is_found_out(node: HouseNode) -> None:
    end = lose_answers(node, "setchannel", taken=True)
    answer = node.call("revenue-set-fee", [first_scid(node), 777])
    end()
    assert (answer["status"], answer["written"], first_ppm(node)) == ("success", True, 777)
    assert decision(node, first_scid(node))["outcome"] == "set"


def test_a_lost_answer_of_a_write_that_was_not_taken_is_no_success(node: HouseNode) -> None:
    before = first_ppm(node)
    end = lose_answers(node, "setchannel", taken=False)
    answer = node.call("revenue-set-fee", [first_scid(node), 777])
    end()
    assert (answer["status"], answer["success"]) == ("error", False)
    assert first_ppm(node) == before
    node.wait_s(3 * 3600)
    assert first_ppm(node) != 777, "an order that failed must not be carried out later"


def test_a_lost_answer_in_a_cycle_is_found_out_too(node: HouseNode) -> None:
    for peer_id in node.world.peers:
        rivals_ask(node, peer_id, 300, 310, 320)
    node.wait_s(120)
    end = lose_answers(node, "setchannel", taken=True)
    node.wait_s(2 * 1800)
    end()
    changes = node.status()["recent_fee_changes"]
    assert changes
    assert {row["new_fee_ppm"] for row in changes} >= {first_ppm(node)}


@pytest.mark.parametrize("key", ["dry_run", "paused"])
def test_c15_auto_tells_the_fee_that_stands_and_not_the_one_it_wants(
    node: HouseNode, key: str
) -> None:
    scid = first_scid(node)
    node.call("revenue-set-fee", [scid, 777])
    node.call("revenue-config", ["set", key, True])
    answer = node.call("revenue-set-fee", [scid, "auto"])
    assert (answer["fee_ppm"], answer["new_fee_ppm"], answer["written"]) == (777, 777, False)
    assert first_ppm(node) == 777
    assert not answer["pinned"]


def test_a_forced_fee_is_set_exactly_and_told_exactly(node: HouseNode) -> None:
    answer = node.call("revenue-set-fee", [first_scid(node), 9_000, "force=true"])
    assert (answer["new_fee_ppm"], first_ppm(node)) == (9_000, 9_000)


def test_a_pin_holds_over_cycles_and_restarts(node: HouseNode) -> None:
    node.call("revenue-set-fee", [first_scid(node), 777])
    node.wait_s(3 * 3600)
    node.restart()
    node.wait_s(3 * 3600)
    assert first_ppm(node) == 777


def test_a_foreign_fee_is_left_alone_for_a_day_and_then_managed_again(node: HouseNode) -> None:
    scid = first_scid(node)
    for peer_id in node.world.peers:
        rivals_ask(node, peer_id, 200, 210, 220)
    node.wait_s(5 * DAY_S)
    node.call("setchannel", {"id": scid, "feeppm": 1_234})
    node.wait_s(0.9 * DAY_S)
    assert first_ppm(node) == 1_234
    assert decision(node, scid)["skip_reason"] == "foreign_fee_held"
    node.wait_s(0.2 * DAY_S)
    assert first_ppm(node) != 1_234


def test_a04_an_idle_channel_is_not_frozen(node: HouseNode) -> None:
    """No forward ever comes, and the fee still follows the competition, by half of its move in the
    log, wherever that promises to be worth an update.
    """
    for peer_id in node.world.peers:
        rivals_ask(node, peer_id, 1_000, 1_050, 1_100)
    node.wait_s(4 * DAY_S)
    high = first_ppm(node)
    for peer_id in node.world.peers:
        rivals_ask(node, peer_id, 130, 140, 150)
    node.wait_s(2 * DAY_S)
    low = first_ppm(node)
    assert 500 < high < 5_000, high
    assert high > 2 * low, (high, low)


def test_b04_virgin_amnesty_ends_with_the_first_forward_out() -> None:
    with house_node(start=False) as node:
        virgin = node.open("virgin", 1_000_000, 50_000, opener="remote")
        other = node.open("other", 1_000_000, 500_000)
        node.start()
        node.settle()
        node.wait_s(2 * 1800)
        scid = str(node.world.channel(virgin).scid)
        verdicts = {v["stage"]: v for v in decision(node, scid)["record"]["verdicts"]}
        assert verdicts["scarcity"]["code"] == "amnesty"
        node.world.forward(other, virgin, 10_000_000, 10_100_000, node.now_s)
        node.wait_s(3 * 3600)
        verdicts = {v["stage"]: v for v in decision(node, scid)["record"]["verdicts"]}
        assert verdicts["scarcity"]["code"] == "scarce"


def test_c01_no_hook_is_registered_and_no_forward_makes_a_call(node: HouseNode) -> None:
    assert node.life.manifest["hooks"] == []
    node.wait_s(120)
    incoming, outgoing = list(node.world.channels)
    before = dict(node.calls)
    for number in range(20):
        node.world.forward(incoming, outgoing, 100_000, 101_000, node.now_s + number / 100)
    node.settle()
    assert node.status()["forwards"]["settled"] == 20
    assert dict(node.calls) == before


def test_a_bad_order_changes_nothing(node: HouseNode) -> None:
    before = first_ppm(node), node.query("SELECT count(*) FROM fee_decision")
    for arguments in ([first_scid(node), -1], ["1x1x1", 50], [first_scid(node), 99_999], [None, 5]):
        with pytest.raises(SimRpcError) as refused:
            node.call("revenue-set-fee", arguments)
        assert refused.value.code == -32602
    assert (first_ppm(node), node.query("SELECT count(*) FROM fee_decision")) == before


def test_the_entry_file_refuses_packages_of_its_names_from_elsewhere(tmp_path: Path) -> None:
    """Run from a copy without its own `actors`, it must not take those of another folder."""
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "actors").mkdir(parents=True)
    (elsewhere / "actors" / "__init__.py").write_text("")
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(ENTRY, alone)
    shutil.copytree(ENTRY.parent / "messages", alone / "messages")
    done = subprocess.run(
        [sys.executable, str(alone / ENTRY.name)],
        env={"PYTHONPATH": str(elsewhere)},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "comes from" in done.stderr
