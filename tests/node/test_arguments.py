"""Good and bad input to every method: three forms of the same call, and a line for each fault."""

from __future__ import annotations

from typing import Any

import pytest

from tests.node import wire
from tests.node.line import Line
from tests.node.wire import RpcError

NOBODY = "02" + "ab" * 32
ODD: tuple[Any, ...] = (
    "",
    "junk",
    "1x1",
    "1x1x1x1",
    "-1x1x1",
    "99999999999x1x1",
    "1x1x1",
    NOBODY,
    NOBODY[:-1],
    "00" * 32,
    "\ud800",
    "\x00\x1b[31m\n",
    "\u202e\U0001f4a9",
    "a" * 20_000,
    "fee_ppm=",
    "=",
    0,
    -1,
    1.5,
    10**30,
    True,
    None,
    [],
    ["1x1x1"],
    {},
    {"a": [None]},
)
ODD_FEES: tuple[Any, ...] = (
    *(-1, -(10**30), 100_001, 10**18, 10**400, 1.5, 1e300),
    *("", "many", "12ppm", "-5", "1e3", "\u0665", "0x10", "\ud800", "99999999999999999999"),
    *(True, False, None, [], [5], {}, {"fee_ppm": 5}),
)
ODD_FLAGS: tuple[Any, ...] = ("maybe", "", 2, -1, 1.0, None, [], {}, "\ud800")
ODD_VALUES: tuple[Any, ...] = ("", "zzz", -1, 100_001, 1.5, 10**400, True, None, [], {}, "\udfff")
ODD_WINDOWS: tuple[Any, ...] = (0, 32, "0", "-7", "7.0", "a week", [7], {"days": 7})
STRAY: tuple[Any, ...] = ([1], ["x=y"], {"a": 1}, {"": ""}, [None], 5, "text", True)


def picture(line: Line) -> list[Any]:
    """Everything that a refused call must leave as it is."""
    channels = line.call("listpeerchannels")["channels"]
    return [
        [(c["channel_id"], c["fee_base_msat"], c["fee_proportional_millionths"]) for c in channels],
        line.call("revenue-config", ["list"]),
        line.status()["recent_fee_changes"],
        line.status()["writes_closed_because"],
        line.plugin_pid(),
    ]


def faults_of(line: Line, method: str, params: object) -> list[str]:
    """What is wrong with the answer to a bad call."""
    try:
        answer = line.call_as_is(method, params)
    except RpcError as error:
        message = error.message
        checks = {
            f"code {error.code}": error.code == -32602,
            f"extra fields {sorted(error.body)}": set(error.body) == {"code", "message"},
            f"not one line of ASCII {message!r}": message.isascii() and message.isprintable(),
            f"no message of a fair length {message!r}": 10 <= len(message) <= 400,
            f"a Python error {message!r}": "Error" not in message and "Traceback" not in message,
        }
        return [f"{method} {params!r:.80}: {what}" for what, holds in checks.items() if not holds]
    return [f"{method} {params!r:.80}: accepted with {answer!r:.200}"]


def check(line: Line, calls: list[tuple[str, object]]) -> None:
    before = picture(line)
    assert [fault for method, params in calls for fault in faults_of(line, method, params)] == []
    assert picture(line) == before


@pytest.mark.parametrize("method", ["revenue-analyze", "revenue-fee-debug"])
def test_an_odd_channel_is_refused(line: Line, method: str) -> None:
    check(line, [(method, [odd]) for odd in ODD] + [(method, {"channel_id": odd}) for odd in ODD])


def test_an_odd_channel_gets_no_fee(line: Line) -> None:
    calls: list[tuple[str, object]] = [("revenue-set-fee", [odd, 500]) for odd in ODD]
    calls += [("revenue-set-fee", {"channel_id": odd, "fee_ppm": "auto"}) for odd in ODD]
    check(line, calls)


def test_an_odd_fee_is_refused(line: Line) -> None:
    scid = line.outgoing["short_channel_id"]
    calls: list[tuple[str, object]] = [("revenue-set-fee", [scid, odd]) for odd in ODD_FEES]
    calls += [("revenue-set-fee", {"channel_id": scid, "fee_ppm": odd}) for odd in ODD_FEES]
    calls += [("revenue-set-fee", [scid, odd, True]) for odd in ODD_FEES]
    calls += [("revenue-set-fee", [scid, 500, odd]) for odd in ODD_FLAGS]
    check(line, calls)


def test_arguments_missing_doubled_or_too_many_are_refused(line: Line) -> None:
    scid = line.outgoing["short_channel_id"]
    check(
        line,
        [
            ("revenue-set-fee", []),
            ("revenue-set-fee", {}),
            ("revenue-set-fee", [scid]),
            ("revenue-set-fee", {"fee_ppm": 5}),
            ("revenue-set-fee", [scid, 500, False, 1]),
            ("revenue-set-fee", [scid, 500, "fee_ppm=600"]),
            ("revenue-set-fee", [scid, 500, "farce=true"]),
            ("revenue-set-fee", {"channel_id": scid, "fee_ppm": 500, "fee": 5}),
            ("revenue-set-fee", [scid, "fee_ppm"]),
            ("revenue-analyze", [scid, scid]),
            ("revenue-fee-debug", {"channel": scid}),
            ("revenue-report", ["peer"]),
            ("revenue-report", ["summary", 7]),
            ("revenue-dashboard", [7, "text", 1]),
            ("revenue-import", []),
            ("revenue-export", ["ledger"]),
            ("revenue-report", {"window_days": 7}),
            ("revenue-report", ["shadow", 7, 8]),
            ("revenue-report", ["shadow", "days=7"]),
            ("revenue-config", []),
            ("revenue-config", ["set"]),
            ("revenue-config", ["set", "min_fee_ppm"]),
            ("revenue-config", ["reset"]),
            ("revenue-config", ["get", "min_fee_ppm", 5]),
            ("revenue-config", ["list", "min_fee_ppm"]),
            ("revenue-config", ["list-mutable", "min_fee_ppm"]),
            ("revenue-config", ["set", "min_fee_ppm", 5, 6]),
        ],
    )


def test_an_odd_report_or_window_is_refused(line: Line) -> None:
    calls: list[tuple[str, object]] = [("revenue-report", [odd]) for odd in ODD]
    calls += [("revenue-report", {"report_type": odd}) for odd in ODD]
    calls += [("revenue-report", ["shadow", odd]) for odd in (*ODD_WINDOWS, *ODD_VALUES)]
    check(line, calls)


@pytest.mark.parametrize(
    "method",
    [
        *("revenue-status", "revenue-hive-status", "revenue-analyze", "revenue-config"),
        *("revenue-wake-all", "revenue-report"),
    ],
)
def test_stray_arguments_are_refused(line: Line, method: str) -> None:
    check(line, [(method, stray) for stray in STRAY])


def test_an_odd_setting_is_refused(line: Line) -> None:
    calls: list[tuple[str, object]] = [("revenue-config", [odd]) for odd in ODD]
    for action in ("set", "get", "reset"):
        rest = [5] if action == "set" else []
        calls += [("revenue-config", [action, odd, *rest]) for odd in ODD if odd is not None]
    calls += [("revenue-config", ["set", "min_fee_ppm", odd]) for odd in ODD_VALUES]
    calls += [("revenue-config", {"action": "set", "key": "paused", "value": "perhaps"})]
    calls += [("revenue-config", ["set", "db_path", "elsewhere.db"])]
    calls += [("revenue-config", ["set", "snapshot", 1])]
    check(line, calls)


def test_the_three_forms_of_a_call_mean_the_same(line: Line) -> None:
    scid = line.outgoing["short_channel_id"]
    forms: list[tuple[int, object]] = [
        (611, [scid, 611]),
        (612, {"channel_id": scid, "fee_ppm": 612}),
        (613, [scid, "fee_ppm=613"]),
        (614, [scid, "614", "force=false"]),
    ]
    for ppm, params in forms:
        assert line.call("revenue-set-fee", params)["new_fee_ppm"] == ppm
        assert line.outgoing["fee_proportional_millionths"] == ppm
    settings: list[tuple[int, object]] = [
        (4001, ["set", "max_fee_ppm", 4001]),
        (4002, {"action": "set", "key": "max_fee_ppm", "value": "4002"}),
        (4003, ["set", "key=max_fee_ppm", "value=4003"]),
    ]
    for value, params in settings:
        assert line.call("revenue-config", params)["new_value"] == value
        assert line.setting("max_fee_ppm")["value"] == value
    line.call("revenue-config", ["reset", "max_fee_ppm"])


def test_params_of_null_are_no_arguments(line: Line) -> None:
    assert line.call_as_is("revenue-status", None)["status"] == "running"


@pytest.mark.parametrize("text", [b"\xff\xfe", b"NaN", b'"\\x"'])
def test_bytes_that_are_no_json_end_nothing(line: Line, text: bytes) -> None:
    request = b'{"jsonrpc":"2.0","id":"1","method":"revenue-analyze","params":["' + text + b'"]}'
    if text == b"NaN":
        request = request.replace(b'"NaN"', b"NaN")
    answer = wire.exchange(line.socket, request, 30.0)
    assert answer["error"]["code"] == -32600
    assert line.status()["status"] == "running"
