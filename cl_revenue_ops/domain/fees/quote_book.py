"""What others charge into each peer, as last asked of gossip, and which peers are due again."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from cl_revenue_ops.domain.fees.facts import PriorPrice, finite

FRESH_S = 6 * 3600.0
SPREAD = 0.2
RETRY_S = 1800.0


class Asked(NamedTuple):
    """The answer of gossip for one peer at `at_s`; `price` None where nobody quotes."""

    at_s: float
    price: PriorPrice | None


QuoteBook = Mapping[str, Asked]


def fresh_s(peer_id: str) -> float:
    """For how long an answer is fresh: up to SPREAD longer than FRESH_S, by the peer's id, so that
    peers that were asked together are not due together for ever.
    """
    return FRESH_S * (1.0 + SPREAD * zlib.crc32(peer_id.encode()) / 2**32)


def due(book: QuoteBook, peer_id: str, now_s: float) -> bool:
    """Whether gossip should be asked again: prices into a peer move over days, not minutes.

    An answer from further ahead than FRESH_S is due too: the clock was set back since.
    """
    asked = book.get(peer_id)
    return asked is None or not -FRESH_S < now_s - asked.at_s < fresh_s(peer_id)


def ask_again_soon(peer_id: str, now_s: float, price: PriorPrice | None) -> Asked:
    """What to keep after gossip could not be read: the price so far, due again in half an hour."""
    return Asked(now_s - fresh_s(peer_id) + RETRY_S, price)


def price_into(book: QuoteBook, peer_id: str) -> PriorPrice | None:
    """The newest prior price into a peer, however old; None where nobody quotes."""
    asked = book.get(peer_id)
    return None if asked is None else asked.price


def kept(book: QuoteBook, peer_ids: Iterable[str]) -> dict[str, Asked]:
    """The book without peers that we have no channel with any more."""
    wanted = set(peer_ids)
    return {peer_id: asked for peer_id, asked in book.items() if peer_id in wanted}


def to_row(book: QuoteBook) -> dict[str, Any]:
    """The book as JSON keeps it exactly."""
    return {
        peer_id: [asked.at_s, list(asked.price) if asked.price is not None else None]
        for peer_id, asked in book.items()
    }


def from_row(row: Mapping[str, Any]) -> dict[str, Asked]:
    """The book that `to_row` wrote; raises ValueError or TypeError on anything else."""
    return {
        peer_id: Asked(finite(at_s), PriorPrice(*map(finite, price)) if price is not None else None)
        for peer_id, (at_s, price) in row.items()
    }
