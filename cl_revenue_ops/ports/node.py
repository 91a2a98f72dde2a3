"""lightningd, as the house needs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from messages.channels import ChannelFact
from messages.forwards import ForwardIndexes, ForwardPage


class NodeInfo(NamedTuple):
    """Who the node is and how it stands; `sync_warning` is None when it is in sync."""

    node_id: str
    network: str
    version: str
    blockheight: int
    sync_warning: str | None
    fees_collected_msat: int


class GossipChannel(NamedTuple):
    """One public channel direction as gossip shows it."""

    source: str
    destination: str
    scid: str
    capacity_msat: int
    active: bool
    base_msat: int
    fee_ppm: int


class ChannelReading(NamedTuple):
    """What listpeerchannels said; `malformed` entries could not be understood and are missing."""

    facts: tuple[ChannelFact, ...]
    malformed: int


class FeeSet(NamedTuple):
    """What the node says that it set."""

    channel_id: str
    base_msat: int
    fee_ppm: int


class Node(Protocol):
    """lightningd, as one incarnation may use it.

    Every method blocks, at most for the RPC timeout, and raises Unavailable, TimedOut,
    CircuitOpen, NodeRefused or MalformedReply. Amounts are msat.
    """

    def info(self) -> NodeInfo:
        """Who the node is; tells the write gate whether it is in sync with the chain."""
        ...

    def channels(self, peer_id: str | None = None) -> ChannelReading:
        """Every channel that the node knows, or has with this peer, in any state."""
        ...

    def balances(self) -> tuple[tuple[str, str, int], ...]:
        """(channel_id, state, our balance in msat) of every channel; asks for no more than that."""
        ...

    def forgotten_channels(self) -> tuple[ChannelFact, ...]:
        """Channels that ended and that the node lists apart from the others, as CLOSED."""
        ...

    def slots(self) -> Mapping[str, int]:
        """Outgoing HTLCs in flight by channel_id; asks the node for no more than that."""
        ...

    def forward_indexes(self) -> ForwardIndexes: ...

    def forwards(self, index: str, start: int, limit: int) -> ForwardPage:
        """One page of listforwards; on a node without paging the whole list, `last` set."""
        ...

    def channels_to(self, peer_id: str) -> tuple[GossipChannel, ...]:
        """What gossip shows of the public channels that lead into `peer_id`."""
        ...

    def feerate_sat_per_vb(self) -> float | None:
        """What the chain charges for confirmation within about an hour, in sat/vB, above zero.

        None where the node has no such estimate (usual on regtest): no evidence of anything.
        """
        ...

    def fee_writers(self) -> tuple[str, ...]:
        """Other plugins that are active on the node and known to set fees, by their usual names."""
        ...

    def set_fee(
        self, channel_id: str, base_msat: int, ppm: int, *, though_paused: bool = False
    ) -> FeeSet:
        """Write base fee and ppm through the gate; raises WriteRefused when it is closed.

        `though_paused` is for the fee that an operator who leaves gets back: it passes a gate that
        nothing but a pause has closed.
        """
        ...
