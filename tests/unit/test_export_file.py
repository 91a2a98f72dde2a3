"""The file of an export: inside the node's directory, complete or not at all, never replaced."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

import pytest

from cl_revenue_ops.ports import BadPath, StaleGeneration, Unavailable
from cl_revenue_ops.storage.export_file import DiskExportFile
from tests.unit.storage_support import RevocableLease


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "node"
    home.mkdir()
    return home


@pytest.fixture
def file(home: Path) -> DiskExportFile:
    return DiskExportFile(str(home), RevocableLease())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_is_there_only_when_it_is_complete(home: Path, file: DiskExportFile) -> None:
    assert file.begin("a.csv", ".csv") == str(home / "a.csv")
    file.write("one\r\n")
    assert names(home) == ["a.csv.part"]
    file.write("two é\r\n")
    assert file.publish() == 13
    assert names(home) == ["a.csv"]
    assert (home / "a.csv").read_bytes() == "one\r\ntwo é\r\n".encode()
    assert (home / "a.csv").stat().st_mode & 0o777 == 0o600
    file.discard()
    assert names(home) == ["a.csv"]


def test_much_text_arrives_whole(home: Path, file: DiskExportFile) -> None:
    file.begin("a.csv", ".csv")
    for number in range(3_000):
        file.write(f"{number:0999}\n")
    assert (home / "a.csv.part").stat().st_size > 0, "it is not all kept in memory"
    assert file.publish() == 3_000_000
    assert (home / "a.csv").read_text().splitlines() == [f"{n:0999}" for n in range(3_000)]


def test_a_draft_of_an_earlier_run_is_replaced(home: Path, file: DiskExportFile) -> None:
    (home / "a.csv.part").write_text("x" * 100)
    file.begin("a.csv", ".csv")
    file.write("new")
    file.publish()
    assert (home / "a.csv").read_text() == "new" and names(home) == ["a.csv"]


def test_a_draft_that_is_no_plain_file_is_left_alone(home: Path, file: DiskExportFile) -> None:
    (home / "victim").write_text("keep")
    (home / "a.csv.part").symlink_to(home / "victim")
    with pytest.raises(BadPath, match="part is no plain file"):
        file.begin("a.csv", ".csv")
    assert (home / "victim").read_text() == "keep"


def test_discarded_it_leaves_nothing(home: Path, file: DiskExportFile) -> None:
    file.begin("a.csv", ".csv")
    file.write("half")
    file.discard()
    assert names(home) == []


def test_of_two_incarnations_the_newer_keeps_its_draft(home: Path, file: DiskExportFile) -> None:
    file.begin("a.csv", ".csv")
    newer = DiskExportFile(str(home), RevocableLease())
    newer.begin("a.csv", ".csv")
    file.discard()
    newer.write("new")
    newer.publish()
    assert (home / "a.csv").read_text() == "new"


def test_whoever_was_replaced_gives_no_file_its_name(home: Path) -> None:
    lease = RevocableLease()
    file = DiskExportFile(str(home), lease)
    file.begin("a.csv", ".csv")
    lease.revoke()
    with pytest.raises(StaleGeneration):
        file.publish()
    file.discard()
    assert names(home) == []


def test_a_name_that_was_taken_meanwhile_is_not_replaced(home: Path, file: DiskExportFile) -> None:
    file.begin("a.csv", ".csv")
    file.write("ours")
    (home / "a.csv").write_text("theirs")
    with pytest.raises(BadPath, match="is there already; nothing is overwritten"):
        file.publish()
    file.discard()
    assert (home / "a.csv").read_text() == "theirs" and names(home) == ["a.csv"]


@pytest.mark.parametrize("there", ["file", "dangling link", "folder"])
def test_nothing_that_is_there_is_replaced(home: Path, file: DiskExportFile, there: str) -> None:
    target = home / "a.csv"
    if there == "file":
        target.write_text("")
    elif there == "folder":
        target.mkdir()
    else:
        target.symlink_to(home / "nowhere")
    with pytest.raises(BadPath, match="is there already"):
        file.begin("a.csv", ".csv")
    assert names(home) == ["a.csv"]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("../a.csv", "lies outside"),
        ("sub/../../a.csv", "lies outside"),
        ("/a.csv", "lies outside"),
        ("out/a.csv", "lies outside"),
        ("no/a.csv", "folder of no/a.csv is not there"),
        ("plain/a.csv", "cannot be used|is no folder"),
        ("a.json", r"must end with \.csv"),
        ("config", r"must end with \.csv"),
        (".csv", r"must end with \.csv"),
        ("..", "must end with|lies outside"),
        ("x\0.csv", "cannot be used|embedded null"),
        ("~nobody-of-that-name/a.csv", "cannot be used"),
    ],
)
def test_paths_that_are_refused(
    home: Path, file: DiskExportFile, tmp_path: Path, path: str, why: str
) -> None:
    (home / "sub").mkdir()
    (home / "plain").write_text("")
    (home / "out").symlink_to(tmp_path)
    before = names(tmp_path), names(home)
    with pytest.raises(BadPath, match=why) as refused:
        file.begin(path, ".csv")
    assert "\n" not in str(refused.value)
    assert (names(tmp_path), names(home)) == before


def test_paths_that_are_taken(home: Path, tmp_path: Path) -> None:
    (home / "sub").mkdir()
    (home / "inner").symlink_to(home / "sub")
    (tmp_path / "link").symlink_to(home)
    for path, where in [
        ("sub/a.csv", "sub/a.csv"),
        (str(home / "b.csv"), "b.csv"),
        ("inner/c.csv", "sub/c.csv"),
        ("sub/../d.csv", "d.csv"),
        (str(tmp_path / "link" / "e.csv"), "e.csv"),
    ]:
        file = DiskExportFile(str(tmp_path / "link"), RevocableLease())
        assert file.begin(path, ".csv") == str(home / where)
        file.publish()
        assert (home / where).exists()


def test_a_folder_that_is_exchanged_meanwhile_leads_nowhere(
    home: Path, file: DiskExportFile, tmp_path: Path
) -> None:
    (home / "sub").mkdir()
    file.begin("sub/a.csv", ".csv")
    (home / "sub").rename(home / "moved")
    (home / "sub").symlink_to(tmp_path)
    file.publish()
    assert not (tmp_path / "a.csv").exists() and (home / "moved" / "a.csv").exists()


def test_a_full_disk_is_told_and_leaves_nothing(home: Path, file: DiskExportFile) -> None:
    file.begin("a.csv", ".csv")
    file.write("x")
    full = OSError(28, "No space left on device")
    with (
        mock.patch.object(os, "write", side_effect=full),
        pytest.raises(Unavailable, match="No space left"),
    ):
        file.publish()
    file.discard()
    assert names(home) == []
