"""What channels cost on the chain, transaction by transaction."""

from __future__ import annotations

from collections.abc import Iterable

from cl_revenue_ops.domain.ledger import accounts
from messages.books import CostEntry, Entry

_WHAT = {
    accounts.OPENING: "opening",
    accounts.CLOSURE: "closure",
    accounts.SPLICE: "splice",
}


def of_channels(entries: Iterable[tuple[int, Entry]]) -> tuple[CostEntry, ...]:
    """Each posting to a channel's opening, closure or splice, in the order of their numbers.

    Corrections are rows of their own, with what they add or take back.
    """
    found: list[CostEntry] = []
    for _, entry in sorted(dict(entries).items()):
        for account, msat in entry.postings:
            kind, channel_id = accounts.parted(account)
            if kind in _WHAT and channel_id is not None:
                found.append(
                    CostEntry(channel_id, _WHAT[kind], entry.at_s, msat, entry.txid, entry.source)
                )
    return tuple(found)
