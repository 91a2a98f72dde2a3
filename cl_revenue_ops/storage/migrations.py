"""The schema as a list of numbered steps, forward only, and the way a file takes them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from cl_revenue_ops.ports import StoreDamaged
from cl_revenue_ops.storage.budget_schema import BUDGET
from cl_revenue_ops.storage.errors import as_port_error
from cl_revenue_ops.storage.forward_schema import COMPACT_FORWARDS
from cl_revenue_ops.storage.inspection import APPLICATION_ID, beside
from cl_revenue_ops.storage.ledger_schema import LEDGER
from cl_revenue_ops.storage.rebalance_schema import REBALANCES


class Migration(NamedTuple):
    """One step: after its statements the schema has this number."""

    number: int
    what: str
    statements: tuple[str, ...]


_SETTINGS = (
    """CREATE TABLE settings_state (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        version INTEGER NOT NULL,
        root_seed TEXT)""",
    "INSERT INTO settings_state (only, version) VALUES (1, 0)",
    """CREATE TABLE settings_override (
        position INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        value TEXT NOT NULL,
        replaced TEXT NOT NULL)""",
)

_CHANNELS = (
    """CREATE TABLE channel (
        channel_id TEXT PRIMARY KEY,
        peer_id TEXT NOT NULL,
        first_seen_s REAL NOT NULL,
        closed INTEGER NOT NULL,
        fact TEXT NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE channel_scid (
        channel_id TEXT NOT NULL REFERENCES channel (channel_id),
        position INTEGER NOT NULL,
        scid TEXT NOT NULL,
        PRIMARY KEY (channel_id, position)) WITHOUT ROWID""",
)

_FORWARDS = (
    """CREATE TABLE forward_log (
        seq INTEGER PRIMARY KEY,
        in_scid TEXT NOT NULL,
        in_htlc_id INTEGER NOT NULL,
        out_scid TEXT,
        in_msat INTEGER NOT NULL,
        out_msat INTEGER,
        fee_msat INTEGER,
        status TEXT NOT NULL,
        received_at_s REAL NOT NULL,
        resolved_at_s REAL,
        failcode INTEGER,
        created_index INTEGER)""",
    "CREATE UNIQUE INDEX forward_log_key ON forward_log (in_scid, in_htlc_id)",
    """CREATE TABLE forward_open (
        in_scid TEXT NOT NULL,
        in_htlc_id INTEGER NOT NULL,
        out_scid TEXT,
        in_msat INTEGER NOT NULL,
        out_msat INTEGER,
        fee_msat INTEGER,
        status TEXT NOT NULL,
        received_at_s REAL NOT NULL,
        resolved_at_s REAL,
        failcode INTEGER,
        created_index INTEGER,
        updated_index INTEGER,
        PRIMARY KEY (in_scid, in_htlc_id)) WITHOUT ROWID""",
    """CREATE TABLE forward_state (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        next_created INTEGER NOT NULL,
        next_updated INTEGER NOT NULL,
        settled INTEGER NOT NULL,
        volume_msat INTEGER NOT NULL,
        fees_msat INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        offered INTEGER NOT NULL,
        log_seq INTEGER NOT NULL,
        caught_up_once INTEGER NOT NULL)""",
    "INSERT INTO forward_state VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0, 0)",
)

_FLOW = (
    """CREATE TABLE flow_header (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        cursor_seq INTEGER NOT NULL,
        header TEXT NOT NULL)""",
    "CREATE TABLE flow_state (channel_id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID",
)

_FEES = (
    """CREATE TABLE fee_header (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        header TEXT NOT NULL)""",
    "CREATE TABLE fee_state (channel_id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE fee_decision (
        id INTEGER PRIMARY KEY,
        channel_id TEXT NOT NULL,
        at_s REAL NOT NULL,
        action TEXT NOT NULL,
        code TEXT NOT NULL,
        old_ppm INTEGER,
        new_ppm INTEGER,
        by_hand INTEGER NOT NULL,
        body TEXT NOT NULL,
        last_at_s REAL NOT NULL,
        repeats INTEGER NOT NULL,
        outcome TEXT)""",
    "CREATE INDEX fee_decision_by_channel ON fee_decision (channel_id)",
    "CREATE INDEX fee_decision_by_time ON fee_decision (last_at_s)",
    "CREATE INDEX fee_decision_idle ON fee_decision (last_at_s) WHERE action = 'none'",
    "CREATE INDEX fee_decision_set ON fee_decision (last_at_s) WHERE outcome = 'set'",
)

_DEMAND = (
    "CREATE TABLE fee_demand (peer_id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID",
    # Decisions are let go by age alone, whatever they did.
    "DROP INDEX fee_decision_idle",
)

_POLICIES = (
    "CREATE TABLE policy (peer_id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE policy_change (
        seq INTEGER PRIMARY KEY,
        stamp_s INTEGER NOT NULL,
        at_s REAL NOT NULL,
        peer_id TEXT NOT NULL,
        what TEXT NOT NULL,
        body TEXT)""",
    """CREATE TABLE policy_sync (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        number INTEGER NOT NULL)""",
    """CREATE TABLE policy_idle (
        channel_id TEXT PRIMARY KEY,
        settled_out INTEGER NOT NULL,
        observed_s REAL NOT NULL) WITHOUT ROWID""",
)

_BOSS = (
    """CREATE TABLE boss_claim (
        peer_id TEXT NOT NULL,
        tag TEXT NOT NULL,
        told_s REAL,
        PRIMARY KEY (peer_id, tag)) WITHOUT ROWID""",
    """CREATE TABLE boss_order (
        peer_id TEXT PRIMARY KEY,
        reason TEXT NOT NULL,
        since_s REAL NOT NULL,
        tags TEXT NOT NULL) WITHOUT ROWID""",
)

_REPORTS = (
    """CREATE TABLE daily_snapshot (
        day INTEGER PRIMARY KEY,
        read_s REAL NOT NULL,
        flows TEXT NOT NULL,
        balances TEXT)""",
    """CREATE TABLE closed_channel (
        channel_id TEXT PRIMARY KEY,
        seen_s REAL,
        mutual INTEGER,
        archived_s REAL,
        body TEXT) WITHOUT ROWID""",
)

_IMPORTED = (
    """CREATE TABLE imported_channel (
        scid TEXT PRIMARY KEY,
        channel_id TEXT,
        peer_id TEXT,
        capacity_msat INTEGER,
        opened_at_s INTEGER,
        closed_at_s INTEGER,
        close_type TEXT,
        figures TEXT NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE imported_fee_change (
        number INTEGER PRIMARY KEY,
        earlier_id INTEGER NOT NULL,
        scid TEXT NOT NULL,
        peer_id TEXT,
        at_s INTEGER NOT NULL,
        old_ppm INTEGER,
        new_ppm INTEGER,
        by_hand INTEGER NOT NULL,
        reason TEXT NOT NULL,
        UNIQUE (scid, at_s, earlier_id))""",
    "CREATE TABLE imported_policy (peer_id TEXT PRIMARY KEY, done INTEGER NOT NULL) WITHOUT ROWID",
)

MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        1,
        "settings, channels, forwards, flow and fees",
        (*_SETTINGS, *_CHANNELS, *_FORWARDS, *_FLOW, *_FEES),
    ),
    Migration(2, "what was learned of demand", _DEMAND),
    Migration(3, "policies, their changes, idle channels", _POLICIES),
    Migration(4, "what CLBoss was told", _BOSS),
    Migration(5, "compact forwards and their totals", COMPACT_FORWARDS),
    Migration(6, "the ledger", LEDGER),
    Migration(7, "snapshots of days, the archive of closed channels", _REPORTS),
    Migration(8, "what was imported", _IMPORTED),
    Migration(9, "the budget", BUDGET),
    Migration(10, "rebalances and what was learned of them", REBALANCES),
    Migration(11, "policies reach the disk with the log", ("DROP TABLE policy_sync",)),
)


def newest(migrations: Sequence[Migration]) -> int:
    """The schema number that these steps lead to."""
    return migrations[-1].number


def schema_of(connection: sqlite3.Connection) -> int:
    """The number of the schema that this file has."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration], path: Path) -> None:
    """Take the steps that this file has not taken, each in its own transaction.

    The number is stamped in the transaction of its step, so a step that fails leaves the schema
    before it, as soon as the caller closes the connection. Raises Unavailable (disk full, ...)
    or StoreDamaged, which names the step.
    """
    for step in migrations:
        if step.number > schema_of(connection):
            _take(connection, step, path)


def create(path: Path, node_id: str, network: str, migrations: Sequence[Migration]) -> None:
    """Make a stamped, empty database at `path`, complete or not at all.

    It is built under another name and renamed, so that no kill leaves a file without a stamp,
    which the next start would have to take for a stranger's. Raises as `migrate` and OSError.
    """
    draft = beside(path, ".new")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    try:
        with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(
                "CREATE TABLE stamp (only INTEGER PRIMARY KEY CHECK (only = 1),"
                " node_id TEXT NOT NULL, network TEXT NOT NULL)"
            )
            connection.execute("INSERT INTO stamp VALUES (1, ?, ?)", (node_id, network))
            migrate(connection, migrations, path)
            connection.execute("PRAGMA journal_mode = WAL")
        publish(draft, path)
    finally:
        for leftover in (draft, beside(draft, "-journal"), beside(draft, "-wal")):
            leftover.unlink(missing_ok=True)


def publish(draft: Path, path: Path) -> None:
    """Give a finished file its name, surely on the disk when this returns; raises OSError."""
    sync(draft)
    draft.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Write a file or a folder through to the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _take(connection: sqlite3.Connection, step: Migration, path: Path) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        for statement in step.statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {step.number}")
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        failure = as_port_error(error, path)
        if failure is not None:
            raise failure from error
        raise StoreDamaged(
            f"database {path} could not be brought to schema {step.number} ({step.what}): {error}"
        ) from error
