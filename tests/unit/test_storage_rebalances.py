"""What is remembered of rebalances: jobs with their payments, and what was learned of routes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cl_revenue_ops.ports import (
    ENDED,
    PLANNED,
    RUNNING,
    JobRow,
    RebalanceMemory,
    StaleGeneration,
)
from cl_revenue_ops.storage.database import Database
from cl_revenue_ops.storage.migrations import MIGRATIONS
from cl_revenue_ops.storage.rebalance_store import SqliteRebalanceStore
from messages.budget import SelfPayment
from tests.unit.storage_support import RevocableLease, opened

JOB = JobRow(1, PLANNED, 100.5, "aa" * 32, "bb" * 32, "1x2x3", 99_000, -1, "{}", None, None, 0, 0)
PAYMENT = SelfPayment("cc" * 32, "1.0", 130, 99_000, 77)


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path) as it:
        yield it


def store(base: Database) -> SqliteRebalanceStore:
    return SqliteRebalanceStore(base, RevocableLease())


def test_nothing_is_remembered_at_first(base: Database) -> None:
    assert store(base).load() == RebalanceMemory((), 1, {})


def test_jobs_and_what_was_learned_outlive_the_process(base: Database, tmp_path: Path) -> None:
    running = JOB._replace(number=2, state=RUNNING, baseline=7)
    store(base).save([JOB, running], {"pair a": "text"}, {})
    base.close()
    with opened(tmp_path) as again:
        assert store(again).load() == RebalanceMemory((JOB, running), 3, {"pair a": "text"})


def test_a_job_that_has_ended_is_not_open_and_its_number_is_never_given_again(
    base: Database,
) -> None:
    it = store(base)
    it.save([JOB], {}, {})
    it.save([JOB._replace(state=ENDED, ended_s=200.0, outcome="all moved")], {}, {})
    assert it.load() == RebalanceMemory((), 2, {})
    (row,) = it.jobs_since(0.0, 10)
    assert (row.state, row.ended_s, row.outcome) == (ENDED, 200.0, "all moved")


def test_what_was_learned_is_replaced_by_name_or_deleted(base: Database) -> None:
    it = store(base)
    it.save([], {"a": "1", "b": "2"}, {})
    it.save([], {"a": "3", "b": None}, {})
    assert it.load().learned == {"a": "3"}


def test_a_payment_is_kept_once_and_belongs_to_the_job_that_had_it_first(base: Database) -> None:
    it = store(base)
    part = PAYMENT._replace(part="1.1")
    it.save([JOB], {}, {"r1": [PAYMENT, part]})
    it.save([JOB], {}, {"r1": [PAYMENT], "r2": [PAYMENT]})
    assert it.payments_of(1) == (PAYMENT, part)
    assert it.payments_of(2) == ()


def test_the_newest_jobs_come_first_and_no_more_than_asked_for(base: Database) -> None:
    it = store(base)
    it.save([JOB._replace(number=n, begun_s=100.0 * n) for n in (1, 2, 3, 4)], {}, {})
    assert [row.number for row in it.jobs_since(200.0, 2)] == [4, 3]
    assert [row.number for row in it.jobs_since(200.0, 9)] == [4, 3, 2]


def test_a_replaced_incarnation_stores_nothing(base: Database) -> None:
    lease = RevocableLease()
    it = SqliteRebalanceStore(base, lease)
    lease.revoke()
    with pytest.raises(StaleGeneration):
        it.save([JOB], {}, {})
    assert store(base).load().open_jobs == ()


def test_a_file_from_before_rebalancing_gets_its_tables(tmp_path: Path) -> None:
    with opened(tmp_path, migrations=MIGRATIONS[:8]):
        pass
    with opened(tmp_path) as base:
        assert store(base).load() == RebalanceMemory((), 1, {})
