"""The house is killed at any point of a job's life: nothing is left running, nothing is lost."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from tests.sim.rebalance_support import STEP_S, RebalanceNode, rebalance_node

SEEDS = int(os.environ.get("REBALANCE_SEEDS", "12"))
BUDGET_SATS = 400
DAY_S = 86_400.0
WHOLE_LIFE = 40
"""More messages than a job's life takes."""


def settled(node: RebalanceNode) -> None:
    """No job is open, none is left at sling, nothing is reserved, every payment is booked."""
    assert set(node.states().values()) <= {"ended"}
    assert node.orphans() == []
    assert node.budget()["reservations"] == []
    paid = node.paid()
    cost_msat = sum(row["amount_sent_msat"] - row["amount_msat"] for row in paid)
    assert node.query("SELECT count(*), coalesce(sum(cost_msat), 0) FROM rebalance_payment") == [
        (len(paid), cost_msat)
    ]
    assert node.query("SELECT coalesce(sum(cost_msat), 0) FROM rebalance_job") == [(cost_msat,)]
    assert node.budget()["daily_spent_sats"] == -(-cost_msat // 1_000)


def order(node: RebalanceNode) -> None:
    """Order a move of several payments; the house may die before it answers."""
    params = [node.source, node.target, 600_000, 120, True]
    node.life.ask("revenue-rebalance", params)


def killed_after(messages: int, prepare: Callable[[RebalanceNode], None]) -> None:
    with rebalance_node(settings={"revenue-ops-rebalance-interval": "86400"}) as node:
        node.value(0.0)
        prepare(node)
        node.life.die_after(messages)
        order(node)
        for _ in range(8):
            if not node.life.alive:
                break
            node.advance(node.now_s + 5)
        node.restart()
        node.value(0.0)
        begun = node.states().get("r1") not in (None, "planned")
        node.wait_s(240)
        settled(node)
        if begun:
            assert node.states() == {"r1": "ended"}


@pytest.mark.parametrize("messages", range(WHOLE_LIFE))
def test_c13_killed_between_any_two_messages(messages: int) -> None:
    killed_after(messages, lambda node: None)


@pytest.mark.parametrize("messages", range(8, WHOLE_LIFE, 4))
def test_killed_while_a_payment_is_on_its_way(messages: int) -> None:
    def slow(node: RebalanceNode) -> None:
        assert node.sling is not None
        node.sling.slow_payments(100.0, count=2)

    killed_after(messages, slow)


@pytest.mark.parametrize("messages", range(8, WHOLE_LIFE, 4))
def test_killed_where_the_reply_to_the_start_is_lost(messages: int) -> None:
    def lost(node: RebalanceNode) -> None:
        assert node.sling is not None
        node.sling.lose_reply("sling-once")

    killed_after(messages, lost)


def test_killed_again_and_again() -> None:
    with rebalance_node(settings={"revenue-ops-rebalance-interval": "86400"}) as node:
        node.value(0.0)
        assert node.sling is not None
        node.sling.slow_payments(30.0, count=20)
        order(node)
        for _ in range(12):
            node.advance(node.now_s + 5)
            node.restart()
        node.value(0.0)
        node.wait_s(300)
        settled(node)
        assert node.states() == {"r1": "ended"}


# -- never over the budget ---------------------------------------------------------------------


def promised_msat(node: RebalanceNode, at_s: float) -> int:
    """What is promised to open jobs, and what the node's other payments to itself of the 24 hours
    before cost."""
    live = {
        amount
        for (amount,) in node.query(
            "SELECT payment_msat FROM rebalance_job JOIN budget_reservation ON job_id = 'r' ||"
            " number WHERE budget_reservation.ended_s IS NULL"
        )
    }
    ((promised,),) = node.query(
        "SELECT coalesce(sum(reserved_msat), 0) FROM budget_reservation WHERE ended_s IS NULL"
    )
    paid: int = sum(
        row["amount_sent_msat"] - row["amount_msat"]
        for row in node.paid()
        if row["amount_msat"] not in live and row["completed_at"] > at_s - DAY_S
    )
    return int(promised) + paid


def overspent(node: RebalanceNode) -> list[str]:
    """Jobs whose payments cost more than is promised to them."""
    return [
        job_id
        for job_id, amount, promised in node.query(
            "SELECT job_id, payment_msat, reserved_msat FROM rebalance_job JOIN"
            " budget_reservation ON job_id = 'r' || number"
        )
        if promised
        < sum(
            row["amount_sent_msat"] - row["amount_msat"]
            for row in node.paid()
            if row["amount_msat"] == amount
        )
    ]


def disturb(node: RebalanceNode, rng: random.Random) -> None:
    """Something goes wrong, or somebody orders something."""
    assert node.sling is not None
    what = rng.randrange(10)
    methods = ["sling-once", "sling-stop", "sling-deletejob", "sling-stats", "*"]
    if what == 0:
        node.sling.lose_reply(rng.choice(methods))
    elif what == 1:
        node.sling.hang(rng.choice([5.0, 60.0, 300.0]), rng.choice(methods))
    elif what == 2:
        node.sling.slow_payments(rng.choice([20.0, 100.0, 5_000.0]))
    elif what == 3:
        node.ways.failures.append("WIRE_TEMPORARY_CHANNEL_FAILURE")
    elif what == 4:
        node.plugins.set_present("sling", False)
    elif what == 5:
        node.plugins.set_present("sling", True)
    elif what == 6:
        node.life.die_after(rng.randrange(30))
    else:
        ends = [node.scid(rng.choice(node.full)), node.scid(rng.choice(node.empty))]
        node.life.ask("revenue-rebalance", [*ends, rng.choice([50_000, 300_000]), 100, True])


@pytest.mark.parametrize("seed", range(SEEDS))
def test_never_over_the_budget_whatever_happens(seed: int) -> None:
    rng = random.Random(seed)
    settings = {
        "revenue-ops-rebalance-interval": "600",
        "revenue-ops-daily-budget-sats": str(BUDGET_SATS),
    }
    with rebalance_node(settings=settings) as node:
        for _ in range(40):
            disturb(node, rng)
            node.wait_s(rng.choice([0.0, 5.0, 20.0, 120.0]))
            if not node.life.alive:
                node.restart()
            assert promised_msat(node, node.now_s) <= BUDGET_SATS * 1_000, f"seed {seed}"
            assert overspent(node) == [], f"seed {seed}"
        node.plugins.set_present("sling", True)
        assert node.sling is not None
        node.sling.free()
        node.life.dies_when = lambda: False
        node.call("revenue-config", ["set", "paused", True])
        node.wait_s(6_000)
        settled(node)
        assert promised_msat(node, node.now_s) <= BUDGET_SATS * 1_000, f"seed {seed}"


@pytest.mark.parametrize("takes_s", [119.0, 130.0, 300.0, 1_000.0])
def test_a_dead_house_overspends_nothing_while_payments_outlast_sling(takes_s: float) -> None:
    """sling gives each payment up and makes it again, and all of them arrive, at the highest
    price; nobody is there to stop it."""
    with rebalance_node(settings={"revenue-ops-rebalance-interval": "86400"}) as node:
        node.value(0.0)
        assert node.sling is not None
        node.sling.slow_payments(takes_s, count=1_000)
        answer = node.call("revenue-rebalance", [node.source, node.target, 600_000, 67, True])
        assert answer["status"] == "initiated"
        ((reserved,),) = node.query("SELECT reserved_msat FROM budget_reservation")
        node.kill()
        for _ in range(1_000):
            node.sleep_dead(STEP_S)
        node.start()
        node.settle()
        node.wait_s(3_000)
        settled(node)
        paid = node.paid()
        assert len(paid) >= 3
        assert takes_s < 120 or len(paid) > 3, "this test has lost its point"
        assert sum(row["amount_sent_msat"] - row["amount_msat"] for row in paid) <= reserved
