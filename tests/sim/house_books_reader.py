"""Asking the books reader of a whole house, as the owner of the books does."""

from __future__ import annotations

from typing import Any

from messages.base import Answer, Command, Message, Refusal
from tests.sim.house_support import HouseNode

READER = "books-reader"
_CALL = "by hand"


def reply_to(node: HouseNode, kind: type[Command], *args: object) -> Answer | Refusal:
    """What the reader answers now."""
    post, clock = node.life.house.core.post, node.life.runtime.clock
    heard: list[Answer | Refusal] = []
    tell = post.tell

    def listen(address: str, message: Message) -> None:
        if isinstance(message, Answer | Refusal) and message.call_id == _CALL:
            heard.append(message)
        else:
            tell(address, message)

    post.tell = listen  # type: ignore[method-assign]  # it takes out what is ours
    try:
        tell(READER, kind(_CALL, "nobody", clock.monotonic() + 300.0, *args))
        node.settle()
    finally:
        post.tell = tell  # type: ignore[method-assign]
    (reply,) = heard
    return reply


def read(node: HouseNode, kind: type[Command], *args: object) -> Any:
    """The result of a command that must be answered."""
    reply = reply_to(node, kind, *args)
    assert isinstance(reply, Answer), reply
    return reply.result


def refusal(node: HouseNode, kind: type[Command], *args: object) -> Refusal:
    """Why a command is refused."""
    reply = reply_to(node, kind, *args)
    assert isinstance(reply, Refusal), reply
    return reply
