"""Policies in the database: what is recorded is what holds, also after a restart."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cl_revenue_ops.ports import PolicyRow, StaleGeneration
from cl_revenue_ops.runtime.clock import SystemClock
from cl_revenue_ops.storage.care_store import SqliteCareStore
from cl_revenue_ops.storage.database import Database
from cl_revenue_ops.storage.policy_store import SqlitePolicyStore
from tests.unit.storage_support import NETWORK, NODE, RevocableLease, database, opened


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path) as it:
        yield it


def row(seq: int, peer_id: str = "02aa", body: str | None = "{}", what: str = "set") -> PolicyRow:
    return PolicyRow(seq, 1_700_000_000 + seq, 1_700_000_000.25 + seq, peer_id, what, body)


def test_an_empty_store_has_nothing(base: Database) -> None:
    store = SqlitePolicyStore(base, RevocableLease())
    assert store.load() == ({}, (), 0)
    assert store.load_idle() == {}


def test_changes_and_what_holds_after_them_are_stored_together(base: Database) -> None:
    store = SqlitePolicyStore(base, RevocableLease())
    first = [row(1), row(2, "02bb", '{"x":1}'), row(3, "02aa", '{"y":2}')]
    store.record(first, 100)
    store.record([row(4, "02bb", None, "deleted")], 100)
    folder = base.place().path.parent
    base.close()
    again = database(folder)
    again.open(NODE, NETWORK)
    stored = SqlitePolicyStore(again, RevocableLease()).load()
    again.close()
    assert stored.policies == {"02aa": '{"y":2}'}
    assert stored.changes == (*first, row(4, "02bb", None, "deleted"))
    assert stored.newest_seq == 4


def test_only_the_newest_changes_stay_on_record(base: Database) -> None:
    store = SqlitePolicyStore(base, RevocableLease())
    for seq in range(1, 8):
        store.record([row(seq, f"02{seq}")], 3)
    stored = store.load()
    assert [change.seq for change in stored.changes] == [5, 6, 7]
    assert len(stored.policies) == 7


def test_a_number_that_was_used_changes_nothing(base: Database) -> None:
    store = SqlitePolicyStore(base, RevocableLease())
    store.record([row(1)], 100)
    with pytest.raises(ValueError, match="cannot be stored"):
        store.record([row(2, "02bb"), row(1, "02cc")], 100)
    assert store.load() == ({"02aa": "{}"}, (row(1),), 1)


def test_a_replaced_incarnation_stores_nothing(base: Database) -> None:
    lease = RevocableLease()
    store = SqlitePolicyStore(base, lease)
    lease.on_effect = lease.revoke
    with pytest.raises(StaleGeneration):
        store.record([row(1)], 100)
    assert SqlitePolicyStore(base, RevocableLease()).load() == ({}, (), 0)


def test_no_change_waits_for_the_disk_and_a_flush_takes_all(
    base: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqlitePolicyStore(base, RevocableLease())
    seen: list[str] = []
    base.connection().set_trace_callback(seen.append)
    store.record([row(1)], 100)
    assert "PRAGMA synchronous = FULL" not in seen
    log = base.place().path.with_name("revenue_ops.db-wal")
    synced: list[str] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    SqliteCareStore(base, RevocableLease(), SystemClock()).flush()
    assert synced == [str(log)]


def test_marks_of_idle_channels_are_replaced_as_a_whole(base: Database) -> None:
    store = SqlitePolicyStore(base, RevocableLease())
    store.save_idle({"a": (1, 2.5), "b": (0, 0.0)})
    store.save_idle({"b": (3, 4.5)})
    assert store.load_idle() == {"b": (3, 4.5)}
