"""Transactions, turns and fences; what happens when the disk is full or the file is damaged."""

from __future__ import annotations

import resource
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from cl_revenue_ops.ports import StaleGeneration, StoreDamaged, Unavailable
from cl_revenue_ops.storage.database import Database
from cl_revenue_ops.storage.fair_lock import FairLock
from cl_revenue_ops.storage.flow_store import SqliteFlowStore
from cl_revenue_ops.storage.forward_store import SqliteForwardStore
from cl_revenue_ops.storage.migrations import MIGRATIONS, Migration, newest
from cl_revenue_ops.storage.settings_store import SqliteSettingsStore
from tests.unit.storage_support import (
    NETWORK,
    NODE,
    RevocableLease,
    database,
    forward,
    forwards,
    opened,
    snapshot,
)


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path) as it:
        yield it


def until(condition: Callable[[], bool]) -> None:
    """Wait for another thread; a test that would wait for ever fails by its own time limit."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("the other thread never came so far")


# -- turns ----------------------------------------------------------------------------------------


def test_writers_are_served_in_the_order_of_their_arrival() -> None:
    lock = FairLock()
    served: list[int] = []

    def write(number: int) -> None:
        assert lock.acquire(60.0)
        served.append(number)
        lock.release()

    assert lock.acquire(0.0)
    threads = []
    for number in range(6):
        threads.append(threading.Thread(target=write, args=(number,)))
        threads[-1].start()
        until(lambda: lock.waiting() == len(threads))
    lock.release()
    for thread in threads:
        thread.join()
    assert served == list(range(6))
    assert lock.acquire(0.0)


def test_a_turn_that_does_not_come_is_given_up_and_not_owed() -> None:
    lock = FairLock()
    got: list[bool] = []
    assert lock.acquire(0.0)
    thread = threading.Thread(target=lambda: got.append(lock.acquire(0.01)))
    thread.start()
    thread.join()
    assert got == [False]
    assert lock.waiting() == 0
    lock.release()
    assert lock.acquire(0.0)


def test_misuse_of_the_lock_is_an_error_and_no_deadlock() -> None:
    lock = FairLock()
    with pytest.raises(RuntimeError):
        lock.release()
    assert lock.acquire(0.0)
    with pytest.raises(RuntimeError):
        lock.acquire(60.0)


def test_many_threads_write_without_losing_anything(base: Database) -> None:
    def write(first: int) -> None:
        store = SqliteForwardStore(base, RevocableLease())
        for number in range(first, first + 40):
            store.ingest([forward(number)], authoritative=False)

    threads = [threading.Thread(target=write, args=(n * 1000,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    state = SqliteForwardStore(base, RevocableLease()).load()
    assert (state.settled, state.log_seq) == (240, 240)


# -- fences ---------------------------------------------------------------------------------------


def test_one_that_was_replaced_can_neither_read_nor_write(base: Database) -> None:
    lease = RevocableLease()
    store = SqliteFlowStore(base, lease)
    store.save(1, "h", {})
    lease.revoke()
    for act in (store.load, lambda: store.save(2, "x", {}), lambda: store.open(NODE, NETWORK)):
        with pytest.raises(StaleGeneration):
            act()
    assert SqliteFlowStore(base, RevocableLease()).load()[0] == 1


def test_one_that_is_replaced_during_its_transaction_cannot_commit(base: Database) -> None:
    lease = RevocableLease()
    SqliteFlowStore(base, lease).save(1, "h", {"a": "1"})
    lease.on_effect = lease.revoke
    with pytest.raises(StaleGeneration):
        SqliteFlowStore(base, lease).save(2, "x", {"a": "2"})
    successor = SqliteFlowStore(base, RevocableLease())
    assert successor.load() == (1, "h", {"a": "1"})
    successor.save(3, "y", {})  # nothing is left locked


def test_a_successor_opens_only_after_a_commit_under_way(tmp_path: Path) -> None:
    lock = FairLock()
    base = database(tmp_path, lock=lock)
    base.open(NODE, NETWORK)
    committing, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        committing.set()
        assert go_on.wait(60.0)

    loaded: list[object] = []

    def succeed() -> None:
        store = SqliteFlowStore(base, RevocableLease())
        store.open(NODE, NETWORK)
        loaded.append(store.load()[0])

    slow = SqliteFlowStore(base, RevocableLease(hold))
    predecessor = threading.Thread(target=lambda: slow.save(8, "h", {}))
    predecessor.start()
    assert committing.wait(60.0)
    successor = threading.Thread(target=succeed)
    successor.start()
    until(lambda: lock.waiting() == 1)
    assert loaded == []
    go_on.set()
    predecessor.join()
    successor.join()
    assert loaded == [8]
    base.close()


def test_a_programmers_error_rolls_back_and_leaves_the_next_writer_free(base: Database) -> None:
    store = SqliteFlowStore(base, RevocableLease())
    with pytest.raises(sqlite3.Error):
        store.save(1, "h", {"a": object()})  # type: ignore[dict-item]
    assert store.load() == (0, None, {})
    store.save(2, "h", {})


# -- the disk -------------------------------------------------------------------------------------


@contextmanager
def few_pages(base: Database) -> Iterator[None]:
    connection = base.connection()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 3}")
    try:
        yield
    finally:
        connection.execute("PRAGMA max_page_count = 1000000000")


@contextmanager
def small_files(base: Database) -> Iterator[None]:
    """The system refuses to let any file of this process grow, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = base.place().path.with_name(base.place().path.name + "-wal")
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 5000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("full", [few_pages, small_files])
def test_a_full_disk_is_unavailable_and_leaves_everything_as_it_was(
    base: Database, full: Callable[[Database], AbstractContextManager[None]]
) -> None:
    store = SqliteForwardStore(base, RevocableLease())
    before = store.ingest(forwards(0, 50), authoritative=True, next_created=51)
    with full(base):
        for _ in range(2):
            with pytest.raises(Unavailable):
                store.ingest(forwards(50, 4000), authoritative=True, next_created=4051)
            assert store.load() == before
    after = store.ingest(forwards(50, 4000), authoritative=True, next_created=4051)
    assert (after.log_seq, after.next_created) == (4050, 4051)
    assert len(store.read_log(0, 9000, 0.0).rows) == 4050


def test_another_program_that_holds_the_file_makes_it_unavailable(base: Database) -> None:
    store = SqliteFlowStore(base, RevocableLease())
    base.connection().execute("PRAGMA busy_timeout = 20")
    with closing(sqlite3.connect(base.place().path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            store.save(1, "h", {})
        assert store.load() == (0, None, {})
    store.save(1, "h", {})


def test_a_schema_that_lacks_a_table_is_damage(base: Database) -> None:
    with closing(sqlite3.connect(base.place().path)) as other:
        other.execute("DROP TABLE flow_state")
    with pytest.raises(StoreDamaged, match="flow_state"):
        SqliteFlowStore(base, RevocableLease()).load()


# -- damage ---------------------------------------------------------------------------------------


def garble(path: Path, start: int, length: int) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xa5" * length)


def filled(folder: Path) -> Path:
    with opened(folder) as it:
        SqliteForwardStore(it, RevocableLease()).ingest(forwards(0, 5000), authoritative=True)
        return it.place().path


def cut_in_half(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "middle": lambda path: garble(path, path.stat().st_size // 2, 20_000),
    "schema": lambda path: garble(path, 100, 3000),
    "first page": lambda path: garble(path, 0, 4096),
    "stamp": lambda path: garble(path, 4096, 4096),
    "cut": cut_in_half,
}


@pytest.mark.parametrize("name", ["middle", "schema", "stamp", "cut"])
def test_a_damaged_file_is_known_by_its_number_alone(tmp_path: Path, name: str) -> None:
    path = filled(tmp_path)
    (tmp_path / "revenue_ops.db.lock").unlink()
    DAMAGES[name](path)
    with pytest.raises(StoreDamaged, match="damaged"):
        database(tmp_path).open(NODE, NETWORK)


@pytest.mark.parametrize("configured", [None, "revenue_ops.db"])
@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_reported_and_not_touched(
    tmp_path: Path, name: str, configured: str | None
) -> None:
    path = filled(tmp_path)
    DAMAGES[name](path)
    before = snapshot(tmp_path)
    for _ in range(2):
        with pytest.raises(StoreDamaged) as report:
            database(tmp_path, configured).open(NODE, NETWORK)
        assert "damaged" in str(report.value)
        assert "\n" not in str(report.value)
    after = snapshot(tmp_path)
    assert after.keys() == before.keys()
    assert after["revenue_ops.db"] == before["revenue_ops.db"]


def test_damage_after_a_kill_does_not_fold_the_log_into_the_file(tmp_path: Path) -> None:
    killed, later = tmp_path / "killed", tmp_path / "later"
    killed.mkdir()
    later.mkdir()
    filled(killed)
    with opened(killed) as it:
        SqliteForwardStore(it, RevocableLease()).ingest(forwards(5000, 50), authoritative=True)
        for name, content in snapshot(killed).items():
            (later / name).write_bytes(content)
    garble(later / "revenue_ops.db", 200_000, 20_000)
    before = snapshot(later)
    with pytest.raises(StoreDamaged, match="damaged"):
        database(later).open(NODE, NETWORK)
    after = snapshot(later)
    for name in ("revenue_ops.db", "revenue_ops.db-wal"):
        assert after[name] == before[name]


def test_a_page_torn_by_a_kill_is_no_damage_while_the_log_has_it(tmp_path: Path) -> None:
    killed, later = tmp_path / "killed", tmp_path / "later"
    killed.mkdir()
    later.mkdir()
    filled(killed)
    with opened(killed) as it:
        state = SqliteForwardStore(it, RevocableLease()).ingest(
            forwards(5000, 50), authoritative=True
        )
        (page,) = (
            it.connection()
            .execute("SELECT rootpage FROM sqlite_master WHERE name = 'forward_state'")
            .fetchone()
        )
        for name, content in snapshot(killed).items():
            (later / name).write_bytes(content)
    garble(later / "revenue_ops.db", (page - 1) * 4096, 4096)
    with opened(later) as it:
        assert SqliteForwardStore(it, RevocableLease()).load() == state


def test_damage_while_the_house_runs_is_named_as_such(tmp_path: Path) -> None:
    filled(tmp_path)
    with opened(tmp_path) as it:
        garble(it.place().path, 100_000, it.place().path.stat().st_size - 100_000)
        store = SqliteForwardStore(it, RevocableLease())
        with pytest.raises(StoreDamaged, match="damaged"):
            store.read_log(0, 5000, 0.0)


# -- migrations -----------------------------------------------------------------------------------

NOW = newest(MIGRATIONS)
NEXT = Migration(NOW + 1, "colours", ("CREATE TABLE colour (name TEXT)",))
BROKEN = Migration(
    NOW + 2,
    "a broken step",
    ("INSERT INTO colour VALUES ('red')", "ALTER TABLE flow_header ADD COLUMN x INTEGER", "OOPS"),
)


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


def test_an_older_file_is_brought_up_and_a_copy_of_it_kept(tmp_path: Path) -> None:
    path = filled(tmp_path)
    with opened(tmp_path, migrations=(*MIGRATIONS, NEXT)) as it:
        assert it.place().identity.newest_schema == NOW + 1
        assert SqliteForwardStore(it, RevocableLease()).load().log_seq == 5000
    assert "colour" in tables(path)
    kept = path.with_name(f"revenue_ops.db.schema-{NOW}")
    assert "colour" not in tables(kept)
    with opened(tmp_path, kept.name) as it:
        assert SqliteForwardStore(it, RevocableLease()).load().log_seq == 5000
    with pytest.raises(StoreDamaged, match="newer version"):
        database(tmp_path, path.name).open(NODE, NETWORK)


def test_the_schema_of_this_version_is_no_reason_for_a_copy(tmp_path: Path) -> None:
    filled(tmp_path)
    with opened(tmp_path):
        pass
    assert set(snapshot(tmp_path)) == {"revenue_ops.db", "revenue_ops.db.lock"}


def test_a_step_that_fails_leaves_the_schema_before_it(tmp_path: Path) -> None:
    path = filled(tmp_path)
    with pytest.raises(StoreDamaged, match=f"schema {NOW + 2}"):
        database(tmp_path, migrations=(*MIGRATIONS, NEXT, BROKEN)).open(NODE, NETWORK)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM colour").fetchone() == (0,)
    with opened(tmp_path, migrations=(*MIGRATIONS, NEXT)) as it:
        SqliteFlowStore(it, RevocableLease()).save(1, "h", {})
        assert SqliteForwardStore(it, RevocableLease()).load().log_seq == 5000


def test_a_creation_that_fails_leaves_nothing(tmp_path: Path) -> None:
    broken = (*MIGRATIONS, NEXT, BROKEN)
    with pytest.raises(StoreDamaged, match=f"schema {NOW + 2}"):
        database(tmp_path, migrations=broken).open(NODE, NETWORK)
    assert set(snapshot(tmp_path)) == {"revenue_ops.db.lock"}
    with opened(tmp_path) as it:
        assert SqliteSettingsStore(it, RevocableLease()).load() == (0, ())


def test_a_draft_left_by_a_kill_does_not_hinder(tmp_path: Path) -> None:
    (tmp_path / "revenue_ops.db.new").write_bytes(b"half a draft")
    with opened(tmp_path):
        assert not (tmp_path / "revenue_ops.db.new").exists()


def test_closing_does_not_wait_for_a_file_that_is_being_opened(tmp_path: Path) -> None:
    base, opening, go_on = database(tmp_path), threading.Event(), threading.Event()

    def slow(path: Path, identity: object) -> None:
        opening.set()
        go_on.wait(30.0)

    base._prepare = slow  # type: ignore[method-assign, assignment]  # a check that takes minutes
    opener = threading.Thread(target=base.open, args=(NODE, NETWORK), daemon=True)
    opener.start()
    assert opening.wait(30.0)
    closer = threading.Thread(target=base.close, daemon=True)
    closer.start()
    closer.join(20.0)
    waited = closer.is_alive()
    go_on.set()
    opener.join(30.0)
    assert not waited
