"""Settings through the whole house: one validation, provenance, restarts, timers."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cl_revenue_ops.config import BY_KEY, SETTINGS
from cl_revenue_ops.simnode.errors import SimRpcError
from tests.sim.house_support import HouseNode, house_node

INVALID_PARAMS = -32602

keys = st.sampled_from([setting.key for setting in SETTINGS if setting.dynamic])
texts = st.one_of(
    st.integers(-2, 100_001).map(str),
    st.floats(0, 1.1).map(str),
    st.sampled_from(["true", "false", "on", "0", "auto", "sling", "", "5 ", "0x10", "1e3", "nan"]),
    st.text(max_size=5),
)


def told(node: HouseNode, method: str, params: Any) -> dict[str, Any] | str:
    """The result, or the text of a -32602."""
    try:
        result: dict[str, Any] = node.call(method, params)
    except SimRpcError as refused:
        assert refused.code == INVALID_PARAMS, refused
        return refused.message
    return result


def in_force(node: HouseNode, key: str) -> dict[str, Any]:
    row: dict[str, Any] = node.call("revenue-config", ["get", key])
    return row


def write(node: HouseNode, sql: str, *values: object) -> None:
    """Change the database behind the back of a house that is dead."""
    with closing(sqlite3.connect(node.database)) as connection, connection:
        connection.execute(sql, values)


@settings(max_examples=60, deadline=None)
@given(key=keys, text=texts)
@example(key="min_fee_ppm", text="5001")
@example(key="flow_window_days", text="1")
def test_both_ways_to_set_a_value_give_the_same_verdict(key: str, text: str) -> None:
    option = BY_KEY[key].option
    with house_node() as node:
        before = in_force(node, key)["value"]
        first = told(node, "revenue-config", {"action": "set", "key": key, "value": text})
        value = in_force(node, key)["value"]
        told(node, "revenue-config", ["reset", key])
        assert in_force(node, key)["value"] == before
        second = told(node, "setconfig", {"config": option, "val": text})
        if isinstance(first, str):
            assert isinstance(second, str)
            assert value == before
            reason = first.removesuffix("; change the other one first")
            assert reason in second
        else:
            assert isinstance(second, dict)
            assert first["status"] == "success"
        assert in_force(node, key)["value"] == value


def test_a_runtime_value_survives_a_kill_and_remembers_what_it_replaced() -> None:
    with house_node(options={"revenue-ops-max-fee-ppm": "4000"}) as node:
        answer = node.call("revenue-config", ["set", "max_fee_ppm", 3_000])
        assert (answer["old_value"], answer["new_value"]) == (4_000, 3_000)
        node.restart()
        node.settle()
        shown = in_force(node, "max_fee_ppm")
        assert (shown["value"], shown["configured"], shown["source"]) == (3_000, 4_000, "runtime")
        assert node.query("SELECT key, value, replaced FROM settings_override") == [
            ("max_fee_ppm", "3000", "4000")
        ]
        assert shown["version"] > answer["version"]


def test_a_configuration_that_changed_wins_over_the_runtime_value_with_one_line() -> None:
    with house_node() as node:
        node.call("revenue-config", ["set", "max_fee_ppm", 3_000])
        node.call("revenue-config", ["set", "min_fee_ppm", 20])
        node.kill()
        node.options.configured["revenue-ops-max-fee-ppm"] = "2500"
        node.start()
        node.settle()
        assert in_force(node, "max_fee_ppm")["value"] == 2_500
        assert in_force(node, "min_fee_ppm")["value"] == 20
        lines = [text for _, text in node.life.logs if "max_fee_ppm" in text]
        assert len(lines) == 1
        assert "3000" in lines[0]
        # It is gone for good: going back to the old configuration does not revive it.
        node.kill()
        del node.options.configured["revenue-ops-max-fee-ppm"]
        node.start()
        node.settle()
        assert in_force(node, "max_fee_ppm")["value"] == 5_000


def test_setconfig_ends_a_runtime_value_and_is_the_configuration_after_a_restart() -> None:
    with house_node() as node:
        node.call("revenue-config", ["set", "max_fee_ppm", 3_000])
        node.call("setconfig", ["revenue-ops-max-fee-ppm", "2000"])
        assert in_force(node, "max_fee_ppm")["source"] == "setconfig"
        assert node.query("SELECT * FROM settings_override") == []
        node.restart()
        node.settle()
        shown = in_force(node, "max_fee_ppm")
        assert (shown["value"], shown["source"]) == (2_000, "config file")


def test_setconfig_holds_on_a_full_disk_because_lightningd_has_stored_it() -> None:
    with house_node() as node:
        node.call("revenue-config", ["set", "max_fee_ppm", 3_000])
        with node.life.full_disk():
            node.call("setconfig", ["revenue-ops-max-fee-ppm", "2000"])
            node.wait_s(30.0)
            assert in_force(node, "max_fee_ppm")["value"] == 2_000
            owner = node.status()["actors"]["settings"]
            assert (owner["state"], owner["restarts"]) == ("ready", 0)
        assert node.query("SELECT key FROM settings_override") == [("max_fee_ppm",)]
        node.restart()
        node.settle()
        assert in_force(node, "max_fee_ppm")["value"] == 2_000
        assert node.query("SELECT key FROM settings_override") == []


@pytest.mark.parametrize(
    ("name", "text", "rest"),
    [
        ("min-fee-ppm", "many", {}),
        ("min-fee-ppm", "6000", {}),
        ("enable-kelly", "perhaps", {}),
        ("flow-interval", "86401", {"revenue-ops-flow-window-days": "1"}),
        ("hive-enabled", "\ud800\n\0", {}),
    ],
)
def test_an_invalid_value_in_the_configuration_starts_paused_and_is_named(
    name: str, text: str, rest: dict[str, str]
) -> None:
    option, key = f"revenue-ops-{name}", name.replace("-", "_")
    with house_node(options={option: text, **rest}) as node:
        status = node.status()
        assert len(status["problems"]) == 1
        assert key in status["problems"][0]
        assert (status["paused"], status["writes_allowed"]) == (True, False)
        assert status["safe_mode"] is False
        assert in_force(node, key)["value"] == BY_KEY[key].default
        node.restart()
        node.settle()
        assert node.status()["paused"] is True


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("revenue-config", ["set", "paused", "false"]),
        ("revenue-config", ["set", "min_fee_ppm", 12]),
        ("revenue-config", ["set", "min_fee_ppm", 10]),
        ("setconfig", ["revenue-ops-min-fee-ppm", "12"]),
        ("setconfig", ["revenue-ops-min-fee-ppm", "10"]),
    ],
)
def test_a_value_set_anew_or_an_unpause_ends_the_pause_for_a_bad_value(
    method: str, params: list[Any]
) -> None:
    with house_node(options={"revenue-ops-min-fee-ppm": "many"}) as node:
        node.call(method, params)
        status = node.status()
        assert (status["problems"], status["paused"]) == ([], False)
        assert status["writes_allowed"] is True


@pytest.mark.parametrize("params", [["set", "max_fee_ppm", 100], ["reset", "min_fee_ppm"]])
def test_nothing_else_ends_it(params: list[Any]) -> None:
    with house_node(options={"revenue-ops-min-fee-ppm": "many"}) as node:
        node.call("revenue-config", params)
        assert node.status()["paused"] is True


def test_stored_values_that_are_torn_or_unknown_are_ignored_with_a_line() -> None:
    with house_node() as node:
        node.call("revenue-config", ["set", "max_fee_ppm", 3_000])
        node.kill()
        for place, (key, value) in enumerate(
            [("min_fee_ppm", "1\x002"), ("gone_setting", "5"), ("db_path", "/tmp/x")], start=50
        ):
            write(node, "INSERT INTO settings_override VALUES (?, ?, ?, '10')", place, key, value)
        write(node, "INSERT INTO settings_override VALUES (99, 'paused', x'00ff', 'false')")
        write(node, "UPDATE settings_state SET version = 'seven'")
        node.start()
        node.settle()
        ignored = [text for _, text in node.life.logs if "is ignored" in text]
        assert len(ignored) == 4
        assert node.status()["paused"] is False
        assert in_force(node, "max_fee_ppm")["value"] == 3_000
        assert node.query("SELECT key FROM settings_override") == [("max_fee_ppm",)]
        assert node.status()["safe_mode"] is False


def flow_at(node: HouseNode) -> float:
    """When the flow was analysed last."""
    notice = node.life.house.core.board.read("flow-analyzer")
    return float(notice.body["analysed_at"]) if notice is not None else 0.0


def fees_at(node: HouseNode) -> float:
    """When the fees were looked at last."""
    notice = node.life.house.core.board.read("fee-controller")
    return float(notice.body["last_cycle_at"] or 0.0) if notice is not None else 0.0


@pytest.mark.parametrize(("key", "read"), [("flow_interval", flow_at), ("fee_interval", fees_at)])
@pytest.mark.parametrize("way", ["revenue-config", "setconfig"])
def test_a_changed_interval_counts_from_the_last_time(key: str, read: Any, way: str) -> None:
    def change(seconds: int) -> None:
        if way == "setconfig":
            node.call("setconfig", [BY_KEY[key].option, str(seconds)])
        else:
            node.call("revenue-config", ["set", key, seconds])

    with house_node(start=False) as node:
        node.open("alice", 1_000_000, 500_000)
        node.start()
        node.wait_s(100.0)
        first_s = read(node)
        assert 0.0 < first_s <= node.now_s
        change(120)
        node.advance(first_s + 121.0)
        assert read(node) == first_s + 120.0
        change(7_200)
        node.advance(first_s + 120.0 + 7_199.0)
        assert read(node) == first_s + 120.0
        node.wait_s(2.0)
        assert read(node) == first_s + 7_320.0
        # One that is overdue after the change is done at once.
        node.wait_s(1_000.0)
        overdue_s = node.now_s
        change(600)
        node.wait_s(1.0)
        assert read(node) == overdue_s


def test_of_two_settings_that_contradict_each_other_both_have_to_be_given_anew() -> None:
    options = {"revenue-ops-min-fee-ppm": "900", "revenue-ops-max-fee-ppm": "800"}
    with house_node(options=options) as node:
        assert node.status()["paused"] is True
        node.call("revenue-config", ["set", "max_fee_ppm", 2_000])
        assert node.status()["writes_allowed"] is False
        node.call("revenue-config", ["set", "min_fee_ppm", 900])
        assert node.status()["writes_allowed"] is True
        assert node.status()["problems"] == []
