"""What the bookkeeper plugin makes of the node's moves: accounts, on-chain fees, rebalances."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from cl_revenue_ops.simnode import bkpr_chain
from cl_revenue_ops.simnode.moves import Books, ChainMove, ChannelMove

WALLET, EXTERNAL = "wallet", "external"


def is_channel(account: str) -> bool:
    """True for the accounts that are named by a channel_id."""
    return account not in (WALLET, EXTERNAL)


@dataclass
class Account:
    """One account; `opened` and `closed` are the moves that began and ended it.

    `outputs` is how many outputs the closing transaction has, `resolved_height` the block that
    settled the last of them, 0 until then.
    """

    name: str
    peer_id: str | None = None
    we_opened: bool = False
    opened: ChainMove | None = None
    closed: ChainMove | None = None
    outputs: int = 0
    resolved_height: int = 0


@dataclass(frozen=True)
class FeeRow:
    """One correction of what `account` paid for `txid`: credit is cost, debit takes it back."""

    account: str
    txid: str
    credit_msat: int
    debit_msat: int
    timestamp: int
    update: int

    @property
    def order(self) -> tuple[int, str, bytes, int]:
        """The order of lists: time, account, transaction (as its hash lies in memory), number."""
        return self.timestamp, self.account, bytes.fromhex(self.txid)[::-1], self.update


class Ledger:
    """The plugin's state. It learns of moves only when `refresh` is called, chain moves first."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self.accounts: dict[str, Account] = {}
        self.chain: list[ChainMove] = []
        self.channel: list[ChannelMove] = []
        self.fees: dict[str, list[FeeRow]] = defaultdict(list)
        self.rebalances: dict[int, int] = {}
        self.heights: dict[str, int] = {}
        self._spends: dict[str, list[ChainMove]] = defaultdict(list)
        self._outputs: dict[str, list[ChainMove]] = defaultdict(list)
        self._of_payment: dict[str, list[ChannelMove]] = defaultdict(list)

    def refresh(self) -> None:
        """Take in what the node has booked since the last call."""
        for move in self._books.chain_moves[len(self.chain) :]:
            self._take_chain(move)
        for channel_move in self._books.channel_moves[len(self.channel) :]:
            self._take_channel(channel_move)

    # -- lookups -------------------------------------------------------------------------------

    def height(self, move: ChainMove) -> int:
        """The move's block; a payment to outside gets its own when its transaction confirms."""
        return move.blockheight or self.heights.get(move.txid, 0)

    def touching(self, txid: str) -> list[ChainMove]:
        """What `txid` spent and what it created, by account."""
        created = [move for move in self._outputs[txid] if move.spending_txid is None]
        found = self._spends[txid] + created
        return sorted(found, key=lambda move: (move.account_id, move.created_index))

    def outputs_of(self, txid: str) -> list[ChainMove]:
        """All moves over outputs of `txid`: for each output its creation, then its spending."""
        return sorted(
            self._outputs[txid],
            key=lambda move: (move.utxo, move.spending_txid or "", move.blockheight),
        )

    def all_fees(self) -> list[FeeRow]:
        """The fee rows of all accounts."""
        return sorted((row for rows in self.fees.values() for row in rows), key=lambda r: r.order)

    def fee_sums(self, rows: Iterable[FeeRow]) -> list[FeeRow]:
        """One row for each transaction and account, as the sum of the given ones.

        Its time is that of the last correction.
        """
        sums: dict[tuple[bytes, str], FeeRow] = {}
        for row in rows:
            key = (bytes.fromhex(row.txid)[::-1], row.account)
            old = sums.get(key, FeeRow(row.account, row.txid, 0, 0, 0, 0))
            paid_msat = old.credit_msat + row.credit_msat - row.debit_msat
            last = max(old.timestamp, row.timestamp)
            sums[key] = FeeRow(row.account, row.txid, paid_msat, 0, last, row.update)
        return [sums[key] for key in sorted(sums)]

    def is_rebalance(self, move: ChannelMove) -> bool:
        """True for both sides of a payment to ourselves."""
        return move.created_index in self.rebalances

    # -- taking in -----------------------------------------------------------------------------

    def _account(self, name: str) -> Account:
        return self.accounts.setdefault(name, Account(name))

    def _take_chain(self, move: ChainMove) -> None:
        account = self._account(move.account_id)
        if move.originating_account is not None:
            self._account(move.originating_account)
        self.chain.append(move)
        self._outputs[move.txid].append(move)
        if move.spending_txid is not None:
            self._spends[move.spending_txid].append(move)
        _note(account, move)
        self._allot_fees(move.spending_txid or move.txid)
        if move.spending_txid is not None:
            self._confirm_external(move.spending_txid, move.blockheight)
        ended = self._closed_by(move, account)
        if ended is not None and ended.closed is not None:
            height = bkpr_chain.resolved_height(self, ended)
            if height:
                ended.resolved_height = height
                self._settle_close_fees(ended, ended.closed)

    def _confirm_external(self, txid: str, height: int) -> None:
        for output in self._outputs[txid]:
            if output.account_id == EXTERNAL and output.blockheight == 0:
                self.heights[txid] = height

    def _closed_by(self, move: ChainMove, account: Account) -> Account | None:
        """The channel whose end this move may complete."""
        if is_channel(account.name):
            return account
        if move.originating_account is not None:
            return self.accounts[move.originating_account]
        if move.spending_txid is not None:
            return account
        closes = (m for m in self._spends[move.txid] if m.primary_tag == "channel_close")
        first = next(closes, None)
        return None if first is None else self.accounts[first.account_id]

    def _take_channel(self, move: ChannelMove) -> None:
        self.channel.append(move)
        if move.payment_hash is None:
            return
        self._of_payment[move.payment_hash].append(move)
        if move.primary_tag != "invoice" or move.debit_msat == 0:
            return
        # The node books the arrival of a payment to itself before the departure.
        for other in self._of_payment[move.payment_hash]:
            matches = other.credit_msat == move.debit_msat - move.fees_msat
            if matches and other.created_index not in self.rebalances:
                self.rebalances[move.created_index] = other.created_index
                self.rebalances[other.created_index] = move.created_index
                return

    # -- on-chain fees -------------------------------------------------------------------------

    def _put_fee(self, account: str, txid: str, paid_msat: int, timestamp: int) -> None:
        """Book the difference between `paid_msat` and what is booked so far."""
        before = [row for row in self.fees[account] if row.txid == txid]
        change = paid_msat - sum(row.credit_msat - row.debit_msat for row in before)
        if change:
            update = max((row.update for row in before), default=0) + 1
            row = FeeRow(account, txid, max(change, 0), max(-change, 0), timestamp, update)
            self.fees[account].append(row)
            self.fees[account].sort(key=lambda r: r.order)

    def _allot_fees(self, txid: str) -> None:
        """Inputs less outputs as far as known, shared out among the channels that take part.

        The wallet pays only where no channel does; a close is left to `_settle_close_fees`.
        """
        moves = self.touching(txid)
        closes = (self.accounts[move.account_id].closed for move in moves)
        if len(moves) < 2 or any(c is not None and c.spending_txid == txid for c in closes):
            return
        spent_msat = sum(move.debit_msat for move in moves if move.spending_txid is not None)
        made_msat = sum(move.credit_msat for move in moves if move.spending_txid is None)
        first: dict[str, ChainMove] = {}
        for move in moves:
            first.setdefault(move.account_id, move)
        first.pop(EXTERNAL, None)
        if not first or not spent_msat or not made_msat or spent_msat < made_msat:
            return
        payers = [name for name in first if name != WALLET] or [WALLET]
        part_msat, odd = divmod(spent_msat - made_msat, len(payers))
        for name, move in first.items():
            share_msat = part_msat + (payers.index(name) < odd) if name in payers else 0
            self._put_fee(name, txid, share_msat, move.timestamp)

    def _settle_close_fees(self, account: Account, closed: ChainMove) -> None:
        """What a closed channel held less what came out of it is what its closing cost."""
        if closed.spending_txid is None:
            return
        made_msat = 0
        for move in self.touching(closed.spending_txid):
            fulfilled = move.primary_tag == "htlc_fulfill"
            theirs = move.account_id == EXTERNAL and not fulfilled
            to_us = is_channel(move.account_id) and fulfilled
            if not theirs and not to_us:
                made_msat += move.credit_msat
        if made_msat <= closed.debit_msat:
            fee_msat = closed.debit_msat - made_msat
            self._put_fee(account.name, closed.spending_txid, fee_msat, closed.timestamp)


def _note(account: Account, move: ChainMove) -> None:
    """Learn from a move what the account is; the close of a splice is no close."""
    if move.primary_tag in ("channel_open", "channel_proposed") and account.opened is None:
        account.opened = move
    spliced = "splice" in move.extra_tags
    if move.primary_tag == "channel_close" and not spliced:
        account.closed = move
    if "opener" in move.extra_tags:
        account.we_opened = True
    if account.peer_id is None:
        account.peer_id = move.peer_id
    if move.output_count:
        account.outputs = move.output_count
