"""The protocol of the FeeController: cycles, prices set by hand, explanations, changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from messages.base import Command, Fact, Tick


@dataclass(frozen=True)
class FeeTick(Tick):
    """Time for a fee cycle."""


@dataclass(frozen=True)
class ContinueFees(Tick):
    """The fee sweep goes on with the next channels; sent by the controller to itself."""


@dataclass(frozen=True)
class EvidenceSilence(Tick):
    """Nothing came of this step of reading the forward log in good time."""

    step: str


@dataclass(frozen=True)
class WakeAll(Command):
    """Let every held draw go and decide all channels anew, now."""


@dataclass(frozen=True)
class RepricePeers(Tick):
    """Peers wait for their channels to be decided; sent by the controller to itself."""


@dataclass(frozen=True)
class PolicyEnds(Tick):
    """A peer's policy has come to its end."""


@dataclass(frozen=True)
class PutFeesBack(Command):
    """Put the fees found at first contact back on every channel; the house is paused already."""


@dataclass(frozen=True)
class ContinueLeaving(Tick):
    """The fees of the next channels are put back; sent by the controller to itself."""


@dataclass(frozen=True)
class SlotTick(Tick):
    """Time to look at the HTLC slots in use."""


@dataclass(frozen=True)
class SetFeeByHand(Command):
    """Pin the fee of one channel; `ppm` None gives the channel back to the controller.

    `force` allows a fee outside the configured bounds.
    """

    channel_id: str
    ppm: int | None
    force: bool


@dataclass(frozen=True)
class ExplainFees(Command):
    """The last decision of one channel, or of all where `channel_id` is None."""

    channel_id: str | None


@dataclass(frozen=True)
class ShadowReport(Command):
    """Compare the fees that would have been set with those in force, over the last days."""

    window_days: int


@dataclass(frozen=True)
class ContinueShadow(Tick):
    """The comparison goes on with the next decisions; sent by the controller to itself."""


@dataclass(frozen=True)
class FeeChanged(Fact):
    """A new fee stands on the node, written by us."""

    channel_id: str
    old_ppm: int | None
    new_ppm: int
    at_s: float
    reason: str


@dataclass(frozen=True)
class FeesPutBack(Fact):
    """An operator leaves: the fees found at first contact were put back, as far as that went."""


class DecisionLine(NamedTuple):
    """A recorded decision; `body` is its whole record as JSON, `outcome` None while unknown.

    `at_s` is when it was first made, `last_at_s` when last, `repeats` how often in a row.
    """

    number: int
    channel_id: str
    at_s: float
    last_at_s: float
    action: str
    code: str
    old_ppm: int | None
    new_ppm: int | None
    by_hand: bool
    repeats: int
    outcome: str | None
    body: str


class DecisionPage(NamedTuple):
    """Decisions in the order of their last repetition; `place` is the new cursor."""

    rows: tuple[DecisionLine, ...]
    place: tuple[float, int]
    last: bool


@dataclass(frozen=True)
class ReadDecisions(Command):
    """To the FeeController: at most `limit` decisions after a place (DecisionPage)."""

    place: tuple[float, int]
    limit: int
