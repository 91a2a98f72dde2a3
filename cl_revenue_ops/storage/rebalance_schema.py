"""The schema of rebalancing: its jobs, their payments, and what was learned of routes."""

from __future__ import annotations

REBALANCES = (
    # Numbers are never given twice: no row is ever deleted.
    """CREATE TABLE rebalance_job (
        number INTEGER PRIMARY KEY,
        state TEXT NOT NULL,
        begun_s REAL NOT NULL,
        source_channel_id TEXT NOT NULL,
        channel_id TEXT NOT NULL,
        scid TEXT NOT NULL,
        payment_msat INTEGER NOT NULL,
        baseline INTEGER NOT NULL,
        plan TEXT NOT NULL,
        ended_s REAL,
        outcome TEXT,
        moved_msat INTEGER NOT NULL CHECK (typeof(moved_msat) = 'integer'),
        cost_msat INTEGER NOT NULL CHECK (typeof(cost_msat) = 'integer'))""",
    "CREATE INDEX rebalance_job_open ON rebalance_job (number) WHERE ended_s IS NULL",
    "CREATE INDEX rebalance_job_begun ON rebalance_job (begun_s)",
    """CREATE TABLE rebalance_payment (
        payment_hash TEXT NOT NULL,
        part TEXT NOT NULL,
        number INTEGER NOT NULL,
        completed_s INTEGER NOT NULL,
        amount_msat INTEGER NOT NULL CHECK (typeof(amount_msat) = 'integer'),
        cost_msat INTEGER NOT NULL CHECK (typeof(cost_msat) = 'integer'),
        PRIMARY KEY (payment_hash, part)) WITHOUT ROWID""",
    "CREATE INDEX rebalance_payment_job ON rebalance_payment (number)",
    "CREATE TABLE rebalance_learned (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID",
)
