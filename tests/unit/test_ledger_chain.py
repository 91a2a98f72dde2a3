"""Outputs as entries, what each transaction was for, HTLCs that ended on the chain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.ledger.allotment import allot, allotment
from cl_revenue_ops.domain.ledger.chain import (
    HtlcEnd,
    chain_entries,
    chain_rows,
    forward_htlc,
    htlc_end,
    htlcs_in,
    payment_htlc,
)
from messages.books import Entry
from messages.forwards import FAILED
from messages.node_books import EXTERNAL, WALLET, ChainMove, OnchainFee
from tests.unit.ledger_support import PlainLedger, forward, summed, take_chain

A, B = "a" * 64, "b" * 64
TX, OLD = "7" * 64, "6" * 64
FUNDING = f"{OLD}:0"
SCIDS = {"1x1x1": A, "2x2x2": B}


def made(account: str, tag: str, msat: int, place: int = 0, **changes: object) -> ChainMove:
    """An output of TX."""
    row = ChainMove(1, account, tag, msat, 0, 1_700_000_000, f"{TX}:{place}")
    return row._replace(**changes)  # type: ignore[arg-type]  # names and types are the caller's


def spent(account: str, tag: str, msat: int, place: int = 0, **changes: object) -> ChainMove:
    """An output of another transaction that TX spends."""
    row = ChainMove(1, account, tag, 0, msat, 1_700_000_000, f"{OLD}:{place}", TX)
    return row._replace(**changes)  # type: ignore[arg-type]  # names and types are the caller's


def fee(account: str, msat: int, at_s: int = 5) -> OnchainFee:
    return OnchainFee(account, TX, msat, at_s)


class TestRows:
    def test_what_is_made_comes_from_transit_and_what_is_spent_goes_there(self) -> None:
        rows = [made(WALLET, "deposit", 5), spent(A, "to_wallet", 7)]
        assert [(e.postings, e.txid, e.kind) for e in chain_entries(rows, "x")] == [
            ((("assets:wallet", 5), ("assets:transit", -5)), TX, "chain"),
            (((f"assets:channel:{A}", -7), ("assets:transit", 7)), TX, "chain"),
        ]

    def test_rows_of_others_are_evidence_alone(self) -> None:
        (entry,) = chain_entries([made(EXTERNAL, "to_them", 5, origin=A)], "x")
        assert (entry.postings, entry.kind, entry.txid) == ((), "outside", TX)

    def test_a_nodes_own_opening_figure_is_no_transaction(self) -> None:
        row = made(WALLET, "journal_entry", 5)
        (entry,) = chain_entries([row], "x")
        assert entry.postings == (("assets:wallet", 5), ("equity:opening", -5))
        assert allotment(TX, [entry], None) is None

    def test_the_key_is_the_content(self) -> None:
        row = spent(A, "channel_close", 5)
        (entry,) = chain_entries([row], "x")
        assert entry.key == f"chainmove:{FUNDING}:channel_close:{A}:{TX}"
        (entry,) = chain_entries([made(WALLET, "deposit", 5)], "x")
        assert entry.key == f"chainmove:{TX}:0:deposit:wallet:"

    def test_a_repeated_row_is_one_entry_whatever_its_index_and_block(self) -> None:
        row = made(WALLET, "deposit", 5)
        again = row._replace(created_index=9, blockheight=800_000)
        assert [chain_rows([e])[0] for e in chain_entries([row, again], "x")] == [row]

    def test_a_channel_proposed_and_then_opened_is_one_output(self) -> None:
        rows = [made(A, "channel_proposed", 5, opener=True), made(A, "channel_open", 5)]
        assert len(chain_entries(rows, "x")) == 1
        assert (
            len(chain_entries([made(A, "channel_open", 5), made(B, "channel_open", 5)], "x")) == 2
        )

    @given(
        st.builds(
            ChainMove,
            st.none() | st.integers(1, 2**63 - 1),
            st.sampled_from([WALLET, EXTERNAL, A]),
            st.sampled_from(["deposit", "channel_open", "htlc_fulfill"]),
            st.integers(0, 9),
            st.integers(0, 9),
            st.integers(0, 2**33),
            st.just(FUNDING),
            st.none() | st.just(TX),
            st.none() | st.sampled_from([WALLET, A]),
            st.none() | st.just("d" * 64),
            st.integers(0, 9),
            st.none() | st.integers(0, 9),
            st.booleans(),
            st.booleans(),
            st.integers(0, 9),
        )
    )
    def test_the_evidence_is_the_row(self, row: ChainMove) -> None:
        assert chain_rows(chain_entries([row], "x")) == (row,)


OPENING = [spent(WALLET, "withdrawal", 100), made(A, "channel_open", 60, opener=True)]
SPLICE = [spent(A, "channel_close", 100), made(A, "channel_open", 60, opener=True)]


class TestFees:
    """Bookkeeper's fee, and the same figure where it is inferred."""

    @pytest.mark.parametrize(
        ("rows", "account", "fees"),
        [
            (
                [*OPENING, made(WALLET, "deposit", 30, 1)],
                A,
                {f"expenses:opening:{A}": 10},
            ),
            ([*SPLICE, made(WALLET, "deposit", 30, 1)], A, {f"expenses:splice:{A}": 10}),
            (
                [spent(A, "to_wallet", 40), made(WALLET, "deposit", 30, 1)],
                A,
                {f"expenses:closure:{A}": 10},
            ),
            (
                [spent(WALLET, "withdrawal", 40), made(WALLET, "deposit", 30, 1)],
                WALLET,
                {"expenses:wallet": 10},
            ),
            (
                [
                    spent(A, "channel_close", 40, output_count=2),
                    made(WALLET, "deposit", 30, 1),
                    made(EXTERNAL, "to_them", 500, 2, origin=A),
                ],
                A,
                {f"expenses:closure:{A}": 10},
            ),
        ],
        ids=["opening", "splice", "sweep", "wallet", "close"],
    )
    def test_each_goes_to_what_the_transaction_was_for(
        self, rows: list[ChainMove], account: str, fees: dict[str, int]
    ) -> None:
        assert allot(rows, [fee(account, 10)]) == fees
        assert allot(rows, None) == fees

    def test_the_closing_half_of_a_splice_may_say_so_itself(self) -> None:
        rows = [spent(A, "channel_close", 40, spliced=True), made(WALLET, "deposit", 30, 1)]
        assert allot(rows, [fee(A, 10)]) == allot(rows, None) == {f"expenses:splice:{A}": 10}

    def test_an_opening_by_the_peer_costs_nothing(self) -> None:
        assert allot([made(A, "channel_open", 0)], []) == {}
        assert allot([made(A, "channel_open", 0)], None) == {}

    def test_what_is_inferred_is_shared_by_the_channels(self) -> None:
        rows = [
            spent(WALLET, "withdrawal", 100),
            made(A, "channel_open", 40, 0),
            made(B, "channel_open", 40, 1),
            made(WALLET, "deposit", 9, 2),
        ]
        assert allot(rows, None) == {f"expenses:opening:{A}": 6, f"expenses:opening:{B}": 5}

    def test_a_close_is_not_inferred_before_all_its_outputs_are_known(self) -> None:
        rows = [spent(A, "channel_close", 40, output_count=2), made(WALLET, "deposit", 30, 1)]
        assert allot(rows, None) == {}
        assert allot([rows[0]._replace(output_count=0), rows[1]], None) == {}
        assert allot([rows[0]._replace(output_count=1), rows[1]], None) == {
            f"expenses:closure:{A}": 10
        }

    def test_nothing_is_inferred_while_one_side_is_missing(self) -> None:
        assert allot([spent(WALLET, "withdrawal", 40)], None) == {}

    def test_fees_of_other_transactions_are_passed_over(self) -> None:
        rows = [spent(WALLET, "withdrawal", 40), made(WALLET, "deposit", 30, 1)]
        other = fee(WALLET, 10)._replace(txid=OLD)
        assert allotment(TX, chain_entries(rows, "x"), [other]) is None


class TestOutside:
    def test_a_deposit_that_spends_nothing_of_ours_came_from_outside(self) -> None:
        assert allot([made(WALLET, "deposit", 30)], []) == {"equity:onchain": -30}

    def test_a_channel_may_be_funded_from_outside(self) -> None:
        assert allot([made(A, "channel_open", 30, opener=True)], []) == {"equity:onchain": -30}

    def test_a_payment_to_outside_went_there(self) -> None:
        rows = [
            spent(WALLET, "withdrawal", 100),
            made(EXTERNAL, "deposit", 60, 1, origin=WALLET),
            made(WALLET, "deposit", 30, 2),
        ]
        wanted = {"equity:onchain": 60, "expenses:wallet": 10}
        assert allot(rows, [fee(WALLET, 10)]) == allot(rows, None) == wanted

    def test_a_payment_that_is_not_in_a_block_moves_nothing_yet(self) -> None:
        row = made(EXTERNAL, "deposit", 60, origin=WALLET)
        assert allot([row], []) == allot([row], [fee(WALLET, 10)]) == {}

    def test_who_gets_more_than_was_spent_got_it_from_outside(self) -> None:
        rows = [spent(WALLET, "withdrawal", 10), made(A, "channel_open", 60)]
        assert allot(rows, []) == allot(rows, None) == {"equity:onchain": -50}

    def test_what_no_fee_explains_stays_to_be_seen(self) -> None:
        rows = [spent(WALLET, "withdrawal", 40), made(WALLET, "deposit", 30, 1)]
        assert allot(rows, []) == {}

    def test_a_fee_that_took_all_leaves_nothing_for_outside(self) -> None:
        rows = [
            spent(A, "channel_close", 40, output_count=1),
            made(EXTERNAL, "deposit", 30, 1, origin=A),
        ]
        assert allot(rows, [fee(A, 40)]) == {f"expenses:closure:{A}": 40}


class TestPenalty:
    ROWS = (
        spent(A, "channel_close", 40, output_count=2),
        made(WALLET, "deposit", 30, 1),
        made(A, "penalty", 25, 2),
    )

    def test_what_it_brought_is_a_gain(self) -> None:
        assert allot(self.ROWS, []) == allot(self.ROWS, None) == {f"income:penalty:{A}": -15}

    def test_an_htlc_that_waits_for_its_forward_is_no_part_of_it(self) -> None:
        assert allot([*self.ROWS, CLAIM], []) == {f"income:penalty:{A}": -15}

    def test_without_one_a_gain_stays_to_be_seen(self) -> None:
        rows = [row._replace(tag="delayed_to_us") for row in self.ROWS[2:]]
        assert allot([*self.ROWS[:2], *rows], []) == {}


class TestAllotment:
    def booked(self, *rows: ChainMove) -> PlainLedger:
        books = PlainLedger()
        for row in rows:
            take_chain(books, [row], [])
        return books

    def test_a_close_that_looked_like_a_deposit_is_corrected_for_all_to_see(self) -> None:
        deposit = made(WALLET, "deposit", 30, 1)
        books = self.booked(deposit, spent(A, "channel_close", 40, at_s=1_700_000_009))
        first, second = (books.entries[f"allot:{TX}:{n}"] for n in (1, 2))
        assert first.postings == (("equity:onchain", -30), ("assets:transit", 30))
        assert second.postings == (("equity:onchain", 30), ("assets:transit", -30))
        assert second.at_s == 1_700_000_009
        assert books.open_transactions() == (TX,)
        third = allotment(TX, books.of_transaction(TX), [fee(A, 10, at_s=1_700_000_010)])
        assert third is not None
        assert third == Entry(
            f"allot:{TX}:3",
            1_700_000_010,
            "allotment",
            "bookkeeper",
            f'{{"rows":2,"fees":{{"{A}":10}}}}',
            ((f"expenses:closure:{A}", 10), ("assets:transit", -10)),
            TX,
        )
        books.book([third])
        assert books.open_transactions() == ()
        assert allotment(TX, books.of_transaction(TX), [fee(A, 10)]) is None

    def test_an_enormous_fee_that_is_taken_back_comes_out_right(self) -> None:
        books = PlainLedger()
        rows = [spent(WALLET, "withdrawal", 100), made(A, "channel_open", 90, opener=True)]
        take_chain(books, rows, [fee(WALLET, 100)])
        assert books.totals()["expenses:wallet"] == 100
        take_chain(books, rows, [fee(WALLET, 0), fee(A, 10)])
        assert "expenses:wallet" not in books.totals()
        assert books.totals()[f"expenses:opening:{A}"] == 10

    def test_a_fee_that_only_changes_its_account_has_no_part_in_transit(self) -> None:
        books = PlainLedger()
        rows = [spent(A, "channel_close", 40, output_count=1), made(WALLET, "deposit", 30, 1)]
        take_chain(books, rows, [fee(A, 10)])
        take_chain(books, [made(A, "channel_open", 0, 2)], [fee(A, 10)])
        assert books.entries[f"allot:{TX}:2"].postings == (
            (f"expenses:closure:{A}", -10),
            (f"expenses:splice:{A}", 10),
        )

    def test_it_says_where_the_fee_comes_from(self) -> None:
        rows = chain_entries([spent(WALLET, "withdrawal", 40), made(WALLET, "deposit", 30, 1)], "x")
        for fees, source in (([fee(WALLET, 10)], "bookkeeper"), (None, "inferred")):
            entry = allotment(TX, rows, fees)
            assert entry is not None
            assert entry.source == source


CLAIM = made(A, "htlc_fulfill", 20_007_000, 3, payment_hash="d" * 64)
THEIRS = made(EXTERNAL, "htlc_fulfill", 20_000_000, 2, origin=A, payment_hash="d" * 64)
INTO = forward(1, "1x1x1", "2x2x2", 20_007_888, 7_777, 10.0)
OUT = forward(1, "2x2x2", "1x1x1", 20_007_888, 7_777, 10.0)


class TestHtlcs:
    def test_which_rows_are_ends_of_htlcs(self) -> None:
        assert htlc_end(CLAIM) == HtlcEnd(A, "in", 20_007_000)
        assert htlc_end(THEIRS) == HtlcEnd(A, "out", 20_000_000)
        for row in (
            CLAIM._replace(tag="htlc_timeout"),
            CLAIM._replace(spending_txid=TX),
            CLAIM._replace(credit_msat=0),
            CLAIM._replace(account=WALLET),
            THEIRS._replace(origin=None),
            THEIRS._replace(origin=WALLET),
        ):
            assert htlc_end(row) is None
            assert payment_htlc(row) is None
            assert forward_htlc(row, [INTO, OUT], SCIDS, []) is None

    def test_a_claim_takes_the_forwards_amount_back_and_costs_what_was_cut_off(self) -> None:
        entry = forward_htlc(CLAIM, [INTO], SCIDS, [])
        assert entry is not None
        assert entry.postings == (
            (f"assets:channel:{A}", -20_007_888),
            ("assets:transit", 20_007_000),
            (f"expenses:dust:{A}", 888),
        )
        assert (entry.key, entry.kind, entry.txid) == (f"htlc:{TX}:3", "htlc", TX)

    def test_their_fulfilment_does_the_opposite(self) -> None:
        entry = forward_htlc(THEIRS, [OUT], SCIDS, [])
        assert entry is not None
        # The 111 msat are in the miners' fee, and left with the forward too.
        assert entry.postings == (
            (f"assets:channel:{A}", 20_000_111),
            ("assets:transit", -20_000_000),
            (f"expenses:dust:{A}", -111),
            # Of a forward that leaves on the chain bookkeeper lists no fee.
            (f"income:routing:{A}", 7_777),
            (f"income:chain-routing:{A}", -7_777),
        )

    @pytest.mark.parametrize(
        "changes",
        [
            {"status": FAILED},
            {"in_scid": "2x2x2"},
            {"in_msat": 20_008_000},
            {"in_msat": 20_006_999},
        ],
        ids=["failed", "elsewhere", "more", "less"],
    )
    def test_no_other_forward_is_taken(self, changes: dict[str, object]) -> None:
        other = INTO._replace(**changes)  # type: ignore[arg-type]  # as the cases say
        assert forward_htlc(CLAIM, [other], SCIDS, []) is None

    def test_a_forward_is_taken_on_its_own_side_alone(self) -> None:
        assert forward_htlc(THEIRS, [INTO], SCIDS, []) is None
        unknown = OUT._replace(out_msat=None)
        assert forward_htlc(THEIRS, [unknown], SCIDS, []) is None
        assert forward_htlc(THEIRS, [OUT._replace(out_scid=None)], SCIDS, []) is None

    def test_the_latest_is_taken_and_none_twice(self) -> None:
        earlier = INTO._replace(seq=5, in_msat=20_007_001, at_s=9.0)
        first = forward_htlc(CLAIM, [INTO, earlier], SCIDS, [])
        assert first is not None
        assert first.postings[0] == (f"assets:channel:{A}", -20_007_888)
        second_row = CLAIM._replace(outpoint=f"{TX}:9")
        second = forward_htlc(second_row, [INTO, earlier], SCIDS, [first])
        assert second is not None
        assert second.postings[0] == (f"assets:channel:{A}", -20_007_001)
        third_row = CLAIM._replace(outpoint=f"{TX}:11")
        assert forward_htlc(third_row, [INTO, earlier], SCIDS, [first, second]) is None

    def test_a_payment_of_our_own_left_for_others(self) -> None:
        theirs, claim = payment_htlc(THEIRS), payment_htlc(CLAIM)
        assert theirs is not None
        assert claim is not None
        assert dict(theirs.postings) == {
            "equity:payments": 20_000_000,
            "assets:transit": -20_000_000,
        }
        assert dict(claim.postings) == {
            "equity:payments": -20_007_000,
            "assets:transit": 20_007_000,
        }
        assert theirs.key == f"htlc:{TX}:2"

    def test_those_without_an_entry_are_found(self) -> None:
        entries = [*chain_entries([CLAIM, THEIRS, spent(A, "channel_close", 1)], "x")]
        assert htlcs_in(entries) == (CLAIM, THEIRS)
        tied = forward_htlc(CLAIM, [INTO], SCIDS, entries)
        assert tied is not None
        assert htlcs_in([*entries, tied]) == (THEIRS,)

    def test_a_closing_leaves_its_htlcs_to_their_entries(self) -> None:
        rows = [
            spent(A, "channel_close", 50_000_000, output_count=3),
            made(WALLET, "deposit", 29_000_000, 1),
            THEIRS,
            CLAIM,
        ]
        wanted = {f"expenses:closure:{A}": 1_000_000}
        assert allot(rows, [fee(A, 1_000_000)]) == allot(rows, None) == wanted
        books = PlainLedger()
        take_chain(books, rows, None, [INTO, OUT], SCIDS)
        assert books.open_transactions() == ()
        sums = summed(p for e in books.entries.values() for p in e.postings)
        assert sums[f"expenses:closure:{A}"] == 1_000_000
        assert sums[f"expenses:dust:{A}"] == 888 - 111
