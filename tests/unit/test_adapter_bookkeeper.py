"""The books port over a scripted node: bookkeeper, balances, income, the wallet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cl_revenue_ops.adapters.books import BOOKKEEPER_S
from cl_revenue_ops.adapters.breaker import OUTAGES_TO_OPEN, group_of
from cl_revenue_ops.adapters.capabilities import (
    BOOKKEEPER_REPROBE_AFTER_S,
)
from cl_revenue_ops.ports import CircuitOpen, MalformedReply, NodeRefused, TimedOut
from messages.node_books import (
    AccountBalance,
    ChainMove,
    ChannelMove,
    IncomeSum,
    OnchainFee,
    RoutedSum,
)
from tests.unit.books_desk import (
    HASH,
    NOW,
    OTHER,
    PEER,
    TXID,
    A,
    B,
    Desk,
    a_desk,
    event,
    moves,
)
from tests.unit.test_adapter_server import Step, hang_up, refusal, result


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with a_desk(tmp_path) as it:
        yield it


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
