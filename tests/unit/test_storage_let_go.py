"""Rows that are let go: only old ones, no total moves, and the node cannot bring them back."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.ports import LetGo, StaleGeneration
from cl_revenue_ops.storage import forward_store
from cl_revenue_ops.storage.database import Database
from cl_revenue_ops.storage.forward_store import SqliteForwardStore
from messages.forwards import FAILED, LOCAL_FAILED, OFFERED, SETTLED, Forward
from tests.unit.forward_books import require_books
from tests.unit.storage_support import RevocableLease, forward, log_of, opened

KINDS = (SETTLED, FAILED, SETTLED, LOCAL_FAILED)


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path) as it:
        yield it


@pytest.fixture
def store(base: Database) -> SqliteForwardStore:
    return SqliteForwardStore(base, RevocableLease())


def one(number: int) -> Forward:
    """Of two incoming channels; a local failure has no time of resolution."""
    status = KINDS[number % 4]
    row = forward(number, status, in_scid=f"{number % 2}x1x1", in_htlc_id=number // 2)
    if status == LOCAL_FAILED:
        row = row._replace(resolved_at_s=None, received_at_s=row.received_at_s + 1.0)
    return row


def many(count: int) -> list[Forward]:
    return [one(number) for number in range(count)]


def at_s(number: int) -> float:
    """Between the end of the forward before and that of this one."""
    return 1_700_000_000.75 + number


def numbers(base: Database) -> list[int]:
    """The forwards that are in the log."""
    return [row[0] - 1 for row in log_of(base.place().path)]


# -- the clauses, one by one --------------------------------------------------------------------


def test_only_what_is_old_enough_and_read_goes_and_no_total_moves(
    store: SqliteForwardStore, base: Database
) -> None:
    rows = many(20)
    state = store.ingest(rows, authoritative=True)
    assert store.let_go(0, 16, at_s(10), 0.0) == LetGo(16, 5, 12)
    assert numbers(base) == [n for n in range(20) if n % 2 == 0 or n >= 10]
    assert store.let_go(0, 4, 0.0, at_s(10)) == LetGo(4, 2, None)
    assert numbers(base) == [n for n in range(4, 20) if n % 2 == 0 or n >= 10]
    assert store.load() == state
    require_books(store, base.place().path, rows)


def test_nothing_goes_where_all_is_kept_for_ever(store: SqliteForwardStore, base: Database) -> None:
    store.ingest(many(20), authoritative=True)
    assert store.let_go(0, 20, 0.0, 0.0) == LetGo(20, 0, None)
    assert numbers(base) == list(range(20))


@pytest.mark.parametrize("most", [1, 3, 7])
def test_a_step_looks_at_a_bounded_number_of_rows(
    store: SqliteForwardStore, base: Database, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(forward_store, "MOST_SWEPT", most)
    store.ingest(many(20), authoritative=True)
    seq, steps = 0, 0
    while seq < 18:
        done = store.let_go(seq, 18, at_s(99), 0.0)
        assert done.rows <= most
        assert done.next_seq - seq <= most
        seq, steps = done.next_seq, steps + 1
    assert steps == -(-18 // most)
    assert numbers(base) == [*range(0, 18, 2), 18, 19]


def test_a_number_is_never_given_again(store: SqliteForwardStore, base: Database) -> None:
    store.ingest(many(12), authoritative=True)
    store.let_go(0, 12, at_s(99), at_s(99))
    assert numbers(base) == []
    assert store.read_log(5, 10, 0.0) == ((), 12, True)
    assert store.ingest([one(12)], authoritative=False).log_seq == 13
    assert [row.seq for row in store.read_log(12, 10, 0.0).rows] == [13]


@pytest.mark.parametrize("count", [3, 40])
@pytest.mark.parametrize("authoritative", [True, False])
@pytest.mark.parametrize("again", [True, False])
def test_what_was_let_go_is_not_taken_in_again(
    store: SqliteForwardStore, base: Database, count: int, authoritative: bool, again: bool
) -> None:
    rows = many(count)
    state = store.ingest(rows, authoritative=True)
    store.let_go(0, count, at_s(99), 0.0)
    left = numbers(base)
    reader = SqliteForwardStore(base, RevocableLease()) if again else store
    assert reader.ingest(rows, authoritative=authoritative) == state
    # A page of nothing else than rows that went.
    assert reader.ingest(rows[1::2], authoritative=authoritative) == state
    waiting = [row._replace(status=OFFERED) for row in rows]
    assert reader.ingest(waiting, authoritative=authoritative) == state
    assert numbers(base) == left
    require_books(reader, base.place().path, rows)


def test_a_list_of_gone_and_new_rows_brings_the_new_ones(
    store: SqliteForwardStore, base: Database
) -> None:
    store.ingest(many(40), authoritative=True)
    store.let_go(0, 40, at_s(99), 0.0)
    store.ingest(many(60), authoritative=True)
    assert numbers(base)[20:] == list(range(40, 60))
    require_books(store, base.place().path, many(60))


def test_what_was_open_when_others_went_is_counted_when_it_fails(
    store: SqliteForwardStore, base: Database
) -> None:
    rows = many(40)
    store.ingest([rows[3]._replace(status=OFFERED), *rows[:3], *rows[4:]], authoritative=True)
    store.let_go(0, 39, at_s(99), 0.0)
    state = store.ingest([rows[3]], authoritative=True)
    assert (state.offered, state.failed) == (0, 20)
    require_books(store, base.place().path, rows)


def test_what_was_open_when_others_went_is_still_brought_up_to_date(
    store: SqliteForwardStore,
) -> None:
    waiting = one(3)._replace(status=OFFERED)
    store.ingest([waiting._replace(out_scid=None), *many(3), one(5)], authoritative=True)
    store.let_go(0, 4, at_s(99), at_s(99))
    assert store.ingest([waiting], authoritative=True).offered == 1
    assert store.open_forwards(9) == (waiting,)


def test_a_failure_that_went_does_not_hide_a_settled_forward(
    store: SqliteForwardStore, base: Database
) -> None:
    store.ingest([one(5)], authoritative=True)
    store.let_go(0, 1, at_s(99), 0.0)
    late = one(5)._replace(in_htlc_id=0, status=SETTLED)
    assert store.ingest([late], authoritative=True).settled == 1
    require_books(store, base.place().path, [one(5), late])


def test_earnings_say_since_when_all_settled_rows_are_there(
    store: SqliteForwardStore, base: Database
) -> None:
    store.ingest([one(1), *many(20)], authoritative=True)
    assert store.earnings(0, 0.0, 0.0, 1e12).begins_s == one(1).received_at_s
    store.let_go(0, 20, at_s(10), 0.0)
    assert store.earnings(0, 0.0, 0.0, 1e12).begins_s == one(1).received_at_s
    store.let_go(0, 20, 0.0, at_s(8))
    page = store.earnings(0, 0.0, 0.0, 1e12)
    assert page.begins_s == at_s(8)
    assert sum(row.after_msat for row in page.earned) == sum(range(8, 20, 2))
    assert (page.next_seq, page.last) == (20, True)


def test_a_replaced_incarnation_lets_nothing_go(store: SqliteForwardStore, base: Database) -> None:
    store.ingest(many(8), authoritative=True)
    lease = RevocableLease()
    lease.on_effect = lease.revoke
    with pytest.raises(StaleGeneration):
        SqliteForwardStore(base, lease).let_go(0, 8, at_s(99), at_s(99))
    assert numbers(base) == list(range(8))
    assert store.ingest(many(8), authoritative=True).log_seq == 8
    SqliteForwardStore(base, RevocableLease()).let_go(0, 8, at_s(99), 0.0)
    assert numbers(base) == [0, 2, 4, 6]


# -- the law ------------------------------------------------------------------------------------

MOST = 60
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("create"), st.integers(1, 20)),
        st.tuples(st.just("resolve"), st.lists(st.integers(0, MOST), max_size=20)),
        st.tuples(st.just("tell"), st.lists(st.integers(0, MOST), max_size=9)),
        st.tuples(st.just("tell late"), st.lists(st.integers(0, MOST), max_size=9)),
        st.tuples(st.just("read"), st.integers(1, 30)),
        st.tuples(st.just("sweep"), st.tuples(st.integers(0, MOST), st.integers(0, MOST))),
        st.tuples(st.just("reopen"), st.none()),
    ),
    max_size=25,
)


class Life:
    """A node whose forwards come, wait and end, and the books beside it."""

    def __init__(self, base: Database) -> None:
        self.base = base
        self.store = SqliteForwardStore(base, RevocableLease())
        self.listed: list[Forward] = []
        self.sure_seq = 0

    def step(self, kind: str, what: Any) -> None:
        if kind == "create":
            first, behind = len(self.listed), min(MOST, len(self.listed) + what)
            self.listed += [one(n)._replace(status=OFFERED) for n in range(first, behind)]
        elif kind == "reopen":
            self.store = SqliteForwardStore(self.base, RevocableLease())
        elif kind == "read":
            self.read(what)
        elif kind == "sweep":
            self.store.let_go(0, self.sure_seq, at_s(what[0]), at_s(what[1]))
        else:
            known = [n for n in what if n < len(self.listed)]
            if kind == "resolve":
                for n in known:
                    self.listed[n] = one(n)
            elif kind == "tell":
                self.store.ingest([self.listed[n] for n in known], authoritative=False)
            else:
                late = [self.listed[n]._replace(status=OFFERED) for n in known]
                self.store.ingest(late, authoritative=False)

    def read(self, page: int) -> None:
        """The whole list anew, as of a node whose list began anew or cannot be read by index."""
        began_at = self.store.load().log_seq
        for start in range(0, len(self.listed), page):
            self.store.ingest(self.listed[start : start + page], authoritative=True)
        self.sure_seq = began_at


@given(STEPS)
@settings(max_examples=200, deadline=None)
def test_whatever_goes_and_comes_back_each_forward_is_counted_once(
    steps: list[tuple[str, Any]],
) -> None:
    with tempfile.TemporaryDirectory() as name, opened(Path(name)) as base:
        life = Life(base)
        for kind, what in steps:
            life.step(kind, what)
        life.read(17)
        resolved = [row for row in life.listed if row.status != OFFERED]
        require_books(life.store, base.place().path, resolved)
        state = life.store.load()
        assert (state.log_seq, state.offered) == (len(resolved), len(life.listed) - len(resolved))
        logged = {row[1:] for row in log_of(base.place().path)}
        assert logged <= {row[:11] for row in resolved}
