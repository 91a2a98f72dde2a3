"""A file of the fourth schema: its forwards come over exactly, with totals, all or not at all."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.ports import StoreDamaged
from cl_revenue_ops.storage.forward_store import SqliteForwardStore
from cl_revenue_ops.storage.migrations import MIGRATIONS, Migration
from messages.forwards import FAILED, LOCAL_FAILED, OFFERED, SETTLED, Forward
from tests.unit.forward_books import any_forwards, require_books, require_rebuilt
from tests.unit.storage_support import (
    NETWORK,
    NODE,
    RevocableLease,
    database,
    forward,
    log_of,
    opened,
    require_consistent,
)

FOURTH, FIFTH = MIGRATIONS[:4], MIGRATIONS[:5]
TOP = 2**63 - 1

ODD = [
    forward(1),
    forward(2, FAILED, out_scid=None, out_msat=None, fee_msat=None, failcode=None),
    forward(3, LOCAL_FAILED, resolved_at_s=None, failcode=16_394, out_scid="99x1x1"),
    forward(4, LOCAL_FAILED, resolved_at_s=None, failcode=16_394, out_scid=None),
    forward(5, SETTLED, failcode=16_394),
    forward(6, SETTLED, out_msat=7, fee_msat=999),
    forward(7, SETTLED, out_msat=None, fee_msat=12),
    forward(8, SETTLED, out_msat=12, fee_msat=None),
    forward(9, SETTLED, out_scid=None, out_msat=None, fee_msat=None),
    forward(10, FAILED, in_msat=TOP, out_msat=TOP - 3, fee_msat=3, created_index=TOP),
    forward(11, FAILED, in_htlc_id=TOP, out_msat=0, fee_msat=TOP, in_msat=TOP),
    forward(12, in_msat=0, out_msat=0, fee_msat=0, received_at_s=0.0, resolved_at_s=0.1),
    forward(13, received_at_s=1_700_000_000.123456789, resolved_at_s=1_700_000_000.9999998),
    forward(
        14, out_scid="100x0x0", created_index=None, received_at_s=9.9e10, resolved_at_s=9.99e10
    ),
]


def write_fourth(folder: Path, rows: list[Forward]) -> Path:
    """A file as the former version wrote it, with these forwards resolved in this order."""
    with opened(folder, migrations=FOURTH) as base:
        path = base.place().path
    with closing(sqlite3.connect(path)) as connection:
        connection.executemany(
            "INSERT INTO forward_log (in_scid, in_htlc_id, out_scid, in_msat, out_msat, fee_msat,"
            " status, received_at_s, resolved_at_s, failcode, created_index)"
            " VALUES (?,?,?,?,?,?,?,?,?,?,?)",
            [row[:11] for row in rows],
        )
        settled = [row for row in rows if row.status == SETTLED]
        connection.execute(
            "UPDATE forward_state SET next_created = 77, next_updated = 8, settled = ?,"
            " volume_msat = ?, fees_msat = ?, failed = ?, offered = 1, log_seq = ?,"
            " caught_up_once = 1",
            (
                len(settled),
                sum(row.out_msat or 0 for row in settled),
                sum(row.fee_msat or 0 for row in settled),
                len(rows) - len(settled),
                len(rows),
            ),
        )
        connection.execute(
            "INSERT INTO forward_open VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", forward(500, OFFERED)
        )
        connection.commit()
    return path


def everything(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All tables of a file."""
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {
            name: connection.execute(f"SELECT * FROM {name}").fetchall()
            for (name,) in names.fetchall()
        }


def require_carried_over(folder: Path, rows: list[Forward]) -> None:
    path = write_fourth(folder, rows)
    before = log_of(path)
    with opened(folder, migrations=FIFTH) as base:
        store = SqliteForwardStore(base, RevocableLease())
        assert log_of(path) == before
        state = store.load()
        require_consistent(path, state)
        assert (state.next_created, state.next_updated, state.caught_up_once) == (77, 8, True)
        assert store.open_forwards(9) == (forward(500, OFFERED),)
        require_books(store, path, rows)
        require_rebuilt(path)
        begins_s = store.earnings(0, 0.0, 0.0, 0.0).begins_s
        assert begins_s == (rows[0].received_at_s if rows else None)
        # All of it is known again, and the log goes on where it stood.
        assert store.ingest(rows, authoritative=True) == state
        assert store.ingest([forward(500)], authoritative=True).log_seq == len(rows) + 1
        assert log_of(path)[:-1] == before


def test_odd_rows_come_over_exactly(tmp_path: Path) -> None:
    require_carried_over(tmp_path, ODD)


def test_a_file_without_a_forward_is_brought_up_as_well(tmp_path: Path) -> None:
    require_carried_over(tmp_path, [])


@given(st.lists(any_forwards(most_htlcs=2**40), max_size=40, unique_by=lambda row: row[:2]))
@settings(max_examples=40, deadline=None)
def test_any_rows_come_over_exactly(rows: list[Forward]) -> None:
    with tempfile.TemporaryDirectory() as name:
        require_carried_over(Path(name), rows)


def test_numbers_of_rows_stay_what_they_were(tmp_path: Path) -> None:
    path = write_fourth(tmp_path, ODD)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM forward_log WHERE seq IN (1, 4, 5)")
        connection.commit()
    before = log_of(path)
    with opened(tmp_path, migrations=FIFTH) as base:
        assert log_of(path) == before
        store = SqliteForwardStore(base, RevocableLease())
        assert store.ingest([forward(500)], authoritative=True).log_seq == len(ODD) + 1


def test_a_kept_copy_has_the_former_schema(tmp_path: Path) -> None:
    path = write_fourth(tmp_path, ODD)
    before = everything(path)
    with opened(tmp_path, migrations=FIFTH):
        pass
    assert everything(tmp_path / "revenue_ops.db.schema-4") == before


@pytest.mark.parametrize("statements", range(1, len(MIGRATIONS[4].statements)))
def test_a_step_that_stops_halfway_leaves_the_file_as_it_was(
    tmp_path: Path, statements: int
) -> None:
    path = write_fourth(tmp_path, ODD)
    before = everything(path)
    torn = Migration(5, "torn", (*MIGRATIONS[4].statements[:statements], "OOPS"))
    with pytest.raises(StoreDamaged, match="schema 5"):
        database(tmp_path, migrations=(*FOURTH, torn)).open(NODE, NETWORK)
    assert everything(path) == before
    with opened(tmp_path, migrations=FIFTH):
        assert [row[1:] for row in log_of(path)] == [row[:11] for row in ODD]
