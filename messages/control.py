"""The protocol between the supervisor, the runtime and every actor: birth, failure, end."""

from __future__ import annotations

from dataclasses import dataclass

from messages.base import Control, Tick


@dataclass(frozen=True)
class Boot(Control):
    """Recover your state from the store; you are incarnation number `generation`."""

    generation: int


@dataclass(frozen=True)
class Ready(Control):
    """Recovery is complete; the work lane may open."""

    address: str
    generation: int


@dataclass(frozen=True)
class BootBlocked(Control):
    """Recovery found the node or the disk unavailable: wait and try again, this is no crash."""

    address: str
    generation: int
    reason: str
    damaged: bool = False


@dataclass(frozen=True)
class CrashReport(Control):
    """A handler raised: `poison` names the type of the message that did it."""

    address: str
    generation: int
    poison: str
    error: str


@dataclass(frozen=True)
class Stop(Control):
    """Put your affairs in order and leave."""

    reason: str


@dataclass(frozen=True)
class Stopped(Control):
    """The actor has left in answer to Stop."""

    address: str
    generation: int


@dataclass(frozen=True)
class Suspend(Control):
    """Safe mode: take no action on the node or on money until Resume."""

    reason: str


@dataclass(frozen=True)
class Resume(Control):
    """Safe mode is over."""


@dataclass(frozen=True)
class StartHouse(Control):
    """To the supervisor: boot the children in order."""


@dataclass(frozen=True)
class StopHouse(Control):
    """To the supervisor: stop the children in reverse order, then yourself."""

    reason: str


@dataclass(frozen=True)
class RestartDue(Control):
    """The backoff of a child is over."""

    address: str
    generation: int


@dataclass(frozen=True)
class LivenessDue(Tick):
    """Look for dead and hung children."""


@dataclass(frozen=True)
class SafeModeDue(Tick):
    """Try again what has failed; in safe mode, see whether it may end."""


@dataclass(frozen=True)
class StopOverdue(Control):
    """A child did not leave in its time; go on without it."""

    address: str
