"""A long conversation with others as one generator: it asks, is answered, and goes on."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from cl_revenue_ops.runtime.actor import Context
from messages.base import Answer, Command, Refusal, Tick


@dataclass(frozen=True)
class Ask:
    """One question: to whom, which command, with which fields, and for how long it may take."""

    address: str
    kind: type[Command]
    fields: dict[str, object] = field(default_factory=dict)
    patience_s: float = 120.0


class Refused(Exception):
    """Thrown into the generator where a question was refused or not answered in time."""


Steps = Generator[Ask, Any, Any]
"""Yields questions, is sent their results, and returns when all is done, maybe with a result."""


class Dialogue:
    """Runs one generator at a time; what it does between two questions is one handler's work.

    An incarnation that dies in between loses the conversation and nothing else: whatever is to
    last must be stored before the next question. `silence` is the tick that the actor passes to
    `overdue` when it comes.
    """

    def __init__(self, context: Context, name: str, silence: Tick) -> None:
        self._context = context
        self._name = name
        self._silence = silence
        # One an actor's dialogue: several of them wait for their answers side by side.
        self._key = f"{type(silence).__name__} {name}"
        self._steps: Steps | None = None
        self._number = 0
        self._open: str | None = None
        self._due_s = 0.0

    @property
    def running(self) -> bool:
        """Whether a conversation is under way."""
        return self._steps is not None

    def begin(self, steps: Steps) -> None:
        """Start one; the one before must have ended."""
        assert self._steps is None
        self._steps = steps
        self._go_on(None)

    def take(self, reply: Answer | Refusal) -> bool:
        """Go on with a reply; False where it belongs to nothing that is open here."""
        if reply.call_id != self._open:
            return False
        self._open = None
        if isinstance(reply, Refusal):
            self._go_on(Refused(reply.reason))
        else:
            self._go_on(reply.result)
        return True

    def overdue(self) -> None:
        """Give an answer up that does not come; it will belong to nothing any more."""
        if self._open is not None and self._context.clock.monotonic() >= self._due_s:
            self._open = None
            self._go_on(Refused("no answer in time"))

    def _go_on(self, result: object) -> None:
        steps = self._steps
        assert steps is not None
        try:
            ask = steps.throw(result) if isinstance(result, Refused) else steps.send(result)
        except StopIteration:
            self._steps = None
            self._context.cancel(self._key)
            return
        except BaseException:
            self._steps = None
            raise
        self._put(ask)

    def _put(self, ask: Ask) -> None:
        context = self._context
        self._number += 1
        self._open = f"{self._name} {context.generation}.{self._number}"
        self._due_s = context.clock.monotonic() + ask.patience_s
        context.tell(ask.address, ask.kind(self._open, context.address, self._due_s, **ask.fields))
        context.after(ask.patience_s, self._silence, self._key)
