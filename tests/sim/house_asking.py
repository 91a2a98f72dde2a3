"""Asking any actor of a whole house, as another actor does."""

from __future__ import annotations

from typing import Any

from messages.base import Answer, Command, Message, Refusal
from tests.sim.house_support import HouseNode

_CALL = "by hand"


def reply_to(
    node: HouseNode, to: str, kind: type[Command], *args: object
) -> Answer | Refusal | None:
    """What the actor answers now; None where it does not."""
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
        tell(to, kind(_CALL, "nobody", clock.monotonic() + 600.0, *args))
        node.settle()
        node.life.runtime.run()
    finally:
        post.tell = tell  # type: ignore[method-assign]
    assert len(heard) < 2
    return heard[0] if heard else None


def ask(node: HouseNode, address: str, kind: type[Command], *args: object) -> Any:
    """The result of a command that must be answered."""
    reply = reply_to(node, address, kind, *args)
    assert isinstance(reply, Answer), reply
    return reply.result


def refusal(node: HouseNode, address: str, kind: type[Command], *args: object) -> str:
    """Why a command is refused."""
    reply = reply_to(node, address, kind, *args)
    assert isinstance(reply, Refusal), reply
    return reply.reason
