"""How the bookkeeper follows a channel's outputs through transactions, until all are settled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cl_revenue_ops.simnode.moves import ChainMove

if TYPE_CHECKING:
    from cl_revenue_ops.simnode.bkpr_ledger import Account, Ledger


@dataclass
class Coin:
    """One output: how it came to be and how it was spent, as far as either is known."""

    made: ChainMove | None = None
    spent: ChainMove | None = None


@dataclass(frozen=True)
class Transaction:
    """The known outputs of one transaction."""

    txid: str
    coins: list[Coin]


def _coins(ledger: Ledger, txid: str, account: str | None) -> tuple[list[Coin], bool]:
    """The outputs of `txid` (of one account only, if given), and whether none is unexplained."""
    moves = ledger.outputs_of(txid)
    complete = bool(moves)
    coins: list[Coin] = []
    last: Coin | None = None
    for move in moves:
        if account is not None and move.account_id != account:
            continue
        if move.spending_txid is not None:
            complete = complete and last is not None
            coins.append(Coin(last.made if last else None, move))
            last = None
            continue
        if last is not None and last.made and last.made.primary_tag != "channel_proposed":
            coins.append(last)
        last = Coin(move)
    return ([*coins, last] if last is not None else coins), complete


def follow(ledger: Ledger, account: Account) -> tuple[list[Transaction], bool]:
    """The transactions from the channel's funding on, and whether every output is settled."""
    if account.opened is None:
        return [], False
    txids = [account.opened.txid]
    found: list[Transaction] = []
    settled = True
    for place, txid in enumerate(txids):
        # Of the funding transaction only this channel's output counts, of later ones all.
        coins, complete = _coins(ledger, txid, account.name if place == 0 else None)
        settled = settled and complete
        for coin in coins:
            if coin.made is not None and coin.spent is None and _in_channel(coin.made):
                settled = False
            onward = _onward(coin.spent, account)
            if onward is not None and onward not in txids:
                txids.append(onward)
        found.append(Transaction(txid, coins))
    return found, settled


def _in_channel(move: ChainMove) -> bool:
    return move.account_id not in ("wallet", "external")


def _onward(spent: ChainMove | None, account: Account) -> str | None:
    """The spending transaction, if this channel's money went on through it."""
    if spent is None or spent.primary_tag == "to_miner":
        return None
    ours = spent.account_id == account.name or "stealable" in spent.extra_tags
    return spent.spending_txid if ours else None


def resolved_height(ledger: Ledger, account: Account) -> int:
    """The block that settled the last output of a closed channel; 0 while one is open."""
    transactions, settled = follow(ledger, account)
    closing = account.closed.spending_txid if account.closed else None
    found = next((tx for tx in transactions if tx.txid == closing), None)
    if not settled or found is None or len(found.coins) != account.outputs:
        return 0
    return max(
        move.blockheight
        for move in ledger.chain
        if move.account_id == account.name and move.spending_txid is not None
    )
