"""The restart contract, clause 6: giving up, the degraded house, and safe mode."""

from __future__ import annotations

import pytest

from actors.base import handles
from cl_revenue_ops.ports import StoreDamaged, Unavailable
from cl_revenue_ops.runtime.restart import LIVENESS_S
from messages.control import Resume, Suspend
from tests.sim.small_house import (
    OPTIONAL,
    SUSPENDED,
    Act,
    Kid,
    Number,
    OtherAct,
    Part,
    SmallHouse,
    boom,
    nothing,
)


class Doer(Part):
    """A part that acts on the node: notes how the gate stands whenever it is told to pause."""

    @handles(Suspend)
    def _told_to_wait(self, message: Suspend) -> None:
        self._suspend(message)
        self.note("suspended")

    @handles(Resume)
    def _told_to_go_on(self, message: Resume) -> None:
        self._resume(message)
        self.note("resumed")


def a_house() -> SmallHouse:
    """One child of each kind."""
    return SmallHouse(Kid("bearing"), Kid("acting", SUSPENDED, make=Doer), Kid("extra", OPTIONAL))


def is_suspended(house: SmallHouse, address: str) -> bool:
    """What the part itself believes."""
    return house.read(address, lambda part: part.suspended) is not None


def break_for_good(house: SmallHouse, address: str) -> None:
    """Crash it until it is given up."""
    house.crash(address, times=5)
    assert house.state(address) == "failed"


def in_safe_mode(house: SmallHouse) -> bool:
    """Whether the supervisor says so; the gate must agree."""
    safe = house.notice()["safe_mode"] is not None
    assert safe == ("safe mode" in house.gate.reasons())
    return safe


# -- giving up ---------------------------------------------------------------------------------


def test_clause_6_an_optional_child_given_up_leaves_the_house_degraded_and_running() -> None:
    house = a_house()
    break_for_good(house, "extra")
    assert house.notice()["degraded"] == ["extra"]
    assert not in_safe_mode(house)
    assert not is_suspended(house, "acting")
    assert house.gate.closed_because() is None


@pytest.mark.parametrize("address", ["bearing", "acting"])
def test_clause_6_a_child_that_the_house_rests_on_given_up_means_safe_mode(address: str) -> None:
    house = a_house()
    break_for_good(house, address)
    assert in_safe_mode(house)
    assert address in house.notice()["safe_mode"]
    assert house.notice()["degraded"] == [address]


def test_clause_6_safe_mode_suspends_those_who_act_and_nobody_else() -> None:
    house = a_house()
    break_for_good(house, "bearing")
    assert is_suspended(house, "acting")
    assert not is_suspended(house, "extra")
    assert "bearing" in house.read("acting", lambda part: part.suspended)


def test_clause_6_the_gate_is_closed_before_anyone_is_told() -> None:
    house = a_house()
    seen: list[str | None] = []

    class Watcher(Doer):
        def _told_to_wait(self, message: Suspend) -> None:
            seen.append(house.gate.closed_because())

    Watcher._handlers = {**Watcher._handlers, Suspend: Watcher._told_to_wait}
    house = SmallHouse(Kid("bearing"), Kid("acting", SUSPENDED, make=Watcher))
    break_for_good(house, "bearing")
    assert len(seen) == 1
    assert seen[0] is not None


def test_clause_6_the_house_keeps_answering_in_safe_mode() -> None:
    house = a_house()
    break_for_good(house, "bearing")
    clients = [house.order(address, nothing) for address in ("acting", "extra")]
    house.run()
    assert [client.outcomes for client in clients] == [["done"], ["done"]]


def test_clause_6_what_waited_for_the_failed_is_refused_at_once() -> None:
    house = a_house()
    house.crash("bearing", times=4)
    house.revive("bearing")
    house.tell("bearing", Act(boom))
    waiting = house.order("bearing", nothing)
    house.tell("bearing", Number(1))
    house.run()
    assert house.state("bearing") == "failed"
    assert len(waiting.outcomes) == 1
    assert "has failed" in str(waiting.outcomes[0])
    later = house.order("bearing", nothing)
    house.run()
    assert len(later.outcomes) == 1
    assert "not running" in str(later.outcomes[0])
    # Facts wait for the next attempt.
    house.advance(301.0)
    assert house.handled("bearing", "heard") == [1]


# -- retrying ----------------------------------------------------------------------------------


def test_clause_6_safe_mode_tries_the_failed_again_after_five_minutes() -> None:
    house = a_house()
    break_for_good(house, "bearing")
    house.advance(299.0)
    assert house.state("bearing") == "failed"
    house.advance(2.0)
    assert house.state("bearing") == "ready"
    client = house.order("bearing", nothing)
    house.run()
    assert client.outcomes == ["done"]


def test_clause_6_a_retry_begins_with_a_clean_slate() -> None:
    house = a_house()
    break_for_good(house, "bearing")
    house.advance(301.0)
    house.do("bearing", boom)
    assert house.state("bearing") == "backoff"
    house.advance(1.3)
    assert house.state("bearing") == "ready"


def test_clause_6_the_retry_repeats_as_long_as_it_fails() -> None:
    house = a_house()
    break_for_good(house, "bearing")
    house.world.on_boot["bearing"] = boom
    for _ in range(5):
        house.advance(300.0)
        assert in_safe_mode(house)
    house.advance(20.0)
    boots = [e.at_s for e in house.world.diary if (e.address, e.message) == ("bearing", "Boot")]
    # Three boots to each attempt: then Boot has killed it three times running.
    assert len(boots) == 5 + 3 * 5
    house.world.on_boot.clear()
    house.advance(300.0)
    assert house.state("bearing") == "ready"


def test_clause_6_an_optional_child_gets_its_chance_in_safe_mode_too() -> None:
    house = a_house()
    break_for_good(house, "extra")
    house.world.on_boot["extra"] = boom
    break_for_good(house, "bearing")
    house.advance(1_200.0)
    assert not in_safe_mode(house)
    assert house.state("extra") != "ready"
    house.world.on_boot.clear()
    house.advance(400.0)
    assert house.state("extra") == "ready"


# -- leaving -----------------------------------------------------------------------------------


def test_clause_6_an_optional_child_is_tried_again_without_safe_mode_too() -> None:
    house = a_house()
    break_for_good(house, "extra")
    house.world.on_boot["extra"] = boom
    house.advance(400.0)
    assert (house.state("extra"), in_safe_mode(house)) == ("failed", False)
    house.world.on_boot.clear()
    house.advance(400.0)
    assert (house.state("extra"), in_safe_mode(house)) == ("ready", False)
    assert house.notice()["degraded"] == []


def test_clause_6_safe_mode_ends_after_ten_minutes_of_wholeness() -> None:
    house = a_house()
    break_for_good(house, "bearing")
    house.advance(301.0)
    assert house.state("bearing") == "ready"
    house.advance(598.0)
    assert in_safe_mode(house)
    assert is_suspended(house, "acting")
    house.advance(2.0 + LIVENESS_S)
    assert not in_safe_mode(house)
    assert not is_suspended(house, "acting")
    assert house.gate.closed_because() is None
    assert house.handled("acting", "suspended", "resumed") == [None, None]


def test_clause_6_a_crash_meanwhile_begins_the_ten_minutes_anew() -> None:
    house = a_house()
    break_for_good(house, "bearing")
    house.advance(301.0)
    house.advance(500.0)
    # Back within a second or two, between two looks of the watch.
    house.do("bearing", boom)
    house.revive("bearing")
    house.advance(590.0)
    assert in_safe_mode(house)
    house.advance(15.0 + LIVENESS_S)
    assert not in_safe_mode(house)


def test_clause_6_a_child_that_acts_and_keeps_failing_keeps_the_house_in_safe_mode() -> None:
    house = a_house()
    break_for_good(house, "acting")
    house.world.on_boot["acting"] = boom
    house.advance(7_200.0)
    assert in_safe_mode(house)
    house.world.on_boot.clear()
    house.advance(600.0 + 300.0 + LIVENESS_S)
    assert not in_safe_mode(house)
    assert house.state("acting") == "ready"


def test_clause_6_after_safe_mode_the_crashes_of_before_are_forgotten() -> None:
    house = SmallHouse(*[Kid(name, OPTIONAL) for name in "abcd"])
    for name in "abc":
        house.crash(name, times=4)
        house.revive(name)
    house.crash("d", times=3)
    assert in_safe_mode(house)
    house.advance(600.0 + LIVENESS_S)
    assert not in_safe_mode(house)
    house.revive("a")
    house.do("a", boom, OtherAct)
    assert not in_safe_mode(house)


def test_clause_6_other_reasons_keep_the_gate_closed_after_safe_mode() -> None:
    house = a_house()
    break_for_good(house, "bearing")
    house.gate.close("paused", "by the operator")
    house.advance(1_000.0)
    assert not in_safe_mode(house)
    assert house.gate.closed_because() == "paused: by the operator"


def test_clause_6_safe_mode_can_come_again() -> None:
    house = a_house()
    for _ in range(2):
        break_for_good(house, "bearing")
        assert in_safe_mode(house)
        house.advance(1_000.0)
        assert not in_safe_mode(house)
        assert not is_suspended(house, "acting")


# -- those who act, while it lasts -------------------------------------------------------------


def test_clause_6_a_child_that_becomes_ready_in_safe_mode_is_suspended_before_any_work() -> None:
    house = a_house()
    house.crash("bearing", times=4)
    house.revive("bearing")
    house.do("acting", boom)
    house.do("bearing", boom)
    assert in_safe_mode(house)
    house.tell("acting", Number(1))
    house.world.diary.clear()
    house.revive("acting")
    told = [e.message for e in house.world.diary if e.address == "acting"]
    assert told.index("suspended") < told.index("heard")
    assert is_suspended(house, "acting")


def test_clause_6_a_child_restarted_in_safe_mode_is_suspended_again() -> None:
    house = a_house()
    break_for_good(house, "bearing")
    house.crash("acting")
    house.revive("acting")
    assert is_suspended(house, "acting")


def test_clause_6_a_child_that_becomes_ready_after_safe_mode_is_not_suspended() -> None:
    house = a_house()
    break_for_good(house, "bearing")
    house.advance(1_000.0)
    house.crash("acting")
    house.revive("acting")
    assert not is_suspended(house, "acting")


# -- a boot that waits -------------------------------------------------------------------------


def raises(error: Exception):  # type: ignore[no-untyped-def]  # what on_boot takes
    """A boot that fails in this way."""

    def fail(part: Part) -> None:
        raise error

    return fail


def test_clause_6_a_damaged_store_means_safe_mode_at_once() -> None:
    house = SmallHouse(Kid("bearing"), Kid("acting", SUSPENDED), started=False)
    house.world.on_boot["bearing"] = raises(StoreDamaged("malformed"))
    house.start()
    assert in_safe_mode(house)
    assert house.state("bearing") == "blocked"
    assert "malformed" in house.notice()["safe_mode"]


def test_clause_6_a_load_bearing_boot_blocked_for_a_minute_means_safe_mode() -> None:
    house = SmallHouse(Kid("bearing"), started=False)
    house.world.on_boot["bearing"] = raises(Unavailable("no node"))
    house.start()
    house.advance(55.0)
    assert not in_safe_mode(house)
    house.advance(45.0)
    assert in_safe_mode(house)
    house.world.on_boot.clear()
    house.advance(72.0 + 600.0 + LIVENESS_S)
    assert not in_safe_mode(house)


@pytest.mark.parametrize("kind", [OPTIONAL, SUSPENDED])
@pytest.mark.parametrize("error", [Unavailable("no node"), StoreDamaged("malformed")])
def test_clause_6_no_other_childs_boot_does_that(kind: str, error: Exception) -> None:
    house = SmallHouse(Kid("bearing"), Kid("other", kind), started=False)
    house.world.on_boot["other"] = raises(error)
    house.start()
    house.advance(3_600.0)
    assert house.state("other") == "blocked"
    assert not in_safe_mode(house)
