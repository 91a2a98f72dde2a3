"""What the books reader answers, against what the node itself says: one story on one line.

The reader runs in the test's own process over the node's socket, so that it can be asked.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import pytest

from actors.books_reader import BooksReader
from cl_revenue_ops.adapters.books import LightningBooks
from cl_revenue_ops.adapters.breaker import Breakers
from cl_revenue_ops.adapters.capabilities import Capabilities
from cl_revenue_ops.adapters.node import LightningNode
from cl_revenue_ops.adapters.rpc import NodeRpc
from cl_revenue_ops.adapters.tally import Tally
from cl_revenue_ops.adapters.transport import DeadlineRpc
from cl_revenue_ops.gate import WriteGate
from cl_revenue_ops.runtime.actor import Context
from messages.base import Command
from messages.node_books import (
    AccountBalance,
    MoveIndexes,
    ReadAccountEvents,
    ReadChainMoves,
    ReadChannelMoves,
    ReadIncome,
    ReadMoveIndexes,
    ReadNodeBalances,
)
from tests.node.line import Line, Row
from tests.node.money_books import accounts, agree, events, income, sums
from tests.node.money_line import money_of
from tests.sim.small_house import OPTIONAL, Kid, SmallHouse, World, nothing

KINDS = ("simulated", "elder", "real")
TIMEOUT_S = 30.0
WHOLE = 2**32 - 1


class Reader:
    """A books reader in a small house of its own, and the rows that it could not understand."""

    def __init__(self, line: Line) -> None:
        self.left_out = Tally()
        self._path = str(line.socket)
        self._house = SmallHouse(Kid("books-reader", OPTIONAL, make=self._reader))

    def _reader(self, context: Context, world: World) -> BooksReader:
        clock, lease = context.clock, context.lease
        capabilities, gate = Capabilities(clock), WriteGate()
        breakers = Breakers(clock, lambda: 60.0)
        rpc = NodeRpc(self._path, lease, breakers, lambda: TIMEOUT_S)
        node = LightningNode(rpc, gate, lease, capabilities, self.left_out)
        books = LightningBooks(rpc, capabilities, self.left_out)
        return BooksReader(context, node=node, books=books)

    def __call__(self, kind: type[Command], *args: object) -> Any:
        """The result of that command."""
        make = partial(_told, kind, args)
        client = self._house.order("books-reader", nothing, kind=make)
        self._house.run()
        (found,) = client.outcomes
        return found

    def filtered(self, wanted: dict[str, Any]) -> tuple[list[Row], list[Row]]:
        """All events of bookkeeper, whole and as a filter leaves them."""
        wire, method = DeadlineRpc(self._path, TIMEOUT_S), "bkpr-listaccountevents"
        whole, part = (wire.call(method, {}, filter=shape) for shape in (None, wanted))
        assert isinstance(whole, dict) and isinstance(part, dict)
        return whole["events"], part["events"]


def _told(kind: type[Command], args: tuple[object, ...], *head: Any) -> Command:
    return kind(*head, *args)


@pytest.fixture(scope="module")
def reader(line: Line) -> Reader:
    return Reader(line)


@pytest.fixture(scope="module", autouse=True)
def story(line: Line, kind: str) -> None:
    """Forwards, failed ones, payments of our own, opens from both sides, a splice, a close."""
    line.pay(60_000_000)
    line.pay(10_000_001)
    line.pay(10_000_002, "failed")
    money = money_of(line)
    more = {"middle": money.open("middle", 1_000_000, 300_000_456)}
    more["payee"] = money.open("payee", 1_000_000, 200_000_123)
    money.pay_own(more["middle"], 7_000_001)
    money.be_paid(3_000_000)
    money.rebalance(more["middle"], more["payee"], [(5_000_000, 2_501), (3_000_001, 1_099)])
    money.deposit(2_000_000)
    money.withdraw(150_000)
    line.mine(1)
    if kind != "elder":
        money.splice(more["middle"], 100_000)
        money.splice(more["middle"], -50_000)
    money.close(more["payee"])
    line.mine(1)
    agree(line)


def of_events(line: Line, account: str) -> list[Row]:
    return [row for row in events(line) if row["account"] == account]


def both(rows: list[Row]) -> tuple[int, int]:
    return sum(row["credit_msat"] for row in rows), sum(row["debit_msat"] for row in rows)


def test_movements_page_by_page(line: Line, reader: Reader, kind: str) -> None:
    if kind == "elder":
        assert reader(ReadMoveIndexes) == MoveIndexes(None, None)
        assert reader(ReadChannelMoves, 1, 10, 0.0) is reader(ReadChainMoves, 1, 10) is None
        return
    listed = line.call("listchannelmoves")["channelmoves"]
    chain = line.call("listchainmoves")["chainmoves"]
    assert reader(ReadMoveIndexes) == MoveIndexes(len(chain), len(listed))
    start, found, routed = 1, [], dict[str, list[int]]()
    while True:
        page = reader(ReadChannelMoves, start, 5, 0.0)
        found += page.rows
        assert page.malformed == 0
        for one in page.routed:
            kept = routed.setdefault(one.channel_id, [0, 0])
            kept[0] += one.credit_msat
            kept[1] += one.debit_msat
        start = page.next_start
        if page.last:
            break
    assert start == len(listed) + 1
    assert [(r.created_index, r.tag, r.channel_id, r.credit_msat, r.debit_msat, r.fees_msat, r.at_s,
             r.payment_hash, r.part_id, r.group_id) for r in found] == [
        (r["created_index"], r["primary_tag"], r["account_id"], r["credit_msat"], r["debit_msat"],
         r["fees_msat"], r["timestamp"], r.get("payment_hash"), r.get("part_id"), r.get("group_id"))
        for r in listed if r["primary_tag"] != "routed"
    ]  # fmt: skip
    assert routed.keys() == {r["account_id"] for r in listed if r["primary_tag"] == "routed"}
    for name, (credit, debit) in routed.items():
        own = [r for r in listed if (r["account_id"], r["primary_tag"]) == (name, "routed")]
        assert (credit, debit) == both(own)
    moved = reader(ReadChainMoves, 1, 1000)
    assert (moved.malformed, moved.last, moved.next_start) == (0, True, len(chain) + 1)
    assert [(r.created_index, r.account, r.tag, r.credit_msat, r.debit_msat, r.outpoint, r.origin,
             r.spending_txid, r.output_msat, r.spliced, r.opener) for r in moved.rows] == [
        (r["created_index"], r["account_id"], r["primary_tag"], r["credit_msat"], r["debit_msat"],
         r["utxo"], r.get("originating_account"), r.get("spending_txid"), r["output_msat"],
         "splice" in r["extra_tags"], "opener" in r["extra_tags"])
        for r in chain
    ]  # fmt: skip
    assert any(row.spliced for row in moved.rows) and any(row.opener for row in moved.rows)


def test_events_of_every_account_give_its_balance(line: Line, reader: Reader, kind: str) -> None:
    costs: dict[tuple[str, str], int] = {}
    for name, shown in accounts(line).items():
        found = reader(ReadAccountEvents, name, float(WHOLE))
        assert (found.account, found.malformed) == (name, 0)
        rows = of_events(line, name)
        assert len(found.chain) == sum(row["type"] == "chain" for row in rows)
        moved = sum(row.credit_msat - row.debit_msat for row in (*found.chain, *found.channel))
        routed = [row for row in rows if row["tag"] == "routed"]
        if routed:
            assert found.routed[1:] == (len(routed), *both(routed)) * 2
            moved += found.routed.credit_msat - found.routed.debit_msat
        else:
            assert found.routed is None
        assert [{"balance_msat": moved}] == [
            {"balance_msat": held["balance_msat"]} for held in shown["balances"]
        ]
        costs |= {(fee.account, fee.txid): fee.paid_msat for fee in found.fees}
    assert {key: msat for key, msat in costs.items() if msat} == sums(events(line))
    assert 0 in costs.values(), "what the wallet was charged and given back stays visible"
    assert reader(ReadAccountEvents, os.urandom(32).hex(), 0.0) is None


def test_balances_of_all_sources_agree(line: Line, reader: Reader) -> None:
    agree(line)
    found = reader(ReadNodeBalances)
    assert found.accounts == tuple(
        AccountBalance(
            name, sum(held["balance_msat"] for held in row["balances"]), row.get("peer_id"),
            row.get("we_opened"), row.get("account_closed"), row.get("account_resolved"),
        )
        for name, row in accounts(line).items()
    )  # fmt: skip
    held = {account.account: account.balance_msat for account in found.accounts}
    assert len(found.channels) == 3
    for channel_id, msat in found.channels:
        assert held[channel_id] == msat
    assert found.onchain_msat + found.reserved_msat == held["wallet"]
    assert found.unconfirmed_msat == 0
    assert found.fees_collected_msat == line.tally.fees_msat


def test_income_is_summed_over_its_window(line: Line, reader: Reader) -> None:
    rows = income(line, consolidate_fees=False)
    whole = {(one.account, one.tag): one[2:] for one in reader(ReadIncome, 0, WHOLE)}
    assert whole == {
        key: both([row for row in rows if (row["account"], row["tag"]) == key])
        for key in {(row["account"], row["tag"]) for row in rows}
    }
    times = sorted({row["timestamp"] for row in rows})
    # Where all of it came within a second there is but one window to ask for.
    from_s, until_s = times[0], times[-2] if len(times) > 1 else times[0]
    within = [row for row in rows if from_s < row["timestamp"] <= until_s]
    assert {(one.account, one.tag): one[2:] for one in reader(ReadIncome, from_s, until_s)} == {
        key: both([row for row in within if (row["account"], row["tag"]) == key])
        for key in {(row["account"], row["tag"]) for row in within}
    }
    earned = sum(one.credit_msat for one in reader(ReadIncome, 0, WHOLE) if one.tag == "routed")
    assert earned == line.tally.fees_msat


def test_bookkeeper_leaves_away_what_a_filter_does_not_name(reader: Reader) -> None:
    whole, part = reader.filtered({"events": [{"tag": True}]})
    assert [{"tag": row["tag"]} for row in whole] == part
    assert "currency" in whole[0]


def test_every_row_was_understood(reader: Reader) -> None:
    reader(ReadNodeBalances)
    assert reader.left_out.counts() == {}
