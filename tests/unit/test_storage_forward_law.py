"""The law of the forward log: any history of pages, hints and restarts ends with the truth."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.ports import StaleGeneration
from cl_revenue_ops.storage.database import Database
from cl_revenue_ops.storage.forward_store import SqliteForwardStore
from messages.forwards import FAILED, LOCAL_FAILED, OFFERED, SETTLED, Forward
from tests.unit.storage_support import (
    NETWORK,
    NODE,
    RevocableLease,
    database,
    forward,
    log_of,
    require_consistent,
)

Key = tuple[str, int]

NUMBERS = st.integers(0, 39)
FORMS = st.sampled_from(["offered", "final", "garbled offered", "garbled final"])
PAGES = st.lists(st.tuples(NUMBERS, FORMS), max_size=30)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("truth"), PAGES),
        st.tuples(st.just("hints"), PAGES),
        st.tuples(st.just("run"), st.tuples(NUMBERS, st.booleans())),
        st.tuples(st.just("fenced"), PAGES),
        st.tuples(st.just("reopen"), st.none()),
    ),
    max_size=12,
)


def final(number: int) -> Forward:
    return forward(number, (SETTLED, FAILED, SETTLED, LOCAL_FAILED)[number % 4])


def in_form(number: int, form: str) -> Forward:
    row = forward(number, OFFERED) if form.endswith("offered") else final(number)
    if form.startswith("garbled"):
        garbled = {FAILED: SETTLED, SETTLED: FAILED}.get(row.status, row.status)
        row = row._replace(status=garbled, fee_msat=7, created_index=None)
    return row


class Model:
    """What the protocol says, in the plainest way: two dictionaries."""

    def __init__(self) -> None:
        self.log: dict[Key, Forward] = {}
        self.waiting: dict[Key, Forward] = {}

    def take(self, rows: Sequence[Forward], authoritative: bool) -> None:
        for row in rows:
            key = (row.in_scid, row.in_htlc_id)
            if row.status == OFFERED:
                if key not in self.log and (authoritative or key not in self.waiting):
                    self.waiting[key] = row
            elif key not in self.log or authoritative:
                self.log[key] = row
                self.waiting.pop(key, None)

    def require(self, store: SqliteForwardStore, path: Path) -> None:
        state = store.load()
        require_consistent(path, state)
        assert [row[1:] for row in log_of(path)] == [row[:11] for row in self.log.values()]
        assert state.offered == len(self.waiting)
        assert set(store.open_forwards(100)) == set(self.waiting.values())


def entered(folder: Path) -> Database:
    it = database(folder)
    it.open(NODE, NETWORK)
    return it


def rows_of(kind: str, what: Any) -> list[Forward]:
    if kind == "run":  # consecutive new rows: the way of a first reading
        return [final(number) for number in range(what[0], 40)]
    rows = [in_form(number, form) for number, form in what]
    if kind == "truth":
        rows = [in_form(number, form.removeprefix("garbled ")) for number, form in what]
    return rows


@given(STEPS, st.integers(0, 2**32))
@settings(max_examples=80, deadline=None)
def test_any_history_ends_with_the_truth_and_its_sums(
    steps: list[tuple[str, Any]], seed: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = Model()
        base = entered(folder)
        store = SqliteForwardStore(base, RevocableLease())
        path = folder / "revenue_ops.db"
        try:
            for kind, what in steps:
                if kind == "reopen":
                    base.close()
                    base = entered(folder)
                    store = SqliteForwardStore(base, RevocableLease())
                elif kind == "fenced":
                    replaced = RevocableLease()
                    replaced.on_effect = replaced.revoke
                    with pytest.raises(StaleGeneration):
                        SqliteForwardStore(base, replaced).ingest(
                            rows_of("truth", what), authoritative=True, next_created=1
                        )
                else:
                    authoritative = what[1] if kind == "run" else kind == "truth"
                    rows = rows_of(kind, what)
                    store.ingest(rows, authoritative=authoritative)
                    model.take(rows, authoritative)
                model.require(store, path)
            require_catch_up_finds_the_truth(store, path, random.Random(seed))
        finally:
            base.close()


def require_catch_up_finds_the_truth(
    store: SqliteForwardStore, path: Path, rng: random.Random
) -> None:
    truth = [final(number) for number in range(40)]
    for _ in range(2):
        rng.shuffle(truth)
        for start in range(0, 40, 13):
            state = store.ingest(truth[start : start + 13], authoritative=True)
    require_consistent(path, state)
    assert {row[1:] for row in log_of(path)} == {row[:11] for row in truth}
    assert (state.log_seq, state.offered) == (40, 0)
