"""The simulated sling by its contract: jobs that move sats, and jobs that never end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cl_revenue_ops.simnode.model import Policy
from cl_revenue_ops.simnode.sling_routes import Way
from tests.unit.sling_support import Bench, bench, refused, slow_way


@pytest.fixture
def at() -> Iterator[Bench]:
    with bench() as made:
        yield made


def test_a_once_job_moves_its_amount_and_no_more(at: Bench) -> None:
    before = at.node.world.channel(at.target).to_us_msat
    assert at.node.call("sling-once", at.order()) == {"result": "started"}
    at.wait(60)
    rows = at.payments()
    assert [row["status"] for row in rows] == ["complete"] * 3
    assert {row["amount_msat"] for row in rows} == {10_000_000}
    assert {row["destination"] for row in rows} == {at.node.world.id}
    # 1 + 10 ppm at the last hop, then 1 + 500 ppm of what leaves it, as it rounds them up.
    assert {row["amount_sent_msat"] - row["amount_msat"] for row in rows} == {102 + 5_002}
    assert at.node.world.channel(at.target).to_us_msat - before == 30_000_000
    assert at.status() == "Balanced"
    assert len(at.told("sendpay_success")) == 3
    at.wait(3_600)
    assert at.moved_sat() == 30_000


def test_a_push_goes_the_other_way(at: Bench) -> None:
    source = at.sources[0]
    empty = [at.scid(channel_id) for channel_id in at.empty]
    at.node.call("sling-once", at.order(scid=source, direction="push", candidates=empty[:1]))
    at.wait(60)
    assert at.moved_sat() == 30_000
    assert at.node.world.channel(empty[0]).to_us_msat == 30_000_000
    assert at.node.world.channel(empty[1]).to_us_msat == 0


def test_the_whole_of_a_job_is_one_htlc_each_side_while_it_is_on_its_way(at: Bench) -> None:
    at.ways.usual = slow_way(40)
    at.node.call("sling-once", at.order())
    at.wait(20)
    (row,) = at.payments()
    assert (row["status"], "completed_at" in row) == ("pending", False)
    rows = at.node.call("listpeerchannels")["channels"]
    held = {r["short_channel_id"]: [h["direction"] for h in r["htlcs"]] for r in rows}
    assert held[at.target] == ["in"]
    assert sorted(held[scid] for scid in at.sources) == [[], ["out"]]
    assert at.moved_sat() == 0
    at.wait(21)
    assert at.moved_sat() == 10_000
    (done,) = at.payments("complete")
    assert done["completed_at"] == int(at.begun_s) + 40


def test_the_status_by_what_stands_in_the_way(at: Bench) -> None:
    at.node.call("sling-once", at.order(candidates=["1x1x1"]))
    at.wait(5)
    assert at.status() == "NoCandidates"
    at.clear()
    at.ways.usual = None
    at.node.call("sling-once", at.order())
    at.wait(5)
    assert at.status() == "NoRoutes"
    at.clear()
    at.ways.usual = slow_way(1)
    at.node.call("sling-once", at.order(maxppm=20))
    at.wait(5)
    assert at.status() == "NoCheapRoute"
    at.clear()
    peer_id = at.node.world.channel(at.target).peer_id
    at.node.world.disconnect(peer_id)
    at.node.call("sling-once", at.order())
    at.wait(5)
    assert at.status() == "Disconnected"
    at.node.world.connect(peer_id)
    at.wait(50)
    assert at.status() == "Disconnected"
    at.wait(30)
    assert at.status() == "Balanced"
    assert at.moved_sat() == 30_000


def test_what_it_waits_for_it_finds_at_once_or_after_ten_minutes(at: Bench) -> None:
    """No candidate and no route: it looks again each second. No cheap one: it sleeps."""
    at.ways.usual = None
    at.node.call("sling-once", at.order())
    at.wait(5)
    at.ways.usual = slow_way(1)
    at.wait(10)
    assert at.moved_sat() == 30_000
    at.clear()
    at.ways.usual = slow_way(1, ppm=9_000)
    at.node.call("sling-once", at.order())
    at.wait(5)
    at.ways.usual = slow_way(1)
    at.wait(590)
    assert (at.status(), at.moved_sat()) == ("NoCheapRoute", 30_000)
    at.wait(20)
    assert (at.status(), at.moved_sat()) == ("Balanced", 60_000)


def test_balanced_is_also_said_by_a_job_that_is_stuck(at: Bench) -> None:
    at.node.call("sling-once", at.order(amount=400_000, onceamount=800_000))
    at.node.world.receive_payment(at.empty[0], 500_000_000)
    at.wait(30)
    assert (at.status(), at.moved_sat()) == ("Balanced", 400_000)
    assert at.sling.status(at.target) == ["1:Balanced"]
    at.wait(3_600)
    assert at.moved_sat() == 400_000
    at.node.world.send_payment(
        at.empty[0], at.node.world.channel(at.empty[0]).peer_id, 500_000_000, 0
    )
    at.wait(700)
    assert at.moved_sat() == 800_000


def test_a_failure_is_tried_again_and_other_candidates_come_first(at: Bench) -> None:
    at.ways.failures += ["WIRE_TEMPORARY_CHANNEL_FAILURE"] * 3
    at.node.call("sling-once", at.order(onceamount=10_000))
    at.wait(30)
    assert [row["status"] for row in at.payments()] == ["failed"] * 3 + ["complete"]
    assert len(at.told("sendpay_failure")) == 3
    tried = [row["erring_channel"] for row in (f["data"] for f in at.told("sendpay_failure"))]
    assert set(tried) == set(at.sources)
    told = at.node.call("sling-stats", {"scid": at.target, "json": True})
    assert told["failures_in_time_window"]["total_rebalances_tried"] == 3
    assert told["failures_in_time_window"]["top_5_failure_reasons"] == [
        {"failure_reason": "WIRE_TEMPORARY_CHANNEL_FAILURE", "failure_count": 3}
    ]
    assert told["successes_in_time_window"]["total_rebalances"] == 1


def test_a_first_peer_that_is_not_ready_is_left_alone_for_ten_minutes(at: Bench) -> None:
    at.ways.failures.append("FIRST_PEER_NOT_READY")
    only = at.sources[:1]
    at.node.call("sling-once", at.order(candidates=only, onceamount=10_000))
    at.wait(590)
    assert (at.status(), at.payments()) == ("NoCandidates", [])
    at.wait(30)
    assert at.moved_sat() == 10_000


@pytest.mark.parametrize("spare_msat, tries", [(0, 0), (1, 1)])
def test_a_candidate_keeps_more_than_its_floor(at: Bench, spare_msat: int, tries: int) -> None:
    """The floor: the smaller of share and amount, and never below the payment and 10,000 sat."""
    source = at.full[0]
    for limits, floor_msat in (
        ({"depleteuptopercent": 0.3, "depleteuptoamount": 900_000}, 300_000_000),
        ({"depleteuptopercent": 0.3, "depleteuptoamount": 200_000}, 200_000_000),
        ({"depleteuptopercent": 0.0, "depleteuptoamount": 0}, 20_000_000),
    ):
        before, channel = len(at.payments()), at.node.world.channel(source)
        surplus = channel.to_us_msat - floor_msat - spare_msat
        if surplus > 0:
            at.node.world.send_payment(source, channel.peer_id, surplus, 0)
        else:
            at.node.world.receive_payment(source, -surplus)
        order = at.order(candidates=at.sources[:1], onceamount=10_000, **limits)
        at.node.call("sling-once", order)
        at.wait(10)
        assert len(at.payments()) - before == tries, limits
        at.clear()


def test_a_way_with_more_hops_than_allowed_is_none(at: Bench) -> None:
    at.ways.usual = Way((Policy(),) * 3)
    at.node.call("sling-once", at.order(maxhops=3))
    at.wait(5)
    assert at.status() == "NoRoutes"
    at.clear()
    at.node.call("sling-once", at.order(maxhops=4))
    at.wait(5)
    assert at.moved_sat() == 30_000


def test_tasks_side_by_side_share_one_total(at: Bench) -> None:
    at.ways.usual = slow_way(10)
    at.node.call("sling-once", at.order(paralleljobs=2))
    at.wait(5)
    assert len(at.payments("pending")) == 2
    at.wait(60)
    assert at.moved_sat() == 30_000
    assert at.sling.status(at.target) == ["1:Balanced", "2:Balanced"]


def test_too_many_htlcs_let_it_wait(at: Bench) -> None:
    for _ in range(6):
        at.node.world.forward(at.full[0], at.empty[0], 1_000, 3_000, at.node.clock.now(), "pending")
    for _ in range(6):
        at.node.world.forward(at.empty[0], at.full[0], 1_000, 3_000, at.node.clock.now(), "pending")
    at.node.call("sling-once", at.order())
    at.wait(5)
    assert at.status() == "HTLCcapped"


def test_a_job_goes_to_its_target_share(at: Bench) -> None:
    at.node.call("sling-job", at.job(amount=50_000, target=0.25))
    at.wait(60)
    assert (at.status(), at.payments()) == ("NotStarted", [])
    at.node.call("sling-go", {"scid": at.target})
    at.wait(60)
    assert (at.status(), at.moved_sat()) == ("Balanced", 250_000)
    peer_id = at.node.world.channel(at.target).peer_id
    at.node.world.send_payment(at.empty[0], peer_id, 50_000_000, 0)
    at.wait(650)
    assert at.moved_sat() == 300_000


def test_the_stats_forget_what_is_older_than_their_window(at: Bench) -> None:
    at.node.call("sling-once", at.order())
    at.wait(60)
    (row,) = at.node.call("sling-stats", {"json": True})
    assert (row["rebamount"], row["w_feeppm"]) == ("30,000", 511)
    assert row["last_success_reb"] != "Never"
    at.wait(31 * 86_400)
    (row,) = at.node.call("sling-stats", {"json": True})
    assert (row["rebamount"], row["w_feeppm"]) == ("0", 0)
    told = at.node.call("sling-stats", {"scid": at.target, "json": True})
    assert told["successes_in_time_window"] is None


def test_stats_can_go_with_the_job(at: Bench) -> None:
    at.node.call("sling-once", at.order())
    at.wait(60)
    at.node.call("sling-deletejob", {"job": at.target})
    stats = {"scid": at.target, "json": True}
    assert at.node.call("sling-stats", stats)["successes_in_time_window"]["total_rebalances"] == 3
    at.node.call("sling-deletejob", {"job": at.target, "delete_stats": True})
    assert at.node.call("sling-stats", stats)["successes_in_time_window"] is None


def test_before_four_there_are_no_once_jobs_and_other_words() -> None:
    with bench("v3.1.0") as at:
        assert refused(lambda: at.node.call("sling-once", at.order())).code == -32601
        assert at.node.call("sling-version") == {"version": "v3.1.0"}
        at.node.call("sling-job", at.job())
        job = at.node.call("sling-jobsettings", [])[at.target]
        assert "candidatelist" in job and "candidates" not in job
        assert job["depleteuptoamount"] == 100_000_000
        assert refused(lambda: at.node.call("sling-go", {"scid": at.target})).code == -32700
        assert at.node.call("sling-go", [at.target]) == {"jobs_started": 1}
        assert at.node.call("sling-stop", [at.target]) == {"stopped_count": 1}


def test_a_push_whose_first_peer_is_not_ready_waits_itself(at: Bench) -> None:
    at.ways.failures.append("FIRST_PEER_NOT_READY")
    empty = at.scid(at.empty[0])
    order = at.order(scid=at.sources[0], direction="push", candidates=[empty])
    at.node.call("sling-once", order)
    at.wait(5)
    assert at.status(at.sources[0]) == "PeerNotReady"
    at.wait(700)
    assert at.moved_sat() == 30_000


def test_what_is_done_or_stopped_may_be_a_candidate_again(at: Bench) -> None:
    onwards = at.order(scid=at.scid(at.empty[1]), candidates=[at.target], onceamount=10_000)
    at.node.call("sling-once", at.order(onceamount=10_000))
    at.wait(10)
    at.node.call("sling-once", onwards)
    at.node.call("sling-stop", {"scid": onwards["scid"]})
    at.node.call("sling-once", at.order(maxppm=20))
    assert refused(lambda: at.node.call("sling-once", onwards)).code == -32700
    at.node.call("sling-stop", {"scid": at.target})
    at.node.call("sling-once", onwards)


def test_who_is_away_closing_or_crowded_is_no_candidate(at: Bench) -> None:
    order = at.order(candidates=at.sources[:1])
    world, source = at.node.world, at.full[0]
    world.disconnect(world.channel(source).peer_id)
    at.node.call("sling-once", order)
    at.wait(5)
    assert at.status() == "NoCandidates"
    world.connect(world.channel(source).peer_id)
    for _ in range(6):
        parts = [(source, at.empty[1], 1_000_000, 0)]
        world.begin_circular(parts, arrives=False)
    at.wait(5)
    assert (at.status(), at.moved_sat()) == ("NoCandidates", 0)
    for created in list(world.own_flights):
        world.end_circular(created, False)
    at.wait(30)
    assert at.moved_sat() == 30_000
    at.clear()
    at.node.close(source)
    at.node.call("sling-once", order)
    at.wait(5)
    assert (at.status(), at.moved_sat()) == ("NoCandidates", 30_000)


def test_a_job_that_names_no_candidates_takes_from_no_channel_with_a_job(at: Bench) -> None:
    for scid in at.sources:
        at.node.call("sling-job", at.job(scid=scid, candidates=[at.target]))
    at.node.call("sling-once", at.order(candidates=..., outppm=10_000))
    at.wait(5)
    assert at.status() == "NoCandidates"
    at.node.call("sling-deletejob", {"job": at.sources[1]})
    at.wait(30)
    assert at.moved_sat() == 30_000
    assert at.node.world.channel(at.full[0]).to_us_msat == 1_000_000_000


def test_a_push_goes_to_no_peer_that_asks_more_than_the_ceiling(at: Bench) -> None:
    empty = at.scid(at.empty[0])
    at.node.world.set_remote_policy(at.empty[0], Policy(0, 1_001))
    at.ways.usual = Way(())
    order = at.order(scid=at.sources[0], direction="push", candidates=[empty], maxppm=1_000)
    at.node.call("sling-once", order)
    at.wait(5)
    assert at.status(at.sources[0]) == "NoCandidates"
    at.node.world.set_remote_policy(at.empty[0], Policy(0, 999))
    at.wait(30)
    assert at.moved_sat() == 30_000
