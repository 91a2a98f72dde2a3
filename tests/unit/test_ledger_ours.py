"""Rebalances of ours in an account of their own, whichever is known first: movement or job."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.domain.ledger.moves import (
    CORRECTION,
    channel_entries,
    charged_anew,
    payments_in,
)
from messages.node_books import ChannelMove
from tests.unit.ledger_support import Books, PlainLedger, summed
from tests.unit.test_ledger_moves import HASH, A, B, C, came, paid, parts

OURS = frozenset((HASH,))
DAY_S = 86_400


def take_from(
    books: Books, rows: list[ChannelMove], ours: Callable[[Iterable[str]], frozenset[str]]
) -> None:
    """One page of movements, as the Accountant books it."""
    earlier = {name: books.of_payment(name) for name in payments_in(rows)}
    books.book(channel_entries(rows, earlier, "listchannelmoves", ours(earlier)))


def take(books: PlainLedger, rows: list[ChannelMove], ours: frozenset[str]) -> None:
    take_from(books, rows, lambda names: ours)


def tell(books: PlainLedger, ours: Iterable[str] = OURS) -> int:
    """The job's payments become known."""
    earlier = {name: books.of_payment(name) for name in ours}
    return books.book(charged_anew(earlier, "listsendpays", frozenset(ours)))


def by_day(books: PlainLedger) -> dict[int, dict[str, int]]:
    days: dict[int, list[tuple[str, int]]] = {}
    for entry in books.entries.values():
        days.setdefault(entry.at_s // DAY_S, []).extend(entry.postings)
    return {day: sums for day, rows in days.items() if (sums := summed(rows))}


def test_what_is_known_to_be_ours_is_charged_to_us() -> None:
    books = PlainLedger()
    take(books, [came(1, B, 100), paid(2, A, 100, 3)], OURS)
    assert books.totals()[f"expenses:rebalance:{B}"] == 3
    assert [entry.kind for entry in books.entries.values()] == ["payment", "payment"]
    assert tell(books) == 0


def test_what_becomes_known_later_is_moved_for_all_to_see() -> None:
    books = PlainLedger()
    take(books, [came(1, B, 100), paid(2, A, 100, 3)], frozenset())
    assert tell(books) == 1
    entry = books.entries["channelmove:2:fee:1"]
    assert entry.kind == CORRECTION
    assert entry.postings == (
        (f"expenses:other-rebalance:{B}", -3),
        (f"expenses:rebalance:{B}", 3),
    )
    assert (entry.source, entry.payment_hash) == ("listsendpays", HASH)
    assert entry.at_s == paid(2, A, 100, 3).at_s


def test_once_however_often_it_is_told() -> None:
    books = PlainLedger()
    take(books, [came(1, B, 100), paid(2, A, 100, 3)], frozenset())
    assert [tell(books) for _ in range(3)] == [1, 0, 0]


def test_a_payment_of_others_is_left_alone() -> None:
    books = PlainLedger()
    take(books, [came(1, B, 100), paid(2, A, 100, 3)], frozenset(("e" * 64,)))
    assert tell(books, ["e" * 64]) == 0
    assert books.totals()[f"expenses:other-rebalance:{B}"] == 3


def test_what_has_not_arrived_yet_is_a_payment_until_it_does() -> None:
    books = PlainLedger()
    take(books, [paid(1, A, 100, 3)], OURS)
    assert tell(books) == 0
    assert books.totals()[f"expenses:payment:{A}"] == 3
    take(books, [came(2, B, 100)], OURS)
    sums = books.totals()
    assert (sums[f"expenses:rebalance:{B}"], f"expenses:payment:{A}" in sums) == (3, False)


def test_what_cost_nothing_needs_no_correction() -> None:
    books = PlainLedger()
    take(books, [came(1, B, 100), paid(2, A, 100, 0)], frozenset())
    assert tell(books) == 0


@settings(max_examples=200, deadline=None)
@given(parts(), st.data())
def test_either_order_gives_the_same_totals_of_every_day(
    made: list[ChannelMove], data: st.DataObject
) -> None:
    """With rows a day apart: what is told late is booked on the day it belongs to."""
    rows = [row._replace(at_s=(row.created_index or 0) * DAY_S) for row in made]
    at_once, later = PlainLedger(), PlainLedger()
    one, two = sorted(data.draw(st.tuples(*[st.integers(0, len(rows))] * 2)))
    for books, known in ((at_once, OURS), (later, frozenset[str]())):
        take(books, rows[:one], known)
        take(books, rows[one:two], known)
        tell(books)
        take(books, rows[two:], OURS)
        assert tell(books) == 0
    assert later.totals() == at_once.totals()
    assert by_day(later) == by_day(at_once)
    names = [name for name in at_once.totals() if name.startswith("expenses:")]
    assert not [name for name in names if "other-rebalance" in name]
    for channel in (A, B, C):
        out = sum(row.credit_msat - row.debit_msat for row in rows if row.channel_id == channel)
        assert at_once.totals().get(f"assets:channel:{channel}", 0) == out
    fees = sum(at_once.totals()[name] for name in names)
    assert fees == sum(row.fees_msat for row in rows)
