"""The books reader: reads the node's movements, bookkeeper and balances for the books."""

from __future__ import annotations

from collections.abc import Callable

from actors.base import HouseActor, handles
from cl_revenue_ops.ports import Books, Node, PortError
from cl_revenue_ops.runtime.actor import Context
from messages.base import Command
from messages.node_books import (
    NodeBalances,
    ReadAccountEvents,
    ReadChainMoves,
    ReadChannelMoves,
    ReadIncome,
    ReadMoveIndexes,
    ReadNodeBalances,
)

# Of a channel in another state the node and bookkeeper say different things, both rightly: its
# money is not locked in yet, or is on its way out.
_STEADY = ("CHANNELD_NORMAL", "CHANNELD_AWAITING_SPLICE")


class BooksReader(HouseActor):
    """Blocks on the node, nobody else waits. A failure of the node is a refusal, not a crash.

    Bookkeeper may take its time; commands that wait behind it expire by their own deadlines.
    """

    def __init__(self, context: Context, *, node: Node, books: Books) -> None:
        super().__init__(context)
        self._node = node
        self._books = books

    @handles(ReadMoveIndexes)
    def _indexes(self, message: ReadMoveIndexes) -> None:
        self._serve(message, self._books.move_indexes)

    @handles(ReadChannelMoves)
    def _channel_moves(self, message: ReadChannelMoves) -> None:
        start, limit, early_s = message.start, message.limit, message.early_s
        self._serve(message, lambda: self._books.channel_moves(start, limit, early_s))

    @handles(ReadChainMoves)
    def _chain_moves(self, message: ReadChainMoves) -> None:
        self._serve(message, lambda: self._books.chain_moves(message.start, message.limit))

    @handles(ReadAccountEvents)
    def _account_events(self, message: ReadAccountEvents) -> None:
        account, early_s = message.account, message.early_s
        self._serve(message, lambda: self._books.account_events(account, early_s))

    @handles(ReadNodeBalances)
    def _balances(self, message: ReadNodeBalances) -> None:
        self._serve(message, lambda: self._balances_now(message.with_accounts))

    @handles(ReadIncome)
    def _income(self, message: ReadIncome) -> None:
        self._serve(message, lambda: self._books.income(message.from_s, message.until_s))

    def _serve(self, message: Command, read: Callable[[], object]) -> None:
        try:
            found = read()
        except PortError as error:
            self.refuse(message, str(error))
        except ValueError as error:
            self.refuse(message, str(error), invalid=True)
        else:
            self.answer(message, found)

    def _balances_now(self, with_accounts: bool) -> NodeBalances:
        """What had happened by `at_s` is in it, and what happens while it is read may be.

        Bookkeeper first: what follows it is quick, so that the rest is of nearly one moment.
        """
        at_s = self.now()
        accounts = self._books.account_balances() if with_accounts else None
        held = (row for row in self._node.balances() if row[1] in _STEADY)
        channels = tuple(sorted((channel_id, msat) for channel_id, _, msat in held))
        fees_msat = self._node.info().fees_collected_msat
        return NodeBalances(at_s, accounts, channels, fees_msat, *self._books.wallet())
