"""Timers: they fire in order of due time, then of arming; each replaced or dropped as told."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.runtime.timers import Due, Timers
from messages.base import Tick


@dataclass(frozen=True)
class Beat(Tick):
    """A due timer with a number."""

    number: int


@dataclass(frozen=True)
class OtherBeat(Tick):
    """Of another type."""

    number: int


def drain(timers: Timers, now_s: float) -> list[Due]:
    """All that are due, in the order in which they come."""
    found = []
    while (due := timers.pop_due(now_s)) is not None:
        found.append(due)
    return found


TIMES = st.integers(0, 20).map(float)
ARMINGS = st.lists(
    st.tuples(TIMES, st.sampled_from("ab"), st.integers(1, 3), st.sampled_from((None, "x", "y"))),
    max_size=60,
)
Arming = tuple[float, str, int, "str | None"]


@given(st.lists(TIMES, max_size=50))
def test_they_fire_in_order_of_due_time_then_of_arming(times: list[float]) -> None:
    timers = Timers()
    for number, at_s in enumerate(times):
        timers.arm(at_s, Due("a", 1, Beat(number)), key=str(number))
    fired = [due.message.number for due in drain(timers, 100.0) if isinstance(due.message, Beat)]
    assert fired == sorted(range(len(times)), key=lambda number: (times[number], number))


@given(ARMINGS, TIMES)
def test_each_incarnation_and_key_has_one_timer_and_the_last_arming_counts(
    armings: list[Arming], now_s: float
) -> None:
    timers = Timers()
    live: dict[tuple[str, int, str], tuple[float, int]] = {}
    for number, (at_s, address, generation, key) in enumerate(armings):
        timers.arm(at_s, Due(address, generation, Beat(number)), key)
        live[address, generation, key or "Beat"] = (at_s, number)
    expected = sorted(entry for entry in live.values() if entry[0] <= now_s)
    next_s = min((at_s for at_s, _ in live.values()), default=None)
    assert timers.next_due_s() == next_s
    fired = [due.message.number for due in drain(timers, now_s) if isinstance(due.message, Beat)]
    assert fired == [number for _, number in expected]
    assert timers.next_due_s() == min(
        (at_s for at_s, _ in live.values() if at_s > now_s), default=None
    )


@given(ARMINGS, st.sampled_from("ab"), st.integers(1, 3))
def test_dropping_a_generation_takes_its_timers_and_no_others(
    armings: list[Arming], address: str, generation: int
) -> None:
    timers, twin = Timers(), Timers()
    for number, (at_s, to, of, key) in enumerate(armings):
        timers.arm(at_s, Due(to, of, Beat(number)), key)
        twin.arm(at_s, Due(to, of, Beat(number)), key)
    timers.drop_generation(address, generation)
    others = [d for d in drain(twin, 100.0) if (d.address, d.generation) != (address, generation)]
    assert drain(timers, 100.0) == others


def test_a_cancelled_timer_does_not_fire_and_leaves_the_others_alone() -> None:
    timers = Timers()
    timers.arm(1.0, Due("a", 1, Beat(1)))
    timers.arm(1.0, Due("a", 1, OtherBeat(2)))
    timers.arm(1.0, Due("a", 2, Beat(3)))
    timers.arm(1.0, Due("b", 1, Beat(4)))
    timers.cancel("a", 1, "Beat")
    timers.cancel("a", 1, "never armed")
    fired = [(due.address, due.generation, type(due.message)) for due in drain(timers, 1.0)]
    assert fired == [("a", 1, OtherBeat), ("a", 2, Beat), ("b", 1, Beat)]


def test_a_timer_is_not_due_before_its_time() -> None:
    timers = Timers()
    timers.arm(5.0, Due("a", 1, Beat(1)))
    assert timers.pop_due(4.999) is None
    assert timers.pop_due(5.0) == Due("a", 1, Beat(1))
    assert timers.pop_due(5.0) is None
    assert timers.next_due_s() is None


def test_arming_again_can_bring_a_timer_forward_and_put_it_off() -> None:
    timers = Timers()
    timers.arm(5.0, Due("a", 1, Beat(1)))
    timers.arm(2.0, Due("a", 1, Beat(2)))
    assert timers.next_due_s() == 2.0
    timers.arm(9.0, Due("a", 1, Beat(3)))
    assert drain(timers, 8.0) == []
    assert drain(timers, 9.0) == [Due("a", 1, Beat(3))]


def test_whoever_waits_is_told_of_each_arming() -> None:
    timers = Timers()
    told: list[float | None] = []
    # Called outside the lock: looking is allowed.
    timers.changed = lambda: told.append(timers.next_due_s())
    timers.arm(5.0, Due("a", 1, Beat(1)))
    timers.arm(2.0, Due("a", 2, Beat(1)))
    assert told == [5.0, 2.0]


def test_arming_the_same_timer_for_ever_takes_no_more_and_more_memory() -> None:
    timers = Timers()
    for number in range(10_000):
        timers.arm(1e9 + number, Due("a", 1, Beat(number)))
    assert timers.kept() < 100
    assert timers.next_due_s() == 1e9 + 9_999
