"""The restart contract, clauses 3, 4 and 5: what a failure costs, and when it is enough."""

from __future__ import annotations

from itertools import pairwise

import pytest

from cl_revenue_ops.ports import Unavailable
from cl_revenue_ops.runtime.restart import LIVENESS_S
from messages.control import Suspend
from tests.sim.small_house import (
    OPTIONAL,
    START_S,
    Act,
    Kid,
    Number,
    OtherAct,
    Part,
    SmallHouse,
    Strange,
    StrangeOrder,
    boom,
    nothing,
)


def unavailable(part: Part) -> None:
    """Find the node or the disk away."""
    raise Unavailable("the node does not answer")


def die_silently(part: Part) -> None:
    """Be gone without a word, as a thread that the system ends."""
    part.actor_stopped.set()


def boot_times(house: SmallHouse, address: str) -> list[float]:
    """When each incarnation was told to boot, since the start."""
    return [
        entry.at_s - START_S
        for entry in house.world.diary
        if entry.address == address and entry.message == "Boot"
    ]


def is_delay(delay_s: float, base_s: float) -> bool:
    """Whether this is a backoff of that base, with its spread."""
    return base_s <= delay_s <= 1.2 * base_s + 1e-6


# -- clause 3: poison and the rest -------------------------------------------------------------


def test_clause_3_poison_becomes_a_dead_letter_and_the_rest_is_kept() -> None:
    house = SmallHouse(Kid("a"))
    for message in (Number(1), Act(boom), Number(2), Number(3)):
        house.tell("a", message)
    house.run()
    assert house.handled("a", "heard") == [1]
    assert house.letters("poison") == [("a", "Act")]
    house.revive("a")
    assert house.handled("a", "heard") == [1, 2, 3]
    assert len(house.handled("a", "Act")) == 1


@pytest.mark.parametrize("fault", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_clause_3_no_exception_of_a_handler_reaches_another_actor(fault: BaseException) -> None:
    house = SmallHouse(Kid("a"), Kid("b"))

    def fail(part: Part) -> None:
        raise fault

    house.do("a", fail)
    assert (house.state("a"), house.state("b")) == ("backoff", "ready")
    house.tell("b", Number(1))
    house.revive("a")
    house.tell("a", Number(2))
    house.run()
    assert (house.handled("a", "heard"), house.handled("b", "heard")) == ([2], [1])


def test_clause_3_a_crash_is_told_to_the_log_with_its_place() -> None:
    house = SmallHouse(Kid("a"))
    house.crash("a")
    assert any("Act" in text and "boom" in text and "a (gen" in text for text in house.log.texts)


def test_clause_3_a_poison_command_answers_its_caller() -> None:
    house = SmallHouse(Kid("a"))
    client = house.order("a", boom)
    house.run()
    assert len(client.outcomes) == 1
    outcome = client.outcomes[0]
    assert isinstance(outcome, dict)
    assert outcome["success"] is False
    assert "a failed: Boom: as told" in str(outcome["error"])


def test_clause_3_an_answer_before_the_crash_stands() -> None:
    house = SmallHouse(Kid("a"))
    said: list[str] = []

    def answer_then_fail(part: Part) -> None:
        message = part.context.lease.activity.message
        assert message is not None
        said.append(type(message).__name__)
        part.answer(message, "first")  # type: ignore[arg-type]  # it is the Order in hand
        boom(part)

    client = house.order("a", answer_then_fail)
    house.run()
    assert said == ["Order"]
    assert client.outcomes == ["first"]
    assert house.letters("late") == [("gateway", "Refusal")]


def test_clause_3_an_unhandled_message_is_a_crash_when_strict() -> None:
    house = SmallHouse(Kid("a"), strict=True)
    house.tell("a", Strange())
    house.run()
    assert house.state("a") == "backoff"
    assert house.letters("poison") == [("a", "Strange")]


def test_clause_3_an_unhandled_message_is_a_dead_letter_in_production() -> None:
    house = SmallHouse(Kid("a"), strict=False)
    house.tell("a", Strange())
    client = house.order("a", nothing, kind=StrangeOrder)
    house.run()
    assert house.state("a") == "ready"
    assert house.letters("unhandled") == [("a", "Strange"), ("a", "StrangeOrder")]
    assert len(client.outcomes) == 1
    assert "does not serve" in str(client.outcomes[0])


def test_clause_3_a_child_found_dead_without_a_report_counts_as_a_crash() -> None:
    house = SmallHouse(Kid("a"))
    house.do("a", die_silently)
    house.tell("a", Number(1))
    house.run()
    assert house.state("a") == "ready"
    house.advance(LIVENESS_S)
    assert house.state("a") == "backoff"
    assert "found dead" in house.notice()["actors"]["a"]["reason"]
    house.revive("a")
    assert house.handled("a", "heard") == [1]
    assert house.notice()["actors"]["a"]["restarts"] == 1


def test_clause_3_one_crash_is_counted_once_even_when_it_is_reported_twice() -> None:
    house = SmallHouse(Kid("a"))

    def crash_twice(part: Part) -> None:
        part.context.report(part.context, None, RuntimeError("said before"))
        boom(part)

    house.do("a", crash_twice)
    house.revive("a")
    assert house.notice()["actors"]["a"]["restarts"] == 1
    assert house.generation("a") == 2


def test_clause_3_a_deadly_control_message_is_not_delivered_again() -> None:
    class Touchy(Part):
        def _suspend(self, message: Suspend) -> None:
            raise RuntimeError("not me")

    Touchy._handlers = {**Touchy._handlers, Suspend: Touchy._suspend}
    house = SmallHouse(Kid("a", make=Touchy))
    house.tell("a", Suspend("now"))
    house.run()
    house.revive("a")
    assert house.letters("poison") == [("a", "Suspend")]
    assert house.notice()["actors"]["a"]["restarts"] == 1


# -- clause 4: delays --------------------------------------------------------------------------


def test_clause_4_the_delay_doubles_with_each_failure() -> None:
    house = SmallHouse(Kid("a"))
    crashed: list[float] = []
    for turn in range(4):
        crashed.append(house.clock.now() - START_S)
        house.do("a", boom, (Act, OtherAct)[turn % 2])
        house.revive("a")
    delays = [boot - crash for boot, crash in zip(boot_times(house, "a")[1:], crashed, strict=True)]
    assert all(is_delay(delay_s, 2.0**k) for k, delay_s in enumerate(delays)), delays


def test_clause_4_the_delay_grows_to_a_minute_and_no_further() -> None:
    house = SmallHouse(Kid("a", OPTIONAL), started=False)
    house.world.on_boot["a"] = unavailable
    house.start()
    house.advance(600.0)
    times = boot_times(house, "a")
    delays = [later - earlier for earlier, later in pairwise(times)]
    assert all(is_delay(d, min(60.0, 2.0**k)) for k, d in enumerate(delays)), delays
    assert len(delays) > 8


def test_clause_4_half_a_minute_of_quiet_forgives() -> None:
    house = SmallHouse(Kid("a"))
    house.crash("a", times=3)
    house.revive("a")
    house.advance(31.0)
    crashed_s = house.clock.now() - START_S
    house.do("a", boom, OtherAct)
    house.revive("a")
    assert is_delay(boot_times(house, "a")[-1] - crashed_s, 1.0)


def test_clause_4_time_spent_waiting_for_the_restart_is_not_quiet() -> None:
    house = SmallHouse(Kid("a"))
    crashed: list[float] = []
    for turn in range(4):
        crashed.append(house.clock.now() - START_S)
        house.do("a", boom, (Act, OtherAct)[turn % 2])
        house.revive("a")
        house.advance(28.0)
    delays = [boot - crash for boot, crash in zip(boot_times(house, "a")[1:], crashed, strict=True)]
    assert all(is_delay(delay_s, 2.0**k) for k, delay_s in enumerate(delays)), delays


def test_clause_4_the_spread_differs_between_seeds_and_not_between_runs() -> None:
    def restart_s(seed: int) -> float:
        house = SmallHouse(Kid("a"), seed=seed)
        house.crash("a")
        house.revive("a")
        return boot_times(house, "a")[1]

    assert restart_s(1) == restart_s(1)
    assert len({restart_s(seed) for seed in range(5)}) > 1


# -- clause 5: intensity -----------------------------------------------------------------------


def test_clause_5_five_crashes_in_five_minutes_are_enough() -> None:
    house = SmallHouse(Kid("a", OPTIONAL))
    house.crash("a", times=4)
    house.revive("a")
    assert house.notice()["degraded"] == []
    house.do("a", boom)
    assert house.state("a") == "failed"
    assert house.notice()["degraded"] == ["a"]
    house.advance(290.0)
    assert house.state("a") == "failed"


def test_clause_5_the_window_slides() -> None:
    house = SmallHouse(Kid("a", OPTIONAL))
    for turn in range(12):
        house.do("a", boom, (Act, OtherAct)[turn % 2])
        house.revive("a")
        # Five crashes then span more than 300 s, four do not.
        house.advance(76.0)
    assert house.state("a") == "ready"
    assert house.notice()["actors"]["a"]["restarts"] == 12


def test_clause_5_the_house_bears_fourteen_crashes_in_ten_minutes_but_not_fifteen() -> None:
    kids = [Kid(name, OPTIONAL) for name in "abcd"]
    house = SmallHouse(*kids)
    for name in "abc":
        house.crash(name, times=4)
        house.revive(name)
    house.crash("d", times=2)
    house.revive("d")
    assert house.notice()["safe_mode"] is None
    house.do("d", boom)
    assert "15 crashes in the house" in house.notice()["safe_mode"]
    assert house.gate.closed_because() is not None


def test_clause_5_crashes_of_the_house_are_forgotten_after_ten_minutes() -> None:
    house = SmallHouse(*[Kid(name, OPTIONAL) for name in "abcd"])
    for name in "abc":
        house.crash(name, times=4)
        house.revive(name)
    house.advance(600.0)
    house.crash("d", times=4)
    house.revive("d")
    assert house.notice()["safe_mode"] is None


def test_clause_5_a_blocked_boot_waits_and_is_no_crash() -> None:
    house = SmallHouse(Kid("a", OPTIONAL), started=False)
    house.world.on_boot["a"] = unavailable
    house.start()
    client = house.order("a", nothing, patience_s=7_200.0)
    house.advance(3_600.0)
    assert house.state("a") == "blocked"
    assert len(boot_times(house, "a")) > 50
    assert "does not answer" in house.notice()["actors"]["a"]["reason"]
    house.world.on_boot.clear()
    house.revive("a")
    assert house.notice()["actors"]["a"]["restarts"] == 0
    assert house.post.dead_letters.counts() == {}
    assert client.outcomes == ["done"]


def test_clause_5_having_waited_for_the_world_lengthens_no_later_restart() -> None:
    house = SmallHouse(Kid("a", OPTIONAL), started=False)
    house.world.on_boot["a"] = unavailable
    house.start()
    house.advance(600.0)
    house.world.on_boot.clear()
    house.revive("a")
    crashed_s = house.clock.now() - START_S
    house.crash("a")
    house.revive("a")
    assert is_delay(boot_times(house, "a")[-1] - crashed_s, 1.0)


def test_clause_5_the_same_poison_three_times_running_is_enough_however_far_apart() -> None:
    house = SmallHouse(Kid("a", OPTIONAL))
    for _ in range(2):
        house.do("a", boom)
        house.revive("a")
        house.advance(30 * 86_400.0)
    house.do("a", boom)
    assert house.state("a") == "failed"
    assert "Act killed it 3 times running" in house.notice()["actors"]["a"]["reason"]


def test_clause_5_another_poison_in_between_begins_the_run_anew() -> None:
    house = SmallHouse(Kid("a", OPTIONAL))
    for kind in (Act, Act, OtherAct, Act, Act):
        house.do("a", boom, kind)
        house.revive("a")
        house.advance(3_600.0)
    assert house.state("a") == "ready"


def test_clause_5_a_death_without_a_message_is_nobodys_poison() -> None:
    house = SmallHouse(Kid("a", OPTIONAL))
    for _ in range(4):
        house.do("a", die_silently)
        house.advance(3_600.0)
    assert house.state("a") == "ready"
    assert house.notice()["actors"]["a"]["restarts"] == 4
