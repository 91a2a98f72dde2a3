"""The ledger's store against a plain model: booked once, totals by window, lookups, limits."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.domain.ledger import accounts
from cl_revenue_ops.ports import AccountTotal, LedgerState, StaleGeneration
from cl_revenue_ops.storage import ledger_store
from cl_revenue_ops.storage.database import Database
from cl_revenue_ops.storage.ledger_rows import (
    hash_of,
    packed,
    packed_evidence,
    packed_hash,
    packed_postings,
    unpacked,
    unpacked_evidence,
    unpacked_postings,
)
from cl_revenue_ops.storage.ledger_store import SqliteLedgerStore
from messages.books import Entry
from messages.node_books import RoutedSum
from tests.unit.ledger_support import STORIES, PlainLedger, recorded, take_chain, take_channel
from tests.unit.storage_support import RevocableLease, opened

DAY_S = 86_400
A, B, TX, HASH = "a" * 64, "b" * 64, "7" * 64, "d" * 64
MOST = 2**63 - 1


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path) as it:
        yield it


@pytest.fixture
def store(base: Database) -> SqliteLedgerStore:
    return SqliteLedgerStore(base, RevocableLease())


def entry(number: int, msat: int = 5, day: int = 10, **changes: object) -> Entry:
    row = Entry(
        f"channelmove:{number}",
        day * DAY_S + number,
        "payment",
        "listchannelmoves",
        f'{{"number":{number}}}',
        ((f"assets:channel:{A}", msat), (accounts.PAYMENTS, -msat)) if msat else (),
    )
    return row._replace(**changes)  # type: ignore[arg-type]  # names and types are the caller's


def everything(store: SqliteLedgerStore) -> list[Entry]:
    return [row for _, row in store.page(0, 10_000, 0.0, None).rows]


def sums(found: Sequence[AccountTotal]) -> dict[str, int]:
    return dict(found)


class TestBooking:
    def test_an_entry_comes_back_as_it_was(self, store: SqliteLedgerStore) -> None:
        rows = [
            entry(1, txid=TX, payment_hash=HASH, evidence=f'{{"a":"{A}","t":"{TX}","x":"{B}"}}'),
            entry(2, txid="no hash", payment_hash="none", source="bookkeeper", kind="chain"),
            entry(3, msat=0, key=f"chainmove:{TX}:0:deposit:wallet:"),
            entry(4, postings=(("a:b", 2), ("a:b", 3), (f"c:d:{B}", -5))),
        ]
        assert store.book(rows) == 4
        assert everything(store) == rows

    def test_what_is_known_is_left_out_with_its_totals(self, store: SqliteLedgerStore) -> None:
        assert store.book([entry(1), entry(1)]) == 1
        assert store.book([entry(1), entry(2), entry(1, msat=99)]) == 1
        assert sums(store.totals(0, None)) == {f"assets:channel:{A}": 10, "equity:payments": -10}
        assert len(everything(store)) == 2

    def test_what_does_not_sum_to_zero_books_nothing(self, store: SqliteLedgerStore) -> None:
        wrong = entry(2, postings=((accounts.WALLET, 1),))
        with pytest.raises(ValueError, match="channelmove:2"):
            store.book([entry(1), wrong], state=LedgerState(9, 9))
        assert everything(store) == []
        assert store.load() == LedgerState()

    def test_state_routed_and_entries_are_one_transaction(
        self, base: Database, tmp_path: Path
    ) -> None:
        lease = RevocableLease()
        store = SqliteLedgerStore(base, lease)
        lease.on_effect = lease.revoke
        with pytest.raises(StaleGeneration):
            store.book([entry(1)], state=LedgerState(9, 9), routed=[RoutedSum(A, 1, 2, 3, 4, 5, 6)])
        fresh = SqliteLedgerStore(base, RevocableLease())
        assert (everything(fresh), fresh.load(), fresh.routed()) == ([], LedgerState(), ())
        assert (fresh.totals(0, None), fresh.days()) == ((), None)

    def test_a_name_made_in_a_transaction_that_failed_is_not_remembered(
        self, base: Database
    ) -> None:
        lease = RevocableLease()
        store = SqliteLedgerStore(base, lease)

        def fail() -> None:
            raise StaleGeneration("for once")

        lease.on_effect = fail
        with pytest.raises(StaleGeneration):
            store.book([entry(1)])
        lease.on_effect = lambda: None
        store.book([entry(1, postings=(("x:y", 1), ("z:z", -1)))])
        store.book([entry(2)])
        assert sums(store.totals(0, None)) == {
            f"assets:channel:{A}": 5,
            "equity:payments": -5,
            "x:y": 1,
            "z:z": -1,
        }


class TestState:
    def test_it_begins_at_the_first_index(self, store: SqliteLedgerStore) -> None:
        assert store.load() == LedgerState()

    @pytest.mark.parametrize(
        "state", [LedgerState(5, 7, 1.25, True), LedgerState(5, 7, None, False)]
    )
    def test_it_comes_back(self, store: SqliteLedgerStore, state: LedgerState) -> None:
        store.book([], state=state)
        store.book([entry(1)])
        assert store.load() == state

    def test_routed_sums_add_up_by_channel(self, store: SqliteLedgerStore) -> None:
        store.book([], routed=[RoutedSum(B, 1, 2, 3, 4, 5, 6), RoutedSum(A, 9, 9, 9, 9, 9, 9)])
        store.book([], routed=[RoutedSum(B, 10, 20, 30, 40, 50, 60)])
        assert store.routed() == (
            RoutedSum(A, 9, 9, 9, 9, 9, 9),
            RoutedSum(B, 11, 22, 33, 44, 55, 66),
        )


class TestLookups:
    def test_of_a_transaction(self, store: SqliteLedgerStore) -> None:
        store.book([entry(2, txid=TX), entry(1, txid="t"), entry(3, txid=TX), entry(4)])
        assert store.of_transaction(TX) == (entry(2, txid=TX), entry(3, txid=TX))
        assert store.of_transaction("t") == (entry(1, txid="t"),)
        assert store.of_transaction("u") == ()

    def test_of_a_payment_whatever_its_kind(self, store: SqliteLedgerStore) -> None:
        near = HASH[:60] + "0000"
        rows = [
            entry(1, payment_hash=HASH),
            entry(2, payment_hash=near),
            entry(3, payment_hash=HASH, kind="correction"),
            entry(4),
        ]
        store.book(rows)
        assert store.of_payment(HASH) == (rows[0], rows[2])
        assert store.of_payment(near) == (rows[1],)

    def test_open_transactions_are_those_with_something_in_transit(
        self, store: SqliteLedgerStore
    ) -> None:
        def moved(number: int, txid: str | None, msat: int) -> Entry:
            postings = ((accounts.TRANSIT, msat), (accounts.WALLET, -msat))
            return entry(number, txid=txid, postings=postings)

        store.book([moved(1, TX, 5), moved(2, B, 7), moved(3, B, -7), moved(4, None, 1)])
        assert store.open_transactions() == (TX,)
        store.book([moved(5, TX, -4), moved(6, "t", 3)])
        assert store.open_transactions() == ("t", TX)
        store.book([moved(7, TX, -1), moved(1, TX, 5)])
        assert store.open_transactions() == ("t",)

    def test_of_accounts_by_prefix_newest_first(self, store: SqliteLedgerStore) -> None:
        def cost(number: int, name: str) -> Entry:
            return entry(number, postings=((name, 1), (accounts.TRANSIT, -1)))

        opening, closure = f"expenses:opening:{A}", f"expenses:closure:{A}"
        rows = [cost(1, opening), cost(2, closure), cost(3, opening), cost(4, "expenses:wallet")]
        store.book(rows)
        assert [number for number, _ in store.of_accounts("expenses:opening:", 9)] == [3, 1]
        assert store.of_accounts("expenses:", 2) == ((4, rows[3]), (3, rows[2]))
        assert store.of_accounts("expenses:splice:", 9) == ()

    def test_an_entry_with_two_such_accounts_comes_once(self, store: SqliteLedgerStore) -> None:
        both = [
            entry(number, postings=(("e:a", 1), ("e:b", 1), ("e:a", -2))) for number in (1, 2, 3)
        ]
        store.book(both)
        assert store.of_accounts("e:", 2) == ((3, both[2]), (2, both[1]))

    def test_lookups_use_their_indexes(self, base: Database, store: SqliteLedgerStore) -> None:
        store.book([entry(1)])
        with closing(sqlite3.connect(base.place().path)) as connection:
            for query, index in (
                (ledger_store._OF_TRANSACTION, "ledger_entry_txid"),
                (ledger_store._OF_PAYMENT, "ledger_entry_payment"),
            ):
                plan = connection.execute(f"EXPLAIN QUERY PLAN {query}", ("x",)).fetchall()
                assert index in " ".join(row[3] for row in plan)


class TestPages:
    def test_by_number_in_a_window(self, store: SqliteLedgerStore) -> None:
        store.book([entry(number, day=number) for number in (3, 1, 2, 5)])
        first = store.page(0, 2, 0.0, None)
        assert [number for number, _ in first.rows] == [1, 2]
        assert (first.next_after, first.last) == (2, False)
        rest = store.page(2, 9, 0.0, None)
        assert ([number for number, _ in rest.rows], rest.last) == ([3, 4], True)
        end_s = float(entry(3, day=3).at_s)
        inside = store.page(0, 9, float(entry(1, day=1).at_s), end_s)
        assert [row.key for _, row in inside.rows] == ["channelmove:1", "channelmove:2"]
        assert inside.last
        assert store.page(9, 9, 0.0, None) == ((), 9, True)

    def test_a_run_out_of_the_window_is_passed_over(
        self, store: SqliteLedgerStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ledger_store, "MOST_SCANNED", 3)
        store.book([entry(number, day=number) for number in range(1, 6)])
        page = store.page(0, 9, 5.0 * DAY_S, None)
        assert (page.rows, page.next_after, page.last) == ((), 3, False)
        assert [number for number, _ in store.page(3, 9, 5.0 * DAY_S, None).rows] == [5]

    def test_limits(self, store: SqliteLedgerStore, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ValueError, match="limit 0"):
            store.page(0, 0, 0.0, None)
        monkeypatch.setattr(ledger_store, "MOST_ROWS", 1)
        store.book([entry(1), entry(2)])
        assert len(store.page(0, 5, 0.0, None).rows) == 1


class TestLimits:
    def test_an_amount_beyond_64_bits_changes_nothing(self, store: SqliteLedgerStore) -> None:
        for msat in (MOST + 1, 2**70):
            with pytest.raises(ValueError, match="cannot be stored"):
                store.book([entry(1), entry(2, msat=msat)])
        with pytest.raises(ValueError, match="cannot be stored"):
            store.book([entry(3, postings=(("a:b", 2**63), ("a:b", -(2**63))))])
        assert everything(store) == []

    def test_amounts_that_only_together_are_too_much(self, store: SqliteLedgerStore) -> None:
        store.book([entry(1, msat=MOST)])
        with pytest.raises(ValueError, match="cannot be stored"):
            store.book([entry(2, msat=1, day=11)])
        with pytest.raises(ValueError, match="cannot be stored"):
            store.book([entry(3, msat=MOST), entry(4, msat=MOST)])
        assert sums(store.totals(0, None))[f"assets:channel:{A}"] == MOST

    def test_transit_and_routed_sums_too(self, store: SqliteLedgerStore) -> None:
        def moved(number: int, account: str) -> Entry:
            return entry(
                number, txid=TX, day=number, postings=((accounts.TRANSIT, MOST), (account, -MOST))
            )

        back = entry(2, postings=((accounts.TRANSIT, -MOST), ("a:1", MOST)), txid=B)
        store.book([moved(1, "a:1"), back])
        with pytest.raises(ValueError, match="cannot be stored"):
            store.book([moved(3, "a:1")])
        store.book([], routed=[RoutedSum(A, 1, MOST, 0, 0, 0, 0)])
        with pytest.raises(ValueError, match="cannot be stored"):
            store.book([entry(9)], routed=[RoutedSum(A, 1, 1, 0, 0, 0, 0)])
        assert store.routed()[0].credit_msat == MOST
        assert "channelmove:9" not in {row.key for row in everything(store)}

    def test_a_time_beyond_64_bits(self, store: SqliteLedgerStore) -> None:
        with pytest.raises(ValueError, match="cannot be stored"):
            store.book([entry(1, at_s=2**64)])
        assert store.days() is None


names = st.sampled_from([accounts.WALLET, accounts.TRANSIT, f"assets:channel:{A}", "e:x", "e:y"])


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    number = draw(st.integers(1, 30))
    legs = draw(st.lists(st.tuples(names, st.integers(-9, 9)), max_size=3))
    if legs:
        legs.append((draw(names), -sum(msat for _, msat in legs)))
    return entry(
        number,
        day=draw(st.integers(0, 70)),
        postings=tuple(legs),
        txid=draw(st.none() | st.sampled_from([TX, B])),
        payment_hash=draw(st.none() | st.just(HASH)),
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(entries(), max_size=8), max_size=5),
    st.lists(st.tuples(st.integers(-5, 80), st.none() | st.integers(-5, 80)), max_size=6),
)
def test_the_store_is_the_plain_model(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[list[Entry]],
    windows: list[tuple[int, int | None]],
) -> None:
    model = PlainLedger()
    with opened(tmp_path_factory.mktemp("ledger")) as base:
        for batch in batches:
            # Each batch by another incarnation: nothing rests on what one remembers.
            store = SqliteLedgerStore(base, RevocableLease())
            assert store.book(batch) == model.book(batch)
        store = SqliteLedgerStore(base, RevocableLease())
        kept = list(model.entries.values())
        assert everything(store) == kept
        assert sums(store.totals(0, None)) == model.totals()
        with_txid = PlainLedger()
        with_txid.book([row for row in kept if row.txid])
        assert store.open_transactions() == with_txid.open_transactions()
        assert store.of_transaction(TX) == model.of_transaction(TX)
        assert store.of_payment(HASH) == model.of_payment(HASH)
        days = [row.at_s // DAY_S for row in kept]
        assert store.days() == ((min(days), max(days)) if days else None)
        for from_day, until_day in windows:
            wanted: dict[str, int] = defaultdict(int)
            for row, day in zip(kept, days, strict=True):
                if from_day <= day and (until_day is None or day < until_day):
                    for account, msat in row.postings:
                        wanted[account] += msat
            found = sums(store.totals(from_day, until_day))
            assert found == {name: msat for name, msat in wanted.items() if msat}


@pytest.mark.parametrize("name", STORIES)
def test_the_recorded_stories_are_the_same_in_it(store: SqliteLedgerStore, name: str) -> None:
    story = recorded(name)
    model = PlainLedger()
    for books in (store, model):
        for row in story.channel:
            take_channel(books, [row])
        for place in range(0, len(story.chain), 3):
            rows = story.chain[place : place + 3]
            take_chain(books, rows, story.fees, story.forwards, story.channel_of)
    assert everything(store) == list(model.entries.values())
    assert sums(store.totals(0, None)) == model.totals()
    assert store.open_transactions() == ()


class TestPacking:
    @given(
        st.lists(st.sampled_from([A, B, TX, "", "x", '{"a":1}', "\x01", "\x03", "ab", "é"])),
        st.lists(st.sampled_from([A, B, TX]), unique=True),
    )
    def test_a_text_comes_back(self, parts: list[str], known: list[str]) -> None:
        text = "-".join(parts)
        assert unpacked(packed(text, known), known) == text
        assert unpacked_evidence(packed_evidence(text, known), known) == text

    def test_hashes_take_half_the_room_or_none(self) -> None:
        assert len(packed(f'"{A}"')) == 36
        assert len(packed(f'"{A}"', [A])) == 4
        assert packed("no hash") == "no hash"

    def test_evidence_written_once_is_read_for_ever(self) -> None:
        text = f'{{"created_index":7,"channel_id":"{A}","tag":"invoice","payment_hash":"{B}"}}'
        kept = bytes.fromhex("c3b0cc1ccd36262cb6a199c308346737010000")
        assert unpacked_evidence(kept, [A]) == text

    @given(st.lists(st.tuples(st.integers(1, 99), st.integers(-MOST, MOST)), max_size=4))
    def test_postings_come_back(self, postings: list[tuple[int, int]]) -> None:
        balanced = [*postings, (7, -sum(msat for _, msat in postings))] if postings else []
        assert unpacked_postings(packed_postings(balanced)) == tuple(balanced)

    @pytest.mark.parametrize("text", [A, A.upper(), A[:-1], "", None])
    def test_a_hash_comes_back(self, text: str | None) -> None:
        assert hash_of(packed_hash(text)) == text
