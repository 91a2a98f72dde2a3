"""How the Accountant learns what the node moved beside forwards, and books it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from actors.dialogue import Ask, Steps
from cl_revenue_ops.domain.ledger import chain, moves
from cl_revenue_ops.ports import ForwardStore, LedgerState, LedgerStore
from cl_revenue_ops.runtime.actor import Context
from messages.books import (
    EXTERNAL,
    AccountEvents,
    ChainMovePage,
    ChannelMovePage,
    Entry,
    GoOnBooking,
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


class LedgerReading:
    """One pass: both lists from their cursors on, then what the transactions cost.

    Every page is booked with its cursor before the next is asked for, and an entry has a key that
    it cannot be booked twice under: a pass that ends anywhere is simply begun again. Releases
    before v25.09 have no lists; there bookkeeper's accounts are read whole each time.
    """

    def __init__(self, context: Context, forwards: ForwardStore, ledger: LedgerStore) -> None:
        self._context = context
        self._forwards = forwards
        self._ledger = ledger
        self.state = LedgerState()
        self.costs_source = "none"
        self.malformed = 0
        self._touched: dict[str, None] = {}
