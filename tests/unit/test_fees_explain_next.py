"""When a channel is decided on next, and all that stands in the way."""

from __future__ import annotations

from typing import Any

import pytest

from cl_revenue_ops.domain.demand.price import Draw
from cl_revenue_ops.domain.fees import explain
from cl_revenue_ops.domain.fees.book import FeeBook
from cl_revenue_ops.domain.fees.explain_next import Outlook, next_decision
from cl_revenue_ops.domain.fees.facts import (
    ChannelFeeState,
    Conditions,
    Fee,
    FeeParameters,
    Pin,
)
from cl_revenue_ops.ports import StoredDecision
from tests.unit.fees_support import HOUR_S, NOW, known
from tests.unit.shadow_support import CELL, CHANNEL, belief, decided, priced

PEER = "02" + "cd" * 32
OUTLOOK = Outlook(NOW, NOW + 60.0, None, {}, FeeParameters(), 1800, None)


def told(
    state: ChannelFeeState | None,
    *,
    outlook: Outlook = OUTLOOK,
    pin: Pin | None = None,
    draw: Draw | None = None,
    last: tuple[str, ...] = (),
) -> tuple[object, Any]:
    book = FeeBook()
    if state is not None:
        book.states[CHANNEL] = state
    if pin is not None:
        book.pins[CHANNEL] = pin
    if draw is not None:
        book.desk.draws[PEER] = draw
    answer = next_decision(outlook, book, CHANNEL, PEER, last)
    return answer["at"], answer["in_the_way"]


def test_in_good_order_nothing_stands_in_the_way() -> None:
    assert told(known()) == (int(NOW + 60.0), [])


def test_a_suspended_house_decides_nothing() -> None:
    outlook = OUTLOOK._replace(suspended="the disk is full")
    assert told(known(), outlook=outlook) == (None, ["no fees are decided: the disk is full"])


def test_a_closed_gate_is_told_by_every_source() -> None:
    closed = {"paused": "by the operator", "dry run": "nothing is written to the node"}
    _, found = told(known(), outlook=OUTLOOK._replace(closed=closed))
    assert found == [
        "nothing is written: dry run: nothing is written to the node",
        "nothing is written: paused: by the operator",
    ]


def test_a_channel_that_is_gone_is_not_decided_on() -> None:
    assert told(None) == (None, ["the channel is not among the open ones any more"])


@pytest.mark.parametrize(("spent", "free_in_h"), [(3, None), (4, 20.0), (5, 20.0)])
def test_a_spent_budget_tells_when_the_next_update_is_free(
    spent: int, free_in_h: float | None
) -> None:
    """One update an hour, the last an hour ago: the oldest of the newest four has to age out."""
    updates = tuple(NOW - HOUR_S * back for back in range(spent, 0, -1))
    _, found = told(known(updates_s=updates))
    if free_in_h is None:
        assert found == []
    else:
        (line,) = found
        assert line.startswith(f"{spent} updates of the channel")
        assert line.endswith(f"the next is free in {free_in_h} hours")


def test_updates_of_yesterday_are_not_counted() -> None:
    assert told(known(updates_s=(NOW - 90_000.0,) * 6))[1] == []


def test_another_writers_fee_tells_its_hours() -> None:
    state = known(foreign=Fee(777, 0), foreign_since_s=NOW - 6 * HOUR_S)
    assert told(state)[1] == ["another writer's 777 ppm is left alone for 18.0 more hours"]
    over = known(foreign=Fee(777, 0), foreign_since_s=NOW - 25 * HOUR_S)
    assert told(over)[1] == []


def test_a_pin_is_all_that_counts_of_a_channel() -> None:
    state = known(foreign=Fee(777, 0), foreign_since_s=NOW, updates_s=(NOW - 5.0,) * 4)
    pin = Pin(900, None, "by hand", NOW - 50.0)
    draw = Draw(1, 0.0, NOW - HOUR_S, 3, 5.0)
    assert told(state, pin=pin, draw=draw)[1] == ["the fee is pinned at 900 ppm (by hand)"]
    over = Pin(900, None, "static", NOW - 50.0, NOW - 1.0)
    assert "left alone" in told(state, pin=over)[1][0]


@pytest.mark.parametrize(("age_h", "left"), [(2.0, "4.0"), (6.0, None), (-1.0, None)])
def test_a_held_draw_tells_how_long_at_most(age_h: float, left: str | None) -> None:
    _, found = told(known(), draw=Draw(1, 0.0, NOW - age_h * HOUR_S, 3, 5.0))
    wanted = [] if left is None else [f"the draw in force is held for {left} more hours at most"]
    assert found == wanted


def test_what_forbade_the_last_write_is_told_once() -> None:
    decision = decided(priced(belief(CELL)), connected=False)
    assert told(known(), last=("the peer is disconnected",))[1] == [
        "at the last decision the peer is disconnected"
    ]
    book = FeeBook(states={CHANNEL: known()})
    stored = explain.row(decision, by_hand=False)
    report = explain.shown(StoredDecision(1, stored, NOW, 1, None), {}, book, OUTLOOK, whole=False)
    assert report["next"]["in_the_way"] == [  # type: ignore[index]
        "at the last decision the peer is disconnected"
    ]


def test_what_the_gate_says_now_is_not_said_again_of_the_last_decision() -> None:
    decision = decided(
        priced(belief(CELL)), connected=False, conditions=Conditions(True, True, True)
    )
    assert [why.code for why in decision.blockers][:2] == ["safe_mode", "paused"]
    book, row = FeeBook(states={CHANNEL: known()}), explain.row(decision, by_hand=False)
    shown: Any = explain.shown(StoredDecision(1, row, NOW, 1, None), {}, book, OUTLOOK, whole=False)
    assert shown["next"]["in_the_way"] == ["at the last decision the peer is disconnected"]
