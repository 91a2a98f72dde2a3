"""The protocol around CLBoss: what an operator orders of it, and when it is looked at."""

from __future__ import annotations

from dataclasses import dataclass

from messages.base import Command, Fact, Tick


@dataclass(frozen=True)
class IgnorePeer(Command):
    """CLBoss shall leave this peer alone altogether, until it is taken back."""

    peer_id: str
    reason: str


@dataclass(frozen=True)
class UnignorePeer(Command):
    """Take the order of IgnorePeer back."""

    peer_id: str


@dataclass(frozen=True)
class RemanagePeer(Command):
    """Give one tag of a peer back to CLBoss, or with None all that was put there from here."""

    peer_id: str
    tag: str | None


@dataclass(frozen=True)
class ReadBoss(Command):
    """How it stands with CLBoss."""


@dataclass(frozen=True)
class BossTick(Tick):
    """Time to look at CLBoss and to put right what differs."""


@dataclass(frozen=True)
class BossTouched(Fact):
    """A hint: CLBoss has started."""


@dataclass(frozen=True)
class BossSoon(Tick):
    """Something changed that may concern CLBoss."""


@dataclass(frozen=True)
class ContinueBoss(Tick):
    """More peers are to be told; sent by the keeper to itself."""


@dataclass(frozen=True)
class ForeignFee(Fact):
    """A fee that we did not set was seen for the first time; `ours_ppm` stood before."""

    channel_id: str
    peer_id: str
    fee_ppm: int
    base_msat: int
    ours_ppm: int | None
    at_s: float
