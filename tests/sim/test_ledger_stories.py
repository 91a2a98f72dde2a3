"""The ledger on random stories of the simulated node: equal to its bookkeeper, all explained."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pytest

from cl_revenue_ops.domain.ledger import accounts, residue
from cl_revenue_ops.domain.ledger.forwards import postings_of
from cl_revenue_ops.simnode.node import SimulatedNode
from messages.forwards import SETTLED, LoggedForward
from messages.node_books import WALLET, OnchainFee
from tests.unit.ledger_support import (
    PlainLedger,
    chain_row,
    channel_row,
    summed,
    take_chain,
    take_channel,
    together,
)

START_S = 1_700_000_000.0
STEPS = 30
ACTS = (
    *("forward",) * 6,
    *("hold",) * 3,
    *("rebalance",) * 3,
    *("pay", "receive") * 2,
    *("open", "close", "force", "forced", "cheat", "splice", "deposit", "withdraw", "mine"),
)
Row = dict[str, Any]


class Story:
    """A node to which things happen at random; `channel_of` has every scid that there was."""

    def __init__(self, node: SimulatedNode, seed: int) -> None:
        self.node, self.rng = node, random.Random(seed)
        self.open: list[str] = []
        self.held: list[int] = []
        self.channel_of: dict[str, str] = {}
        node.deposit(20_000_000)
        for _ in range(4):
            self.act("open")

    def tell(self) -> None:
        """The whole story, until every channel that was closed is settled."""
        for _ in range(STEPS):
            act = self.rng.choice(ACTS)
            if len(self.open) < 3 or self.rng.random() < 0.1:
                act = "open"
            self.act(act)
            if self.held and self.rng.random() < 0.4:
                self.node.world.resolve(self.held.pop(self.rng.randrange(len(self.held))))
        for created in self.held:
            if self.rng.random() < 0.7:
                self.node.world.resolve(created)
        self.node.mine(500)
        self.learn()

    def learn(self) -> None:
        for channel in self.node.world.channels.values():
            if channel.scid is not None:
                self.channel_of[channel.scid] = channel.channel_id

    def act(self, what: str) -> None:
        node, rng, world = self.node, self.rng, self.node.world
        if what == "open":
            size_sat, ours_sat = rng.randrange(900_000, 2_000_000), rng.randrange(200_000, 700_000)
            opener = rng.choice(["local", "remote"])
            name = f"p{len(world.channels)}"
            self.open.append(node.open(name, size_sat, ours_sat, opener=opener))
        elif what in ("forward", "hold"):
            one, two = rng.sample(self.open, 2)
            out_msat, fee_msat = rng.randrange(5_000_000, 30_000_000), rng.randrange(6_000, 15_000)
            how = "pending" if what == "hold" else SETTLED
            row = world.forward(one, two, out_msat, out_msat + fee_msat, START_S, how)
            self.held += [row.created_index] if row.status == "offered" else []
        elif what in ("rebalance", "pay", "receive"):
            one, two = rng.sample(self.open, 2)
            amount_msat, fee_msat = rng.randrange(1_000_000, 9_000_000), rng.randrange(999)
            if what == "rebalance":
                world.circular_payment(one, two, amount_msat, fee_msat)
            elif what == "pay":
                world.send_payment(one, "02" + "ee" * 32, amount_msat, fee_msat)
            else:
                world.receive_payment(one, amount_msat)
        elif what == "deposit":
            node.deposit(rng.randrange(10_000, 99_999))
        elif what == "withdraw":
            node.withdraw(rng.randrange(10_000, 99_999))
        elif what == "mine":
            node.mine(3)
        else:
            self.end(what)
        self.learn()

    def end(self, what: str) -> None:
        node, channel = self.node, self.rng.choice(self.open)
        if what == "splice":
            node.splice(channel, self.rng.choice([100_000, -60_000]))
            return
        self.open.remove(channel)
        if what == "close" and not self.held:
            node.close(channel)
        elif what == "cheat":
            node.cheat(channel, self.rng.randrange(100_000, 800_000))
        else:
            node.force_close(channel, by="remote" if what == "forced" else "local")

    def forwards(self) -> list[LoggedForward]:
        return [
            LoggedForward(
                row["created_index"],
                row["in_channel"],
                row["out_channel"],
                row["in_msat"],
                row["out_msat"],
                row["fee_msat"],
                SETTLED,
                row["resolved_time"],
                None,
            )
            for row in self.node.call("listforwards")["forwards"]
            if row["status"] == SETTLED
        ]

    def fees(self) -> list[OnchainFee]:
        found: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
        for row in self.node.call("bkpr-listaccountevents")["events"]:
            if row["type"] == "onchain_fee":
                sums = found[row["account"], row["txid"]]
                sums[0] += row["credit_msat"] - row["debit_msat"]
                sums[1] = max(sums[1], row["timestamp"])
        return [OnchainFee(*key, *sums) for key, sums in found.items()]

    def balances(self) -> dict[str, int]:
        found = self.node.call("bkpr-listbalances")["accounts"]
        return {
            row["account"]: sum(balance["balance_msat"] for balance in row["balances"])
            for row in found
        }


def booked(story: Story, fees: Sequence[OnchainFee] | None) -> dict[str, int]:
    """The sums of all accounts, forwards included."""
    books, forwards = PlainLedger(), story.forwards()
    rows: list[Row] = story.node.call("listchannelmoves")["channelmoves"]
    take_channel(books, [channel_row(row) for row in rows if row["primary_tag"] != "routed"])
    chain = [chain_row(row) for row in story.node.call("listchainmoves")["chainmoves"]]
    take_chain(books, chain, fees, forwards, story.channel_of)
    assert books.open_transactions() == ()
    moved = summed(p for forward in forwards for p in postings_of(forward, story.channel_of))
    for row in chain:
        if row.tag == "channel_close" and not row.spliced:
            routed_msat = sum(
                one["credit_msat"] - one["debit_msat"]
                for one in rows
                if one["account_id"] == row.account and one["primary_tag"] == "routed"
            )
            asset = f"assets:channel:{row.account}"
            known = [e for e in books.entries.values() if asset in dict(e.postings)]
            left = residue.entry(row.account, moved.get(asset, 0), routed_msat, known, row.at_s)
            books.book([left] if left is not None else [])
    return together(books.totals(), moved)


# Two with HTLCs that end on the chain, two with forwards that lose theirs.
@pytest.mark.parametrize("seed", [9, 10, 19, 29])
def test_balances_equal_the_bookkeepers_and_nothing_is_left_over(seed: int) -> None:
    with SimulatedNode(start_s=START_S, seed=seed) as node:
        story = Story(node, seed)
        story.tell()
        sums = booked(story, story.fees())
        assert accounts.TRANSIT not in sums
        held = {
            account: sums.get(
                accounts.WALLET if account == WALLET else accounts.of(accounts.CHANNEL, account),
                0,
            )
            for account in story.balances()
        }
        assert held == story.balances()
        # Inferred without bookkeeper, every account has the same.
        assert booked(story, None) == sums
