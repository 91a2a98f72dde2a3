"""Databases as the earlier plugin of this name would have left them, made from its schema."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from cl_revenue_ops.domain.earlier.schema import COLUMNS

Rows = Mapping[str, Sequence[Mapping[str, Any]]]

KEYS = {
    "daily_forwarding_stats": ("channel_id", "date"),
    "clboss_unmanaged": ("peer_id", "tag"),
    **dict.fromkeys(
        ("fee_changes", "forwards", "flow_history", "lifetime_aggregates", "splice_costs"), ("id",)
    ),
    **dict.fromkeys(
        ("mempool_fee_history", "peer_connection_history", "rebalance_costs", "rebalance_history"),
        ("id",),
    ),
}


def make(
    path: Path,
    rows: Rows | None = None,
    *,
    without: Mapping[str, Sequence[str]] | None = None,
    more: Mapping[str, Sequence[str]] | None = None,
    no_tables: Sequence[str] = (),
    wal: bool = True,
) -> Path:
    """Write a database with these rows; `without` lacks columns, `more` has some of its own."""
    with closing(sqlite3.connect(path)) as db:
        if wal:
            db.execute("PRAGMA journal_mode = WAL")
        for table, known in COLUMNS.items():
            if table in no_tables:
                continue
            lacking = (without or {}).get(table, ())
            columns = [*(c for c in known if c not in lacking), *(more or {}).get(table, ())]
            key = [k for k in KEYS.get(table, (known[0],)) if k in columns]
            types = [f"{c} INTEGER" if key == ["id"] and c == "id" else c for c in columns]
            primary = f", PRIMARY KEY ({', '.join(key)})" if key else ""
            db.execute(f"CREATE TABLE {table} ({', '.join(types)}{primary})")
        for table, added in (more or {}).items():
            if table not in COLUMNS:
                db.execute(f"CREATE TABLE {table} ({', '.join(added)})")
        for table, found in (rows or {}).items():
            for row in found:
                names, marks = ", ".join(row), ", ".join("?" * len(row))
                db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))
        db.commit()
    return path


def everything(path: Path) -> dict[str, Any]:
    """All bytes of a file and of whatever lies beside it."""
    return {
        file.name: (file.read_bytes(), file.stat().st_mtime_ns)
        for file in sorted(path.parent.iterdir())
        if file.name.startswith(path.name)
    }
