"""Policies of the whole house: asking for them, and looking at what it holds, stores and tells."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cl_revenue_ops.domain.policy import rows
from cl_revenue_ops.simnode.errors import SimRpcError
from messages.base import Message
from messages.policies import PeerPolicy, PolicyChanged, PolicySnapshot
from tests.sim.house_support import HouseNode, house_node

INVALID_PARAMS = -32602


def ask(node: HouseNode, *words: Any, **named: Any) -> dict[str, Any]:
    """The result of revenue-policy; positional, or by name where anything is named."""
    params: Any = dict(zip(("action", "peer_id"), words, strict=False)) | named if named else words
    answer: dict[str, Any] = node.call(
        "revenue-policy", params if isinstance(params, dict) else list(params)
    )
    return answer


def complaint(node: HouseNode, *words: Any, **named: Any) -> str:
    """The one line of -32602."""
    try:
        answer = ask(node, *words, **named)
    except SimRpcError as error:
        assert error.code == INVALID_PARAMS
        assert len(error.message) <= 400 and error.message.isascii()
        assert error.message.isprintable()
        return str(error.message)
    raise AssertionError(f"not refused: {answer}")


def told(node: HouseNode) -> PolicySnapshot:
    """The newest snapshot that was told to the other actors."""
    node.settle()
    (snapshot,) = node.life.house.core.post.retained([PolicySnapshot])
    assert isinstance(snapshot, PolicySnapshot)
    return snapshot


def stored(node: HouseNode) -> dict[str, PeerPolicy]:
    """What another process reads from the database."""
    found = node.query("SELECT peer_id, body FROM policy ORDER BY peer_id")
    return {peer_id: rows.unpacked(peer_id, body) for peer_id, body in found}


def agree(node: HouseNode) -> dict[str, PeerPolicy]:
    """Database, snapshot and answers say the same; returns what holds."""
    snapshot = told(node)
    holds = stored(node)
    assert snapshot.policies == tuple(holds.values())
    ((newest,),) = node.query("SELECT coalesce(max(seq), 0) FROM policy_change")
    assert snapshot.version == newest
    listed = ask(node, "list")
    assert listed["count"] == len(listed["policies"])
    assert listed["policies"] == json.loads(
        json.dumps([rows.shown(policy, node.now_s) for policy in holds.values()])
    )
    return holds


@contextmanager
def hearing(node: HouseNode) -> Iterator[list[PolicyChanged]]:
    """The changes that the house tells to its actors meanwhile."""
    post = node.life.house.core.post
    publish, heard = post.publish, []

    def listen(message: Message) -> None:
        if isinstance(message, PolicyChanged):
            heard.append(message)
        publish(message)

    post.publish = listen  # type: ignore[method-assign]
    try:
        yield heard
    finally:
        post.publish = publish  # type: ignore[method-assign]


@contextmanager
def policy_house(channels: int = 0) -> Iterator[HouseNode]:
    """A running house beside a node with so many channels."""
    with house_node(start=False) as node:
        for number in range(channels):
            node.open(f"peer {number}", 10_000_000, 5_000_000)
        node.start()
        node.settle()
        node.wait_s(1.0)
        yield node
