"""The books port over a scripted node: pages, sums, windows, deadlines, what is not offered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cl_revenue_ops.adapters.breaker import OUTAGES_TO_OPEN
from cl_revenue_ops.adapters.capabilities import (
    REPROBE_AFTER_S,
)
from cl_revenue_ops.ports import CircuitOpen, MalformedReply, NodeRefused, TimedOut
from messages.node_books import (
    ChainMove,
    ChannelMove,
    MoveIndexes,
    RoutedSum,
)
from tests.unit.books_desk import (
    HASH,
    NOW,
    OTHER,
    TXID,
    A,
    B,
    Desk,
    a_desk,
    chain,
    invoice,
    moves,
    routed,
    spent,
)
from tests.unit.test_adapter_server import hang_up, refusal, result


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with a_desk(tmp_path) as it:
        yield it


class TestChannelMoves:
    """Forwards as sums, everything else row by row, no row twice."""

    def test_forwards_are_summed_and_the_early_ones_apart_too(self, desk: Desk) -> None:
        out = {"credit_msat": 0, "debit_msat": 1_000}
        desk.script(
            moves(
                routed(4),
                routed(5, B, **out),
                routed(6, timestamp=NOW + 1),
                routed(7, B, timestamp=NOW + 1, **out),
                routed(8, timestamp=NOW + 2),
            )
        )
        page = desk.books.channel_moves(4, 6, NOW + 1.5)
        assert page is not None
        assert page.routed == (
            RoutedSum(A, 3, 3_030, 0, 2, 2_020, 0),
            RoutedSum(B, 2, 0, 2_000, 2, 0, 2_000),
        )
        assert (page.rows, page.next_start, page.last, page.malformed) == ((), 9, True, 0)
        asked = {"index": "created", "start": 4, "limit": 6}
        assert desk.asked == [("listchannelmoves", asked)]

    def test_the_moment_itself_is_early(self, desk: Desk) -> None:
        desk.script(moves(routed(1)), moves(routed(1)))
        for early_s, early in ((float(NOW), 1), (NOW - 0.5, 0)):
            page = desk.books.channel_moves(1, 9, early_s)
            assert page is not None
            assert page.routed[0].early_rows == early

    def test_everything_else_comes_row_by_row(self, desk: Desk) -> None:
        pushed = routed(2, primary_tag="pushed", payment_hash=None)
        desk.script(moves(routed(1), pushed, invoice(3)))
        page = desk.books.channel_moves(1, 3, 0.0)
        assert page is not None
        assert page.rows == (
            ChannelMove(2, A, "pushed", 1_010, 0, 10, NOW),
            ChannelMove(3, A, "invoice", 0, 5_551, 551, NOW, HASH, 0, 1),
        )
        assert (page.next_start, page.last) == (4, False)

    def test_an_old_form_of_amounts_is_understood(self, desk: Desk) -> None:
        desk.script(moves(routed(1, credit_msat="1010msat", debit_msat="0msat")))
        page = desk.books.channel_moves(1, 3, 0.0)
        assert page is not None
        assert page.routed == (RoutedSum(A, 1, 1_010, 0, 0, 0, 0),)

    @pytest.mark.parametrize(
        "change",
        [
            {"credit_msat": 0},
            {"debit_msat": 1},
            {"credit_msat": -5, "debit_msat": 10},
            {"credit_msat": -5},
            {"credit_msat": True},
            {"credit_msat": 1 << 63},
            {"timestamp": None},
            {"timestamp": 1e30},
            {"timestamp": -1},
            {"account_id": "wallet"},
            {"account_id": None},
            {"account_id": [A]},
        ],
        ids=str,
    )
    def test_half_a_forward_that_makes_no_sense_is_counted(
        self, desk: Desk, change: dict[str, Any]
    ) -> None:
        desk.script(moves(routed(1), routed(2, **change)))
        page = desk.books.channel_moves(1, 2, 0.0)
        assert page is not None
        assert (page.routed[0].rows, page.malformed, page.next_start) == (1, 1, 3)
        assert desk.left_out.counts() == {"listchannelmoves": 1}

    @pytest.mark.parametrize("index", [None, "3", True, 2, 1 << 63, 3.0], ids=str)
    @pytest.mark.parametrize("made", [routed, invoice])
    def test_a_row_whose_index_does_not_grow_is_not_counted_twice(
        self, desk: Desk, made: Any, index: object
    ) -> None:
        desk.script(moves(routed(2), made(index), routed(4), None, 5))
        page = desk.books.channel_moves(2, 5, 0.0)
        assert page is not None
        assert (page.rows, page.routed[0].rows, page.malformed) == ((), 2, 3)
        assert page.next_start == 5

    def test_a_row_before_the_start_is_not_taken(self, desk: Desk) -> None:
        desk.script(moves(routed(3), routed(4)))
        page = desk.books.channel_moves(4, 2, 0.0)
        assert page is not None
        assert page.routed[0].rows == 1

    def test_a_page_that_leads_nowhere_is_malformed(self, desk: Desk) -> None:
        desk.script(moves(routed(None)), chain(spent(None)))
        with pytest.raises(MalformedReply, match="does not grow"):
            desk.books.channel_moves(4, 1, 0.0)
        with pytest.raises(MalformedReply, match="does not grow"):
            desk.books.chain_moves(4, 1)

    def test_amounts_beyond_all_money_are_malformed(self, desk: Desk) -> None:
        desk.script(moves(*(routed(n, credit_msat=(1 << 63) - 1) for n in (1, 2))))
        with pytest.raises(MalformedReply, match="more money"):
            desk.books.channel_moves(1, 9, 0.0)

    def test_what_moved_nothing_is_neither_told_nor_malformed(self, desk: Desk) -> None:
        still = invoice(1, debit_msat=0, fees_msat=0)
        desk.script(moves(still))
        page = desk.books.channel_moves(1, 1, 0.0)
        assert page is not None
        assert (page.rows, page.malformed, page.next_start) == ((), 0, 2)

    def test_a_number_that_others_chose_too_large_costs_no_row(self, desk: Desk) -> None:
        desk.script(moves(invoice(1, group_id=(1 << 64) - 1)))
        page = desk.books.channel_moves(1, 1, 0.0)
        assert page is not None
        assert (page.rows[0].part_id, page.rows[0].group_id) == (0, None)

    @pytest.mark.parametrize(("start", "limit"), [(-1, 5), (1, 0), (1, 1 << 32)])
    def test_a_page_that_cannot_be_is_not_asked_for(
        self, desk: Desk, start: int, limit: int
    ) -> None:
        with pytest.raises(ValueError, match="no such page"):
            desk.books.channel_moves(start, limit, 0.0)
        with pytest.raises(ValueError, match="no such page"):
            desk.books.chain_moves(start, limit)
        assert desk.asked == []


class TestChainMoves:
    """Every row, also of what is outside."""

    def test_rows_as_they_are(self, desk: Desk) -> None:
        outside = spent(
            2, account_id="external", credit_msat=7, debit_msat=0, primary_tag="deposit",
            originating_account=A, spending_txid=None, utxo=f"{OTHER}:0", blockheight=0,
        )  # fmt: skip
        spliced = spent(4, account_id=A, primary_tag="channel_close", extra_tags=["x", "splice"])
        opened = spent(5, account_id=A, primary_tag="channel_open", extra_tags=["opener"])
        desk.script(chain(spent(1), outside, spent(3, payment_hash=HASH), spliced, opened))
        page = desk.books.chain_moves(1, 100)
        assert page is not None
        plain = ChainMove(1, "wallet", "withdrawal", 0, 9_000, NOW, f"{TXID}:1", OTHER, None, None,
                          124, 9_000)  # fmt: skip
        assert page.rows == (
            plain,
            ChainMove(2, "external", "deposit", 7, 0, NOW, f"{OTHER}:0", None, A, None, 0, 9_000),
            plain._replace(created_index=3, payment_hash=HASH),
            plain._replace(created_index=4, account=A, tag="channel_close", spliced=True),
            plain._replace(created_index=5, account=A, tag="channel_open", opener=True),
        )
        assert (page.rows[0].txid, page.rows[1].txid) == (OTHER, OTHER)
        assert (page.next_start, page.last, page.malformed) == (6, True, 0)

    def test_a_malformed_row_is_counted_and_passed_over(self, desk: Desk) -> None:
        desk.script(chain(spent(1), spent(2, utxo="here"), spent(2), spent(3, credit_msat=1)))
        page = desk.books.chain_moves(1, 4)
        assert page is not None
        assert ([row.created_index for row in page.rows], page.malformed) == ([1], 3)
        assert (page.next_start, page.last) == (4, False)
        assert desk.left_out.counts() == {"listchainmoves": 3}


class TestIndexes:
    """The newest index of either list."""

    def test_both_are_asked_at_once_without_waiting(self, desk: Desk) -> None:
        desk.script(result({"created": 7}), result({"created": 0}))
        assert desk.books.move_indexes() == MoveIndexes(7, 0)
        assert desk.asked == [
            ("wait", {"subsystem": "chainmoves", "indexname": "created", "nextvalue": 0}),
            ("wait", {"subsystem": "channelmoves", "indexname": "created", "nextvalue": 0}),
        ]

    @pytest.mark.parametrize("code", [-32601, -32602])
    def test_a_node_without_the_lists_says_so_and_is_left_alone_for_an_hour(
        self, desk: Desk, code: int
    ) -> None:
        desk.script(refusal(code, "no"), refusal(code, "no"))
        for _ in range(2):
            assert desk.books.move_indexes() == MoveIndexes(None, None)
            assert desk.books.channel_moves(1, 9, 0.0) is None
            assert desk.books.chain_moves(1, 9) is None
        assert len(desk.asked) == 2
        desk.bench.clock.now_s += REPROBE_AFTER_S
        desk.script(chain(), moves())
        assert desk.books.chain_moves(1, 9) is not None
        assert desk.books.channel_moves(1, 9, 0.0) is not None
        states = desk.capabilities.states()
        assert states["listchainmoves (v25.09)"] is states["listchannelmoves (v25.09)"] is True

    def test_the_lists_themselves_may_be_missing(self, desk: Desk) -> None:
        desk.script(refusal(-32601, "no"), refusal(-32601, "no"))
        assert desk.books.channel_moves(1, 9, 0.0) is None
        assert desk.books.chain_moves(1, 9) is None
        assert desk.books.move_indexes() == MoveIndexes(None, None)

    def test_other_refusals_pass_and_what_is_no_index_is_malformed(self, desk: Desk) -> None:
        desk.script(refusal(-1, "no"), result({"created": None}), refusal(-1, "no"), result({}))
        with pytest.raises(NodeRefused):
            desk.books.move_indexes()
        with pytest.raises(MalformedReply):
            desk.books.move_indexes()
        with pytest.raises(NodeRefused):
            desk.books.channel_moves(1, 9, 0.0)
        with pytest.raises(MalformedReply):
            desk.books.chain_moves(1, 9)

    def test_outages_here_hold_back_no_forwards_and_no_bookkeeper(self, desk: Desk) -> None:
        desk.script(*[hang_up] * OUTAGES_TO_OPEN)
        for _ in range(OUTAGES_TO_OPEN):
            with pytest.raises(TimedOut):
                desk.books.move_indexes()
        with pytest.raises(CircuitOpen, match="'moves'"):
            desk.books.move_indexes()
        with pytest.raises(CircuitOpen):
            desk.books.chain_moves(1, 9)
        desk.script(result({"created": 3}), result({"accounts": []}))
        desk.bench.rpc.call("wait", {"subsystem": "forwards"})
        assert desk.books.account_balances() == ()
