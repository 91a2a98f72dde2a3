"""The protocol of the PolicyEngine: what an operator or a fleet wants of a peer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from messages.base import Command, Fact, Snapshot, Tick

STRATEGIES = ("dynamic", "static", "passive", "hive")
REBALANCE_MODES = ("enabled", "disabled", "source_only", "sink_only")


class PeerPolicy(NamedTuple):
    """What holds for one peer; the defaults are what holds for a peer without a policy.

    `fee_ppm` is the fee of a static policy. The multipliers bound the fee over the price at which
    stock is worth nothing, `min_fee_ppm` and `max_fee_ppm` bound it as it is; None bounds nothing.
    `rebalance`: source_only may be drained by our rebalances and never filled, sink_only the
    reverse. Times are Unix seconds; `expires_at_s` None means until it is changed.
    """

    peer_id: str
    strategy: str = "dynamic"
    rebalance: str = "enabled"
    fee_ppm: int | None = None
    fee_multiplier_min: float | None = None
    fee_multiplier_max: float | None = None
    min_fee_ppm: int | None = None
    max_fee_ppm: int | None = None
    tags: tuple[str, ...] = ()
    updated_at_s: float = 0.0
    expires_at_s: float | None = None


class PolicyEdit(NamedTuple):
    """A change of one peer's policy: the fields that are to be set, by their names in PeerPolicy.

    What is not named stays. `expires_in_hours` 0 takes the end away, None leaves it.
    """

    peer_id: str
    fields: tuple[tuple[str, object], ...] = ()
    expires_in_hours: float | None = None


@dataclass(frozen=True)
class SetPolicies(Command):
    """Apply these edits, all or none; `batch` says how the answer is shaped."""

    edits: tuple[PolicyEdit, ...]
    batch: bool = False


@dataclass(frozen=True)
class DeletePolicy(Command):
    """Drop the policy of a peer."""

    peer_id: str


@dataclass(frozen=True)
class TagPolicy(Command):
    """Add a tag to a peer's policy, or take it away where `add` is False."""

    peer_id: str
    tag: str
    add: bool


@dataclass(frozen=True)
class ReadPolicies(Command):
    """Read policies: of one peer, of all, by tag, or changed after `since_s`.

    `what` is get, list, find or changes.
    """

    what: str
    peer_id: str | None = None
    tag: str | None = None
    since_s: float = 0.0


@dataclass(frozen=True)
class SuggestPolicies(Command):
    """Say which policies would help, with the evidence behind each; changes nothing."""


@dataclass(frozen=True)
class PolicyTick(Tick):
    """Time to look which policies have ended."""


@dataclass(frozen=True)
class PolicyChanged(Fact):
    """A peer's policy has changed; None stands for no policy.

    `what` is set, deleted, tagged, untagged or expired. `version` is the snapshot that holds it.
    """

    peer_id: str
    what: str
    before: PeerPolicy | None
    after: PeerPolicy | None
    at_s: float
    version: int


@dataclass(frozen=True)
class PolicySnapshot(Snapshot):
    """All policies that hold, by peer_id in order. `version` grows with every change.

    A reader checks `expires_at_s` itself: an end holds from its second on, not from the sweep.
    """

    version: int
    at_s: float
    policies: tuple[PeerPolicy, ...]
