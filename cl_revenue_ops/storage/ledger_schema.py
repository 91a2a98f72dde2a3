"""The sixth schema: entries of the ledger with their postings packed, and totals beside them."""

from __future__ import annotations

LEDGER = (
    "CREATE TABLE ledger_account (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    # Kinds and sources: a handful.
    "CREATE TABLE ledger_word (id INTEGER PRIMARY KEY, word TEXT NOT NULL UNIQUE)",
    # Hashes are kept as bytes, in `key` and `evidence` as well (ledger_rows.py says how).
    # `postings` are "account amount account amount ... account": the last amount is what makes
    # the sum zero.
    """CREATE TABLE ledger_entry (
        id INTEGER PRIMARY KEY,
        key NOT NULL UNIQUE,
        at_s INTEGER NOT NULL,
        kind_id INTEGER NOT NULL,
        source_id INTEGER NOT NULL,
        txid,
        payment_hash,
        postings TEXT NOT NULL,
        evidence NOT NULL)""",
    "CREATE INDEX ledger_entry_txid ON ledger_entry (txid) WHERE txid IS NOT NULL",
    # Eight bytes find a payment; what else begins with them is passed over.
    """CREATE INDEX ledger_entry_payment ON ledger_entry (substr(payment_hash, 1, 8))
        WHERE payment_hash IS NOT NULL""",
    """CREATE TABLE ledger_posting (
        account_id INTEGER NOT NULL,
        entry_id INTEGER NOT NULL,
        PRIMARY KEY (account_id, entry_id)) WITHOUT ROWID""",
    # Sums beyond 2^63 - 1 would silently become floats.
    """CREATE TABLE ledger_total (
        span INTEGER NOT NULL,
        start INTEGER NOT NULL,
        account_id INTEGER NOT NULL,
        amount_msat INTEGER NOT NULL CHECK (typeof(amount_msat) = 'integer'),
        PRIMARY KEY (span, start, account_id)) WITHOUT ROWID""",
    # What each transaction left in transit; no row where that is nothing.
    """CREATE TABLE ledger_transit (
        txid NOT NULL PRIMARY KEY,
        amount_msat INTEGER NOT NULL CHECK (typeof(amount_msat) = 'integer')) WITHOUT ROWID""",
    """CREATE TABLE ledger_routed (
        channel_id TEXT PRIMARY KEY,
        row_count INTEGER NOT NULL,
        credit_msat INTEGER NOT NULL CHECK (typeof(credit_msat) = 'integer'),
        debit_msat INTEGER NOT NULL CHECK (typeof(debit_msat) = 'integer'),
        early_row_count INTEGER NOT NULL,
        early_credit_msat INTEGER NOT NULL CHECK (typeof(early_credit_msat) = 'integer'),
        early_debit_msat INTEGER NOT NULL CHECK (typeof(early_debit_msat) = 'integer'))
        WITHOUT ROWID""",
    """CREATE TABLE ledger_state (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        next_chain INTEGER NOT NULL,
        next_channel INTEGER NOT NULL,
        split_s REAL,
        opened INTEGER NOT NULL,
        first_day INTEGER,
        last_day INTEGER)""",
    "INSERT INTO ledger_state (only, next_chain, next_channel, opened) VALUES (1, 1, 1, 0)",
)
