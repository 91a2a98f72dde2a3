"""What one incarnation of an actor is given beside its ports: lease, clock, log, calls."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol


class Lease(Protocol):
    """The right of one incarnation to act, until its successor takes over."""

    def call(self, what: str, deadline_s: float) -> AbstractContextManager[None]:
        """Bracket one blocking port call, so that the watchdog knows how long it may take.

        Raises StaleGeneration on entry when the caller has been replaced.
        """
        ...

    def effect(self) -> AbstractContextManager[None]:
        """Hold the generation fixed over one commit or one write to the node.

        Raises StaleGeneration when the caller has been replaced. Short: a takeover waits for it.
        """
        ...


class Clock(Protocol):
    """Time in seconds, real or virtual."""

    def now(self) -> float:
        """Unix time: for facts and records. May step when the system's clock is set."""
        ...

    def monotonic(self) -> float:
        """Never steps back: for deadlines, timers and windows. Its zero means nothing."""
        ...


class Log(Protocol):
    """One line to the node's log. Never use it for what belongs into a record."""

    def info(self, text: str) -> None: ...

    def warn(self, text: str) -> None: ...


class Calls(Protocol):
    """The open `revenue-*` calls of clients; each is closed exactly once."""

    def answer(self, call_id: str, result: object) -> bool:
        """Close with a result; False when the call is closed already. Never blocks."""
        ...

    def refuse(self, call_id: str, reason: str, invalid: bool) -> bool:
        """Close with an error; `invalid` makes it JSON-RPC -32602. Never blocks."""
        ...

    def deadlines(self) -> Mapping[str, float]:
        """The open calls and when each is due (monotonic seconds)."""
        ...
