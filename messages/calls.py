"""The protocol of the Gateway: calls of clients that are open."""

from __future__ import annotations

from dataclasses import dataclass

from messages.base import Control


@dataclass(frozen=True)
class CallOpened(Control):
    """A client waits; past `deadline_s` (monotonic) it is told that there was no answer."""

    call_id: str
    deadline_s: float


@dataclass(frozen=True)
class CallDue(Control):
    """The deadline of a call has come."""

    call_id: str
