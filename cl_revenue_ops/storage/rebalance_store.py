"""The jobs of the Rebalancer with their payments, and what was learned of routes."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from cl_revenue_ops.ports import JobRow, RebalanceMemory
from cl_revenue_ops.storage.repository import Repository
from messages.budget import SelfPayment

_COLUMNS = ", ".join(JobRow._fields)
_MARKS = ", ".join("?" for _ in JobRow._fields)


class SqliteRebalanceStore(Repository):
    """Implements ports.RebalanceStore. What it stores survives a loss of power."""

    def load(self) -> RebalanceMemory:
        """See ports.RebalanceStore."""
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM rebalance_job WHERE ended_s IS NULL ORDER BY number"
            )
            jobs = tuple(map(JobRow._make, rows))
            newest = connection.execute("SELECT max(number) FROM rebalance_job").fetchone()[0]
            learned = dict(
                connection.execute("SELECT name, text FROM rebalance_learned ORDER BY name")
            )
        return RebalanceMemory(jobs, (newest or 0) + 1, learned)

    def save(
        self,
        jobs: Sequence[JobRow],
        learned: Mapping[str, str | None],
        payments: Mapping[str, Sequence[SelfPayment]],
    ) -> None:
        """See ports.RebalanceStore."""
        with self._writing(durable=True) as connection:
            connection.executemany(f"REPLACE INTO rebalance_job VALUES ({_MARKS})", jobs)
            for job_id, rows in payments.items():
                _add(connection, int(job_id.removeprefix("r")), rows)
            connection.executemany(
                "REPLACE INTO rebalance_learned VALUES (?, ?)",
                [(name, text) for name, text in learned.items() if text is not None],
            )
            connection.executemany(
                "DELETE FROM rebalance_learned WHERE name = ?",
                [(name,) for name, text in learned.items() if text is None],
            )

    def jobs_since(self, begun_s: float, limit: int) -> tuple[JobRow, ...]:
        """See ports.RebalanceStore."""
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM rebalance_job WHERE begun_s >= ?"
                " ORDER BY begun_s DESC, number DESC LIMIT ?",
                (begun_s, limit),
            ).fetchall()
        return tuple(map(JobRow._make, rows))

    def payments_of(self, number: int) -> tuple[SelfPayment, ...]:
        """See ports.RebalanceStore."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT payment_hash, part, completed_s, amount_msat, cost_msat"
                " FROM rebalance_payment WHERE number = ? ORDER BY payment_hash, part",
                (number,),
            ).fetchall()
        return tuple(map(SelfPayment._make, rows))


def _add(connection: sqlite3.Connection, number: int, payments: Sequence[SelfPayment]) -> None:
    """Add what is not there yet: a payment belongs to the job that had it first."""
    connection.executemany(
        "INSERT OR IGNORE INTO rebalance_payment VALUES (?, ?, ?, ?, ?, ?)",
        [(p.payment_hash, p.part, number, *p[2:]) for p in payments],
    )
