"""Estimates, imports that give way, the opening entry, what ended channels lost, comparisons."""

from __future__ import annotations

import pytest

from cl_revenue_ops.domain.ledger import accounts, assertions, estimates, opening, residue, summary
from cl_revenue_ops.domain.ledger.assertions import OurBooks
from messages.books import ChannelBooks, Entry
from messages.channels import ChannelEntry, ChannelFact
from messages.forwards import ScidTotals
from messages.node_books import AccountBalance, IncomeSum, NodeBalances

A, B, PEER = "aa" * 32, "bb" * 32, "02" + "cc" * 32
NOW_S = 1_795_000_000.0


def balanced(entry: Entry | None) -> dict[str, int]:
    assert entry is not None
    assert sum(msat for _, msat in entry.postings) == 0
    return dict(entry.postings)


def channel(opener: str, *scids: str, closed: bool = False) -> ChannelEntry:
    fact = ChannelFact(A, PEER, "CHANNELD_NORMAL", True, True, alias_scid="1x1x9", opener=opener)
    return ChannelEntry(A, PEER, scids, NOW_S - 100, closed, fact)


class TestEstimates:
    def test_what_we_opened_costs_and_what_they_opened_does_not(self) -> None:
        made = estimates.entries([channel("local", "1x1x9", "5x1x0", closed=True)], (), NOW_S)
        sums = [balanced(entry) for entry in made]
        assert sums == [
            {f"expenses:opening:{A}": 5_000_000, accounts.ESTIMATED: -5_000_000},
            {f"expenses:closure:{A}": 3_000_000, accounts.ESTIMATED: -3_000_000},
        ]
        assert {entry.source for entry in made} == {"estimate"}
        assert estimates.entries([channel("remote", "5x1x0", closed=True)], (), NOW_S) == []

    def test_each_further_scid_is_a_splice_and_a_booked_cost_is_not_estimated(self) -> None:
        spliced = channel("local", "1x1x9", "5x1x0", "6x1x0", "7x1x0")
        made = estimates.entries([spliced], {f"expenses:opening:{A}"}, NOW_S)
        assert [entry.key.rpartition(":")[2] for entry in made] == ["6x1x0", "7x1x0"]
        assert estimates.estimated(made) == {A}

    def test_undone_is_the_other_way_round(self) -> None:
        made = estimates.entries([channel("local", "5x1x0")], (), NOW_S)
        (back,) = estimates.undone(made, NOW_S)
        assert balanced(back) == {a: -msat for a, msat in made[0].postings}
        assert back.key == f"undone:{made[0].key}"


class TestImports:
    GUESS = Entry(
        "import:1", 1, "imported opening estimate", "import", "{}",
        ((f"expenses:opening:{A}", 5_000), (accounts.IMPORTED, -5_000)),
    )  # fmt: skip
    REBALANCE = Entry(
        "import:2", 1, "imported rebalance", "import", "{}",
        ((f"expenses:other-rebalance:{A}", 70), (accounts.IMPORTED, -70)),
    )  # fmt: skip

    def test_they_stand_while_the_node_tells_nothing(self) -> None:
        totals = [(f"expenses:opening:{A}", 5_000), (f"expenses:other-rebalance:{A}", 99)]
        assert estimates.overtaken([self.GUESS, self.REBALANCE], totals, NOW_S) == []
        assert estimates.guessed([self.GUESS, self.REBALANCE]) == [self.GUESS]

    def test_a_record_of_the_node_takes_the_place_of_an_import_once(self) -> None:
        totals = [(f"expenses:opening:{A}", 5_000 + 712)]
        (back,) = estimates.overtaken([self.GUESS], totals, NOW_S)
        assert balanced(back)[f"expenses:opening:{A}"] == -5_000
        after = [(f"expenses:opening:{A}", 712)]
        assert estimates.overtaken([self.GUESS, back], after, NOW_S) == []
        assert estimates.guessed([self.GUESS, back]) == []


class TestOpening:
    def test_deleted_forwards_give_the_channels_what_is_missing(self) -> None:
        entry = opening.by_moves(NOW_S, {A: 100, B: -90}, {A: 350, B: -335}, {}, frozenset(), 5)
        assert balanced(entry) == {
            f"assets:channel:{A}": 250,
            f"assets:channel:{B}": -245,
            accounts.UNATTRIBUTED: -5,
        }

    def test_without_deleted_ones_an_ended_channel_is_left_to_the_residue(self) -> None:
        assert opening.by_moves(NOW_S, {A: 100}, {A: 40}, {}, {A}, 0) is None
        assert opening.by_moves(NOW_S, {A: 100}, {A: 40}, {A: -60}, frozenset(), 0) is None

    def test_what_was_in_an_opening_figure_is_no_loss(self) -> None:
        entry = opening.by_moves(NOW_S, {A: 100}, {A: 40}, {}, frozenset(), 0)
        assert balanced(entry) == {f"assets:channel:{A}": -60, accounts.COUNTED: 60}
        entry = opening.by_moves(NOW_S, {A: 40}, {A: 100}, {}, frozenset(), 0)
        assert balanced(entry) == {f"assets:channel:{A}": 60, accounts.OPENING_BALANCE: -60}

    @pytest.mark.parametrize(("collected", "missing"), [(100, 30), (70, 0), (50, 0)])
    def test_the_counter_fills_up_and_leaves_its_mark(self, collected: int, missing: int) -> None:
        entry = opening.by_counter(NOW_S, collected, 70)
        assert -balanced(entry).get(accounts.UNATTRIBUTED, 0) == missing


class TestResidue:
    def test_what_never_moved_is_lost_and_booked_once(self) -> None:
        entry = residue.entry(A, 900, 300, [], NOW_S)
        assert balanced(entry) == {f"assets:channel:{A}": -600, f"expenses:dust:{A}": 600}
        assert entry is not None
        assert residue.entry(A, 900, 300, [entry], NOW_S) is None
        more = residue.entry(A, 950, 300, [entry], NOW_S)
        assert more is not None
        assert (more.key, balanced(more)[f"expenses:dust:{A}"]) == (f"unmoved:{A}:2", 50)

    def test_what_other_entries_make_up_for_is_not_lost(self) -> None:
        tied = Entry("htlc:x", 1, "htlc", "x", "{}", ((f"assets:channel:{A}", -600),))
        paid = Entry("channelmove:1", 1, "payment", "x", "{}", ((f"assets:channel:{A}", -600),))
        assert residue.entry(A, 900, 300, [tied], NOW_S) is None
        assert residue.entry(A, 900, 300, [paid], NOW_S) is not None


class TestComparisons:
    OURS = OurBooks(
        {accounts.WALLET: 5_000, f"assets:channel:{A}": 1_000, accounts.UNATTRIBUTED: -7},
        (ChannelBooks(A, in_msat=500, out_msat=200, out_fees_msat=3),),
    )

    def test_every_account_of_either_side_is_compared(self) -> None:
        held = (AccountBalance("wallet", 5_000), AccountBalance(B, 9))
        node = NodeBalances(NOW_S, held, ((A, 1_300),), 10, 4_000, 900, 50)
        rows = {
            (row.what, row.account): (row.remainder_msat, row.note)
            for row in assertions.of_balances(node, self.OURS)
        }
        assert rows == {
            ("balance", A): (1_300, None),
            ("balance", B): (-9, None),
            ("balance", "wallet"): (0, None),
            ("channel balance", A): (0, None),
            ("confirmed outputs", "wallet"): (100, assertions.UNDER_WAY),
        }
        assert assertions.of_fees(node, self.OURS).remainder_msat == 0

    def test_income_by_channel_unless_forwards_were_deleted(self) -> None:
        income = [IncomeSum(A, "routed", 10, 0), IncomeSum(A, "rebalance_fee", 0, 4)]
        rows = assertions.of_income(income, self.OURS, whole_life=True)
        assert [(r.what, r.account, r.remainder_msat) for r in rows] == [
            ("routing income", "total", 0), ("rebalance costs", "total", -4),
        ]  # fmt: skip
        rows = assertions.of_income(income, self.OURS, whole_life=False)
        assert [(r.what, r.account, r.remainder_msat) for r in rows] == [
            ("routing income", A, -7), ("rebalance costs", "total", -4),
        ]  # fmt: skip

    def test_words_name_the_largest(self) -> None:
        rows = assertions.of_income([IncomeSum(A, "routed", 10, 0)], self.OURS, whole_life=False)
        assert "-7 msat" in assertions.in_words(rows)
        assert "every row agrees" in assertions.in_words([])


def test_all_scids_of_a_channel_are_one_and_an_unknown_one_stands_for_itself() -> None:
    rows = [
        ScidTotals("1x1x1", 1, 100, 2, 3, 400, 5, 6, 7, 8, 9),
        ScidTotals("2x1x1", 10, 20, 30, 40, 50, 60, 1, 0, 1, 0),
        ScidTotals("9x9x9", 1, 1, 1, 1, 1, 1, 1, 1, 1, 1),
        ScidTotals("", 5, 5, 5, 5, 5, 5, 5, 5, 5, 5),
    ]
    totals = [(f"income:penalty:{A}", -11), (f"expenses:dust:{A}", 3), (f"expenses:closure:{A}", 4)]
    one, other = summary.by_channel(rows, totals, {"1x1x1": A, "2x1x1": A}, frozenset((A,)))
    assert (other.channel_id, one.channel_id) == (A, "9x9x9")
    assert other == ChannelBooks(
        A, 11, 120, 32, 43, 450, 65, 14, 18, penalty_msat=11, closure_msat=7, estimated=True
    )
    assert one.estimated is False
    assert (other.revenue_msat, other.costs_msat, other.net_msat) == (76, 7, 69)
