"""The books of the whole house: whatever happens to the money, all comparisons give zero."""

from __future__ import annotations

import os
import random
import sqlite3
from contextlib import closing
from typing import Any, cast

import pytest

from cl_revenue_ops.domain.ledger import accounts
from cl_revenue_ops.simnode.clock import VirtualClock
from cl_revenue_ops.simnode.era import Era
from messages.books import ChannelBooks, ReadChainCosts
from tests.sim.house_books import Story, ask, books, reconciled, wrong
from tests.sim.house_support import HouseNode, house_node

KILLS = int(os.environ.get("REVENUE_OPS_BOOKS_KILLS", "40"))
SEED = int(os.environ.get("REVENUE_OPS_BOOKS_SEED", "5"))
DAY_S = 86_400.0


def told(node: HouseNode, story: Story, steps: int, pause_s: float = 60.0) -> list[str]:
    """So many events, then the end of all that is under way."""
    done: list[str] = []
    for _ in range(steps):
        done.append(story.step())
        node.wait_s(pause_s)
    story.end()
    # HTLCs of payments wait for a day for a forward that might be theirs.
    node.wait_s(1.1 * DAY_S)
    return done


def whole(node: HouseNode) -> dict[str, ChannelBooks]:
    return {channel.channel_id: channel for channel in books(node).channels}


def totals(node: HouseNode) -> dict[str, int]:
    """The lifetime totals of the ledger as they lie on the disk."""
    rows = node.query(
        "SELECT name, amount_msat FROM ledger_total JOIN ledger_account ON id = account_id"
        " WHERE span = 0 AND amount_msat <> 0"
    )
    return {str(name): int(msat) for name, msat in rows}


@pytest.mark.parametrize("seed", [*range(10, 16), 23, 35])
def test_after_any_story_every_account_agrees_to_the_msat(seed: int) -> None:
    with house_node(seed=seed) as node:
        done = told(node, Story(node, seed), 120)
        found = reconciled(node)
        assert found.trouble is None
        assert not wrong(found), (seed, wrong(found), done)
        assert {
            "balance",
            "channel balance",
            "confirmed outputs",
            "routing fees",
            "in transit",
        } <= {row.what for row in found.rows}
        assert books(node).costs_source == "bookkeeper"
        assert books(node).unattributed_msat == 0
        # Costs of the chain are the only rows whose figures come from where they are checked.
        assert {row.what for row in found.rows if row.taken_over} == {"on-chain fees"}


def test_killed_anywhere_the_books_are_the_same_in_the_end() -> None:
    draw = random.Random(SEED)
    kills = 0
    with house_node(seed=SEED) as node:
        story = Story(node, SEED)
        done: list[str] = []
        while kills < KILLS:
            node.life.die_after(draw.randint(0, 150))
            done.append(story.step())
            node.wait_s(60.0)
            if not node.life.alive:
                node.restart()
                node.settle()
                kills += 1
        node.life.dies_when = lambda: False
        done += told(node, story, 0)
        found = reconciled(node)
        assert found.trouble is None
        assert not wrong(found), (SEED, wrong(found), done)
        killed, of_channels = totals(node), whole(node)
        # A house that never saw any of it and reads it all at once.
        for path in node.database.parent.glob(f"{node.database.name}*"):
            path.unlink()
        node.restart()
        node.settle()
        node.wait_s(2_000.0)
        assert not wrong(reconciled(node))
        assert (totals(node), whole(node)) == (killed, of_channels), (SEED, done)


def test_what_was_earned_and_deleted_before_first_contact_is_one_opening_entry() -> None:
    with house_node(start=False, seed=3) as node:
        story = Story(node, 3)
        for _ in range(60):
            story.step()
            cast(VirtualClock, node.world.clock).set(node.now_s + 60.0)
        rows = node.call("listforwards")["forwards"]
        settled = [row for row in rows if row["status"] == "settled"]
        gone = settled[: len(settled) // 2]
        for row in gone:
            named = ("in_channel", "in_htlc_id", "status")
            node.call("delforward", {name: row[name] for name in named})
        node.start()
        node.settle()
        told(node, story, 30)
        found = reconciled(node)
        assert not wrong(found), wrong(found)
        missing_msat = sum(row["fee_msat"] for row in gone)
        assert books(node).unattributed_msat == missing_msat > 0
        # On the days after, nothing of it is counted.
        assert books(node, from_day=int(node.now_s // DAY_S)).unattributed_msat == 0


def test_a_node_that_collected_fees_before_its_records_begin() -> None:
    with house_node(start=False, seed=3) as node:
        story = Story(node, 3)
        node.world.forwards.fees_collected_msat += 1_234_567
        node.start()
        node.settle()
        told(node, story, 30)
        found = reconciled(node)
        assert not wrong(found), wrong(found)
        assert books(node).unattributed_msat == 1_234_567
        # Once only: what goes missing later is shown, not booked.
        node.world.forwards.fees_collected_msat += 7
        (row,) = wrong(reconciled(node))
        assert (row.what, row.remainder_msat) == ("routing fees", -7)


OLD: list[dict[str, Any]] = [{"version": "v24.11"}, {"version": "v23.05"}, {"bookkeeper": False}]


@pytest.mark.parametrize("details", OLD, ids=str)
def test_other_sources_lead_to_the_same_costs(details: dict[str, Any]) -> None:
    """Without the node's lists bookkeeper tells all; without bookkeeper fees are inferred."""
    with house_node(seed=12) as newest:
        told(newest, Story(newest, 12), 60)
        assert not wrong(reconciled(newest))
        expected = {name: msat for name, msat in totals(newest).items() if "expenses" in name}
    with house_node(seed=12, **details) as node:
        told(node, Story(node, 12), 60)
        found = reconciled(node)
        assert not wrong(found), wrong(found)
        got = {name: msat for name, msat in totals(node).items() if "expenses" in name}
        assert got == expected
        assert books(node).costs_source == ("inferred" if "bookkeeper" in details else "bookkeeper")


def test_with_no_source_at_all_costs_are_estimated_and_say_so() -> None:
    with house_node(seed=4, version="v24.11", bookkeeper=False) as node:
        story = Story(node, 4)
        told(node, story, 20)
        known = books(node)
        assert known.costs_source == "estimated"
        local = [c for c in known.channels if c.opening_msat]
        assert local
        assert all(c.estimated and c.opening_msat == 5_000_000 for c in local)
        node.plugins.set_present("bookkeeper", True)
        node.wait_s(5_000.0)
        found = reconciled(node)
        assert not wrong(found), wrong(found)
        assert totals(node).get(accounts.ESTIMATED, 0) == 0
        assert books(node).costs_source == "bookkeeper"


def test_a_node_that_learns_to_list_its_movements_is_not_booked_twice() -> None:
    with house_node(seed=6, version="v24.11") as node:
        story = Story(node, 6)
        told(node, story, 40)
        assert not wrong(reconciled(node))
        before = totals(node)
        node.kill()
        node.world.era = Era("v25.09")
        node.restart()
        node.settle()
        node.wait_s(2_000.0)
        assert not wrong(reconciled(node))
        assert totals(node) == before


def test_each_splice_tells_what_it_moved() -> None:
    with house_node() as node:
        node.deposit(3_000_000)
        channel_id = node.open("peer", 1_000_000, 500_000)
        node.wait_s(700.0)
        for amount_sat in (250_000, -150_000):
            node.splice(channel_id, amount_sat)
            node.wait_s(700.0)
        rows = ask(node, ReadChainCosts)
        splices = [(row.moved_msat, row.msat > 0) for row in rows if row.what == "splice"]
        # The fee of what was taken out is within the 150,000 sat that left the channel.
        assert splices == [(250_000_000, True), (-150_000_000 + rows[-1].msat, True)]
        assert [row.what for row in rows] == ["opening", "splice", "splice"]


def test_a_log_that_differs_from_the_list_is_shown() -> None:
    with house_node() as node:
        one, two = (node.open(name, 2_000_000, 1_000_000) for name in ("one", "two"))
        for number in range(5):
            node.pay(one if number % 2 else two, two if number % 2 else one, 5_000_000 + number)
        node.wait_s(2_000.0)
        assert not wrong(reconciled(node))
        with closing(sqlite3.connect(node.database)) as base, base:
            base.execute("UPDATE forward_row SET fee_msat = fee_msat + 3 WHERE seq = 2")
        (row,) = wrong(reconciled(node))
        assert (row.what, row.source, row.remainder_msat) == ("listed fees", "listforwards", 3)
