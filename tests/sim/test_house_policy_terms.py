"""Policies in the whole house: told by messages, carried out on the node at once, over restarts."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

from cl_revenue_ops.simnode.faults import Fault
from messages.base import Message
from messages.fees import FeeTick
from messages.policies import (
    DeletePolicy,
    PeerPolicy,
    PolicyChanged,
    PolicyEdit,
    PolicySnapshot,
    SetPolicies,
)
from tests.sim.house_support import HouseNode, house_node
from tests.sim.test_house_fees import decision, first_ppm, first_scid, rivals_ask

DAY_S = 86_400.0
CYCLE_S = 1_800.0


class Engine:
    """Asks the owner of policies for changes, also from within the handling of a message."""

    def __init__(self, node: HouseNode) -> None:
        self.node = node
        self.policies: set[str] = set()

    def set(
        self, peer_id: str, strategy: str = "dynamic", *, hours: float = 0.0, **fields: Any
    ) -> None:
        self.policies.add(peer_id)
        edit = PolicyEdit(peer_id, (("strategy", strategy), *fields.items()), hours)
        self._tell(SetPolicies(*self._call(), (edit,)))

    def end(self, peer_id: str) -> None:
        self._tell(DeletePolicy(*self._call(), peer_id))

    def _call(self) -> tuple[str, str, float]:
        return "nobody waits", "gateway", self.node.life.house.core.clock.monotonic() + 60.0

    def _tell(self, command: Message) -> None:
        self.node.life.house.core.post.tell("policy-engine", command)


@pytest.fixture
def node() -> Iterator[HouseNode]:
    """Two peers, the first with two channels, in their second cycle."""
    with house_node(start=False) as node:
        alice = node.open("alice", 1_000_000, 500_000)
        node.open("alice", 2_000_000, 900_000)
        node.open("bob", 1_000_000, 500_000)
        node.start()
        node.settle()
        for peer_id in node.world.peers:
            rivals_ask(node, peer_id, 300, 310, 320)
        node.wait_s(90.0 + 2 * CYCLE_S)
        assert alice == next(iter(node.world.channels))
        yield node


@pytest.fixture
def engine(node: HouseNode) -> Engine:
    return Engine(node)


def peer_of(node: HouseNode, index: int = 0) -> str:
    return list(node.world.channels.values())[index].peer_id


def fees(node: HouseNode) -> list[int]:
    return [channel.policy.ppm for channel in node.world.channels.values()]


def rows(node: HouseNode) -> int:
    return int(node.query("SELECT sum(repeats) FROM fee_decision")[0][0])


def spend_the_day(node: HouseNode) -> None:
    """No update is left to any channel of the first peer."""
    node.call("revenue-config", ["set", "fee_updates_per_day", 1])


# -- at once ------------------------------------------------------------------------------------


def test_a_change_reprices_all_channels_of_the_peer_at_once_and_no_other(
    node: HouseNode, engine: Engine
) -> None:
    """Also outside the configured bounds, and with the day's updates spent."""
    spend_the_day(node)
    bobs, before = fees(node)[2], rows(node)
    engine.set(peer_of(node), "static", fee_ppm=7_000)
    node.settle()
    assert fees(node) == [7_000, 7_000, bobs]
    assert rows(node) == before + 2, "the two of the peer, and no second time for the snapshot"
    told = decision(node, first_scid(node))
    assert told["policy"]["strategy"] == "static"
    assert "the peer's policy pins the fee at 7000 ppm (static)" in told["sentence"]
    assert told["next"]["in_the_way"] == [
        "the fee is pinned by the peer's policy at 7000 ppm (static)"
    ]
    engine.set(peer_of(node), "hive")
    node.settle()
    assert fees(node) == [0, 0, bobs]
    engine.set(peer_of(node), min_fee_ppm=444, max_fee_ppm=444)
    node.settle()
    assert fees(node) == [444, 444, bobs]


def test_a_bound_is_kept_at_once_whatever_the_day_has_left(node: HouseNode, engine: Engine) -> None:
    spend_the_day(node)
    engine.set(peer_of(node), max_fee_ppm=6)
    node.settle()
    assert fees(node)[:2] == [6, 6]
    engine.set(peer_of(node), min_fee_ppm=2_000, max_fee_ppm=None)
    node.settle()
    assert fees(node)[:2] == [2_000, 2_000]
    engine.set(peer_of(node), fee_multiplier_max=0.1, min_fee_ppm=None)
    node.settle()
    told = decision(node, first_scid(node))
    neutral = math.exp(told["record"]["inputs"]["facts"]["market"]["priced"]["neutral"])
    assert (told["record"]["code"], fees(node)[0]) == ("policy_bound", math.floor(0.1 * neutral))


def test_a_change_that_concerns_no_fee_decides_nothing(node: HouseNode, engine: Engine) -> None:
    before = rows(node)
    engine.set(peer_of(node), rebalance="disabled", tags=("friend",))
    node.settle()
    assert rows(node) == before
    engine.set("02" + "99" * 32, "static", fee_ppm=5)
    calls = dict(node.calls)
    node.settle()
    assert dict(node.calls) == calls, "a peer without a channel costs no call to the node"


def test_the_hive_fee_follows_its_setting_at_once(node: HouseNode, engine: Engine) -> None:
    engine.set(peer_of(node), "hive")
    node.settle()
    node.call("revenue-config", ["set", "hive_fee_ppm", 3])
    node.settle()
    assert fees(node)[:2] == [3, 3]
    node.restart()
    node.settle()
    assert fees(node)[:2] == [3, 3], "the setting is known before the first decision of a life"


def test_a_change_while_a_cycle_is_under_way_loses_neither(node: HouseNode) -> None:
    """Changes come after each message of a cycle: every channel is decided in it, once."""
    for name in range(45):
        node.open(f"peer {name}", 1_000_000, 500_000)
    node.wait_s(CYCLE_S + 60.0)
    engine, peers = (
        Engine(node),
        list(dict.fromkeys(c.peer_id for c in node.world.channels.values())),
    )
    life, step = node.life, node.life.runtime._step
    handled: list[str] = []

    def counted(address: str) -> int:
        done = step(address)
        handled.append(address)
        if address == "fee-controller" and len(engine.policies) < len(peers):
            engine.set(peers[len(engine.policies)], "static", fee_ppm=1_000 + len(engine.policies))
        return done

    life.runtime._step = counted  # type: ignore[method-assign]
    before = {row[0]: row[1] for row in decided(node)}
    node.wait_s(CYCLE_S)
    life.runtime._step = step  # type: ignore[method-assign]
    assert len(engine.policies) == len(peers)
    wanted = {peer_id: 1_000 + number for number, peer_id in enumerate(peers)}
    assert {c.peer_id: c.policy.ppm for c in node.world.channels.values()} == wanted
    after = {row[0]: row[1] for row in decided(node)}
    assert all(after[name] > before.get(name, 0) for name in node.world.channels)
    assert "fee-controller" in handled


def decided(node: HouseNode) -> list[tuple[Any, ...]]:
    return node.query("SELECT channel_id, sum(repeats) FROM fee_decision GROUP BY channel_id")


def test_a_node_that_cannot_be_read_is_asked_again_soon(node: HouseNode, engine: Engine) -> None:
    fault = node.faults.add(Fault("error", "listpeerchannels"))
    engine.set(peer_of(node), "static", fee_ppm=777)
    node.settle()
    assert 777 not in fees(node)
    assert "could not be read" in node.call("revenue-fee-debug")["trouble"]
    node.faults.clear()
    assert fault is not None
    node.wait_s(61.0)
    assert fees(node)[:2] == [777, 777]


def test_what_is_told_out_of_order_ends_as_it_was_last_told(
    node: HouseNode, engine: Engine
) -> None:
    """Snapshots coalesce in the mailbox, so that an older change may come after a newer one."""
    peer_id, post = peer_of(node), node.life.house.core.post
    old, new = (PeerPolicy(peer_id, "static", fee_ppm=ppm) for ppm in (501, 502))
    with node.life.held():
        post.publish(PolicySnapshot(4, node.now_s, (old,)))
        post.publish(PolicyChanged(peer_id, "set", None, old, node.now_s, 4))
        post.publish(PolicySnapshot(5, node.now_s, (new,)))
        post.publish(PolicyChanged(peer_id, "set", old, new, node.now_s, 5))
    node.settle()
    assert fees(node)[0] == 502
    post.publish(PolicyChanged(peer_id, "set", new, old, node.now_s, 6))
    node.settle()
    assert fees(node)[0] == 501, "a change is followed before its snapshot comes"
    post.publish(PolicyChanged(peer_id, "deleted", old, None, node.now_s, 7))
    node.settle()
    assert decision(node, first_scid(node))["policy"] is None


# -- passive --------------------------------------------------------------------------------------


def test_a_passive_peer_is_never_written(node: HouseNode, engine: Engine) -> None:
    """Not by cycles, not by hand, not by auto, not by congestion, not after a restart."""
    scid, peer_id = first_scid(node), peer_of(node)
    node.call("revenue-set-fee", [scid, 640])
    node.wait_s(1.0)
    engine.set(peer_id, "passive")
    node.settle()
    written = node.calls["setchannel"]
    node.call("setchannel", {"id": scid, "feeppm": 1_234, "feebase": 9})
    refused = node.call("revenue-set-fee", [scid, 700])
    assert refused["status"] == "error"
    assert f"revenue-policy delete {peer_id}" in refused["error"]
    assert "force=true" in refused["error"]
    node.wait_s(1.2 * DAY_S)
    given_back = node.call("revenue-set-fee", [scid, "auto"])
    assert (given_back["written"], "passive" in given_back["message"]) == (False, True)
    channel = next(iter(node.world.channels))
    crowd(node, channel, 460)
    node.wait_s(2 * CYCLE_S)
    state = json.loads(node.query("SELECT body FROM fee_state WHERE channel_id = ?", channel)[0][0])
    assert state["state"]["congestion"]["active"]
    node.restart()
    node.wait_s(0.3 * DAY_S)
    own = [row for row in node.status()["foreign_fees"] if row["channel_id"] == scid]
    assert (first_ppm(node), own) == (1_234, [])
    told = decision(node, scid)
    assert told["sentence"] == "Did nothing because the peer's policy is passive."
    assert "the peer's policy is passive: its fees are left alone" in told["next"]["in_the_way"]
    assert node.query("SELECT count(*) FROM fee_decision WHERE outcome = 'set' AND at_s > ?"
                      " AND channel_id = ?", node.now_s - DAY_S, channel) == [(0,)]  # fmt: skip
    assert written >= 1


def crowd(node: HouseNode, channel_id: str, htlcs: int) -> None:
    """So many outgoing HTLCs are in flight."""
    other = next(name for name in node.world.channels if name != channel_id)
    for number in range(htlcs):
        at_s = node.now_s + number / 1000
        row = node.world.forward(other, channel_id, 100_000, 101_000, at_s, "pending")
        assert row.status == "offered"


def test_force_sets_a_fee_on_a_passive_peer_and_auto_ends_it(
    node: HouseNode, engine: Engine
) -> None:
    scid = first_scid(node)
    engine.set(peer_of(node), "passive")
    node.settle()
    forced = node.call("revenue-set-fee", [scid, 700, True])
    assert (forced["written"], first_ppm(node)) == (True, 700)
    assert "stands above the peer's policy (passive)" in forced["message"]
    node.call("setchannel", {"id": scid, "feeppm": 1_234})
    node.wait_s(CYCLE_S)
    assert first_ppm(node) == 700, "an order holds"
    node.call("revenue-set-fee", [scid, "auto"])
    node.call("setchannel", {"id": scid, "feeppm": 1_234})
    node.wait_s(3 * CYCLE_S)
    assert first_ppm(node) == 1_234


def test_a_fee_by_hand_stands_above_a_static_policy(node: HouseNode, engine: Engine) -> None:
    scid = first_scid(node)
    node.call("revenue-set-fee", [scid, 640])
    engine.set(peer_of(node), "static", fee_ppm=300)
    node.settle()
    assert fees(node)[:2] == [640, 300]
    assert "stands above the peer's policy (static)" in decision(node, scid)["sentence"] or (
        decision(node, scid)["skip_reason"] == "unchanged"
    )
    told = node.call("revenue-set-fee", [scid, "auto"])
    assert (told["fee_ppm"], fees(node)[:2]) == (300, [300, 300])


# -- ends -----------------------------------------------------------------------------------------


def test_at_the_second_of_its_end_the_controller_goes_on_from_the_fee_that_stands(
    node: HouseNode, engine: Engine
) -> None:
    engine.set(peer_of(node), "static", fee_ppm=3_000, hours=1.0)
    node.settle()
    end_s = float(node.call("revenue-policy", ["get", peer_of(node)])["policy"]["expires_at"])
    assert fees(node)[:2] == [3_000, 3_000]
    node.wait_s(end_s - node.now_s - 1.0)
    assert fees(node)[:2] == [3_000, 3_000]
    node.wait_s(1.0)
    row = decision(node, first_scid(node))
    assert row["decided_at"] == pytest.approx(end_s)
    assert (row["policy"], row["whose"]) == (None, "ours")
    assert fees(node)[0] < 3_000, "young: from the fee before the order, in a small step"


def test_a_passive_policy_that_ends_hands_over_the_fee_that_stands(
    node: HouseNode, engine: Engine
) -> None:
    scid = first_scid(node)
    engine.set(peer_of(node), "passive")
    node.settle()
    node.call("setchannel", {"id": scid, "feeppm": 290})
    node.wait_s(CYCLE_S)
    engine.end(peer_of(node))
    node.settle()
    row = decision(node, scid)
    assert (row["fee_ppm"], row["whose"]) == (290, "ours")
    assert [r for r in node.status()["foreign_fees"] if r["channel_id"] == scid] == []


# -- restarts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("messages", range(0, 30, 3))
def test_killed_at_any_message_the_policy_is_carried_out_after_the_start(
    node: HouseNode, engine: Engine, messages: int
) -> None:
    node.life.die_after(messages)
    engine.set(peer_of(node), "static", fee_ppm=808)
    node.settle()
    node.restart()
    if not node.query("SELECT count(*) FROM policy")[0][0]:
        # Killed before it was stored, and nobody was told that it is.
        assert 808 not in fees(node)
        engine.set(peer_of(node), "static", fee_ppm=808)
    node.settle()
    assert fees(node)[:2] == [808, 808]
    assert decision(node, first_scid(node))["whose"] in ("ours", "operator_pin")


def test_after_a_start_a_bounded_fee_is_priced_by_what_was_learned(
    node: HouseNode, engine: Engine
) -> None:
    """Before the first cycle of a life the first price must not stand in for it."""
    node.wait_s(4 * DAY_S)
    known = fees(node)[0]
    engine.set(peer_of(node), max_fee_ppm=4_000)
    node.settle()
    node.restart()
    node.settle()
    row = decision(node, first_scid(node))
    verdicts = {v["stage"]: v["code"] for v in row["record"]["verdicts"]}
    assert (row["record"]["inputs"]["facts"]["market"] is not None, fees(node)[0]) == (True, known)
    assert verdicts["policy"] == "policy_bounds"


def test_in_safe_mode_a_change_waits_and_is_not_forgotten(node: HouseNode, engine: Engine) -> None:
    from messages.control import Resume, Suspend

    post = node.life.house.core.post
    post.tell("fee-controller", Suspend("a test"))
    engine.set(peer_of(node), "static", fee_ppm=911)
    node.settle()
    assert 911 not in fees(node)
    post.tell("fee-controller", Resume())
    node.settle()
    assert fees(node)[:2] == [911, 911]


def test_a_pause_holds_orders_of_policies_back_as_well(node: HouseNode, engine: Engine) -> None:
    node.call("revenue-config", ["set", "paused", True])
    engine.set(peer_of(node), "static", fee_ppm=911)
    node.settle()
    assert 911 not in fees(node)
    node.call("revenue-config", ["set", "paused", False])
    node.wait_s(CYCLE_S)
    assert fees(node)[:2] == [911, 911]


def test_what_a_change_decided_is_not_decided_again_in_the_cycle_under_way(
    node: HouseNode,
) -> None:
    for name in range(45):
        node.open(f"peer {name}", 1_000_000, 500_000)
    node.wait_s(CYCLE_S + 60.0)
    last, post = max(node.world.channels), node.life.house.core.post
    policy = PeerPolicy(node.world.channels[last].peer_id, "static", fee_ppm=808)
    told: list[PeerPolicy] = []

    def asked(method: str) -> None:
        if method == "listpeerchannels" and not told:
            told.append(policy)
            post.publish(PolicySnapshot(1_000_000, node.now_s, (policy,)))
            change = PolicyChanged(policy.peer_id, "set", None, policy, node.now_s, 1_000_000)
            post.publish(change)

    start_s = node.now_s
    node.wait_s(CYCLE_S - 300.0)
    before = {row[0]: row[1] for row in decided(node)}
    node.asked = asked
    node.life.house.core.post.tell("fee-controller", FeeTick())
    node.settle()
    after = {row[0]: row[1] for row in decided(node)}
    assert {name: after[name] - before.get(name, 0) for name in after} == dict.fromkeys(after, 1)
    assert (node.world.channels[last].policy.ppm, node.now_s > start_s) == (808, True)
