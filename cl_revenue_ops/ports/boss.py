"""CLBoss, as the house needs it: what it leaves alone, and telling it what to leave alone."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import NamedTuple, Protocol

from cl_revenue_ops.ports.errors import PortError

NO_TAGS: frozenset[str] = frozenset()


class BossAbsent(PortError):
    """This node has no CLBoss; nothing was read and nothing was told."""


class Unmanaged(NamedTuple):
    """What CLBoss leaves alone: peer_id -> its tags; a peer that is not there has none.

    `unreadable` peers have tags that could not be understood. `version` is None where it was
    not told.
    """

    tags: Mapping[str, frozenset[str]]
    unreadable: frozenset[str] = NO_TAGS
    version: str | None = None


class Boss(Protocol):
    """CLBoss, as one incarnation may use it.

    Both calls block, for the RPC timeout or `patience_s` at most, and raise BossAbsent,
    Unavailable, TimedOut, CircuitOpen, NodeRefused or MalformedReply.
    """

    def unmanaged(self, patience_s: float | None = None) -> Unmanaged:
        """All that CLBoss leaves alone now."""
        ...

    def unmanage(
        self,
        peer_id: str,
        tags: frozenset[str],
        *,
        optional: frozenset[str] = NO_TAGS,
        apart_from: Container[str] = (),
        patience_s: float | None = None,
    ) -> frozenset[str]:
        """Replace the whole set of a peer's tags; returns what stands now.

        A tag of `optional` is left out where CLBoss does not know it. Goes through the gate and
        raises WriteRefused when that is closed, `apart_from` reasons that are overlooked.
        """
        ...

    def refused(self) -> frozenset[str]:
        """Tags that this CLBoss has refused lately; asks nobody."""
        ...
