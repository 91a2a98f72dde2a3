"""Whatever stands on a line, the plugin lives and answers the next one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.sim.house_support import HouseNode, house_node

DEEP = b"[" * 100_000
HUGE = b"9" * 5_000

NO_MESSAGES = [
    b"",
    b"{",
    b"nonsense",
    b"\xff\xfe\x00",
    b"[1, 2]",
    b'"getinfo"',
    b"17",
    b"null",
    b"{}",
    b'{"method": null, "id": 1}',
    b'{"method": 5, "params": {}}',
    b'{"method": ["a"], "params": {}}',
    b'{"params": {}, "id": "x"}',
    b"\xef\xbb\xbf{}",
    DEEP,
    b'{"method": "revenue-status", "id": 1, "params": ' + DEEP + b"}",
]

ANSWERED = [
    (b'{"id":"q","method":"revenue-status","params":null}', None),
    (b'{"id":"q","method":"revenue-status"}', None),
    (b'{"id":"q","method":"revenue-status","params":7}', -32602),
    (b'{"id":"q","method":"revenue-status","params":"all"}', -32602),
    (b'{"id":"q","method":"no-such-method","params":{}}', -32601),
    (b'{"id":"q","method":"\\ud800","params":{}}', -32601),
    (b'{"id":"q","method":"revenue-config","params":["set","min_fee_ppm",' + HUGE + b"]}", -32602),
    (b'{"id":"q","method":"revenue-config","params":["get","\xff\xfe"]}', -32602),
    (b'{"id":"q","method":"revenue-config","params":["get",1e999]}', -32602),
    (b'{"id":"q","method":"setconfig","params":null}', -32602),
    (b'{"id":"q","method":"setconfig","params":{"config":"x","val":1}}', -32602),
    (
        b'{"id":"q","method":"setconfig","params":{"config":"revenue-ops-db-path","val":"x"}}',
        -32602,
    ),
    (b'{"id":"q","method":"setconfig","params":{"config":"revenue-ops-paused"}}', -32602),
    (
        b'{"id":"q","method":"setconfig","params":{"config":"revenue-ops-paused","val":{"a":[]}}}',
        -32602,
    ),
]

UNHEARD = [
    b'{"method":"forward_event","params":null}',
    b'{"method":"forward_event","params":5}',
    b'{"method":"forward_event","params":{"forward_event":{"in_msat":' + HUGE + b"}}}",
    b'{"method":"forward_event","params":{"forward_event":[[]]}}',
    b'{"method":"channel_state_changed","params":{"channel_state_changed":{"new_state":null}}}',
    b'{"method":"connect","params":{"id":"\\ud800"}}',
]


@pytest.fixture(scope="module")
def node() -> Iterator[HouseNode]:
    with house_node() as node:
        yield node


def lives(node: HouseNode) -> dict[str, Any]:
    """The next call is answered; gives the counters of what could not be understood."""
    assert node.life.alive
    counters: dict[str, Any] = node.status()["notifications"]
    return counters


@pytest.mark.parametrize("line", NO_MESSAGES, ids=lambda line: repr(line[:30]))
def test_a_line_that_is_no_message_is_skipped_and_counted(node: HouseNode, line: bytes) -> None:
    before = lives(node)
    node.life.line(line)
    after = lives(node)
    assert after["lines_skipped"] == before["lines_skipped"] + 1
    assert after["handlers_failed"] == before["handlers_failed"]


@pytest.mark.parametrize(("line", "code"), ANSWERED, ids=lambda part: repr(part)[:60])
def test_a_strange_request_is_answered(node: HouseNode, line: bytes, code: int | None) -> None:
    before = lives(node)
    node.life.line(line)
    answer = node.life.answers.pop("q")
    if code is None:
        assert answer["result"]["status"] == "running"
    else:
        assert answer["error"]["code"] == code
        assert answer["error"]["message"].isascii()
        assert "traceback" not in json.dumps(answer).lower()
    assert lives(node) == before


@pytest.mark.parametrize("line", UNHEARD, ids=lambda line: repr(line[:50]))
def test_a_notification_that_cannot_be_understood_is_counted_by_topic(
    node: HouseNode, line: bytes
) -> None:
    topic = line.split(b'"')[3].decode()
    before = lives(node)
    node.life.line(line)
    after = lives(node)
    assert after["malformed"].get(topic, 0) == before["malformed"].get(topic, 0) + 1
    assert after["handlers_failed"] == before["handlers_failed"]


def test_a_topic_that_nobody_asked_for_is_no_fault(node: HouseNode) -> None:
    before = lives(node)
    node.life.line(b'{"method":"coin_movement","params":{"coin_movement":{}}}')
    assert lives(node) == before


ids = st.one_of(st.none(), st.integers(), st.text(max_size=4), st.lists(st.integers(), max_size=2))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
methods = st.one_of(
    values,
    st.sampled_from(
        ["revenue-status", "revenue-config", "setconfig", "getmanifest", "forward_event", "connect",
         "channel_state_changed", "disconnect", "channel_opened", "dev-revenue-advance"]
    ),
)  # fmt: skip
envelopes = st.fixed_dictionaries(
    {}, optional={"jsonrpc": values, "id": ids, "method": methods, "params": values, "x": values}
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.one_of(
        st.binary(max_size=40),
        values.map(lambda value: json.dumps(value).encode()),
        envelopes.map(lambda envelope: json.dumps(envelope).encode()),
    )
)
@example(b'{"id":"\\ud800","method":"revenue-status","params":{}}')
def test_no_line_ends_the_process(node: HouseNode, line: bytes) -> None:
    node.life.line(line.replace(b"\n\n", b"\n"))
    node.life.answers.clear()
    lives(node)
    assert node.status()["dead_letters"]["by_reason"].get("poison", 0) == 0
