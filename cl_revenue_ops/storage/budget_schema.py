"""The ninth schema: what was promised to jobs, and what their payments cost."""

from __future__ import annotations

BUDGET = (
    """CREATE TABLE budget_reservation (
        job_id TEXT PRIMARY KEY,
        spender TEXT NOT NULL,
        opened_s REAL NOT NULL,
        reserved_msat INTEGER NOT NULL
            CHECK (typeof(reserved_msat) = 'integer' AND reserved_msat > 0),
        ended_s REAL,
        proof TEXT,
        CHECK ((ended_s IS NULL) = (proof IS NULL))) WITHOUT ROWID""",
    "CREATE INDEX budget_reservation_open ON budget_reservation (job_id) WHERE ended_s IS NULL",
    # `charged`: the ledger has the cost in the account for rebalances of ours.
    """CREATE TABLE budget_payment (
        payment_hash NOT NULL,
        part TEXT NOT NULL,
        job_id TEXT NOT NULL,
        completed_s INTEGER NOT NULL CHECK (typeof(completed_s) = 'integer'),
        amount_msat INTEGER NOT NULL
            CHECK (typeof(amount_msat) = 'integer' AND amount_msat >= 0),
        cost_msat INTEGER NOT NULL CHECK (typeof(cost_msat) = 'integer' AND cost_msat >= 0),
        charged INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (payment_hash, part)) WITHOUT ROWID""",
    "CREATE INDEX budget_payment_job ON budget_payment (job_id)",
    "CREATE INDEX budget_payment_time ON budget_payment (completed_s)",
    "CREATE INDEX budget_payment_open ON budget_payment (payment_hash) WHERE charged = 0",
)
