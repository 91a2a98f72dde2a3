"""The books reader in the whole house: every release, without bookkeeper, and when things fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cl_revenue_ops.adapters.capabilities import BOOKKEEPER_REPROBE_AFTER_S
from cl_revenue_ops.runtime.actor import Parked
from messages.node_books import (
    AccountEvents,
    ChainMovePage,
    ChannelMovePage,
    MoveIndexes,
    NodeBalances,
    ReadAccountEvents,
    ReadChainMoves,
    ReadChannelMoves,
    ReadIncome,
    ReadMoveIndexes,
    ReadNodeBalances,
    RoutedSum,
)
from tests.sim.house_books_reader import READER, read, refusal, reply_to
from tests.sim.house_support import HouseNode
from tests.sim.house_traffic import Traffic, traffic

LISTS = {"v23.05": False, "v24.11": False, "v25.09": True, "v26.06": True}
WHOLE = 2**32 - 1


@contextmanager
def told(**details: Any) -> Iterator[Traffic]:
    """A node with two forwards, an own payment, a rebalance and a payment to outside."""
    with traffic(**details) as it:
        node = it.node
        third = node.open("carol", 20_000_000, 20_000_000)
        node.settle()
        it.pay("settled")
        node.wait_s(100.0)
        it.pay("settled")
        assert node.world.circular_payment(third, it.two, 20_000_000, 700)["status"] == "complete"
        assert node.world.send_payment(third, "02" + "77" * 32, 5_000_000, 900)
        node.deposit(9_000_000)
        node.world.withdraw(50_000)
        node.wait_s(10.0)
        yield it


def rows(node: HouseNode, method: str, key: str, params: Any = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = node.call(method, params or {})[key]
    return found


def sums(found: list[dict[str, Any]]) -> tuple[int, int]:
    return sum(r["credit_msat"] for r in found), sum(r["debit_msat"] for r in found)


@pytest.mark.parametrize("version", LISTS)
def test_movements_are_those_of_the_node_where_it_lists_them(version: str) -> None:
    with told(version=version) as it:
        node = it.node
        indexes = read(node, ReadMoveIndexes)
        if not LISTS[version]:
            assert indexes == MoveIndexes(None, None)
            assert read(node, ReadChannelMoves, 1, 100, 0.0) is None
            assert read(node, ReadChainMoves, 1, 100) is None
            return
        listed = rows(node, "listchannelmoves", "channelmoves")
        chain = rows(node, "listchainmoves", "chainmoves")
        assert indexes == MoveIndexes(len(chain), len(listed))
        page = read(node, ReadChannelMoves, 1, 1000, node.now_s - 60.0)
        assert isinstance(page, ChannelMovePage)
        assert (page.next_start, page.last, page.malformed) == (len(listed) + 1, True, 0)
        others = [row for row in listed if row["primary_tag"] != "routed"]
        assert [(r.created_index, r.channel_id, r.tag, r.credit_msat, r.debit_msat, r.fees_msat,
                 r.at_s, r.payment_hash) for r in page.rows] == [
            (r["created_index"], r["account_id"], r["primary_tag"], r["credit_msat"],
             r["debit_msat"], r["fees_msat"], r["timestamp"], r.get("payment_hash"))
            for r in others
        ]  # fmt: skip
        assert {row.tag for row in page.rows} >= {"invoice"}
        assert [one.channel_id for one in page.routed] == sorted((it.one, it.two))
        for one in page.routed:
            of_it = [r for r in listed if r not in others and r["account_id"] == one.channel_id]
            early = [r for r in of_it if r["timestamp"] <= node.now_s - 60.0]
            assert one == RoutedSum(one.channel_id, 2, *sums(of_it), 1, *sums(early))
        moved = read(node, ReadChainMoves, 1, 1000)
        assert isinstance(moved, ChainMovePage)
        assert (len(moved.rows), moved.next_start, moved.last) == (len(chain), len(chain) + 1, True)
        assert {row.account for row in moved.rows} >= {"wallet", "external", it.one, it.two}


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_pages_lose_nothing_and_tell_nothing_twice(limit: int) -> None:
    with told() as it:
        whole = read(it.node, ReadChannelMoves, 1, 1000, 0.0)
        start, found, routed = 1, [], 0
        while True:
            page = read(it.node, ReadChannelMoves, start, limit, 0.0)
            found += page.rows
            routed += sum(one.rows for one in page.routed)
            start = page.next_start
            if page.last:
                break
        assert (tuple(found), start) == (whole.rows, whole.next_start)
        assert routed == sum(one.rows for one in whole.routed)


@pytest.mark.parametrize("version", LISTS)
def test_bookkeeper_is_read_on_every_release(version: str) -> None:
    with told(version=version) as it:
        node = it.node
        for account in (it.one, it.two, "wallet"):
            events = rows(node, "bkpr-listaccountevents", "events", {"account": account})
            found = read(node, ReadAccountEvents, account, node.now_s)
            assert isinstance(found, AccountEvents)
            assert (found.account, found.malformed) == (account, 0)
            fees = {fee.txid: fee.paid_msat for fee in found.fees}
            assert fees.keys() == {r["txid"] for r in events if r["type"] == "onchain_fee"}
            for txid, paid_msat in fees.items():
                credit, debit = sums(
                    [r for r in events if r["type"] == "onchain_fee" and r["txid"] == txid]
                )
                assert paid_msat == credit - debit
            assert len(found.chain) == sum(r["type"] == "chain" for r in events)
            routed = [r for r in events if r["tag"] == "routed"]
            assert len(found.channel) + len(routed) == sum(r["type"] == "channel" for r in events)
            if routed:
                assert found.routed == RoutedSum(account, 2, *sums(routed), 2, *sums(routed))
            else:
                assert found.routed is None
        assert read(node, ReadAccountEvents, "ab" * 32, node.now_s) is None
        income = rows(node, "bkpr-listincome", "income_events", {"consolidate_fees": False})
        told_sums = read(node, ReadIncome, 0, WHOLE)
        assert {(one.account, one.tag): (one.credit_msat, one.debit_msat) for one in told_sums} == {
            key: sums([r for r in income if (r["account"], r["tag"]) == key])
            for key in {(r["account"], r["tag"]) for r in income}
        }


@pytest.mark.parametrize("version", LISTS)
def test_a_window_of_income_is_the_same_on_every_release(version: str) -> None:
    with traffic(version=version) as it:
        node = it.node
        node.wait_s(50.0)
        from_s = int(node.now_s)
        assert read(node, ReadIncome, from_s, WHOLE) == (), "the fees of the opening were before"
        node.wait_s(50.0)
        it.pay("settled")
        at_s = rows(node, "bkpr-listincome", "income_events")[-1]["timestamp"]
        (one,) = read(node, ReadIncome, from_s, at_s)
        assert (one.account, one.tag) == (it.two, "routed")
        assert read(node, ReadIncome, from_s, at_s - 1) == ()
        assert read(node, ReadIncome, at_s, WHOLE) == ()
        assert {row.tag for row in read(node, ReadIncome, 0, from_s)} >= {"onchain_fee"}


@pytest.mark.parametrize("version", LISTS)
def test_balances_of_all_sources(version: str) -> None:
    with told(version=version) as it:
        node = it.node
        closing = node.open("dave", 3_000_000, 3_000_000)
        node.close(closing)
        node.settle()
        before_s = node.now_s
        found = read(node, ReadNodeBalances)
        assert isinstance(found, NodeBalances)
        assert found.at_s == before_s
        assert found.accounts is not None
        accounts = {held.account: held for held in found.accounts}
        assert "external" not in accounts
        assert accounts[it.two].we_opened is (node.world.channels[it.two].opener == "local")
        assert accounts[closing].closed is True
        usable = dict(found.channels)
        assert closing not in usable
        assert usable == {
            row["channel_id"]: row["to_us_msat"]
            for row in rows(node, "listpeerchannels", "channels")
            if row["state"] == "CHANNELD_NORMAL"
        }
        assert len(usable) == 3
        for channel_id, msat in usable.items():
            assert accounts[channel_id].balance_msat == msat
        assert found.fees_collected_msat == node.call("getinfo")["fees_collected_msat"] > 0
        outputs = rows(node, "listfunds", "outputs")
        assert found.onchain_msat == sum(
            o["amount_msat"] for o in outputs if o["status"] == "confirmed" and not o["reserved"]
        )
        assert found.unconfirmed_msat == sum(
            o["amount_msat"] for o in outputs if o["status"] == "unconfirmed"
        )
        assert found.reserved_msat == 0


def test_a_channel_in_a_splice_has_its_balance_told() -> None:
    with told() as it:
        it.node.world.channels[it.two].state = "CHANNELD_AWAITING_SPLICE"
        assert it.two in dict(read(it.node, ReadNodeBalances).channels)
        it.node.world.channels[it.two].state = "CHANNELD_AWAITING_LOCKIN"
        assert it.two not in dict(read(it.node, ReadNodeBalances).channels)


def test_without_bookkeeper_everything_else_is_read_and_one_that_comes_is_found() -> None:
    with told(bookkeeper=False) as it:
        node = it.node
        found = read(node, ReadNodeBalances)
        assert found.accounts is None
        assert len(found.channels) == 3
        assert read(node, ReadIncome, 0, WHOLE) is None
        assert read(node, ReadAccountEvents, it.two, 0.0) is None
        assert read(node, ReadChannelMoves, 1, 1000, 0.0).rows
        node.plugins.set_present("bookkeeper", True)
        node.wait_s(BOOKKEEPER_REPROBE_AFTER_S)
        assert read(node, ReadNodeBalances).accounts is not None
        assert read(node, ReadAccountEvents, it.two, 0.0).account == it.two
        node.plugins.set_present("bookkeeper", False)
        assert read(node, ReadIncome, 0, WHOLE) is None


COMMANDS: dict[str, tuple[Any, ...]] = {
    "wait": (ReadMoveIndexes,),
    "listchannelmoves": (ReadChannelMoves, 1, 1000, 0.0),
    "listchainmoves": (ReadChainMoves, 1, 1000),
    "bkpr-listaccountevents": (ReadAccountEvents, "wallet", 0.0),
    "bkpr-listincome": (ReadIncome, 0, WHOLE),
    "bkpr-listbalances": (ReadNodeBalances,),
    "listpeerchannels": (ReadNodeBalances,),
    "getinfo": (ReadNodeBalances,),
    "listfunds": (ReadNodeBalances,),
}


@pytest.mark.parametrize("kind", ["error", "timeout", "truncated"])
@pytest.mark.parametrize("method", COMMANDS)
def test_a_failure_of_the_node_is_a_refusal_and_passes(method: str, kind: str) -> None:
    with told() as it:
        node, command = it.node, COMMANDS[method]
        good = read(node, *command)
        node.fault(kind, method)
        why = refusal(node, *command)
        assert method in why.reason
        assert why.invalid is False
        node.faults.clear()
        again = read(node, *command)
        if not isinstance(good, NodeBalances):
            assert again == good
        assert node.status()["actors"][READER]["restarts"] == 0


@pytest.mark.parametrize("kind", ["wrong_type", "missing_keys", "nulls"])
@pytest.mark.parametrize("method", COMMANDS)
def test_spoilt_answers_cost_rows_and_no_restart(method: str, kind: str) -> None:
    with told() as it:
        node, command = it.node, COMMANDS[method]
        read(node, *command)
        node.fault(kind, method)
        for _ in range(20):
            reply_to(node, *command)
        node.faults.clear()
        read(node, *command)
        status = node.status()
        assert status["actors"][READER]["restarts"] == 0


def test_a_bookkeeper_that_is_down_holds_back_nothing_else() -> None:
    with told() as it:
        node = it.node
        node.fault("timeout", "bkpr-*")
        for _ in range(4):
            why = refusal(node, ReadNodeBalances)
        assert "'bookkeeper' are held back" in why.reason
        assert read(node, ReadChannelMoves, 1, 1000, 0.0).rows
        assert read(node, ReadChainMoves, 1, 1000).rows
        assert read(node, ReadMoveIndexes).channel
        node.faults.clear()
        node.wait_s(3600.0)
        assert read(node, ReadNodeBalances).accounts


def test_lists_that_are_down_hold_back_no_forwards() -> None:
    with told() as it:
        node = it.node
        node.fault("timeout", "list*moves")
        for _ in range(4):
            refusal(node, ReadChannelMoves, 1, 1000, 0.0)
        assert "'moves' are held back" in refusal(node, ReadMoveIndexes).reason
        settled = node.status()["forwards"]["settled"]
        it.pay("settled")
        node.wait_s(3600.0)
        assert node.status()["forwards"]["settled"] == settled + 1
        assert read(node, ReadNodeBalances).accounts


def test_a_slow_bookkeeper_is_waited_for_and_a_dead_one_is_not_for_ever() -> None:
    with told() as it:
        node, clock = it.node, it.node.life.runtime.clock
        generation = node.life.house.core.post.box(READER).fence.generation

        def slow(method: str) -> None:
            if method == "bkpr-listbalances":
                raise Parked

        node.asked = slow
        post = node.life.house.core.post
        post.tell(READER, ReadNodeBalances("c", "nobody", clock.monotonic() + 300.0))
        node.settle()
        node.wait_s(200.0)
        assert post.box(READER).fence.generation == generation, "two minutes are legitimate"
        node.asked = lambda method: None
        node.wait_s(100.0)
        assert post.box(READER).fence.generation == generation + 1
        assert read(node, ReadMoveIndexes).channel


def test_arguments_that_cannot_be_are_refused_as_such() -> None:
    with told() as it:
        for command in (
            (ReadChannelMoves, -1, 5, 0.0),
            (ReadChainMoves, 1, 0),
            (ReadIncome, 5, -1),
        ):
            assert refusal(it.node, *command).invalid is True
        assert it.node.status()["actors"][READER]["restarts"] == 0
