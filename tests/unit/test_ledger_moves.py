"""Forwards and movements inside channels as entries: accounts, pairs of rebalances, keys."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.domain.ledger import accounts
from cl_revenue_ops.domain.ledger.forwards import postings_of
from cl_revenue_ops.domain.ledger.moves import (
    CORRECTION,
    channel_entries,
    content_keys,
    move_of,
    payments_in,
)
from messages.books import Entry
from messages.forwards import FAILED, OFFERED, SETTLED, Forward, LoggedForward
from messages.node_books import ChannelMove
from tests.unit.ledger_support import PlainLedger, forward, summed, take_channel

A, B, C = "a" * 64, "b" * 64, "c" * 64
HASH = "d" * 64
CHANNELS = {"1x1x1": A, "2x2x2": B}


def move(index: int | None, tag: str = "invoice", **changes: object) -> ChannelMove:
    row = ChannelMove(index, A, tag, 0, 0, 0, 1_700_000_000 + (index or 0))
    return row._replace(**changes)  # type: ignore[arg-type]  # names and types are the caller's


def paid(index: int, channel: str, amount_msat: int, fee_msat: int) -> ChannelMove:
    return move(
        index,
        channel_id=channel,
        debit_msat=amount_msat + fee_msat,
        fees_msat=fee_msat,
        payment_hash=HASH,
        part_id=0,
        group_id=1,
    )


def came(index: int, channel: str, amount_msat: int) -> ChannelMove:
    return move(index, channel_id=channel, credit_msat=amount_msat, payment_hash=HASH)


def only(moves: list[ChannelMove]) -> Entry:
    (entry,) = channel_entries(moves, {}, "listchannelmoves")
    return entry


class TestForwards:
    def test_a_forward_moves_both_sides_and_earns(self) -> None:
        row = forward(7, "1x1x1", "2x2x2", 1_001_000, 1_000)
        assert postings_of(row, CHANNELS) == (
            (f"assets:channel:{A}", 1_001_000),
            (f"assets:channel:{B}", -1_000_000),
            (f"income:routing:{B}", -1_000),
        )

    def test_the_nodes_own_row_says_the_same(self) -> None:
        logged = forward(7, "1x1x1", "2x2x2", 1_001_000, 1_000)
        row = Forward(
            "1x1x1", 3, "2x2x2", 1_001_000, 1_000_000, 1_000, SETTLED, 0.0, 1.0, None, 1, 1
        )
        assert postings_of(row, CHANNELS) == postings_of(logged, CHANNELS)

    def test_an_unknown_scid_stands_for_itself(self) -> None:
        row = forward(7, "8x8x8", "9x9x9", 5, 2)
        assert [account for account, _ in postings_of(row, CHANNELS)] == [
            "assets:channel:8x8x8",
            "assets:channel:9x9x9",
            "income:routing:9x9x9",
        ]

    def test_what_does_not_fit_is_an_adjustment(self) -> None:
        row = forward(7, "1x1x1", "2x2x2", 1_001_000, 1_000)._replace(fee_msat=900)
        assert postings_of(row, CHANNELS)[-1] == (f"equity:adjustment:{B}", -100)
        nowhere = row._replace(out_scid=None, out_msat=None, fee_msat=None)
        assert postings_of(nowhere, CHANNELS) == (
            (f"assets:channel:{A}", 1_001_000),
            ("equity:adjustment", -1_001_000),
        )

    @pytest.mark.parametrize("status", [OFFERED, FAILED])
    def test_what_did_not_settle_has_no_postings(self, status: str) -> None:
        with pytest.raises(ValueError, match=status):
            postings_of(forward(7, "1x1x1", "2x2x2", 5, 2)._replace(status=status), {})

    @given(
        in_msat=st.integers(0, 10**15),
        out_msat=st.none() | st.integers(0, 10**15),
        fee_msat=st.none() | st.integers(0, 10**15),
        out=st.none() | st.sampled_from(["1x1x1", "2x2x2", "9x9x9"]),
    )
    def test_they_sum_to_zero_whatever_the_node_says(
        self, in_msat: int, out_msat: int | None, fee_msat: int | None, out: str | None
    ) -> None:
        row = LoggedForward(1, "1x1x1", out, in_msat, out_msat, fee_msat, SETTLED, 0.0, None)
        assert sum(msat for _, msat in postings_of(row, CHANNELS)) == 0


class TestTags:
    @pytest.mark.parametrize(
        ("row", "kind", "postings"),
        [
            (
                move(1, credit_msat=9, payment_hash=HASH),
                "payment",
                {f"assets:channel:{A}": 9, "equity:payments": -9},
            ),
            (
                move(1, credit_msat=9, fees_msat=2),
                "payment",
                {f"assets:channel:{A}": 9, "equity:payments": -9},
            ),
            (
                move(1, debit_msat=9, fees_msat=2, payment_hash=HASH),
                "payment",
                {f"assets:channel:{A}": -9, "equity:payments": 7, f"expenses:payment:{A}": 2},
            ),
            (
                move(1, "pushed", credit_msat=9),
                "pushed",
                {f"assets:channel:{A}": 9, f"equity:pushed:{A}": -9},
            ),
            (
                move(1, "lease_fee", debit_msat=9),
                "lease",
                {f"assets:channel:{A}": -9, f"income:lease:{A}": 9},
            ),
            (
                move(1, "penalty_adj", credit_msat=9),
                "penalty",
                {f"assets:channel:{A}": 9, f"income:penalty:{A}": -9},
            ),
            (
                move(1, "journal_entry", credit_msat=9),
                "opening",
                {f"assets:channel:{A}": 9, "equity:opening": -9},
            ),
            (
                move(1, "channel_proposed", credit_msat=9),
                "adjustment",
                {f"assets:channel:{A}": 9, f"equity:adjustment:{A}": -9},
            ),
            (
                move(1, "of_tomorrow", debit_msat=9),
                "adjustment",
                {f"assets:channel:{A}": -9, f"equity:adjustment:{A}": 9},
            ),
        ],
        ids=lambda value: value.tag if isinstance(value, ChannelMove) else "",
    )
    def test_each_has_its_accounts(
        self, row: ChannelMove, kind: str, postings: dict[str, int]
    ) -> None:
        entry = only([row])
        assert (entry.kind, dict(entry.postings)) == (kind, postings)
        assert entry.key == "channelmove:1"
        assert entry.at_s == row.at_s
        assert entry.payment_hash == row.payment_hash

    def test_a_forward_is_refused(self) -> None:
        with pytest.raises(ValueError, match="forward"):
            channel_entries([move(1, "routed", credit_msat=9)], {}, "listchannelmoves")


moves_of_any_kind = st.builds(
    ChannelMove,
    created_index=st.none() | st.integers(1, 9),
    channel_id=st.sampled_from([A, B]),
    tag=st.sampled_from(["invoice", "pushed", "new"]),
    credit_msat=st.integers(0, 9),
    debit_msat=st.integers(0, 9),
    fees_msat=st.integers(0, 9),
    at_s=st.integers(0, 2**33),
    payment_hash=st.none() | st.just(HASH),
    part_id=st.none() | st.integers(0, 2**63 - 1),
    group_id=st.none() | st.integers(0, 3),
)


@given(moves_of_any_kind)
def test_the_evidence_is_the_row(row: ChannelMove) -> None:
    assert move_of(only([row])) == row


class TestRebalances:
    def test_the_fee_is_charged_to_the_channel_that_was_filled(self) -> None:
        moves = [came(1, B, 100), paid(2, A, 100, 3)]
        sums = summed(p for e in channel_entries(moves, {}, "x") for p in e.postings)
        assert sums == {
            f"assets:channel:{A}": -103,
            f"assets:channel:{B}": 100,
            f"expenses:other-rebalance:{B}": 3,
        }

    def test_another_amount_or_payment_is_no_pair(self) -> None:
        for other in (came(1, B, 99), came(1, B, 100)._replace(payment_hash="e" * 64)):
            sums = summed(
                p for e in channel_entries([other, paid(2, A, 100, 3)], {}, "x") for p in e.postings
            )
            assert sums[f"expenses:payment:{A}"] == 3

    def test_a_row_belongs_to_one_pair_at_most(self) -> None:
        moves = [came(1, B, 100), paid(2, A, 100, 3), paid(3, A, 100, 5)]
        sums = summed(p for e in channel_entries(moves, {}, "x") for p in e.postings)
        assert sums[f"expenses:other-rebalance:{B}"] == 3
        assert sums[f"expenses:payment:{A}"] == 5

    def test_the_credit_may_have_been_booked_before(self) -> None:
        books = PlainLedger()
        take_channel(books, [came(1, B, 100)])
        take_channel(books, [paid(2, A, 100, 3)])
        assert [entry.kind for entry in books.entries.values()] == ["payment", "payment"]
        assert books.totals()[f"expenses:other-rebalance:{B}"] == 3

    def test_a_credit_that_comes_later_moves_the_fee_for_all_to_see(self) -> None:
        books = PlainLedger()
        take_channel(books, [paid(1, A, 100, 3)])
        take_channel(books, [came(2, B, 100)])
        correction = books.entries["channelmove:1:fee:1"]
        assert correction.kind == CORRECTION
        assert correction.postings == (
            (f"expenses:payment:{A}", -3),
            (f"expenses:other-rebalance:{B}", 3),
        )
        assert correction.at_s == came(2, B, 100).at_s
        assert correction.payment_hash == HASH

    def test_a_correction_is_made_once(self) -> None:
        books = PlainLedger()
        for _ in range(3):
            take_channel(books, [paid(1, A, 100, 3)])
            take_channel(books, [came(2, B, 100)])
        assert len(books.entries) == 3

    def test_an_earlier_credit_found_late_corrects_the_correction(self) -> None:
        books = PlainLedger()
        for row in (paid(3, A, 100, 3), came(2, B, 100), came(1, C, 100)):
            take_channel(books, [row])
        assert books.entries["channelmove:3:fee:2"].postings == (
            (f"expenses:other-rebalance:{B}", -3),
            (f"expenses:other-rebalance:{C}", 3),
        )
        assert books.totals()[f"expenses:other-rebalance:{C}"] == 3

    def test_what_cost_nothing_is_not_corrected(self) -> None:
        books = PlainLedger()
        take_channel(books, [paid(1, A, 100, 0)])
        take_channel(books, [came(2, B, 100)])
        assert len(books.entries) == 2

    def test_only_the_payments_of_a_page_have_to_be_known(self) -> None:
        page = [came(1, B, 100), paid(2, A, 100, 3), move(3, "pushed", credit_msat=1), move(4)]
        assert payments_in(page) == (HASH,)


class TestKeysWithoutIndex:
    def test_equal_rows_are_told_apart_by_their_number(self) -> None:
        row = paid(1, A, 100, 3)._replace(created_index=None)
        keys = [entry.key for entry in channel_entries([row, row], {}, "bookkeeper")]
        assert len(set(keys)) == 2
        again = [entry.key for entry in channel_entries([row, row, row], {}, "bookkeeper")]
        assert again[:2] == keys

    def test_every_part_of_the_content_counts(self) -> None:
        row = paid(1, A, 100, 3)._replace(created_index=None)
        others = [
            row._replace(channel_id=B),
            row._replace(tag="pushed"),
            row._replace(credit_msat=1),
            row._replace(debit_msat=1),
            row._replace(fees_msat=1),
            row._replace(at_s=1),
            row._replace(payment_hash=None),
            row._replace(part_id=None),
        ]
        assert len(set(content_keys([row, *others]))) == 9

    def test_a_node_that_begins_to_number_its_rows_has_the_same_contents(self) -> None:
        rows = [came(1, B, 100), paid(2, A, 100, 3), came(3, B, 100)]
        bare = [row._replace(created_index=None, group_id=None) for row in rows]
        assert list(content_keys(rows)) == list(content_keys(bare))

    def test_their_rebalances_are_found_across_calls(self) -> None:
        books = PlainLedger()
        for row in (paid(1, A, 100, 3), came(2, B, 100)):
            take_channel(books, [row._replace(created_index=None)])
        assert books.totals()[f"expenses:other-rebalance:{B}"] == 3


@st.composite
def parts(draw: st.DrawFn) -> list[ChannelMove]:
    """Rows of one payment over three channels, with few amounts."""
    rows = []
    for index in range(1, draw(st.integers(2, 9))):
        channel, amount_msat = draw(st.sampled_from([A, B, C])), draw(st.sampled_from([100, 200]))
        if draw(st.booleans()):
            rows.append(came(index, channel, amount_msat))
        else:
            rows.append(paid(index, channel, amount_msat, draw(st.integers(0, 5))))
    return rows


@settings(max_examples=150, deadline=None)
@given(parts(), st.data())
def test_neither_order_nor_pages_change_who_pays(
    made: list[ChannelMove], data: st.DataObject
) -> None:
    at_once, one_by_one = PlainLedger(), PlainLedger()
    take_channel(at_once, made)
    rest = data.draw(st.permutations(made))
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        take_channel(one_by_one, rest[:size])
        rest = rest[size:]
    assert one_by_one.totals() == at_once.totals()
    # What was paid to ourselves is no payment.
    fees = sum(row.fees_msat for row in made)
    sums = at_once.totals()
    charged = sum(msat for name, msat in sums.items() if name.startswith("expenses:"))
    assert charged == fees
    balance = sum(row.credit_msat - row.debit_msat for row in made)
    assert sum(sums.get(accounts.of(accounts.CHANNEL, name), 0) for name in (A, B, C)) == balance
