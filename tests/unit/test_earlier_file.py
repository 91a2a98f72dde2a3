"""A database of the earlier plugin is read whole and left as it is, byte for byte."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from cl_revenue_ops.domain.earlier import schema
from cl_revenue_ops.ports import BadPath, Unavailable
from cl_revenue_ops.storage.earlier_file import SqliteEarlierFile
from cl_revenue_ops.storage.migrations import MIGRATIONS, create
from tests.unit.earlier_files import everything, make
from tests.unit.storage_support import RevocableLease

ROWS = {
    "forwards": [
        {"id": n, "out_channel": "1x1x1", "fee_msat": n, "timestamp": 1_690_000_000 + n}
        for n in range(1, 26)
    ]
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "node"
    home.mkdir()
    return home


@pytest.fixture
def file(home: Path) -> SqliteEarlierFile:
    return SqliteEarlierFile(str(home), RevocableLease())


@pytest.fixture
def old(tmp_path: Path) -> Path:
    (tmp_path / "old").mkdir()
    return tmp_path / "old" / "revenue_ops.db"


def read(file: SqliteEarlierFile, table: str, columns: Sequence[str]) -> list[tuple[object, ...]]:
    """All rows, in pages of ten."""
    file.begin(table, columns)
    rows: list[tuple[object, ...]] = []
    while True:
        page = file.page(10)
        rows += page
        if len(page) < 10:
            return rows


@pytest.mark.parametrize("wal", [True, False])
def test_it_is_read_and_nothing_comes_to_lie_beside_it(
    file: SqliteEarlierFile, home: Path, old: Path, wal: bool
) -> None:
    make(old, ROWS, wal=wal)
    old.chmod(0o400)
    before = everything(old)
    survey = file.open(str(old))
    assert everything(old) == before and list(home.iterdir()) == []
    assert {t.name for t in survey.tables} == set(schema.COLUMNS)
    (forwards,) = (t for t in survey.tables if t.name == "forwards")
    assert (forwards.columns, forwards.rows) == (schema.COLUMNS["forwards"], 25)
    rows = read(file, "forwards", ("fee_msat", "id"))
    assert rows == [(n, n) for n in range(1, 26)]
    file.close()
    assert everything(old) == before
    assert list(old.parent.iterdir()) == [old]


def test_what_is_only_in_its_log_is_read_from_a_copy(
    file: SqliteEarlierFile, home: Path, old: Path
) -> None:
    make(old, ROWS)
    with closing(sqlite3.connect(old)) as writer:
        writer.execute("UPDATE forwards SET fee_msat = 7000 WHERE id = 1")
        writer.commit()
        kept = {name: content for name, (content, _) in everything(old).items()}
    # As a killed plugin leaves it: a log that was never brought into the file.
    for name in ("revenue_ops.db", "revenue_ops.db-wal"):
        (old.parent / name).write_bytes(kept[name])
    (old.parent / "revenue_ops.db-shm").unlink(missing_ok=True)
    before = everything(old)
    assert set(before) == {"revenue_ops.db", "revenue_ops.db-wal"}
    fingerprint = file.open(str(old)).fingerprint
    assert read(file, "forwards", ("id", "fee_msat"))[0] == (1, 7_000)
    assert everything(old) == before
    assert [path.name for path in home.iterdir()] == ["revenue_import.tmp"]
    file.close()
    assert everything(old) == before and list(home.iterdir()) == []
    (old.parent / "revenue_ops.db-wal").unlink()
    assert file.open(str(old)).fingerprint != fingerprint
    assert read(file, "forwards", ("id", "fee_msat"))[0] == (1, 1)


def test_whoever_was_replaced_leaves_the_copy_of_the_successor(home: Path, old: Path) -> None:
    make(old, ROWS)
    (old.parent / "revenue_ops.db-journal").write_bytes(b"no journal that SQLite would take")
    lease = RevocableLease()
    first, second = (
        SqliteEarlierFile(str(home), lease),
        SqliteEarlierFile(str(home), RevocableLease()),
    )
    first.open(str(old))
    second.open(str(old))
    lease.revoke()
    first.close()
    assert [path.name for path in home.iterdir()] == ["revenue_import.tmp"]
    assert len(read(second, "forwards", ("id",))) == 25
    second.close()
    assert list(home.iterdir()) == []


def test_a_journal_of_an_unfinished_write_is_rolled_back_in_the_copy(
    file: SqliteEarlierFile, old: Path
) -> None:
    make(old, ROWS, wal=False)
    with closing(sqlite3.connect(old, isolation_level=None)) as writer:
        writer.execute("PRAGMA cache_size = 1")
        writer.execute("PRAGMA cache_spill = 1")
        writer.execute("BEGIN")
        writer.execute("UPDATE forwards SET fee_msat = 9, in_channel = hex(randomblob(4000))")
        kept = {name: content for name, (content, _) in everything(old).items()}
        writer.execute("ROLLBACK")
    for name, content in kept.items():
        (old.parent / name).write_bytes(content)
    before = everything(old)
    assert "revenue_ops.db-journal" in before
    file.open(str(old))
    assert read(file, "forwards", ("id", "fee_msat"))[1] == (2, 2)
    assert everything(old) == before


def test_the_fingerprint_is_that_of_the_content(file: SqliteEarlierFile, old: Path) -> None:
    make(old, ROWS, wal=False)
    first = file.open(str(old)).fingerprint
    os.utime(old, (1, 1))
    assert file.open(str(old)).fingerprint == first
    with closing(sqlite3.connect(old)) as writer:
        writer.execute("UPDATE forwards SET fee_msat = 9 WHERE id = 3")
        writer.commit()
    assert file.open(str(old)).fingerprint != first


def test_a_file_that_changes_while_it_is_read_is_given_up(
    file: SqliteEarlierFile, old: Path
) -> None:
    make(old, ROWS)
    file.open(str(old))
    file.begin("forwards", ("id",))
    with closing(sqlite3.connect(old)) as writer:
        writer.execute("DELETE FROM forwards")
        writer.commit()
        with pytest.raises(Unavailable, match="changes while it is read; stop the earlier plugin"):
            file.page(10)


def test_relative_names_and_links_are_followed(
    file: SqliteEarlierFile, home: Path, old: Path
) -> None:
    make(old, ROWS)
    (home / "link.db").symlink_to(old)
    assert file.open("link.db").path == str(old)
    assert file.open("../old/revenue_ops.db").path == str(old)


def test_columns_with_any_name(file: SqliteEarlierFile, old: Path) -> None:
    make(old, ROWS, more={"forwards": ['"a ""b"" c"']}, without={"forwards": ["in_msat"]})
    survey = file.open(str(old))
    (forwards,) = (t for t in survey.tables if t.name == "forwards")
    assert 'a "b" c' in forwards.columns and "in_msat" not in forwards.columns
    assert read(file, "forwards", ('a "b" c',))[0] == (None,)


def complaint(file: SqliteEarlierFile, path: object) -> str:
    with pytest.raises(BadPath) as refused:
        file.open(str(path))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_what_is_no_such_database_is_refused_in_one_line(
    file: SqliteEarlierFile, home: Path, old: Path
) -> None:
    assert "there is no file" in complaint(file, old)
    assert "not a regular file" in complaint(file, home)
    old.write_text("hello, I am a text that is long enough to be something")
    assert "is no SQLite database" in complaint(file, old)
    old.write_bytes(b"")
    assert "is no SQLite database" in complaint(file, old)
    old.unlink()
    with closing(sqlite3.connect(old)) as other:
        other.execute("CREATE TABLE forwards (id INTEGER)")
    assert "is no database of the earlier plugin" in complaint(file, old)
    old.unlink()
    create(old, "02" * 33, "regtest", MIGRATIONS)
    assert "is a database of this plugin" in complaint(file, old)
    assert "cannot be used" in complaint(file, "a\0b")


def test_a_damaged_file_is_refused_and_left(file: SqliteEarlierFile, old: Path) -> None:
    make(old, ROWS, wal=False)
    whole = old.read_bytes()
    for torn in (
        whole[:5_000],
        whole[:100] + b"\xff" * 900 + whole[1_000:],
        whole[:8_192] + b"\x00" * 8_192 + whole[16_384:],
    ):
        old.write_bytes(torn)
        assert "damaged" in complaint(file, old)
        assert old.read_bytes() == torn
        file.close()


def test_damage_deep_inside_is_found_before_anything_is_taken(
    file: SqliteEarlierFile, old: Path
) -> None:
    make(old, ROWS, wal=False)
    with closing(sqlite3.connect(old)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name='forwards'").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    content = bytearray(old.read_bytes())
    content[page * size - 200 : page * size] = b"\xff" * 200
    old.write_bytes(content)
    with closing(sqlite3.connect(old)) as db:
        assert db.execute("SELECT count(*) FROM forwards").fetchone() == (25,)
    assert "is damaged" in complaint(file, old)
