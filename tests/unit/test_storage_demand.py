"""What was learned of demand in the store: whole with its cursor, or as it was before."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cl_revenue_ops.ports import DecisionRow, StaleGeneration
from cl_revenue_ops.storage.database import Database
from cl_revenue_ops.storage.fee_store import SqliteFeeStore
from cl_revenue_ops.storage.migrations import MIGRATIONS
from tests.unit.storage_support import RevocableLease, opened


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path) as it:
        yield it


def test_what_was_learned_comes_back_with_the_header_of_its_cursor(
    base: Database, tmp_path: Path
) -> None:
    fees = SqliteFeeStore(base, RevocableLease())
    assert fees.load_demand() == {}
    fees.save_demand("cursor 5", {"b": "2", "a": "1"})
    fees.save_demand("cursor 9", {"b": "3", "c": "4"})
    base.close()
    with opened(tmp_path) as again:
        store = SqliteFeeStore(again, RevocableLease())
        assert store.load() == ("cursor 9", {})
        assert store.load_demand() == {"b": "3", "c": "4"}, "a is not among the peers any more"


def test_channel_states_stay_as_they_are(base: Database) -> None:
    fees = SqliteFeeStore(base, RevocableLease())
    fees.record("h", {"channel": "state"}, [])
    fees.save_demand("h2", {"peer": "belief"})
    fees.record("h3", {"channel": "next"}, [])
    assert fees.load() == ("h3", {"channel": "next"})
    assert fees.load_demand() == {"peer": "belief"}


def test_header_and_beliefs_are_stored_together_or_not_at_all(base: Database) -> None:
    """A cursor without its beliefs would lose forwards, beliefs without it count them twice."""
    fees = SqliteFeeStore(base, RevocableLease())
    fees.save_demand("before", {"a": "1", "b": "2"})
    with pytest.raises(sqlite3.IntegrityError):
        fees.save_demand("after", {"a": "9", "c": None})  # type: ignore[dict-item]
    assert fees.load()[0] == "before"
    assert fees.load_demand() == {"a": "1", "b": "2"}


def test_a_replaced_incarnation_stores_nothing(base: Database) -> None:
    lease = RevocableLease()
    fees = SqliteFeeStore(base, lease)
    fees.save_demand("before", {"a": "1"})
    lease.revoke()
    with pytest.raises(StaleGeneration):
        fees.save_demand("after", {"a": "2"})
    assert SqliteFeeStore(base, RevocableLease()).load_demand() == {"a": "1"}


def test_a_file_of_the_first_schema_keeps_its_fees_and_learns_from_now_on(tmp_path: Path) -> None:
    row = DecisionRow("channel", 5.0, "set", "worth_gossip", 100, 120, False, "{}")
    with opened(tmp_path, migrations=MIGRATIONS[:1]) as it:
        fees = SqliteFeeStore(it, RevocableLease())
        (number,) = fees.record("header", {"channel": "state"}, [row])
        fees.set_outcome(number, "set", {})
    with opened(tmp_path) as it:
        fees = SqliteFeeStore(it, RevocableLease())
        assert fees.load() == ("header", {"channel": "state"})
        assert fees.load_demand() == {}
        assert [change.row for change in fees.recent_changes(5)] == [row]
        fees.save_demand("next", {"peer": "belief"})
        assert fees.load_demand() == {"peer": "belief"}
    with closing(sqlite3.connect(tmp_path / "revenue_ops.db.schema-1")) as kept:
        (count,) = kept.execute("SELECT count(*) FROM sqlite_master WHERE name = 'fee_demand'")
        assert count == (0,)
