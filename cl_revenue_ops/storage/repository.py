"""What every repository has: its incarnation's lease, and the way to read and to write."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from cl_revenue_ops.ports import Lease
from cl_revenue_ops.storage.database import Database

_OPEN_DEADLINE_S = 120.0  # a large file is read through after a crash
_DEADLINE_S = 30.0  # the turn among the writers, the busy timeout, and the work


class Repository:
    """The tables of one owner, as one incarnation of it may use them.

    Every method blocks on the disk and raises Unavailable, StoreDamaged, or StaleGeneration
    when the incarnation has been replaced.
    """

    def __init__(self, database: Database, lease: Lease) -> None:
        self._database = database
        self._lease = lease

    def open(self, node_id: str, network: str) -> None:
        """See ports.Store."""
        with self._lease.call("open the database", _OPEN_DEADLINE_S):
            self._database.open(node_id, network)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with (
            self._lease.call("read the database", _DEADLINE_S),
            self._database.reading() as connection,
        ):
            yield connection

    @contextmanager
    def _writing(self, durable: bool = False) -> Iterator[sqlite3.Connection]:
        with (
            self._lease.call("write the database", _DEADLINE_S),
            self._database.writing(self._lease, durable) as connection,
        ):
            yield connection
