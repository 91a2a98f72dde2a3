"""The kinds of message; the kind alone decides what a full mailbox may do with one.

A kind is a base class. Mailboxes and the post office look at nothing else, so a new message
gets its delivery rules by choosing its base.
"""

from __future__ import annotations

from dataclasses import dataclass


class Message:
    """Anything that travels between two addresses."""

    __slots__ = ()


class Control(Message):
    """Life and death of an actor: overtakes work, is never dropped."""

    __slots__ = ()


class Fact(Message):
    """Something that happened, in the past tense; any number of readers, never answered."""

    __slots__ = ()


class LossyFact(Fact):
    """A fact that reconciliation finds again: may be dropped when a mailbox is full."""

    __slots__ = ()


class Snapshot(Fact):
    """The newest state of its sender: an older one still queued is replaced, never lost."""

    __slots__ = ()


class Tick(Message):
    """A due timer: a second one of the same type while the first waits adds nothing."""

    __slots__ = ()


class Reply(Message):
    """The answer to a command: never dropped, because open commands are bounded instead."""

    __slots__ = ()


@dataclass(frozen=True)
class Command(Message):
    """A request to exactly one owner.

    `call_id` comes back in the reply, which goes to the address `reply_to`. Past `deadline_s`
    (seconds on the house's monotonic clock) the sender has stopped waiting: a command found
    expired is not carried out.
    """

    call_id: str
    reply_to: str
    deadline_s: float


@dataclass(frozen=True)
class Answer(Reply):
    """The command was carried out; `result` is what the caller asked for."""

    call_id: str
    result: object


@dataclass(frozen=True)
class Refusal(Reply):
    """The command was not carried out, and why, in one line for an operator.

    `invalid` marks a fault of the arguments (JSON-RPC -32602); otherwise the request was sound
    but could not be served.
    """

    call_id: str
    reason: str
    invalid: bool = False
