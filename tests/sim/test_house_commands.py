"""The commands of the whole house: three forms of arguments, refusals, and what clients read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cl_revenue_ops.commands.table import COMMANDS
from tests.sim.house_support import HouseNode, house_node
from tests.sim.house_traffic import Traffic, traffic

INVALID_PARAMS = -32602
PEER = "02" + "5a" * 32
METHODS = [command.name for command in COMMANDS]
NAMES = sorted({param.name for command in COMMANDS for param in command.params})


@pytest.fixture(scope="module")
def shared() -> Iterator[Traffic]:
    """A house that has worked for an hour; tests leave it as it is."""
    with traffic() as it:
        for number in range(6):
            it.pay("settled", number)
        it.node.wait_s(3_600.0)
        yield it


def ask(node: HouseNode, method: str, params: Any) -> dict[str, Any]:
    answer = node.life.ask(method, params)
    assert answer is not None, "the call was not answered"
    return answer


def kept(node: HouseNode) -> tuple[Any, ...]:
    """All that a command could change."""
    prices = [(c.policy.base_msat, c.policy.ppm) for c in node.world.channels.values()]
    return node.dump(), node.life.gate.reasons(), prices, node.calls.get("setchannel")


# -- three forms ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("revenue-config", {"action": "get", "key": "min_fee_ppm"}),
        ("revenue-config", {"action": "LIST"}),
        ("revenue-config", {"action": "set", "key": "target-flow", "value": "5"}),
        ("revenue-config", {"action": "reset", "key": "revenue-ops-target-flow"}),
        ("revenue-analyze", {"channel_id": "SCID"}),
        ("revenue-analyze", {}),
        ("revenue-set-fee", {"channel_id": "SCID", "fee_ppm": "321", "force": "true"}),
        ("revenue-set-fee", {"channel_id": "SCID", "fee_ppm": "auto"}),
        ("revenue-fee-debug", {"channel_id": "SCID"}),
        ("revenue-report", {"report_type": "shadow", "window_days": "3"}),
        ("revenue-report", {"report_type": "SHADOW"}),
        ("revenue-policy", {"action": "set", "peer_id": PEER, "strategy": "passive"}),
        (
            "revenue-policy",
            {
                "action": "set",
                "peer_id": PEER,
                "strategy": "static",
                "rebalance": "disabled",
                "fee_ppm": "5",
            },
        ),
        ("revenue-policy", {"action": "get", "peer_id": PEER}),
        ("revenue-policy", {"action": "LIST"}),
        ("revenue-policy", {"action": "delete", "peer_id": PEER}),
        ("revenue-policy", {"action": "tag", "peer_id": PEER, "tag": "a b"}),
        ("revenue-policy", {"action": "untag", "peer_id": PEER, "tag": "a b"}),
        ("revenue-policy", {"action": "find", "tag": "a"}),
        ("revenue-policy", {"action": "batch", "updates": f'[{{"peer_id": "{PEER}"}}]'}),
        ("revenue-policy", {"action": "changes", "since": "5"}),
        ("revenue-policy", {"action": "suggest"}),
        ("revenue-wake-all", {}),
        ("revenue-hive-status", {}),
    ],
)
def test_list_object_and_list_with_names_mean_the_same(method: str, words: dict[str, str]) -> None:
    answers = []
    for form in ("object", "list", "names", "first and names"):
        with house_node(start=False) as node:
            channel = node.open("alice", 1_000_000, 500_000)
            node.start()
            node.wait_s(60.0)
            scid = str(node.world.channels[channel].scid)
            given_words = {k: scid if v == "SCID" else v for k, v in words.items()}
            named = [f"{key}={value}" for key, value in given_words.items()]
            params: Any = {
                "object": given_words,
                "list": list(given_words.values()),
                "names": named,
                "first and names": [*list(given_words.values())[:1], *named[1:]],
            }[form]
            answers.append(ask(node, method, params)["result"])
    assert answers[0].get("status") != "error"
    assert answers[1:] == answers[:1] * 3


@pytest.mark.parametrize("raw", ["800001x1x0", "800001:1:0", " 800001X1X0 ", "0800001x01x0"])
def test_a_channel_is_found_by_every_spelling_of_its_names(raw: str) -> None:
    with house_node(start=False) as node:
        channel = node.open("alice", 1_000_000, 500_000)
        node.start()
        node.wait_s(60.0)
        assert node.world.channels[channel].scid == "800001x1x0"
        for name in (raw, channel, node.world.channels[channel].peer_id):
            answer = node.call("revenue-analyze", [name])
            assert answer["channel"] == "800001x1x0"
        node.splice(channel, 100_000)
        node.wait_s(60.0)
        assert node.call("revenue-analyze", [raw])["channel"] != "800001x1x0"


# -- refusals -------------------------------------------------------------------------------------

SCID = "800001x1x0"
BAD = [
    ("revenue-status", ["surprise"]),
    ("revenue-status", {"verbose": True}),
    ("revenue-hive-status", [None]),
    ("revenue-config", []),
    ("revenue-config", {}),
    ("revenue-config", 7),
    ("revenue-config", ["fly"]),
    ("revenue-config", ["get", "nonsense"]),
    ("revenue-config", ["get", 7]),
    ("revenue-config", ["get", "paused", "true"]),
    ("revenue-config", ["list", "paused"]),
    ("revenue-config", ["set", "paused"]),
    ("revenue-config", ["set"]),
    ("revenue-config", ["set", "paused", "perhaps"]),
    ("revenue-config", ["set", "paused", None]),
    ("revenue-config", ["set", "paused", ["true"]]),
    ("revenue-config", ["set", "db_path", "/tmp/elsewhere.db"]),
    ("revenue-config", ["set", "min_fee_ppm", -1]),
    ("revenue-config", ["set", "min_fee_ppm", 5_001]),
    ("revenue-config", ["set", "min_fee_ppm", 10**400]),
    ("revenue-config", ["set", "min_fee_ppm", 1, "key=paused"]),
    ("revenue-config", ["set", "min_fee_ppm", 1, 2]),
    ("revenue-config", ["set", "colour=red"]),
    ("revenue-config", {"action": "set", "key": "paused", "value": "true", "for": "ever"}),
    ("revenue-config", ["reset"]),
    ("revenue-analyze", ["1x1x1"]),
    ("revenue-analyze", ["all"]),
    ("revenue-analyze", [5]),
    ("revenue-analyze", ["02" + "ab" * 32]),
    ("revenue-analyze", ["ab" * 32]),
    ("revenue-set-fee", [SCID]),
    ("revenue-set-fee", [SCID, "cheap"]),
    ("revenue-set-fee", [SCID, True]),
    ("revenue-set-fee", [SCID, 1.0]),
    ("revenue-set-fee", [SCID, -1]),
    ("revenue-set-fee", [SCID, 5_001]),
    ("revenue-set-fee", [SCID, 9]),
    ("revenue-set-fee", [SCID, 100_001, True]),
    ("revenue-set-fee", [SCID, 100, "perhaps"]),
    ("revenue-set-fee", ["all", 100]),
    ("revenue-fee-debug", ["x"]),
    ("revenue-wake-all", ["all"]),
    ("revenue-wake-all", {"channel_id": SCID}),
    ("revenue-wake-all", ["channel_id=x"]),
    ("revenue-wake-all", 7),
    ("revenue-report", 7),
    ("revenue-report", ["everything"]),
    ("revenue-report", [None]),
    ("revenue-report", ["window_days=7"]),
    ("revenue-report", {"window_days": 7}),
    ("revenue-report", ["shadow", 0]),
    ("revenue-report", ["shadow", 32]),
    ("revenue-report", ["shadow", 1.5]),
    ("revenue-report", ["shadow", "soon"]),
    ("revenue-report", ["shadow", 7, 8]),
    ("revenue-report", ["shadow", "report_type=shadow"]),
    ("revenue-report", ["shadow", "peer_id=x"]),
    ("revenue-report", {"report_type": "shadow", "days": 7}),
]


@pytest.mark.parametrize(("method", "params"), BAD)
def test_bad_arguments_are_32602_and_change_nothing(
    shared: Traffic, method: str, params: Any
) -> None:
    before = kept(shared.node)
    answer = ask(shared.node, method, params)
    refused(answer)
    assert kept(shared.node) == before


def refused(answer: dict[str, Any]) -> None:
    """Assert -32602 with one plain line and nothing else."""
    error = answer["error"]
    assert set(error) == {"code", "message"}
    assert error["code"] == INVALID_PARAMS
    line = error["message"]
    assert line.isascii()
    assert line.isprintable()
    assert 10 < len(line) <= 400


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-(10**310), 10**310), st.floats(),
    st.text(max_size=20), st.sampled_from(NAMES), st.sampled_from(["set", "get", "reset", SCID]),
    st.builds("{}={}".format, st.sampled_from([*NAMES, "x"]), st.text(max_size=5)),
)  # fmt: skip
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text(max_size=3)), inner, max_size=4),
    ),
    max_leaves=8,
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(method=st.sampled_from(METHODS), params=anything)
@example(method="revenue-config", params=["get", "\ud800\x00\u2028"])
@example(method="revenue-analyze", params={"channel_id": "\U0001f600" * 500})
def test_no_arguments_cause_anything_but_a_result_or_32602(
    shared: Traffic, method: str, params: Any
) -> None:
    node = shared.node
    logs = len(node.life.logs)
    before = kept(node)
    answer = ask(node, method, params)
    if "error" in answer:
        refused(answer)
        assert kept(node) == before
    else:
        result = answer["result"]
        assert ("error" in result) == (result.get("status") == "error")
        assert result.get("success", True) is (result.get("status") != "error")
        json.dumps(result, allow_nan=False)
    assert node.life.plugin.failed == 0
    assert node.status()["dead_letters"]["by_reason"].get("poison", 0) == 0
    assert not any("Traceback" in text for _, text in node.life.logs[logs:])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", ["{}", '{{"channel_id":{}}}', '["set","paused",{}]'])
def test_deeply_nested_arguments_are_refused_like_others(
    shared: Traffic, method: str, form: str
) -> None:
    life = shared.node.life
    head = f'{{"jsonrpc":"2.0","id":"deep","method":"{method}","params":'
    answered, before = 0, life.plugin.skipped
    # Somewhere in between lies the depth that can just be read.
    depths = [*range(2, 800, 40), *range(800, 1_001)]
    for depth in depths:
        params = form.format("[" * depth + "]" * depth)
        life.line(f"{head}{params}}}".encode())
        answer = life.answers.pop("deep", None)
        if answer is not None:
            answered += 1
            refused(answer)
        assert life.plugin.failed == 0
    # Beyond it a line is no message.
    assert answered + life.plugin.skipped - before == len(depths)
    assert 0 < answered < len(depths)
