"""How the Accountant learns what the node moved beside forwards, and books it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from actors.dialogue import Ask, Refused, Steps
from cl_revenue_ops.domain.ledger import allotment, chain, moves
from cl_revenue_ops.ports import LedgerState, LedgerStore
from cl_revenue_ops.runtime.actor import Context
from messages.base import Command
from messages.books import Entry, GoOnBooking
from messages.node_books import (
    EXTERNAL,
    AccountEvents,
    ChainMove,
    ChainMovePage,
    ChannelMove,
    ChannelMovePage,
    MoveIndexes,
    NodeBalances,
    OnchainFee,
    ReadAccountEvents,
    ReadChainMoves,
    ReadChannelMoves,
    ReadMoveIndexes,
    ReadNodeBalances,
    RoutedSum,
)

READER = "books-reader"
PAGE_ROWS = 1_000
PATIENCE_S = 300.0
RECENT = 2 * PAGE_ROWS
DOUBTS = 2
# So often bookkeeper may refuse an account before its fees are inferred. It cannot page: what it
# has of a channel with very many forwards may be more than an answer can hold.
PATIENT_PASSES = 3
BOOKKEEPER, INFERRED, ESTIMATED, UNKNOWN = "bookkeeper", "inferred", "estimated", "none"

Ours = Callable[[Iterable[str]], frozenset[str]]
"""Those of these payment hashes that jobs of ours have paid."""


def ask(kind: type[Command], **fields: object) -> Ask:
    """A question to the books reader."""
    return Ask(READER, kind, fields, PATIENCE_S)


class LedgerReading:
    """One pass: both lists from their cursors on, then what their transactions cost.

    Every page is booked with its cursor before the next is asked for, and an entry has a key that
    it cannot be booked twice under: a pass that ends anywhere is simply begun again. Releases
    before v25.09 have no lists; there all accounts of bookkeeper are read whole each time.
    """

    def __init__(self, context: Context, store: LedgerStore, ours: Ours) -> None:
        self._context = context
        self._store = store
        self._ours = ours
        self.state = LedgerState()
        self.costs_source = UNKNOWN
        self.malformed = 0
        self.routed: tuple[RoutedSum, ...] = ()
        self._indexes = MoveIndexes(None, None)
        # A pass that ended early leaves these for the next.
        self._accounts: dict[str, None] = {}
        self._txids: dict[str, None] = {}
        self._refusals: dict[str, int] = {}

    def recover(self) -> None:
        """What is stored; the first pass looks again at the transactions that were read last.

        A process may have ended between a page and what its transactions were for.
        """
        self.state = self._store.load()
        newest = self._store.newest()
        last = self._store.page(max(0, newest - RECENT), RECENT, 0.0, None)
        self._note(chain.chain_rows(entry for _, entry in last.rows))

    def keep(self, **changes: Any) -> None:
        """Store changes of the state; blocks on the store."""
        self.state = self.state._replace(**changes)
        self._store.book((), state=self.state)

    @property
    def _early_s(self) -> float:
        return self.state.split_s or 0.0

    def steps(self) -> Steps:
        """Everything since the last pass."""
        self._indexes = yield ask(ReadMoveIndexes)
        if self._indexes.chain is None or self._indexes.channel is None:
            yield from self._all_accounts()
        else:
            yield from self._chain_pages(self._indexes.chain)
            yield from self._channel_pages(self._indexes.channel)
            yield from self._costs()

    # -- v25.09 and later --------------------------------------------------------------------------

    def _chain_pages(self, newest: int) -> Steps:
        if newest < self.state.next_chain - 1:
            # Rows are known by what they say: nothing is booked twice.
            self._context.log.warn("the node's movements on the chain begin anew; read again")
            self.keep(next_chain=1)
        while self.state.next_chain <= newest:
            page: ChainMovePage = yield from self._page(ReadChainMoves, start=self.state.next_chain)
            self._note(page.rows)
            entries = chain.chain_entries(page.rows, "listchainmoves")
            self._book(entries, next_chain=page.next_start)
            if page.last:
                return

    def _channel_pages(self, newest: int) -> Steps:
        if newest < self.state.next_channel - 1:
            self._context.log.warn("the node's movements in channels begin anew, beyond is read")
            self.keep(next_channel=newest + 1)
        while self.state.next_channel <= newest:
            page: ChannelMovePage = yield from self._page(
                ReadChannelMoves, start=self.state.next_channel, early_s=self._early_s
            )
            entries = self._channel_entries(page.rows, "listchannelmoves")
            self._book(entries, routed=page.routed, next_channel=page.next_start)
            if page.last:
                break

    def _page(self, kind: type[Command], **fields: object) -> Steps:
        """A page; one with rows that cannot be understood is read again: a node may stumble."""
        for _ in range(1 + DOUBTS):
            page = yield ask(kind, limit=PAGE_ROWS, **fields)
            if not page.malformed:
                break
        self.malformed += page.malformed
        return page

    def _costs(self) -> Steps:
        """What bookkeeper says that transactions cost: those just read, and those still open."""
        for txid in self._store.open_transactions():
            self._note(chain.chain_rows(self._store.of_transaction(txid)))
        fees: list[OnchainFee] = []
        there = True
        for account in list(self._accounts):
            try:
                found: AccountEvents | None = yield ask(
                    ReadAccountEvents, account=account, early_s=self._early_s
                )
            except Refused as refused:
                self._refusals[account] = self._refusals.get(account, 0) + 1
                self._context.log.info(f"bookkeeper's events of {account}: {refused}")
                continue
            self._refusals.pop(account, None)
            there = there and found is not None
            fees += found.fees if found is not None else ()
        if self._accounts or self.costs_source == UNKNOWN:
            self.costs_source = BOOKKEEPER if there else INFERRED
        yield from self._allot(fees if there else None)
        self.routed = self._store.routed()

    # -- before v25.09 -----------------------------------------------------------------------------

    def _all_accounts(self) -> Steps:
        balances: NodeBalances = yield ask(ReadNodeBalances)
        self.costs_source = ESTIMATED if balances.accounts is None else BOOKKEEPER
        fees: list[OnchainFee] = []
        routed: list[RoutedSum] = []
        named = [row.account for row in balances.accounts or ()]
        for account in (*named, EXTERNAL) if named else ():
            found: AccountEvents | None = yield ask(
                ReadAccountEvents, account=account, early_s=self._early_s
            )
            if found is None:
                continue
            self.malformed += found.malformed
            self._note(found.chain)
            self._book(
                (
                    *chain.chain_entries(found.chain, "bkpr-listaccountevents"),
                    *self._channel_entries(found.channel, "bkpr-listaccountevents"),
                )
            )
            fees += found.fees
            routed += [found.routed] if found.routed is not None else []
        self.routed = tuple(routed)
        yield from self._allot(fees)

    # -- booking -----------------------------------------------------------------------------------

    def _note(self, rows: Iterable[ChainMove]) -> None:
        """Transactions whose costs are to be asked for, of the accounts that take part."""
        for row in rows:
            self._txids[row.txid] = None
            if row.account != EXTERNAL:
                self._accounts[row.account] = None

    def _channel_entries(self, rows: Sequence[ChannelMove], source: str) -> tuple[Entry, ...]:
        """Entries of movements; those that were read before the node had numbers for them stay."""
        if rows and rows[0].created_index is not None:
            keys = list(moves.content_keys(rows))
            known = self._store.known(keys)
            rows = [row for key, row in zip(keys, rows, strict=True) if key not in known]
        earlier = {found: self._store.of_payment(found) for found in moves.payments_in(rows)}
        return moves.channel_entries(rows, earlier, source, self._ours(earlier))

    def _book(
        self, entries: Sequence[Entry], *, routed: Sequence[RoutedSum] = (), **cursors: Any
    ) -> None:
        state = self.state._replace(**cursors)
        self._store.book(entries, state=state, routed=routed)
        self.state = state

    def _allot(self, fees: list[OnchainFee] | None) -> Steps:
        by_txid: dict[str, list[OnchainFee]] = defaultdict(list)
        for fee in fees or ():
            by_txid[fee.txid].append(fee)
        noted, self._accounts, self._txids = list(self._txids), {}, {}
        for number, txid in enumerate(noted):
            if number % PAGE_ROWS == PAGE_ROWS - 1:
                yield Ask(self._context.address, GoOnBooking)
            booked = self._store.of_transaction(txid)
            rows = chain.chain_rows(booked)
            refused = [self._refusals[r.account] for r in rows if r.account in self._refusals]
            if any(times < PATIENT_PASSES for times in refused):
                self._note(rows)
                continue
            known = None if fees is None or refused else by_txid[txid]
            entry = allotment.allotment(txid, booked, known)
            if entry is not None:
                self._store.book([entry])
