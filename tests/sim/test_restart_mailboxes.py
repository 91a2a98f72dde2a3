"""The restart contract, clauses 9 and 10: what waits, what is dropped, and where it is counted."""

from __future__ import annotations

from actors.base import handles
from cl_revenue_ops.runtime.actor import Parked
from messages.base import Answer, Refusal
from messages.control import Suspend
from tests.sim.small_house import (
    GATEWAY,
    OPTIONAL,
    Act,
    Beat,
    CatchUp,
    Hint,
    Kid,
    Number,
    Order,
    Part,
    SmallHouse,
    View,
    boom,
    nothing,
)

LIMIT = 4


class Listener(Part):
    """A part that also hears replies."""

    @handles(Answer)
    def _answered(self, message: Answer) -> None:
        self.note("reply", message.call_id)

    @handles(Refusal)
    def _refused(self, message: Refusal) -> None:
        self.note("reply", message.call_id)


def a_full_house() -> SmallHouse:
    """A child that is down, with its mailbox full of hints 0 to 3."""
    house = SmallHouse(Kid("a", reads=(Hint, View), limit=LIMIT, make=Listener))
    house.crash("a")
    for number in range(LIMIT):
        house.post.publish(Hint(number))
    return house


def test_clause_9_control_overtakes_work() -> None:
    house = SmallHouse(Kid("a"), seed=3)
    house.tell("a", Number(1))
    house.tell("a", Number(2))
    house.tell("a", Suspend("wait"))
    house.run()
    told = [e.message for e in house.world.diary if e.address == "a"]
    assert told == ["Boot", "Suspend", "Number", "heard", "Number", "heard"]


def test_clause_9_ticks_coalesce_to_the_newest() -> None:
    house = SmallHouse(Kid("a"))
    for message in (Beat(1), Number(1), Beat(2), Beat(3)):
        house.tell("a", message)
    house.run()
    assert house.handled("a", "heard") == [3, 1]
    house.tell("a", Beat(4))
    house.run()
    assert house.handled("a", "heard") == [3, 1, 4]


def test_clause_9_snapshots_coalesce_to_the_newest_version() -> None:
    house = SmallHouse(Kid("a", reads=(View,)))
    house.crash("a")
    for version in range(1, 6):
        house.post.publish(View(version))
    house.revive("a")
    # Once from what is kept for those who boot, once from the mailbox: never an older one.
    assert house.handled("a", "saw") == [5, 5]


def test_clause_9_a_dropped_hint_posts_its_catch_up_at_once() -> None:
    house = a_full_house()
    house.post.publish(Hint(99))
    house.post.publish(Hint(100))
    house.revive("a")
    assert house.handled("a", "Hint") == [0, 1, 2, 3]
    assert len(house.handled("a", "CatchUp")) == 1
    assert house.post.box("a").dropped == 2
    assert house.letters("full") == [("a", "Hint"), ("a", "Hint")]


def test_clause_9_a_command_to_a_full_mailbox_is_refused_at_once() -> None:
    house = a_full_house()
    client = house.order("a", nothing)
    house.run()
    assert house.state("a") == "backoff"
    assert len(client.outcomes) == 1
    assert "busy" in str(client.outcomes[0])


def test_clause_9_replies_control_ticks_and_snapshots_are_never_dropped() -> None:
    house = a_full_house()
    grants = [Answer("1", None), Refusal("2", "no")]
    for message in (*grants, Beat(7), Suspend("wait"), Number(8)):
        house.tell("a", message)
    house.post.publish(View(1))
    assert house.letters("full") == []
    house.revive("a")
    assert house.handled("a", "reply") == ["1", "2"]
    assert house.handled("a", "heard") == [0, 1, 2, 3, 7, 8]
    assert house.handled("a", "saw") == [1, 1]
    assert house.read("a", lambda part: part.suspended) == "wait"


def test_clause_9_room_is_found_again_after_the_flood() -> None:
    house = a_full_house()
    house.post.publish(Hint(99))
    house.revive("a")
    house.post.publish(Hint(5))
    client = house.order("a", nothing)
    house.run()
    assert house.handled("a", "Hint")[-1] == 5
    assert client.outcomes == ["done"]


def test_clause_9_a_flood_at_one_address_is_no_concern_of_another() -> None:
    house = SmallHouse(Kid("a", reads=(Hint,), limit=2), Kid("b", reads=(Hint,)))

    def park(part: Part) -> None:
        raise Parked

    house.do("a", park)
    for number in range(10):
        house.post.publish(Hint(number))
    house.run()
    assert house.handled("b", "heard") == list(range(10))
    assert house.post.box("a").mailbox.depth() == 3
    assert house.post.box("b").dropped == 0


def test_clause_10_dead_letters_are_counted_by_reason_and_the_newest_are_kept() -> None:
    house = SmallHouse(Kid("a", OPTIONAL, limit=LIMIT))
    house.do("a", boom)
    for number in range(100):
        house.tell("a", Hint(number))
    house.tell("nobody", Act(boom))
    counts = house.post.dead_letters.counts()
    assert counts == {"poison": 1, "full": 96, "no such address": 1}
    newest = house.post.dead_letters.newest(3)
    assert [(n.address, n.message) for n in newest] == [
        ("nobody", "Act"),
        ("a", "Hint"),
        ("a", "Hint"),
    ]
    assert newest[0].at_s == house.clock.now()
    assert len(house.post.dead_letters.newest(1_000)) == 50


# -- commands ----------------------------------------------------------------------------------


def test_a_command_found_expired_is_not_carried_out() -> None:
    house = SmallHouse(Kid("a"))
    done: list[int] = []
    house.crash("a")
    client = house.order("a", lambda part: done.append(1), patience_s=0.5)
    house.revive("a")
    assert done == []
    assert house.letters("expired") == [("a", "Order")]
    assert len(client.outcomes) == 1
    assert "no answer in time" in str(client.outcomes[0])


def test_a_command_is_still_carried_out_at_its_very_deadline() -> None:
    house = SmallHouse(Kid("a"))
    house.tell("a", Order("x", GATEWAY, house.clock.monotonic(), lambda part: part.note("did")))
    house.run()
    assert house.handled("a", "did") == [None]


def test_a_command_to_an_unknown_address_is_refused_at_once() -> None:
    house = SmallHouse(Kid("a"))
    client = house.order("nobody", nothing)
    house.run()
    assert len(client.outcomes) == 1
    assert "not running" in str(client.outcomes[0])


def test_a_command_waits_for_a_booting_actor_and_is_answered_after_ready() -> None:
    house = SmallHouse(Kid("a"), started=False)
    client = house.order("a", nothing)
    house.run()
    assert client.outcomes == []
    house.start()
    assert client.outcomes == ["done"]


def test_a_command_that_waits_outlives_several_restarts_of_its_owner() -> None:
    house = SmallHouse(Kid("a"))
    house.crash("a")
    house.world.on_boot["a"] = boom
    client = house.order("a", nothing)
    house.advance(2.0)
    assert house.state("a") == "backoff"
    house.world.on_boot.clear()
    house.revive("a")
    assert client.outcomes == ["done"]


def test_a_refusal_that_nobody_waits_for_does_not_travel_for_ever() -> None:
    house = SmallHouse(Kid("a"))
    house.tell("nobody", Order("x", "nobody either", house.clock.monotonic(), nothing))
    house.run()
    assert house.letters("no such address") == [("nobody", "Order"), ("nobody either", "Refusal")]


def test_a_reply_to_an_actor_that_was_given_up_is_a_dead_letter() -> None:
    house = SmallHouse(Kid("a", OPTIONAL), Kid("b"))
    house.crash("a", times=5)
    house.tell("b", Order("x", "a", house.clock.monotonic(), nothing))
    house.run()
    assert house.letters("failed") == [("a", "Answer")]


def test_a_catch_up_of_its_own_timer_coalesces_with_the_one_of_a_drop() -> None:
    house = a_full_house()
    house.tell("a", CatchUp(1))
    house.post.publish(Hint(99))
    house.revive("a")
    assert len(house.handled("a", "CatchUp")) == 1
