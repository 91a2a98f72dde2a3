"""Notifications of lightningd turned into messages; they are hints, so a bad one is only counted.

The body of a notification may stand under its topic (v23.08 on), directly among the parameters
(before), or under `payload`, by itself or once more under its topic (pyln adds that copy).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from cl_revenue_ops.adapters import clboss
from cl_revenue_ops.adapters.executors import executor_of
from cl_revenue_ops.adapters.parse import file_name, parse_forward
from cl_revenue_ops.adapters.payments import parse_seen_payment
from cl_revenue_ops.adapters.tally import Tally
from cl_revenue_ops.adapters.validate import parse_channel_id, parse_pubkey, parse_word
from messages.base import Message
from messages.boss import BossTouched
from messages.channels import ChannelsTouched
from messages.forwards import ForwardSeen
from messages.rebalance import ExecutorTouched, PaymentSeen


class Reading(NamedTuple):
    """What a notification tells the house, if anything, and whether it could be understood."""

    message: Message | None
    malformed: bool


def topics() -> tuple[str, ...]:
    """The topics to subscribe to for this parser; others carry nothing that the house uses."""
    return tuple(_READERS)


def read_notification(topic: str, params: object) -> Reading:
    """Parse the parameters of one notification: any JSON value, never raises.

    A topic that is not ours gives no message and is not malformed.
    """
    reader = _READERS.get(topic)
    if reader is None:
        return _NOT_OURS
    for body in _bodies(topic, params):
        message = reader(topic, body)
        if isinstance(message, Reading):
            return message
        if message is not None:
            return Reading(message, malformed=False)
    return Reading(None, malformed=True)


_NOT_OURS = Reading(None, malformed=False)


class Notifications:
    """The parser with its count of malformed notifications by topic."""

    def __init__(self, malformed: Tally) -> None:
        self._malformed = malformed

    def read(self, topic: str, params: object) -> Message | None:
        """The message to publish, or None; never blocks, never raises."""
        reading = read_notification(topic, params)
        if reading.malformed:
            self._malformed.add(topic)
        return reading.message


def _bodies(topic: str, params: object) -> Iterator[dict[str, Any]]:
    """Every object that may be the body, the newest form first."""
    if isinstance(params, list) and len(params) == 1:
        params = params[0]
    if not isinstance(params, dict):
        return
    payload = params.get("payload")
    nested = payload.get(topic) if isinstance(payload, dict) else None
    for body in (params.get(topic), nested, payload, params):
        if isinstance(body, dict):
            yield body


def _forward_event(topic: str, body: dict[str, Any]) -> Message | None:
    forward = parse_forward(body)
    return None if forward is None else ForwardSeen(forward)


def _channel_state_changed(topic: str, body: dict[str, Any]) -> Message | None:
    channel_id = parse_channel_id(body.get("channel_id"))
    state = parse_word(body.get("new_state"))
    if channel_id is None or state is None:
        return None
    return ChannelsTouched(f"{topic}: {channel_id} is {state}")


def _peer_event(topic: str, body: dict[str, Any]) -> Message | None:
    peer_id = parse_pubkey(body.get("id"))
    return None if peer_id is None else ChannelsTouched(f"{topic}: {peer_id}")


def _sendpay_success(topic: str, body: dict[str, Any]) -> Message | Reading | None:
    if "payment_hash" not in body:
        return None
    seen = parse_seen_payment(body)
    # Of what a node pays by an onion made elsewhere it does not know where it went.
    return _NOT_OURS if seen is None else PaymentSeen(*seen, completed=True)


def _sendpay_failure(topic: str, body: dict[str, Any]) -> Message | Reading | None:
    data = body.get("data")
    if not isinstance(data, dict):
        return None
    seen = parse_seen_payment(data)
    return _NOT_OURS if seen is None else PaymentSeen(*seen, completed=False)


def _plugin_event(topic: str, body: dict[str, Any]) -> Message | Reading | None:
    path, methods = body.get("plugin_path"), body.get("methods")
    if not isinstance(path, str):
        path = body.get("plugin_name")
    if not isinstance(path, str):
        return None
    listed = methods if isinstance(methods, list) else []
    known = tuple(method for method in listed if isinstance(method, str))
    if file_name(path) == clboss.NAME or clboss.STATUS in known:
        return BossTouched() if topic == "plugin_started" else _NOT_OURS
    name = executor_of(file_name(path), known)
    return _NOT_OURS if name is None else ExecutorTouched(name, topic == "plugin_started")


Reader = Callable[[str, dict[str, Any]], "Message | Reading | None"]
_READERS: Mapping[str, Reader] = {
    "forward_event": _forward_event,
    "channel_state_changed": _channel_state_changed,
    "channel_opened": _peer_event,
    "connect": _peer_event,
    "disconnect": _peer_event,
    "sendpay_success": _sendpay_success,
    "sendpay_failure": _sendpay_failure,
    "plugin_started": _plugin_event,
    "plugin_stopped": _plugin_event,
}
