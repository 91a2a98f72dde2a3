"""The books port over a scripted node: pages, sums, windows, deadlines, what is not offered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cl_revenue_ops.adapters.books import BOOKKEEPER_S, LightningBooks
from cl_revenue_ops.adapters.breaker import OUTAGES_TO_OPEN, group_of
from cl_revenue_ops.adapters.capabilities import (
    BOOKKEEPER_REPROBE_AFTER_S,
    REPROBE_AFTER_S,
    Capabilities,
)
from cl_revenue_ops.adapters.tally import Tally
from cl_revenue_ops.ports import Books, CircuitOpen, MalformedReply, NodeRefused, TimedOut
from messages.node_books import (
    AccountBalance,
    ChainMove,
    ChannelMove,
    IncomeSum,
    MoveIndexes,
    OnchainFee,
    RoutedSum,
)
from tests.unit.test_adapter_server import Bench, Step, a_bench, hang_up, refusal, result

A, B, PEER = "aa" * 32, "bb" * 32, "02" + "cc" * 32
HASH, TXID, OTHER = "da" * 32, "7e" * 32, "8f" * 32
NOW = 1_795_000_000


class Desk:
    """The books on a bench."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.capabilities = Capabilities(bench.clock)
        self.left_out = Tally()
        self.books: Books = LightningBooks(bench.rpc, self.capabilities, self.left_out)

    def script(self, *steps: Step) -> None:
        """What the node will answer, in turn; everything after that is a lost connection."""
        self.bench.node.steps = list(steps)

    @property
    def asked(self) -> list[tuple[str, dict[str, Any]]]:
        """Method and parameters of each request so far."""
        return [(request["method"], request["params"]) for request in self.bench.node.requests]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with a_bench(tmp_path) as bench:
        yield Desk(bench)


def routed(index: object, account: object = A, **changes: object) -> dict[str, Any]:
    """Half a forward as listchannelmoves has it."""
    return {
        "created_index": index, "account_id": account, "credit_msat": 1_010, "debit_msat": 0,
        "timestamp": NOW, "primary_tag": "routed", "payment_hash": HASH, "fees_msat": 10, **changes,
    }  # fmt: skip


def invoice(index: object, **changes: object) -> dict[str, Any]:
    """What a payment of ours took out of a channel."""
    paid = {"credit_msat": 0, "debit_msat": 5_551, "fees_msat": 551, "part_id": 0, "group_id": 1}
    return {**routed(index), "primary_tag": "invoice", **paid, **changes}


def spent(index: object, **changes: object) -> dict[str, Any]:
    """An output of the wallet that was spent."""
    return {
        "created_index": index, "account_id": "wallet", "credit_msat": 0, "debit_msat": 9_000,
        "timestamp": NOW, "primary_tag": "withdrawal", "extra_tags": [], "utxo": f"{TXID}:1",
        "spending_txid": OTHER, "output_msat": 9_000, "blockheight": 124, **changes,
    }  # fmt: skip


def moves(*rows: object) -> Step:
    return result({"channelmoves": list(rows)})


def chain(*rows: object) -> Step:
    return result({"chainmoves": list(rows)})


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


def event(kind: str, tag: str, credit: int, debit: int, **more: object) -> dict[str, Any]:
    """One event as bkpr-listaccountevents has it."""
    return {
        "account": A, "type": kind, "tag": tag, "credit_msat": credit, "debit_msat": debit,
        "currency": "bcrt", "timestamp": NOW, **more,
    }  # fmt: skip


def events(*rows: object) -> Step:
    return result({"events": list(rows)})


class TestAccountEvents:
    """All that bookkeeper has of one account."""

    def test_corrections_are_summed_and_zeros_are_kept(self, desk: Desk) -> None:
        desk.script(
            events(
                event("onchain_fee", "onchain_fee", 900, 0, txid=TXID, timestamp=NOW + 9),
                event("onchain_fee", "onchain_fee", 70, 0, txid=OTHER),
                event("onchain_fee", "onchain_fee", 0, 900, txid=TXID, timestamp=NOW + 3),
                event("onchain_fee", "onchain_fee", 0, 75, txid=OTHER, timestamp=NOW + 1),
            )
        )
        found = desk.books.account_events(A, 0.0)
        assert found is not None
        assert found.fees == (OnchainFee(A, OTHER, -5, NOW + 1), OnchainFee(A, TXID, 0, NOW + 9))
        assert desk.asked == [("bkpr-listaccountevents", {"account": A})]

    def test_movements_of_both_kinds_and_forwards_as_a_sum(self, desk: Desk) -> None:
        desk.script(
            events(
                event("chain", "channel_close", 0, 90, outpoint=f"{TXID}:1", txid=OTHER,
                      blockheight=7),
                event("chain", "deposit", 8, 0, outpoint=f"{OTHER}:0", origin=B, payment_id=HASH),
                event("channel", "invoice", 0, 55, fees_msat=5, payment_id=HASH, part_id=2),
                event("channel", "invoice", 0, 0),
                event("channel", "routed", 10, 0, timestamp=NOW + 1),
                event("channel", "routed", 0, 20),
            )
        )  # fmt: skip
        found = desk.books.account_events(A, NOW)
        assert found is not None
        assert found.chain == (
            ChainMove(None, A, "channel_close", 0, 90, NOW, f"{TXID}:1", OTHER, blockheight=7),
            ChainMove(None, A, "deposit", 8, 0, NOW, f"{OTHER}:0", None, B, HASH),
        )
        assert found.channel == (ChannelMove(None, A, "invoice", 0, 55, 5, NOW, HASH, 2),)
        assert found.routed == RoutedSum(A, 2, 10, 20, 1, 0, 20)
        assert (found.account, found.malformed) == (A, 0)

    def test_what_is_malformed_is_counted(self, desk: Desk) -> None:
        desk.script(
            events(
                event("channel", "routed", 1, 1),
                event("channel", "invoice", 0, 5, fees_msat=6),
                event("chain", "deposit", 8, 0),
                event("onchain_fee", "onchain_fee", 8, 0),
                event("unheard", "of", 1, 0),
                event(["chain"], "deposit", 1, 0),  # type: ignore[arg-type]  # what may come in
                None,
            )
        )
        found = desk.books.account_events(A, 0.0)
        assert found is not None
        assert (found.fees, found.chain, found.channel, found.routed) == ((), (), (), None)
        assert found.malformed == 7
        assert desk.left_out.counts() == {"bkpr-listaccountevents": 7}

    def test_an_account_that_is_not_known_is_none_and_bookkeeper_is_there(self, desk: Desk) -> None:
        unknown = refusal(-32602, "Account not found")
        desk.script(unknown, unknown, events())
        assert desk.books.account_events(B, 0.0) is None
        found = desk.books.account_events(A, 0.0)
        assert found is not None
        assert found.routed is None


class TestBookkeeper:
    """Not there, there again, slow, and out of order."""

    def test_where_it_is_not_nobody_asks_for_five_minutes(self, desk: Desk) -> None:
        desk.script(refusal(-32601, "Unknown command"))
        for _ in range(2):
            assert desk.books.account_balances() is None
            assert desk.books.account_events(A, 0.0) is None
            assert desk.books.income(0, NOW) is None
        assert len(desk.asked) == 1
        desk.bench.clock.now_s += BOOKKEEPER_REPROBE_AFTER_S
        desk.script(result({"accounts": []}))
        assert desk.books.account_balances() == ()
        assert desk.capabilities.states()["the commands of bookkeeper"] is True

    def test_its_absence_shows_in_every_command(self, desk: Desk) -> None:
        for read in (
            lambda: desk.books.account_events(A, 0.0),
            lambda: desk.books.income(0, NOW),
        ):
            desk.script(refusal(-32601, "no"), refusal(-32601, "no"))
            assert read() is None
            desk.bench.clock.now_s += BOOKKEEPER_REPROBE_AFTER_S

    def test_other_refusals_pass(self, desk: Desk) -> None:
        desk.script(refusal(-4, "plugin terminated"), refusal(-32602, "no parameters"))
        for _ in range(2):
            with pytest.raises(NodeRefused):
                desk.books.account_balances()

    def test_it_has_two_minutes_or_what_the_operator_grants(self, desk: Desk) -> None:
        desk.script(*[result({"accounts": []})] * 2, result({"outputs": []}))
        desk.books.account_balances()
        desk.bench.timeout_s = 300.0
        desk.books.account_balances()
        desk.books.wallet()
        desk.bench.timeout_s = 5.0
        desk.script(events(), result({"income_events": []}), moves())
        desk.books.account_events(A, 0.0)
        desk.books.income(0, NOW)
        desk.books.channel_moves(1, 9, 0.0)
        assert [deadline_s for _, deadline_s in desk.bench.lease.calls] == [
            BOOKKEEPER_S, 300.0, 300.0, BOOKKEEPER_S, BOOKKEEPER_S, 5.0,
        ]  # fmt: skip

    def test_its_outages_hold_back_nothing_else(self, desk: Desk) -> None:
        desk.script(*[hang_up] * OUTAGES_TO_OPEN)
        for _ in range(OUTAGES_TO_OPEN):
            with pytest.raises(TimedOut):
                desk.books.income(0, NOW)
        for read in (
            desk.books.account_balances,
            lambda: desk.books.account_events(A, 0.0),
            lambda: desk.books.income(0, NOW),
        ):
            with pytest.raises(CircuitOpen, match="'bookkeeper'"):
                read()
        desk.script(moves(), result({"outputs": []}))
        desk.books.channel_moves(1, 9, 0.0)
        desk.books.wallet()
        groups = {group_of(method) for method in ("listfunds", "listchainmoves", "wait", "getinfo")}
        assert "bookkeeper" not in groups

    @pytest.mark.parametrize("reply", [{}, {"accounts": None}, {"events": {}}], ids=str)
    def test_what_is_no_list_is_malformed(self, desk: Desk, reply: dict[str, object]) -> None:
        desk.script(*[result(reply)] * 4)
        for read in (
            desk.books.account_balances,
            lambda: desk.books.account_events(A, 0.0),
            lambda: desk.books.income(0, NOW),
            desk.books.wallet,
        ):
            with pytest.raises(MalformedReply):
                read()


class TestBalances:
    """Accounts of bookkeeper and outputs of the wallet."""

    def test_accounts(self, desk: Desk) -> None:
        held = [{"balance_msat": 5, "coin_type": "bcrt"}]
        desk.script(
            result(
                {
                    "accounts": [
                        {"account": "wallet", "balances": held},
                        {"account": "external", "balances": held},
                        {"account": A, "peer_id": PEER, "we_opened": True, "account_closed": True,
                         "account_resolved": False, "balances": []},
                        {"account": B, "balances": [{"balance_msat": "7msat"}]},
                        {"account": B, "balances": [{"balance_msat": -7}]},
                        {"account": B, "balances": [None]},
                        {"account": B},
                        None,
                    ]
                }
            )
        )  # fmt: skip
        assert desk.books.account_balances() == (
            AccountBalance("wallet", 5),
            AccountBalance(A, 0, PEER, True, True, False),
            AccountBalance(B, 7),
        )
        assert desk.left_out.counts() == {"bkpr-listbalances": 4}

    def test_outputs(self, desk: Desk) -> None:
        def output(amount: object, status: object, reserved: object = False) -> dict[str, Any]:
            return {"amount_msat": amount, "status": status, "reserved": reserved}

        rows = [
            output(1, "confirmed"), output(2, "confirmed", None), output(4, "confirmed", True),
            output(8, "unconfirmed"), output(16, "unconfirmed", True), output(32, "immature"),
            output(64, "spent"), output("128msat", "confirmed"), output(256, "not heard of yet"),
            output(-1, "confirmed"), output(512, None), output(512, "confirmed", "no"), None,
        ]  # fmt: skip
        desk.script(result({"outputs": rows, "channels": []}))
        assert desk.books.wallet() == (1 + 2 + 128, 4, 8 + 16 + 32 + 256)
        assert desk.left_out.counts() == {"listfunds": 4}


class TestIncome:
    """Sums over a window, whatever the release makes of it."""

    def test_sums_by_account_and_tag_within_the_window(self, desk: Desk) -> None:
        def row(account: str, tag: str, credit: int, debit: int, at_s: object) -> dict[str, Any]:
            return {
                "account": account, "tag": tag, "credit_msat": credit, "debit_msat": debit,
                "timestamp": at_s, "currency": "bcrt", "txid": TXID,
            }  # fmt: skip

        rows = [
            row(B, "routed", 5, 0, NOW),
            row(B, "routed", 6, 0, NOW + 1),
            row(B, "routed", 7, 0, NOW + 9),
            row(A, "onchain_fee", 0, 900, NOW + 9),
            row(A, "onchain_fee", 890, 0, NOW + 9),
            row(A, "onchain_fee", 0, 1, NOW + 10),
            row("wallet", "onchain_fee", 3, 3, NOW + 2),
            row(A, "routed", 1, 0, "soon"),
        ]
        desk.script(result({"income_events": rows}))
        assert desk.books.income(NOW, NOW + 9) == (
            IncomeSum(A, "onchain_fee", 890, 900),
            IncomeSum(B, "routed", 13, 0),
            IncomeSum("wallet", "onchain_fee", 3, 3),
        )
        window = {"start_time": NOW, "end_time": NOW + 9}
        assert desk.asked == [("bkpr-listincome", {"consolidate_fees": False, **window})]
        assert desk.left_out.counts() == {"bkpr-listincome": 1}

    @pytest.mark.parametrize(("from_s", "until_s"), [(-1, 5), (0, 1 << 32)])
    def test_a_window_that_cannot_be_is_not_asked_for(
        self, desk: Desk, from_s: int, until_s: int
    ) -> None:
        with pytest.raises(ValueError, match="no such window"):
            desk.books.income(from_s, until_s)
        assert desk.asked == []


def test_only_what_is_used_is_asked_for_unless_the_node_cannot_leave_it_away(desk: Desk) -> None:
    desk.script(events(), result({"income_events": []}), result({"outputs": []}))
    desk.books.account_events(A, 0.0)
    desk.books.income(0, NOW)
    desk.books.wallet()
    filters = [request["filter"] for request in desk.bench.node.requests]
    assert "currency" not in filters[0]["events"][0]
    assert filters[0]["events"][0]["payment_id"] is True
    assert set(filters[1]["income_events"][0]) == {
        "account", "tag", "credit_msat", "debit_msat", "timestamp",
    }  # fmt: skip
    assert set(filters[2]["outputs"][0]) == {"amount_msat", "status", "reserved"}
    desk.script(refusal(-32600, "no filter"), result({"outputs": []}), result({"outputs": []}))
    desk.books.wallet()
    desk.books.wallet()
    assert "filter" not in desk.bench.node.requests[-1]
