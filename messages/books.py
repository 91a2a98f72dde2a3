"""The protocol of the books: what was booked, what it sums up to, and how it compares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from messages.base import Command, Tick


@dataclass(frozen=True)
class LedgerTick(Tick):
    """Time to read what the node moved since, and to hold the books against it."""


@dataclass(frozen=True)
class LedgerSilence(Tick):
    """An answer that the Accountant waits for is overdue."""


@dataclass(frozen=True)
class GoOnBooking(Command):
    """To oneself between two parts of a long piece of work: others are heard first."""


@dataclass(frozen=True)
class ReconcileTick(Tick):
    """Time for the daily comparison."""


class Entry(NamedTuple):
    """A journal entry: postings of (account, msat) that sum to zero.

    A debit (more money, or a cost) is positive, a credit (income, or less money) negative. What
    has the same `key` is the same fact and is booked once. `source` says where it was read,
    `evidence` is the fact itself as JSON, `txid` the transaction that it belongs to, if any,
    `payment_hash` that of the payment over channels that it is a part of, or corrects.
    """

    key: str
    at_s: int
    kind: str
    source: str
    evidence: str
    postings: tuple[tuple[str, int], ...]
    txid: str | None = None
    payment_hash: str | None = None


class ChannelBooks(NamedTuple):
    """A channel's books over a window; amounts in msat, costs and revenue positive.

    The first nine are those of its forwards over all its scids (ScidTotals has their meaning):
    `out_fees_msat` is what it earned, `in_fees_msat` what others earned with what came in by it,
    which counts in no total. `other_rebalance_msat` was paid by other tools, `rebalance_msat` by
    us; both stand at the channel that was filled. `payment_fees_msat` (routing fees of payments
    to others) and `pushed_msat` are no routing business and count in no profit. A forward's scid
    that belongs to no known channel stands in place of a `channel_id`.
    """

    channel_id: str
    settled_in: int = 0
    in_msat: int = 0
    in_fees_msat: int = 0
    settled_out: int = 0
    out_msat: int = 0
    out_fees_msat: int = 0
    failed_in: int = 0
    failed_out: int = 0
    lease_msat: int = 0
    penalty_msat: int = 0
    opening_msat: int = 0
    closure_msat: int = 0
    splice_msat: int = 0
    rebalance_msat: int = 0
    other_rebalance_msat: int = 0
    payment_fees_msat: int = 0
    pushed_msat: int = 0
    imported_fees_msat: int = 0
    estimated: bool = False

    @property
    def revenue_msat(self) -> int:
        """What it earned: fees of forwards that left by it, leases, penalties."""
        return self.out_fees_msat + self.imported_fees_msat + self.lease_msat + self.penalty_msat

    @property
    def rebalances_msat(self) -> int:
        """What rebalances into it cost, whoever made them."""
        return self.rebalance_msat + self.other_rebalance_msat

    @property
    def costs_msat(self) -> int:
        """Opening, closure, splice and rebalance."""
        return self.opening_msat + self.closure_msat + self.splice_msat + self.rebalances_msat

    @property
    def net_msat(self) -> int:
        """Net P&L = Revenue - (Opening + Closure + Splice + Rebalance)."""
        return self.revenue_msat - self.costs_msat


class Books(NamedTuple):
    """All channels over a window of whole UTC days, and what belongs to no channel.

    `unattributed_msat` is what the node had earned and deleted before it was first seen, as far
    as the window has the day on which that was booked. `wallet_fees_msat` are miners' fees that no
    channel paid. `from_s` and `until_s` are what the window covers of the time since
    `known_since_s` (None while nothing is known): it begins on the day asked for, but not before
    the first day of all records. `trouble` says what keeps the books behind, `costs_source` where
    on-chain costs come from: "bookkeeper", "inferred" (inputs less outputs), "estimated", "none".
    What the node moved before `read_at_s` is booked; that is None before the first whole pass of
    this process, when `trouble` says so.
    """

    channels: tuple[ChannelBooks, ...]
    unattributed_msat: int
    wallet_fees_msat: int
    from_s: float
    until_s: float
    known_since_s: float | None
    costs_source: str
    provisional: tuple[str, ...]
    trouble: str | None
    read_at_s: float | None = None


@dataclass(frozen=True)
class ReadBooks(Command):
    """To the Accountant: Books from `from_day` to before `until_day` (days since 1970 in UTC).

    `until_day` None means up to now. Reads totals only, whatever the window.
    """

    from_day: int = 0
    until_day: int | None = None


class CostEntry(NamedTuple):
    """One cost of a channel: `what` is "opening", "closure" or "splice".

    `moved_msat` is what a splice brought into the channel (negative: took out of it), None where
    that is not known.
    """

    channel_id: str
    what: str
    at_s: int
    msat: int
    txid: str | None
    source: str
    moved_msat: int | None = None


@dataclass(frozen=True)
class ReadChainCosts(Command):
    """To the Accountant: every on-chain cost booked for a channel (a tuple of CostEntry)."""


@dataclass(frozen=True)
class ReadEntries(Command):
    """To the Accountant: entries by number, oldest first (EntryPage); forwards are not among them.

    At most `limit` of those with a number above `after`, `from_s` <= time < `until_s`.
    """

    after: int
    limit: int
    from_s: float = 0.0
    until_s: float | None = None


@dataclass(frozen=True)
class BookEntries(Command):
    """To the Accountant: book these, each once by its key, all or none.

    Answered with how many were new.
    """

    entries: tuple[Entry, ...]


class EntryPage(NamedTuple):
    """(number, entry) in order; `next_after` is the new cursor."""

    rows: tuple[tuple[int, Entry], ...]
    next_after: int
    last: bool


class Assertion(NamedTuple):
    """One comparison of the books with another source; amounts in msat.

    `what` says what is compared ("balance", "routing income", ...), `account` whose. `ours` is by
    the books, `theirs` by `source`, None where that source had nothing to say. `taken_over` marks
    a row where the books have their figure from that very source. `note` explains a remainder
    that is explained.
    """

    what: str
    account: str
    ours_msat: int
    theirs_msat: int | None
    source: str
    taken_over: bool = False
    note: str | None = None

    @property
    def remainder_msat(self) -> int | None:
        """What is not explained; None where there was nothing to compare with."""
        return None if self.theirs_msat is None else self.ours_msat - self.theirs_msat


@dataclass(frozen=True)
class Reconcile(Command):
    """To the Accountant: hold the books against the node now (Reconciliation)."""


class Reconciliation(NamedTuple):
    """What came of it: every row, at which moment, and why nothing could be compared, if so."""

    at_s: float
    rows: tuple[Assertion, ...]
    trouble: str | None
