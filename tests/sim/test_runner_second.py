"""The rebalance runner with a second executor, of which it knows nothing but the port."""

from __future__ import annotations

from actors.rebalance_runner import RebalanceRunner
from cl_revenue_ops.ports import Executor, ExecutorAbsent, Unavailable
from messages.base import Command
from messages.rebalance import (
    MAYBE_STARTED,
    NOT_STARTED,
    STARTED,
    ExecutorJob,
    ExecutorTouched,
    JobOrder,
    ReadExecutor,
    StartJob,
    StartOutcome,
    StopJob,
)
from tests.sim.small_house import OPTIONAL, Client, Kid, SmallHouse

RUNNER = "rebalance-runner"
SCID = "103x1x0"
ORDER = JobOrder("r1", SCID, ("105x1x0",), 100_000_000, 300_000_000, 250, 0, 6)


class Carrier:
    """An executor in memory; `outcome` is what its starts come to, `shut` that its stops fail."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.there = True
        self.outcome = STARTED
        self.shut = False
        self.did: list[str] = []

    def version(self) -> str:
        if not self.there:
            raise ExecutorAbsent(f"{self.name} is not on this node")
        return "v1"

    def jobs(self) -> tuple[ExecutorJob, ...]:
        return ()

    def start(self, order: JobOrder) -> StartOutcome:
        self.did.append(f"start {order.scid}")
        return StartOutcome(self.outcome, "as told")

    def stop(self, scid: str) -> None:
        self.did.append(f"stop {scid}")
        if self.shut:
            raise Unavailable("later")

    def stop_without_waiting(self, scid: str) -> None:
        self.did.append(f"leave {scid}")

    def touched(self) -> None:
        self.did.append("touched")


class Desk:
    """A small house with a runner that has two executors; the setting names the first."""

    def __init__(self) -> None:
        self.first, self.second = Carrier("sling"), Carrier("second")
        executors: dict[str, Executor] = {"sling": self.first, "second": self.second}
        self.house = SmallHouse(
            Kid(
                RUNNER,
                OPTIONAL,
                (ExecutorTouched,),
                make=lambda context, world: RebalanceRunner(context, executors=executors),
            )
        )

    def ask(self, kind: type[Command], *args: object) -> Client:
        client = self.house.order(RUNNER, lambda part: None, 60.0, lambda *call: kind(*call, *args))
        self.house.run()
        return client

    def touched(self, name: str) -> None:
        self.house.post.publish(ExecutorTouched(name, True))
        self.house.run()


def test_a_job_is_begun_by_the_one_that_is_set_and_ended_where_it_was_begun() -> None:
    desk = Desk()
    assert desk.ask(StartJob, ORDER).outcomes == [StartOutcome(STARTED, "as told")]
    assert desk.ask(StopJob, SCID).outcomes == [None]
    assert desk.first.did == [f"start {SCID}", f"stop {SCID}"]
    assert desk.second.did == []


def test_one_that_an_earlier_life_began_is_ended_at_all_of_them() -> None:
    desk = Desk()
    desk.ask(StopJob, SCID)
    assert desk.first.did == desk.second.did == [f"stop {SCID}"]
    desk.second.shut = True
    (outcome,) = desk.ask(StopJob, SCID).outcomes
    assert "later" in str(outcome)


def test_who_comes_and_goes_is_told_and_its_jobs_are_forgotten_and_no_others() -> None:
    desk = Desk()
    desk.ask(StartJob, ORDER)
    desk.touched("second")
    desk.touched("a stranger")
    desk.ask(StartJob, ORDER._replace(scid="200x1x0"))
    assert desk.second.did == ["touched"]
    desk.touched("sling")
    desk.ask(StartJob, ORDER._replace(scid="300x1x0"))
    desk.house.stop()
    assert desk.first.did[-1] == "leave 300x1x0"
    assert [did for did in desk.first.did if did.startswith("leave")] == ["leave 300x1x0"]


def test_on_the_way_out_what_may_have_begun_is_asked_to_stop_and_what_has_not_is_not() -> None:
    desk = Desk()
    for scid, outcome in (("1x1x1", MAYBE_STARTED), ("2x1x1", NOT_STARTED), ("3x1x1", STARTED)):
        desk.first.outcome = outcome
        desk.ask(StartJob, ORDER._replace(scid=scid))
    desk.house.stop()
    left = [did for did in desk.first.did if did.startswith("leave")]
    assert left == ["leave 1x1x1", "leave 3x1x1"]


def test_a_second_start_that_was_refused_does_not_make_the_first_one_forgotten() -> None:
    desk = Desk()
    desk.ask(StartJob, ORDER)
    desk.first.outcome = NOT_STARTED
    desk.ask(StartJob, ORDER)
    desk.house.stop()
    assert desk.first.did[-1] == f"leave {SCID}"


def test_one_that_is_absent_is_told_in_words() -> None:
    desk = Desk()
    desk.first.there = False
    (view,) = desk.ask(ReadExecutor).outcomes
    assert "sling is not on this node" in str(view)
