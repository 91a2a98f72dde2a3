"""Backups that are whole or not there, the check of the file, and what is said of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cl_revenue_ops.ports import StaleGeneration, StoreDamaged, Unavailable
from cl_revenue_ops.storage.care_store import SqliteCareStore
from cl_revenue_ops.storage.database import Database
from cl_revenue_ops.storage.forward_store import SqliteForwardStore
from cl_revenue_ops.storage.migrations import MIGRATIONS, newest
from tests.unit.storage_support import (
    RevocableLease,
    SetClock,
    forwards,
    opened,
    snapshot,
)

ENOUGH_FOR_SEVERAL_STEPS = 20_000


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path) as it:
        yield it


@pytest.fixture
def clock() -> SetClock:
    return SetClock(1_600_000_000.5)


@pytest.fixture
def care(base: Database, clock: SetClock) -> SqliteCareStore:
    return SqliteCareStore(base, RevocableLease(), clock)


def restored(folder: Path, backup: str) -> tuple[int, int, int]:
    """(rows of the log, its newest seq, the total of fees) of a backup put into service."""
    folder.mkdir()
    (folder / "revenue_ops.db").write_bytes(Path(backup).read_bytes())
    with opened(folder) as it:
        store = SqliteForwardStore(it, RevocableLease())
        state = store.load()
        rows, cursor = 0, 0
        fees = 0
        while True:
            page = store.read_log(cursor, 5000, 0.0)
            rows += len(page.rows)
            fees += sum(row.fee_msat or 0 for row in page.rows)
            cursor = page.next_seq
            if page.last:
                break
        assert fees == state.fees_msat
        return rows, state.log_seq, fees


def test_a_backup_can_be_put_into_service(
    base: Database, care: SqliteCareStore, tmp_path: Path
) -> None:
    SqliteForwardStore(base, RevocableLease()).ingest(forwards(0, 500), authoritative=True)
    path = care.backup()
    assert path == str(base.place().path) + ".backup"
    assert Path(path).stat().st_mode & 0o777 == 0o600
    assert restored(tmp_path / "again", path)[:2] == (500, 500)


def test_the_time_of_the_last_backup_is_the_houses(care: SqliteCareStore, clock: SetClock) -> None:
    assert care.last_backup_s() is None
    care.backup()
    assert care.last_backup_s() == 1_600_000_000.5
    clock.now_s += 86_400
    care.backup()
    assert care.last_backup_s() == 1_600_086_400.5


def test_a_backup_under_writes_is_one_moment_of_the_file(
    base: Database, care: SqliteCareStore, tmp_path: Path
) -> None:
    store = SqliteForwardStore(base, RevocableLease())
    store.ingest(forwards(0, ENOUGH_FOR_SEVERAL_STEPS), authoritative=True)
    done = threading.Event()
    written: list[int] = []

    def write() -> None:
        mine = SqliteForwardStore(base, RevocableLease())
        number = 100_000
        while not done.is_set():
            mine.ingest(forwards(number, 20), authoritative=True)
            number += 20
            written.append(number)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        path = care.backup()
    finally:
        done.set()
        writer.join()
    assert written
    rows, newest, _ = restored(tmp_path / "again", path)
    assert rows == newest
    assert (rows - ENOUGH_FOR_SEVERAL_STEPS) % 20 == 0


def test_one_that_is_replaced_stops_its_backup_and_the_older_one_stays(
    base: Database, care: SqliteCareStore, clock: SetClock, tmp_path: Path
) -> None:
    SqliteForwardStore(base, RevocableLease()).ingest(
        forwards(0, ENOUGH_FOR_SEVERAL_STEPS), authoritative=True
    )
    older = Path(care.backup()).read_bytes()
    steps: list[int] = []
    lease = RevocableLease()

    def replaced_at_the_third_step() -> None:
        steps.append(1)
        if len(steps) == 3:
            lease.revoke()

    lease.on_effect = replaced_at_the_third_step
    clock.now_s += 1
    with pytest.raises(StaleGeneration):
        SqliteCareStore(base, lease, clock).backup()
    assert len(steps) == 3
    assert care.last_backup_s() == 1_600_000_000.5
    files = snapshot(tmp_path)
    assert files["revenue_ops.db.backup"] == older
    assert not [name for name in files if ".new" in name]


def test_a_file_of_somebody_else_is_not_overwritten(care: SqliteCareStore, tmp_path: Path) -> None:
    foreign = tmp_path / "revenue_ops.db.backup"
    foreign.write_text("my own copy of something dear")
    with pytest.raises(Unavailable, match="move it away"):
        care.backup()
    assert foreign.read_text() == "my own copy of something dear"


def test_a_damaged_file_does_not_replace_its_good_backup(
    base: Database, care: SqliteCareStore, tmp_path: Path
) -> None:
    SqliteForwardStore(base, RevocableLease()).ingest(
        forwards(0, ENOUGH_FOR_SEVERAL_STEPS), authoritative=True
    )
    assert care.check() is None
    good = Path(care.backup()).read_bytes()
    base.connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with base.place().path.open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"\xa5" * 50_000)
    fault = care.check()
    assert fault is not None
    assert "\n" not in fault
    with pytest.raises(StoreDamaged, match="damaged"):
        care.backup()
    assert (tmp_path / "revenue_ops.db.backup").read_bytes() == good


def test_the_facts_name_the_file(base: Database, care: SqliteCareStore) -> None:
    SqliteForwardStore(base, RevocableLease()).ingest(forwards(0, 50), authoritative=True)
    facts = dict(care.facts())
    assert facts.pop("size_bytes") == base.place().path.stat().st_size
    assert facts.pop("log_bytes") == Path(f"{base.place().path}-wal").stat().st_size > 0
    assert facts == {"path": str(base.place().path), "schema": newest(MIGRATIONS), "note": None}


def test_the_facts_tell_why_another_file_is_used(tmp_path: Path) -> None:
    (tmp_path / "revenue_ops.db").write_text("hello, this is no database, " * 10)
    with opened(tmp_path) as it:
        facts = SqliteCareStore(it, RevocableLease(), SetClock(0.0)).facts()
    assert "not a database" in str(facts["note"])
    assert facts["path"] == str(tmp_path / "revenue_ops_v3.db")
