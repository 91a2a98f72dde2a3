"""The node's own books, as the house needs them: movements, bookkeeper, the wallet."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from messages.node_books import (
    AccountBalance,
    AccountEvents,
    ChainMovePage,
    ChannelMovePage,
    IncomeSum,
    MoveIndexes,
)


class WalletReading(NamedTuple):
    """Unspent outputs of the wallet in msat: confirmed and free, confirmed and reserved, others."""

    onchain_msat: int
    reserved_msat: int
    unconfirmed_msat: int


class Books(Protocol):
    """What lightningd and bookkeeper have booked, as one incarnation may read it.

    Every method blocks: for the RPC timeout, those of bookkeeper for 120 s where that is longer.
    Raises Unavailable, TimedOut, CircuitOpen, NodeRefused or MalformedReply. Rows that could not
    be understood are left out and counted.
    """

    def move_indexes(self) -> MoveIndexes:
        """The newest index of either list of movements (from v25.09), 0 while it is empty."""
        ...

    def channel_moves(self, start: int, limit: int, early_s: float) -> ChannelMovePage | None:
        """At most `limit` movements in channels from index `start` on, forwards as sums.

        None from a node that lists no movements. ValueError for a page that cannot be.
        """
        ...

    def chain_moves(self, start: int, limit: int) -> ChainMovePage | None:
        """At most `limit` movements of outputs from index `start` on; None and errors as above."""
        ...

    def account_events(self, account: str, early_s: float) -> AccountEvents | None:
        """All that bookkeeper has of an account, forwards as one sum.

        None where there is no bookkeeper, and where it does not know the account.
        """
        ...

    def account_balances(self) -> tuple[AccountBalance, ...] | None:
        """Every account of bookkeeper but what is outside, also closed ones; None without it."""
        ...

    def wallet(self) -> WalletReading:
        """What the node itself lists of its outputs."""
        ...

    def income(self, from_s: int, until_s: int) -> tuple[IncomeSum, ...] | None:
        """Bookkeeper's income after `from_s` up to `until_s`, by account and tag; None without it.

        A debit is a cost. Corrections of on-chain fees count when they were made.
        """
        ...
