"""The budget's repository: what was promised to jobs, and what their payments cost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from cl_revenue_ops.ports import BudgetRows, Committed, StoredReservation
from cl_revenue_ops.storage.ledger_rows import hash_of, packed_hash
from cl_revenue_ops.storage.repository import Repository
from messages.budget import Reservation, SelfPayment

# Reservations that cost nothing are looked up no more after so long.
KEPT_S = 30 * 86_400.0

_PAYMENT = "payment_hash, part, completed_s, amount_msat, cost_msat"
_RESERVATION = "job_id, spender, opened_s, reserved_msat"
_OPEN = f"""
    SELECT {_RESERVATION} FROM budget_reservation WHERE ended_s IS NULL ORDER BY opened_s, job_id"""
_OF_JOB = f"SELECT {_PAYMENT} FROM budget_payment WHERE job_id = ?"
_OF_OTHERS = f"""
    SELECT {_PAYMENT} FROM budget_payment WHERE completed_s >= ? AND NOT EXISTS (
        SELECT 1 FROM budget_reservation AS held
        WHERE held.job_id = budget_payment.job_id AND held.ended_s IS NULL)
    ORDER BY completed_s, payment_hash, part"""
_KNOWN = f"SELECT job_id, {_PAYMENT} FROM budget_payment WHERE payment_hash = ? AND part = ?"
_ADD = f"INSERT INTO budget_payment (job_id, {_PAYMENT}) VALUES (?, ?, ?, ?, ?, ?)"
_END = """
    UPDATE budget_reservation SET ended_s = ?, proof = ? WHERE job_id = ? AND ended_s IS NULL"""
_FORGET = """
    DELETE FROM budget_reservation WHERE ended_s < ? AND NOT EXISTS (
        SELECT 1 FROM budget_payment WHERE budget_payment.job_id = budget_reservation.job_id)"""


class _Unreadable(Exception):
    """A row that nobody here wrote; the message says which."""


class SqliteBudgetStore(Repository):
    """Implements ports.BudgetStore. Everything but `charged` survives a loss of power."""

    def read(self, since_s: int) -> BudgetRows:
        """See ports.BudgetStore."""
        with self._reading() as connection:
            try:
                rows = connection.execute(_OPEN).fetchall()
                found = tuple(_reservation(connection, row) for row in rows)
                ended = tuple(map(_payment, connection.execute(_OF_OTHERS, (since_s,))))
            except _Unreadable as error:
                return BudgetRows((), (), str(error))
        return BudgetRows(found, ended, None)

    def reservation(self, job_id: str) -> StoredReservation | None:
        """See ports.BudgetStore; ValueError for a row that cannot be understood."""
        query = f"SELECT ended_s IS NULL, {_RESERVATION} FROM budget_reservation WHERE job_id = ?"
        with self._reading() as connection:
            row = connection.execute(query, (job_id,)).fetchone()
            if row is None:
                return None
            try:
                return StoredReservation(_reservation(connection, row[1:]), bool(row[0]))
            except _Unreadable as error:
                raise ValueError(str(error)) from error

    def reserve(self, reservation: Reservation) -> None:
        """See ports.BudgetStore."""
        with self._writing(durable=True) as connection:
            connection.execute(
                f"INSERT INTO budget_reservation ({_RESERVATION}) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (job_id) DO NOTHING",
                reservation[:4],
            )

    def commit(self, job_id: str, payments: Sequence[SelfPayment]) -> Committed:
        """See ports.BudgetStore; ValueError for a row of this job that cannot be understood."""
        new: list[SelfPayment] = []
        disputed: list[SelfPayment] = []
        with self._writing(durable=True) as connection:
            for payment in payments:
                row = (packed_hash(payment.payment_hash), *payment[1:])
                known = connection.execute(_KNOWN, row[:2]).fetchone()
                if known is None:
                    connection.execute(_ADD, (job_id, *row))
                    new.append(payment)
                elif known != (job_id, *row):
                    disputed.append(payment)
            try:
                paid_msat = sum(_costs(connection, job_id))
            except _Unreadable as error:
                raise ValueError(str(error)) from error
        return Committed(tuple(new), tuple(disputed), paid_msat)

    def end(self, job_ids: Sequence[str], proof: str, at_s: float) -> None:
        """See ports.BudgetStore. Forgotten are those that ended 30 days before."""
        with self._writing(durable=True) as connection:
            connection.executemany(_END, [(at_s, proof, job_id) for job_id in job_ids])
            connection.execute(_FORGET, (at_s - KEPT_S,))

    def ours(self, payment_hashes: Iterable[str]) -> frozenset[str]:
        """See ports.BudgetStore."""
        query = "SELECT 1 FROM budget_payment WHERE payment_hash = ?"
        with self._reading() as connection:
            return frozenset(
                name
                for name in payment_hashes
                if connection.execute(query, (packed_hash(name),)).fetchone()
            )

    def uncharged(self) -> tuple[str, ...]:
        """See ports.BudgetStore."""
        with self._reading() as connection:
            found = connection.execute(
                "SELECT DISTINCT payment_hash FROM budget_payment WHERE charged = 0"
                " ORDER BY payment_hash"
            ).fetchall()
        return tuple(str(hash_of(name)) for (name,) in found)

    def charged(self, payment_hashes: Sequence[str]) -> None:
        """See ports.BudgetStore."""
        with self._writing() as connection:
            connection.executemany(
                "UPDATE budget_payment SET charged = 1 WHERE payment_hash = ?",
                [(packed_hash(name),) for name in payment_hashes],
            )


def _reservation(connection: sqlite3.Connection, row: tuple[Any, ...]) -> Reservation:
    job_id, spender, opened_s, reserved_msat = row
    if not (
        isinstance(spender, str)
        and isinstance(opened_s, float)
        and isinstance(reserved_msat, int)
        and reserved_msat > 0
    ):
        raise _Unreadable(f"the reservation of job {job_id} in the database cannot be read")
    return Reservation(job_id, spender, opened_s, reserved_msat, sum(_costs(connection, job_id)))


def _costs(connection: sqlite3.Connection, job_id: str) -> list[int]:
    return [_payment(row).cost_msat for row in connection.execute(_OF_JOB, (job_id,))]


def _payment(row: tuple[Any, ...]) -> SelfPayment:
    payment_hash, *rest = row
    payment = SelfPayment(str(hash_of(payment_hash)), *rest)
    numbers = (payment.completed_s, payment.amount_msat, payment.cost_msat)
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise _Unreadable(f"payment {payment.payment_hash} in the database cannot be read")
    return payment
