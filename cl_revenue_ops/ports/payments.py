"""The node's own payments and its money, as whoever spends them needs to know."""

from __future__ import annotations

from typing import Protocol

from messages.rebalance import OwnPayments


class PaymentNode(Protocol):
    """lightningd, as one incarnation may use it; deadlines and errors are those of ports.Node.

    A long list is read in pages, each with a deadline of its own.
    """

    def newest_payment(self) -> int:
        """The index of the newest payment that the node ever made, 0 before any."""
        ...

    def own_payments(self, start: int) -> OwnPayments:
        """The node's payments to itself with an index from `start` on."""
        ...

    def onchain_msat(self) -> int:
        """What is on the chain, confirmed and not reserved."""
        ...
