"""What is remembered of the budget: every step once, on the disk, whatever comes in between."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from cl_revenue_ops.ports import StaleGeneration, StoredReservation, Unavailable
from cl_revenue_ops.storage.budget_store import KEPT_S, SqliteBudgetStore
from cl_revenue_ops.storage.database import Database
from cl_revenue_ops.storage.migrations import MIGRATIONS
from messages.budget import NEVER_STARTED, STOPPED, Reservation, SelfPayment
from tests.unit.storage_support import NETWORK, NODE, RevocableLease, database, opened

ONE = Reservation("r1", "rebalancer", 100.25, 5_000, 0)
TWO = Reservation("r2", "rebalancer", 50.0, 700, 0)


def paid(number: int, cost_msat: int = 10, completed_s: int = 1_000) -> SelfPayment:
    return SelfPayment(f"{number:064x}", "1.0", completed_s, 100_000, cost_msat)


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path) as it:
        yield it


def store(base: Database) -> SqliteBudgetStore:
    return SqliteBudgetStore(base, RevocableLease())


def test_nothing_at_first(base: Database) -> None:
    assert store(base).read(0) == ((), (), None)
    assert store(base).reservation("r1") is None
    assert store(base).uncharged() == ()


def test_everything_outlives_the_process(base: Database, tmp_path: Path) -> None:
    store(base).reserve(ONE)
    store(base).reserve(TWO)
    store(base).commit("r1", [paid(1), paid(2, 20)])
    store(base).commit("r3", [paid(3)])
    store(base).end(["r2"], NEVER_STARTED, 60.0)
    base.close()
    with opened(tmp_path) as again:
        paid_for = ONE._replace(committed_msat=30)
        assert store(again).read(0) == ((paid_for,), (paid(3),), None)
        assert store(again).reservation("r2") == StoredReservation(TWO, False)
        assert store(again).reservation("r1") == StoredReservation(paid_for, True)


def test_each_change_survives_a_loss_of_power(base: Database) -> None:
    """A commit at FULL is an fsync; `charged` is found out again, so it needs none."""
    levels: list[int] = []

    def look() -> None:
        levels.append(base.connection().execute("PRAGMA synchronous").fetchone()[0])

    watched = SqliteBudgetStore(base, RevocableLease(look))
    watched.reserve(ONE)
    watched.commit("r1", [paid(1)])
    watched.end(["r1"], STOPPED, 60.0)
    watched.charged([paid(1).payment_hash])
    full, normal = 2, 1
    assert levels == [full, full, full, normal]


def test_a_reservation_is_made_once(base: Database) -> None:
    store(base).reserve(ONE)
    store(base).reserve(ONE._replace(reserved_msat=9, opened_s=0.0))
    assert store(base).read(0).reservations == (ONE,)
    store(base).end(["r1"], STOPPED, 60.0)
    store(base).reserve(ONE)
    assert store(base).read(0).reservations == ()


def test_a_payment_counts_once(base: Database) -> None:
    assert store(base).commit("r1", [paid(1), paid(1)]) == ((paid(1),), (), 10)
    assert store(base).commit("r1", [paid(1), paid(2)]) == ((paid(2),), (), 20)
    assert store(base).commit("r1", []) == ((), (), 20)


def test_parts_of_a_payment_stand_apart(base: Database) -> None:
    parts = [paid(1)._replace(part=part) for part in ("1.1", "1.2", "2.1")]
    assert store(base).commit("r1", parts).job_msat == 30


def test_what_is_on_record_otherwise_stays_and_is_told(base: Database) -> None:
    store(base).commit("r1", [paid(1)])
    dearer = paid(1, 99)
    assert store(base).commit("r1", [dearer]) == ((), (dearer,), 10)
    assert store(base).commit("r2", [paid(1)]) == ((), (paid(1),), 0)
    assert store(base).read(0).ended == (paid(1),)


def test_only_payments_of_the_time_are_read_and_all_of_an_open_job(base: Database) -> None:
    store(base).reserve(ONE)
    store(base).commit("r1", [paid(1, completed_s=5), paid(2, completed_s=6)])
    assert store(base).read(6).ended == ()
    assert store(base).read(6).reservations[0].committed_msat == 20
    store(base).end(["r1"], STOPPED, 60.0)
    assert store(base).read(6) == ((), (paid(2, completed_s=6),), None)
    assert store(base).read(7).ended == ()


def test_the_first_proof_stays(base: Database) -> None:
    store(base).reserve(ONE)
    store(base).end(["r1", "unknown"], STOPPED, 60.0)
    store(base).end(["r1"], NEVER_STARTED, 90.0)
    rows = base.connection().execute("SELECT job_id, ended_s, proof FROM budget_reservation")
    assert rows.fetchall() == [("r1", 60.0, STOPPED)]


def test_only_what_ended_long_ago_and_cost_nothing_is_forgotten(base: Database) -> None:
    old = [Reservation(name, "rebalancer", 0.0, 9, 0) for name in ("cheap", "dear", "open")]
    for row in old:
        store(base).reserve(row)
    store(base).commit("dear", [paid(1)])
    store(base).end(["cheap", "dear"], STOPPED, 10.0)
    store(base).end([], STOPPED, 10.0 + KEPT_S)
    assert store(base).reservation("cheap") is not None
    store(base).end([], STOPPED, 11.0 + KEPT_S)
    assert store(base).reservation("cheap") is None
    assert store(base).reservation("dear") is not None
    assert store(base).reservation("open") is not None


def test_hashes_of_ours_and_what_is_still_to_be_charged(base: Database) -> None:
    names = [paid(number).payment_hash for number in (1, 2, 3)]
    odd = paid(0)._replace(payment_hash="no hex at all")
    store(base).commit("r1", [paid(1), paid(1)._replace(part="1.1"), paid(2), odd])
    assert store(base).ours([*names, odd.payment_hash]) == {*names[:2], odd.payment_hash}
    assert set(store(base).uncharged()) == {*names[:2], odd.payment_hash}
    store(base).charged([names[0], odd.payment_hash])
    assert store(base).uncharged() == (names[1],)
    store(base).commit("r1", [paid(1)._replace(part="1.2")])
    assert store(base).uncharged() == tuple(names[:2])


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("budget_reservation", "reserved_msat", "'much'"),
        ("budget_reservation", "reserved_msat", "-1"),
        ("budget_reservation", "reserved_msat", "1.5"),
        ("budget_reservation", "opened_s", "'once'"),
        ("budget_reservation", "spender", "x'00'"),
        ("budget_payment", "cost_msat", "-7"),
        ("budget_payment", "cost_msat", "'dear'"),
        ("budget_payment", "amount_msat", "0.5"),
        ("budget_payment", "completed_s", "'yesterday'"),
    ],
)
@pytest.mark.parametrize("still_open", [True, False])
def test_a_row_that_cannot_be_read_is_told(
    base: Database, table: str, column: str, value: str, still_open: bool
) -> None:
    store(base).reserve(ONE)
    store(base).commit("r1", [paid(1)])
    if not still_open:
        store(base).end(["r1"], STOPPED, 60.0)
    connection = base.connection()
    connection.execute("PRAGMA ignore_check_constraints = 1")
    connection.execute(f"UPDATE {table} SET {column} = {value}")
    fault = store(base).read(500).fault
    if still_open or table == "budget_payment":
        assert fault is not None and "cannot be read" in fault
    with pytest.raises(ValueError, match="cannot be read"):
        store(base).reservation("r1")
    if table == "budget_payment":
        with pytest.raises(ValueError, match="cannot be read"):
            store(base).commit("r1", [paid(2)])
        assert store(base).ours([paid(2).payment_hash]) == frozenset()


@pytest.mark.parametrize("amount", ["0", "-5", "1.5", "'x'", "NULL"])
def test_the_file_itself_takes_no_such_amount(base: Database, amount: str) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        base.connection().execute(
            "INSERT INTO budget_reservation (job_id, spender, opened_s, reserved_msat)"
            f" VALUES ('r1', 'x', 0.0, {amount})"
        )


def test_a_replaced_incarnation_writes_nothing(base: Database) -> None:
    lease = RevocableLease()
    late = SqliteBudgetStore(base, lease)
    lease.on_effect = lease.revoke
    with pytest.raises(StaleGeneration):
        late.reserve(ONE)
    assert store(base).read(0).reservations == ()


def test_before_it_is_open(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        store(database(tmp_path)).read(0)


def test_an_earlier_file_takes_the_step(tmp_path: Path) -> None:
    with opened(tmp_path, migrations=MIGRATIONS[:8]):
        pass
    it = database(tmp_path)
    SqliteBudgetStore(it, RevocableLease()).open(NODE, NETWORK)
    store(it).reserve(ONE)
    assert store(it).read(0).reservations == (ONE,)
    it.close()
