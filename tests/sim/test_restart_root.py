"""The restart contract: faults of the supervisor itself, and messages that come too late."""

from __future__ import annotations

from typing import Any

import pytest

from cl_revenue_ops.ports import Unavailable
from cl_revenue_ops.runtime.nursery import Vital
from cl_revenue_ops.runtime.restart import LIVENESS_S
from cl_revenue_ops.runtime.stepped import SteppedRuntime
from messages.control import BootBlocked, CrashReport, Ready, RestartDue, StopOverdue, Stopped
from tests.sim.small_house import (
    GATEWAY,
    OPTIONAL,
    SUPERVISOR,
    SUSPENDED,
    Kid,
    Order,
    Part,
    SmallHouse,
    Strange,
    boom,
    nothing,
)


class Faulty(SteppedRuntime):
    """A runtime whose services to the supervisor fail as often as they are told to."""

    faults: dict[str, list[BaseException]]

    def __init__(self, *given: Any, **parts: Any) -> None:
        self.faults = {}
        super().__init__(*given, **parts)

    def _fail(self, what: str) -> None:
        waiting = self.faults.get(what, [])
        if waiting:
            raise waiting.pop()

    def census(self) -> list[Vital]:
        """Fail first."""
        self._fail("census")
        return super().census()

    def spawn(self, address: str) -> int:
        """Fail first."""
        self._fail("spawn")
        return super().spawn(address)


def a_faulty_house() -> tuple[SmallHouse, Faulty]:
    """A house with one child, and the runtime under it."""
    house = SmallHouse(Kid("a"), kind=Faulty)
    assert isinstance(house.nursery, Faulty)
    return house, house.nursery


# -- its own faults ----------------------------------------------------------------------------


def test_a_fault_of_the_supervisor_costs_safe_mode_and_not_the_house() -> None:
    house = SmallHouse(Kid("a"), Kid("acting", SUSPENDED), strict=True)
    house.tell(SUPERVISOR, Strange())
    house.run()
    assert "the supervisor failed on Strange" in house.notice()["safe_mode"]
    assert house.gate.closed_because() is not None
    assert (SUPERVISOR, "Strange") in house.letters("poison")
    house.crash("a")
    house.revive("a")
    house.advance(600.0 + 2 * LIVENESS_S)
    assert house.notice()["safe_mode"] is None
    assert house.gate.closed_because() is None


def test_in_production_the_supervisor_only_files_what_it_does_not_know() -> None:
    house = SmallHouse(Kid("a"), strict=False)
    house.tell(SUPERVISOR, Strange())
    house.run()
    assert house.notice()["safe_mode"] is None
    assert house.letters("unhandled") == [(SUPERVISOR, "Strange")]


@pytest.mark.parametrize("fault", [RuntimeError("no"), SystemExit(1), KeyboardInterrupt()])
def test_a_fault_while_looking_does_not_end_the_watch(fault: BaseException) -> None:
    house, runtime = a_faulty_house()
    runtime.faults["census"] = [fault]
    house.advance(LIVENESS_S)
    assert house.notice()["safe_mode"] is not None
    house.do("a", lambda part: part.actor_stopped.set())
    house.advance(LIVENESS_S)
    assert house.state("a") == "backoff"


def test_a_fault_while_retrying_does_not_end_the_retries() -> None:
    house, runtime = a_faulty_house()
    house.crash("a", times=5)
    runtime.faults["spawn"] = [RuntimeError("no")]
    house.advance(301.0)
    assert house.state("a") == "failed"
    house.advance(300.0)
    assert house.state("a") == "ready"


def test_the_supervisor_still_stops_the_house_after_a_fault() -> None:
    house = SmallHouse(Kid("a"), strict=True)
    house.tell(SUPERVISOR, Strange())
    house.stop()
    assert house.nursery.finished


# -- too late ----------------------------------------------------------------------------------


def test_a_crash_report_of_a_replaced_incarnation_counts_for_nothing() -> None:
    house = SmallHouse(Kid("a"))
    first = house.generation("a")
    house.crash("a")
    for _ in range(10):
        house.tell(SUPERVISOR, CrashReport("a", first, "Act", "once more"))
    house.run()
    assert house.state("a") == "backoff"
    house.revive("a")
    for _ in range(10):
        house.tell(SUPERVISOR, CrashReport("a", first, "Act", "once more"))
    house.run()
    assert house.state("a") == "ready"
    assert house.notice()["actors"]["a"]["restarts"] == 1


def test_a_failure_of_a_replaced_incarnation_is_filed_and_not_reported() -> None:
    house = SmallHouse(Kid("a"))
    parts: list[Part] = []
    house.do("a", parts.append)
    house.crash("a")
    house.revive("a")
    context = parts[0].context
    said = len(house.log.texts)
    client = house.order("nobody", nothing)
    call_id = next(iter(house.calls.deadlines()))
    late = Order(call_id, GATEWAY, house.clock.monotonic(), nothing)
    context.report(context, late, RuntimeError("woke up at last"))
    house.run()
    assert house.state("a") == "ready"
    assert house.letters("stale") == [("a", "Order")]
    assert house.letters("poison") == [("a", "Act")]
    # Its caller had been answered for when it was replaced.
    assert len(client.outcomes) == 1
    assert house.letters("late") == []
    assert len(house.log.texts) == said


def test_a_restart_that_falls_due_twice_happens_once() -> None:
    house = SmallHouse(Kid("a"))
    house.crash("a")
    due = RestartDue("a", house.generation("a"))
    house.tell(SUPERVISOR, due)
    house.tell(SUPERVISOR, due)
    house.run()
    house.advance(5.0)
    assert house.state("a") == "ready"
    assert len(house.handled("a", "Boot")) == 2


def test_a_restart_due_for_one_who_is_well_or_given_up_does_nothing() -> None:
    house = SmallHouse(Kid("a"), Kid("b", OPTIONAL))
    house.crash("b", times=5)
    for address in "ab":
        house.tell(SUPERVISOR, RestartDue(address, house.generation(address)))
    house.run()
    assert house.state("b") == "failed"
    assert house.handled("a", "Boot") == [None]


def test_what_is_said_of_strangers_is_ignored() -> None:
    house = SmallHouse(Kid("a"))
    for message in (
        Ready("nobody", 1),
        CrashReport("nobody", 1, "", ""),
        BootBlocked("nobody", 1, ""),
        Stopped("nobody", 1),
        RestartDue("nobody", 1),
    ):
        house.tell(SUPERVISOR, message)
    house.run()
    assert house.notice()["safe_mode"] is None
    assert house.letters("poison") == []


def test_a_second_ready_of_the_same_incarnation_changes_nothing() -> None:
    house = SmallHouse(Kid("a"))
    house.do("a", lambda part: part.context.tell(SUPERVISOR, Ready("a", part.context.generation)))
    house.advance(60.0)
    assert house.state("a") == "ready"
    assert house.handled("a", "Boot") == [None]


def test_blocked_after_ready_is_not_believed() -> None:
    house = SmallHouse(Kid("a"))
    house.tell(SUPERVISOR, BootBlocked("a", house.generation("a"), "late", True))
    house.run()
    assert house.state("a") == "ready"
    assert house.notice()["safe_mode"] is None


def test_a_stopped_or_overdue_child_of_a_running_house_is_not_believed() -> None:
    house = SmallHouse(Kid("a"))
    house.tell(SUPERVISOR, Stopped("a", house.generation("a")))
    house.tell(SUPERVISOR, StopOverdue("a"))
    house.run()
    client = house.order("a", nothing)
    house.run()
    assert client.outcomes == ["done"]
    assert not house.nursery.finished


def test_a_crash_while_blocked_is_counted_and_waited_out() -> None:
    def unavailable(part: Part) -> None:
        raise Unavailable("no node")

    house = SmallHouse(Kid("a", OPTIONAL), started=False)
    house.world.on_boot["a"] = unavailable
    house.start()
    context_dies = CrashReport("a", house.generation("a"), "Suspend", "while waiting")
    house.tell(SUPERVISOR, context_dies)
    house.run()
    assert house.state("a") == "backoff"
    house.world.on_boot["a"] = boom
    house.advance(3.0)
    assert house.state("a") == "backoff"
    house.world.on_boot.clear()
    house.revive("a")
