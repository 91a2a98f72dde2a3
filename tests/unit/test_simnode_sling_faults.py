"""What goes wrong in a simulated sling: hangs, lost replies, restarts, late and stuck payments."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator

import pytest

from cl_revenue_ops.simnode import sling
from cl_revenue_ops.simnode.errors import NodeDown
from cl_revenue_ops.simnode.node import SimulatedNode
from cl_revenue_ops.simnode.sling_routes import RouteTable
from tests.unit.sling_support import Bench, bench, refused, slow_way


@pytest.fixture
def at() -> Iterator[Bench]:
    with bench() as made:
        yield made


def unanswered(at: Bench, method: str, params: object = None) -> None:
    with pytest.raises(NodeDown):
        at.node.call(method, params)


# -- payments that take long ----------------------------------------------------------------------


def test_a_stop_waits_for_the_payment_on_its_way(at: Bench) -> None:
    at.ways.usual = slow_way(100)
    at.node.call("sling-once", at.order())
    at.wait(5)
    assert at.sling.in_flight == [1]
    assert at.node.call("sling-stop", {"scid": at.target}) == {"stopped_count": 1}
    (row,) = at.payments()
    assert (row["status"], row["completed_at"]) == ("complete", int(at.begun_s) + 100)
    assert at.status() == "Stopped"
    at.wait(3_600)
    assert at.moved_sat() == 10_000


@pytest.mark.parametrize("seconds, ends", [(200, "complete"), (300, "failed")])
def test_a_stop_waits_no_longer_than_two_minutes(at: Bench, seconds: int, ends: str) -> None:
    """What has arrived by then comes through late; what has not, nobody claims any more."""
    at.ways.usual = slow_way(seconds)
    at.node.call("sling-once", at.order())
    at.wait(5)
    at.node.call("sling-stop", {"scid": at.target})
    at.node.call("sling-deletejob", {"job": at.target})
    assert [row["status"] for row in at.payments()] == ["pending"]
    assert at.status() is None
    at.wait(seconds - 10)
    assert [row["status"] for row in at.payments()] == ["pending"]
    at.wait(10)
    (row,) = at.payments()
    assert (row["status"], row["completed_at"]) == (ends, int(at.begun_s) + seconds)


def test_a_payment_given_up_for_lost_can_come_through_beyond_the_amount(at: Bench) -> None:
    at.ways.usual = slow_way(200)
    at.node.call("sling-once", at.order(onceamount=10_000))
    at.wait(125)
    at.ways.usual = slow_way(1)
    at.wait(400)
    assert at.moved_sat() > 10_000
    told = at.node.call("sling-stats", {"scid": at.target, "json": True})
    reasons = told["failures_in_time_window"]["top_5_failure_reasons"]
    assert {row["failure_reason"] for row in reasons} == {"WAITSENDPAY_TIMEOUT"}


@pytest.mark.parametrize("ok, ends", [(True, "complete"), (False, "failed")])
def test_a_payment_can_stay_pending_for_hours(at: Bench, ok: bool, ends: str) -> None:
    at.sling.slow_payments(4 * 3_600, ok=ok)
    at.node.call("sling-once", at.order(onceamount=10_000))
    at.wait(5)
    at.node.call("sling-stop", {"scid": at.target})
    at.wait(3 * 3_600)
    assert [row["status"] for row in at.payments()] == ["pending"]
    at.wait(3_600)
    assert [row["status"] for row in at.payments()] == [ends]


# -- calls ----------------------------------------------------------------------------------------


def test_while_one_call_hangs_all_others_wait_behind_it(at: Bench) -> None:
    at.node.call("sling-once", at.order(maxppm=20))
    at.wait(5)
    at.sling.hang(300, "sling-stop")
    unanswered(at, "sling-stop", {"scid": at.target})
    assert at.sling.status(at.target) == ["1:NoCheapRoute"]
    unanswered(at, "sling-stats", {"json": True})
    assert at.node.call("sling-version") == {"version": sling.NEWEST}
    at.wait(299)
    assert at.sling.status(at.target) == ["1:NoCheapRoute"]
    at.wait(2)
    assert at.sling.status(at.target) == ["1:Stopped"]
    assert at.status() == "Stopped"


def test_a_hang_without_end_ends_with_the_process(at: Bench) -> None:
    at.sling.hang(math.inf, "sling-once")
    unanswered(at, "sling-once", at.order())
    at.wait(86_400)
    assert at.payments() == []
    at.node.plugins.set_present(sling.NAME, False)
    at.node.plugins.set_present(sling.NAME, True)
    at.wait(60)
    assert (at.status(), at.payments()) == (None, [])


def test_a_hang_that_is_freed_does_what_was_asked(at: Bench) -> None:
    at.sling.hang(math.inf, "sling-once")
    unanswered(at, "sling-once", at.order())
    at.sling.free()
    at.wait(1)
    at.wait(60)
    assert at.moved_sat() == 30_000


def test_a_reply_is_lost_after_the_deed(at: Bench) -> None:
    at.sling.lose_reply("sling-once")
    unanswered(at, "sling-once", at.order())
    at.wait(60)
    assert (at.status(), at.moved_sat()) == ("Balanced", 30_000)
    at.node.call("sling-stop", {"scid": at.target})


# -- the process ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["set_present", "command", "restart"])
def test_a_restart_forgets_once_jobs_and_keeps_the_others(at: Bench, how: str) -> None:
    at.node.call("sling-job", at.job(scid=at.scid(at.empty[1]), candidates=at.sources[:1]))
    at.node.call("sling-go")
    at.node.call("sling-once", at.order(candidates=at.sources[1:], maxppm=20))
    at.wait(5)
    if how == "restart":
        at.node.restart()
    elif how == "command":
        at.node.call("plugin", ["stop", "sling"])
        assert refused(lambda: at.node.call("sling-version")).code == -32601
        at.node.call("plugin", ["start", sling.Sling.path])
    else:
        at.node.plugins.set_present(sling.NAME, False)
        at.node.plugins.set_present(sling.NAME, True)
    at.wait(2)
    assert list(at.node.call("sling-jobsettings")) == [at.scid(at.empty[1])]
    assert at.status(at.scid(at.empty[1])) == "NotStarted"
    assert at.status() is None


@pytest.mark.parametrize("after_s, ends", [(30, "failed"), (70, "complete")])
def test_what_has_not_arrived_when_it_goes_is_not_claimed(
    at: Bench, after_s: int, ends: str
) -> None:
    at.ways.usual = slow_way(100)
    at.node.call("sling-once", at.order())
    at.wait(after_s)
    at.node.plugins.set_present(sling.NAME, False)
    assert [row["status"] for row in at.payments()] == ["pending"]
    at.wait(100)
    assert [row["status"] for row in at.payments()] == [ends]


def test_in_its_first_second_it_knows_no_channel_and_a_delete_loses_all_jobs(at: Bench) -> None:
    other = at.scid(at.empty[1])
    at.node.call("sling-job", at.job())
    at.node.call("sling-job", at.job(scid=other))
    at.node.plugins.set_present(sling.NAME, False)
    at.node.plugins.set_present(sling.NAME, True)
    assert at.node.call("sling-jobsettings") == {}
    assert refused(lambda: at.node.call("sling-go")).code == -32700
    at.node.call("sling-job", at.job())
    assert sorted(at.node.call("sling-jobsettings")) == sorted([at.target, other])
    at.node.plugins.set_present(sling.NAME, False)
    at.node.plugins.set_present(sling.NAME, True)
    at.node.call("sling-deletejob", {"job": at.target})
    at.wait(5)
    assert at.node.call("sling-jobsettings") == {}


def test_a_file_of_jobs_that_cannot_be_read_counts_as_empty(at: Bench) -> None:
    at.node.call("sling-job", at.job())
    (at.node.network_dir / "sling" / "jobs.json").write_text("{")
    assert at.node.call("sling-jobsettings") == {}
    assert at.node.call("sling-deletejob", {"job": "all"}) == {"result": "success"}
    assert refused(lambda: at.node.call("sling-deletejob", {"job": "all"})).code == -32700


def test_jobs_of_channels_that_have_gone_are_dropped_at_the_next_write(at: Bench) -> None:
    other = at.scid(at.empty[1])
    at.node.call("sling-job", at.job(scid=other))
    at.node.close(at.empty[1])
    assert at.node.call("sling-jobsettings") == {}
    at.node.call("sling-job", at.job())
    assert other not in (at.node.network_dir / "sling" / "jobs.json").read_text()


# -- states that are no end -----------------------------------------------------------------------


def test_an_error_is_no_end_and_says_that_nothing_runs(at: Bench) -> None:
    at.sling.break_down()
    at.node.call("sling-once", at.order())
    at.wait(600)
    assert (at.status(), at.payments()) == ("Error", [])
    at.sling.break_down(False)
    at.wait(60)
    assert at.moved_sat() == 30_000
    at.sling.break_down()
    at.clear()
    at.node.call("sling-once", at.order())
    at.wait(5)
    assert at.node.call("sling-stop", {"scid": at.target}) == {"stopped_count": 1}
    at.sling.break_down(False)
    at.wait(60)
    assert (at.status(), at.moved_sat()) == ("Stopped", 30_000)


def test_the_mark_of_a_once_job_is_lost_when_jobs_are_read(at: Bench) -> None:
    at.node.call("sling-once", at.order(maxppm=20))
    at.wait(5)
    other = at.order(scid=at.scid(at.empty[1]), candidates=[at.target])
    assert refused(lambda: at.node.call("sling-once", other)).code == -32700
    at.node.call("sling-stats", {"json": True})
    assert at.node.call("sling-once", other) == {"result": "started"}


def test_a_finished_once_job_lends_its_mark_to_the_next_job(at: Bench) -> None:
    at.node.call("sling-once", at.order(onceamount=10_000))
    at.wait(10)
    at.node.call("sling-job", at.job(maxppm=20))
    assert at.node.call("sling-go") == {"tasks_started": 1, "tasks_failed_start:": 0}
    at.wait(5)
    rows = at.node.call("sling-stats", {"json": True})
    assert [row["scid"] for row in rows] == [at.target] * 2
    assert at.node.call("sling-go") == {"tasks_started": 0, "tasks_failed_start:": 1}
    assert refused(lambda: at.node.call("sling-job", at.job())).code == -32700


def test_a_task_whose_channel_closes_ends(at: Bench) -> None:
    at.node.call("sling-once", at.order(candidates=["1x1x1"]))
    at.wait(5)
    at.node.close(at.empty[0])
    at.wait(5)
    assert at.status() is None
    assert at.sling.status(at.target or at.sources[0]) in ([], ["1:Stopped"])
    assert at.payments() == []


# -- real time ------------------------------------------------------------------------------------


@pytest.fixture
def live() -> Iterator[SimulatedNode]:
    with SimulatedNode(sling=sling.NEWEST, routes=RouteTable(usual=slow_way(4.0))) as node:
        node.open("full", 1_000_000)
        node.open("empty", 1_000_000, 0, opener="remote")
        yield node


def start(live: SimulatedNode) -> str:
    """Start a once-job of one slow payment and wait until that is on its way; its scid."""
    full, empty = (str(c.scid) for c in live.world.channels.values())
    live.call(
        "sling-once",
        {
            "scid": empty, "direction": "pull", "amount": 10_000, "maxppm": 2_000,
            "onceamount": 50_000, "candidates": [full], "depleteuptopercent": 0.1,
        },
    )  # fmt: skip
    live.wait_until(lambda: bool(live.world.own_flights))
    return empty


def test_in_real_time_a_stop_blocks_and_all_else_behind_it(live: SimulatedNode) -> None:
    scid, answered = start(live), {}

    def ask(method: str, params: object) -> None:
        answered[method] = live.call(method, params)

    stop = threading.Thread(target=ask, args=("sling-stop", {"scid": scid}))
    stop.start()
    live.wait_until(lambda: live.sling is not None and live.sling.status(scid) == ["1:Stopping"])
    stats = threading.Thread(target=ask, args=("sling-stats", {"json": True}))
    stats.start()
    ask("sling-version", {})
    assert list(answered) == ["sling-version"]
    stop.join()
    stats.join()
    assert [row["status"] for row in answered["sling-stats"]] == [["1:Stopped"]]
    assert [row["status"] for row in live.world.sendpays.rows] == ["complete"]


def test_in_real_time_whoever_waits_hears_of_the_end_of_the_process(live: SimulatedNode) -> None:
    start(live)
    assert live.sling is not None
    live.sling.hang(math.inf, "sling-jobsettings")
    refusals = []

    def ask() -> None:
        refusals.append(refused(lambda: live.call("sling-jobsettings")).code)

    waiting = [threading.Thread(target=ask) for _ in range(2)]
    for thread in waiting:
        thread.start()
    time.sleep(0.3)
    live.plugins.set_present(sling.NAME, False)
    for thread in waiting:
        thread.join(30)
    assert refusals == [-4, -4]
