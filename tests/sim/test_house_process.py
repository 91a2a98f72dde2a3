"""The same house as a process of its own: pipes, socket, SIGKILL, and two of them at once."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cl_revenue_ops.simnode.errors import SimRpcError
from cl_revenue_ops.simnode.node import SimulatedNode
from tests.sim.house_support import SEED, START_S, house_node
from tests.sim.house_traffic import CATCH_UP_S

PLUGIN = [sys.executable, str(Path(__file__).parents[2] / "cl-revenue-ops.py")]
NAME = "cl-revenue-ops.py"


def process(**details: Any) -> SimulatedNode:
    return SimulatedNode(PLUGIN, start_s=START_S, seed=SEED, **details)


def two_channels(node: SimulatedNode) -> tuple[str, str]:
    return node.open("alice", 10_000_000, 5_000_000), node.open("bob", 10_000_000, 5_000_000)


def dump(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the house's database."""
    source = f"file:{folder / 'revenue_ops.db'}?mode=ro"
    with closing(sqlite3.connect(source, uri=True)) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        ).fetchall()
        return {
            name: connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall()
            for (name,) in tables
        }


def settled(node: SimulatedNode) -> list[tuple[str, int, int]]:
    """What the node shows of the settled forwards: (in_channel, in_htlc_id, fee)."""
    rows = node.call("listforwards", {"status": "settled"})["forwards"]
    return sorted((row["in_channel"], row["in_htlc_id"], row["fee_msat"]) for row in rows)


def stored(node: SimulatedNode) -> list[tuple[Any, ...]]:
    """What the house has of them, straight from its file."""
    with closing(sqlite3.connect(node.network_dir / "revenue_ops.db")) as connection:
        return connection.execute(
            "SELECT in_scid, in_htlc_id, fee_msat FROM forward_log WHERE status = 'settled'"
            " ORDER BY 1, 2"
        ).fetchall()


def live(node: SimulatedNode) -> dict[str, Any]:
    """An hour and a half in which something of everything happens."""
    one, two = two_channels(node)
    node.start()
    # Answered after boot: what boot reads must not depend on how fast the process is.
    node.call("revenue-status")
    for number in range(12):
        node.pay(one, two, 1_000_000 + 40_000 * number, fee_msat=20_000)
        node.advance(node.world.now() + 450.0)
    node.call("revenue-config", ["set", "min_fee_ppm", 150])
    node.fault("timeout", "listforwards", count=2)
    node.advance(node.world.now() + 4_000.0)
    status: dict[str, Any] = node.call("revenue-status")
    status["database"].pop("path")
    return status


def test_the_process_does_exactly_what_the_house_in_one_thread_does() -> None:
    with house_node(start=False) as inside:
        expected = live(inside)
        rows = inside.dump()
    outside = process()
    try:
        status = live(outside)
        assert dump(outside.network_dir) == rows
        assert status == json.loads(json.dumps(expected))
    finally:
        outside.stop()


def test_killed_in_the_middle_it_goes_on_where_it_was() -> None:
    node = process()
    one, two = two_channels(node)
    with node:
        for number in range(5):
            node.pay(one, two, 1_000_000 + number, fee_msat=20_000)
        node.call("revenue-config", ["set", "min_fee_ppm", 77])
        # The last ones are in the pipe when it dies.
        for number in range(400):
            node.pay(one, two, 2_000_000 + number, fee_msat=20_000)
        node.restart(kill=True)
        node.pay(one, two, 3_000_000, fee_msat=20_000)
        node.advance(START_S + CATCH_UP_S)
        assert stored(node) == settled(node)
        assert len(stored(node)) == 406
        assert node.call("revenue-config", ["get", "min_fee_ppm"])["value"] == 77
        status = node.call("revenue-status")
        assert status["forwards"]["fees_msat"] == 406 * 20_000
        assert status["safe_mode"] is False


def test_no_line_on_its_input_ends_it() -> None:
    with process() as node:
        for line in (
            b"\xff\xfe\xfd", b"nonsense", b"[]", b"[" * 200_000, b'{"method":"forward_event"}',
            b'{"id":1,"method":"revenue-status","params":' + b"[" * 5_000 + b"}",
            b'{"method":"forward_event","params":null}', b"", b'{"id":null,"method":"init"}',
        ):  # fmt: skip
            node.plugin.send_raw(line + b"\n\n")
        counters = node.call("revenue-status")["notifications"]
        assert counters["lines_skipped"] == 6
        assert counters["malformed"] == {"forward_event": 2}
        for params in (["set"], {"x": 1}, [[["set"]]]):
            with pytest.raises(SimRpcError) as refused:
                node.call("revenue-config", params)
            assert refused.value.code == -32602
            assert set(refused.value.raw or {}) == {"code", "message"}
        assert not node.plugin.stderr_tail()


def test_it_leaves_when_it_is_stopped_and_lets_go_of_its_file() -> None:
    with process() as node:
        node.advance(START_S + 60.0)
        host = node.plugin
        node.call("plugin", ["stop", NAME])
        assert not host.alive
        assert not host.stderr_tail()
        log = node.network_dir / "revenue_ops.db-wal"
        assert not log.exists() or not log.stat().st_size
        before = dump(node.network_dir)
        node.call("plugin", ["start", PLUGIN[1]])
        node.advance(START_S + 120.0)
        assert node.call("revenue-status")["safe_mode"] is False
        assert before["stamp"] == dump(node.network_dir)["stamp"]


def test_a_second_process_on_the_same_file_stays_out() -> None:
    with process() as first:
        first.advance(START_S + 10.0)
        path = str(first.network_dir / "revenue_ops.db")
        before = dump(first.network_dir)
        with process(options={"revenue-ops-db-path": path}) as second:
            second.advance(START_S + 100.0)
            status = second.call("revenue-status")
            assert status["safe_mode"] is True
            assert f"pid {first.plugin.pid}" in status["safe_mode_reason"]
            assert dump(first.network_dir) == before
            first.plugin.kill()
            second.advance(START_S + 1_500.0)
            assert second.call("revenue-status")["safe_mode"] is False


def test_in_real_time_there_is_no_advance_and_the_rest_works() -> None:
    node = SimulatedNode(PLUGIN, seed=SEED)
    one, two = two_channels(node)
    with node:
        node.wait_until(lambda: node.call("revenue-status")["forwards"].get("caught_up"))
        for number in range(20):
            node.pay(one, two, 1_000_000 + number, fee_msat=20_000)
        node.wait_until(lambda: node.call("revenue-status")["forwards"]["settled"] == 20)
        with pytest.raises(SimRpcError) as absent:
            node.call("dev-revenue-advance", {"until": 2e9})
        assert absent.value.code == -32601
        assert node.call("revenue-config", ["set", "paused", True])["status"] == "success"
        assert node.call("revenue-status")["paused"] is True
        node.restart(kill=True)
        node.wait_until(lambda: node.call("revenue-status")["forwards"].get("caught_up"))
        assert stored(node) == settled(node)
        assert node.call("revenue-status")["paused"] is True
