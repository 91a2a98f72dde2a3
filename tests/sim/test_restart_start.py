"""The restart contract, clauses 1 and 2: what outlives an incarnation, and how one begins."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from actors.base import HouseActor
from cl_revenue_ops.config import default_config
from cl_revenue_ops.ports import StaleGeneration, Unavailable
from cl_revenue_ops.runtime.actor import Context, Parked
from messages.control import Boot, Ready, Suspend
from messages.settings import ConfigChanged
from tests.sim.small_house import (
    GATEWAY,
    OPTIONAL,
    SUPERVISOR,
    SUSPENDED,
    Act,
    Beat,
    Boom,
    Kid,
    Number,
    OtherAct,
    Part,
    SmallHouse,
    View,
    boom,
)


def boots(house: SmallHouse) -> list[str]:
    """Who booted, in order."""
    return [entry.address for entry in house.world.diary if entry.message == "Boot"]


# -- clause 1: identity ------------------------------------------------------------------------


def test_clause_1_the_address_keeps_its_mailbox_over_a_restart() -> None:
    house = SmallHouse(Kid("a"))
    box = house.post.box("a")
    house.crash("a")
    house.tell("a", Number(1))
    house.revive("a")
    assert house.post.box("a") is box
    assert house.handled("a", "heard") == [1]


def test_clause_1_the_stash_of_a_booting_actor_survives_its_crash() -> None:
    house = SmallHouse(Kid("a"), started=False)
    house.world.on_boot["a"] = boom
    for number in range(3):
        house.tell("a", Number(number))
    house.start()
    assert house.state("a") == "backoff"
    house.world.on_boot.clear()
    house.revive("a")
    assert house.handled("a", "heard") == [0, 1, 2]


def test_clause_1_each_incarnation_has_a_higher_generation() -> None:
    house = SmallHouse(Kid("a"))
    seen = [house.read("a", lambda part: part.context.generation)]
    for turn in range(3):
        house.do("a", boom, (Act, OtherAct)[turn % 2])
        house.revive("a")
        seen.append(house.read("a", lambda part: part.context.generation))
    assert seen == sorted(set(seen))
    assert house.notice()["actors"]["a"]["generation"] == seen[-1]


def test_clause_1_state_of_the_dead_is_not_inherited() -> None:
    house = SmallHouse(Kid("a"))
    house.do("a", lambda part: setattr(part, "half_changed", True))
    house.crash("a")
    house.revive("a")
    assert house.read("a", lambda part: hasattr(part, "half_changed")) is False


def test_clause_1_a_fact_reaches_its_readers_through_their_restarts() -> None:
    house = SmallHouse(Kid("a", reads=(Number,)), Kid("b", reads=(Number,)))
    house.crash("a")
    house.post.publish(Number(5))
    house.revive("a")
    assert house.handled("a", "heard") == house.handled("b", "heard") == [5]


# -- clause 2: two-phase start -----------------------------------------------------------------


def test_clause_2_children_boot_one_after_another_in_order() -> None:
    house = SmallHouse(Kid("a"), Kid("b", OPTIONAL), Kid("c", SUSPENDED))
    assert boots(house) == ["a", "b", "c"]
    assert [house.state(x) for x in (GATEWAY, "a", "b", "c")] == ["ready"] * 4


def test_clause_2_ready_lets_the_next_child_boot_and_not_before() -> None:
    house = SmallHouse(Kid("a"), Kid("b"), started=False)
    states: list[str] = []
    house.world.on_boot["a"] = lambda part: states.append(house.state("b"))
    house.start()
    assert states == ["waiting"]
    assert house.state("b") == "ready"


def test_clause_2_a_child_that_crashes_in_its_boot_holds_up_those_after_it() -> None:
    house = SmallHouse(Kid("a"), Kid("b"), started=False)
    house.world.on_boot["a"] = boom
    house.start()
    assert (house.state("a"), house.state("b")) == ("backoff", "waiting")
    house.world.on_boot.clear()
    house.advance(2.0)
    assert (house.state("a"), house.state("b")) == ("ready", "ready")
    assert boots(house) == ["a", "a", "b"]


@pytest.mark.parametrize("fault", [boom, lambda part: (_ for _ in ()).throw(Unavailable("gone"))])
def test_clause_2_an_optional_child_that_fails_holds_up_nobody(fault) -> None:  # type: ignore[no-untyped-def]  # a parameter of pytest
    house = SmallHouse(Kid("a", OPTIONAL), Kid("b"), started=False)
    house.world.on_boot["a"] = fault
    house.start()
    assert house.state("a") in ("backoff", "blocked")
    assert house.state("b") == "ready"


def test_clause_2_a_child_given_up_in_its_boot_lets_the_next_one_boot() -> None:
    house = SmallHouse(Kid("a"), Kid("b"), started=False)
    house.world.on_boot["a"] = boom
    house.start()
    house.advance(30.0)
    assert (house.state("a"), house.state("b")) == ("failed", "ready")


def test_clause_2_nobody_boots_beside_a_boot_that_takes_its_time() -> None:
    house = SmallHouse(Kid("a", OPTIONAL), Kid("b"), Kid("c"), started=False)

    def unavailable(part: Part) -> None:
        raise Unavailable("gone")

    def park(part: Part) -> None:
        raise Parked

    house.world.on_boot.update(a=unavailable, b=park)
    house.start()
    house.world.on_boot.clear()
    # a becomes ready while b still boots.
    house.revive("a")
    assert (house.state("b"), house.state("c")) == ("booting", "waiting")


def test_clause_2_a_boot_that_waits_lets_no_work_in() -> None:
    house = SmallHouse(Kid("a"))
    house.crash("a")

    def unavailable(part: Part) -> None:
        raise Unavailable("gone")

    house.world.on_boot["a"] = unavailable
    house.tell("a", Number(1))
    house.advance(20.0)
    assert house.state("a") == "blocked"
    assert house.handled("a", "heard") == []
    house.world.on_boot.clear()
    house.revive("a")
    assert house.handled("a", "heard") == [1]


def test_clause_2_work_waits_until_ready_and_then_comes_in_order() -> None:
    house = SmallHouse(Kid("a"), started=False)
    house.tell("a", Number(1))
    house.world.on_boot["a"] = lambda part: house.tell("a", Number(2))
    house.start()
    entries = [e.message for e in house.world.diary if e.address == "a"]
    assert entries == ["Boot", "Number", "heard", "Number", "heard"]
    assert house.handled("a", "heard") == [1, 2]


def test_clause_2_nothing_is_handled_before_recovery_not_even_control() -> None:
    house = SmallHouse(Kid("a"))
    # The control message comes while nobody lives at the address.
    house.crash("a")
    house.tell("a", Suspend("left over"))
    house.revive("a")
    second_life = [e.message for e in house.world.diary if e.address == "a" and e.generation > 1]
    assert second_life[:2] == ["Boot", "Suspend"]


def test_clause_2_a_boot_meant_for_an_earlier_incarnation_is_not_carried_out() -> None:
    house = SmallHouse(Kid("a"))
    recovered: list[int] = []
    house.world.on_boot["a"] = lambda part: recovered.append(part.context.generation)
    house.tell("a", Boot(house.generation("a") - 1))
    house.run()
    assert recovered == []


def test_clause_2_a_ready_of_an_earlier_incarnation_opens_nothing() -> None:
    house = SmallHouse(Kid("a"))
    old = house.generation("a")
    house.crash("a")
    house.tell(SUPERVISOR, Ready("a", old))
    house.tell("a", Number(1))
    house.run()
    assert house.state("a") == "backoff"
    assert house.handled("a", "heard") == []
    house.revive("a")
    assert house.handled("a", "heard") == [1]


@pytest.mark.parametrize("fault", [Boom("broken"), SystemExit(1), KeyboardInterrupt()])
def test_clause_2_a_construction_that_fails_after_all_is_a_crash(fault: BaseException) -> None:
    house = SmallHouse(Kid("a"), Kid("b"))

    def fail(part: Part) -> None:
        if part.context.address == "a":
            raise fault

    house.world.birth = fail
    house.crash("a")
    house.advance(3.0)
    assert house.state("a") == "backoff"
    assert house.notice()["safe_mode"] is None
    house.world.birth = lambda part: None
    house.revive("a")
    house.tell("b", Number(1))
    house.run()
    assert house.handled("b", "heard") == [1]


def test_clause_2_the_settings_are_known_before_recovery_and_other_snapshots_before_work() -> None:
    house = SmallHouse(Kid("a", reads=(ConfigChanged, View)))
    versions: list[int] = []
    house.world.on_boot["a"] = lambda part: versions.append(part.config.version)
    values = tuple((k, v) for k, v in asdict(default_config()).items() if k != "version")
    house.post.publish(ConfigChanged(41, values, 0))
    house.post.publish(View(1))
    house.post.publish(View(2))
    house.run()
    house.world.diary.clear()
    house.crash("a")
    house.tell("a", Number(9))
    house.revive("a")
    assert versions == [41]
    told = [(e.message, e.detail) for e in house.world.diary if e.generation > 1]
    assert told == [("Boot", None), ("saw", 2), ("Number", 9), ("heard", 9)]


def test_clause_2_a_timer_of_the_dead_never_fires() -> None:
    house = SmallHouse(Kid("a"))
    house.do("a", lambda part: part.context.after(10.0, Beat(1)))
    house.do("a", lambda part: part.context.after(0.5, Beat(2), key="other"))
    house.crash("a")
    house.advance(60.0)
    assert house.state("a") == "ready"
    assert house.handled("a", "heard") == []


def test_clause_2_a_dead_incarnation_can_neither_arm_nor_cancel_its_successors_timers() -> None:
    house = SmallHouse(Kid("a"))
    old: list[Context] = []
    house.do("a", lambda part: old.append(part.context))
    house.crash("a")
    house.revive("a")
    house.do("a", lambda part: part.context.after(10.0, Beat(1)))
    old[0].after(5.0, Beat(2))
    old[0].cancel("Beat")
    house.advance(60.0)
    assert house.handled("a", "heard") == [1]


def test_clause_2_a_dead_incarnation_cannot_overwrite_its_successors_notice() -> None:
    house = SmallHouse(Kid("a"))
    old: list[HouseActor] = []
    house.do("a", old.append)
    house.crash("a")
    house.revive("a")
    house.do("a", lambda part: part.post_notice("new"))
    old[0].post_notice("old")
    notice = house.board.read("a")
    assert notice is not None
    assert notice.body == "new"


def test_clause_2_what_a_dead_incarnation_still_says_becomes_a_dead_letter() -> None:
    house = SmallHouse(Kid("a"), Kid("b", reads=(View,)))
    old: list[Context] = []
    house.do("a", lambda part: old.append(part.context))
    house.crash("a")
    old[0].tell("b", Act(boom))
    old[0].publish(View(3))
    house.run()
    assert house.state("b") == "ready"
    assert house.letters("stale sender") == [("b", "Act")]
    assert house.handled("b", "saw") == []
    with pytest.raises(StaleGeneration), old[0].lease.effect():
        raise AssertionError("a dead incarnation acted")
