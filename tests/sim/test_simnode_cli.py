"""The `call` command behaves as lightning-cli does: argument types, key=value, exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cl_revenue_ops.simnode.cli import argument, main, pace, parameters, shown
from cl_revenue_ops.simnode.node import SimulatedNode

START_S = 1_700_000_000.0
PLUGIN = [sys.executable, str(Path(__file__).with_name("recording_plugin.py"))]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("12", 12), ("1.5", 1.5), ("true", True), ("null", None), ("False", "False"),
        ("-3", "-3"), ("1x2x3", "1x2x3"), ("12msat", "12msat"), ("", ""),
        ('{"a": [1]}', {"a": [1]}), ("[]", []), ('"12"', "12"), ("all", "all"),
    ],
)  # fmt: skip
def test_words_get_types(word: str, value: Any) -> None:
    assert argument(word) == value
    assert type(argument(word)) is type(value)


def test_broken_json_is_refused() -> None:
    with pytest.raises(SystemExit):
        argument("{a")


def test_only_the_first_word_decides_about_key_value_mode() -> None:
    assert parameters(["set", "peer", "fee_ppm=100"], False) == ["set", "peer", "fee_ppm=100"]
    assert parameters(["a=1", "b=x=y"], False) == {"a": 1, "b": "x=y"}
    assert parameters(["a=1"], True) == {"a": 1}
    with pytest.raises(SystemExit):
        parameters(["a"], True)
    with pytest.raises(SystemExit):
        parameters(["a=1", "b"], False)


def test_results_are_json_unless_a_simple_format_is_hinted() -> None:
    assert json.loads(shown({"a": 1})) == {"a": 1}
    hinted = {"help": [{"command": "getinfo"}], "n": 2, "format-hint": "simple"}
    assert shown(hinted) == "help=getinfo\nn=2"
    assert shown({"text": "a\nb", "format-hint": "simple"}) == "a\nb"
    assert shown("Shutdown complete") == "Shutdown complete"


@pytest.fixture
def node() -> Iterator[SimulatedNode]:
    with SimulatedNode(PLUGIN, start_s=START_S) as node:
        yield node


def test_call_prints_the_result(node: SimulatedNode, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["call", "--dir", str(node.network_dir.parent)]
    assert main([*where, "revenue-echo", "set", "fee_ppm=100"]) == 0
    assert json.loads(capsys.readouterr().out) == {"word": "set", "number": "fee_ppm=100"}
    assert main([*where, "revenue-echo", "word=12", "number=[1]"]) == 0
    assert json.loads(capsys.readouterr().out) == {"word": 12, "number": [1]}
    assert main([*where, "-k", "revenue-echo", "word=x"]) == 0
    assert main(["call", "--rpc-file", str(node.rpc_file), "getinfo"]) == 0


def test_an_error_is_printed_with_exit_code_one(
    node: SimulatedNode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["call", "--rpc-file", str(node.rpc_file), "nothing"]) == 1
    assert json.loads(capsys.readouterr().out)["code"] == -32601


def test_an_absent_node_is_exit_code_two(tmp_path: Path) -> None:
    assert main(["call", "--dir", str(tmp_path), "getinfo"]) == 2


def test_paced_virtual_time_runs_ahead(node: SimulatedNode) -> None:
    pace(node, 36_000.0, START_S + 3600)
    assert node.clock.now() >= START_S + 3600


def test_run_says_why_a_plugin_does_not_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "--plugin", str(tmp_path / "nothing.py"), "--speed", "10", "--days", "1"]
    assert main(words) == 1
    assert "nothing.py" in capsys.readouterr().err


def test_run_plays_a_market_until_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "--no-plugin", "--speed", "200000", "--days", "1", "--seed", "3"]
    assert main([*words, "--dir", str(tmp_path)]) == 0
    assert f"rpc-file: {tmp_path}/regtest/lightning-rpc" in capsys.readouterr().out
