"""setconfig and revenue-config: applied at once with provenance, refused without harm."""

from __future__ import annotations

import pytest

from tests.node.line import Line, Row, wait_for
from tests.node.wire import RpcError


def rows(line: Line) -> list[Row]:
    found: list[Row] = line.call("revenue-config", ["list"])["settings"]
    return found


def another(row: Row) -> object:
    """A valid value other than the present one, where there is one."""
    value, bounds = row["value"], row["bounds"]
    if row["type"] == "bool":
        return not value
    if row["type"] == "choice":
        words = bounds.replace(" or ", ", ").split(", ")
        return next((word for word in words if word != value), value)
    return round(value * 0.9, 3) if row["type"] == "float" else value + 1


def wrong(row: Row) -> list[object]:
    """Values that do not fit."""
    if row["type"] in ("bool", "choice"):
        return ["perhaps", "", -1, 2]
    high = row["bounds"].split(" to ")[1]
    return ["plenty", "", "-1", f"{high}1", "nan", "1e999", "0x5", "5,0"]


def configure(line: Line, option: str, value: object) -> Row:
    answer: Row = line.call("setconfig", {"config": option, "val": value})["config"]
    return answer


def refusal(line: Line, option: str, value: object) -> RpcError:
    with pytest.raises(RpcError) as refused:
        configure(line, option, value)
    return refused.value


def dynamic(line: Line) -> list[Row]:
    found = [row for row in rows(line) if row["dynamic"]]
    assert len(found) > 25
    return found


def test_the_mutable_keys_are_the_dynamic_options(line: Line) -> None:
    answer = line.call("revenue-config", ["list-mutable"])
    assert answer["mutable_keys"] == sorted(row["key"] for row in dynamic(line))
    assert answer["count"] == len(answer["mutable_keys"])


def test_setconfig_of_every_dynamic_option_applies_at_once(line: Line) -> None:
    for row in dynamic(line):
        value = another(row)
        shown = configure(line, row["option"], value)
        assert shown["dynamic"] is True
        now = line.setting(row["key"])
        assert (now["value"], now["configured"]) == (value, value), row["key"]
        assert now["source"] == ("setconfig" if value != row["value"] else row["source"])
        configure(line, row["option"], row["value"])


def test_setconfig_of_nonsense_is_refused_for_every_dynamic_option(line: Line) -> None:
    before = rows(line)
    for row in dynamic(line):
        for value in wrong(row):
            error = refusal(line, row["option"], value)
            assert error.code == -32602, row["key"]
            assert row["key"] in error.message
            assert error.message.isascii() and "\n" not in error.message
            assert set(error.body) == {"code", "message"}
    assert rows(line) == before


def test_setconfig_without_a_value_or_of_a_fixed_option_is_refused(line: Line) -> None:
    for params in (
        {"config": "revenue-ops-min-fee-ppm"},
        {"config": "revenue-ops-min-fee-ppm", "val": [1]},
        {"config": "revenue-ops-db-path", "val": "elsewhere.db"},
        {"config": "revenue-ops-nothing", "val": 1},
    ):
        with pytest.raises(RpcError) as refused:
            line.call("setconfig", params)
        assert refused.value.code == -32602
    # Positional, lightningd hands the list over as its text.
    with pytest.raises(RpcError) as refused:
        line.call("setconfig", ["revenue-ops-min-fee-ppm", [1]])
    assert refused.value.code == -32602


def test_settings_that_contradict_each_other_are_refused(line: Line) -> None:
    error = refusal(line, "revenue-ops-min-fee-ppm", 6_000)
    assert error.code == -32602
    assert "max_fee_ppm" in error.message
    assert line.setting("min_fee_ppm")["value"] == 10


def test_the_node_boots_after_a_refused_setconfig(line: Line) -> None:
    refusal(line, "revenue-ops-fee-interval", "soon")
    line.restart_node()
    line.wait_ready()
    assert line.setting("fee_interval")["value"] == 1800
    assert line.status()["problems"] == []


def test_the_node_boots_with_an_accepted_setconfig(line: Line) -> None:
    configure(line, "revenue-ops-fee-interval", 1234)
    configure(line, "revenue-ops-scarcity-threshold", 0.25)
    configure(line, "revenue-ops-paused", True)
    line.restart_node()
    line.wait_ready()
    for key, value in (("fee_interval", 1234), ("scarcity_threshold", 0.25), ("paused", True)):
        row = line.setting(key)
        assert (row["value"], row["source"]) == (value, "config file")
    assert line.status()["paused"] is True
    configure(line, "revenue-ops-paused", "no")
    wait_for(lambda: not line.status()["paused"], "the end of the pause")
    configure(line, "revenue-ops-fee-interval", 1800)
    configure(line, "revenue-ops-scarcity-threshold", 0.35)


def test_a_transient_setconfig_ends_with_the_node(line: Line) -> None:
    params = {"config": "revenue-ops-max-fee-ppm", "val": 4444, "transient": True}
    assert line.call("setconfig", params)["config"]["source"] == "setconfig transient"
    assert line.setting("max_fee_ppm")["value"] == 4444
    line.stop_plugin()
    line.start_plugin()
    assert line.setting("max_fee_ppm")["value"] == 4444
    line.restart_node()
    line.wait_ready()
    assert line.setting("max_fee_ppm")["value"] == 5000


def test_a_runtime_value_outlives_restarts_and_can_be_reset(line: Line) -> None:
    answer = line.call("revenue-config", ["set", "max_fee_ppm", "4000"])
    assert (answer["status"], answer["old_value"], answer["new_value"]) == ("success", 5000, 4000)
    version = answer["version"]
    line.restart_node()
    line.wait_ready()
    row = line.setting("max_fee_ppm")
    assert (row["value"], row["configured"], row["source"]) == (4000, 5000, "runtime")
    assert row["version"] > version
    assert line.status()["config"]["fee_range_ppm"] == [10, 4000]
    line.call("revenue-config", ["reset", "max_fee_ppm"])
    assert line.setting("max_fee_ppm")["value"] == 5000
    line.kill_plugin()
    line.start_plugin()
    assert line.setting("max_fee_ppm")["value"] == 5000


def test_setconfig_wins_over_a_runtime_value(line: Line) -> None:
    line.call("revenue-config", ["set", "target_flow", 5])
    configure(line, "revenue-ops-target-flow", 77)
    row = line.setting("target_flow")
    assert (row["value"], row["source"]) == (77, "setconfig")
    configure(line, "revenue-ops-target-flow", 100_000)


def test_a_key_may_be_given_by_its_option_name_or_refused_with_help(line: Line) -> None:
    with pytest.raises(RpcError) as refused:
        line.setting("min_fee_pmm")
    assert refused.value.code == -32602
    assert "min_fee_ppm" in refused.value.message


def test_pause_closes_the_gate_before_the_answer(line: Line) -> None:
    scid = line.outgoing["short_channel_id"]
    line.call("revenue-set-fee", [scid, 555])
    for _ in range(5):
        line.call("revenue-config", ["set", "paused", True])
        assert line.status()["writes_allowed"] is False
        answer = line.call("revenue-set-fee", [scid, 556])
        assert (answer["status"], answer["success"]) == ("error", False)
        assert line.outgoing["fee_proportional_millionths"] == 555
        line.call("revenue-config", ["set", "paused", False])
        assert line.status()["writes_allowed"] is True
    assert line.call("revenue-set-fee", [scid, 557])["success"] is True
    assert line.outgoing["fee_proportional_millionths"] == 557


@pytest.mark.parametrize("option", ["revenue-ops-paused", "revenue-ops-dry-run"])
def test_setconfig_closes_the_gate_before_the_answer(line: Line, option: str) -> None:
    scid = line.outgoing["short_channel_id"]
    line.call("revenue-set-fee", [scid, 565])
    for _ in range(5):
        configure(line, option, True)
        assert line.status()["writes_allowed"] is False
        assert line.call("revenue-set-fee", [scid, 566])["success"] is False
        assert line.outgoing["fee_proportional_millionths"] == 565
        configure(line, option, False)
        wait_for(lambda: line.status()["writes_allowed"], "an open gate")


def test_pause_outlives_a_kill(line: Line) -> None:
    line.call("revenue-config", ["set", "paused", True])
    line.kill_plugin()
    line.start_plugin()
    assert line.status()["writes_allowed"] is False
    line.call("revenue-config", ["set", "paused", False])
    assert line.status()["writes_allowed"] is True
