"""A process that takes forwards in for ever, to be killed: `python -m ... <folder> <first>`."""

from __future__ import annotations

import sys
from pathlib import Path

from cl_revenue_ops.storage.flow_store import SqliteFlowStore
from cl_revenue_ops.storage.forward_store import SqliteForwardStore
from tests.unit.storage_support import RevocableLease, forwards, opened

PAGE = 200


def main(folder: Path) -> None:
    """Hint, page, analysis, and again; says how far it has come."""
    with opened(folder) as it:
        store = SqliteForwardStore(it, RevocableLease())
        flow = SqliteFlowStore(it, RevocableLease())
        cursor, _, states = flow.load()
        total = int(states.get("total", "0"))
        while True:
            first = store.load().next_created
            store.ingest(forwards(first, PAGE // 2, "offered"), authoritative=False)
            store.ingest(forwards(first, 5), authoritative=False)
            store.ingest(forwards(first, PAGE), authoritative=True, next_created=first + PAGE)
            page = store.read_log(cursor, PAGE, 0.0)
            total += sum(row.fee_msat or 0 for row in page.rows)
            cursor = page.next_seq
            flow.save(cursor, "header", {"total": str(total)})
            print(first, flush=True)  # noqa: T201  # the parent reads it


if __name__ == "__main__":
    main(Path(sys.argv[1]))
