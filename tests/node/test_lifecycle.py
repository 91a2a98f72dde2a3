"""How the plugin starts, shows itself, stops and comes back, with its state kept."""

from __future__ import annotations

import os

import pytest

from tests.node.line import Line, wait_for
from tests.node.wire import RpcError

LEAVES_WITHIN_S = 5.0
USAGE = {
    "revenue-status": "",
    "revenue-hive-status": "",
    "revenue-config": "action [key] [value]",
    "revenue-analyze": "[channel_id]",
    "revenue-set-fee": "channel_id fee_ppm [force]",
    "revenue-fee-debug": "[channel_id]",
    "revenue-wake-all": "",
    "revenue-report": "[report_type] [format] [peer_id] [channel_id] [window_days]",
    "revenue-dashboard": "[window_days] [format]",
    "revenue-profitability": "[channel_id] [format]",
    "revenue-history": "[format]",
    "revenue-capacity-report": "",
    "revenue-cleanup-closed": "",
    "revenue-import": "path [dry_run]",
    "revenue-export": "what format path [since] [until]",
}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def stop(line: Line) -> None:
    """`plugin stop`, which lightningd answers once the plugin has closed its pipes."""
    pid = line.plugin_pid()
    assert pid is not None
    line.call("plugin", {"subcommand": "stop", "plugin": line.plugin_path}, LEAVES_WITHIN_S)
    wait_for(lambda: not alive(pid), "the end of the process", LEAVES_WITHIN_S)


def test_it_is_active_once_the_node_has_booted(line: Line) -> None:
    (entry,) = line.listed()
    assert entry == {"name": line.plugin_path, "active": True, "dynamic": True}
    assert line.status()["status"] == "running"


def test_the_manifest_announces_every_method_with_its_usage(line: Line) -> None:
    for method, words in USAGE.items():
        (entry,) = line.call("help", {"command": method})["help"]
        assert entry["command"] == f"{method} {words}"


def test_every_option_is_known_to_the_node_as_text(line: Line) -> None:
    configs = line.call("listconfigs")["configs"]
    rows = [
        row for row in line.call("revenue-config", ["list"])["settings"] if row["value"] is not None
    ]
    assert {row["option"] for row in rows} == {n for n in configs if n.startswith("revenue-ops-")}
    for row in rows:
        shown = configs[row["option"]]
        assert shown["plugin"] == line.plugin_path
        assert shown.get("dynamic", False) is row["dynamic"]
        # A wrong number in an option of type int would keep lightningd from its next start.
        assert isinstance(shown.get("value_str", ""), str)
        assert not {"value_int", "value_bool"} & set(shown)


def test_it_cannot_be_started_twice(line: Line) -> None:
    with pytest.raises(RpcError) as refused:
        line.start_plugin()
    assert refused.value.code == -32602
    assert len(line.listed()) == 1


def test_a_stop_is_a_clean_end_in_time(line: Line) -> None:
    stop(line)
    assert line.listed() == []
    assert line.unclean_exits() == []
    with pytest.raises(RpcError) as unknown:
        line.status()
    assert unknown.value.code == -32601
    line.start_plugin()
    assert line.listed()[0]["active"] is True


def test_a_start_after_a_stop_finds_its_state_again(line: Line) -> None:
    line.pay(250_000)
    line.wait_counted()
    line.call("revenue-config", ["set", "max_fee_ppm", 4321])
    stop(line)
    line.start_plugin()
    line.wait_counted()
    row = line.setting("max_fee_ppm")
    assert (row["value"], row["source"]) == (4321, "runtime")
    line.call("revenue-config", ["reset", "max_fee_ppm"])


def test_options_of_one_start_do_not_outlive_it(line: Line) -> None:
    stop(line)
    line.start_plugin({"revenue-ops-min-fee-ppm": 33})
    assert line.setting("min_fee_ppm")["value"] == 33
    shown = line.call("listconfigs", {"config": "revenue-ops-min-fee-ppm"})["configs"]
    assert shown["revenue-ops-min-fee-ppm"]["source"] == "pluginstart"
    stop(line)
    line.start_plugin()
    assert line.setting("min_fee_ppm")["value"] == 10


def test_an_unknown_option_is_refused_and_nothing_runs(line: Line) -> None:
    stop(line)
    with pytest.raises(RpcError) as refused:
        line.start_plugin({"revenue-ops-nonsense": 1})
    assert refused.value.code == -3
    assert line.listed() == []
    line.start_plugin()


def test_an_unusable_option_starts_it_with_the_gate_closed(line: Line) -> None:
    stop(line)
    line.start_plugin({"revenue-ops-max-fee-ppm": "plenty"})
    status = line.status()
    assert status["writes_allowed"] is False
    assert any("max-fee-ppm" in problem for problem in status["problems"])
    assert line.setting("max_fee_ppm")["value"] == 5000
    stop(line)
    line.start_plugin()
    assert line.status()["writes_allowed"] is True


def test_a_kill_takes_nothing_away(line: Line) -> None:
    line.call("revenue-config", ["set", "max_fee_ppm", 4322])
    line.pay(333_000)
    line.wait_counted()
    line.kill_plugin()
    line.start_plugin()
    line.wait_counted()
    assert line.setting("max_fee_ppm")["value"] == 4322
    line.call("revenue-config", ["reset", "max_fee_ppm"])


def test_a_crash_of_the_node_leaves_no_orphan(line: Line) -> None:
    line.pay(345_000)
    line.wait_counted()
    pid = line.plugin_pid()
    assert pid is not None
    line.crash_node()
    # An orphan would hold the database against its successor.
    wait_for(lambda: not alive(pid), "the end of the process", LEAVES_WITHIN_S)
    line.start_node()
    line.wait_ready()
    line.wait_counted()


def test_the_node_takes_it_down_and_up(line: Line) -> None:
    line.pay(444_000)
    line.wait_counted()
    pid = line.plugin_pid()
    assert pid is not None
    line.stop_node()
    wait_for(lambda: not alive(pid), "the end of the process", LEAVES_WITHIN_S)
    line.start_node()
    wait_for(lambda: line.listed()[0]["active"], "the plugin after a boot")
    line.wait_ready()
    assert line.plugin_pid() != pid
    line.wait_counted()
    assert line.unclean_exits() == []
