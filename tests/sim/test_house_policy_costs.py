"""Rebalance costs of the whole house: bleeders by the node's own list, and what is not known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from actors import policy_costs
from cl_revenue_ops.runtime.actor import Parked
from messages.base import Answer, Message
from messages.policies import SuggestPolicies
from tests.sim.house_policies import agree, ask
from tests.sim.house_support import HouseNode
from tests.sim.house_traffic import Traffic, traffic

DAY_S = 86_400.0
HOUR_S = 3_600.0
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


def a_week() -> AbstractContextManager[tuple[Traffic, str]]:
    """The same after eight days, long enough for suggestions."""
    return beside_carol(8.0)


def refill(node: HouseNode, source: str, target: str, fee_msat: int, times: int = 1) -> None:
    """Hand-made rebalances, six hours apart."""
    for _ in range(times):
        row = node.world.circular_payment(source, target, 20_000_000, fee_msat, at_s=node.now_s)
        assert row["status"] == "complete"
        node.wait_s(6 * HOUR_S)


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


def test_a_peer_that_is_filled_at_a_loss_is_a_bleeder_and_who_gave_is_not() -> None:
    with a_week() as (it, carol):
        node = it.node
        bob = node.world.channels[it.two].peer_id
        for _ in range(6):
            it.pay("settled")
            refill(node, carol, it.two, 700_000, times=4)
        node.wait_s(120.0)
        earned = earned_sats(it, it.two, node.now_s - 7 * DAY_S)
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
        assert f"earned {earned} sats and rebalancing them cost 16800" in row["reason"]
        assert row["command"] == f"revenue-policy set {bob} rebalance=disabled"
        assert evidence["rebalances_in_window"] == 24
        assert evidence["rebalance_cost_in_window_sats"] == 16_800
        assert evidence["rebalance_costs_since"] == int(node.now_s - 7 * DAY_S)
        assert evidence["rebalance_costs"].startswith("24 rebalances cost 16800 sats, by the node")
        words = row["command"].split()
        assert node.call(words[0], words[1:])["status"] == "success"
        assert agree(node)[bob].rebalance == "disabled"
        assert suggested(node)[0] == {}


def test_one_that_earns_more_than_it_costs_is_none() -> None:
    with a_week() as (it, carol):
        since_s = it.node.now_s
        for _ in range(12):
            it.pay("settled")
            refill(it.node, carol, it.two, 1)
        it.node.wait_s(120.0)
        assert earned_sats(it, it.two, since_s) > 0
        found, evidence = suggested(it.node)
        assert found == {}
        assert evidence["rebalances_in_window"] == 12
        assert cost_of_carol(it.node) == (0, True)
        it.node.fault("error", "listchannelmoves")
        assert cost_of_carol(it.node) == (None, False)


def cost_of_carol(node: HouseNode) -> tuple[object, object]:
    """What the suggestion for carol, who is idle, says of her costs; and whether it knows."""
    rows = ask(node, "suggest")["suggestions"]
    (row,) = (row["evidence"] for row in rows if row["kind"] == "zombie")
    return row["rebalance_cost_sats"], row["rebalance_cost_known"]


def test_payments_to_others_and_by_others_are_no_rebalances() -> None:
    with beside_carol() as (it, carol):
        node = it.node
        assert node.world.circular_payment(carol, it.two, 20_000_000, 900_000, ok=False)
        assert (
            node.world.send_payment(carol, "02" + "77" * 32, 5_000_000, 900_000)["status"]
            == "complete"
        )
        assert node.world.receive_payment(it.two, 5_000_000)
        node.wait_s(60.0)
        evidence = suggested(node)[1]
        assert evidence["rebalances_in_window"] == 0
        assert evidence["rebalance_cost_in_window_sats"] == 0


def test_what_was_before_the_window_counts_no_more() -> None:
    with beside_carol() as (it, carol):
        node = it.node
        at_s = node.now_s - 7 * DAY_S + HOUR_S
        node.world.circular_payment(carol, it.two, 1_000_000, 5_000, at_s=at_s)
        assert suggested(node)[1]["rebalance_cost_in_window_sats"] == 5
        node.wait_s(HOUR_S + 1.0)
        assert suggested(node)[1]["rebalance_cost_in_window_sats"] == 0


def book(node: HouseNode, channel_id: str, count: int = 1, tag: str = "routed", **row: Any) -> None:
    """Rows straight into the node's books."""
    for _ in range(count):
        node.world.books.book_channel(channel_id, node.now_s, tag, **row)


def test_a_pair_is_found_across_pages_and_over_a_row_of_a_wrong_clock() -> None:
    with beside_carol() as (it, carol):
        node = it.node
        book(node, it.two, tag="invoice", credit_msat=1_000_000, payment_hash=HASH)
        book(node, carol, policy_costs.PAGE_ROWS, debit_msat=5, fees_msat=1)
        node.world.books.book_channel(carol, 5.0, "routed", debit_msat=5, fees_msat=1)
        book(node, carol, policy_costs.PAGE_ROWS - 2, debit_msat=5, fees_msat=1)
        book(
            node, carol, tag="invoice", debit_msat=3_000_000, fees_msat=2_000_000, payment_hash=HASH
        )
        evidence = suggested(node)[1]
        assert evidence["rebalances_in_window"] == 1
        assert evidence["rebalance_cost_in_window_sats"] == 2_000
        assert "by the node's list" in evidence["rebalance_costs"]


def test_a_long_list_is_read_no_further_than_to_the_window() -> None:
    with beside_carol() as (it, carol):
        node = it.node
        old = int(node.now_s - 7 * DAY_S) - 1
        for _ in range(4 * policy_costs.PAGE_ROWS):
            node.world.books.book_channel(carol, old, "routed", debit_msat=5, fees_msat=1)
        book(node, carol, 2 * policy_costs.PAGE_ROWS, debit_msat=5, fees_msat=1)
        asked: list[str] = []
        node.asked = asked.append
        evidence = suggested(node)[1]
        assert asked.count("listchannelmoves") == 3
        assert asked.count("wait") == 1
        assert "by the node's list" in evidence["rebalance_costs"]


def test_where_the_window_is_too_long_to_read_costs_are_the_least_they_can_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(policy_costs, "MOST_PAGES", 2)
    with a_week() as (it, carol):
        node = it.node
        refill(node, carol, it.two, 700_000)
        book(node, carol, policy_costs.PAGE_ROWS, debit_msat=5, fees_msat=1)
        since_s = node.now_s
        refill(node, carol, it.two, 50_000)
        book(node, carol, policy_costs.PAGE_ROWS, debit_msat=5, fees_msat=1)
        node.wait_s(12 * HOUR_S)
        found, evidence = suggested(node)
        ((_, row),) = found.items()
        assert row["evidence"]["rebalance_cost_sats"] == 50
        assert row["evidence"]["rebalance_cost_known"] is False
        assert "cost at least 50:" in row["reason"]
        assert evidence["rebalance_costs_since"] == int(since_s)
        assert "in the last 0.8 days; what was before is not known" in evidence["rebalance_costs"]
        assert "2000 movements" in evidence["rebalance_costs"]


def test_an_older_node_has_no_costs_and_the_answer_names_what_is_missing() -> None:
    with beside_carol(version="v25.05") as (it, carol):
        refill(it.node, carol, it.two, 700_000)
        evidence = suggested(it.node)[1]
        assert "listchannelmoves" in evidence["rebalance_costs"]
        assert "no bleeder can be found" in evidence["rebalance_costs"]
        assert evidence["rebalance_costs_since"] is None
        assert evidence["rebalances_in_window"] is None


def test_a_node_that_does_not_list_them_costs_the_bleeders_and_nothing_else() -> None:
    with beside_carol() as (it, carol):
        node = it.node
        refill(node, carol, it.two, 700_000)
        node.fault("error", "listchannelmoves")
        answer = ask(node, "suggest")
        assert answer["status"] == "success"
        assert answer["evidence"]["forwards_in_window"] == 1
        assert "injected fault" in answer["evidence"]["rebalance_costs"]
        assert answer["evidence"]["rebalance_costs_since"] is None
        node.faults.clear()
        assert suggested(node)[1]["rebalances_in_window"] == 1


def test_pages_that_were_read_count_where_the_next_one_fails() -> None:
    with beside_carol() as (it, carol):
        node = it.node
        book(node, carol, policy_costs.PAGE_ROWS, debit_msat=5, fees_msat=1)
        refill(node, carol, it.two, 700_000)
        asked: list[str] = []

        def spoil(method: str) -> None:
            asked.append(method)
            if asked.count("listchannelmoves") == 2:
                node.fault("error", "listchannelmoves")

        node.asked = spoil
        evidence = suggested(node)[1]
        assert evidence["rebalance_cost_in_window_sats"] == 700
        assert 0 < node.now_s - evidence["rebalance_costs_since"] < DAY_S
        assert "injected fault" in evidence["rebalance_costs"]


def answers(node: HouseNode) -> list[dict[str, Any]]:
    """From now on, what the order below is answered with."""
    post, heard = node.life.house.core.post, []
    tell = post.tell

    def listen(address: str, message: Message) -> None:
        if isinstance(message, Answer) and message.call_id == "by hand":
            assert isinstance(message.result, dict)
            heard.append(message.result)
        tell(address, message)

    post.tell = listen  # type: ignore[method-assign]  # it listens and passes everything on
    return heard


@pytest.mark.parametrize(("silent_at", "known"), [(1, None), (2, 1)])
def test_a_node_that_falls_silent_is_not_waited_for_to_the_end(
    silent_at: int, known: int | None
) -> None:
    with beside_carol() as (it, carol):
        node = it.node
        book(node, carol, policy_costs.PAGE_ROWS, debit_msat=5, fees_msat=1)
        refill(node, carol, it.two, 700_000)
        asked: list[str] = []

        def hang(method: str) -> None:
            asked.append(method)
            if method == "listchannelmoves" and asked.count(method) == silent_at:
                raise Parked

        node.asked = hang
        heard, core = answers(node), node.life.house.core
        deadline_s = core.clock.monotonic() + 60.0
        core.post.tell("policy-engine", SuggestPolicies("by hand", "gateway", deadline_s))
        node.wait_s(44.0)
        assert heard == []
        node.wait_s(2.0)
        (evidence,) = [answer["evidence"] for answer in heard]
        assert evidence["rebalances_in_window"] == known
        assert "in time" in evidence["rebalance_costs"]
        node.asked = lambda method: None
        node.wait_s(300.0)
        assert len(heard) == 1
        assert suggested(node)[1]["rebalances_in_window"] == 1
