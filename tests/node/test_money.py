"""Money records and bookkeeper of the node: one story in this order, on one line."""

from __future__ import annotations

import pytest

from tests.node.line import Line, Row, wait_for
from tests.node.money_books import (
    accounts,
    agree,
    balance_msat,
    balances_agree,
    committed,
    events,
    income,
    moved,
    sums,
)
from tests.node.money_line import Money, money_of
from tests.node.wire import RpcError

CAPACITY_SAT = 1_000_000
PATIENCE_BLOCKS = 250


@pytest.fixture(scope="module")
def money(line: Line) -> Money:
    return money_of(line)


@pytest.fixture(scope="module")
def others(money: Money) -> dict[str, str]:
    """Two more channels with the payee, each with a push of odd millisatoshi."""
    return {
        "ours": money.open("middle", CAPACITY_SAT, 300_000_456),
        "theirs": money.open("payee", CAPACITY_SAT, 200_000_123),
    }


def test_what_we_opened_cost_us_and_what_they_opened_did_not(line: Line) -> None:
    agree(line)
    ours, theirs = line.outgoing, line.incoming
    opened = {row["account"]: row for row in events(line) if row["tag"] == "channel_open"}
    assert opened[ours["channel_id"]]["credit_msat"] == ours["total_msat"]
    assert opened[theirs["channel_id"]]["credit_msat"] == 0
    costs = sums(events(line))
    assert costs.keys() == {(ours["channel_id"], ours["funding_txid"])}
    # Until it knew the channel, the bookkeeper took the whole payment for a fee of the wallet.
    first, back = (row for row in events(line, account="wallet") if row["type"] == "onchain_fee")
    (cost_msat,) = costs.values()
    assert first["credit_msat"] == back["debit_msat"] == ours["total_msat"] + cost_msat
    row = accounts(line)[ours["channel_id"]]
    assert (row["we_opened"], row["account_closed"], row["account_resolved"]) == (
        True, False, False,
    )  # fmt: skip
    assert (row["peer_id"], "resolved_at_block" in row) == (line.payee_id, False)
    assert accounts(line)[theirs["channel_id"]]["we_opened"] is False
    assert "external" not in accounts(line)


class TestForwards:
    """What others pay through us, as long as there is but one channel to the payee."""

    def test_a_forward_is_two_rows_with_one_fee(self, line: Line) -> None:
        fee_msat = line.fee_msat(10_000_000)
        rows = moved(line, "listchannelmoves", lambda: line.pay(10_000_000), 2)
        assert {row["primary_tag"] for row in rows} == {"routed"}
        assert {row["fees_msat"] for row in rows} == {fee_msat}
        assert len({row["payment_hash"] for row in rows}) == 1
        # Which side is let go first is the peers' choice.
        assert sorted((row["credit_msat"], row["debit_msat"]) for row in rows) == [
            (0, 10_000_000), (10_000_000 + fee_msat, 0),
        ]  # fmt: skip
        assert not any({"part_id", "group_id"} & row.keys() for row in rows)
        earned = [row for row in income(line) if row["tag"] == "routed"]
        assert [row["credit_msat"] for row in earned] == [fee_msat]
        agree(line)

    def test_a_failed_forward_moves_nothing(self, line: Line) -> None:
        moved(line, "listchannelmoves", lambda: line.pay(10_000_001, "failed"), 0)
        agree(line)


def test_pushes(line: Line, money: Money, others: dict[str, str]) -> None:
    agree(line)
    ours, theirs = money.channel(others["ours"]), money.channel(others["theirs"])
    assert (ours["to_us_msat"], theirs["to_us_msat"]) == (699_999_544, 200_000_123)
    pushed = {
        row["account"]: (row["credit_msat"], row["debit_msat"])
        for row in events(line)
        if row["tag"] == "pushed"
    }
    assert pushed == {others["ours"]: (0, 300_000_456), others["theirs"]: (200_000_123, 0)}
    chain = line.call("listchainmoves")["chainmoves"]
    opens = {r["account_id"]: r for r in chain if r["primary_tag"] == "channel_open"}
    assert opens[others["ours"]]["extra_tags"] == ["opener"]
    assert opens[others["theirs"]]["extra_tags"] == []
    for row in (ours, theirs):
        move = opens[row["channel_id"]]
        assert move["peer_id"] == line.payee_id
        assert move["utxo"] == f"{row['funding_txid']}:{row['funding_outnum']}"
        assert move["blockheight"] == int(row["short_channel_id"].partition("x")[0])
        assert (move["output_msat"], move["debit_msat"]) == (row["total_msat"], 0)
        assert not {"spending_txid", "output_count", "originating_account"} & move.keys()


class TestPayments:
    """What we pay and are paid, and payments to ourselves."""

    def test_own_payments_and_invoices(
        self, line: Line, money: Money, others: dict[str, str]
    ) -> None:
        (row,) = moved(
            line, "listchannelmoves", lambda: money.pay_own(others["ours"], 3_000_333), 1
        )
        assert (row["primary_tag"], row["debit_msat"], row["fees_msat"]) == (
            "invoice", 3_000_333, 0,
        )  # fmt: skip
        assert (row["part_id"], row["group_id"]) == (0, 1)
        (row,) = moved(line, "listchannelmoves", lambda: money.be_paid(4_000_444), 1)
        assert (row["primary_tag"], row["credit_msat"], row["fees_msat"]) == (
            "invoice", 4_000_444, 0,
        )  # fmt: skip
        assert not {"part_id", "group_id"} & row.keys()
        seen = [(r["credit_msat"], r["debit_msat"]) for r in income(line) if r["tag"] == "invoice"]
        assert seen == [(0, 3_000_333), (4_000_444, 0)]
        agree(line)

    @pytest.mark.parametrize("parts", [[(6_000_666, 2_000)], [(5_000_000, 1_501), (3_000_001, 99)]])
    def test_rebalances(
        self, line: Line, money: Money, others: dict[str, str], parts: list[tuple[int, int]]
    ) -> None:
        out, into = others["ours"], others["theirs"]
        parts = [(amount_msat, fee_msat + 1_000) for amount_msat, fee_msat in parts]
        rows = moved(
            line, "listchannelmoves", lambda: money.rebalance(out, into, parts), 2 * len(parts)
        )
        # What arrives is always booked before what left.
        arrived, left = rows[: len(parts)], rows[len(parts) :]
        assert sorted(r["credit_msat"] for r in arrived) == sorted(a for a, _ in parts)
        assert {r["account_id"] for r in arrived} == {into}
        assert sorted((r["debit_msat"], r["fees_msat"]) for r in left) == sorted(
            (amount_msat + fee_msat, fee_msat) for amount_msat, fee_msat in parts
        )
        assert not any("part_id" in r or r["fees_msat"] for r in arrived)
        ids = sorted(r["part_id"] for r in left)
        assert ids == ([0] if len(parts) == 1 else [1, 2])
        hash_ = rows[0]["payment_hash"]
        marked = events(line, payment_id=hash_)
        assert [r["is_rebalance"] for r in marked] == [True] * len(rows)
        costs = [r for r in income(line) if r.get("payment_id") == hash_]
        assert {(r["account"], r["tag"], r["credit_msat"]) for r in costs} == {
            (out, "rebalance_fee", 0)
        }
        assert sum(r["debit_msat"] for r in costs) == sum(fee_msat for _, fee_msat in parts)
        agree(line)


def test_the_wallet(line: Line, money: Money) -> None:
    (row,) = moved(line, "listchainmoves", lambda: money.deposit(123_456), 1)
    assert (row["account_id"], row["primary_tag"], row["credit_msat"]) == (
        "wallet", "deposit", 123_456_000,
    )  # fmt: skip
    txids: list[str] = []
    (outside,) = moved(line, "listchainmoves", lambda: txids.append(money.withdraw(200_000)), 1)
    assert (outside["account_id"], outside["primary_tag"]) == ("external", "deposit")
    assert (outside["originating_account"], outside["blockheight"]) == ("wallet", 0)
    assert not [r for r in income(line) if r["tag"] == "withdrawal"]
    line.mine(1)
    agree(line)
    (seen,) = (r for r in income(line) if r["tag"] == "withdrawal")
    assert (seen["account"], seen["debit_msat"]) == ("wallet", 200_000_000)
    (shown,) = (e for e in events(line) if e.get("outpoint") == outside["utxo"])
    assert shown["blockheight"] > 0
    chain = line.call("listchainmoves")["chainmoves"]
    spent = sum(r["debit_msat"] for r in chain if r.get("spending_txid") == txids[0])
    back = sum(
        r["credit_msat"] for r in chain
        if r["utxo"].startswith(txids[0]) and r["account_id"] == "wallet" and r["credit_msat"]
    )  # fmt: skip
    assert sums(events(line))["wallet", txids[0]] == spent - back - 200_000_000


@pytest.mark.parametrize("amount_sat", [250_000, -150_000])
def test_splices(line: Line, money: Money, others: dict[str, str], amount_sat: int) -> None:
    name = others["ours"]
    before = money.channel(name)
    txid = money.splice(name, amount_sat)
    agree(line)
    after = money.channel(name)
    chain = line.call("listchainmoves")["chainmoves"]
    close, opened = [r for r in chain if r["account_id"] == name][-2:]
    assert (close["primary_tag"], close["extra_tags"]) == ("channel_close", ["splice"])
    assert (close["debit_msat"], close["output_msat"]) == (
        before["to_us_msat"], before["total_msat"],
    )  # fmt: skip
    assert close["spending_txid"] == txid == after["funding_txid"]
    assert "peer_id" not in close
    # The mark is on the close alone.
    assert (opened["primary_tag"], opened["extra_tags"]) == ("channel_open", ["opener"])
    assert (opened["credit_msat"], opened["output_msat"]) == (
        after["to_us_msat"], after["total_msat"],
    )  # fmt: skip
    height = int(after["short_channel_id"].partition("x")[0])
    assert close["blockheight"] == opened["blockheight"] == height
    cost_msat = sums(events(line))[name, txid]
    grown_msat = after["to_us_msat"] - before["to_us_msat"]
    taken_msat = 0 if amount_sat > 0 else cost_msat
    assert (
        grown_msat == after["total_msat"] - before["total_msat"] == amount_sat * 1000 - taken_msat
    )
    row = accounts(line)[name]
    assert (row["account_closed"], row["account_resolved"]) == (False, False)
    if amount_sat < 0:
        (came,) = (r for r in chain if r["utxo"].startswith(txid) and r["account_id"] == "wallet")
        assert came["credit_msat"] == -amount_sat * 1000
        assert "originating_account" not in came


@pytest.mark.parametrize("which", ["theirs", "ours"])
def test_a_mutual_close(line: Line, money: Money, others: dict[str, str], which: str) -> None:
    name = others[which]
    before = money.channel(name)
    rows = moved(line, "listchainmoves", lambda: money.close(name), 3)
    deposit, close, outside = rows
    assert [(r["account_id"], r["primary_tag"]) for r in rows] == [
        ("wallet", "deposit"), (name, "channel_close"), ("external", "to_them"),
    ]  # fmt: skip
    assert (close["debit_msat"], close["output_count"]) == (before["to_us_msat"], 2)
    assert (outside["originating_account"], close["extra_tags"]) == (name, [])
    assert "originating_account" not in deposit
    # Only who opened pays the miner; the other side loses parts of a satoshi at most.
    miner_msat = before["total_msat"] - deposit["credit_msat"] - outside["credit_msat"]
    lost_msat = before["to_us_msat"] - deposit["credit_msat"]
    assert 0 < miner_msat < 20_000_000
    if which == "theirs":
        assert lost_msat == before["to_us_msat"] % 1000
    else:
        assert miner_msat - 1000 < lost_msat <= miner_msat
    assert sums(events(line)).get((name, close["spending_txid"]), 0) == lost_msat
    row = accounts(line)[name]
    assert (row["account_closed"], row["account_resolved"]) == (True, True)
    assert row["resolved_at_block"] == close["blockheight"]
    assert balance_msat(line, name) == 0
    agree(line)
    (first, second) = line.call("bkpr-inspect", {"account": name})["txs"][-2:]
    assert first["txid"] == before["funding_txid"]
    assert (second["txid"], second["fees_paid_msat"]) == (close["spending_txid"], lost_msat)
    assert {out["output_tag"] for out in second["outputs"]} == {"deposit", "to_them"}


class TestForcedClose:
    """Our commitment, with a payment on its way that the payee never takes."""

    def test_it_is_closed_at_once_and_resolved_much_later(self, line: Line, money: Money) -> None:
        name = line.outgoing["channel_id"]
        line.hold(20_000_111)
        wait_for(lambda: committed(line.outgoing), "an HTLC in both commitments")
        before = line.outgoing
        money.force_close(name)
        row = accounts(line)[name]
        assert (row["account_closed"], row["account_resolved"]) == (True, False)
        assert balance_msat(line, name) == 0
        chain = [r for r in line.call("listchainmoves")["chainmoves"] if r["account_id"] == name]
        close = chain[-1]
        # The HTLC is still ours then: it counts in the balance that leaves.
        assert close["debit_msat"] == before["to_us_msat"]

        def swept() -> object:
            """Between an HTLC's two transactions the account counts as resolved too early."""
            line.mine(1)
            wait_for(lambda: balances_agree(line), "balances that agree")
            moves = line.call("listchainmoves")["chainmoves"]
            tags = [r["primary_tag"] for r in moves if r["account_id"] == name]
            return tags.count("to_wallet") == 2

        assert any(swept() for _ in range(PATIENCE_BLOCKS))
        row = accounts(line)[name]
        assert row["account_resolved"] is True
        assert row["resolved_at_block"] == line.call("getinfo")["blockheight"]
        self._looks_right(line, name, close, before)

    @staticmethod
    def _looks_right(line: Line, name: str, close: Row, before: Row) -> None:
        agree(line)
        chain = line.call("listchainmoves")["chainmoves"]
        txid = close["spending_txid"]
        ours = [
            (r["primary_tag"], r["credit_msat"] - r["debit_msat"], "spending_txid" in r)
            for r in chain
            if r["account_id"] == name
        ]
        ours = ours[ours.index(("channel_close", -close["debit_msat"], True)) + 1 :]
        (delayed_msat,) = (amount for tag, amount, _ in ours if tag == "delayed_to_us")
        htlc_msat = 20_000_000
        assert sorted(ours) == sorted([
            ("delayed_to_us", delayed_msat, False), ("to_wallet", -delayed_msat, True),
            ("htlc_timeout", htlc_msat, False), ("htlc_timeout", -htlc_msat, True),
            ("htlc_tx", htlc_msat, False), ("to_wallet", -htlc_msat, True),
        ])  # fmt: skip
        theirs = [
            (r["primary_tag"], r["credit_msat"]) for r in chain
            if r["account_id"] == "external" and r["utxo"].startswith(txid)
        ]  # fmt: skip
        anchors = [entry for entry in theirs if entry[0] == "anchor"]
        assert anchors == [("anchor", 330_000)] * 2
        assert close["output_count"] == len(theirs) + 2
        paid_msat = sum(amount_msat for _, amount_msat in theirs) + delayed_msat + htlc_msat
        assert 0 < before["total_msat"] - paid_msat < 20_000_000
        # What the close cost: all that was ours and went neither to the delay nor to the HTLC.
        cost_msat = close["debit_msat"] - delayed_msat - htlc_msat
        assert sums(events(line))[name, txid] == cost_msat
        (stage,) = (
            r for r in chain if r["account_id"] == name and r["primary_tag"] == "htlc_timeout"
            and "spending_txid" in r
        )  # fmt: skip
        inspected = {tx["txid"]: tx for tx in line.call("bkpr-inspect", [name])["txs"]}
        assert inspected[txid]["fees_paid_msat"] == cost_msat
        # The wallet put in the fee of the HTLC transaction, but the channel bears it.
        assert inspected[stage["spending_txid"]]["fees_paid_msat"] > 0
        assert ("wallet", stage["spending_txid"]) not in sums(events(line))
        assert not [r for r in income(line) if r["tag"] in ("htlc_timeout", "anchor")]
        assert [row["status"] for row in line.forwards() if row["out_msat"] == 20_000_111] == [
            "local_failed"
        ]

    def test_what_is_refused(self, line: Line) -> None:
        for params, code in (
            ({"account": "wallet", "payment_id": "ab" * 32}, -32602),
            ({"account": "ab" * 32}, -32602),
        ):
            with pytest.raises(RpcError) as refused:
                line.call("bkpr-listaccountevents", params)
            assert refused.value.code == code
        for account in ("wallet", "ab" * 32):
            with pytest.raises(RpcError) as refused:
                line.call("bkpr-inspect", {"account": account})
            assert refused.value.code == -3
