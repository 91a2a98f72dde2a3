"""The ledger's repository: entries booked once each, and their totals, routed sums, cursors."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from cl_revenue_ops.ports import AccountTotal, Lease, LedgerState
from cl_revenue_ops.storage.database import Database
from cl_revenue_ops.storage.ledger_rows import (
    hash_of,
    known_hashes,
    packed,
    packed_evidence,
    packed_hash,
    packed_postings,
    unpacked,
    unpacked_evidence,
    unpacked_postings,
)
from cl_revenue_ops.storage.ledger_totals import Sums, read_days, read_totals
from cl_revenue_ops.storage.repository import Repository
from messages.books import Entry, EntryPage
from messages.node_books import RoutedSum

# A longer page is cut; a longer run of entries out of the window is passed over in several calls.
MOST_ROWS = 10_000
MOST_SCANNED = 20_000
MOST_KNOWN = 50_000

_COLUMNS = "id, key, at_s, kind_id, source_id, txid, payment_hash, postings, evidence"
_BOOK = f"INSERT INTO ledger_entry ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_POST = "INSERT OR IGNORE INTO ledger_posting (account_id, entry_id) VALUES (?, ?)"
_STATE = "next_chain, next_channel, split_s, opened"
_SET_STATE = "UPDATE ledger_state SET next_chain = ?, next_channel = ?, split_s = ?, opened = ?"
_ROUTED = (
    "channel_id, row_count, credit_msat, debit_msat,"
    " early_row_count, early_credit_msat, early_debit_msat"
)
_ADD_ROUTED = f"""
    INSERT INTO ledger_routed ({_ROUTED}) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (channel_id) DO UPDATE SET
        row_count = row_count + excluded.row_count,
        credit_msat = credit_msat + excluded.credit_msat,
        debit_msat = debit_msat + excluded.debit_msat,
        early_row_count = early_row_count + excluded.early_row_count,
        early_credit_msat = early_credit_msat + excluded.early_credit_msat,
        early_debit_msat = early_debit_msat + excluded.early_debit_msat"""
_PAGE = f"""
    SELECT {_COLUMNS} FROM ledger_entry
    WHERE id > ? AND id <= ? AND at_s >= ? AND at_s < ? ORDER BY id LIMIT ?"""
_OF_TRANSACTION = f"SELECT {_COLUMNS} FROM ledger_entry WHERE txid = ? ORDER BY id"
_OF_PAYMENT = f"""
    SELECT {_COLUMNS} FROM ledger_entry WHERE substr(payment_hash, 1, 8) = substr(?1, 1, 8)
    AND payment_hash = ?1 AND payment_hash IS NOT NULL ORDER BY id"""
_OF_ACCOUNTS = f"""
    SELECT {_COLUMNS} FROM ledger_entry WHERE id IN (
        SELECT DISTINCT entry_id FROM ledger_posting WHERE account_id IN (
            SELECT id FROM ledger_account WHERE name >= ? AND name < ?)
        ORDER BY entry_id DESC LIMIT ?)
    ORDER BY id DESC"""
_LAST_CHARACTER = "\U0010ffff"
_NEVER_S = _MOST_MSAT = 2**63 - 1


class SqliteLedgerStore(Repository):
    """Implements ports.LedgerStore.

    An amount, a time or a sum of an account beyond 2^63 - 1 raises ValueError and changes
    nothing; in msat that is four times all bitcoin there will ever be.
    """

    def __init__(self, database: Database, lease: Lease) -> None:
        super().__init__(database, lease)
        self._account_ids: dict[str, int] = {}

    def load(self) -> LedgerState:
        """See ports.LedgerStore."""
        with self._reading() as connection:
            row = connection.execute(f"SELECT {_STATE} FROM ledger_state").fetchone()
        return LedgerState._make(row)._replace(opened=bool(row[3]))

    def book(
        self,
        entries: Sequence[Entry],
        *,
        state: LedgerState | None = None,
        routed: Sequence[RoutedSum] = (),
    ) -> int:
        """See ports.LedgerStore."""
        for entry in entries:
            _require_balance(entry)
        try:
            with self._writing() as connection:
                numbers = _Numbers(connection, self._account_ids)
                booked = _book(connection, entries, numbers)
                connection.executemany(_ADD_ROUTED, routed)
                if state is not None:
                    connection.execute(_SET_STATE, state)
        except (OverflowError, sqlite3.IntegrityError) as error:
            raise ValueError(f"an entry that cannot be stored: {error}") from error
        if len(self._account_ids) > MOST_KNOWN:
            self._account_ids.clear()
        self._account_ids.update(numbers.fresh)
        return booked

    def totals(self, from_day: int, until_day: int | None) -> tuple[AccountTotal, ...]:
        """See ports.LedgerStore; accounts in order, those whose sum is nothing are left out."""
        with self._reading() as connection:
            return read_totals(connection, from_day, until_day)

    def known(self, keys: Sequence[str]) -> frozenset[str]:
        """See ports.LedgerStore."""
        query = "SELECT 1 FROM ledger_entry WHERE key = ?"
        with self._reading() as connection:
            found = [key for key in keys if connection.execute(query, (packed(key),)).fetchone()]
        return frozenset(found)

    def newest(self) -> int:
        """See ports.LedgerStore."""
        with self._reading() as connection:
            return _newest(connection)

    def days(self) -> tuple[int, int] | None:
        """See ports.LedgerStore; an entry without postings counts."""
        with self._reading() as connection:
            return read_days(connection)

    def routed(self) -> tuple[RoutedSum, ...]:
        """See ports.LedgerStore."""
        with self._reading() as connection:
            found = connection.execute(f"SELECT {_ROUTED} FROM ledger_routed ORDER BY channel_id")
            return tuple(map(RoutedSum._make, found))

    def of_transaction(self, txid: str) -> tuple[Entry, ...]:
        """See ports.LedgerStore."""
        return tuple(entry for _, entry in self._read(_OF_TRANSACTION, (packed_hash(txid),)))

    def of_payment(self, payment_hash: str) -> tuple[Entry, ...]:
        """See ports.LedgerStore."""
        return tuple(entry for _, entry in self._read(_OF_PAYMENT, (packed_hash(payment_hash),)))

    def open_transactions(self) -> tuple[str, ...]:
        """See ports.LedgerStore."""
        with self._reading() as connection:
            found = connection.execute("SELECT txid FROM ledger_transit ORDER BY txid").fetchall()
        return tuple(str(hash_of(txid)) for (txid,) in found)

    def page(self, after: int, limit: int, from_s: float, until_s: float | None) -> EntryPage:
        """See ports.LedgerStore. `limit` is cut to 10,000.

        One call looks at 20,000 entries at most, so a page may be empty and yet not the last: the
        cursor has moved past entries out of the window.
        """
        if limit < 1:
            raise ValueError(f"limit {limit} is below 1")
        limit = min(limit, MOST_ROWS)
        with self._reading() as connection:
            newest = _newest(connection)
        reach = min(after + MOST_SCANNED, newest)
        end_s = _NEVER_S if until_s is None else until_s
        rows = self._read(_PAGE, (after, reach, from_s, end_s, limit))
        next_after = rows[-1][0] if len(rows) == limit else max(reach, after)
        return EntryPage(tuple(rows), next_after, next_after >= newest)

    def of_accounts(self, prefix: str, limit: int) -> tuple[tuple[int, Entry], ...]:
        """See ports.LedgerStore; the newest comes first."""
        return tuple(self._read(_OF_ACCOUNTS, (prefix, prefix + _LAST_CHARACTER, limit)))

    def _read(self, query: str, parameters: tuple[Any, ...]) -> list[tuple[int, Entry]]:
        with self._reading() as connection:
            rows = connection.execute(query, parameters).fetchall()
            words = dict(connection.execute("SELECT id, word FROM ledger_word"))
            ids = {number for row in rows for number, _ in unpacked_postings(row[7])}
            names = {number: _name(connection, number) for number in sorted(ids)}
        return [(row[0], _entry(row, words, names)) for row in rows]


class _Numbers:
    """The numbers of accounts and words within one transaction, made where there are none.

    What is found here may be kept (`fresh`) after the commit alone.
    """

    def __init__(self, connection: sqlite3.Connection, known: dict[str, int]) -> None:
        self._connection = connection
        self._known = known
        self.fresh: dict[str, int] = {}
        self._words: dict[str, int] = dict(
            connection.execute("SELECT word, id FROM ledger_word").fetchall()
        )

    def account(self, name: str) -> int:
        found = self._known.get(name) or self.fresh.get(name)
        if found is None:
            found = self._number("ledger_account", "name", name)
            self.fresh[name] = found
        return found

    def word(self, word: str) -> int:
        found = self._words.get(word)
        if found is None:
            self._words[word] = found = self._number("ledger_word", "word", word)
        return found

    def _number(self, table: str, column: str, text: str) -> int:
        query = f"SELECT id FROM {table} WHERE {column} = ?"
        row = self._connection.execute(query, (text,)).fetchone()
        if row is not None:
            return int(row[0])
        made = self._connection.execute(f"INSERT INTO {table} ({column}) VALUES (?)", (text,))
        assert made.lastrowid is not None
        return made.lastrowid


def _require_balance(entry: Entry) -> None:
    over_msat = sum(amount_msat for _, amount_msat in entry.postings)
    if over_msat:
        raise ValueError(f"entry {entry.key} does not sum to zero: {over_msat} msat")
    if any(abs(amount_msat) > _MOST_MSAT for _, amount_msat in entry.postings):
        raise ValueError(f"entry {entry.key} has an amount that cannot be stored")


def _book(connection: sqlite3.Connection, entries: Sequence[Entry], numbers: _Numbers) -> int:
    """Insert what is new, with its totals; returns how many."""
    newest = _newest(connection)
    sums = Sums()
    booked = 0
    for entry in entries:
        key = packed(entry.key)
        if connection.execute("SELECT 1 FROM ledger_entry WHERE key = ?", (key,)).fetchone():
            continue
        booked += 1
        ids = {account: numbers.account(account) for account, _ in entry.postings}
        known = known_hashes(entry.txid, entry.payment_hash, list(ids))
        row = (
            newest + booked,
            key,
            entry.at_s,
            numbers.word(entry.kind),
            numbers.word(entry.source),
            packed_hash(entry.txid),
            packed_hash(entry.payment_hash),
            packed_postings([(ids[account], msat) for account, msat in entry.postings]),
            packed_evidence(entry.evidence, known),
        )
        connection.execute(_BOOK, row)
        connection.executemany(_POST, [(number, newest + booked) for number in ids.values()])
        sums.count(entry, ids)
    sums.write(connection)
    return booked


def _newest(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT coalesce(max(id), 0) FROM ledger_entry").fetchone()
    return int(row[0])


def _name(connection: sqlite3.Connection, number: int) -> str:
    row = connection.execute("SELECT name FROM ledger_account WHERE id = ?", (number,)).fetchone()
    return str(row[0])


def _entry(row: tuple[Any, ...], words: dict[int, str], names: dict[int, str]) -> Entry:
    _, key, at_s, kind_id, source_id, txid, payment_hash, postings, evidence = row
    posted = tuple((names[number], msat) for number, msat in unpacked_postings(postings))
    txid, payment_hash = hash_of(txid), hash_of(payment_hash)
    known = known_hashes(txid, payment_hash, list(dict.fromkeys(name for name, _ in posted)))
    return Entry(
        unpacked(key),
        at_s,
        words[kind_id],
        words[source_id],
        unpacked_evidence(evidence, known),
        posted,
        txid=txid,
        payment_hash=payment_hash,
    )
