"""How the FeeController asks gossip what others charge into the peers of our channels."""

from __future__ import annotations

from collections.abc import Iterable

from cl_revenue_ops.domain.fees import quote_book
from cl_revenue_ops.domain.fees.book import FeeBook
from cl_revenue_ops.domain.fees.prior import Quote
from cl_revenue_ops.identity import Identity
from cl_revenue_ops.ports import Clock, Node, PortError

QUOTES_A_STEP = 5


class FeeQuotes:
    """Asks for at most QUOTES_A_STEP peers at a time; blocks on the node. `trouble` is what went
    wrong last, for the controller to tell.
    """

    def __init__(self, clock: Clock, node: Node, identity: Identity) -> None:
        self._clock = clock
        self._node = node
        self._identity = identity
        self.trouble: str | None = None

    def refresh(self, book: FeeBook, peer_ids: Iterable[str]) -> int:
        """Ask gossip for a few peers that are due; how many were asked."""
        asked = 0
        for peer_id in dict.fromkeys(peer_ids):
            if asked < QUOTES_A_STEP and quote_book.due(book.quotes, peer_id, self._clock.now()):
                asked += 1
                self._ask(book, peer_id)
        return asked

    def _ask(self, book: FeeBook, peer_id: str) -> None:
        price = quote_book.price_into(book.quotes, peer_id)
        try:
            rows = self._node.channels_to(peer_id)
            quotes = [
                Quote(r.source, r.scid, r.capacity_msat, r.active, r.base_msat, r.fee_ppm)
                for r in rows
            ]
            ours = self._identity.learn().node_id
        except PortError as error:
            # The price known so far stands in.
            self.trouble = f"gossip could not be read: {error}"
            book.quotes[peer_id] = quote_book.ask_again_soon(peer_id, self._clock.now(), price)
        else:
            book.hear(peer_id, quotes, ours, self._clock.now())
