"""A house with a ledger to import into and to export from, and an earlier plugin's database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cl_revenue_ops.domain.ledger import accounts
from cl_revenue_ops.simnode.errors import SimRpcError
from cl_revenue_ops.storage.ledger_store import SqliteLedgerStore
from messages.books import Entry
from tests.sim.house_support import START_S, HouseNode, house_node
from tests.unit.storage_support import RevocableLease

INVALID_PARAMS = -32602
DAY_S = 86_400
TODAY = int(START_S) // DAY_S


class ExchangeHouse(HouseNode):
    """A node and a house whose ledger can be looked at and written from outside."""

    def ledger(self) -> SqliteLedgerStore:
        """The ledger as another process of the house would read it."""
        database = self.life._databases.made[-1]
        return SqliteLedgerStore(database, RevocableLease())

    def totals(self) -> dict[str, int]:
        """Sums by account."""
        return dict(self.ledger().totals(0, None))

    def entries(self) -> list[Entry]:
        """All entries by number."""
        return [entry for _, entry in self.ledger().page(0, 10_000, 0.0, None).rows]

    def deleted(self, msat: int, day: int) -> None:
        """Book what the node had earned and deleted before it was first seen."""
        postings = ((accounts.UNATTRIBUTED, -msat), (accounts.OPENING_BALANCE, msat))
        entry = Entry("opening", day * DAY_S, "opening", "test", "{}", postings)
        self.ledger().book([entry])

    def read_books(self) -> None:
        """Let the accountant read what the node moved, which it does soon after it starts."""
        self.wait_s(30)

    def complaint(self, method: str, *params: Any) -> str:
        """The one line of -32602."""
        try:
            answer = self.call(method, list(params))
        except SimRpcError as error:
            assert error.code == INVALID_PARAMS
            assert error.message.isprintable() and len(error.message) <= 500
            return str(error.message)
        raise AssertionError(f"not refused: {answer}")


@contextmanager
def exchange_house(**details: Any) -> Iterator[ExchangeHouse]:
    """A running house with a ledger; the folder of the node is `network_dir`."""
    with house_node(kind=ExchangeHouse, **details) as node:
        assert isinstance(node, ExchangeHouse)
        if node.begun:
            node.read_books()
        yield node


def beside(node: ExchangeHouse, name: str) -> Path:
    """A path inside the node's directory."""
    return Path(node.network_dir) / name
