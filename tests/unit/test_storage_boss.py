"""What is remembered of CLBoss: claims and orders, kept together and replaced by peer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cl_revenue_ops.ports import IgnoreOrder, StaleGeneration, Unavailable
from cl_revenue_ops.storage.boss_store import SqliteBossStore
from cl_revenue_ops.storage.database import Database
from cl_revenue_ops.storage.migrations import MIGRATIONS
from tests.unit.storage_support import NETWORK, NODE, RevocableLease, database, opened

A, B = "02" + "aa" * 32, "03" + "bb" * 32
ORDER = IgnoreOrder(A, "a reason, with commas", 123.5, frozenset(("lnfee", "open")))


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path) as it:
        yield it


def store(base: Database) -> SqliteBossStore:
    return SqliteBossStore(base, RevocableLease())


def test_nothing_is_remembered_at_first(base: Database) -> None:
    assert store(base).load() == ({}, {})


def test_claims_and_orders_outlive_the_process(base: Database, tmp_path: Path) -> None:
    store(base).save({A: {"lnfee": None, "balance": 77.25}, B: {"open": 1.0}}, {A: ORDER})
    base.close()
    with opened(tmp_path) as again:
        memory = store(again).load()
    assert memory.claims == {A: {"balance": 77.25, "lnfee": None}, B: {"open": 1.0}}
    assert memory.orders == {A: ORDER}


def test_saving_replaces_the_peers_that_are_named_and_no_others(base: Database) -> None:
    it = store(base)
    it.save({A: {"lnfee": None, "balance": None}, B: {"open": None}}, {A: ORDER})
    it.save({A: {"lnfee": 5.0}}, {})
    assert it.load() == ({A: {"lnfee": 5.0}, B: {"open": None}}, {A: ORDER})
    it.save({A: {}}, {A: None, B: ORDER._replace(peer_id=B)})
    assert it.load() == ({B: {"open": None}}, {B: ORDER._replace(peer_id=B)})


def test_a_replaced_incarnation_stores_nothing(base: Database) -> None:
    lease = RevocableLease()
    it = SqliteBossStore(base, lease)
    lease.revoke()
    with pytest.raises(StaleGeneration):
        it.save({A: {"lnfee": None}}, {})
    assert store(base).load() == ({}, {})


def test_before_it_is_open_it_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        store(database(tmp_path)).load()


def test_a_file_of_an_earlier_schema_gets_the_tables(tmp_path: Path) -> None:
    with opened(tmp_path, migrations=MIGRATIONS[:1]):
        pass
    with opened(tmp_path) as base:
        it = store(base)
        it.open(NODE, NETWORK)
        it.save({A: {"lnfee": None}}, {})
        assert it.load().claims == {A: {"lnfee": None}}
