"""The importer's tables: nothing twice, nothing changed, read again page by page."""

from __future__ import annotations

from pathlib import Path

import pytest

from cl_revenue_ops.storage.database import Database
from cl_revenue_ops.storage.fair_lock import FairLock
from cl_revenue_ops.storage.import_store import SqliteImportStore
from messages.exchange import ImportedChannel, ImportedFee
from tests.unit.storage_support import RevocableLease

NODE = "02" * 33
FEES = [ImportedFee(n, "1x1x1", None, 1_000 + n, None, n, n % 2 == 0, "why") for n in range(1, 8)]


@pytest.fixture
def store(tmp_path: Path) -> SqliteImportStore:
    database = Database(None, str(tmp_path), FairLock(), lambda text: None)
    store = SqliteImportStore(database, RevocableLease())
    store.open(NODE, "regtest")
    return store


def test_changes_of_fees_are_kept_once_and_read_in_pages(store: SqliteImportStore) -> None:
    assert store.known_fees(FEES) == 0
    assert store.save_fees(FEES[:5]) == 5
    assert store.save_fees(FEES) == 2
    assert store.known_fees(FEES) == 7
    assert store.save_fees([FEES[0]._replace(reason="other")]) == 0
    assert store.save_fees([FEES[0]._replace(at_s=5), FEES[0]._replace(scid="2x2x2")]) == 2
    first = store.fees(0, 4, 0.0, None)
    assert [fee for _, fee in first.rows] == FEES[:4] and not first.last
    rest = store.fees(first.next_after, 10, 0.0, None)
    assert rest.last and [fee for _, fee in rest.rows][:3] == FEES[4:]
    window = store.fees(0, 10, 1_002.0, 1_005.0)
    assert [fee for _, fee in window.rows] == FEES[1:4]


def test_channels_are_kept_as_they_first_came(store: SqliteImportStore) -> None:
    one = ImportedChannel("1x1x1", None, None, 5, None, 7, "mutual", "{}")
    two = ImportedChannel("0x1x1", "ab" * 32, NODE, None, 1, None, None, '{"a":1}')
    assert store.save_channels([one, two]) == 2
    assert store.save_channels([one._replace(capacity_msat=6)]) == 0
    assert store.channels() == (two, one)


def test_peers_are_remembered_with_what_is_known_of_them(store: SqliteImportStore) -> None:
    store.save_policies(["a", "b"], done=False)
    store.save_policies(["a"], done=True)
    assert store.policies() == {"a": True, "b": False}
