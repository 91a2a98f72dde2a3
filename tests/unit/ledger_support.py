"""What the ledger's tests share: recorded stories of real nodes, and a ledger in plain lists."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from cl_revenue_ops.domain.ledger import accounts
from cl_revenue_ops.domain.ledger.allotment import allotment
from cl_revenue_ops.domain.ledger.chain import (
    chain_entries,
    forward_htlc,
    htlcs_in,
    payment_htlc,
)
from cl_revenue_ops.domain.ledger.forwards import postings_of
from cl_revenue_ops.domain.ledger.moves import channel_entries, payments_in
from messages.books import Entry
from messages.forwards import SETTLED, LoggedForward
from messages.node_books import ChainMove, ChannelMove, OnchainFee

RECORD = Path(__file__).parents[1] / "sim" / "real_books.json"
STORIES = ("payments", "forced", "cheated")
Row = dict[str, Any]


class Story(NamedTuple):
    """What one recorded node listed, and what its bookkeeper made of it (msat)."""

    chain: tuple[ChainMove, ...]
    channel: tuple[ChannelMove, ...]
    forwards: tuple[LoggedForward, ...]
    channel_of: dict[str, str]
    fees: tuple[OnchainFee, ...]
    balances: dict[str, int]
    costs: dict[str, int]
    rebalance_fees: int
    routed: dict[str, int]


class Books(Protocol):
    """What an intake needs of a ledger."""

    def book(self, entries: Sequence[Entry]) -> int: ...

    def of_transaction(self, txid: str) -> tuple[Entry, ...]: ...

    def of_payment(self, payment_hash: str) -> tuple[Entry, ...]: ...


class PlainLedger:
    """A ledger as a list of entries, each key once."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}

    def book(self, entries: Sequence[Entry]) -> int:
        """As the store does, with its check."""
        assert all(sum(msat for _, msat in entry.postings) == 0 for entry in entries)
        before = len(self.entries)
        for entry in entries:
            self.entries.setdefault(entry.key, entry)
        return len(self.entries) - before

    def of_transaction(self, txid: str) -> tuple[Entry, ...]:
        """In the order in which they were booked."""
        return tuple(entry for entry in self.entries.values() if entry.txid == txid)

    def of_payment(self, payment_hash: str) -> tuple[Entry, ...]:
        """In the order in which they were booked."""
        return tuple(entry for entry in self.entries.values() if entry.payment_hash == payment_hash)

    def totals(self) -> dict[str, int]:
        """Sums of accounts, those that are nothing left out."""
        return summed(posting for entry in self.entries.values() for posting in entry.postings)

    def open_transactions(self) -> tuple[str, ...]:
        """Those with something left in transit."""
        sums: dict[str, int] = defaultdict(int)
        for entry in self.entries.values():
            for account, amount_msat in entry.postings:
                if account == accounts.TRANSIT:
                    sums[str(entry.txid)] += amount_msat
        return tuple(sorted(txid for txid, amount_msat in sums.items() if amount_msat))


def summed(postings: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Sums by account, without those that are nothing."""
    sums: dict[str, int] = defaultdict(int)
    for account, amount_msat in postings:
        sums[account] += amount_msat
    return {account: amount_msat for account, amount_msat in sorted(sums.items()) if amount_msat}


def take_channel(books: Books, rows: Sequence[ChannelMove]) -> None:
    """One page of movements in channels, as an intake books it."""
    earlier = {name: books.of_payment(name) for name in payments_in(rows)}
    books.book(channel_entries(rows, earlier, "listchannelmoves"))


def take_chain(
    books: Books,
    rows: Sequence[ChainMove],
    fees: Sequence[OnchainFee] | None,
    forwards: Sequence[LoggedForward] = (),
    channel_of: dict[str, str] | None = None,
) -> None:
    """One page of outputs, with the allotments of the transactions in it, in one go."""
    entries = chain_entries(rows, "listchainmoves")
    made = list(entries)
    for txid in dict.fromkeys(row.txid for row in rows):
        known = [*books.of_transaction(txid), *(entry for entry in entries if entry.txid == txid)]
        for row in htlcs_in(known):
            tied = forward_htlc(row, forwards, channel_of or {}, known)
            if tied is not None:
                known.append(tied)
                made.append(tied)
        change = allotment(txid, known, fees)
        if change is not None:
            made.append(change)
    books.book(made)


def settle_payments(books: Books, txids: Iterable[str]) -> None:
    """HTLCs without a forward were payments of our own."""
    for txid in txids:
        rows = htlcs_in(books.of_transaction(txid))
        books.book([entry for entry in map(payment_htlc, rows) if entry is not None])


def of_forwards(story: Story) -> dict[str, int]:
    """What all its forwards add up to."""
    return summed(
        posting for forward in story.forwards for posting in postings_of(forward, story.channel_of)
    )


def together(*sums: dict[str, int]) -> dict[str, int]:
    """Sums of sums."""
    return summed(posting for part in sums for posting in part.items())


def recorded(name: str) -> Story:
    """One story, with names of full length."""

    def full(found: re.Match[str]) -> str:
        first = {"a": 0xA0, "t": 0x10, "h": 0xC0, "p": 0x02}[found[1]]
        return f"{first + int(found[2]):02x}" * 32

    story: Row = json.loads(re.sub(r"\$([tahp])(\d+)", full, RECORD.read_text()))[name]
    channel_of = {f"{n}x1x0": f"{0xA0 + n:02x}" * 32 for n in range(1, 9)}
    costs: dict[str, int] = defaultdict(int)
    paid: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in story["events"]:
        if row["type"] == "onchain_fee":
            costs[row["account"]] += row["credit_msat"] - row["debit_msat"]
            found = paid[row["account"], row["txid"]]
            found[:] = [
                found[0] + row["credit_msat"] - row["debit_msat"],
                max(found[1], row["timestamp"]),
            ]
    return Story(
        tuple(map(chain_row, story["chainmoves"])),
        tuple(channel_row(row) for row in story["channelmoves"] if row["primary_tag"] != "routed"),
        _FORWARDS[name],
        channel_of,
        tuple(OnchainFee(*key, *sums) for key, sums in paid.items()),
        {row["account"]: row["balances"][0]["balance_msat"] for row in story["balances"]},
        {account: msat for account, msat in costs.items() if msat},
        sum(row["debit_msat"] for row in story["income"] if row["tag"] == "rebalance_fee"),
        summed(
            (row["account_id"], row["credit_msat"] - row["debit_msat"])
            for row in story["channelmoves"]
            if row["primary_tag"] == "routed"
        ),
    )


def forward(
    seq: int, into: str, out: str | None, in_msat: int, fee_msat: int, at_s: float = 0.0
) -> LoggedForward:
    """A settled forward of the log."""
    out_msat = in_msat - fee_msat
    return LoggedForward(seq, into, out, in_msat, out_msat, fee_msat, SETTLED, at_s, None)


# Both sides of each were read off the recorded `routed` movements and HTLCs: where an HTLC ended
# on the chain there is no such movement.
_FORWARDS = {
    "payments": (forward(1, "1x1x0", "3x1x0", 10_005_555, 5_555, 1_700_000_009.5),),
    "forced": (
        forward(1, "6x1x0", "7x1x0", 20_007_888, 7_777, 1_700_000_012.5),
        forward(2, "6x1x0", "5x1x0", 20_007_888, 7_777, 1_700_000_040.5),
        forward(3, "3x1x0", "4x1x0", 20_007_888, 7_777, 1_700_000_071.5),
    ),
    "cheated": (),
}


def chain_row(row: Row) -> ChainMove:
    """A row of listchainmoves."""
    return ChainMove(
        row["created_index"],
        row["account_id"],
        row["primary_tag"],
        row["credit_msat"],
        row["debit_msat"],
        row["timestamp"],
        row["utxo"],
        row.get("spending_txid"),
        row.get("originating_account"),
        row.get("payment_hash"),
        row["blockheight"],
        row.get("output_msat"),
        "splice" in row["extra_tags"],
        "opener" in row["extra_tags"],
        row.get("output_count", 0),
    )


def channel_row(row: Row) -> ChannelMove:
    """A row of listchannelmoves."""
    return ChannelMove(
        row["created_index"],
        row["account_id"],
        row["primary_tag"],
        row["credit_msat"],
        row["debit_msat"],
        row["fees_msat"],
        row["timestamp"],
        row.get("payment_hash"),
        row.get("part_id"),
        row.get("group_id"),
    )
