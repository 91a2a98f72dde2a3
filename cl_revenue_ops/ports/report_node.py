"""What reports need of lightningd beside its channels and its money."""

from __future__ import annotations

from typing import Protocol

from messages.reports import ChainView, ClosedChannel


class ReportNode(Protocol):
    """lightningd, as one incarnation may use it; deadlines and errors are those of ports.Node."""

    def chain_view(self, at_s: float) -> ChainView:
        """The height of the chain and its fees, as they stand at `at_s`."""
        ...

    def closed_channels(self) -> tuple[ClosedChannel, ...]:
        """The channels that lightningd has forgotten."""
        ...

    def alias(self, peer_id: str) -> str | None:
        """What a node calls itself in gossip; None where it was not heard of."""
        ...
