"""What channels cost on the chain, transaction by transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from cl_revenue_ops.domain.ledger import accounts
from cl_revenue_ops.domain.ledger.chain import chain_rows
from messages.books import CostEntry, Entry

_WHAT = {
    accounts.OPENING: "opening",
    accounts.CLOSURE: "closure",
    accounts.SPLICE: "splice",
}


def of_channels(
    entries: Iterable[tuple[int, Entry]], of_transaction: Callable[[str], Sequence[Entry]]
) -> tuple[CostEntry, ...]:
    """Each posting to a channel's opening, closure or splice, in the order of their numbers.

    Corrections are rows of their own, with what they add or take back. `of_transaction` has all
    entries of a txid; it is asked for those of splices.
    """
    found: list[CostEntry] = []
    for _, entry in sorted(dict(entries).items()):
        for account, msat in entry.postings:
            kind, channel_id = accounts.parted(account)
            if kind in _WHAT and channel_id is not None:
                moved_msat = None
                if kind == accounts.SPLICE and entry.txid is not None:
                    moved_msat = _moved(account, channel_id, of_transaction(entry.txid))
                found.append(
                    CostEntry(
                        channel_id,
                        _WHAT[kind],
                        entry.at_s,
                        msat,
                        entry.txid,
                        entry.source,
                        moved_msat,
                    )
                )
    return tuple(found)


def _moved(cost: str, channel_id: str, entries: Sequence[Entry]) -> int | None:
    """What a splice brought into the channel; what it took out is without the fee it paid."""
    rows = [row for row in chain_rows(entries) if row.account == channel_id]
    if len(rows) < 2:
        return None
    change_msat = sum(row.credit_msat - row.debit_msat for row in rows)
    if change_msat >= 0:
        return change_msat
    postings = (posting for entry in entries for posting in entry.postings)
    return change_msat + sum(msat for account, msat in postings if account == cost)
