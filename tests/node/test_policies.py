"""Policies over the real protocol: what fleets and operators send, in all forms, over restarts."""

from __future__ import annotations

import json

import pytest

from tests.node.line import Line, Row
from tests.node.wire import RpcError

KINDS = ("simulated", "elder", "real")
STRANGER = "02" + "5a" * 32
OTHER = "03" + "a5" * 32


def ask(line: Line, *words: object) -> Row:
    answer: Row = line.call("revenue-policy", list(words))
    return answer


def named(line: Line, **words: object) -> Row:
    answer: Row = line.call("revenue-policy", words)
    return answer


def test_a_fleet_sets_a_member_twice_back_to_back(line: Line) -> None:
    for peer_id in (line.outgoing["peer_id"], line.call("getinfo")["id"], STRANGER):
        for _ in range(2):
            answer = named(
                line, action="set", peer_id=peer_id, strategy="hive", rebalance="enabled"
            )
            assert answer["status"] == "success"
            assert "error" not in answer
            assert answer["policy"]["strategy"] == "hive"
            assert answer["policy"]["rebalance_mode"] == "enabled"
        assert ask(line, "delete", peer_id)["status"] == "success"


def test_the_three_forms_mean_the_same(line: Line) -> None:
    wanted = {"strategy": "static", "rebalance": "disabled", "fee_ppm": 77}
    answers = [
        named(line, action="set", peer_id=STRANGER, **wanted),
        ask(line, "set", STRANGER, "static", "disabled", 77),
        ask(line, "SET", STRANGER.upper(), "strategy=static", "rebalance=disabled", "fee_ppm=77"),
    ]
    assert answers[0]["policy"] == answers[1]["policy"] == answers[2]["policy"]
    policy = ask(line, "get", STRANGER)["policy"]
    assert policy == answers[0]["policy"]
    assert policy["fee_ppm_target"] == 77
    assert policy in ask(line, "list")["policies"]
    ask(line, "delete", STRANGER)
    assert ask(line, "delete", STRANGER)["status"] == "noop"


def test_tags_batch_and_changes(line: Line) -> None:
    since = ask(line, "changes")["last_change_timestamp"]
    assert isinstance(since, int)
    updates = [{"peer_id": STRANGER, "strategy": "passive"}, {"peer_id": OTHER, "tags": ["a"]}]
    assert named(line, action="batch", updates=json.dumps(updates))["updated"] == 2
    assert named(line, action="batch", updates=updates)["updated"] == 2
    assert named(line, action="batch", updates="[]")["updated"] == 0
    assert ask(line, "tag", STRANGER, "a")["tags"] == ["a"]
    assert named(line, action="find", tag="a")["count"] == 2
    ask(line, "delete", OTHER)
    told = ask(line, "changes", f"since={since}")
    assert told["since"] == since
    assert [(row["peer_id"], row["change"]) for row in told["changes"]] == [
        (OTHER, "deleted"),
        (STRANGER, "tagged"),
    ]
    again = named(line, action="changes", since=told["last_change_timestamp"])
    assert (again["changes"], again["count"]) == ([], 0)
    ask(line, "delete", STRANGER)


@pytest.mark.parametrize(
    "words",
    [
        ["set", STRANGER, "fast"],
        ["set", STRANGER, "static"],
        ["set", STRANGER, "fee_multiplier_min=2", "fee_multiplier_max=1"],
        ["set", STRANGER, "expires_in_hours=721"],
        ["set", "02ab"],
        ["batch", [{"peer_id": STRANGER}, {"peer_id": OTHER, "colour": 1}]],
        ["paint"],
    ],
)
def test_bad_input_is_an_error_and_changes_nothing(line: Line, words: list[object]) -> None:
    before = ask(line, "list")
    with pytest.raises(RpcError) as refused:
        ask(line, *words)
    assert refused.value.code == -32602
    assert ask(line, "list") == before


def test_a_policy_outlives_a_stop_and_a_kill(line: Line) -> None:
    policy = ask(line, "set", OTHER, "static", "fee_ppm=5", "expires_in_hours=720")["policy"]
    line.stop_plugin()
    line.start_plugin()
    line.kill_plugin()
    line.start_plugin()
    assert ask(line, "get", OTHER)["policy"] == policy
    assert line.status()["policies"]["by_strategy"] == {"static": 1}
    ask(line, "delete", OTHER)


def test_too_many_changes_in_a_minute_are_refused(line: Line) -> None:
    peer_id = "02" + "77" * 32
    answers = [ask(line, "set", peer_id, f"fee_ppm={number}") for number in range(11)]
    assert [answer["status"] for answer in answers] == ["success"] * 10 + ["error"]
    assert "try again in" in answers[-1]["error"]


def test_suggestions_are_given_and_not_applied(line: Line) -> None:
    before = ask(line, "list")
    answer = ask(line, "suggest")
    assert answer["status"] in ("success", "error")
    assert "suggestions" in answer or "analysed" in answer["error"]
    assert ask(line, "list") == before
