"""The executor over sling against a real socket: what is read, begun, ended, and never sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cl_revenue_ops.adapters.executors import Executors, Means, executor_of
from cl_revenue_ops.adapters.sling import DEADLINE_S, ENDING_S, SETTLING_S
from cl_revenue_ops.adapters.tally import Tally
from cl_revenue_ops.config.table import SETTINGS
from cl_revenue_ops.gate import WriteGate
from cl_revenue_ops.ports import (
    CircuitOpen,
    Executor,
    ExecutorAbsent,
    MalformedReply,
    NodeRefused,
    StaleGeneration,
    TimedOut,
    Unavailable,
)
from messages.rebalance import MAYBE_STARTED, NOT_STARTED, STARTED, ExecutorJob, JobOrder
from tests.unit.test_adapter_server import Bench, Step, a_bench, hang_up, refusal, result, silence

SCID, OTHER, SOURCE = "103x1x0", "104x2x1", "105x1x0"
ORDER = JobOrder("r1", SCID, (SOURCE,), 100_007_000, 300_021_000, 250, 50_000_000, 6)
ABSENT = refusal(-32601, "Unknown command 'sling-version'")
VERSION = result({"version": "v4.2.1"})
OURS = [("sling-version", {}), ("sling-jobsettings", {}), ("sling-stats", {"json": True})]


class Desk:
    """A Sling on a bench, with its gate open."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.gate = WriteGate()
        self.gate.open("starting")
        self.left_out = Tally()
        self.pauses: list[tuple[float, str]] = []
        self.executors = Executors(bench.clock, self._pause)
        self.sling = self.another()

    def another(self) -> Executor:
        """The executor of another incarnation in the same process."""
        bench = self.bench
        return self.executors.made_of(Means(bench.rpc, self.gate, bench.lease, self.left_out))[
            "sling"
        ]

    def _pause(self, seconds: float) -> None:
        self.pauses.append((seconds, self.asked[-1][0]))

    def script(self, *steps: Step) -> None:
        self.bench.node.steps = list(steps)

    def settle(self) -> None:
        """sling has been there for long enough."""
        self.script(VERSION)
        self.sling.version()
        self.bench.clock.now_s += SETTLING_S
        self.bench.node.requests.clear()

    @property
    def asked(self) -> list[tuple[str, dict[str, Any]]]:
        self.bench.node.settle()
        return [(request["method"], request["params"]) for request in self.bench.node.requests]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with a_bench(tmp_path) as bench:
        yield Desk(bench)


def settings(*scids: str) -> Step:
    return result({scid: {"sat_direction": "Pull", "amount_msat": 5} for scid in scids})


def stats(*rows: object) -> Step:
    return result(list(rows))


def row(scid: object, *statuses: object) -> dict[str, object]:
    return {"alias": "x", "scid": scid, "status": list(statuses), "rebamount": "1,234"}


def free(*more: Step) -> list[Step]:
    """What is asked before a start, where nothing stands against it."""
    return [VERSION, settings(), stats(), *more]


# -- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v4.0.0", "4.1.3", "v4.2.1", "v10.0", "v4.3-rc1"])
def test_a_version_from_4_on_is_told(desk: Desk, version: str) -> None:
    desk.script(result({"version": version}))
    assert desk.sling.version() == version
    assert desk.asked == [("sling-version", {})]


@pytest.mark.parametrize("version", ["v3.9.9", "v0.1", "", "four", None, 4, "v4"])
def test_an_older_or_unknown_version_is_none(desk: Desk, version: object) -> None:
    desk.script(result({"version": version}))
    with pytest.raises(ExecutorAbsent, match=r"sling .*(too old|not tell)"):
        desk.sling.version()


def test_a_node_without_sling_has_no_executor_and_one_that_fails_is_no_absence(desk: Desk) -> None:
    desk.script(ABSENT, refusal(-4, "Plugin terminated"), result([]))
    with pytest.raises(ExecutorAbsent, match="not on this node"):
        desk.sling.version()
    with pytest.raises(NodeRefused):
        desk.sling.version()
    with pytest.raises(MalformedReply):
        desk.sling.version()


def test_jobs_are_persistent_where_sling_keeps_their_settings_and_once_jobs_else(
    desk: Desk,
) -> None:
    desk.script(
        settings(SCID, "9x9x9"),
        stats(row(OTHER, "1:Rebalancing"), row(SCID, "1:NoRoutes", "2:Rebalancing")),
    )
    assert desk.sling.jobs() == (
        ExecutorJob(SCID, True, False, "NoRoutes, Rebalancing"),
        ExecutorJob(OTHER, False, False, "Rebalancing"),
        ExecutorJob("9x9x9", True, True, ""),
    )
    assert desk.asked == OURS[1:]


@pytest.mark.parametrize(
    ("status", "idle"),
    [
        (["1:Balanced"], True),
        (["1:NoCheapRoute"], True),
        (["1:Error"], True),
        (["1:Stopping"], False),
        (["1:Starting"], False),
        (["1:SomethingNew"], False),
        (["1:NoRoutes", "2:Rebalancing"], False),
        ("1:Balanced", True),
        (["Rebalancing"], False),
    ],
    ids=str,
)
def test_a12_a_job_is_idle_where_all_of_its_tasks_are(
    desk: Desk, status: object, idle: bool
) -> None:
    desk.script(settings(), stats({"scid": SCID, "status": status}))
    (job,) = desk.sling.jobs()
    assert job.idle is idle


def test_entries_that_name_no_channel_are_left_out_and_counted(desk: Desk) -> None:
    desk.script(result({"all": {}, SCID: None}), stats(None, 5, {}, row("all", "1:Balanced")))
    assert [job.scid for job in desk.sling.jobs()] == [SCID]
    assert desk.left_out.counts() == {"sling-jobsettings": 1, "sling-stats": 4}


def test_what_is_no_list_of_jobs_is_malformed(desk: Desk) -> None:
    desk.script(settings(), result({"format-hint": "simple"}))
    with pytest.raises(MalformedReply, match="sling-stats"):
        desk.sling.jobs()


# -- starting -----------------------------------------------------------------------------------


def test_b13_a_job_is_one_once_job_with_candidates_limits_and_one_task(desk: Desk) -> None:
    desk.settle()
    desk.script(*free(result({"result": "started"})))
    assert desk.sling.start(ORDER).outcome == STARTED
    assert desk.asked[:3] == OURS
    method, params = desk.asked[3]
    assert method == "sling-once"
    assert params == {
        "scid": SCID,
        "direction": "pull",
        "amount": 100_007,
        "maxppm": 250,
        "onceamount": 300_021,
        "candidates": [SOURCE],
        "depleteuptopercent": 0.999999,
        "depleteuptoamount": 150_033,
        "maxhops": 6,
        "paralleljobs": 1,
    }


@pytest.mark.parametrize(
    "change",
    [
        {"candidates": ()},
        {"candidates": (SOURCE, SCID)},
        {"candidates": ("all",)},
        {"scid": "all"},
        {"scid": ""},
        {"payment_msat": 100_007_001},
        {"payment_msat": 0},
        {"total_msat": 300_022_000},
        {"total_msat": 0},
        {"max_ppm": 0},
        {"max_ppm": 1 << 32},
        {"max_hops": 1},
        {"keep_msat": -1},
    ],
    ids=str,
)
def test_an_order_that_sling_would_take_for_more_is_not_sent(
    desk: Desk, change: dict[str, Any]
) -> None:
    desk.settle()
    assert desk.sling.start(ORDER._replace(**change)).outcome == NOT_STARTED
    assert desk.asked == []


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (refusal(-32700, "There is already a job for that scid running!"), NOT_STARTED),
        (refusal(-32601, "Unknown command"), NOT_STARTED),
        (refusal(-32602, "bad"), NOT_STARTED),
        (refusal(-4, "Plugin terminated before replying"), MAYBE_STARTED),
        (refusal(-5, "shutting down"), MAYBE_STARTED),
        (refusal(-1, "something"), MAYBE_STARTED),
        (hang_up, MAYBE_STARTED),
        (result({"result": "success"}), MAYBE_STARTED),
        (result({}), MAYBE_STARTED),
        (result([]), MAYBE_STARTED),
    ],
)
def test_only_a_plain_refusal_means_that_nothing_was_begun(
    desk: Desk, answer: Step, outcome: str
) -> None:
    desk.settle()
    desk.script(*free(answer))
    assert desk.sling.start(ORDER).outcome == outcome
    assert len(desk.asked) == 4


def test_a_job_that_could_not_be_looked_at_first_is_not_begun(desk: Desk) -> None:
    desk.settle()
    for count in range(3):
        desk.script(*free()[:count], refusal(-4, "died"))
        assert desk.sling.start(ORDER).outcome == NOT_STARTED
        desk.settle()
    assert "sling-once" not in desk.bench.node.methods


@pytest.mark.parametrize("job", [row(SCID, "1:Balanced"), row(SCID, "1:Rebalancing")], ids=str)
def test_no_job_is_begun_beside_a_persistent_one(desk: Desk, job: dict[str, object]) -> None:
    desk.settle()
    desk.script(VERSION, settings(SCID), stats(job))
    outcome = desk.sling.start(ORDER)
    assert outcome.outcome == NOT_STARTED
    assert "persistent" in outcome.why
    assert len(desk.asked) == 3


def test_no_job_is_begun_beside_a_once_job_that_runs_but_a_finished_one_is_no_bar(
    desk: Desk,
) -> None:
    desk.settle()
    desk.script(VERSION, settings(OTHER), stats(row(SCID, "1:Rebalancing")))
    assert desk.sling.start(ORDER).outcome == NOT_STARTED
    desk.script(VERSION, settings(), stats(row(SCID, "1:Stopped")), result({"result": "started"}))
    assert desk.sling.start(ORDER).outcome == STARTED


@pytest.mark.parametrize("source", ["paused", "dry run", "safe mode", "out of sync", "stopping"])
def test_behind_a_closed_gate_nothing_is_sent(desk: Desk, source: str) -> None:
    desk.settle()
    desk.gate.close(source, "a test")
    outcome = desk.sling.start(ORDER)
    assert outcome.outcome == NOT_STARTED and source in outcome.why
    assert desk.asked == []


def test_a_gate_that_closes_while_the_connection_is_made_holds_the_bytes(desk: Desk) -> None:
    desk.settle()
    desk.script(*free())
    desk.bench.lease.before_effect = lambda: desk.gate.close("paused", "just now")
    outcome = desk.sling.start(ORDER)
    assert outcome == (NOT_STARTED, "paused: just now")
    assert desk.asked == OURS


def test_a_replaced_incarnation_begins_nothing(desk: Desk) -> None:
    desk.settle()
    desk.script(*free())

    def replaced() -> None:
        desk.bench.lease.stale = True

    desk.bench.lease.before_effect = replaced
    with pytest.raises(StaleGeneration):
        desk.sling.start(ORDER)
    assert desk.asked == OURS


def test_the_generation_is_not_held_for_the_minutes_that_an_answer_may_take(desk: Desk) -> None:
    held: list[bool] = []

    def note(sock: Any, request: dict[str, Any]) -> None:
        held.append(desk.bench.lease.in_effect)
        result({"result": "started"})(sock, request)

    desk.settle()
    desk.script(*free(note))
    desk.sling.start(ORDER)
    assert held == [False]


def test_a_start_that_times_out_may_have_begun_a_job_unless_nothing_was_sent(desk: Desk) -> None:
    desk.settle()
    desk.script(*free())
    desk.bench.node.otherwise = silence
    call = desk.bench.rpc.call

    def hurried(method: str, *args: Any, **how: Any) -> Any:
        how["patience_s"] = 0.05 if method == "sling-once" else None
        return call(method, *args, **how)

    desk.bench.rpc.call = hurried  # type: ignore[method-assign]  # nobody waits for minutes here
    assert desk.sling.start(ORDER).outcome == MAYBE_STARTED
    assert len(desk.asked) == 4
    desk.bench.node.otherwise = hang_up


# -- the first seconds of sling -----------------------------------------------------------------


def test_no_job_is_begun_or_deleted_in_the_first_seconds_of_sling(desk: Desk) -> None:
    desk.script(*free())
    assert "less than 5 s" in desk.sling.start(ORDER).why
    desk.bench.clock.now_s += SETTLING_S - 0.1
    desk.script(settings())
    with pytest.raises(Unavailable, match="less than 5 s"):
        desk.sling.stop(SCID)
    assert {method for method, _ in desk.asked} == {"sling-version", "sling-jobsettings"}
    desk.bench.clock.now_s += 0.1
    desk.script(settings(), result({"stopped_count": 1}), result({"result": "success"}))
    desk.sling.stop(SCID)


@pytest.mark.parametrize("how", ["touched", "absent", "died"])
def test_they_begin_anew_whenever_it_may_have_been_away(desk: Desk, how: str) -> None:
    desk.settle()
    other = desk.another()
    if how == "touched":
        other.touched()
    else:
        desk.script(ABSENT if how == "absent" else refusal(-4, "died"))
        with pytest.raises((ExecutorAbsent, NodeRefused)):
            other.version()
    desk.script(VERSION)
    assert "less than 5 s" in desk.sling.start(ORDER).why
    assert "sling-once" not in desk.bench.node.methods


# -- stopping -----------------------------------------------------------------------------------


def test_a_stop_names_its_channel_twice_and_waits_for_both_answers(desk: Desk) -> None:
    desk.settle()
    desk.gate.close("stopping", "a closed gate ends no end")
    desk.script(settings(OTHER), result({"stopped_count": 1}), result({"result": "success"}))
    desk.sling.stop(SCID)
    assert desk.asked[1:] == [("sling-stop", {"scid": SCID}), ("sling-deletejob", {"job": SCID})]
    assert desk.pauses == [(ENDING_S, "sling-stop")], "its loop looks 20 ms later"


@pytest.mark.parametrize("scid", ["", "all", "0381" + "ab" * 31, "103X1X0", " 103x1x0"])
def test_anything_but_a_scid_is_a_program_error(desk: Desk, scid: str) -> None:
    desk.settle()
    with pytest.raises(ValueError, match="not a short channel id"):
        desk.sling.stop(scid)
    with pytest.raises(ValueError, match="not a short channel id"):
        desk.sling.stop_without_waiting(scid)
    assert desk.asked == []


def test_a_persistent_job_is_somebody_elses_and_is_left_alone(desk: Desk) -> None:
    desk.settle()
    desk.script(settings(SCID))
    desk.sling.stop(SCID)
    assert desk.asked == [("sling-jobsettings", {})]


@pytest.mark.parametrize("answered", [0, 1, 2])
def test_without_an_answer_to_all_nothing_is_proven(desk: Desk, answered: int) -> None:
    desk.settle()
    desk.script(*[settings(), result({"stopped_count": 1})][:answered], hang_up)
    with pytest.raises(TimedOut):
        desk.sling.stop(SCID)


@pytest.mark.parametrize("answered", [0, 1, 2])
def test_where_sling_is_gone_its_once_jobs_are_gone_with_it(desk: Desk, answered: int) -> None:
    desk.settle()
    desk.script(*[settings(), result({"stopped_count": 1})][:answered], ABSENT)
    desk.sling.stop(SCID)
    assert len(desk.asked) == answered + 1


def test_on_the_way_out_a_stop_is_sent_and_its_answer_not_waited_for(desk: Desk) -> None:
    desk.script(silence)
    desk.sling.stop_without_waiting(SCID)
    assert desk.asked == [("sling-stop", {"scid": SCID})]
    (call,) = desk.bench.lease.calls
    assert call[1] < 0.1


# -- deadlines ----------------------------------------------------------------------------------


def test_each_call_has_minutes_and_all_share_a_breaker(desk: Desk) -> None:
    desk.settle()
    desk.bench.lease.calls.clear()
    desk.script(*free(result({"result": "started"})))
    desk.sling.start(ORDER)
    desk.script(settings(), hang_up, hang_up, hang_up, result({"ok": 1}))
    for _ in range(3):
        with pytest.raises(TimedOut):
            desk.sling.stop(SCID)
    assert {deadline_s for _, deadline_s in desk.bench.lease.calls} == {DEADLINE_S}
    assert DEADLINE_S >= 150.0
    with pytest.raises(CircuitOpen):
        desk.sling.version()
    assert desk.bench.rpc.call("getinfo") == {"ok": 1}


# -- who there is -------------------------------------------------------------------------------


def test_every_executor_of_the_setting_exists_and_no_other(desk: Desk) -> None:
    made = desk.executors.made_of(Means(desk.bench.rpc, desk.gate, desk.bench.lease, desk.left_out))
    (setting,) = [s for s in SETTINGS if s.key == "rebalancer_plugin"]
    assert tuple(made) == setting.choices
    assert all(executor.name == name for name, executor in made.items())


def test_a_plugin_is_known_by_its_file_or_by_what_it_serves() -> None:
    assert executor_of("sling", ()) == "sling"
    assert executor_of("renamed", ("help", "sling-version")) == "sling"
    assert executor_of("clboss", ("clboss-status",)) is None
