"""The repository of the CLBoss keeper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from cl_revenue_ops.ports.stores import Store

Claims = Mapping[str, float | None]
"""The tags of a peer that were put there from here: tag -> None, or where it is not known
whether CLBoss took it, when (Unix seconds) it was told.
"""


class IgnoreOrder(NamedTuple):
    """An operator's order that CLBoss leaves these tags of a peer alone."""

    peer_id: str
    reason: str
    since_s: float
    tags: frozenset[str]


class BossMemory(NamedTuple):
    """All that is remembered, by peer_id in order."""

    claims: Mapping[str, Claims]
    orders: Mapping[str, IgnoreOrder]


class BossStore(Store, Protocol):
    """Which tags at CLBoss are ours, and what was ordered. What it stores survives a power loss."""

    def load(self) -> BossMemory: ...

    def save(self, claims: Mapping[str, Claims], orders: Mapping[str, IgnoreOrder | None]) -> None:
        """Replace what is remembered of these peers, together; no claims or None forget."""
        ...
