"""revenue-status and revenue-analyze as their clients read them, cl-hive among them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.node.line import Line, Row, wait_for

NUMBERS = (
    "flow_ratio",
    "capacity",
    "our_balance",
    "sats_in",
    "sats_out",
    "fee_ppm",
    "confidence",
    "velocity",
    "flow_multiplier",
    "ema_decay",
    "forward_count",
    "kalman_flow_ratio",
    "kalman_velocity",
    "kalman_uncertainty",
    "updated_at",
)
TEXTS = ("channel_id", "scid", "peer_id", "state")


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def nulls(value: object, path: str = "") -> list[str]:
    if value is None:
        return [path]
    items: list[tuple[object, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [found for key, item in items for found in nulls(item, f"{path}/{key}")]


def test_the_version_passes_the_gate_of_cl_hive(line: Line) -> None:
    version = line.status()["version"].lstrip("v")
    match = re.match(r"(\d+)\.(\d+)\.?(\d*)", version)
    assert match is not None
    assert (int(match[1]), int(match[2])) >= (1, 4)


def test_the_fee_range_is_two_whole_numbers(line: Line) -> None:
    low, high = line.status()["config"]["fee_range_ppm"]
    assert (low, high) == (10, 5000)
    assert type(low) is int and type(high) is int


def test_no_success_carries_an_error(line: Line) -> None:
    for method in ("revenue-status", "revenue-hive-status", "revenue-fee-debug"):
        assert "error" not in line.call(method)


def check_rows(line: Line) -> None:
    rows = line.status()["channel_states"]
    wanted = {line.incoming["short_channel_id"], line.outgoing["short_channel_id"]}
    assert {row["channel_id"] for row in rows} == wanted
    for row in rows:
        assert nulls(row) == []
        assert [name for name in NUMBERS if not is_number(row[name])] == []
        assert [name for name in TEXTS if not isinstance(row[name], str)] == []
        assert row["state"] in ("source", "sink", "balanced")
        assert 0.1 <= row["confidence"] <= 1.0
        assert -0.5 <= row["velocity"] <= 0.5
        assert 0.5 <= row["flow_multiplier"] <= 2.0
        assert 0.6 <= row["ema_decay"] <= 0.9


def test_channel_states_are_whole_before_any_analysis(line: Line) -> None:
    check_rows(line)


def test_channel_states_are_whole_after_an_analysis(line: Line) -> None:
    for amount_msat in (1_000_000, 20_000_000, 3_000_000):
        line.pay(amount_msat)
    line.wait_counted()
    assert line.call("revenue-analyze")["status"] == "success"
    check_rows(line)


def by_scid(line: Line) -> dict[str, Row]:
    return {row["scid"]: row for row in line.status()["channel_states"]}


def test_channel_states_agree_with_the_node(line: Line) -> None:
    line.pay(7_000_000)
    line.wait_counted()
    line.call("revenue-analyze")

    def agrees() -> bool:
        rows = by_scid(line)
        return all(
            row["our_balance"] == channel["to_us_msat"] // 1000
            for channel in (line.incoming, line.outgoing)
            for row in [rows[channel["short_channel_id"]]]
        )

    # Balances are read every ten minutes, and soon after a channel was touched.
    line.disconnect_payee()
    line.reconnect_payee()
    wait_for(agrees, "the balances of the node")
    rows = by_scid(line)
    for channel in (line.incoming, line.outgoing):
        row = rows[channel["short_channel_id"]]
        assert row["peer_id"] == channel["peer_id"]
        assert row["full_channel_id"] == channel["channel_id"]
        assert row["capacity"] == channel["total_msat"] // 1000
        assert row["fee_ppm"] == channel["fee_proportional_millionths"]
    out = rows[line.outgoing["short_channel_id"]]
    assert out["forward_count"] == line.tally.settled
    assert out["sats_out"] == line.tally.volume_msat // 1000


@pytest.mark.parametrize("name", ["short_channel_id", "channel_id", "peer_id"])
def test_a_channel_is_found_by_each_of_its_names(line: Line, name: str) -> None:
    channel = line.outgoing
    answer = line.call("revenue-analyze", {"channel_id": channel[name]})
    assert answer["channel"] == channel["short_channel_id"]
    assert answer["analysis"]["peer_id"] == line.payee_id
    assert nulls(answer) == []


def test_a_scid_may_be_written_with_colons(line: Line) -> None:
    scid = line.outgoing["short_channel_id"]
    assert line.call("revenue-analyze", [scid.replace("x", ":")])["channel"] == scid
