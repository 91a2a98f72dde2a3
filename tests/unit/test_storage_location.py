"""Which file becomes the database, and that the files of others stay as they are."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from cl_revenue_ops.ports import StoreDamaged, Unavailable
from cl_revenue_ops.storage.migrations import MIGRATIONS, Migration
from cl_revenue_ops.storage.settings_store import SqliteSettingsStore
from tests.unit.storage_support import (
    NETWORK,
    NODE,
    OTHER_NODE,
    RevocableLease,
    database,
    opened,
    snapshot,
)

ROOT = Path(__file__).parents[2]


def used(folder: Path, configured: str | None = None) -> Path:
    with opened(folder, configured) as it:
        return it.place().path


def test_without_the_option_the_file_lies_in_the_lightning_dir(tmp_path: Path) -> None:
    assert used(tmp_path) == tmp_path / "revenue_ops.db"


def test_a_relative_path_is_relative_to_the_lightning_dir(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    assert used(tmp_path, "sub/mine.db") == tmp_path / "sub" / "mine.db"


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    assert used(tmp_path, "~/mine.db") == home / "mine.db"


def test_a_link_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "revenue_ops.db"
    link.symlink_to(tmp_path / "disk" / "real.db")
    assert used(tmp_path) == tmp_path / "disk" / "real.db"
    assert used(tmp_path) == tmp_path / "disk" / "real.db"
    assert link.is_symlink()


def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with opened(tmp_path) as it:
            SqliteSettingsStore(it, RevocableLease()).save(1, [])
            modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert "revenue_ops.db-wal" in modes
    assert set(modes.values()) == {0o600}


def test_a_missing_folder_is_unavailable_until_it_is_there(tmp_path: Path) -> None:
    it = database(tmp_path / "gone")
    with pytest.raises(Unavailable):
        it.open(NODE, NETWORK)
    (tmp_path / "gone").mkdir()
    it.open(NODE, NETWORK)
    it.close()


def test_an_empty_file_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "revenue_ops.db").touch()
    notes: list[str] = []
    with opened(tmp_path, notes=notes) as it:
        assert it.place().path.name == "revenue_ops.db"
    assert notes == []


# -- the files of others --------------------------------------------------------------------------


def _text(path: Path) -> None:
    path.write_text("dear diary, today I opened a channel\n" * 200)


def _other_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE photographs (taken INTEGER)")
        connection.commit()


def _earlier(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE config_overrides (key TEXT PRIMARY KEY, value TEXT)")
        connection.execute("CREATE TABLE forwards (id INTEGER PRIMARY KEY, in_channel TEXT)")
        connection.execute("CREATE TABLE fee_strategy_state (channel_id TEXT PRIMARY KEY)")
        connection.commit()


def _of(node_id: str, network: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        it = database(path.parent, path.name)
        it.open(node_id, network)
        it.close()
        (path.parent / f"{path.name}.lock").unlink()

    return make


def _newer(path: Path) -> None:
    steps = (*MIGRATIONS, Migration(99, "the future", ("CREATE TABLE wonder (a)",)))
    with opened(path.parent, path.name, migrations=steps):
        pass
    (path.parent / f"{path.name}.lock").unlink()


def _crashed_earlier(path: Path) -> None:
    """As it is after a kill: with its log and its shared memory beside it."""
    elsewhere = path.parent / "elsewhere"
    elsewhere.mkdir()
    _earlier(elsewhere / "a.db")
    with closing(sqlite3.connect(elsewhere / "a.db")) as connection:
        connection.execute("INSERT INTO forwards (in_channel) VALUES ('1x1x1')")
        connection.commit()
        for suffix in ("", "-wal", "-shm"):
            (path.parent / f"{path.name}{suffix}").write_bytes(
                (elsewhere / f"a.db{suffix}").read_bytes()
            )


STRANGERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "text": (_text, "not a database"),
    "other program": (_other_program, "another program"),
    "earlier plugin": (_earlier, "earlier plugin"),
    "earlier plugin, killed": (_crashed_earlier, "earlier plugin"),
    "other node": (_of(OTHER_NODE, NETWORK), "another node"),
    "other network": (_of(NODE, "bitcoin"), "another network"),
    "newer": (_newer, "newer version"),
    "folder": (lambda path: path.mkdir(), "not a regular file"),
    "pipe": (lambda path: os.mkfifo(path), "not a regular file"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_strangers_file_at_the_default_path_is_left_and_another_name_used(
    tmp_path: Path, name: str
) -> None:
    make, reason = STRANGERS[name]
    make(tmp_path / "revenue_ops.db")
    before = snapshot(tmp_path)
    notes: list[str] = []
    for _ in range(2):  # the second time the other name is taken by ourselves
        with opened(tmp_path, notes=notes) as it:
            assert it.place().path == tmp_path / "revenue_ops_v3.db"
            assert it.place().note == notes[-1]
    after = snapshot(tmp_path)
    assert {key: after[key] for key in before} == before
    assert set(after) - set(before) == {"revenue_ops_v3.db", "revenue_ops_v3.db.lock"}
    assert reason in notes[0]
    assert "\n" not in notes[0]
    assert ("imported" in notes[0]) == name.startswith("earlier")


@pytest.mark.parametrize("name", STRANGERS)
def test_a_strangers_file_at_the_configured_path_is_refused(tmp_path: Path, name: str) -> None:
    make, reason = STRANGERS[name]
    make(tmp_path / "mine.db")
    before = snapshot(tmp_path)
    with pytest.raises(StoreDamaged) as refusal:
        database(tmp_path, str(tmp_path / "mine.db")).open(NODE, NETWORK)
    assert reason in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert snapshot(tmp_path) == before


def test_when_both_names_are_taken_the_house_has_no_database(tmp_path: Path) -> None:
    _earlier(tmp_path / "revenue_ops.db")
    _text(tmp_path / "revenue_ops_v3.db")
    before = snapshot(tmp_path)
    with pytest.raises(StoreDamaged, match=r"revenue_ops_v3\.db"):
        database(tmp_path).open(NODE, NETWORK)
    assert snapshot(tmp_path) == before


def test_the_records_are_found_again_when_the_earlier_file_is_gone(tmp_path: Path) -> None:
    _earlier(tmp_path / "revenue_ops.db")
    with opened(tmp_path) as it:
        SqliteSettingsStore(it, RevocableLease()).save(7, [])
    (tmp_path / "revenue_ops.db").unlink()
    with opened(tmp_path) as it:
        assert SqliteSettingsStore(it, RevocableLease()).load() == (7, ())


def test_a_log_without_its_database_is_not_given_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "revenue_ops.db-wal").write_bytes(b"x" * 4096)
    with pytest.raises(StoreDamaged):
        database(tmp_path).open(NODE, NETWORK)
    assert [path.name for path in tmp_path.iterdir()] == ["revenue_ops.db-wal"]


def test_a_newer_number_that_stands_only_in_the_log_is_seen(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    with opened(source) as it:
        it.connection().execute("PRAGMA user_version = 99")
        for path in source.iterdir():
            (target / path.name).write_bytes(path.read_bytes())
    main = (target / "revenue_ops.db").read_bytes()
    log = (target / "revenue_ops.db-wal").read_bytes()
    with pytest.raises(StoreDamaged, match="newer version"):
        database(target, "revenue_ops.db").open(NODE, NETWORK)
    assert (target / "revenue_ops.db").read_bytes() == main
    assert (target / "revenue_ops.db-wal").read_bytes() == log


# -- one process ----------------------------------------------------------------------------------


def test_a_second_holder_in_this_process_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(StoreDamaged, match=f"pid {os.getpid()}"):
        database(tmp_path).open(NODE, NETWORK)
    used(tmp_path)


def test_a_second_process_is_refused_by_name_until_the_first_is_gone(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from tests.unit.storage_support import *;"
        "database(Path(sys.argv[1])).open(NODE, NETWORK); print('open', flush=True);"
        "sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"open\n"
        with pytest.raises(StoreDamaged, match=f"pid {child.pid}"):
            database(tmp_path).open(NODE, NETWORK)
    finally:
        child.kill()
        child.communicate()
    used(tmp_path)


def test_open_is_idempotent_from_many_threads(tmp_path: Path) -> None:
    it = database(tmp_path)
    loaded: list[object] = []

    def boot() -> None:
        store = SqliteSettingsStore(it, RevocableLease())
        store.open(NODE, NETWORK)
        loaded.append(store.load())

    threads = [threading.Thread(target=boot) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loaded == [(0, ())] * 8
    it.open(NODE, NETWORK)
    with pytest.raises(StoreDamaged, match="another node"):
        it.open(OTHER_NODE, NETWORK)
    it.close()
    used(tmp_path)


def test_nothing_works_before_open_and_after_close(tmp_path: Path) -> None:
    it = database(tmp_path)
    store = SqliteSettingsStore(it, RevocableLease())
    with pytest.raises(Unavailable):
        store.load()
    it.open(NODE, NETWORK)
    store.load()
    it.close()
    with pytest.raises(Unavailable):
        store.load()
    with pytest.raises(Unavailable):
        it.open(NODE, NETWORK)
