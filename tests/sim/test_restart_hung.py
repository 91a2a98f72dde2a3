"""The restart contract, clause 7, stepped: a parked handler is fenced off and replaced."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cl_revenue_ops.ports import StaleGeneration
from cl_revenue_ops.runtime.actor import Parked
from cl_revenue_ops.runtime.restart import LIVENESS_S, LOAD_BEARING
from tests.sim.small_house import OPTIONAL, Act, Kid, Number, OtherAct, Part, SmallHouse

DEADLINE_S = 20.0


def park(part: Part) -> None:
    """Never come back, outside of any port call."""
    raise Parked


def park_in_call(deadline_s: float, what: str = "slow-call") -> Callable[[Part], None]:
    """Never come back from a port call of this deadline."""

    def call(part: Part) -> None:
        with part.context.lease.call(what, deadline_s):
            raise Parked

    return call


def a_house(*kids: Kid) -> SmallHouse:
    """Handlers here have twenty seconds."""
    return SmallHouse(*(kids or (Kid("a"),)), handler_deadline_s=lambda: DEADLINE_S)


def wait_for_replacement(house: SmallHouse, address: str) -> float:
    """How long it takes until the incarnation living there is replaced."""
    began_s, generation = house.clock.now(), house.generation(address)
    while house.generation(address) == generation:
        assert house.clock.now() < began_s + 3_600.0, f"{address} is never replaced"
        house.advance(1.0)
    return house.clock.now() - began_s


def test_clause_7_a_handler_at_twice_its_deadline_is_replaced_and_not_before() -> None:
    house = a_house()
    house.do("a", park)
    took_s = wait_for_replacement(house, "a")
    assert 2 * DEADLINE_S < took_s <= 2 * DEADLINE_S + LIVENESS_S
    house.revive("a")
    assert house.notice()["actors"]["a"]["restarts"] == 1
    assert house.notice()["hung_threads"] == 1


@pytest.mark.parametrize("deadline_s", [5.0, 60.0, 180.0])
def test_clause_7_each_port_call_has_its_own_deadline(deadline_s: float) -> None:
    house = a_house()
    house.do("a", park_in_call(deadline_s))
    took_s = wait_for_replacement(house, "a")
    assert 2 * deadline_s < took_s <= 2 * deadline_s + LIVENESS_S


def test_clause_7_the_time_counts_from_the_last_port_call() -> None:
    house = a_house()
    began_s = house.clock.now()

    def long_but_busy(part: Part) -> None:
        for _ in range(10):
            with part.context.lease.call("page", DEADLINE_S):
                house.clock.set(house.clock.now() + DEADLINE_S)
        raise Parked

    house.do("a", long_but_busy)
    worked_s = house.clock.now() - began_s
    assert worked_s == 10 * DEADLINE_S
    took_s = wait_for_replacement(house, "a")
    assert 2 * DEADLINE_S < took_s <= 2 * DEADLINE_S + LIVENESS_S


def test_clause_7_a_call_has_its_whole_time_however_late_it_begins() -> None:
    house = a_house()

    def think_then_call(part: Part) -> None:
        house.clock.set(house.clock.now() + 1.9 * DEADLINE_S)
        park_in_call(DEADLINE_S)(part)

    house.do("a", think_then_call)
    assert wait_for_replacement(house, "a") > 2 * DEADLINE_S


def test_clause_7_after_a_call_the_handlers_own_deadline_holds_again() -> None:
    house = a_house()

    def call_then_park(part: Part) -> None:
        with part.context.lease.call("sling", 180.0):
            pass
        raise Parked

    house.do("a", call_then_park)
    assert wait_for_replacement(house, "a") <= 2 * DEADLINE_S + LIVENESS_S


def test_clause_7_an_actor_that_does_nothing_is_not_hung() -> None:
    house = a_house()
    house.tell("a", Number(1))
    house.run()
    house.advance(86_400.0)
    assert house.generation("a") == 1


def test_clause_7_what_it_had_in_hand_is_a_dead_letter_and_the_rest_is_kept() -> None:
    house = a_house()
    house.tell("a", Act(park))
    house.tell("a", Number(1))
    house.run()
    assert house.handled("a", "heard") == []
    wait_for_replacement(house, "a")
    house.revive("a")
    assert house.letters("hung") == [("a", "Act")]
    assert house.handled("a", "heard") == [1]


def test_clause_7_the_caller_of_a_hung_command_is_refused_when_it_is_replaced() -> None:
    house = a_house()
    client = house.order("a", park, patience_s=3_600.0)
    house.run()
    assert client.outcomes == []
    wait_for_replacement(house, "a")
    house.run()
    assert len(client.outcomes) == 1
    assert "hung" in str(client.outcomes[0])


def test_clause_7_ports_refuse_the_old_generation_its_side_effects() -> None:
    house = a_house()
    parts: list[Part] = []
    house.do("a", parts.append)
    house.do("a", park)
    wait_for_replacement(house, "a")
    lease = parts[0].context.lease
    with pytest.raises(StaleGeneration), lease.effect():
        raise AssertionError("it wrote")
    with pytest.raises(StaleGeneration), lease.call("read", 1.0):
        raise AssertionError("it read")
    house.revive("a")
    assert house.read("a", lambda part: part.context.lease.is_current())


def test_clause_7_the_log_names_the_call_that_hangs() -> None:
    house = a_house()
    house.do("a", park_in_call(30.0, "listpeerchannels"))
    wait_for_replacement(house, "a")
    assert any("a hangs in listpeerchannels" in text for text in house.log.texts)
    assert house.notice()["actors"]["a"]["reason"] == "hung in listpeerchannels"


def test_clause_7_a_hung_boot_is_replaced_too() -> None:
    house = a_house()
    house.world.on_boot["a"] = park
    house.crash("a")
    house.advance(2.0)
    assert house.state("a") == "booting"
    house.world.on_boot.clear()
    house.advance(2 * DEADLINE_S + 2 * LIVENESS_S)
    assert house.state("a") == "ready"


def test_clause_7_two_abandoned_threads_are_borne_and_a_third_means_safe_mode() -> None:
    house = a_house(Kid("a"), Kid("b", OPTIONAL), Kid("c", OPTIONAL))
    for address in "ab":
        house.do(address, park)
    house.advance(120.0)
    assert house.notice()["hung_threads"] == 2
    assert house.notice()["safe_mode"] is None
    house.do("c", park)
    house.advance(120.0)
    assert "3 hung threads" in house.notice()["safe_mode"]
    assert house.gate.closed_because() is not None
    # All have successors nevertheless.
    assert [house.state(x) for x in "abc"] == ["ready"] * 3


def test_clause_7_a_message_type_that_hangs_it_three_times_running_is_poison() -> None:
    house = a_house(Kid("a", LOAD_BEARING))
    for _ in range(2):
        house.do("a", park)
        wait_for_replacement(house, "a")
        house.revive("a")
        house.advance(3_600.0)
    assert house.state("a") == "ready"
    house.do("a", park)
    wait_for_replacement(house, "a")
    assert house.state("a") == "failed"
    assert "Act killed it 3 times running" in house.notice()["actors"]["a"]["reason"]


def test_clause_7_a_hang_counts_among_the_crashes() -> None:
    house = a_house(Kid("a", OPTIONAL))
    house.crash("a", times=4)
    house.revive("a")
    house.do("a", park, OtherAct)
    wait_for_replacement(house, "a")
    assert house.state("a") == "failed"
    assert "5 crashes" in house.notice()["actors"]["a"]["reason"]
