"""A disk that is full, a file that is damaged, taken or a stranger's: the house keeps answering."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from messages.store import BackupTick
from tests.sim.house_support import HouseNode, house_node
from tests.sim.house_traffic import traffic

SAFE_MODE_ENDS_S = 1_300.0


def is_safe(node: HouseNode) -> dict[str, Any]:
    """Assert safe mode, and that everything still answers; gives the status."""
    status = node.status()
    assert (status["safe_mode"], status["writes_allowed"]) == (True, False)
    assert status["safe_mode_reason"]
    assert node.call("revenue-config", ["get", "kelly_fraction"])["value"] == 0.5
    assert node.call("revenue-config", ["set", "kelly_fraction", 0.4])["status"] == "error"
    assert node.call("revenue-hive-status")["mode"] == "standalone"
    return status


def is_whole(node: HouseNode) -> None:
    status = node.status()
    assert (status["safe_mode"], status["writes_allowed"]) == (False, True)
    assert {row["state"] for row in status["actors"].values()} == {"ready"}


def folder(node: HouseNode) -> dict[str, bytes]:
    """Every file of the lightning-dir, byte for byte."""
    return {p.name: p.read_bytes() for p in node.network_dir.iterdir() if p.is_file()}


def scribble(path: Path, left: float = 0.0) -> None:
    """Overwrite the file but for its first page and the share `left`."""
    data = path.read_bytes()
    sound = max(4_096, int(left * len(data)))
    path.write_bytes(data[:sound] + b"\xa5" * (len(data) - sound))


def test_a_full_disk_means_safe_mode_until_there_is_room_and_loses_nothing() -> None:
    with traffic() as it:
        it.pay("settled")
        it.node.settle()
        with it.node.life.full_disk() as make_room:
            it.pay("settled")
            it.pay("pending")
            it.node.wait_s(300.0)
            is_safe(it.node)
            it.resolve("settled")
            it.node.wait_s(3 * 3_600.0)
            is_safe(it.node)
            assert len(it.stored()) == 1
            make_room()
            it.node.wait_s(SAFE_MODE_ENDS_S)
            is_whole(it.node)
            it.check()
        assert any("safe mode is over" in text for _, text in it.node.life.logs)


@pytest.mark.parametrize("left", [0.0, 0.8])
def test_a_file_damaged_while_the_house_was_down_is_named_and_left_as_it_is(left: float) -> None:
    with traffic(history=500) as it:
        node = it.node
        it.pay("settled")
        node.settle()
        node.kill()
        node.checkpoint()
        sound = node.database.read_bytes()
        scribble(node.database, left)
        damaged = node.database.read_bytes()
        node.start()
        node.wait_s(120.0)
        assert str(node.database) in is_safe(node)["safe_mode_reason"]
        node.wait_s(2 * 3_600.0)
        is_safe(node)
        assert node.database.read_bytes() == damaged
        # The operator restores a copy; the house does the rest.
        it.pay("settled", 1)
        node.database.write_bytes(sound)
        node.wait_s(SAFE_MODE_ENDS_S)
        is_whole(node)
        it.check()


def test_a_file_damaged_under_a_running_house_is_noticed_and_its_backup_restores_it() -> None:
    with traffic(history=3_000) as it:
        node = it.node
        node.wait_s(120.0)
        backup = Path(f"{node.database}.backup")
        copied = backup.read_bytes()
        node.checkpoint()
        scribble(node.database)
        for number in range(5):
            it.pay("settled", number)
            node.wait_s(600.0)
        is_safe(node)
        # The daily copy does not take the damaged file for a new sound one.
        node.life.house.core.post.tell("storekeeper", BackupTick())
        node.settle()
        assert backup.read_bytes() == copied
        assert "damaged" in node.status()["database"]["trouble"]
        node.kill()
        for name in ("", "-wal", "-shm"):
            Path(f"{node.database}{name}").unlink(missing_ok=True)
        shutil.copy(backup, node.database)
        node.start()
        node.wait_s(120.0)
        is_whole(node)
        it.check()


def test_a_second_house_on_the_same_file_stays_out_and_takes_over_when_it_is_free() -> None:
    with house_node() as first:
        taken = {"revenue-ops-db-path": str(first.database)}
        with house_node(options=taken) as second:
            first.call("revenue-config", ["set", "min_fee_ppm", 77])
            before = first.dump()
            second.wait_s(120.0)
            assert "in use by another process" in is_safe(second)["safe_mode_reason"]
            assert first.dump() == before
            first.wait_s(60.0)
            is_whole(first)
            first.kill()
            second.wait_s(SAFE_MODE_ENDS_S)
            is_whole(second)
            assert second.call("revenue-config", ["get", "min_fee_ppm"])["value"] == 77


def foreign_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE invoices (id INTEGER, memo TEXT)")
        connection.execute("INSERT INTO invoices VALUES (1, 'mine')")


def earlier_plugin(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for table in ("config_overrides", "fee_strategy_state", "forwards", "peer_policies"):
            connection.execute(f"CREATE TABLE {table} (id INTEGER)")


def letter(path: Path) -> None:
    path.write_text("Dear diary, " * 1_000)


def other_node(path: Path) -> None:
    with house_node(seed=99) as node:
        node.kill()
        shutil.copy(node.database, path)


def newer_version(path: Path) -> None:
    with house_node() as node:
        node.kill()
        shutil.copy(node.database, path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 999")


STRANGERS = [foreign_program, earlier_plugin, letter, other_node, newer_version]


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_file_of_somebody_else_is_left_untouched_and_another_is_used(
    stranger: Callable[[Path], None],
) -> None:
    with house_node(start=False) as node:
        stranger(node.database)
        before = folder(node)
        node.start()
        node.wait_s(60.0)
        is_whole(node)
        after = folder(node)
        assert {name: after.get(name) for name in before} == before
        ours = set(after) - set(before)
        assert "revenue_ops_v3.db" in ours
        assert all(name.startswith("revenue_ops_v3.db") for name in ours)
        lines = [text for _, text in node.life.logs if "revenue_ops_v3.db" in text]
        assert len(lines) == 1
        assert "revenue_ops_v3.db" in node.status()["database"]["note"]
        node.call("revenue-config", ["set", "min_fee_ppm", 12])
        node.restart()
        node.settle()
        assert node.call("revenue-config", ["get", "min_fee_ppm"])["value"] == 12
        assert {name: folder(node).get(name) for name in before} == before


@pytest.mark.parametrize("stranger", STRANGERS)
def test_where_the_file_was_configured_the_house_refuses_it_and_says_so(
    stranger: Callable[[Path], None],
) -> None:
    with house_node(start=False, options={"revenue-ops-db-path": "mine.db"}) as node:
        stranger(node.network_dir / "mine.db")
        before = folder(node)
        node.start()
        node.wait_s(120.0)
        assert "mine.db" in is_safe(node)["safe_mode_reason"]
        assert folder(node) == before
        assert any("mine.db" in text and "left as it is" in text for _, text in node.life.logs)


def test_a_house_without_a_place_for_its_file_says_so_and_goes_on_when_there_is_one() -> None:
    with house_node(start=False, options={"revenue-ops-db-path": "gone/mine.db"}) as node:
        node.start()
        node.wait_s(120.0)
        assert "gone/mine.db" in is_safe(node)["safe_mode_reason"]
        (node.network_dir / "gone").mkdir()
        node.wait_s(SAFE_MODE_ENDS_S)
        is_whole(node)
