"""The Gateway: each client's call is closed exactly once, over its restarts too."""

from __future__ import annotations

from messages.base import Answer, Command, Refusal
from messages.calls import CallDue, CallOpened
from tests.sim.small_house import (
    GATEWAY,
    OPTIONAL,
    Client,
    Kid,
    Order,
    Part,
    SmallHouse,
    Strange,
    nothing,
)


class Mute(Part):
    """Takes every order and never answers."""

    def answer(self, command: Command, result: object) -> None:
        self.note("kept")


def a_house() -> SmallHouse:
    """One child that answers and one that never does."""
    return SmallHouse(Kid("a"), Kid("mute", make=Mute))


def keep_silent(house: SmallHouse) -> Client:
    """A call that nobody answers, due in thirty seconds."""
    return house.order("mute", nothing, patience_s=30.0)


def crash_gateway(house: SmallHouse) -> None:
    """It has no handler for this, and the house is strict."""
    house.tell(GATEWAY, Strange())
    house.run()
    assert house.state(GATEWAY) == "backoff"


def test_an_answer_closes_the_call_once_and_disarms_its_deadline() -> None:
    house, quiet = a_house(), a_house()
    client = house.order("a", nothing)
    house.run()
    assert client.outcomes == ["done"]
    assert house.advance(3_600.0).timers == quiet.advance(3_600.0).timers
    assert client.outcomes == ["done"]


def test_silence_becomes_a_refusal_at_the_deadline_and_not_before() -> None:
    house = a_house()
    client = keep_silent(house)
    house.run()
    house.advance(29.9)
    assert client.outcomes == []
    house.advance(0.2)
    assert len(client.outcomes) == 1
    assert "no answer in time" in str(client.outcomes[0])


def test_a_second_answer_is_a_dead_letter() -> None:
    house = a_house()
    client = house.order("a", nothing)
    call_id = next(iter(house.calls.deadlines()))
    house.run()
    house.tell(GATEWAY, Answer(call_id, "again"))
    house.tell(GATEWAY, Refusal(call_id, "after all not"))
    house.run()
    assert client.outcomes == ["done"]
    assert house.letters("late") == [(GATEWAY, "Answer"), (GATEWAY, "Refusal")]


def test_an_answer_after_the_deadline_is_a_dead_letter() -> None:
    house = a_house()
    client = keep_silent(house)
    call_id = next(iter(house.calls.deadlines()))
    house.advance(31.0)
    house.tell(GATEWAY, Answer(call_id, "at last"))
    house.run()
    assert len(client.outcomes) == 1
    assert house.letters("late") == [(GATEWAY, "Answer")]


def test_a_deadline_of_a_call_that_is_closed_does_nothing() -> None:
    house = a_house()
    client = house.order("a", nothing)
    call_id = next(iter(house.calls.deadlines()))
    house.run()
    house.tell(GATEWAY, CallDue(call_id))
    house.tell(GATEWAY, CallOpened(call_id, house.clock.monotonic()))
    house.run()
    house.advance(1.0)
    assert client.outcomes == ["done"]
    assert house.state(GATEWAY) == "ready"


def test_a_refusal_says_whether_the_arguments_were_at_fault() -> None:
    house = a_house()

    def refuse(part: Part) -> None:
        message = part.context.lease.activity.message
        assert isinstance(message, Order)
        part.refuse(message, "channel_id: no such channel", invalid=True)

    client = house.order("a", refuse)
    house.run()
    assert client.outcomes == [(-32602, "channel_id: no such channel")]


def test_deadlines_outlive_a_restart_of_the_gateway() -> None:
    house = a_house()
    client = keep_silent(house)
    house.run()
    crash_gateway(house)
    house.revive(GATEWAY)
    house.advance(25.0)
    assert client.outcomes == []
    house.advance(5.0)
    assert len(client.outcomes) == 1


def test_deadlines_that_passed_while_the_gateway_was_down_are_caught_up_with() -> None:
    house = a_house()
    keep_silent(house)
    house.run()
    crash_gateway(house)
    client = house.order("a", nothing, patience_s=0.1)
    house.advance(0.5)
    assert client.outcomes == []
    house.revive(GATEWAY)
    assert len(client.outcomes) == 1


def test_answers_that_came_while_the_gateway_was_down_are_given() -> None:
    house = a_house()
    crash_gateway(house)
    clients = [house.order("a", nothing) for _ in range(3)]
    house.run()
    assert [client.outcomes for client in clients] == [[], [], []]
    house.revive(GATEWAY)
    assert [client.outcomes for client in clients] == [["done"]] * 3
    assert house.calls.deadlines() == {}


def test_calls_opened_while_the_gateway_is_given_up_are_closed_by_its_retry() -> None:
    house = a_house()
    for _ in range(2):
        crash_gateway(house)
        house.revive(GATEWAY)
    house.tell(GATEWAY, Strange())
    house.run()
    assert house.state(GATEWAY) == "failed"
    assert house.notice()["safe_mode"] is not None
    client = house.order("a", nothing)
    house.run()
    assert client.outcomes == []
    house.advance(301.0)
    assert len(client.outcomes) == 1


def test_the_same_call_is_closed_once_whoever_comes_first() -> None:
    house = SmallHouse(Kid("a"), Kid("b", OPTIONAL))
    client = house.order("a", nothing, patience_s=5.0)
    call_id = next(iter(house.calls.deadlines()))
    # The facade gives up on it, on its own thread, before the answer is handled.
    assert house.calls.refuse(call_id, "busy", False)
    house.run()
    house.advance(10.0)
    assert len(client.outcomes) == 1
    assert house.letters("late") == [(GATEWAY, "Answer")]
