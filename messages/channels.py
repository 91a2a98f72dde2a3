"""The protocol around channels: what the node says of them, and who they are to the house."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from messages.base import Fact, Snapshot, Tick

UNREADABLE = "UNREADABLE"
"""The state in a fact that stands for a stored one which cannot be read; the node has none such."""


FORGOTTEN = "CLOSED"
"""The state in a fact of a channel that the node lists among the closed ones only."""


class Policy(NamedTuple):
    """One direction's advertised terms of a channel."""

    base_msat: int
    fee_ppm: int
    htlc_min_msat: int
    htlc_max_msat: int


@dataclass(frozen=True)
class ChannelFact:
    """One channel as listpeerchannels reports it; None where the node does not say.

    `local_msat` includes the reserve; `spendable_msat` and `receivable_msat` are the node's own
    estimates of what can be sent and received. `slots_out` is the most HTLCs that we may offer
    (the peer's limit is not exposed, so it is the bound of the protocol or our own limit,
    whichever is lower).
    """

    channel_id: str
    peer_id: str
    state: str
    connected: bool
    reestablished: bool
    scid: str | None = None
    alias_scid: str | None = None
    opener: str | None = None
    private: bool = False
    capacity_msat: int = 0
    local_msat: int = 0
    spendable_msat: int = 0
    receivable_msat: int = 0
    our_reserve_msat: int = 0
    htlcs_in: int = 0
    htlcs_out: int = 0
    slots_in: int = 483
    slots_out: int = 483
    fee_base_msat: int | None = None
    fee_ppm: int | None = None
    htlc_min_msat: int = 0
    htlc_max_msat: int = 0
    remote: Policy | None = None
    last_stable_connection_s: int | None = None
    out_fulfilled: int = 0
    lost_state: bool = False


class ChannelEntry(NamedTuple):
    """A channel as the registry knows it: identity, every scid it ever had, the newest fact."""

    channel_id: str
    peer_id: str
    scids: tuple[str, ...]
    first_seen_s: float
    closed: bool
    fact: ChannelFact


@dataclass(frozen=True)
class ChannelSnapshot(Snapshot):
    """All channels that the node has or had since first contact, as read at `read_at_s`.

    Closed channels stay, with `closed` set and their last fact. The newest scid of a channel is
    the last of `scids`; the local alias is among them. One that is not `fresh` is what an earlier
    process stored, told because the node could not be read: it serves to recognise channels, its
    facts are old, and its `read_at_s` is 0.
    """

    version: int
    read_at_s: float
    channels: tuple[ChannelEntry, ...]
    fresh: bool = True


@dataclass(frozen=True)
class ScidsFound(Fact):
    """Scids that channels had before they were first seen: (channel_id, scid), oldest first."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ChannelsTouched(Tick):
    """A notification spoke of a channel or a peer: the registry should look again."""

    reason: str


@dataclass(frozen=True)
class RegistryTick(Tick):
    """Time for the registry to read the channels again."""
