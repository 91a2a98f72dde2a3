"""What pykka leaves open and the house's actor class does not, one test to each gap."""

from __future__ import annotations

import threading

import pykka
import pytest

from messages.control import Stop
from tests.sim.small_house import Act, Hint, Kid, Number, Part, SmallHouse, boom
from tests.sim.threaded_house import ThreadedHouse


class FailsOnStart(Part):
    """Cannot even begin."""

    def on_start(self) -> None:
        if self.world.on_boot.pop("start", None) is not None:
            raise RuntimeError("not today")


def test_an_exception_in_on_start_is_reported_like_any_other() -> None:
    house = SmallHouse(Kid("a", make=FailsOnStart), started=False)
    house.world.on_boot["start"] = boom
    house.start()
    assert house.state("a") == "backoff"
    house.revive("a")
    assert house.notice()["actors"]["a"]["restarts"] == 1


def test_on_threads_too() -> None:
    with ThreadedHouse(Kid("a", make=FailsOnStart), started=False) as house:
        house.world.on_boot["start"] = boom
        house.start(wait=False)
        house.wait_until(lambda: house.state("a") == "backoff")
        house.revive("a")


def test_nobody_can_ask() -> None:
    house = SmallHouse(Kid("a"))
    parts: list[Part] = []
    house.do("a", parts.append)
    pykka.ActorRegistry.register(parts[0].actor_ref)
    try:
        with pytest.raises(AssertionError, match="post office"):
            parts[0].actor_ref.ask(Number(1), timeout=1.0)
    finally:
        pykka.ActorRegistry.unregister(parts[0].actor_ref)
    house.run()
    assert house.handled("a", "heard") == []


def test_a_handler_that_failed_half_way_leaves_nobody_alive_with_half_a_state() -> None:
    house = SmallHouse(Kid("a"))

    def half(part: Part) -> None:
        part.suspended = "half done"
        boom(part)

    house.do("a", half)
    assert house.state("a") == "backoff"
    house.revive("a")
    assert house.read("a", lambda part: part.suspended) is None


def test_what_is_queued_for_a_dying_actor_does_not_vanish() -> None:
    house = SmallHouse(Kid("a"))
    house.tell("a", Act(boom))
    for number in range(20):
        house.tell("a", Number(number))
    house.run()
    house.revive("a")
    assert house.handled("a", "heard") == list(range(20))


def test_a_system_exit_in_a_handler_leaves_everyone_else_alone() -> None:
    def leave(part: Part) -> None:
        raise SystemExit

    with ThreadedHouse(Kid("a"), Kid("b")) as house:
        house.tell("a", Act(leave))
        house.wait_until(lambda: house.state("a") == "backoff")
        house.tell("b", Number(1))
        house.wait_until(lambda: house.handled("b", "heard") == [1])
        assert house.state("b") == "ready"
        house.revive("a")


def test_stop_does_not_wait_behind_the_backlog() -> None:
    house = SmallHouse(Kid("a"))
    for number in range(20):
        house.tell("a", Number(number))
    house.tell("a", Stop("now"))
    house.run()
    assert house.handled("a", "heard") == []
    assert house.post.box("a").mailbox.depth() == 20


def test_the_inbox_is_bounded() -> None:
    house = SmallHouse(Kid("a", limit=10))
    house.crash("a")
    for number in range(1_000):
        house.tell("a", Hint(number))
    assert house.post.box("a").mailbox.depth() <= 11


def test_telling_the_dead_raises_nothing_in_the_sender() -> None:
    house = SmallHouse(Kid("a"))
    house.crash("a", times=5)
    assert house.state("a") == "failed"
    for address in ("a", "nobody"):
        house.tell(address, Number(1))
    house.run()


def test_threads_are_daemons_and_bear_their_addresses() -> None:
    with ThreadedHouse(Kid("a")) as house:
        found: list[threading.Thread] = []
        house.tell("a", Act(lambda part: found.append(threading.current_thread())))
        house.wait_until(lambda: bool(found))
        assert found[0].daemon
        assert found[0].name.startswith("a ")


def test_pykkas_registry_forgets_those_who_left() -> None:
    before = len(pykka.ActorRegistry.get_all())
    with ThreadedHouse(Kid("a")) as house:
        house.tell("a", Act(boom))
        house.wait_until(lambda: house.state("a") == "backoff")
        house.revive("a")
        assert len(pykka.ActorRegistry.get_all()) == before + 3
    assert len(pykka.ActorRegistry.get_all()) == before
