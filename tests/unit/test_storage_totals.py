"""The law of the totals: whatever comes in, and however, they are the sums of the log."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.ports import StaleGeneration
from cl_revenue_ops.storage.database import Database
from cl_revenue_ops.storage.forward_store import SqliteForwardStore
from messages.forwards import FAILED, LOCAL_FAILED, OFFERED, SETTLED, Forward
from tests.unit.forward_books import any_forwards, require_books, require_rebuilt
from tests.unit.storage_support import RevocableLease, forward, forwards, log_of, opened

Step = tuple[str, list[Forward]]

PAGES = st.lists(any_forwards(), max_size=25)
STEPS = st.lists(
    st.tuples(st.sampled_from(["truth", "hints", "offered", "fenced", "reopen"]), PAGES),
    max_size=8,
)


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path) as it:
        yield it


@pytest.fixture
def store(base: Database) -> SqliteForwardStore:
    return SqliteForwardStore(base, RevocableLease())


def take(
    store: SqliteForwardStore, base: Database, steps: list[Step], log: dict[object, Forward]
) -> SqliteForwardStore:
    """Take the steps at the store, and by the rules of the log in `log`."""
    for kind, rows in steps:
        if kind == "reopen":
            store = SqliteForwardStore(base, RevocableLease())
        elif kind == "fenced":
            replaced = RevocableLease()
            replaced.on_effect = replaced.revoke
            with pytest.raises(StaleGeneration):
                SqliteForwardStore(base, replaced).ingest(rows, authoritative=True)
        elif kind == "offered":
            store.ingest([row._replace(status=OFFERED) for row in rows], authoritative=True)
        else:
            store.ingest(rows, authoritative=kind == "truth")
            for row in rows:
                if kind == "truth" or row[:2] not in log:
                    log[row[:2]] = row
    return store


@given(STEPS)
@settings(max_examples=120, deadline=None)
def test_totals_are_the_sums_of_the_log(steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as name, opened(Path(name)) as base:
        path = base.place().path
        log: dict[object, Forward] = {}
        store = take(SqliteForwardStore(base, RevocableLease()), base, steps, log)
        assert [row[1:] for row in log_of(path)] == [row[:11] for row in log.values()]
        require_books(store, path, log.values())
        require_rebuilt(path)


@given(st.lists(any_forwards(most_htlcs=2**40), min_size=1, max_size=40))
@settings(max_examples=120, deadline=None)
def test_what_is_read_back_is_what_was_taken_in(rows: list[Forward]) -> None:
    with tempfile.TemporaryDirectory() as name, opened(Path(name)) as base:
        store = SqliteForwardStore(base, RevocableLease())
        store.ingest(rows, authoritative=False)
        first = {row[:2]: row for row in reversed(rows)}
        found = store.read_log(0, 100, 0.0).rows
        wanted = [first[key] for key in dict.fromkeys(row[:2] for row in rows)]
        assert [row[1:] for row in log_of(base.place().path)] == [row[:11] for row in wanted]
        assert [(row.out_scid, row.out_msat, row.status, row.failcode) for row in found] == [
            (row.out_scid, row.out_msat, row.status, row.failcode) for row in wanted
        ]
        for row, want in zip(found, wanted, strict=True):
            at_s = want.received_at_s if want.resolved_at_s is None else want.resolved_at_s
            assert (row.at_s, row.in_msat, row.fee_msat) == (at_s, want.in_msat, want.fee_msat)


def test_before_anything_there_are_no_totals(store: SqliteForwardStore) -> None:
    assert store.totals(0, None) == ((), None, None)
    assert store.failures(0, 24) == ((),)


def test_each_forward_stands_once_on_either_side(store: SqliteForwardStore) -> None:
    through = forward(1, in_scid="a", out_scid="b", in_msat=110, out_msat=100, fee_msat=10)
    back = forward(2, in_scid="b", out_scid="a", in_msat=55, out_msat=50, fee_msat=5)
    store.ingest([through, back], authoritative=True)
    one, two = store.totals(0, None).scids
    assert one == ("a", 1, 110, 10, 1, 50, 5, 0, 0, 0, 0)
    assert two == ("b", 1, 55, 5, 1, 100, 10, 0, 0, 0, 0)


def test_the_day_is_that_of_resolution_or_else_of_receipt(store: SqliteForwardStore) -> None:
    midnight = 20_000 * 86_400.0
    store.ingest(
        [
            forward(1, received_at_s=midnight - 9.0, resolved_at_s=midnight),
            forward(2, LOCAL_FAILED, received_at_s=midnight - 9.0, resolved_at_s=None),
        ],
        authoritative=True,
    )
    assert sum(row.settled_in for row in store.totals(20_000, None).scids) == 1
    assert sum(row.local_failed_in for row in store.totals(19_999, 20_000).scids) == 1
    assert sum(row.local_failed_in for row in store.totals(20_000, None).scids) == 0


def test_a_correction_moves_the_totals_to_where_the_list_has_them(
    store: SqliteForwardStore, base: Database
) -> None:
    store.ingest([forward(1, FAILED, failcode=4_103)], authoritative=False)
    right = forward(1, in_scid=forward(1).in_scid, resolved_at_s=1_700_500_000.0)
    store.ingest([right], authoritative=True)
    require_books(store, base.place().path, [right])
    require_rebuilt(base.place().path)
    hour = int(forward(1).received_at_s // 3_600)
    assert store.failures(hour, hour + 1) == ((),)


def test_a_channel_that_is_none_of_ours_gets_no_totals(
    store: SqliteForwardStore, base: Database
) -> None:
    noise = [
        forward(n, LOCAL_FAILED, out_scid=f"{n}x9x9", failcode=16_394, in_scid="a")
        for n in range(50)
    ]
    store.ingest([*noise, forward(99, in_scid="a", out_scid="b")], authoritative=True)
    assert [row.scid for row in store.totals(0, None).scids] == ["", "a", "b"]
    assert [row[1:] for row in log_of(base.place().path)][:50] == [row[:11] for row in noise]
    names = base.connection().execute("SELECT count(*) FROM forward_scid WHERE scid <> ''")
    assert names.fetchone() == (2,)


@pytest.mark.parametrize("name", ["in_msat", "out_msat", "fee_msat"])
@pytest.mark.parametrize("count", [0, 1, 20])
def test_a_sum_that_cannot_be_stored_is_refused_whole(
    store: SqliteForwardStore, base: Database, name: str, count: int
) -> None:
    big: dict[str, Any] = {name: 2**63 - 5}
    first, second = (forward(n)._replace(**big) for n in (70, 77))
    before = store.ingest([first], authoritative=True)
    with pytest.raises(ValueError, match="cannot be stored"):
        store.ingest([*forwards(0, count), second], authoritative=True)
    assert store.load() == before
    assert len(log_of(base.place().path)) == 1


def test_a_page_that_was_refused_leaves_no_scid_behind(
    store: SqliteForwardStore, base: Database
) -> None:
    rows = [forward(n, in_scid=f"{n}x1x1", out_scid=f"{n}x2x2") for n in range(4)]
    with pytest.raises(ValueError, match="cannot be stored"):
        store.ingest([rows[0], forward(9, in_msat=2**63)], authoritative=True)
    lease = RevocableLease()
    store = SqliteForwardStore(base, lease)
    lease.on_effect = lease.revoke
    with pytest.raises(StaleGeneration):  # as a commit may fail on a full disk
        store.ingest([rows[0]], authoritative=True)
    lease.revoked, lease.on_effect = False, lambda: None
    for row in (rows[1], rows[0], *rows[2:]):
        store.ingest([row], authoritative=True)
    assert {row[1:] for row in log_of(base.place().path)} == {row[:11] for row in rows}
    require_books(store, base.place().path, rows)


def test_too_long_a_window_of_failures_is_refused(store: SqliteForwardStore) -> None:
    store.failures(0, 7 * 24)
    with pytest.raises(ValueError, match="hours"):
        store.failures(0, 7 * 24 + 1)


def test_reading_totals_never_looks_at_rows(store: SqliteForwardStore, base: Database) -> None:
    rows = [forward(n, SETTLED if n % 3 else FAILED) for n in range(60)]
    store.ingest(rows, authoritative=True)
    base.connection().execute("DELETE FROM forward_row")
    require_books(store, base.place().path, rows)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=2, max_size=12), st.integers(0, 5))
def test_what_is_kept_of_days_that_are_over_is_what_the_disk_says(
    tmp_path_factory: pytest.TempPathFactory, days: list[int], from_day: int
) -> None:
    with opened(tmp_path_factory.mktemp("past")) as base:
        store = SqliteForwardStore(base, RevocableLease())
        for number, day in enumerate(days):
            # Rows come late, and late ones are of days that were summed already.
            at_s = (19_660 + day) * 86_400.0 + number
            store.ingest([forward(number, resolved_at_s=at_s)], authoritative=True)
            other = SqliteForwardStore(base, RevocableLease())
            asked = 19_660 + from_day
            assert store.totals(asked, None) == other.totals(asked, None)
