"""What sling does, by the same cases on the simulated and on the real one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.node import real_line
from tests.node.line import wait_for
from tests.node.sling_ring import RealRing, Ring, SimulatedRing, error_of, why_no_sling

SLING_ERROR = -32700
GONE = -32601


@pytest.fixture(scope="module")
def made(kind: str, chain: real_line.Chain | None) -> Iterator[Ring]:
    if chain is not None and (reason := why_no_sling()):
        pytest.skip(f"no real sling: {reason}")
    ring: Ring = SimulatedRing() if chain is None else RealRing(chain, "ring")
    yield ring
    ring.shut_down()


@pytest.fixture
def ring(made: Ring) -> Iterator[Ring]:
    yield made
    made.clear()


def test_it_tells_its_version(ring: Ring) -> None:
    assert ring.call("sling-version")["version"].startswith("v4.")


def test_a_once_job_moves_its_amount_for_an_exact_cost(ring: Ring) -> None:
    baseline, before = ring.newest_payment(), ring.channel(ring.third_id)["to_us_msat"]
    assert ring.call("sling-once", ring.order()) == {"result": "started"}
    ring.wait_status("Balanced")
    rows = wait_for(lambda: r if len(r := ring.payments(baseline)) == 2 else None, "two payments")
    for row in rows:
        assert (row["status"], row["amount_msat"]) == ("complete", 10_000_000)
        assert row["destination"] == ring.own_id
        assert not {"label", "bolt11", "bolt12", "description"} & set(row)
        # 1 + 10 ppm at each of the two hops, as it rounds them up.
        assert row["amount_sent_msat"] - row["amount_msat"] == 102 + 102
    wait_for(
        lambda: ring.channel(ring.third_id)["to_us_msat"] - before == 20_000_000, "the balance"
    )
    # The file that this is read from is written a little later.
    stats = {"scid": ring.target, "json": True}
    success = wait_for(
        lambda: (
            (told := ring.call("sling-stats", stats)["successes_in_time_window"])
            and told["total_rebalances"] >= 2
            and told
        ),
        "two successes",
    )
    assert success["top_5_channel_partners"][0]["scid"] == ring.source
    assert (success["feeppm_min"], success["most_common_hop_count"]) == (21, 2)


def test_what_is_done_stays_in_the_overview_until_it_is_deleted(ring: Ring) -> None:
    ring.call("sling-once", ring.order(onceamount=10_000))
    ring.wait_status("Balanced")
    (row,) = ring.overview()
    assert set(row) == {
        "alias", "scid", "pubkey", "status", "rebamount", "w_feeppm", "last_route_taken",
        "last_success_reb",
    }  # fmt: skip
    assert row["status"] == ["1:Balanced"] and isinstance(row["rebamount"], str)
    assert ring.call("sling-jobsettings") == {}
    assert ring.call("sling-stop", {"scid": ring.target}) == {"stopped_count": 1}
    assert ring.overview() != []
    assert ring.call("sling-deletejob", {"job": ring.target}) == {"result": "success"}
    assert ring.overview() == []


WRONG: list[dict[str, Any]] = [
    {"target": 0.5}, {"unheard": 1}, {"scid": ...}, {"scid": 5}, {"scid": "1x1"},
    {"scid": "1x1x1"}, {"direction": "Pull"}, {"direction": ...}, {"amount": 0}, {"amount": -1},
    {"amount": 1.5}, {"amount": "10000"}, {"amount": ...}, {"maxppm": 2**32}, {"maxppm": ...},
    {"maxppm": None}, {"onceamount": ...}, {"onceamount": 0}, {"onceamount": 15_000},
    {"onceamount": 5_000}, {"onceamount": 10_000_000}, {"maxhops": 1}, {"maxhops": 256},
    {"maxhops": None}, {"candidates": ..., "outppm": ...}, {"candidates": "all"},
    {"candidates": ["here"]}, {"candidates": None}, {"outppm": 0.5}, {"outppm": None},
    {"depleteuptopercent": 1.0}, {"depleteuptopercent": -0.1}, {"depleteuptopercent": None},
    {"depleteuptoamount": -1}, {"depleteuptoamount": 0.5}, {"paralleljobs": 0},
    {"direction": "push", "paralleljobs": 6},
]  # fmt: skip


@pytest.mark.parametrize("changes", WRONG, ids=str)
def test_a_once_job_that_does_not_fit_is_refused(ring: Ring, changes: dict[str, Any]) -> None:
    assert error_of(ring, "sling-once", ring.order(**changes)).code == SLING_ERROR
    assert ring.overview() == []


def test_what_it_takes_though_it_may_surprise(ring: Ring) -> None:
    ring.call("sling-job", ring.job(target=7, depleteuptopercent=0, candidates=[]))
    job = ring.call("sling-jobsettings")[ring.target]
    assert (job["target"], job["depleteuptopercent"], job["candidates"]) == (7.0, 0.0, [])


@pytest.mark.parametrize(
    "method, params",
    [
        ("sling-once", []), ("sling-job", []), ("sling-go", ["1x1x1", "1x1x2"]),
        ("sling-stop", [1]), ("sling-stop", {"scid": 1}), ("sling-stop", {"scid": None}),
        ("sling-stop", ["1x1x1", "1x1x2"]), ("sling-deletejob", {}), ("sling-deletejob", []),
        ("sling-deletejob", ["here"]), ("sling-deletejob", {"job": "1x1x1", "delete_stats": 1}),
        ("sling-jobsettings", {"scid": "1x1x1"}), ("sling-jobsettings", {"job": "1x1x1"}),
        ("sling-jobsettings", ["1x1x1", "2x1x1"]), ("sling-stats", {"json": "true"}),
        ("sling-stats", ["1x1x1", "true"]), ("sling-stats", {"scid": 1}),
        ("sling-stats", ["1x1x1", True, True]), ("sling-go", {}), ("sling-go", ["1x1x1"]),
        ("sling-except-chan", {}), ("sling-except-chan", ["add"]),
        ("sling-except-peer", ["list", 1]), ("sling-except-peer", ["add", "02ab"]),
        ("sling-except-chan", ["remove", "1x1x1"]),
    ],
)  # fmt: skip
def test_other_calls_that_do_not_fit(ring: Ring, method: str, params: Any) -> None:
    assert error_of(ring, method, params).code == SLING_ERROR


def test_calls_about_what_is_not_there_succeed(ring: Ring) -> None:
    assert ring.call("sling-stop", {"scid": "1x1x1"}) == {"stopped_count": 0}
    assert ring.call("sling-stop", {"channel": ring.target}) == {"stopped_count": 0}
    assert ring.call("sling-deletejob", {"job": "1x1x1"}) == {"result": "success"}
    nothing = {"successes_in_time_window": None, "failures_in_time_window": None}
    assert ring.call("sling-stats", {"scid": "1x1x1", "json": True}) == nothing
    assert ring.call("sling-stats", ["1x1x1", True]) == nothing
    assert ring.call("sling-stats", [True]) == []
    assert ring.call("sling-stats")["format-hint"] == "simple"


def test_without_a_candidate_it_tries_for_ever(ring: Ring) -> None:
    ring.call("sling-once", ring.order(depleteuptopercent=0.99, depleteuptoamount=5_000_000))
    ring.wait_status("NoCandidates")
    assert ring.call("sling-stop", {"scid": ring.target}) == {"stopped_count": 1}
    assert ring.statuses() == ["Stopped"]


def test_of_candidates_only_those_named_serve(ring: Ring) -> None:
    ring.call("sling-once", ring.order(candidates=["1x1x1"]))
    ring.wait_status("NoCandidates")


def test_a_ceiling_below_every_way_lets_it_sleep(ring: Ring) -> None:
    baseline = ring.newest_payment()
    ring.call("sling-once", ring.order(maxppm=20))
    ring.wait_status("NoCheapRoute")
    assert ring.payments(baseline) == []


def test_our_price_at_the_candidate_counts_with_its_base(ring: Ring) -> None:
    ring.call("sling-once", ring.order(outppm=10))
    ring.wait_status("NoCandidates")
    ring.clear()
    ring.call("sling-once", ring.order(outppm=11, onceamount=10_000))
    ring.wait_status("Balanced")


def test_one_job_at_a_time_on_a_channel(ring: Ring) -> None:
    ring.call("sling-once", ring.order(maxppm=20))
    ring.wait_status("NoCheapRoute")
    assert error_of(ring, "sling-once", ring.order()).code == SLING_ERROR
    assert error_of(ring, "sling-job", ring.job()).code == SLING_ERROR
    assert error_of(ring, "sling-go", {"scid": ring.target}).code == SLING_ERROR
    ring.call("sling-stop", {"scid": ring.target})
    ring.call("sling-once", ring.order(maxppm=20))
    ring.wait_status("NoCheapRoute")


def test_a_job_lasts_and_starts_only_when_told(ring: Ring) -> None:
    baseline = ring.newest_payment()
    assert ring.call("sling-job", ring.job(maxppm=20, paralleljobs=2)) == {"result": "success"}
    assert ring.statuses() == ["NotStarted"]
    job = ring.call("sling-jobsettings", {"scid": ring.target})[ring.target]
    assert job == {
        "sat_direction": "Pull", "amount_msat": 10_000_000, "maxppm": 20, "target": 0.9,
        "maxhops": 8, "candidates": [ring.source], "depleteuptopercent": 0.1,
        "depleteuptoamount_msat": 100_000_000, "paralleljobs": 2,
    }  # fmt: skip
    assert error_of(ring, "sling-once", ring.order()).code == SLING_ERROR
    started = ring.call("sling-go", {"scid": ring.target})
    assert started == {"tasks_started": 2, "tasks_failed_start:": 0}
    wait_for(lambda: ring.statuses() == ["NoCheapRoute", "NoRoutes"], "both tasks")
    assert ring.call("sling-go")["tasks_started"] == 0
    assert ring.call("sling-stop", {"scid": ring.target}) == {"stopped_count": 2}
    assert ring.statuses() == ["Stopped"] * 2
    assert ring.call("sling-deletejob", {"job": ring.target}) == {"result": "success"}
    assert (ring.call("sling-jobsettings"), ring.overview()) == ({}, [])
    assert ring.payments(baseline) == []


def test_a_candidate_that_is_filled_itself_is_refused(ring: Ring) -> None:
    ring.call("sling-job", ring.job(scid=ring.source, candidates=[ring.target]))
    assert error_of(ring, "sling-once", ring.order()).code == SLING_ERROR
    empties = ring.order(scid=ring.source, direction="push", candidates=[ring.target])
    assert error_of(ring, "sling-once", empties).code == SLING_ERROR
    ring.call("sling-job", ring.job(scid=ring.source, direction="push", candidates=[ring.target]))
    ring.call("sling-once", ring.order(onceamount=10_000))
    ring.wait_status("Balanced")


def test_a_stop_of_nobody_stops_everybody(ring: Ring) -> None:
    ring.call("sling-job", ring.job(scid=ring.source, candidates=[ring.target]))
    ring.call("sling-go")
    ring.call("sling-once", ring.order(candidates=["1x1x1"]))
    ring.wait_status("NoCandidates")
    assert ring.call("sling-stop", {"channel": "1x1x1"}) == {"stopped_count": 2}
    assert (ring.statuses(ring.source), ring.statuses()) == (["Stopped"], ["Stopped"])


def test_our_own_channels_cannot_be_excepted(ring: Ring) -> None:
    assert error_of(ring, "sling-except-chan", ["add", ring.source]).code == SLING_ERROR
    assert ring.call("sling-except-chan", ["add", "1x1x1"]) == {"result": "success"}
    assert ring.call("sling-except-chan", ["list"]) == ["1x1x1"]
    assert error_of(ring, "sling-except-chan", ["add", "1x1x1"]).code == SLING_ERROR
    ring.call("sling-except-chan", {"command": "remove", "scid": "1x1x1"})
    assert ring.call("sling-except-chan", {"command": "list"}) == []


def test_no_way_leads_over_an_excepted_peer(ring: Ring) -> None:
    assert ring.call("sling-except-peer", ["add", ring.second_id]) == {"result": "success"}
    assert ring.call("sling-except-peer", ["list"]) == [ring.second_id]
    ring.call("sling-once", ring.order())
    ring.wait_status("NoRoutes")
    ring.call("sling-except-peer", {"command": "remove", "id": ring.second_id})
    assert error_of(ring, "sling-except-peer", ["add", ring.own_id]).code == SLING_ERROR


def test_a_restart_keeps_jobs_and_loses_once_jobs(ring: Ring) -> None:
    ring.call("sling-job", ring.job(scid=ring.source, candidates=[ring.target]))
    ring.call("sling-go")
    ring.call("sling-once", ring.order(candidates=["1x1x1"]))
    ring.wait_status("NoCandidates")
    ring.stop_sling()
    assert error_of(ring, "sling-version", {}).code == GONE
    ring.start_sling()
    wait_for(lambda: ring.source in ring.call("sling-jobsettings"), "its look at channels")
    assert ring.overview() == []
    assert ring.statuses(ring.source) == ["NotStarted"]
