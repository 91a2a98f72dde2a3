"""The stepped runtime: the same seed gives the same trace, in this process and in any other."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cl_revenue_ops.runtime.actor import Parked
from tests.sim.small_house import (
    OPTIONAL,
    SUSPENDED,
    Act,
    Beat,
    Entry,
    Hint,
    Kid,
    Number,
    OtherAct,
    Part,
    SmallHouse,
    View,
    boom,
    nothing,
)

NAMES = ("a", "b", "c", "d", "e", "f")
ROOT = Path(__file__).resolve().parents[2]


def chat(number: int) -> Act:
    """Talk to two others, set a timer, publish, and now and then crash or hang."""

    def talk(part: Part) -> None:
        context = part.context
        mine = NAMES.index(context.address)
        for step in (1, 2 + number % 3):
            context.tell(NAMES[(mine + step) % len(NAMES)], Number(number))
        context.publish(View(number))
        context.publish(Hint(number))
        context.after(1.0 + number % 7, Beat(number))
        if number:
            context.tell(NAMES[(mine + number) % len(NAMES)], chat(number - 1))
        if number % 11 == 5:
            boom(part)
        if number % 29 == 28:
            raise Parked

    return (Act, OtherAct)[number % 2](talk)


def trace(seed: int, start: int = 60) -> list[Entry]:
    """Everything that a house of six chatterers handles in an hour."""
    kinds = (OPTIONAL, OPTIONAL, SUSPENDED)
    house = SmallHouse(
        *[
            Kid(name, kinds[turn % 3], reads=(View, Hint), limit=6)
            for turn, name in enumerate(NAMES)
        ],
        seed=seed,
    )
    for turn, name in enumerate(NAMES):
        house.tell(name, chat(start + turn))
        house.order(name, nothing)
    house.run()
    house.advance(3_600.0)
    return house.world.diary


def digest(seed: int) -> str:
    """The trace in a line."""
    return hashlib.sha256(repr(trace(seed)).encode()).hexdigest()


@pytest.mark.parametrize("seed", range(5))
def test_the_same_seed_gives_the_same_trace(seed: int) -> None:
    first, second = trace(seed), trace(seed)
    assert first == second, f"seed {seed}"
    assert len(first) > 300
    assert max(entry.generation for entry in first) > 1


def test_other_seeds_give_other_traces() -> None:
    assert len({repr(trace(seed)) for seed in range(5)}) == 5


def test_the_seed_decides_whose_turn_it_is() -> None:
    def turns(seed: int) -> str:
        house = SmallHouse(*[Kid(name) for name in NAMES], seed=seed)
        for number in range(3):
            for name in NAMES:
                house.tell(name, Number(number))
        house.run()
        return "".join(entry.address for entry in house.world.diary if entry.message == "heard")

    assert turns(1) == turns(1)
    assert len({turns(seed) for seed in range(5)}) > 1


def test_the_trace_depends_on_no_hash_of_this_process() -> None:
    code = f"from tests.sim.test_restart_determinism import digest; print(digest({3}))"
    found = set()
    for hash_seed in ("0", "1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        run = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(run.stdout.strip())
    assert found == {digest(3)}


def test_time_moves_only_from_timer_to_timer() -> None:
    house = SmallHouse(Kid("a"))
    start_s = house.clock.now()
    for delay_s in (30.5, 10.25, 20.0):
        house.do("a", lambda part, d=delay_s: part.context.after(d, Beat(0), key=str(d)))  # type: ignore[misc]  # bound early
    house.advance(60.0)
    beats = [entry.at_s - start_s for entry in house.world.diary if entry.message == "Beat"]
    assert beats == [10.25, 20.0, 30.5]
    assert house.clock.now() == start_s + 60.0


def test_each_timer_is_handled_to_quiescence_before_the_next() -> None:
    house = SmallHouse(Kid("a"), Kid("b"))

    def arm(part: Part) -> None:
        part.context.after(1.0, Number(1), key="one")
        part.context.after(1.0, Number(2), key="two")

    house.do("a", arm)
    house.do(
        "a", lambda part: part.context.after(1.0, Act(lambda p: p.context.tell("b", Number(3))))
    )
    house.do("b", arm)
    house.advance(1.0)
    order = [
        (entry.address, entry.detail) for entry in house.world.diary if entry.message == "heard"
    ]
    assert order == [("a", 1), ("a", 2), ("b", 3), ("b", 1), ("b", 2)]


def test_an_advance_says_what_it_did() -> None:
    house = SmallHouse(Kid("a"))
    house.do("a", lambda part: part.context.after(3.0, Beat(0)))
    now_s = house.clock.now()
    done = house.nursery.advance(now_s + 4.0)
    assert (done.timers, done.messages) == (1, 1)
    assert done.next_due_s is not None
    assert done.next_due_s > now_s + 4.0


def test_a_storm_of_messages_or_of_timers_is_found_out() -> None:
    house = SmallHouse(Kid("a"))

    def again(part: Part) -> None:
        part.context.tell("a", Act(again))

    house.tell("a", Act(again))
    with pytest.raises(AssertionError, match="never come to rest"):
        house.nursery.run(limit=1_000)

    house = SmallHouse(Kid("a"))

    def at_once(part: Part) -> None:
        part.context.after(0.0, Act(at_once))

    house.do("a", at_once)
    with pytest.raises(AssertionError, match="never pass"):
        house.advance(1.0)
