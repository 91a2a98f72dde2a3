"""The mailbox: two lanes, bounds and coalescing, as laws over any sequence of messages."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.runtime.mailbox import COALESCED, FULL, QUEUED, Inlet, Mailbox, ThreadMailbox
from messages.base import (
    Command,
    Control,
    Fact,
    LossyFact,
    Message,
    Refusal,
    Reply,
    Snapshot,
    Tick,
)

PATIENCE_S = 60.0


@dataclass(frozen=True)
class Order(Control):
    """Life and death."""

    number: int


@dataclass(frozen=True)
class News(Fact):
    """Never dropped."""

    number: int


@dataclass(frozen=True)
class Rumour(LossyFact):
    """May be dropped."""

    number: int


@dataclass(frozen=True)
class State(Snapshot):
    """Coalesces."""

    number: int


@dataclass(frozen=True)
class OtherState(Snapshot):
    """Coalesces with its own kind only."""

    number: int


@dataclass(frozen=True)
class Beat(Tick):
    """Coalesces."""

    number: int


@dataclass(frozen=True)
class Request(Command):
    """Refused when full."""

    number: int


def make(kind: type[Any], number: int) -> Message:
    """One message of that kind."""
    message: Message
    if kind is Request:
        message = Request(str(number), "caller", 0.0, number)
    elif kind is Refusal:
        message = Refusal(str(number), "no")
    else:
        message = kind(number)
    return message


KINDS = (Order, News, Rumour, State, OtherState, Beat, Request, Refusal)
BOXES = st.sampled_from((Mailbox, ThreadMailbox))
# What happens to a mailbox: a message comes, one is taken, the lane opens or closes.
STEPS = st.lists(
    st.one_of(
        st.sampled_from(KINDS), st.just("take"), st.just("take"), st.just("open"), st.just("close")
    ),
    max_size=80,
)


def play(box: Mailbox, steps: list[Any]) -> tuple[list[Message], list[Message], list[Message]]:
    """(taken in, refused, given out) of these steps; at the end all that waits is given out."""
    accepted: list[Message] = []
    full: list[Message] = []
    out: list[Message] = []
    for number, step in enumerate([*steps, "open", *["take"] * (len(steps) + box.depth() + 1)]):
        if step == "take":
            deliverable = box.deliverable()
            envelope = box.take()
            assert deliverable == (envelope is not None)
            if envelope is not None:
                out.append(envelope.message)
        elif step in ("open", "close"):
            box.set_open(step == "open")
        else:
            message = make(step, number)
            verdict = box.offer(message)
            assert verdict in (QUEUED, COALESCED, FULL)
            (full if verdict is FULL else accepted).append(message)
    assert box.depth() == 0
    return accepted, full, out


@given(BOXES, st.integers(0, 5), STEPS)
def test_what_was_taken_in_comes_out_once_and_whole(
    kind: type[Mailbox], limit: int, steps: list[Any]
) -> None:
    accepted, _, out = play(kind(limit), steps)
    for message in accepted:
        if not isinstance(message, (Tick, Snapshot)):
            assert out.count(message) == 1
    assert all(message in accepted for message in out)
    assert len(set(map(repr, out))) == len(out)


@given(BOXES, st.integers(0, 5), STEPS)
def test_each_lane_keeps_its_order(kind: type[Mailbox], limit: int, steps: list[Any]) -> None:
    accepted, _, out = play(kind(limit), steps)

    def lane(messages: list[Message], control: bool) -> list[Message]:
        return [
            message
            for message in messages
            if isinstance(message, Control) == control and not isinstance(message, (Tick, Snapshot))
        ]

    for control in (True, False):
        assert lane(out, control) == lane(accepted, control)


@given(BOXES, st.integers(0, 5), STEPS)
def test_only_lossy_facts_and_commands_are_ever_turned_away(
    kind: type[Mailbox], limit: int, steps: list[Any]
) -> None:
    _, full, _ = play(kind(limit), steps)
    assert all(isinstance(message, (LossyFact, Command)) for message in full)


@given(BOXES, st.lists(st.sampled_from((State, OtherState, Beat, News)), max_size=40))
def test_ticks_and_snapshots_wait_once_and_as_the_newest(
    kind: type[Mailbox], kinds: list[type[Any]]
) -> None:
    box = kind()
    newest: dict[type[Any], int] = {}
    for number, message_kind in enumerate(kinds):
        verdict = box.offer(make(message_kind, number))
        seen = message_kind in newest and message_kind is not News
        assert verdict == (COALESCED if seen else QUEUED)
        newest[message_kind] = number
    box.set_open(True)
    out = [box.take() for _ in range(box.depth())]
    for message_kind in (State, OtherState, Beat):
        found = [e.message.number for e in out if e is not None and type(e.message) is message_kind]
        assert found == ([newest[message_kind]] if message_kind in newest else [])


@given(BOXES, st.integers(0, 6), st.lists(st.sampled_from((Rumour, Request)), max_size=20))
def test_the_work_lane_holds_its_limit_of_what_may_be_dropped(
    kind: type[Mailbox], limit: int, kinds: list[type[Any]]
) -> None:
    box = kind(limit)
    verdicts = [box.offer(make(k, number)) for number, k in enumerate(kinds)]
    expected = [QUEUED] * min(limit, len(kinds)) + [FULL] * max(0, len(kinds) - limit)
    assert verdicts == expected


@pytest.mark.parametrize("kind", [Mailbox, ThreadMailbox])
def test_control_passes_a_closed_lane_and_overtakes_an_open_one(kind: type[Mailbox]) -> None:
    box = kind()
    for message in (News(1), Order(2), News(3), Order(4)):
        box.offer(message)
    assert [box.take(), box.take()] != [None, None]
    assert not box.deliverable()
    assert box.take() is None
    box.offer(Order(5))
    box.set_open(True)
    taken = [box.take() for _ in range(3)]
    assert [e.message for e in taken if e is not None] == [Order(5), News(1), News(3)]


@pytest.mark.parametrize("kind", [Mailbox, ThreadMailbox])
def test_a_message_offered_first_overtakes_control_too(kind: type[Mailbox]) -> None:
    box = kind()
    box.offer(Order(1))
    box.offer_first(Order(2))
    taken = [box.take(), box.take()]
    assert [e.message for e in taken if e is not None] == [Order(2), Order(1)]


@pytest.mark.parametrize("kind", [Mailbox, ThreadMailbox])
def test_a_coalesced_message_keeps_the_place_of_the_one_it_replaced(kind: type[Mailbox]) -> None:
    box = kind()
    box.set_open(True)
    for message in (State(1), News(2), State(3)):
        box.offer(message)
    first = box.take()
    assert first is not None
    assert first.message == State(3)
    # Once taken, the next one of its kind waits for itself.
    assert box.offer(State(4)) == QUEUED


@given(BOXES, STEPS)
def test_withdrawing_takes_the_commands_and_nothing_else(
    kind: type[Mailbox], steps: list[Any]
) -> None:
    box, twin = kind(), kind()
    for number, step in enumerate(steps):
        if step not in ("take", "open", "close"):
            box.offer(make(step, number))
            twin.offer(make(step, number))
    withdrawn = box.withdraw_commands()
    _, _, rest = play(box, [])
    _, _, whole = play(twin, [])
    assert withdrawn == [message for message in whole if isinstance(message, Command)]
    assert rest == [message for message in whole if not isinstance(message, Command)]


# -- shared by threads -------------------------------------------------------------------------


def test_a_waiting_reader_gets_what_is_put() -> None:
    box = ThreadMailbox()
    got: list[Message] = []

    def read() -> None:
        for _ in range(3):
            envelope = box.take_blocking(lambda: False)
            assert envelope is not None
            got.append(envelope.message)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    box.offer(Order(1))
    box.offer(News(2))
    box.set_open(True)
    box.offer_first(Order(3))
    reader.join(PATIENCE_S)
    assert not reader.is_alive()
    assert set(got) == {Order(1), News(2), Order(3)}


def test_a_replaced_reader_leaves_and_takes_nothing_with_it() -> None:
    box = ThreadMailbox()
    stale = threading.Event()
    got: list[object] = []
    reader = threading.Thread(
        target=lambda: got.append(box.take_blocking(stale.is_set)), daemon=True
    )
    reader.start()
    stale.set()
    box.interrupt()
    reader.join(PATIENCE_S)
    assert got == [None]
    box.offer(Order(1))
    assert box.take_blocking(stale.is_set) is None
    assert box.depth() == 1


@pytest.mark.parametrize("kind", [Mailbox, ThreadMailbox])
def test_the_inlet_hands_out_messages_and_drains_nothing(kind: type[Mailbox]) -> None:
    box = kind()
    inlet = Inlet(box, lambda: False)
    box.offer(Order(1))
    assert inlet.empty()
    assert inlet.get().message == Order(1)


def test_the_inlet_tells_a_replaced_incarnation_to_leave() -> None:
    box = ThreadMailbox()
    box.offer(Order(1))
    envelope = Inlet(box, lambda: True).get()
    assert not isinstance(envelope.message, Message)
    assert box.depth() == 1


def test_replies_are_a_kind_of_their_own() -> None:
    assert issubclass(Refusal, Reply)
    box = Mailbox(limit=0)
    assert box.offer(Refusal("1", "no")) == QUEUED
