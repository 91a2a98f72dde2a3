"""A process that books for ever, to be killed: `python -m tests.unit.ledger_writer <folder>`."""

from __future__ import annotations

import sys
from pathlib import Path

from cl_revenue_ops.domain.ledger import accounts
from cl_revenue_ops.domain.ledger.allotment import allotment
from cl_revenue_ops.domain.ledger.chain import chain_entries
from cl_revenue_ops.domain.ledger.moves import channel_entries, payments_in
from cl_revenue_ops.storage.ledger_store import SqliteLedgerStore
from messages.books import Entry
from messages.node_books import WALLET, ChainMove, ChannelMove, RoutedSum
from tests.unit.storage_support import RevocableLease, opened

PAGE = 20
FEE_MSAT = 7
CHANNEL = "a" * 64


def channel_page(first: int) -> list[ChannelMove]:
    """Payments to others, each of as many msat as its number says."""
    return [
        ChannelMove(n, CHANNEL, "invoice", 0, n + FEE_MSAT, FEE_MSAT, 86_400 * n, f"{n:064x}")
        for n in range(first, first + PAGE)
    ]


def chain_page(first: int) -> list[ChainMove]:
    """Each two outputs are one transaction of the wallet that costs as much as a fee above."""
    rows = []
    for n in range(first, first + PAGE):
        txid = f"{n // 2:064x}"
        row = ChainMove(n, WALLET, "deposit", 1_000, 0, 86_400 * n, f"{txid}:1")
        spending = ChainMove(
            n, WALLET, "withdrawal", 0, 1_000 + FEE_MSAT, 86_400 * n, f"{'0' * 64}:{n}", txid
        )
        rows.append(row if n % 2 else spending)
    return rows


def book_page(store: SqliteLedgerStore) -> int:
    """A page of each kind with its cursor, each as one transaction; goes on where it was."""
    state = store.load()
    if state.next_channel == state.next_chain:
        moves = channel_page(state.next_channel)
        earlier = {name: store.of_payment(name) for name in payments_in(moves)}
        state = state._replace(next_channel=state.next_channel + PAGE)
        routed = [RoutedSum(CHANNEL, PAGE, 1, 2, 3, 4, 5)]
        store.book(channel_entries(moves, earlier, "listchannelmoves"), state=state, routed=routed)
    rows = chain_page(state.next_chain)
    entries: list[Entry] = list(chain_entries(rows, "listchainmoves"))
    for txid in dict.fromkeys(row.txid for row in rows):
        known = [*store.of_transaction(txid), *(entry for entry in entries if entry.txid == txid)]
        change = allotment(txid, known, None)
        entries += [change] if change is not None else []
    store.book(entries, state=state._replace(next_chain=state.next_chain + PAGE))
    return state.next_chain + PAGE


def main(folder: Path) -> None:
    """Says how far it has come."""
    with opened(folder) as it:
        store = SqliteLedgerStore(it, RevocableLease())
        while True:
            print(book_page(store), flush=True)  # noqa: T201  # the parent reads it


def totals_of(channel_moves: int, transactions: int) -> dict[str, int]:
    """What so many payments, from the first on, and so many transactions add up to."""
    paid_msat = channel_moves * (channel_moves + 1) // 2
    found = {
        accounts.of(accounts.CHANNEL, CHANNEL): -paid_msat - FEE_MSAT * channel_moves,
        accounts.PAYMENTS: paid_msat,
        accounts.of(accounts.PAYMENT_FEES, CHANNEL): FEE_MSAT * channel_moves,
        accounts.WALLET: -FEE_MSAT * transactions,
        accounts.WALLET_FEES: FEE_MSAT * transactions,
    }
    return {account: msat for account, msat in found.items() if msat}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
