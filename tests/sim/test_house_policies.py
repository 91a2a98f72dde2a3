"""revenue-policy in the whole house: every action, the rate, restarts, and a disk that is full."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from typing import Any
from unittest import mock

import pytest

from cl_revenue_ops.storage.care_store import SqliteCareStore
from tests.sim.house_policies import agree, ask, complaint, hearing, policy_house, stored, told
from tests.sim.house_support import HouseNode
from tests.unit.policy_support import BAD, peer

A, B = peer(1), peer(2)
FIELDS = {
    "peer_id",
    "strategy",
    "rebalance_mode",
    "fee_ppm_target",
    "tags",
    "updated_at",
    "fee_multiplier_min",
    "fee_multiplier_max",
    "min_fee_ppm",
    "max_fee_ppm",
    "expires_at",
    "is_expired",
}


@pytest.fixture
def node() -> Iterator[HouseNode]:
    with policy_house() as node:
        yield node


# -- answers --------------------------------------------------------------------------------------


def test_a_policy_is_set_with_all_its_options_and_read_again(node: HouseNode) -> None:
    answer = ask(
        node,
        "set",
        A.upper(),
        strategy="STATIC",
        rebalance="Sink_Only",
        fee_ppm="150",
        fee_multiplier_min=0.5,
        fee_multiplier_max="2",
        min_fee_ppm=0,
        max_fee_ppm=900,
        tags="big, slow,big",
        expires_in_hours=24,
    )
    now = int(node.now_s)
    assert answer["status"] == "success"
    assert isinstance(answer["message"], str)
    policy = answer["policy"]
    assert policy == {
        "peer_id": A,
        "strategy": "static",
        "rebalance_mode": "sink_only",
        "fee_ppm_target": 150,
        "tags": ["big", "slow"],
        "updated_at": now,
        "fee_multiplier_min": 0.5,
        "fee_multiplier_max": 2.0,
        "min_fee_ppm": 0,
        "max_fee_ppm": 900,
        "expires_at": now + 86_400,
        "is_expired": False,
    }
    assert ask(node, "get", A) == {"policy": policy}
    assert ask(node, "list") == {"policies": [policy], "count": 1}
    agree(node)


def test_a_stranger_has_the_default_policy(node: HouseNode) -> None:
    policy = ask(node, "get", A)["policy"]
    assert policy.keys() == FIELDS
    assert (policy["strategy"], policy["rebalance_mode"]) == ("dynamic", "enabled")
    assert (policy["updated_at"], policy["is_expired"]) == (0, False)
    assert ask(node, "list") == {"policies": [], "count": 0}


def test_our_own_node_and_unknown_peers_are_accepted(node: HouseNode) -> None:
    own = node.call("getinfo")["id"]
    for peer_id in (own, A):
        assert ask(node, "set", peer_id, "dynamic")["status"] == "success"
    assert agree(node).keys() == {own, A}


def test_null_and_none_take_a_bound_away(node: HouseNode) -> None:
    ask(node, "set", A, "fee_multiplier_min=0.2", "min_fee_ppm=5", "tags=x")
    policy = ask(node, "set", A, "fee_multiplier_min=none", "tags=")["policy"]
    assert (policy["fee_multiplier_min"], policy["min_fee_ppm"], policy["tags"]) == (None, 5, [])
    assert ask(node, "set", A, min_fee_ppm=None)["policy"]["min_fee_ppm"] is None


def test_deleting_says_whether_there_was_anything(node: HouseNode) -> None:
    ask(node, "set", A, "hive")
    gone = ask(node, "delete", A)
    assert (gone["status"], gone["peer_id"], bool(gone["message"])) == ("success", A, True)
    nothing = ask(node, "delete", A)
    assert (nothing["status"], bool(nothing["message"])) == ("noop", True)
    assert agree(node) == {}


def test_tags_come_and_go_and_are_found(node: HouseNode) -> None:
    assert ask(node, "tag", A, "exchange") == {
        "status": "success",
        "peer_id": A,
        "tags": ["exchange"],
    }
    ask(node, "tag", A, "exchange")
    ask(node, "tag", B, tag="exchange")
    found = ask(node, "find", "exchange")
    assert (found["count"], found["tag"]) == (2, "exchange")
    assert [policy["peer_id"] for policy in found["peers"]] == [B, A]
    assert ask(node, "untag", A, "exchange")["tags"] == []
    assert ask(node, "untag", A, "exchange")["tags"] == []
    assert ask(node, action="find", tag="exchange")["count"] == 1
    assert len(node.query("SELECT 1 FROM policy_change")) == 3
    agree(node)


def test_a_batch_is_all_or_nothing(node: HouseNode) -> None:
    entries: list[dict[str, Any]] = [
        {"peer_id": A, "strategy": "hive", "rebalance_mode": "enabled", "fee_ppm_target": None},
        {"peer_id": B, "strategy": "static", "fee_ppm_target": 5, "expires_in_hours": 1},
    ]
    answer = ask(node, action="batch", updates=json.dumps(entries))
    assert (answer["status"], answer["updated"], answer["changed"]) == ("success", 2, 2)
    assert [policy["peer_id"] for policy in answer["policies"]] == [A, B]
    before = agree(node)
    for bad in ({"peer_id": A, "strategy": "static"}, {"peer_id": "x"}, {"peer_id": A, "a": 1}):
        line = complaint(node, action="batch", updates=[{"peer_id": A, "strategy": "passive"}, bad])
        assert "entry 2" in line
        assert agree(node) == before
    assert "at most 100" in complaint(node, "batch", [{"peer_id": A}] * 101)
    assert ask(node, "batch", "[]")["updated"] == 0
    again = ask(node, "batch", entries[:1])
    assert (again["updated"], again["changed"]) == (1, 0)


@pytest.mark.parametrize(("name", "raw"), [(n, raw) for n, raws in BAD.items() for raw in raws])
def test_a_bad_value_changes_nothing(node: HouseNode, name: str, raw: object) -> None:
    if name == "tags" and raw == ["\ud800"]:
        raw = ["\x7f"]  # what no JSON text can carry never comes
    if raw != raw or (isinstance(raw, (int, float)) and abs(raw) > 1e308):
        raw = "NaN"
    complaint(node, "set", A, **{name: raw})
    complaint(node, "batch", [{"peer_id": A, name: raw}])
    assert agree(node) == {}


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nonsense"],
        ["set"],
        ["set", "02ab"],
        ["set", None],
        ["get"],
        ["get", "04" + "a" * 64],
        ["delete", 5],
        ["tag", A],
        ["tag", A, ""],
        ["untag", A, ["x"]],
        ["find"],
        ["list", A],
        ["batch"],
        ["batch", "{}"],
        ["batch", 7],
        ["changes", "soon"],
        ["changes", -1],
        ["suggest", A],
        ["set", A, "dynamic", "colour=red"],
        ["set", A, "dynamic", "strategy=hive"],
    ],
)
def test_bad_input_is_refused_in_one_line(node: HouseNode, words: list[Any]) -> None:
    complaint(node, *words)
    assert agree(node) == {}


# -- changes --------------------------------------------------------------------------------------


def test_a_client_that_polls_by_the_last_answer_misses_nothing(node: HouseNode) -> None:
    """No time passes between these calls: ties are the rule."""
    seen: list[tuple[str, str]] = []
    since = 0

    def poll() -> None:
        nonlocal since
        answer = ask(node, action="changes", since=since)
        assert (answer["since"], answer["count"]) == (since, len(answer["changes"]))
        assert answer["complete"] is True
        seen.extend((row["peer_id"], row["change"]) for row in reversed(answer["changes"]))
        since = answer["last_change_timestamp"]
        assert isinstance(since, int)

    poll()
    assert since == 0
    ask(node, "set", A, "hive")
    poll()
    ask(node, "set", A, "dynamic")
    ask(node, "tag", B, "x")
    node.restart()
    poll()
    ask(node, "delete", A)
    poll()
    poll()
    assert seen == [(A, "set"), (A, "set"), (B, "tagged"), (A, "deleted")]


def test_every_change_is_told_once_with_what_was_before(node: HouseNode) -> None:
    with hearing(node) as heard:
        ask(node, "set", A, "hive")
        ask(node, "set", A, "hive")
        ask(node, "tag", A, "x")
        ask(node, "untag", A, "x")
        ask(node, "batch", [{"peer_id": A, "strategy": "dynamic"}, {"peer_id": B}])
        ask(node, "delete", A)
    assert [(change.peer_id, change.what) for change in heard] == [
        (A, "set"),
        (A, "tagged"),
        (A, "untagged"),
        (A, "set"),
        (B, "set"),
        (A, "deleted"),
    ]
    of_a = [change for change in heard if change.peer_id == A]
    for earlier, later in pairwise(of_a):
        assert earlier.after == later.before
    assert (of_a[0].before, of_a[-1].after) == (None, None)
    assert heard[-1].version == told(node).version == 6


# -- the rate -------------------------------------------------------------------------------------


def fill_up(node: HouseNode) -> None:
    for ppm in range(10):
        assert ask(node, "set", A, f"fee_ppm={ppm}")["status"] == "success"


def refused(answer: dict[str, Any]) -> str:
    assert (answer["status"], answer["success"]) == ("error", False)
    return str(answer["error"])


def test_the_eleventh_change_of_a_peer_in_a_minute_is_refused(node: HouseNode) -> None:
    fill_up(node)
    before = agree(node)
    node.wait_s(18.5)
    for words in (["set", A, "hive"], ["delete", A], ["tag", A, "x"]):
        assert "try again in 42 s" in refused(ask(node, *words))
    assert "rate limit" in refused(
        ask(node, "batch", [{"peer_id": B}, {"peer_id": A, "tags": "x"}])
    )
    assert agree(node) == before, "a batch that is refused sets nobody"
    assert ask(node, "set", A, "fee_ppm=9")["status"] == "success", "a repeat is no change"
    assert ask(node, "set", B, "hive")["status"] == "success"
    node.wait_s(41.5)
    assert ask(node, "delete", A)["status"] == "success", "what was refused did not count"


def test_the_rate_outlives_a_kill(node: HouseNode) -> None:
    fill_up(node)
    node.wait_s(30.0)
    node.restart()
    assert "try again in 30 s" in refused(ask(node, "set", A, "hive"))
    node.wait_s(30.0)
    assert ask(node, "set", A, "hive")["status"] == "success"


def test_a_batch_counts_once_for_each_of_its_peers(node: HouseNode) -> None:
    for number in range(10):
        entries = [{"peer_id": p, "fee_ppm": number} for p in (A, B)]
        assert ask(node, "batch", [*entries, *entries])["updated"] == 2
    refused(ask(node, "set", A, "hive"))
    refused(ask(node, "set", B, "hive"))


def test_a_fleet_of_a_hundred_sets_each_member_twice_at_its_start(node: HouseNode) -> None:
    members = [peer(number) for number in range(100)]
    for _ in range(3):
        for member in members:
            for _ in range(2):
                answer = ask(
                    node, action="set", peer_id=member, strategy="hive", rebalance="enabled"
                )
                assert answer["status"] == "success"
                assert answer["policy"]["strategy"] == "hive"
        node.restart()
    assert len(agree(node)) == 100
    assert told(node).version == 100, "repeats are no changes"


# -- lives ----------------------------------------------------------------------------------------


def test_policies_outlive_a_stop_and_a_kill(node: HouseNode) -> None:
    ask(node, "set", A, "static", "fee_ppm=0")
    ask(node, "tag", B, "x")
    before = agree(node)
    version = told(node).version
    node.restart()
    assert agree(node) == before
    assert told(node).version == version
    ask(node, "delete", B)
    node.checkpoint()
    node.restart()
    assert agree(node).keys() == {A}
    assert told(node).version == version + 1


def test_a_full_disk_refuses_and_changes_nothing(node: HouseNode) -> None:
    ask(node, "set", A, "hive")
    before = agree(node)
    with node.life.full_disk():
        for words in (["set", B], ["delete", A], ["tag", A, "x"], ["batch", [{"peer_id": B}]]):
            assert "could not be stored" in refused(ask(node, *words))
        assert agree(node) == before
    assert ask(node, "set", B)["status"] == "success"
    assert agree(node).keys() == {A, B}
    assert node.status()["safe_mode"] is False


def test_changes_reach_the_disk_within_half_a_second_once_for_all(node: HouseNode) -> None:
    synced: list[float] = []
    whole = SqliteCareStore.flush

    def sync(store: SqliteCareStore) -> None:
        synced.append(node.now_s)
        whole(store)

    with mock.patch.object(SqliteCareStore, "flush", sync):
        for number in range(3):
            ask(node, "set", peer(number), "hive")
        node.wait_s(0.5)
        assert len(synced) == 1
        node.wait_s(600.0)
        assert len(synced) == 1
        ask(node, "delete", A)
        node.wait_s(0.5)
        assert len(synced) == 2


def test_a_torn_row_is_reported_and_left_out(node: HouseNode) -> None:
    for number in range(4):
        ask(node, "set", peer(number), "hive")
    node.kill()
    with closing(sqlite3.connect(node.database)) as connection:
        torn = [("{", peer(0)), ('{"strategy": "odd"}', peer(1)), (b"\xff", peer(2))]
        connection.executemany("UPDATE policy SET body = ? WHERE peer_id = ?", torn)
        connection.execute("UPDATE policy_change SET what = 'odd' WHERE seq = 1")
        connection.execute("UPDATE policy_change SET stamp_s = 'x' WHERE seq = 4")
        connection.commit()
    node.start()
    node.settle()
    warned = [text for level, text in node.life.logs if level == "warn" and "left out" in text]
    assert len(warned) == 5
    assert [policy.peer_id for policy in told(node).policies] == [peer(3)]
    assert ask(node, "set", peer(0), "passive")["policy"]["strategy"] == "passive"
    assert told(node).version == 5
    assert ask(node, "changes")["count"] == 4
    assert node.status()["safe_mode"] is False


def test_the_status_counts_policies_and_names_the_next_end(node: HouseNode) -> None:
    assert node.status()["policies"]["count"] == 0
    ask(node, "set", A, "hive", "expires_in_hours=5")
    ask(node, "set", B, "passive", "disabled", "expires_in_hours=3")
    shown = node.status()["policies"]
    assert (shown["count"], shown["by_strategy"]) == (2, {"hive": 1, "passive": 1})
    assert shown["by_rebalance_mode"] == {"disabled": 1, "enabled": 1}
    assert shown["next_end_at"] == int(node.now_s) + 3 * 3_600
    assert len(stored(node)) == 2
