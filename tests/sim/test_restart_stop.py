"""The restart contract, clause 8: everyone leaves, in reverse order and in bounded time."""

from __future__ import annotations

import pytest

from cl_revenue_ops.ports import Unavailable
from cl_revenue_ops.runtime.actor import Parked
from cl_revenue_ops.runtime.restart import LIVENESS_S, STOP_PATIENCE_S
from messages.control import StopHouse
from tests.sim.small_house import (
    GATEWAY,
    OPTIONAL,
    SUPERVISOR,
    SUSPENDED,
    Act,
    Kid,
    Number,
    Part,
    SmallHouse,
    boom,
)


def park(part: Part) -> None:
    """Never come back."""
    raise Parked


def unavailable(part: Part) -> None:
    """Find the node away."""
    raise Unavailable("no node")


def stops(house: SmallHouse) -> list[str]:
    """Who was told to stop, in order."""
    return [entry.address for entry in house.world.diary if entry.message == "Stop"]


def test_clause_8_children_leave_in_reverse_order() -> None:
    house = SmallHouse(Kid("a"), Kid("b", OPTIONAL), Kid("c", SUSPENDED))
    house.stop()
    assert house.nursery.finished
    assert stops(house) == ["c", "b", "a"]
    assert {house.state(x) for x in ("a", "b", "c", GATEWAY)} == {"stopped"}


def test_clause_8_each_leaves_before_the_next_is_asked() -> None:
    house = SmallHouse(Kid("a"), Kid("b"))
    seen: list[tuple[str, str]] = []
    for address in "ab":
        house.world.on_close[address] = lambda part: seen.append(
            (house.state("a"), house.state("b"))
        )
    house.stop()
    assert seen == [("ready", "stopping"), ("stopping", "stopped")]


def test_clause_8_stop_overtakes_the_work_that_waits() -> None:
    house = SmallHouse(Kid("a"))
    for number in range(1_000):
        house.tell("a", Number(number))
    house.stop()
    assert house.nursery.finished
    # The actor has a few turns before the supervisor's first, and none after Stop.
    handled = len(house.handled("a", "heard"))
    assert handled < 100
    assert house.post.box("a").mailbox.depth() == 1_000 - handled


def test_clause_8_an_actor_that_does_not_leave_is_not_waited_for() -> None:
    house = SmallHouse(Kid("a"), Kid("b"), Kid("c"))
    for address in "bc":
        house.do(address, park)
    house.stop()
    assert not house.nursery.finished
    house.advance(2 * STOP_PATIENCE_S)
    assert house.nursery.finished
    assert stops(house) == ["a"]


def test_clause_8_a_crash_in_its_last_words_holds_up_nobody() -> None:
    house = SmallHouse(Kid("a"), Kid("b"))
    house.world.on_close["b"] = boom
    house.stop()
    assert house.nursery.finished
    assert stops(house) == ["b", "a"]
    assert house.state("b") == "stopped"


def test_clause_8_a_child_that_crashes_while_others_leave_is_not_restarted() -> None:
    house = SmallHouse(Kid("a"), Kid("b"))
    house.do("b", park)
    house.stop()
    house.do("a", boom)
    house.advance(100.0)
    assert house.nursery.finished
    assert stops(house) == []
    assert house.handled("a", "Boot") == [None]
    assert house.state("a") == "stopped"


def test_clause_8_a_child_that_crashes_when_asked_to_leave_lets_the_next_one_leave() -> None:
    house = SmallHouse(Kid("a"), Kid("b"))
    house.tell("b", Act(boom))
    house.tell(SUPERVISOR, StopHouse("now"))
    house.run()
    assert house.nursery.finished
    assert house.state("b") == "stopped"


def test_clause_8_stop_during_the_boot_starts_nobody_else() -> None:
    house = SmallHouse(Kid("a"), Kid("b"), Kid("c"), started=False)
    house.world.on_boot["b"] = lambda part: house.tell(SUPERVISOR, StopHouse("changed my mind"))
    house.start()
    assert house.nursery.finished
    assert stops(house) == ["b", "a"]
    assert house.handled("c", "Boot") == []
    house.advance(100.0)
    assert house.handled("c", "Boot") == []


def test_clause_8_stop_during_a_hung_boot_ends_in_time() -> None:
    house = SmallHouse(Kid("a"), Kid("b"), Kid("c"), started=False)
    house.world.on_boot["b"] = park
    house.start()
    house.stop()
    house.advance(STOP_PATIENCE_S)
    assert house.nursery.finished
    assert stops(house) == ["a"]


@pytest.mark.parametrize("fault", [boom, unavailable])
def test_clause_8_stop_during_a_backoff_restarts_nobody(fault) -> None:  # type: ignore[no-untyped-def]  # a parameter of pytest
    house = SmallHouse(Kid("a"), Kid("b"), started=False)
    house.world.on_boot["b"] = fault
    house.start()
    boots = len(house.handled("b", "Boot"))
    house.stop()
    assert house.nursery.finished
    house.advance(600.0)
    assert len(house.handled("b", "Boot")) == boots


def test_clause_8_stop_in_safe_mode_retries_nobody() -> None:
    house = SmallHouse(Kid("a"), Kid("b"))
    house.crash("b", times=5)
    boots = len(house.handled("b", "Boot"))
    house.stop()
    assert house.nursery.finished
    house.advance(3_600.0)
    assert len(house.handled("b", "Boot")) == boots
    assert stops(house) == ["a"]


def test_clause_8_what_falls_due_while_others_leave_starts_nobody() -> None:
    house = SmallHouse(Kid("a"), Kid("b"), Kid("c"))
    house.crash("c")
    house.do("b", park)
    house.advance(0.9)
    house.stop()
    # The restart of c is due before b is given up.
    house.advance(STOP_PATIENCE_S)
    assert house.nursery.finished
    assert len(house.handled("c", "Boot")) == 1


def test_clause_8_the_retry_of_safe_mode_is_off_while_others_leave() -> None:
    house = SmallHouse(Kid("a"), Kid("b", OPTIONAL), Kid("c"))
    house.crash("c", times=5)
    boots = len(house.handled("c", "Boot"))
    house.advance(299.9)
    house.do("b", park)
    house.stop()
    house.advance(STOP_PATIENCE_S)
    assert house.nursery.finished
    assert len(house.handled("c", "Boot")) == boots


def test_clause_8_the_watch_is_off_while_others_leave() -> None:
    house = SmallHouse(Kid("a"), Kid("b", OPTIONAL))
    house.advance(LIVENESS_S - 0.1)
    house.do("a", lambda part: part.actor_stopped.set())
    house.do("b", park)
    house.stop()
    house.advance(2 * STOP_PATIENCE_S)
    assert house.nursery.finished
    assert house.state("a") == "stopped"


def test_clause_8_the_gate_closes_before_anyone_leaves() -> None:
    house = SmallHouse(Kid("a"))
    seen: list[dict[str, str]] = []
    house.world.on_close["a"] = lambda part: seen.append(house.gate.reasons())
    house.stop()
    assert seen == [{"stopping": "the test is over"}]
    assert house.notice()["stopping"] == "the test is over"


def test_clause_8_asking_twice_stops_once() -> None:
    house = SmallHouse(Kid("a"), Kid("b"))
    house.world.on_close["b"] = lambda part: house.tell(SUPERVISOR, StopHouse("again"))
    house.stop()
    assert house.nursery.finished
    assert stops(house) == ["b", "a"]
    assert house.notice()["stopping"] == "the test is over"


def test_clause_8_a_house_that_never_started_stops_at_once() -> None:
    house = SmallHouse(Kid("a"), started=False)
    house.stop()
    assert house.nursery.finished
    assert stops(house) == []


def test_clause_8_after_the_end_nothing_moves_any_more() -> None:
    house = SmallHouse(Kid("a"), Kid("b"))
    house.crash("b")
    house.stop()
    house.world.diary.clear()
    house.tell("a", Number(1))
    assert house.advance(86_400.0).messages == 0
    assert house.world.diary == []


def test_clause_8_a_crash_of_the_dying_house_opens_no_safe_mode() -> None:
    house = SmallHouse(Kid("a"), Kid("b"))
    house.crash("a", times=4)
    house.revive("a")
    house.do("b", park)
    house.stop()
    house.do("a", boom)
    house.advance(10.0)
    assert house.notice()["safe_mode"] is None
    assert house.nursery.finished
