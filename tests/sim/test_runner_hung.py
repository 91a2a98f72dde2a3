"""The rebalance runner when sling does not answer: borne for minutes, replaced when really hung."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from actors.rebalance_runner import RebalanceRunner
from cl_revenue_ops.adapters import transport
from cl_revenue_ops.adapters.breaker import Breakers
from cl_revenue_ops.adapters.executors import Executors, Means
from cl_revenue_ops.adapters.rpc import NodeRpc
from cl_revenue_ops.adapters.sling import DEADLINE_S
from cl_revenue_ops.adapters.tally import Tally
from cl_revenue_ops.runtime.actor import Context, MailboxActor, Parked
from cl_revenue_ops.runtime.restart import LIVENESS_S
from messages.base import Command
from messages.rebalance import JobOrder, ReadExecutor, StartJob, StopJob
from tests.sim.small_house import OPTIONAL, Client, Kid, Number, SmallHouse, World

RUNNER = "rebalance-runner"
SCID = "103x1x0"
ORDER = JobOrder("r1", SCID, ("105x1x0",), 100_000_000, 300_000_000, 250, 0, 6)
SETTING = 20.0


class Wire:
    """sling's answers by method; a method in `silent` is never answered, and takes for ever.

    `takes_s` is how long any other answer takes.
    """

    def __init__(self) -> None:
        self.house: SmallHouse | None = None
        self.silent: set[str] = set()
        self.takes_s = 0.0
        self.asked: list[str] = []

    def exchange(
        self, path: str, request: bytes, deadline: float, before_send: Callable[[], None] | None
    ) -> bytearray:
        """Stands for the socket."""
        asked = json.loads(request)
        if before_send is not None:
            before_send()
        self.asked.append(asked["method"])
        if asked["method"] in self.silent:
            raise Parked
        assert self.house is not None
        self.house.clock.set(self.house.clock.now() + self.takes_s)
        return bytearray(
            json.dumps({"id": asked["id"], "result": _ANSWERS[asked["method"]]}), "ascii"
        )


_ANSWERS: dict[str, Any] = {
    "sling-version": {"version": "v4.2.1"},
    "sling-jobsettings": {},
    "sling-stats": [],
    "sling-once": {"result": "started"},
    "sling-stop": {"stopped_count": 1},
    "sling-deletejob": {"result": "success"},
}


class Desk:
    """A small house with the runner, and another part beside it."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._executors: Executors | None = None
        self.house = SmallHouse(
            Kid(RUNNER, OPTIONAL, make=self._runner),
            Kid("b"),
            started=False,
            handler_deadline_s=lambda: SETTING,
        )
        wire.house = self.house
        self.house.start()
        self.ask(ReadExecutor)
        self.house.advance(10.0)

    def _runner(self, context: Context, world: World) -> MailboxActor:
        clock, lease = context.clock, context.lease
        if self._executors is None:
            self._executors = Executors(clock)
            self._breakers = Breakers(clock, lambda: 60.0)
        rpc = NodeRpc("/no/such/socket", lease, self._breakers, lambda: SETTING)
        means = Means(rpc, self.house.gate, lease, Tally())
        return RebalanceRunner(context, executors=self._executors.made_of(means))

    def ask(self, kind: type[Command], *args: object, patience_s: float = 900.0) -> Client:
        client = self.house.order(
            RUNNER, lambda part: None, patience_s, lambda *call: kind(*call, *args)
        )
        self.house.run()
        return client

    def replaced_after_s(self) -> float:
        house, began_s = self.house, self.house.clock.now()
        while house.generation(RUNNER) == 1:
            assert house.clock.now() < began_s + 3_600.0, "it is never replaced"
            house.advance(1.0)
        return house.clock.now() - began_s


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    wire = Wire()
    monkeypatch.setattr(transport, "_exchange", wire.exchange)
    return Desk(wire)


@pytest.mark.parametrize(
    ("silent", "kind", "args"),
    [
        ("sling-jobsettings", ReadExecutor, ()),
        ("sling-once", StartJob, (ORDER,)),
        ("sling-stop", StopJob, (SCID,)),
        ("sling-deletejob", StopJob, (SCID,)),
    ],
)
def test_a_call_that_hangs_is_borne_for_its_deadline_and_replaced_after_twice(
    desk: Desk, silent: str, kind: type[Command], args: tuple[object, ...]
) -> None:
    desk.wire.silent.add(silent)
    client = desk.ask(kind, *args)
    took_s = desk.replaced_after_s()
    assert 2 * DEADLINE_S < took_s <= 2 * DEADLINE_S + LIVENESS_S
    desk.house.run()
    (outcome,) = client.outcomes
    assert "hung" in str(outcome)
    desk.wire.silent.clear()
    desk.house.revive(RUNNER)
    assert "v4.2.1" in str(desk.ask(ReadExecutor).outcomes)


def test_meanwhile_nobody_else_waits_and_what_waits_for_it_is_kept(desk: Desk) -> None:
    desk.wire.silent.add("sling-stop")
    desk.ask(StopJob, SCID)
    waiting = desk.ask(ReadExecutor)
    desk.house.tell("b", Number(1))
    desk.house.run()
    assert desk.house.handled("b", "heard") == [1]
    assert waiting.outcomes == []
    desk.wire.silent.clear()
    desk.replaced_after_s()
    desk.house.revive(RUNNER)
    desk.house.run()
    assert "v4.2.1" in str(waiting.outcomes)


def test_a_handler_of_several_slow_calls_is_not_taken_for_hung(desk: Desk) -> None:
    desk.wire.takes_s = DEADLINE_S - 1.0
    began_s = desk.house.clock.now()
    client = desk.ask(StopJob, SCID, patience_s=3_600.0)
    assert desk.house.clock.now() - began_s == 3 * (DEADLINE_S - 1.0)
    desk.wire.takes_s = 0.0
    desk.house.advance(2 * LIVENESS_S)
    assert desk.house.generation(RUNNER) == 1
    assert client.outcomes == [None]


def test_a_runner_that_hangs_does_not_keep_the_house_from_stopping(desk: Desk) -> None:
    desk.wire.silent.add("sling-once")
    desk.ask(StartJob, ORDER)
    began_s = desk.house.clock.now()
    desk.house.stop()
    for _ in range(10):
        desk.house.advance(0.1)
    assert desk.house.nursery.finished
    assert desk.house.clock.now() - began_s <= 1.1
    assert desk.wire.asked[-1] == "sling-once"


def test_leaving_takes_a_third_of_a_second_however_slow_sling_is(desk: Desk) -> None:
    for number in range(9):
        desk.ask(StartJob, ORDER._replace(scid=f"{200 + number}x1x0"))
    desk.wire.takes_s = 0.08
    began_s = desk.house.clock.now()
    desk.house.stop()
    assert desk.house.nursery.finished
    assert desk.house.clock.now() - began_s <= 0.33
    assert desk.wire.asked.count("sling-stop") == 4
