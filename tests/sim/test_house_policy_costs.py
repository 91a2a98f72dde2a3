"""Rebalance costs of the whole house: bleeders by its books, and what these do not know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from actors import bookkeeping
from actors.ledger_reading import PAGE_ROWS
from cl_revenue_ops.domain.ledger import accounts
from cl_revenue_ops.runtime.actor import Parked
from messages.books import BookEntries, Entry
from tests.sim.house_books import ask as ask_books
from tests.sim.house_policies import agree, ask
from tests.sim.house_support import HouseNode
from tests.sim.house_traffic import Traffic, traffic

DAY_S = 86_400.0
HOUR_S = 3_600.0
# By then the books have been read once more.
READ_S = bookkeeping.READ_S + 60.0
HASH = "ab" * 32


@contextmanager
def beside_carol(days: float = 0.0, **details: Any) -> Iterator[tuple[Traffic, str]]:
    """A house that has watched for so long; one forward went to bob, and carol is rich."""
    with traffic(**details) as it:
        carol = it.node.open("carol", 20_000_000, 20_000_000)
        it.node.settle()
        it.node.wait_s(days * DAY_S)
        it.pay("settled")
        it.node.wait_s(120.0)
        yield it, carol


def a_week(**details: Any) -> AbstractContextManager[tuple[Traffic, str]]:
    """The same after eight days, long enough for suggestions."""
    return beside_carol(8.0, **details)


def refill(node: HouseNode, source: str, target: str, fee_msat: int, times: int = 1) -> None:
    """Hand-made rebalances, six hours apart."""
    for number in range(times):
        if number:
            node.wait_s(6 * HOUR_S)
        row = node.world.circular_payment(source, target, 20_000_000, fee_msat, at_s=node.now_s)
        assert row["status"] == "complete"


def suggested(node: HouseNode) -> tuple[dict[str, Any], dict[str, Any]]:
    """Bleeders by peer, and what the answer rests on."""
    answer = ask(node, "suggest")
    rows = {row["peer_id"]: row for row in answer["suggestions"] if row["kind"] == "bleeder"}
    return rows, answer["evidence"]


def earned_sats(it: Traffic, channel_id: str, since_s: float) -> int:
    """What the node's list of forwards says that a channel earned."""
    scid = it.node.world.channels[channel_id].scid
    rows = it.node.call("listforwards", {"status": "settled"})["forwards"]
    ours = [r for r in rows if r["out_channel"] == scid and r["resolved_time"] >= since_s]
    return int(sum(row["fee_msat"] for row in ours)) // 1000


def cost_of_carol(node: HouseNode) -> tuple[object, object]:
    """What the suggestion for carol, who is idle, says of her costs; and whether it knows."""
    rows = ask(node, "suggest")["suggestions"]
    (row,) = (row["evidence"] for row in rows if row["kind"] == "zombie")
    return row["rebalance_cost_sats"], row["rebalance_cost_known"]


def midnight(node: HouseNode, days_ago: int) -> float:
    """The beginning of that day in UTC."""
    return (node.now_s // DAY_S - days_ago) * DAY_S


# Every way in which the house learns what was rebalanced.
SOURCES: list[dict[str, Any]] = [
    {},
    {"bookkeeper": False},
    {"version": "v23.05"},
]


@pytest.mark.parametrize("details", SOURCES, ids=str)
def test_a_peer_that_is_filled_at_a_loss_is_a_bleeder_and_who_gave_is_not(
    details: dict[str, Any],
) -> None:
    with a_week(**details) as (it, carol):
        node = it.node
        bob = node.world.channels[it.two].peer_id
        for _ in range(6):
            it.pay("settled")
            refill(node, carol, it.two, 700_000, times=4)
            node.wait_s(5 * HOUR_S)
        node.wait_s(READ_S)
        window_s = midnight(node, 7)
        earned = earned_sats(it, it.two, window_s)
        assert 0 < earned < 16_800
        before = node.dump()
        found, evidence = suggested(node)
        assert node.dump() == before, "asking changes nothing"
        assert set(found) == {bob}
        row = found[bob]
        assert (row["severity"], row["action"]) == ("medium", "disable_rebalance")
        assert row["evidence"]["rebalance_cost_sats"] == 16_800
        assert row["evidence"]["earned_in_window_sats"] == earned
        assert row["evidence"]["rebalance_cost_known"] is True
        assert f"earned {earned} sats and rebalancing them cost 16800: it lost" in row["reason"]
        assert row["command"] == f"revenue-policy set {bob} rebalance=disabled"
        assert evidence["rebalance_cost_in_window_sats"] == 16_800
        assert evidence["window_from"] == evidence["rebalance_costs_since"] == int(window_s)
        assert 0.0 <= node.now_s - evidence["rebalance_costs_read_at"] <= bookkeeping.READ_S
        assert evidence["rebalance_costs"].startswith("rebalances cost 16800 sats from ")
        words = row["command"].split()
        assert node.call(words[0], words[1:])["status"] == "success"
        assert agree(node)[bob].rebalance == "disabled"
        assert suggested(node)[0] == {}


def test_one_that_earns_more_than_it_costs_is_none() -> None:
    with a_week() as (it, carol):
        node, since_s = it.node, it.node.now_s
        for _ in range(12):
            it.pay("settled")
            refill(node, carol, it.two, 1)
            node.wait_s(6 * HOUR_S)
        assert earned_sats(it, it.two, since_s) > 0
        assert suggested(node)[0] == {}
        assert cost_of_carol(node) == (0, True)
        node.fault("error", "listchannelmoves")
        refill(node, carol, it.two, 1)
        node.wait_s(READ_S)
        assert cost_of_carol(node) == (0, False)


def test_fees_that_an_import_found_weigh_against_costs() -> None:
    with a_week() as (it, carol):
        node = it.node
        refill(node, carol, it.two, 700_000)
        node.wait_s(READ_S)
        assert len(suggested(node)[0]) == 1
        earned = ((accounts.of(accounts.IMPORTED_ROUTING, it.two), -700_000),)
        postings = (*earned, (accounts.UNATTRIBUTED, 700_000))
        at_s = int(midnight(node, 3))
        entry = Entry("imported", at_s, "imported forwards", "earlier", "{}", postings)
        assert ask_books(node, BookEntries, entries=(entry,)) == 1
        assert suggested(node)[0] == {}


def test_payments_to_others_and_by_others_are_no_rebalances() -> None:
    with beside_carol() as (it, carol):
        node = it.node
        assert node.world.circular_payment(carol, it.two, 20_000_000, 900_000, ok=False)
        assert (
            node.world.send_payment(carol, "02" + "77" * 32, 5_000_000, 900_000)["status"]
            == "complete"
        )
        assert node.world.receive_payment(it.two, 5_000_000)
        node.wait_s(READ_S)
        assert suggested(node)[1]["rebalance_cost_in_window_sats"] == 0


def test_the_window_is_seven_whole_days_and_today() -> None:
    with a_week() as (it, carol):
        node = it.node
        for at_s, fee_msat in ((midnight(node, 7) - 1.0, 90_000), (midnight(node, 7), 5_000)):
            node.world.circular_payment(carol, it.two, 1_000_000, fee_msat, at_s=at_s)
        node.wait_s(READ_S)
        evidence = suggested(node)[1]
        assert (evidence["window_days"], evidence["window_from"]) == (7, int(midnight(node, 7)))
        assert evidence["rebalance_cost_in_window_sats"] == 5
        node.wait_s(midnight(node, -1) - node.now_s)
        assert suggested(node)[1]["rebalance_cost_in_window_sats"] == 0


def book(node: HouseNode, channel_id: str, count: int = 1, tag: str = "routed", **row: Any) -> None:
    """Rows straight into the node's books."""
    for _ in range(count):
        node.world.books.book_channel(channel_id, node.now_s, tag, **row)


def test_on_costs_that_are_half_read_no_bleeder_is_claimed() -> None:
    with a_week() as (it, carol):
        node = it.node
        refill(node, carol, it.two, 700_000)
        book(node, carol, PAGE_ROWS, tag="invoice", debit_msat=5, payment_hash=HASH)
        refill(node, carol, it.two, 700_000)
        asked: list[str] = []

        def spoil(method: str) -> None:
            asked.append(method)
            if asked.count("listchannelmoves") == 2:
                node.fault("error", "listchannelmoves")

        node.asked = spoil
        node.restart()
        node.wait_s(60.0)
        assert asked.count("listchannelmoves") >= 2
        found, evidence = suggested(node)
        assert found == {}
        assert "injected fault" in evidence["rebalance_costs"]
        assert "no bleeder can be found" in evidence["rebalance_costs"]
        for name in ("since", "read_at"):
            assert evidence[f"rebalance_costs_{name}"] is None
        assert evidence["rebalance_cost_in_window_sats"] is None
        assert evidence["forwards_in_window"] == 1
        assert cost_of_carol(node) == (None, False)
        node.asked = lambda method: None
        node.faults.clear()
        node.wait_s(READ_S)
        found, evidence = suggested(node)
        assert [row["evidence"]["rebalance_cost_sats"] for row in found.values()] == [1_400]
        assert cost_of_carol(node) == (0, True)


def test_where_the_books_fall_behind_costs_are_the_least_they_can_be() -> None:
    with a_week() as (it, carol):
        node = it.node
        refill(node, carol, it.two, 700_000)
        node.wait_s(READ_S)
        read_at_s = suggested(node)[1]["rebalance_costs_read_at"]
        node.fault("error", "listchannelmoves")
        refill(node, carol, it.two, 50_000)
        node.wait_s(3 * HOUR_S)
        found, evidence = suggested(node)
        ((_, row),) = found.items()
        assert row["evidence"]["rebalance_cost_sats"] == 700
        assert row["evidence"]["rebalance_cost_known"] is False
        assert "cost at least 700: it lost at least" in row["reason"]
        assert 0.0 <= evidence["rebalance_costs_read_at"] - read_at_s <= bookkeeping.READ_S
        assert "at least 700 sats" in evidence["rebalance_costs"]
        assert "the books are behind: " in evidence["rebalance_costs"]
        node.faults.clear()
        node.wait_s(READ_S)
        assert suggested(node)[1]["rebalance_cost_in_window_sats"] == 750


def test_where_the_records_begin_within_the_window_it_says_so() -> None:
    with beside_carol() as (it, carol):
        node = it.node
        refill(node, carol, it.two, 700_000)
        node.wait_s(READ_S)
        evidence = suggested(node)[1]
        assert evidence["rebalance_cost_in_window_sats"] == 700
        assert evidence["rebalance_costs_since"] > evidence["window_from"]
        assert "the records begin on " in evidence["rebalance_costs"]


def test_a_node_with_neither_list_nor_bookkeeper_has_no_costs_and_says_what_is_missing() -> None:
    with a_week(version="v25.05", bookkeeper=False) as (it, carol):
        refill(it.node, carol, it.two, 700_000)
        it.node.wait_s(READ_S)
        found, evidence = suggested(it.node)
        assert found == {}
        assert "neither bookkeeper nor" in evidence["rebalance_costs"]
        assert "no bleeder can be found" in evidence["rebalance_costs"]
        assert evidence["rebalance_costs_since"] is None
        assert evidence["rebalance_cost_in_window_sats"] is None
        assert cost_of_carol(it.node) == (None, False)


def test_no_reading_is_waited_for() -> None:
    with beside_carol() as (it, carol):
        node = it.node
        refill(node, carol, it.two, 700_000)
        node.wait_s(READ_S)
        read_at_s = suggested(node)[1]["rebalance_costs_read_at"]
        refill(node, carol, it.two, 50_000)

        def hang(method: str) -> None:
            if method == "listchannelmoves":
                raise Parked

        node.asked = hang
        node.wait_s(READ_S)
        evidence = suggested(node)[1]
        assert evidence["rebalance_cost_in_window_sats"] == 700
        assert evidence["rebalance_costs_read_at"] == read_at_s
