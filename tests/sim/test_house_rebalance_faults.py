"""Rebalances where something fails: replies, sling, payments, time, and the house itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cl_revenue_ops.simnode.model import Policy
from cl_revenue_ops.simnode.sling_routes import Way
from messages.control import Suspend
from tests.sim.rebalance_support import WAY_PPM, RebalanceNode, rebalance_node

HOUR_S = 3_600.0


@pytest.fixture
def node() -> Iterator[RebalanceNode]:
    with rebalance_node() as node:
        yield node


def stuck(node: RebalanceNode) -> None:
    """Every payment fails, once a minute."""
    node.ways.usual = Way((Policy(0, WAY_PPM),), room_msat=0, seconds=60.0)


def clean(node: RebalanceNode) -> None:
    """Nothing is left of any job: no task, no reservation; and what was paid is booked."""
    assert set(node.states().values()) == {"ended"}
    assert node.orphans() == []
    money = node.budget()
    assert money["reservations"] == []
    cost_msat = sum(row["amount_sent_msat"] - row["amount_msat"] for row in node.paid())
    assert sum(job["cost_msat"] for job in node.jobs()) == cost_msat
    assert node.query("SELECT coalesce(sum(cost_msat), 0) FROM rebalance_payment") == [(cost_msat,)]
    assert money["daily_spent_sats"] == -(-cost_msat // 1_000)


# -- the executor ------------------------------------------------------------------------------


def test_a_lost_reply_to_the_start_counts_as_started(node: RebalanceNode) -> None:
    assert node.sling is not None
    node.sling.lose_reply("sling-once")
    node.force()
    node.wait_s(60)
    assert node.job()["status"] == "success"
    assert len(node.paid()) == 1
    clean(node)


def test_a_start_that_hangs_counts_as_started_and_is_stopped_when_sling_answers(
    node: RebalanceNode,
) -> None:
    assert node.sling is not None
    node.sling.hang(200.0, "sling-once")
    node.force()
    node.wait_s(100)
    assert node.states() == {"r1": "running"}
    assert len(node.budget()["reservations"]) == 1
    node.wait_s(600)
    clean(node)


@pytest.mark.parametrize("method", ["sling-stop", "sling-deletejob"])
@pytest.mark.parametrize("fault", ["lost", "hang"])
def test_no_answer_to_stop_or_delete_is_no_proof(
    node: RebalanceNode, method: str, fault: str
) -> None:
    assert node.sling is not None
    if fault == "lost":
        node.sling.lose_reply(method, count=3)
    else:
        node.sling.hang(100.0, method)
    node.force()
    node.wait_s(10)
    assert node.states() == {"r1": "ending"}
    assert len(node.budget()["reservations"]) == 1
    node.wait_s(300)
    assert node.job()["status"] == "success"
    clean(node)


def test_a_sling_that_vanishes_ends_the_job(node: RebalanceNode) -> None:
    stuck(node)
    node.force()
    node.wait_s(15)
    assert node.states() == {"r1": "running"}
    node.plugins.set_present("sling", False)
    node.wait_s(60)
    assert node.states() == {"r1": "ended"}
    assert "sling is gone" in node.job()["outcome"]
    refused = node.by_hand()
    assert "sling is not on this node" in refused["error"]
    assert node.call("revenue-rebalance-debug")["sling_available"] is False


def test_a_sling_that_is_too_old_begins_nothing() -> None:
    with rebalance_node(version="v3.0.1") as node:
        answer = node.call("revenue-rebalance")
        assert answer["begun"] == []
        assert "v3.0.1 is too old: at least 4.0 is needed" in answer["message"]
        assert node.states() == {}


def test_a_job_of_somebody_else_on_the_channel_is_left_alone(node: RebalanceNode) -> None:
    theirs = {
        "scid": node.target, "direction": "pull", "amount": 10_000, "maxppm": 1, "target": 0.5,
        "candidates": [node.source],
    }  # fmt: skip
    node.call("sling-job", theirs)
    node.call("sling-go", {"scid": node.target})
    node.wait_s(20)
    refused = node.by_hand(100_000, 100, True)
    assert "sling has a persistent job for" in refused["error"]
    assert "that is not ours" in refused["error"]
    found = node.call("revenue-rebalance")
    assert all(job["to_channel"] != node.target for job in found["begun"])
    node.wait_s(900)
    assert list(node.call("sling-jobsettings")) == [node.target]
    node.restart()
    node.wait_s(900)
    assert list(node.call("sling-jobsettings")) == [node.target]


def test_nothing_moves_any_more_ends_the_job(node: RebalanceNode) -> None:
    node.ways.usual = Way((Policy(0, 50_000),))
    node.force()
    node.wait_s(45)
    assert node.states() == {"r1": "running"}
    node.wait_s(60)
    assert node.job()["outcome"] == "nothing moves any more (NoCheapRoute)"
    clean(node)


def test_a10_a_start_ends_what_may_be_running_first_thing(node: RebalanceNode) -> None:
    node.value(0.0)
    stuck(node)
    node.force()
    node.wait_s(15)
    assert node.states() == {"r1": "running"}
    node.restart()
    assert node.states() == {"r1": "ending"}
    node.wait_s(20)
    assert (node.job()["outcome"], node.job()["status"]) == ("the plugin was restarted", "failed")
    assert node.call("revenue-rebalance-debug")["breakers"] == [], "it was nobody's failure"
    clean(node)


# -- time --------------------------------------------------------------------------------------


def test_a07_a_job_has_two_hours(node: RebalanceNode) -> None:
    node.value(0.0)
    stuck(node)
    node.force()
    node.wait_s(2 * HOUR_S - 60)
    assert node.states() == {"r1": "running"}
    node.wait_s(120)
    assert (node.job()["outcome"], node.job()["status"]) == ("its time of 2 h was up", "timeout")
    clean(node)


def test_and_at_most_the_timeout_of_reservations(node: RebalanceNode) -> None:
    node.call("revenue-config", ["set", "reservation_timeout_hours", 1])
    node.value(0.0)
    stuck(node)
    node.force()
    node.wait_s(HOUR_S + 60)
    assert node.job()["outcome"] == "its time of 1 h was up"
    clean(node)


def test_the_timeout_releases_nothing_while_a_payment_is_pending(node: RebalanceNode) -> None:
    assert node.sling is not None
    node.value(0.0)
    node.sling.slow_payments(30 * HOUR_S)
    node.force()
    node.advance(node.now_s + 25 * HOUR_S, 60.0)
    assert node.states()["r1"] == "ending"
    assert "r1" in [one["job_id"] for one in node.budget()["reservations"]]
    cleared = node.call("revenue-clear-reservations")
    assert (cleared["cleared_count"], cleared["released_sats"]) == (0, 0)
    (kept,) = [one for one in cleared["kept"] if one["job_id"] == "r1"]
    assert kept["why"].startswith("1 of its payments are still pending")
    assert cleared["budget_available"] < 5_000
    node.advance(node.now_s + 6 * HOUR_S, 60.0)
    (job,) = [job for job in node.jobs() if job["job_id"] == "r1"]
    assert (job["status"], job["state"]) == ("success", "ended")
    assert len([row for row in node.paid() if row["amount_msat"] == job["moved_msat"]]) == 1
    assert "r1" not in [one["job_id"] for one in node.budget()["reservations"]]


def test_a_payment_that_shows_up_after_the_end_is_booked(node: RebalanceNode) -> None:
    """One that the node did not list as pending while its job's end was proven."""
    stuck(node)
    node.force()
    node.wait_s(30)
    node.call("revenue-config", ["set", "paused", True])
    node.wait_s(30)
    assert node.states() == {"r1": "ended"}
    (amount_msat,) = node.query("SELECT payment_msat FROM rebalance_job")[0]
    full, empty = node.full[1], node.empty[1]
    node.world.circular_payment(full, empty, amount_msat, 77_000)
    node.wait_s(1_000)
    job = node.job()
    assert (job["moved_msat"], job["cost_msat"]) == (amount_msat, 77_000)
    assert node.budget()["daily_spent_sats"] == 77
    node.world.circular_payment(full, empty, amount_msat - 1_000, 50_000)
    node.wait_s(1_000)
    assert node.job()["cost_msat"] == 77_000, "somebody else's"


# -- the house ---------------------------------------------------------------------------------


def test_an_actor_that_is_not_served_keeps_its_job(node: RebalanceNode) -> None:
    """The runner hangs in a call: nothing else waits, and the job's end comes with its answer."""
    assert node.sling is not None
    node.force()
    node.sling.hang(400.0, "sling-jobsettings")
    node.wait_s(30)
    assert node.call("revenue-status")["status"] == "running"
    assert len(node.budget()["reservations"]) == 1
    node.wait_s(900)
    assert node.job()["status"] == "success"
    clean(node)


def test_safe_mode_ends_what_runs_and_begins_nothing(node: RebalanceNode) -> None:
    stuck(node)
    node.force()
    node.wait_s(15)
    node.life.house.core.post.tell("rebalancer", Suspend("a test"))
    node.settle()
    assert node.states() == {"r1": "ended"}
    assert node.job()["outcome"] == "nothing may be moved any more: suspended: a test"
    assert "suspended: a test" in node.call("revenue-rebalance")["message"]
    clean(node)


def test_a_full_disk_begins_nothing_and_loses_nothing(node: RebalanceNode) -> None:
    with node.life.full_disk() as make_room:
        refused = node.by_hand()
        assert refused["status"] == "error"
        make_room()
    node.wait_s(60)
    node.force()
    node.wait_s(60)
    clean(node)
