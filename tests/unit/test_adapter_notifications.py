"""Notifications in every envelope that some version of lightningd or pyln uses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.adapters.notifications import Notifications, read_notification, topics
from cl_revenue_ops.adapters.parse import parse_forward
from cl_revenue_ops.adapters.tally import Tally
from messages.boss import BossTouched
from messages.channels import ChannelsTouched
from messages.forwards import ForwardSeen
from messages.rebalance import ExecutorTouched, PaymentSeen

PEER = "0381" + "ab" * 31
CHANNEL = "aa4e" * 16

# As lightningd v26.06 sends them; hashes and keys are made up.
OFFERED: dict[str, Any] = {
    "created_index": 1,
    "payment_hash": "5894" * 16,
    "in_channel": "103x1x0",
    "in_htlc_id": 0,
    "out_channel": "105x1x0",
    "in_msat": 10005005,
    "out_msat": 10000000,
    "fee_msat": 5005,
    "status": "offered",
    "style": "tlv",
    "received_time": 1795355619.3729768,
}
SETTLED: dict[str, Any] = {
    **{key: value for key, value in OFFERED.items() if key != "created_index"},
    "updated_index": 1,
    "status": "settled",
    "resolved_time": 1795355619.6860626,
    "preimage": "d7b8" * 16,
}
FAILED = {
    **{key: value for key, value in SETTLED.items() if key != "preimage"},
    "status": "failed",
    "updated_index": 2,
}
NEW_CHANNEL: dict[str, Any] = {
    "peer_id": PEER,
    "channel_id": CHANNEL,
    "timestamp": "2026-11-22T13:53:27.304Z",
    "new_state": "CHANNELD_AWAITING_LOCKIN",
    "cause": "remote",
    "message": "new channel opened",
}
LOCKED_IN = {
    **NEW_CHANNEL,
    "short_channel_id": "103x1x0",
    "old_state": "CHANNELD_AWAITING_LOCKIN",
    "new_state": "CHANNELD_NORMAL",
    "message": "Lockin complete",
}
GONE = {
    "peer_id": PEER,
    "channel_id": CHANNEL,
    "short_channel_id": None,
    "timestamp": "2026-11-22T13:53:27.304Z",
    "old_state": "ONCHAIN",
    "new_state": "CLOSED",
    "cause": "unknown",
    "message": None,
}
OPENED = {
    "id": PEER,
    "funding_msat": 100_000_000,
    "funding_txid": "4e29" * 16,
    "channel_ready": False,
}
CONNECT = {
    "id": PEER,
    "direction": "in",
    "address": {"type": "ipv4", "address": "127.0.0.1", "port": 9735},
}
DISCONNECT = {"id": PEER}

PAID = {
    "created_index": 4,
    "id": 4,
    "payment_hash": "5894" * 16,
    "groupid": 1,
    "partid": 0,
    "destination": PEER,
    "amount_msat": 100_007_000,
    "amount_sent_msat": 100_010_000,
    "status": "complete",
    "created_at": 1795355619,
}
UNPAID = {
    "code": 204,
    "message": "failed: WIRE_TEMPORARY_CHANNEL_FAILURE (reply from remote)",
    "data": {**PAID, "status": "failed", "erring_index": 1},
}
SLING_CAME = {
    "plugin_name": "sling",
    "plugin_path": "/opt/plugins/sling",
    "methods": ["sling-version", "sling-once"],
}

BODIES = [
    ("forward_event", OFFERED),
    ("forward_event", SETTLED),
    ("forward_event", FAILED),
    ("channel_state_changed", NEW_CHANNEL),
    ("channel_state_changed", LOCKED_IN),
    ("channel_state_changed", GONE),
    ("channel_opened", OPENED),
    ("connect", CONNECT),
    ("disconnect", DISCONNECT),
    ("sendpay_success", PAID),
    ("sendpay_failure", UNPAID),
    ("plugin_started", SLING_CAME),
    ("plugin_stopped", SLING_CAME),
]


def envelopes(topic: str, body: dict[str, Any]) -> list[object]:
    """Every form in which the body may arrive."""
    return [
        {topic: body},
        body,
        {**body, topic: body},
        {topic: body, "payload": body, "origin": "some-plugin"},
        {"payload": body, "origin": "some-plugin"},
        {"payload": {topic: body}, "origin": "some-plugin"},
        {"payload": {**body, topic: body}, topic: {**body, topic: body}, "origin": "some-plugin"},
        [body],
        [{topic: body}],
    ]


@pytest.mark.parametrize(("topic", "body"), BODIES)
def test_every_envelope_says_the_same(topic: str, body: dict[str, Any]) -> None:
    readings = {read_notification(topic, params) for params in envelopes(topic, body)}
    (reading,) = readings
    assert not reading.malformed
    assert reading.message is not None


@pytest.mark.parametrize("body", [OFFERED, SETTLED, FAILED])
def test_a_forward_event_is_read_as_its_row_would_be(body: dict[str, Any]) -> None:
    forward = parse_forward(body)
    assert forward is not None
    reading = read_notification("forward_event", {"forward_event": body})
    assert reading.message == ForwardSeen(forward)
    assert (forward.created_index is None) is ("created_index" not in body)


def test_a_change_of_state_names_the_channel_by_its_channel_id() -> None:
    for body, state in ((LOCKED_IN, "CHANNELD_NORMAL"), (GONE, "CLOSED")):
        params = {"channel_state_changed": body}
        message = read_notification("channel_state_changed", params).message
        assert message == ChannelsTouched(f"channel_state_changed: {CHANNEL} is {state}")


def test_peers_that_come_and_go_are_named() -> None:
    for topic, body in (("connect", CONNECT), ("disconnect", DISCONNECT)):
        message = read_notification(topic, {topic: body}).message
        assert message == ChannelsTouched(f"{topic}: {PEER}")


@pytest.mark.parametrize("topic", topics())
@pytest.mark.parametrize("params", [None, 1, "x", [], [[]], {}, {"payload": None}, [{}, {}]])
def test_a_malformed_one_is_counted_by_topic(topic: str, params: object) -> None:
    tally = Tally()
    notifications = Notifications(tally)
    assert notifications.read(topic, params) is None
    assert notifications.read(topic, {topic: params}) is None
    assert tally.counts() == {topic: 2}


def test_a_good_one_and_a_foreign_one_are_not_counted() -> None:
    tally = Tally()
    notifications = Notifications(tally)
    assert notifications.read("forward_event", {"forward_event": OFFERED}) is not None
    for foreign in ("block_added", "coin_movement", "no such topic"):
        assert notifications.read(foreign, {foreign: {"height": 7}}) is None
        assert foreign not in topics()
    assert tally.counts() == {}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*topics(), "payload", "id"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(topic=st.sampled_from(topics()), params=json_values)
def test_no_parameters_make_it_raise(topic: str, params: object) -> None:
    reading = read_notification(topic, params)
    assert reading.malformed is (reading.message is None)


# -- rebalances ----------------------------------------------------------------------------------


def test_a_payment_is_told_with_where_it_went_and_how_much() -> None:
    reading = read_notification("sendpay_success", {"sendpay_success": PAID})
    assert reading.message == PaymentSeen(PEER, 100_007_000, True)
    reading = read_notification("sendpay_failure", {"sendpay_failure": UNPAID})
    assert reading.message == PaymentSeen(PEER, 100_007_000, False)
    old = {**PAID, "amount_msat": "100007000msat"}
    assert read_notification("sendpay_success", old).message == PaymentSeen(PEER, 100_007_000, True)


def test_a_payment_to_an_unknown_place_is_nothing_to_us_and_no_fault() -> None:
    body = {name: value for name, value in PAID.items() if name != "destination"}
    assert read_notification("sendpay_success", {"sendpay_success": body}) == (None, False)
    assert read_notification("sendpay_failure", {"data": body}) == (None, False)


def test_of_plugins_only_executors_and_a_clboss_that_starts_are_told_of() -> None:
    started = read_notification("plugin_started", {"plugin_started": SLING_CAME})
    assert started.message == ExecutorTouched("sling", True)
    renamed = {**SLING_CAME, "plugin_path": "/opt/rebalancer.sh"}
    assert read_notification("plugin_stopped", renamed).message == ExecutorTouched("sling", False)
    boss = {**SLING_CAME, "plugin_path": "/opt/sling/clboss", "methods": ["clboss-status", 5]}
    for named in (boss, {**boss, "plugin_path": "/opt/boss.sh"}, {**boss, "methods": []}):
        assert read_notification("plugin_started", {"plugin_started": named}).message == (
            BossTouched()
        )
        assert read_notification("plugin_stopped", {"plugin_stopped": named}) == (None, False)
    other = {"plugin_name": "summary", "methods": None}
    assert read_notification("plugin_started", {"plugin_started": other}) == (None, False)
    assert read_notification("plugin_stopped", {"plugin_name": "sling"}).message == (
        ExecutorTouched("sling", False)
    )
