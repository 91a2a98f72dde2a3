"""How channels of the simulated node begin, change and end, and what the node then tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from cl_revenue_ops.simnode import wallet
from cl_revenue_ops.simnode.controls import Controls
from cl_revenue_ops.simnode.errors import SimRpcError
from cl_revenue_ops.simnode.node import SimulatedNode
from cl_revenue_ops.simnode.world import World

START_S = 1_700_000_000.0


class Ear:
    """A listener that keeps everything."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Mapping[str, Any]]] = []

    def heard(self, topic: str) -> bool:
        return True

    def hear(self, topic: str, payload: Mapping[str, Any]) -> None:
        self.events.append((topic, payload))

    def of(self, topic: str) -> list[Mapping[str, Any]]:
        return [payload for name, payload in self.events if name == topic]


@pytest.fixture
def node() -> SimulatedNode:
    """A node without a plugin; its socket stays closed."""
    return SimulatedNode(start_s=START_S, seed=9)


@pytest.fixture
def ear(node: SimulatedNode) -> Ear:
    ear = Ear()
    node.world.listeners.append(ear)
    return ear


def wallet_booked_msat(world: World) -> int:
    rows = [m for m in world.books.chain_moves if m.account_id == "wallet"]
    return sum(m.credit_msat - m.debit_msat for m in rows)


def test_an_open_waits_for_its_blocks_and_pays_from_the_wallet(
    node: SimulatedNode, ear: Ear
) -> None:
    world = node.world
    peer = world.add_peer("p")
    with pytest.raises(SimRpcError) as broke:
        world.open_channel(peer, 500_000)
    assert broke.value.code == 301
    world.fund(1_000_000)
    name = world.open_channel(peer, 500_000)
    assert world.channels[name].scid is None
    world.mine(2)
    assert world.channels[name].state == "CHANNELD_AWAITING_LOCKIN"
    world.mine(1)
    assert world.channels[name].state == "CHANNELD_NORMAL"
    assert world.channels[name].scid == "800001x1x0"
    first, second = ear.of("channel_state_changed")
    assert "old_state" not in first
    assert "short_channel_id" not in first
    assert second["old_state"] == "CHANNELD_AWAITING_LOCKIN"
    assert second["short_channel_id"] == "800001x1x0"
    assert wallet_booked_msat(world) == wallet.balance_msat(world)
    # 1,000,000 less the channel less the miner's fee: 702 weight units at 2,500 per thousand.
    assert wallet.balance_msat(world) == (500_000 - 1_755) * 1000


class TestSplice:
    """A splice changes scid, funding and capacity; channel_id and alias stay."""

    def test_the_old_scid_still_resolves_and_keeps_its_forwards(self, node: SimulatedNode) -> None:
        one, two = node.open("a", 1_000_000, 500_000), node.open("b", 1_000_000)
        node.pay(one, two, 1_000_000)
        channel = node.world.channels[two]
        old = (channel.scid, channel.funding_txid, channel.alias_local)
        assert old[0] is not None
        txid = node.splice(two, 250_000)
        assert channel.total_msat == 1_250_000_000
        assert (channel.scid, channel.funding_txid) != old[:2]
        assert (channel.funding_txid, channel.alias_local) == (txid, old[2])
        row = node.pay(one, two, 1_000_000)
        assert row.out_scid == channel.scid
        node.start()
        by_old = node.call("listforwards", {"out_channel": old[0]})["forwards"]
        by_new = node.call("listforwards", {"out_channel": channel.scid})["forwards"]
        assert [len(by_old), len(by_new)] == [1, 1]
        for name in (old[0], channel.scid, channel.alias_local):
            found = node.call("listpeerchannels", {"short_channel_id": name})["channels"]
            assert [entry["channel_id"] for entry in found] == [two]
            answer = node.call("setchannel", {"id": name, "feeppm": 77})
            assert answer["channels"][0]["short_channel_id"] == channel.scid
        node.stop()

    def test_a_channel_forwards_while_it_waits_for_the_splice(
        self, node: SimulatedNode, ear: Ear
    ) -> None:
        one, two = node.open("a", 1_000_000, 500_000), node.open("b", 1_000_000)
        node.world.fund(1_000_000)
        node.world.splice(two, 250_000)
        channel = node.world.channels[two]
        assert channel.state == "CHANNELD_AWAITING_SPLICE"
        assert [i.splice_sat for i in channel.inflight] == [250_000]
        assert channel.total_msat == 1_000_000_000
        before_msat = channel.to_us_msat
        assert node.pay(one, two, 5_000_000).status == "settled"
        node.mine(3)
        assert channel.to_us_msat == before_msat - 5_000_000 + 250_000_000
        states = [e["new_state"] for e in ear.of("channel_state_changed") if e["channel_id"] == two]
        assert states[-2:] == ["CHANNELD_AWAITING_SPLICE", "CHANNELD_NORMAL"]
        tags = [m.extra_tags for m in node.world.books.chain_moves if m.account_id == two]
        assert tags[-2:] == [("splice",), ("opener",)]

    def test_what_a_splice_takes_out_cannot_be_sent_meanwhile(self, node: SimulatedNode) -> None:
        one, two = node.open("a", 1_000_000, 0), node.open("b", 1_000_000)
        node.world.splice(two, -800_000)
        assert node.pay(one, two, 300_000_000).status == "local_failed"
        assert node.pay(one, two, 100_000_000).status == "settled"
        node.mine(3)
        assert node.world.channels[two].total_msat == 200_000_000
        assert wallet_booked_msat(node.world) == wallet.balance_msat(node.world)

    def test_a_close_gives_an_unconfirmed_splice_up(self, node: SimulatedNode) -> None:
        two = node.open("b", 1_000_000)
        node.world.fund(500_000)
        free_msat = wallet.balance_msat(node.world)
        node.world.splice(two, 250_000)
        assert wallet.balance_msat(node.world) < free_msat
        node.world.force_close(two)
        assert wallet.balance_msat(node.world) == free_msat
        node.mine(3)
        assert node.world.channels[two].total_msat == 1_000_000_000


def states_of(ear: Ear, channel_id: str) -> list[str]:
    changes = ear.of("channel_state_changed")
    return [e["new_state"] for e in changes if e["channel_id"] == channel_id]


def test_a_mutual_close_walks_its_states_and_is_forgotten_after_100_blocks(
    node: SimulatedNode, ear: Ear
) -> None:
    name = node.open("a", 1_000_000)
    node.close(name)
    assert node.world.channels[name].state == "ONCHAIN"
    assert node.world.closed == []
    node.mine(99)
    assert name in node.world.channels
    node.mine(1)
    assert name not in node.world.channels
    (entry,) = node.world.closed
    assert (entry["channel_id"], entry["close_cause"], entry["closer"]) == (name, "user", "local")
    assert entry["final_to_us_msat"] == 1_000_000_000
    assert states_of(ear, name)[2:] == [
        "CHANNELD_SHUTTING_DOWN", "CLOSINGD_SIGEXCHANGE", "CLOSINGD_COMPLETE",
        "FUNDING_SPEND_SEEN", "ONCHAIN", "CLOSED",
    ]  # fmt: skip
    assert wallet_booked_msat(node.world) == wallet.balance_msat(node.world)


def test_htlcs_in_flight_hold_a_mutual_close(node: SimulatedNode) -> None:
    one, two = node.open("a", 1_000_000, 500_000), node.open("b", 1_000_000)
    held = node.pay(one, two, 1_000_000, outcome="pending")
    node.close(two)
    assert node.world.channels[two].state == "CHANNELD_SHUTTING_DOWN"
    assert node.pay(one, two, 1_000_000).failreason == "WIRE_UNKNOWN_NEXT_PEER"
    node.world.resolve(held.created_index)
    assert node.world.channels[two].state == "CLOSINGD_COMPLETE"


def test_a_forced_close_delays_our_money_and_what_was_in_flight(
    node: SimulatedNode, ear: Ear
) -> None:
    one, two = node.open("a", 1_000_000, 500_000), node.open("b", 1_000_000)
    held = node.pay(one, two, 10_000_000, outcome="pending")
    before_msat = wallet.balance_msat(node.world)
    node.force_close(two)
    assert states_of(ear, two)[2:] == ["AWAITING_UNILATERAL", "FUNDING_SPEND_SEEN", "ONCHAIN"]
    # The wallet pays for speed, and nothing has come back yet.
    assert before_msat - 3_000_000 < wallet.balance_msat(node.world) < before_msat
    assert node.world.resolve(held.created_index, "failed").status == "offered"
    node.mine(38)
    assert list(node.world.pending) == [held.created_index]
    node.mine(1)
    assert node.world.pending == {}
    node.start()
    assert [row["status"] for row in node.call("listforwards")["forwards"]] == ["local_failed"]
    node.stop()
    node.mine(105)
    assert 970_000_000 < wallet.balance_msat(node.world) - before_msat < 990_000_000
    node.forget()
    assert 980_000_000 < wallet.balance_msat(node.world) - before_msat < 1_000_000_000
    assert [entry["channel_id"] for entry in node.world.closed] == [two]
    assert node.world.closed[0]["close_cause"] == "user"


def test_only_a_local_force_close_waits_unilaterally(node: SimulatedNode, ear: Ear) -> None:
    name = node.open("a", 1_000_000)
    node.world.force_close(name, by="remote")
    node.mine(1)
    assert "AWAITING_UNILATERAL" not in states_of(ear, name)
    assert node.world.channels[name].closer == "remote"


@pytest.mark.parametrize("verb", ["close", "force_close", "splice"])
def test_a_closing_channel_refuses_further_changes(node: SimulatedNode, verb: str) -> None:
    name = node.open("a", 1_000_000)
    node.close(name)
    with pytest.raises(SimRpcError):
        getattr(Controls, verb)(node, name, *((1000,) if verb == "splice" else ()))
    with pytest.raises(SimRpcError) as refused:
        node.world.set_channel(name, ppm=1)
    assert refused.value.code == -32602
    assert "ONCHAIN" in refused.value.message


def test_a_connection_is_stable_after_a_minute(node: SimulatedNode, ear: Ear) -> None:
    name = node.open("a", 1_000_000)
    peer = node.world.peers[node.world.channels[name].peer_id]
    assert peer.stable_at(START_S + 59) is None
    assert peer.stable_at(START_S + 500) == START_S + 60
    node.world.disconnect(peer.id, at_s=START_S + 500)
    assert peer.stable_at(START_S + 900) == START_S + 60
    node.world.connect(peer.id, at_s=START_S + 1000)
    assert peer.stable_at(START_S + 1030) == START_S + 60
    assert peer.stable_at(START_S + 1061) == START_S + 1060
    assert [topic for topic, _ in ear.events[-2:]] == ["disconnect", "connect"]
