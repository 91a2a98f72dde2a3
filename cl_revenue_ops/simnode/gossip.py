"""What the network announces: other nodes and their channels, for listchannels and listnodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cl_revenue_ops.simnode.model import Policy


@dataclass(frozen=True)
class Edge:
    """One direction of an announced channel: what `source` charges towards `destination`."""

    short_channel_id: str
    source: str
    destination: str
    amount_msat: int
    policy: Policy
    last_update: int
    active: bool = True

    @property
    def direction(self) -> int:
        """0 if the source sorts lower, as BOLT 7 orders the two nodes."""
        return 0 if self.source < self.destination else 1

    def entry(self) -> dict[str, Any]:
        """The listchannels entry."""
        return {
            "source": self.source,
            "destination": self.destination,
            "short_channel_id": self.short_channel_id,
            "direction": self.direction,
            "public": True,
            "amount_msat": self.amount_msat,
            "message_flags": 1,
            "channel_flags": self.direction | (0 if self.active else 2),
            "active": self.active,
            "last_update": self.last_update,
            "base_fee_millisatoshi": self.policy.base_msat,
            "fee_per_millionth": self.policy.ppm,
            "delay": self.policy.cltv_delta,
            "htlc_minimum_msat": self.policy.htlc_min_msat,
            "htlc_maximum_msat": min(self.policy.htlc_max_msat, self.amount_msat),
            "features": "",
        }


class Gossip:
    """Announced channels of others by scid and direction, and announced nodes."""

    def __init__(self) -> None:
        self._edges: dict[tuple[str, str], Edge] = {}
        self._sources: dict[str, set[tuple[str, str]]] = {}
        self._targets: dict[str, set[tuple[str, str]]] = {}
        self._scids: dict[str, set[tuple[str, str]]] = {}
        self.nodes: dict[str, dict[str, Any]] = {}

    def announce(self, node_id: str, alias: str, at_s: int) -> None:
        """A node_announcement."""
        self.nodes[node_id] = {
            "nodeid": node_id, "alias": alias, "color": node_id[2:8], "last_timestamp": at_s,
            "features": "", "addresses": [],
        }  # fmt: skip

    def update(self, edge: Edge) -> None:
        """A channel_update: add the edge or replace what was known of it."""
        key = (edge.short_channel_id, edge.source)
        self._edges[key] = edge
        for index, name in (
            (self._sources, edge.source),
            (self._targets, edge.destination),
            (self._scids, edge.short_channel_id),
        ):
            index.setdefault(name, set()).add(key)

    def remove(self, short_channel_id: str) -> None:
        """The channel was closed: forget both directions."""
        for key in self._scids.pop(short_channel_id, set()):
            edge = self._edges.pop(key)
            self._sources[edge.source].discard(key)
            self._targets[edge.destination].discard(key)

    def edges(
        self,
        short_channel_id: str | None = None,
        source: str | None = None,
        destination: str | None = None,
    ) -> list[Edge]:
        """Edges that match the one filter given, or all, ordered by scid and source."""
        keys: set[tuple[str, str]] | dict[tuple[str, str], Edge] = self._edges
        if short_channel_id is not None:
            keys = self._scids.get(short_channel_id, set())
        elif source is not None:
            keys = self._sources.get(source, set())
        elif destination is not None:
            keys = self._targets.get(destination, set())
        return [self._edges[key] for key in sorted(keys)]
