"""An operator leaves: the fees found at first contact are put back, whatever happens meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cl_revenue_ops.simnode.errors import SimRpcError
from cl_revenue_ops.simnode.faults import Fault
from messages.settings import RestoreFees
from tests.sim.house_life import Killed
from tests.sim.house_support import HouseNode, house_node
from tests.sim.test_house_fees import lose_answers
from tests.sim.test_house_policy_terms import CYCLE_S, Engine

FOUND = [(137, 1_000), (250, 0), (1, 1_000), (90, 5)]
NAMES = ("restore-fees", "restore_fees", "revenue-ops-restore-fees")


@pytest.fixture
def node() -> Iterator[HouseNode]:
    """Four channels that came with fees of their own, and have been given others."""
    with house_node(start=False) as node:
        for name, (ppm, base_msat) in zip(("alice", "bob", "carol", "dave"), FOUND, strict=True):
            channel_id = node.open(name, 1_000_000, 500_000)
            node.world.set_channel(channel_id, base_msat=base_msat, ppm=ppm)
        node.start()
        node.settle()
        node.wait_s(100.0)
        for channel in node.world.channels.values():
            node.call("revenue-set-fee", [str(channel.scid), 700])
            node.call("revenue-set-fee", [str(channel.scid), "auto"])
        yield node


def policies(node: HouseNode) -> list[tuple[int, int]]:
    return [(c.policy.ppm, c.policy.base_msat) for c in node.world.channels.values()]


def scids(node: HouseNode) -> list[str]:
    return [str(channel.scid) for channel in node.world.channels.values()]


def leave(node: HouseNode, name: str = "restore-fees") -> dict[str, Any]:
    answer: dict[str, Any] = node.call("revenue-config", ["set", name, True])
    return answer


@pytest.mark.parametrize("name", NAMES)
def test_it_pauses_puts_everything_back_and_says_what_it_did(node: HouseNode, name: str) -> None:
    before = dict(zip(scids(node), policies(node), strict=True))
    assert not set(before.values()) & {*FOUND}
    answer = leave(node, name)
    assert policies(node) == FOUND
    assert (answer["status"], answer["success"], answer["paused"]) == ("success", True, True)
    was = {
        row["channel_id"]: (row["old_fee_ppm"], row["old_base_fee_msat"])
        for row in answer["restored"]
    }
    assert was == before
    assert {(row["new_fee_ppm"], row["new_base_fee_msat"]) for row in answer["restored"]} == {
        *FOUND
    }
    assert (answer["failed"], answer["left_alone"]) == ([], [])
    status = node.status()
    assert (status["paused"], status["writes_closed_because"]) == (
        True,
        {"paused": "paused by the operator"},
    )
    newest = status["recent_fee_changes"][0]
    assert (newest["manual"], "as found at first contact" in newest["reason"]) == (1, True)
    assert status["foreign_fees"] == []


def test_it_is_an_action_that_nothing_stores(node: HouseNode) -> None:
    def config(*words: object) -> dict[str, Any]:
        answer: dict[str, Any] = node.call("revenue-config", list(words))
        return answer

    before = config("get", "restore-fees")
    assert (before["value"], before["stored"], before["last"]) == (False, False, None)
    for words in (["set", "restore_fees", False], ["reset", "restore_fees"], ["set", NAMES[2]]):
        with pytest.raises(SimRpcError) as refused:
            node.call("revenue-config", words)
        assert refused.value.code == -32602
    with pytest.raises(SimRpcError):
        node.call("setconfig", ["revenue-ops-restore-fees", True])
    assert node.status()["paused"] is False
    leave(node)
    after = config("get", "restore-fees")
    assert (after["value"], after["paused"]) == (False, True)
    assert after["last"]["restored"] == 4
    assert not any("restore" in row["key"] for row in config("list")["settings"])
    assert not any("restore" in key for key in config("list-mutable")["mutable_keys"])
    assert node.query("SELECT key FROM settings_override") == [("paused",)]


def test_nothing_is_written_afterwards_and_managing_goes_on_from_there(node: HouseNode) -> None:
    leave(node)
    node.wait_s(5 * CYCLE_S)
    node.restart()
    node.wait_s(5 * CYCLE_S)
    assert policies(node) == FOUND
    refused = node.call("revenue-set-fee", [scids(node)[0], 500])
    assert refused["status"] == "error"
    node.call("revenue-config", ["set", "paused", False])
    node.wait_s(CYCLE_S + 60.0)
    rows = node.call("revenue-fee-debug")["channels"]
    assert {row["whose"] for row in rows} == {"ours"}
    assert node.call("revenue-set-fee", [scids(node)[0], 500])["written"] is True


def test_what_was_never_changed_or_never_seen_or_is_closing_is_left_alone(node: HouseNode) -> None:
    first, second, *_ = list(node.world.channels)
    node.world.set_channel(first, base_msat=1_000, ppm=137)
    node.world.close(second)
    fresh = node.open("erin", 1_000_000, 500_000)
    node.settle()
    answer = leave(node)
    why = {row["full_channel_id"]: row["reason"] for row in answer["left_alone"]}
    assert why[first] == "already as found"
    assert why[second].startswith("the channel is in ")
    assert why[fresh].startswith("never seen")
    assert [row["full_channel_id"] for row in answer["restored"]] == sorted(
        list(node.world.channels)[2:4]
    )
    assert answer["status"] == "success"


def test_a_second_call_finds_nothing_left_to_do(node: HouseNode) -> None:
    leave(node)
    written = node.calls["setchannel"]
    again = leave(node)
    assert (again["restored"], len(again["left_alone"]), again["success"]) == ([], 4, True)
    assert node.calls["setchannel"] == written


def test_one_channel_that_fails_is_told_and_the_rest_is_done(node: HouseNode) -> None:
    target = list(node.world.channels)[1]
    whole = node.answer

    def answer(request: bytes, before_send: Callable[[], None] | None) -> bytearray | None:
        asked = json.loads(request)
        if asked["method"] == "setchannel" and asked["params"]["id"] == target:
            return bytearray(
                json.dumps(
                    {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -1, "message": "no"}}
                ).encode()
            )
        return whole(request, before_send)

    node.answer = answer  # type: ignore[method-assign]
    told = leave(node)
    assert (told["status"], told["success"]) == ("incomplete", False)
    (failed,) = told["failed"]
    assert (failed["full_channel_id"], failed["reason"]) == (target, "failed: setchannel: no")
    assert len(told["restored"]) == 3
    node.answer = whole  # type: ignore[method-assign]
    again = leave(node)
    assert [row["full_channel_id"] for row in again["restored"]] == [target]
    assert (again["success"], policies(node)) == (True, FOUND)


def test_a_peer_that_is_away_gets_its_fee_back_too(node: HouseNode) -> None:
    node.world.disconnect(next(iter(node.world.peers)))
    assert (leave(node)["success"], policies(node)) == (True, FOUND)


def test_a_lost_answer_is_found_out(node: HouseNode) -> None:
    """And three of them open the breaker: the rest waits for a second call."""
    end = lose_answers(node, "setchannel", taken=True)
    answer = leave(node)
    end()
    assert (answer["status"], len(answer["restored"]), len(answer["failed"])) == (
        "incomplete",
        3,
        1,
    )
    node.wait_s(61.0)
    assert (leave(node)["success"], policies(node)) == (True, FOUND)


def test_a_node_that_cannot_be_read_leaves_it_paused_and_says_so(node: HouseNode) -> None:
    before = policies(node)
    node.faults.add(Fault("error", "listpeerchannels"))
    answer = leave(node)
    assert (answer["status"], answer["success"]) == ("error", False)
    assert "no fee was put back" in answer["error"]
    node.faults.clear()
    assert (node.status()["paused"], policies(node)) == (True, before)
    assert (leave(node)["success"], policies(node)) == (True, FOUND)


@pytest.mark.parametrize("where", ["dry_run", "out of sync"])
def test_what_forbids_every_write_forbids_this_too_in_one_line(node: HouseNode, where: str) -> None:
    if where == "dry_run":
        node.call("revenue-config", ["set", "dry_run", True])
    else:
        node.world.synced = False
        node.wait_s(CYCLE_S)
    before = policies(node)
    answer = leave(node)
    assert (answer["status"], answer["success"]) == ("error", False)
    assert answer["error"].startswith("no fee is put back and nothing has changed: ")
    assert where.replace("_", " ") in answer["error"]
    assert (node.status()["paused"], policies(node)) == (False, before)


def test_in_safe_mode_nothing_is_put_back(node: HouseNode) -> None:
    from messages.control import Suspend

    before = policies(node)
    node.life.house.core.post.tell("fee-controller", Suspend("a test"))
    answer = leave(node)
    assert (answer["success"], "a test" in answer["error"]) == (False, True)
    assert policies(node) == before


@pytest.mark.parametrize("writes", range(5))
def test_killed_after_any_write_the_pause_holds_and_a_second_call_finishes(
    node: HouseNode, writes: int
) -> None:
    before = node.calls["setchannel"]
    whole = node.answer

    def answers(request: bytes, before_send: Callable[[], None] | None) -> bytearray | None:
        is_write = json.loads(request)["method"] == "setchannel"
        if is_write and node.calls["setchannel"] - before >= writes:
            node.life.dies_when = lambda: True
            raise Killed
        return whole(request, before_send)

    node.answer = answers  # type: ignore[method-assign]
    call_and_die(node)
    node.answer = whole  # type: ignore[method-assign]
    node.restart()
    node.settle()
    assert node.status()["paused"] is True
    node.wait_s(3 * CYCLE_S)
    back = [seen == found for seen, found in zip(policies(node), FOUND, strict=True)]
    assert sum(back) == min(writes, 4)
    answer = leave(node)
    assert (answer["success"], policies(node)) == (True, FOUND)
    assert len(answer["restored"]) == 4 - min(writes, 4)


def call_and_die(node: HouseNode) -> None:
    """Leave, in a process that may not live to answer."""
    try:
        leave(node)
    except (SimRpcError, AssertionError, TypeError, KeyError):
        return


@pytest.mark.parametrize("messages", range(12))
def test_killed_at_any_message_it_is_finished_by_a_second_call(
    node: HouseNode, messages: int
) -> None:
    before = policies(node)
    node.life.die_after(messages)
    call_and_die(node)
    node.restart()
    node.settle()
    paused = node.status()["paused"]
    assert paused or policies(node) == before, "the pause is stored before the first fee"
    answer = leave(node)
    assert (answer["success"], policies(node)) == (True, FOUND)


class Client:
    """Waits for an answer."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def result(self, body: object) -> None:
        self.told.append(body)

    def error(self, code: int, text: str) -> None:
        self.told.append((code, text))


def test_whoever_gives_up_waiting_changes_nothing_and_whoever_joins_is_answered(
    node: HouseNode,
) -> None:
    life = node.life
    calls, post = life.facade._calls, life.house.core.post
    gone, waiting = Client(), Client()
    for client in (gone, waiting):
        deadline_s = life.runtime.clock.monotonic() + 600.0
        call_id = calls.open(client, deadline_s)
        ticket = life.gate.ticket()
        life.gate.close("paused", "paused by the operator", ticket)
        post.tell("settings", RestoreFees(call_id, "gateway", deadline_s, ticket))
        if client is gone:
            calls.refuse(call_id, "no answer in time", False)
    node.settle()
    assert policies(node) == FOUND
    assert gone.told == [{"status": "error", "error": "no answer in time", "success": False}]
    (answer,) = waiting.told
    assert answer["success"] is True
    assert node.call("revenue-config", ["get", "restore-fees"])["last"]["under_way"] is False


def test_of_a_passive_peer_only_our_own_fee_is_taken_back(node: HouseNode) -> None:
    engine, channels = Engine(node), list(node.world.channels.values())
    for channel in channels[:2]:
        engine.set(channel.peer_id, "passive")
    node.settle()
    node.world.set_channel(channels[0].channel_id, base_msat=3, ppm=333)
    node.wait_s(CYCLE_S)
    answer = leave(node)
    assert policies(node) == [(333, 3), *FOUND[1:]]
    (left,) = answer["left_alone"]
    assert "passive" in left["reason"]


def test_pins_and_static_policies_do_not_keep_a_fee_from_going_back(node: HouseNode) -> None:
    node.call("revenue-set-fee", [scids(node)[0], 640])
    engine = Engine(node)
    engine.set(list(node.world.channels.values())[1].peer_id, "static", fee_ppm=900)
    node.settle()
    leave(node)
    node.wait_s(2 * CYCLE_S)
    assert policies(node) == FOUND
    node.call("revenue-config", ["set", "paused", False])
    node.wait_s(CYCLE_S + 60.0)
    assert [ppm for ppm, _ in policies(node)][:2] == [640, 900], "orders hold again"


def test_unpaused_in_the_middle_the_rest_is_left_to_the_controller(node: HouseNode) -> None:
    """With more channels than one step takes; no fee is lost, none is written twice."""
    for number in range(40):
        channel_id = node.open(f"peer {number}", 1_000_000, 500_000)
        node.world.set_channel(channel_id, base_msat=1_000, ppm=50)
    node.wait_s(CYCLE_S + 100.0)
    for channel in list(node.world.channels.values())[4:]:
        node.world.set_channel(channel.channel_id, base_msat=0, ppm=51)
    unpaused: list[bool] = []
    before = node.calls["setchannel"]

    def asked(method: str) -> None:
        if method == "setchannel" and node.calls["setchannel"] - before >= 10 and not unpaused:
            unpaused.append(True)
            node.life.gate.open("paused")

    node.asked = asked
    answer = leave(node)
    assert answer["status"] == "incomplete"
    assert {row["reason"].split(":")[0] for row in answer["failed"]} == {"not paused any more"}
    assert len(answer["restored"]) + len(answer["failed"]) == 44
