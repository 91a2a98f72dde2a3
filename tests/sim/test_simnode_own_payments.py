"""A payment to ourselves that is begun and ends later: its HTLCs, its entry, its books, closes."""

from __future__ import annotations

from typing import Any

import pytest

from cl_revenue_ops.simnode.node import SimulatedNode
from cl_revenue_ops.simnode.sendpays import visible

START_S = 1_700_000_000.0
AMOUNT, FEE = 50_000_000, 12_345


class Payment:
    """One payment under way from a full to an empty channel."""

    def __init__(self, arrives: bool = True, version: str = "v26.06.6") -> None:
        self.node = SimulatedNode(start_s=START_S, seed=3, version=version)
        self.world = self.node.world
        self.node.deposit(2_000_000)
        self.out, self.into = self.node.open("a", 1_000_000), self.node.open("b", 1_000_000, 0)
        self.news: list[tuple[str, Any]] = []
        self.world.listeners.append(self)
        parts = [(self.out, self.into, AMOUNT, FEE)]
        self.created = self.world.begin_circular(parts, arrives=arrives)

    def heard(self, topic: str) -> bool:
        return True

    def hear(self, topic: str, payload: Any) -> None:
        self.news.append((topic, dict(payload)))

    def told(self, topic: str) -> list[Any]:
        return [payload for name, payload in self.news if name == topic]

    @property
    def entry(self) -> dict[str, Any]:
        """The payment as listsendpays shows it."""
        return visible(self.world.era, self.world.sendpays.rows[self.created - 1])

    def held(self) -> tuple[int, int]:
        """How many HTLCs each channel holds."""
        out, into = (self.world.channel(c) for c in (self.out, self.into))
        return len(out.pending_out), len(into.pending_in)

    def balances(self) -> tuple[int, int]:
        """Our balances, as they are reported."""
        return self.world.channel(self.out).to_us_msat, self.world.channel(self.into).to_us_msat

    def booked(self) -> list[tuple[str, int, int]]:
        """Its movements: account, change and fee."""
        rows = [m for m in self.world.books.channel_moves if m.primary_tag == "invoice"]
        return [(m.account_id, m.credit_msat - m.debit_msat, m.fees_msat) for m in rows]


def test_until_its_end_it_is_pending_and_moves_nothing() -> None:
    it = Payment()
    assert it.entry["status"] == "pending"
    assert "completed_at" not in it.entry and "payment_preimage" not in it.entry
    assert (it.held(), it.balances()) == ((1, 1), (1_000_000_000, 0))
    assert it.booked() == []
    assert it.told("sendpay_success") == []


def test_its_end_moves_and_books_both_sides_at_its_own_time() -> None:
    it = Payment()
    (row,) = it.world.end_circular(it.created, at_s=START_S + 90)
    assert row == it.entry
    assert (row["status"], row["created_at"]) == ("complete", int(START_S))
    assert row["completed_at"] == int(START_S) + 90
    assert row["updated_index"] == 1
    assert it.balances() == (1_000_000_000 - AMOUNT - FEE, AMOUNT)
    assert it.booked() == [(it.into, AMOUNT, 0), (it.out, -AMOUNT - FEE, FEE)]
    assert (it.held(), it.told("sendpay_success")) == ((0, 0), [row])
    with pytest.raises(ValueError, match="not in flight"):
        it.world.end_circular(it.created)


@pytest.mark.parametrize("arrives, ok", [(True, False), (False, False), (False, True)])
def test_one_that_fails_or_never_arrived_leaves_all_as_it_was(arrives: bool, ok: bool) -> None:
    it = Payment(arrives)
    assert it.held() == (1, int(arrives))
    (row,) = it.world.end_circular(it.created, ok)
    assert row["status"] == "failed"
    assert (it.held(), it.balances(), it.booked()) == ((0, 0), (1_000_000_000, 0), [])
    assert len(it.told("sendpay_failure")) == 1
    assert it.world.own_flights == {}


def test_without_room_on_our_side_it_fails_at_once() -> None:
    it = Payment()
    failed = it.world.begin_circular([(it.into, it.out, AMOUNT, 0)])
    assert it.world.sendpays.rows[failed - 1]["status"] == "failed"
    assert list(it.world.own_flights) == [it.created]


def test_without_room_on_the_other_side_it_fails_at_its_end() -> None:
    it = Payment()
    it.world.end_circular(it.created, False)
    it.world.receive_payment(it.into, 960_000_000)
    again = it.world.begin_circular([(it.out, it.into, AMOUNT, FEE)])
    assert it.world.sendpays.rows[again - 1]["status"] == "pending"
    assert it.held() == (1, 0)
    assert it.world.end_circular(again, True)[0]["status"] == "failed"


def test_parts_arrive_together_or_not_at_all() -> None:
    it = Payment()
    parts = [(it.out, it.into, AMOUNT, FEE), (it.out, it.into, 2 * AMOUNT, FEE)]
    several = it.world.begin_circular(parts)
    assert it.held() == (3, 3)
    rows = it.world.end_circular(several)
    assert [(r["status"], r["partid"]) for r in rows] == [("complete", 1), ("complete", 2)]
    broken = it.world.begin_circular([parts[0], (it.out, it.into, 10**12, FEE)])
    rows = it.world.end_circular(broken)
    assert [row["status"] for row in rows] == ["failed", "failed"]
    assert it.held() == (1, 1)


def test_a_wait_for_payments_hears_of_a_pending_one() -> None:
    it = Payment()
    with it.node:
        asked = {"subsystem": "sendpays", "indexname": "created", "nextvalue": 0}
        assert it.node.call("wait", asked)["created"] == it.created
        listed = {"index": "created", "start": it.created, "limit": 1, "status": "pending"}
        assert it.node.call("listsendpays", listed)["payments"] == [it.entry]
        later = {"index": "created", "start": it.created + 1}
        assert it.node.call("listsendpays", later)["payments"] == []


def test_a_mutual_close_waits_for_it() -> None:
    it = Payment()
    it.node.close(it.out)
    assert it.world.channel(it.out).state == "CHANNELD_SHUTTING_DOWN"
    it.world.end_circular(it.created)
    assert it.world.channel(it.out).state == "CLOSINGD_COMPLETE"
    assert it.entry["status"] == "complete"


@pytest.mark.parametrize("by", ["local", "remote"])
def test_on_a_channel_closed_by_force_they_claim_it_on_the_chain(by: str) -> None:
    it = Payment()
    it.world.force_close(it.out, by=by)
    it.node.mine(1)
    (row,) = it.world.end_circular(it.created)
    assert (row["status"], it.balances()[1]) == ("pending", AMOUNT)
    it.node.mine(1)
    assert it.entry["status"] == "complete"
    assert it.booked() == [(it.into, AMOUNT, 0)]
    assert it.world.own_flights == {}


@pytest.mark.parametrize("ends", [False, None])
def test_what_times_out_on_the_chain_has_failed(ends: bool | None) -> None:
    it = Payment()
    it.world.force_close(it.out)
    it.node.mine(1)
    if ends is not None:
        assert it.world.end_circular(it.created, ends)[0]["status"] == "pending"
    it.node.mine(60)
    assert it.entry["status"] == "failed"
    assert (it.world.channel(it.into).to_us_msat, it.booked()) == (0, [])
    assert it.world.channel(it.into).pending_in == {}
    assert it.world.own_flights == {}


def test_where_the_filled_channel_was_closed_by_force_we_claim_it_on_the_chain() -> None:
    it = Payment()
    it.world.force_close(it.into)
    it.node.mine(1)
    assert it.world.end_circular(it.created)[0]["status"] == "complete"
    assert it.booked() == [(it.out, -AMOUNT - FEE, FEE)]
    mark = len(it.world.books.chain_moves)
    it.node.mine(2)
    tags = [m.primary_tag for m in it.world.books.chain_moves[mark:]]
    assert "htlc_fulfill" in tags


def test_before_v23_11_the_entry_shows_no_index_but_has_one() -> None:
    it = Payment(version="v23.05")
    assert "created_index" not in it.entry
    assert it.world.end_circular(it.created)[0]["status"] == "complete"
