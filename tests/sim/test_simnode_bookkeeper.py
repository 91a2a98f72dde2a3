"""The simulated bookkeeper: what real ones made of the same moves, its windows, its absence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cl_revenue_ops.simnode.errors import SimRpcError
from cl_revenue_ops.simnode.model import Policy
from cl_revenue_ops.simnode.moves import ChainMove, ChannelMove
from cl_revenue_ops.simnode.node import SimulatedNode

Row = dict[str, Any]
START_S = 1_700_000_000.0
# What nodes of v26.06.6 wrote and their bookkeepers answered on regtest, with short names.
# payments: pushes, a forward, own payments, two rebalances (one in two parts), a withdrawal, both
# splices, a mutual close. forced: HTLCs that time out and are fulfilled, on our commitment and on
# theirs. cheated: a penalty.
RECORD = Path(__file__).with_name("real_books.json")
STORIES = ("payments", "forced", "cheated")


def recorded(story: str) -> dict[str, Any]:
    """One story with names of full length that sort as the real ones did."""

    def name(found: re.Match[str]) -> str:
        kind, number = found[1], int(found[2])
        first = {"a": 0xA0, "t": 0x10, "h": 0xC0, "p": 0x02}[kind]
        return f"02{number:02x}" + "00" * 31 if kind == "p" else f"{first + number:02x}" * 32

    text = re.sub(r"\$([tahp])(\d+)", name, RECORD.read_text())
    found: dict[str, Any] = json.loads(text)[story]
    return found


@pytest.fixture
def node() -> Iterator[SimulatedNode]:
    with SimulatedNode(start_s=START_S, seed=4) as node:
        yield node


def put_in(node: SimulatedNode, story: dict[str, Any]) -> None:
    """Let the simulated node have written those moves."""
    for row in story["chainmoves"]:
        tags = tuple(row["extra_tags"])
        node.world.books.chain_moves.append(ChainMove(**{**row, "extra_tags": tags}))
    for row in story["channelmoves"]:
        node.world.books.channel_moves.append(ChannelMove(**{"payment_hash": None, **row}))


def by_account(rows: list[Row]) -> dict[str, Row]:
    return {row["account"]: row for row in rows}


@pytest.mark.parametrize("name", STORIES)
class TestRecord:
    """Row for row and in the same order, descriptions apart."""

    def test_account_events(self, node: SimulatedNode, name: str) -> None:
        story = recorded(name)
        put_in(node, story)
        assert node.call("bkpr-listaccountevents")["events"] == story["events"]

    def test_income(self, node: SimulatedNode, name: str) -> None:
        story = recorded(name)
        put_in(node, story)
        assert node.call("bkpr-listincome")["income_events"] == story["income"]
        rows = node.call("bkpr-listincome", {"consolidate_fees": False})["income_events"]
        assert rows == story["raw_income"]

    def test_balances(self, node: SimulatedNode, name: str) -> None:
        story = recorded(name)
        put_in(node, story)
        answer = node.call("bkpr-listbalances")["accounts"]
        assert by_account(answer) == by_account(story["balances"])

    def test_inspect(self, node: SimulatedNode, name: str) -> None:
        story = recorded(name)
        put_in(node, story)
        for account, transactions in story["inspect"].items():
            assert node.call("bkpr-inspect", [account])["txs"] == transactions

    def test_the_books_do_not_depend_on_when_they_are_asked(
        self, node: SimulatedNode, name: str
    ) -> None:
        story = recorded(name)
        for row in story["chainmoves"]:
            put_in(node, {"chainmoves": [row], "channelmoves": []})
            node.call("bkpr-listbalances")
        put_in(node, {"chainmoves": [], "channelmoves": story["channelmoves"]})
        assert node.call("bkpr-listaccountevents")["events"] == story["events"]


def opened(node: SimulatedNode) -> tuple[str, str]:
    policy = Policy(1000, 0)
    one = node.open("a", 1_000_000, 400_000, opener="remote", remote_policy=policy)
    return one, node.open("b", 1_000_000, 900_000)


class TestParameters:
    """What is refused, and with which code."""

    def test_an_account_or_a_payment_but_not_both(self, node: SimulatedNode) -> None:
        one, two = opened(node)
        row = node.pay(one, two, 5_000_000)
        (move, _) = node.world.books.channel_moves[-2:]
        answer = node.call("bkpr-listaccountevents", {"payment_id": move.payment_hash})["events"]
        assert {event["account"] for event in answer} == {one, two}
        assert {event["fees_msat"] for event in answer} == {row.fee_msat}
        for params in (
            {"account": one, "payment_id": move.payment_hash},
            {"account": "ab" * 32},
            {"account": one, "more": 1},
        ):
            with pytest.raises(SimRpcError) as refused:
                node.call("bkpr-listaccountevents", params)
            assert refused.value.code == -32602

    def test_a_transaction_can_be_asked_for_like_a_payment(self, node: SimulatedNode) -> None:
        _, two = opened(node)
        txid = node.world.channels[two].funding_txid
        events = node.call("bkpr-listaccountevents", {"payment_id": txid})["events"]
        assert {event["tag"] for event in events} == {
            "withdrawal", "deposit", "channel_open", "onchain_fee",
        }  # fmt: skip

    def test_only_channels_can_be_inspected(self, node: SimulatedNode) -> None:
        opened(node)
        for account in ("wallet", "ab" * 32):
            with pytest.raises(SimRpcError) as refused:
                node.call("bkpr-inspect", {"account": account})
            assert refused.value.code == -3


def test_fees_of_an_opening_are_a_running_correction(node: SimulatedNode) -> None:
    _, two = opened(node)
    txid = node.world.channels[two].funding_txid
    rows = [
        (event["account"], event["credit_msat"], event["debit_msat"])
        for event in node.call("bkpr-listaccountevents")["events"]
        if event["type"] == "onchain_fee" and event["txid"] == txid
    ]
    # 702 weight units at 2,500 per thousand; before the channel was known it all looked like a fee.
    assert sorted(rows) == sorted([
        ("wallet", 1_001_755_000, 0), ("wallet", 0, 1_001_755_000), (two, 1_755_000, 0),
    ])  # fmt: skip
    income = node.call("bkpr-listincome")["income_events"]
    fees = [row for row in income if row["tag"] == "onchain_fee"]
    assert [(f["account"], f["credit_msat"], f["debit_msat"]) for f in fees] == [
        (two, 0, 1_755_000)
    ]


class TestWindow:
    """Later than the start, up to and including the end."""

    @staticmethod
    def tags(node: SimulatedNode, after_s: float, until_s: float) -> list[str]:
        params = {"start_time": int(after_s), "end_time": int(until_s)}
        return [row["tag"] for row in node.call("bkpr-listincome", params)["income_events"]]

    @pytest.mark.parametrize(("version", "fees_outside"), [("v25.12", 0), ("v25.09", 1)])
    def test_bounds_and_fees(self, version: str, fees_outside: int) -> None:
        with SimulatedNode(start_s=START_S, version=version) as node:
            one, two = opened(node)
            node.advance(START_S + 100)
            node.pay(one, two, 5_000_000)
            outside = ["onchain_fee"] * fees_outside
            assert self.tags(node, START_S + 99, START_S + 100) == [*outside, "routed"]
            assert self.tags(node, START_S + 100, START_S + 200) == outside
            assert self.tags(node, START_S, START_S + 99) == outside
            assert "pushed" in self.tags(node, START_S - 1, START_S)


class TestRebalances:
    """Both sides are marked; the cost is the source's, the principal is no income."""

    def test_one_part(self, node: SimulatedNode) -> None:
        one, two = opened(node)
        done = node.world.circular_payment(two, one, 5_000_000, 321)
        rows = node.call("bkpr-listaccountevents", {"payment_id": done["payment_hash"]})["events"]
        seen = [(r["account"], r["credit_msat"], r["debit_msat"], r["is_rebalance"]) for r in rows]
        assert seen == [(one, 5_000_000, 0, True), (two, 0, 5_000_321, True)]
        costs = [
            (row["account"], row["tag"], row["debit_msat"])
            for row in node.call("bkpr-listincome")["income_events"]
            if row.get("payment_id") == done["payment_hash"]
        ]
        assert costs == [(two, "rebalance_fee", 321)]

    def test_two_parts_of_one_size(self, node: SimulatedNode) -> None:
        one, two = opened(node)
        rows = node.world.circular_parts([(two, one, 3_000_000, 100), (two, one, 3_000_000, 70)])
        assert [(row["status"], row["partid"]) for row in rows] == [
            ("complete", 1),
            ("complete", 2),
        ]
        hash_ = rows[0]["payment_hash"]
        events = node.call("bkpr-listaccountevents", {"payment_id": hash_})["events"]
        assert [event["is_rebalance"] for event in events] == [True] * 4
        assert [event["part_id"] for event in events] == [0, 0, 1, 2]

    def test_all_parts_or_none(self, node: SimulatedNode) -> None:
        one, two = opened(node)
        held = [node.world.channels[name].to_us_msat for name in (one, two)]
        rows = node.world.circular_parts([(two, one, 3_000_000, 1), (two, one, 950_000_000, 1)])
        assert [row["status"] for row in rows] == ["failed", "failed"]
        assert [node.world.channels[name].to_us_msat for name in (one, two)] == held
        assert not node.world.channels[two].pending_out

    def test_without_room_where_it_arrives(self, node: SimulatedNode) -> None:
        one, two = opened(node)
        done = node.world.circular_payment(two, one, 700_000_000, 5)
        assert done["status"] == "failed"
        assert node.world.channels[one].to_us_msat == 400_000_000

    def test_a_payment_to_others_is_none(self, node: SimulatedNode) -> None:
        _, two = opened(node)
        done = node.world.send_payment(two, "02" + "a" * 64, 1_000_000, 500)
        rows = [
            (row["tag"], row["debit_msat"])
            for row in node.call("bkpr-listincome")["income_events"]
            if row.get("payment_id") == done["payment_hash"]
        ]
        assert rows == [("invoice", 1_000_000), ("invoice_fee", 500)]


def test_yields_count_the_same_fee_at_both_ends(node: SimulatedNode) -> None:
    one, two = opened(node)
    row = node.pay(one, two, 100_000_000)
    entries = by_account(node.call("bkpr-channelsapy")["channels_apy"])
    assert entries[one]["fees_in_msat"] == entries[two]["fees_out_msat"] == row.fee_msat
    assert entries["net"]["fees_in_msat"] == entries["net"]["fees_out_msat"] == row.fee_msat
    assert entries[two]["utilization_out"] == "10.0000%"
    assert entries[two]["utilization_out_initial"] == "11.1111%"
    assert entries[one]["our_start_balance_msat"] == 400_000_000


class TestByHand:
    """Moves that the simulator itself never writes."""

    @staticmethod
    def chain(node: SimulatedNode, account: str, tag: str, utxo: str, **more: Any) -> None:
        node.world.books.book_chain(account, START_S, tag, utxo, 1_000, 7, **more)

    def test_money_of_others_in_our_transaction_is_no_fee(self, node: SimulatedNode) -> None:
        txid = "77" * 32
        self.chain(node, "wallet", "withdrawal", f"{'88' * 32}:0", debit_msat=900,
                   spending_txid=txid)  # fmt: skip
        self.chain(node, "wallet", "deposit", f"{txid}:0", credit_msat=1_000)
        types = [row["type"] for row in node.call("bkpr-listaccountevents")["events"]]
        assert types == ["chain", "chain"]

    def test_an_arrival_of_another_size_is_no_rebalance(self, node: SimulatedNode) -> None:
        one, two = opened(node)
        book = node.world.books.book_channel
        book(one, START_S, "invoice", credit_msat=900, payment_hash="aa" * 32)
        book(two, START_S, "invoice", debit_msat=1_000, fees_msat=99, payment_hash="aa" * 32)
        events = node.call("bkpr-listaccountevents", {"payment_id": "aa" * 32})["events"]
        assert [event["is_rebalance"] for event in events] == [False, False]

    def test_an_output_of_ours_that_is_not_spent_keeps_the_account_open(
        self, node: SimulatedNode
    ) -> None:
        story = recorded("forced")
        rows = story["chainmoves"]
        last = next(n for n, row in enumerate(rows) if row["primary_tag"] == "delayed_to_us")
        account = rows[last]["account_id"]
        put_in(node, {"chainmoves": rows[: last + 1], "channelmoves": []})
        assert not by_account(node.call("bkpr-listbalances")["accounts"])[account][
            "account_resolved"
        ]
        put_in(node, {"chainmoves": rows[last + 1 : last + 2], "channelmoves": []})
        assert by_account(node.call("bkpr-listbalances")["accounts"])[account]["account_resolved"]

    def test_inspecting_leaves_out_what_came_from_elsewhere(self, node: SimulatedNode) -> None:
        name = node.open("b", 1_000_000, opener="remote")
        node.close(name)
        close = next(m for m in node.world.books.chain_moves if m.primary_tag == "channel_close")
        self.chain(node, "external", "deposit", f"{close.spending_txid}:9", credit_msat=1_000,
                   origin="wallet")  # fmt: skip
        (_, transaction) = node.call("bkpr-inspect", [name])["txs"]
        assert {out["outnum"] for out in transaction["outputs"]} < {0, 1}


class TestPresence:
    """Disabled, its commands do not exist; brought back, it knows what happened meanwhile."""

    def test_disabled(self) -> None:
        with SimulatedNode(start_s=START_S, bookkeeper=False) as node:
            one, two = opened(node)
            with pytest.raises(SimRpcError) as refused:
                node.call("bkpr-listbalances")
            assert refused.value.code == -32601
            node.pay(one, two, 1_000_000)
            node.plugins.set_present("bookkeeper", True)
            held = by_account(node.call("bkpr-listbalances")["accounts"])[two]
            ours = node.world.channels[two].to_us_msat
            assert held["balances"][0]["balance_msat"] == ours

    def test_an_old_release_has_it_without_the_nodes_lists(self) -> None:
        with SimulatedNode(start_s=START_S, version="v23.05") as node:
            opened(node)
            for method in ("listchainmoves", "listchannelmoves"):
                with pytest.raises(SimRpcError) as refused:
                    node.call(method)
                assert refused.value.code == -32601
            assert len(node.call("bkpr-listbalances")["accounts"]) == 3
            with pytest.raises(SimRpcError) as unknown:
                node.call("bkpr-listaccountevents", {"payment_id": "ab" * 32})
            assert unknown.value.code == -32602
