"""What a transaction adds to the sums beside the entries, and the sums of accounts over windows."""

from __future__ import annotations

import sqlite3
from collections import defaultdict

from cl_revenue_ops.domain.ledger.accounts import TRANSIT
from cl_revenue_ops.ports.ledger_store import AccountTotal
from cl_revenue_ops.storage.forward_schema import BLOCK_DAYS, LIFETIME
from cl_revenue_ops.storage.forward_totals import blocks_and_days
from cl_revenue_ops.storage.ledger_rows import Packed, packed_hash
from messages.books import Entry

DAY_S = 86_400

_ADD_TOTAL = (
    "INSERT INTO ledger_total (span, start, account_id, amount_msat) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (span, start, account_id)"
    " DO UPDATE SET amount_msat = amount_msat + excluded.amount_msat"
)
_ADD_TRANSIT = (
    "INSERT INTO ledger_transit (txid, amount_msat) VALUES (?, ?)"
    " ON CONFLICT (txid) DO UPDATE SET amount_msat = amount_msat + excluded.amount_msat"
)
_WIDEN = (
    "UPDATE ledger_state SET first_day = min(coalesce(first_day, ?1), ?1),"
    " last_day = max(coalesce(last_day, ?2), ?2)"
)
_READ = """
    SELECT name, total FROM (
        SELECT account_id, sum(amount_msat) AS total FROM (
            SELECT * FROM ledger_total WHERE span = ?1 AND start >= ?2 AND start < ?3
            UNION ALL SELECT * FROM ledger_total WHERE span = 1 AND start >= ?4 AND start < ?5
            UNION ALL SELECT * FROM ledger_total WHERE span = 1 AND start >= ?6 AND start < ?7)
        GROUP BY account_id HAVING total <> 0)
    JOIN ledger_account ON id = account_id ORDER BY name"""


class Sums:
    """What the new entries of one transaction add to totals by day and to sums in transit."""

    def __init__(self) -> None:
        self._days: dict[tuple[int, int], int] = defaultdict(int)
        self._transit: dict[Packed, int] = defaultdict(int)
        self._seen: set[int] = set()

    def count(self, entry: Entry, account_ids: dict[str, int]) -> None:
        """Add an entry's postings; its day counts even where it has none."""
        day = entry.at_s // DAY_S
        self._seen.add(day)
        txid = packed_hash(entry.txid)
        for account, amount_msat in entry.postings:
            self._days[day, account_ids[account]] += amount_msat
            if account == TRANSIT and txid is not None:
                self._transit[txid] += amount_msat

    def write(self, connection: sqlite3.Connection) -> None:
        """Move the sums, one statement for each that changes."""
        if not self._seen:
            return
        totals: dict[tuple[int, int, int], int] = defaultdict(int)
        for (day, account_id), amount_msat in self._days.items():
            totals[1, day, account_id] += amount_msat
            totals[BLOCK_DAYS, day // BLOCK_DAYS, account_id] += amount_msat
            totals[LIFETIME, 0, account_id] += amount_msat
        connection.executemany(
            _ADD_TOTAL, [(*key, totals[key]) for key in sorted(totals) if totals[key]]
        )
        connection.executemany(_ADD_TRANSIT, [row for row in self._transit.items() if row[1]])
        connection.executemany(
            "DELETE FROM ledger_transit WHERE txid = ? AND amount_msat = 0",
            [(txid,) for txid in self._transit],
        )
        connection.execute(_WIDEN, (min(self._seen), max(self._seen)))


def read_days(connection: sqlite3.Connection) -> tuple[int, int] | None:
    """The first and the last day with an entry."""
    first, last = connection.execute("SELECT first_day, last_day FROM ledger_state").fetchone()
    return None if first is None else (first, last)


def read_totals(
    connection: sqlite3.Connection, from_day: int, until_day: int | None
) -> tuple[AccountTotal, ...]:
    """Sums by account over days; accounts whose sum is nothing are left out."""
    days = read_days(connection)
    if days is None:
        return ()
    first, end = days[0], days[1] + 1
    begin = max(from_day, first)
    until = end if until_day is None else min(until_day, end)
    if begin >= until:
        return ()
    whole = (begin, until) == (first, end)
    spans = (LIFETIME, 0, 1, 0, 0, 0, 0) if whole else blocks_and_days(begin, until)
    return tuple(map(AccountTotal._make, connection.execute(_READ, spans)))
