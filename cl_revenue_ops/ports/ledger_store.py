"""The ledger's repository: entries booked once each, with their totals beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from cl_revenue_ops.ports.stores import Store
from messages.books import Entry, EntryPage
from messages.node_books import RoutedSum


class LedgerState(NamedTuple):
    """Where the books stand: cursors into the node's lists, and what was settled once.

    `split_s` is the moment up to which forwards are held against the node's movements to find
    what was earned and deleted before first contact; None until it is chosen. `opened` says that
    the entry for it was made.
    """

    next_chain: int = 1
    next_channel: int = 1
    split_s: float | None = None
    opened: bool = False


class AccountTotal(NamedTuple):
    """Sum of an account's postings over a window."""

    account: str
    amount_msat: int


class LedgerStore(Store, Protocol):
    """Entries, postings, totals by account and day, routed sums, cursors."""

    def load(self) -> LedgerState: ...

    def book(
        self,
        entries: Sequence[Entry],
        *,
        state: LedgerState | None = None,
        routed: Sequence[RoutedSum] = (),
    ) -> int:
        """Book entries, add routed sums and replace the state, in one transaction.

        An entry whose key is known is left out, with its totals. Returns how many were new.
        ValueError for one that does not sum to zero, and nothing is booked then.
        """
        ...

    def totals(self, from_day: int, until_day: int | None) -> tuple[AccountTotal, ...]:
        """Sums by account over whole days (until_day None: no end); lifetime where all is asked."""
        ...

    def known(self, keys: Sequence[str]) -> frozenset[str]:
        """Those of these keys that are booked."""
        ...

    def newest(self) -> int:
        """The number of the newest entry, 0 while there is none."""
        ...

    def days(self) -> tuple[int, int] | None:
        """The first and last day with an entry."""
        ...

    def routed(self) -> tuple[RoutedSum, ...]:
        """Everything added by `book(routed=...)`, by channel."""
        ...

    def of_transaction(self, txid: str) -> tuple[Entry, ...]:
        """All entries of a transaction, oldest first."""
        ...

    def of_payment(self, payment_hash: str) -> tuple[Entry, ...]:
        """All entries with this hash, payments and what corrects them, oldest first."""
        ...

    def open_transactions(self) -> tuple[str, ...]:
        """Transactions whose postings to the account assets:transit do not sum to zero."""
        ...

    def page(self, after: int, limit: int, from_s: float, until_s: float | None) -> EntryPage:
        """Entries by number."""
        ...

    def of_accounts(self, prefix: str, limit: int) -> tuple[tuple[int, Entry], ...]:
        """The newest entries with a posting to an account that begins with `prefix`."""
        ...
