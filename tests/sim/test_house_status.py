"""revenue-status of the whole house: the shape and types that its clients read, at any time."""

from __future__ import annotations

import json
from typing import Any

from tests.sim.house_support import house_node
from tests.sim.house_traffic import traffic

NUMBER = (int, float)
TOP: dict[str, Any] = {
    "status": str,
    "safe_mode": bool,
    "degraded": list,
    "writes_allowed": bool,
    "writes_closed_because": dict,
    "paused": bool,
    "problems": list,
    "version": str,
    "uptime_s": NUMBER,
    "config": dict,
    "forwards": dict,
    "budget": dict,
    "channel_states": list,
    "recent_fee_changes": list,
    "foreign_fees": list,
    "recent_rebalances": list,
    "actors": dict,
    "dead_letters": dict,
    "open_calls": int,
    "breakers": list,
    "notifications": dict,
    "database": dict,
}
CHANNEL: dict[str, Any] = {
    "channel_id": str,
    "peer_id": str,
    "state": str,
    "flow_ratio": NUMBER,
    "sats_in": int,
    "sats_out": int,
    "capacity": int,
    "updated_at": int,
    "confidence": NUMBER,
    "velocity": NUMBER,
    "flow_multiplier": NUMBER,
    "ema_decay": NUMBER,
    "forward_count": int,
    "kalman_flow_ratio": NUMBER,
    "kalman_velocity": NUMBER,
    "kalman_uncertainty": NUMBER,
    "our_balance": int,
    "fee_ppm": int,
}
CHANGE: dict[str, Any] = {
    "id": int,
    "channel_id": str,
    "peer_id": str,
    "old_fee_ppm": int,
    "new_fee_ppm": int,
    "reason": str,
    "manual": int,
    "timestamp": int,
}
FORWARDS: dict[str, Any] = {
    "settled": int,
    "volume_msat": int,
    "fees_msat": int,
    "failed": int,
    "offered": int,
    "log_seq": int,
    "caught_up": bool,
    "hints": int,
    "malformed": int,
}


def has_types(row: dict[str, Any], types: dict[str, Any]) -> None:
    for name, kind in types.items():
        assert name in row, name
        assert isinstance(row[name], kind), (name, row[name])
        assert kind is bool or not isinstance(row[name], bool), name


def is_for_clients(status: dict[str, Any], channels: int) -> None:
    has_types(status, TOP)
    has_types(status["config"], {"target_flow_sats": int, "rebalance_min_profit_sats": int})
    assert [type(ppm) for ppm in status["config"]["fee_range_ppm"]] == [int, int]
    assert len(status["channel_states"]) == channels
    for row in status["channel_states"]:
        has_types(row, CHANNEL)
        assert row["state"] in ("source", "sink", "balanced")
        assert row["channel_id"].count("x") == 2
    for row in status["recent_fee_changes"]:
        has_types(row, CHANGE)
    assert len(status["recent_fee_changes"]) <= 10
    json.dumps(status, allow_nan=False)


def test_the_status_has_the_shape_that_its_clients_read() -> None:
    with traffic() as it:
        is_for_clients(it.node.status(), 2)
        it.pay("settled")
        it.node.wait_s(60.0)
        is_for_clients(it.node.status(), 2)
        has_types(it.node.status()["forwards"], FORWARDS)


def test_a_channel_that_was_never_analysed_and_new_fees_have_no_nulls() -> None:
    with traffic() as it:
        node = it.node
        node.settle()
        is_for_clients(node.status(), 2)
        for ppm in range(100, 112):
            node.call("revenue-set-fee", [node.world.channels[it.one].scid, ppm])
        node.call("revenue-config", ["set", "min_fee_ppm", 200])
        node.wait_s(4_000.0)
        node.world.add_peer("carol")
        node.open("carol", 1_000_000)
        for number in range(9):
            it.pay("settled", number % 3)
        node.wait_s(4_000.0)
        status = node.status()
        is_for_clients(status, 3)
        assert len(status["recent_fee_changes"]) == 10
        order = [(row["state"], -row["flow_ratio"]) for row in status["channel_states"]]
        assert order == sorted(order)
        newest_first = [row["timestamp"] for row in status["recent_fee_changes"]]
        assert newest_first == sorted(newest_first, reverse=True)
        assert {row["manual"] for row in status["recent_fee_changes"]} == {0, 1}


def test_the_status_answers_while_nobody_in_the_house_does() -> None:
    with house_node(start=False) as node:
        node.open("alice", 1_000_000, 500_000)
        node.start()
        with node.life.held():
            has_types(node.status(), TOP)
            assert node.status()["channel_states"] == []
        node.settle()
        with node.life.held():
            is_for_clients(node.status(), 1)
