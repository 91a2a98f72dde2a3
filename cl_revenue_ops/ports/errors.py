"""What the world may answer instead of doing what was asked."""

from __future__ import annotations


class PortError(Exception):
    """The world did not do what was asked; the message is one line for an operator."""


class Unavailable(PortError):
    """The node or the disk cannot be used now; trying again later makes sense."""


class CircuitOpen(Unavailable):
    """The breaker of this method group is open: nothing was sent."""


class TimedOut(Unavailable):
    """No answer within the deadline; whether the call had its effect is unknown."""


class NodeRefused(PortError):
    """The node answered with a JSON-RPC error; `code` is lightningd's."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class MalformedReply(PortError):
    """The node answered something that its contract does not allow."""


class WriteRefused(PortError):
    """The write gate is closed: nothing was sent; the message says why."""


class StaleGeneration(Exception):
    """The caller has been replaced by a successor; it may not act any more.

    No PortError: who handles a fault of the world must not take this for one and go on.
    """


class StoreDamaged(PortError):
    """The database is corrupt, foreign, newer than this program, or held by another process."""
