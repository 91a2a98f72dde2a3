"""The restart contract on real threads: what only threads can get wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from cl_revenue_ops.ports import StaleGeneration
from cl_revenue_ops.runtime.restart import LIVENESS_S
from tests.sim.small_house import (
    GATEWAY,
    OPTIONAL,
    START_S,
    Act,
    Beat,
    Hint,
    Kid,
    Number,
    Order,
    OtherAct,
    Part,
    boom,
    nothing,
)
from tests.sim.threaded_house import PATIENCE_S, ThreadedHouse

DEADLINE_S = 20.0


class Stuck:
    """A handler that waits until the test lets it go on, and what it met then."""

    def __init__(self, then: Callable[[Part], object] = lambda part: None) -> None:
        self._then = then
        self.there = threading.Event()
        self.go_on = threading.Event()
        self.met: list[BaseException | None] = []
        self.ended = threading.Event()

    def __call__(self, part: Part) -> None:
        self.there.set()
        assert self.go_on.wait(PATIENCE_S)
        try:
            self._then(part)
            self.met.append(None)
        except BaseException as error:
            self.met.append(error)
            raise
        finally:
            self.ended.set()

    def wait(self) -> None:
        """Until the handler is stuck."""
        assert self.there.wait(PATIENCE_S)

    def release(self) -> None:
        """Let it go on, and wait until it has."""
        self.go_on.set()
        assert self.ended.wait(PATIENCE_S)


def a_house(*kids: Kid) -> ThreadedHouse:
    """Handlers here have twenty seconds."""
    return ThreadedHouse(*(kids or (Kid("a"),)), handler_deadline_s=lambda: DEADLINE_S)


def replace_hung(house: ThreadedHouse, address: str) -> None:
    """Let so much time pass that a stuck handler is found and its successor is ready."""
    generation = house.generation(address)
    house.wait_until(lambda: house.generation(address) > generation, passing_s=1.0)
    house.wait_until(lambda: house.state(address) != "ready")
    house.revive(address)


def test_clause_3_an_actor_is_restarted_after_a_crash_and_takes_what_waited() -> None:
    with a_house() as house:
        stuck = Stuck(boom)
        house.tell("a", Act(stuck))
        stuck.wait()
        for number in range(50):
            house.tell("a", Number(number))
        stuck.release()
        house.wait_until(lambda: house.state("a") == "backoff")
        assert house.handled("a", "heard") == []
        house.revive("a")
        house.wait_until(lambda: len(house.handled("a", "heard")) == 50)
        assert house.handled("a", "heard") == list(range(50))


@pytest.mark.parametrize("fault", [SystemExit(2), KeyboardInterrupt()])
def test_clause_3_base_exceptions_stop_nobody_else(fault: BaseException) -> None:
    def fail(part: Part) -> None:
        raise fault

    with a_house(Kid("a"), Kid("b")) as house:
        house.tell("a", Act(fail))
        house.wait_until(lambda: house.state("a") == "backoff")
        house.tell("b", Number(1))
        house.wait_until(lambda: house.handled("b", "heard") == [1])
        house.revive("a")


def test_clause_3_a_thread_that_ended_without_a_word_is_found() -> None:
    with a_house() as house:
        house.tell("a", Act(lambda part: part.actor_stopped.set()))
        house.wait_until(lambda: house.state("a") != "ready", passing_s=LIVENESS_S)
        house.revive("a")
        assert house.notice()["actors"]["a"]["restarts"] == 1


def test_clause_7_a_hung_handler_is_replaced_and_its_late_effect_refused() -> None:
    written: list[str] = []

    def write(part: Part) -> None:
        with part.context.lease.effect():
            written.append(f"generation {part.context.generation}")

    with a_house() as house:
        stuck = Stuck(write)
        house.tell("a", Act(stuck))
        stuck.wait()
        house.tell("a", Act(write))
        replace_hung(house, "a")
        house.wait_until(lambda: written == ["generation 2"])
        stuck.release()
        assert isinstance(stuck.met[0], StaleGeneration)
        assert written == ["generation 2"]
        house.wait_until(lambda: house.letters("stale") != [])
        assert house.state("a") == "ready"
        assert house.notice()["actors"]["a"]["restarts"] == 1


def test_clause_7_what_a_hung_handler_does_at_last_disturbs_nobody() -> None:
    with a_house() as house:
        stuck = Stuck(boom)
        house.tell("a", Act(stuck))
        stuck.wait()
        house.tell("a", Number(1))
        replace_hung(house, "a")
        stuck.release()
        house.tell("a", Number(2))
        house.wait_until(lambda: house.handled("a", "heard") == [1, 2])
        house.advance(LIVENESS_S)
        assert {e.generation for e in house.world.diary if e.message == "heard"} == {2}
        assert house.state("a") == "ready"
        assert house.generation("a") == 2


def test_clause_7_a_hang_within_an_effect_does_not_hold_up_the_successor() -> None:
    written: list[int] = []

    def write(part: Part) -> None:
        with part.context.lease.effect():
            written.append(part.context.generation)

    inner = Stuck()

    def hang_in_effect(part: Part) -> None:
        with part.context.lease.effect():
            inner(part)

    with a_house() as house:
        house.tell("a", Act(hang_in_effect))
        inner.wait()
        house.tell("a", Act(write))
        replace_hung(house, "a")
        house.wait_until(lambda: written == [2])
        inner.release()


def test_clause_7_a_thread_that_comes_back_is_abandoned_no_longer() -> None:
    with a_house(Kid("a", OPTIONAL), Kid("b", OPTIONAL), Kid("c", OPTIONAL)) as house:
        for address in "abc":
            stuck = Stuck()
            house.tell(address, Act(stuck))
            stuck.wait()
            replace_hung(house, address)
            assert house.notice()["hung_threads"] == 1
            stuck.release()
            house.wait_until(lambda: house.notice()["hung_threads"] == 0, passing_s=LIVENESS_S / 10)
        assert house.notice()["safe_mode"] is None


def test_clause_7_a_third_abandoned_thread_means_safe_mode() -> None:
    with a_house(Kid("a", OPTIONAL), Kid("b", OPTIONAL), Kid("c", OPTIONAL)) as house:
        stucks = [Stuck() for _ in "abc"]
        for address, stuck in zip("abc", stucks, strict=True):
            assert house.notice()["safe_mode"] is None
            house.tell(address, Act(stuck))
            stuck.wait()
            replace_hung(house, address)
        house.wait_until(lambda: house.notice()["safe_mode"] is not None)
        assert "3 hung threads" in house.notice()["safe_mode"]
        for stuck in stucks:
            stuck.release()


def test_clause_7_the_stack_of_the_stuck_is_logged() -> None:
    def somewhere_deep(part: Part) -> None:
        stuck(part)

    with a_house() as house:
        stuck = Stuck()
        house.tell("a", Act(somewhere_deep))
        stuck.wait()
        replace_hung(house, "a")
        stuck.release()
        lines = [text for text in house.log.texts if "hangs" in text]
        assert len(lines) == 1
        assert "somewhere_deep" in lines[0]


def test_clause_8_all_leave_in_reverse_order_and_no_thread_is_left() -> None:
    before = threading.active_count()
    with a_house(Kid("a"), Kid("b"), Kid("c")) as house:
        assert threading.active_count() >= before + 5
        house.tell("b", Act(boom))
        house.wait_until(lambda: house.state("b") == "backoff")
        house.revive("b")
    told = [entry.address for entry in house.world.diary if entry.message == "Stop"]
    assert told == ["c", "b", "a"]
    assert threading.active_count() == before


def test_clause_8_a_stuck_handler_is_not_waited_for() -> None:
    with a_house(Kid("a"), Kid("b")) as house:
        stuck = Stuck()
        house.tell("b", Act(stuck))
        stuck.wait()
        house.stop()
        assert [e.address for e in house.world.diary if e.message == "Stop"] == ["a"]
        stuck.release()


def test_clause_9_put_never_blocks_not_even_at_a_full_mailbox_of_a_stuck_actor() -> None:
    with a_house(Kid("a", reads=(Hint,), limit=100)) as house:
        stuck = Stuck()
        house.tell("a", Act(stuck))
        stuck.wait()

        def flood() -> None:
            for number in range(1_000):
                house.post.publish(Hint(number))
                house.tell("a", Beat(number))
                house.tell("a", Order("nobody's", GATEWAY, START_S + 100.0, nothing))

        writers = [threading.Thread(target=flood, daemon=True) for _ in range(4)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join(PATIENCE_S)
        assert not any(writer.is_alive() for writer in writers)
        assert not stuck.ended.is_set()
        assert house.post.box("a").mailbox.depth() <= 102
        stuck.release()
        house.wait_until(lambda: house.handled("a", "CatchUp") != [])


def test_clause_3_and_9_nothing_is_lost_doubled_or_reordered_over_many_crashes() -> None:
    senders, each = 4, 300
    with a_house(Kid("a", OPTIONAL)) as house:

        def send(sender: int) -> None:
            for number in range(each):
                house.tell("a", Number(sender * each + number))

        threads = [threading.Thread(target=send, args=(n,), daemon=True) for n in range(senders)]
        for thread in threads:
            thread.start()
        for turn in range(4):
            house.tell("a", (Act, OtherAct)[turn % 2](boom))
            house.wait_until(lambda: house.state("a") == "backoff")
            house.revive("a")
        for thread in threads:
            thread.join(PATIENCE_S)
        house.wait_until(lambda: len(house.handled("a", "heard")) >= senders * each)
        heard = [n for n in house.handled("a", "heard") if isinstance(n, int)]
        assert sorted(heard) == list(range(senders * each))
        for sender in range(senders):
            mine = [number for number in heard if number // each == sender]
            assert mine == sorted(mine)


def test_timers_fire_when_their_time_has_come() -> None:
    with a_house() as house:
        armed = threading.Event()

        def arm(part: Part) -> None:
            part.context.after(10.0, Beat(1))
            part.context.after(5.0, Beat(2), key="other")
            armed.set()

        house.tell("a", Act(arm))
        assert armed.wait(PATIENCE_S)
        house.advance(6.0)
        house.wait_until(lambda: house.handled("a", "heard") == [2])
        house.advance(5.0)
        house.wait_until(lambda: house.handled("a", "heard") == [2, 1])
