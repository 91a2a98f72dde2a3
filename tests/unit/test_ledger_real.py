"""The ledger on what real nodes listed: equal to their bookkeepers, whatever the pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.domain.ledger import accounts
from messages.node_books import WALLET, OnchainFee
from tests.unit.ledger_support import (
    STORIES,
    PlainLedger,
    Story,
    of_forwards,
    recorded,
    settle_payments,
    summed,
    take_chain,
    take_channel,
    together,
)

Item = TypeVar("Item")
RECORDED = {name: recorded(name) for name in STORIES}
# What whole satoshis cut off: lost where we claimed, counted by the forward where they did.
CUT_MSAT = {"forced": {"a6" * 32: 888, "a3" * 32: 888, "a7" * 32: -111}}


def booked(story: Story, with_bookkeeper: bool = True) -> PlainLedger:
    """All in one page."""
    books = PlainLedger()
    fees = story.fees if with_bookkeeper else None
    take_channel(books, story.channel)
    take_chain(books, story.chain, fees, story.forwards, story.channel_of)
    return books


def by_channel(sums: dict[str, int], *kinds: str) -> dict[str, int]:
    found = [(accounts.parted(account), amount_msat) for account, amount_msat in sums.items()]
    return summed((channel, msat) for (kind, channel), msat in found if kind in kinds and channel)


@pytest.mark.parametrize("with_bookkeeper", [True, False], ids=["bookkeeper", "inferred"])
@pytest.mark.parametrize("name", STORIES)
class TestGolden:
    def test_balances_equal_the_bookkeepers(self, name: str, with_bookkeeper: bool) -> None:
        story = RECORDED[name]
        sums = together(booked(story, with_bookkeeper).totals(), of_forwards(story))
        held = by_channel(sums, accounts.CHANNEL) | {WALLET: sums[accounts.WALLET]}
        assert held == {account: msat for account, msat in story.balances.items() if msat}

    def test_nothing_stays_in_transit(self, name: str, with_bookkeeper: bool) -> None:
        books = booked(RECORDED[name], with_bookkeeper)
        assert books.open_transactions() == ()
        assert accounts.TRANSIT not in books.totals()

    def test_costs_equal_the_bookkeepers(self, name: str, with_bookkeeper: bool) -> None:
        story = RECORDED[name]
        sums = booked(story, with_bookkeeper).totals()
        kinds = (accounts.OPENING, accounts.CLOSURE, accounts.SPLICE)
        costs = by_channel(sums, *kinds)
        if sums.get(accounts.WALLET_FEES):
            costs[WALLET] = sums[accounts.WALLET_FEES]
        assert costs == story.costs
        assert by_channel(sums, accounts.DUST) == CUT_MSAT.get(name, {})

    def test_rebalances_equal_the_bookkeepers(self, name: str, with_bookkeeper: bool) -> None:
        sums = booked(RECORDED[name], with_bookkeeper).totals()
        paid = by_channel(sums, accounts.OTHER_REBALANCE)
        assert sum(paid.values()) == RECORDED[name].rebalance_fees
        assert accounts.PAYMENT_FEES not in sums


def test_the_account_of_each_cost() -> None:
    payments, cheated = (booked(RECORDED[name]).totals() for name in ("payments", "cheated"))
    a2, a3 = "a2" * 32, "a3" * 32
    assert {name: msat for name, msat in payments.items() if name.startswith("expenses:")} == {
        f"expenses:closure:{a2}": 667,
        f"expenses:opening:{a3}": 6_960_000,
        f"expenses:splice:{a3}": 7_520_000 + 5_793_000,
        # The two rebalances (one in two parts) filled a2 and left by a3.
        f"expenses:other-rebalance:{a2}": 2_000 + 1_501 + 1_502,
        "expenses:wallet": 4_260_000,
    }
    outside_msat = 5_000_000_000 + 1_000_001_000 + 123_456_000 - 200_000_000
    assert payments["equity:onchain"] == -outside_msat
    a1 = "a1" * 32
    assert cheated[f"income:penalty:{a1}"] == -185_120_000
    assert cheated[f"expenses:closure:{a1}"] == 6_360_000
    assert cheated[f"equity:pushed:{a1}"] == 200_000_000


def test_without_forwards_the_htlcs_wait_in_transit_until_they_are_payments() -> None:
    story = RECORDED["forced"]
    books = PlainLedger()
    take_chain(books, story.chain, story.fees)
    closings = tuple(f"{0x10 + n:02x}" * 32 for n in (2, 4, 25))
    assert books.open_transactions() == closings
    assert books.totals()[accounts.TRANSIT] == 20_000_000 - 2 * 20_007_000
    settle_payments(books, closings)
    assert books.open_transactions() == ()
    assert books.totals()[accounts.PAYMENTS] == 20_000_000 - 2 * 20_007_000
    # What came to be known later changes nothing: the HTLC has its entry.
    take_chain(books, story.chain, story.fees, story.forwards, story.channel_of)
    assert books.totals()[accounts.PAYMENTS] == 20_000_000 - 2 * 20_007_000


@pytest.mark.parametrize("name", STORIES)
def test_everything_twice_changes_nothing(name: str) -> None:
    story = RECORDED[name]
    books = booked(story)
    before = dict(books.entries)
    take_channel(books, story.channel)
    take_chain(books, story.chain, story.fees, story.forwards, story.channel_of)
    assert books.entries == before


def pages(draw: st.DrawFn, rows: Sequence[Item]) -> list[list[Item]]:
    """The rows in any order, some of them twice, in any pages."""
    shuffled = draw(st.permutations([*rows, *draw(st.lists(st.sampled_from(rows), max_size=5))]))
    found: list[list[Item]] = [[]]
    for row in shuffled:
        if draw(st.booleans()):
            found.append([])
        found[-1].append(row)
    return found


@pytest.mark.parametrize("name", STORIES)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_order_and_any_pages_give_the_same_totals(name: str, data: st.DataObject) -> None:
    story = RECORDED[name]
    draw = data.draw
    books = PlainLedger()
    with_bookkeeper = draw(st.booleans())
    for page in data.draw(st.composite(pages)(story.channel)):
        take_channel(books, page)
    for chain_page in data.draw(st.composite(pages)(story.chain)):
        # Bookkeeper knows some of its fees so far, or they are inferred of what is there.
        some = draw(st.lists(st.sampled_from(story.fees), unique=True))
        fees: Sequence[OnchainFee] | None = some if with_bookkeeper else None
        take_chain(books, chain_page, fees, story.forwards, story.channel_of)
    fees = story.fees if with_bookkeeper else None
    take_chain(books, story.chain, fees, story.forwards, story.channel_of)
    assert books.totals() == booked(story).totals()
    assert books.open_transactions() == ()
