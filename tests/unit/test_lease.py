"""Leases: only the newest incarnation may act, and a takeover waits for an effect, not for ever."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.ports import StaleGeneration
from cl_revenue_ops.runtime.clock import VirtualClock
from cl_revenue_ops.runtime.lease import Fence, GenerationLease

PATIENCE_S = 60.0


def a_lease(fence: Fence, clock: VirtualClock | None = None) -> GenerationLease:
    """The lease of the present generation."""
    return GenerationLease("a", fence.generation, fence, clock or VirtualClock(0.0))


@given(st.integers(0, 10))
def test_only_the_newest_generation_is_current(takeovers: int) -> None:
    fence = Fence()
    leases = [a_lease(fence)]
    for number in range(takeovers):
        assert fence.advance() == number + 1
        leases.append(a_lease(fence))
    assert [lease.is_current() for lease in leases] == [False] * takeovers + [True]
    for lease in leases[:-1]:
        with pytest.raises(StaleGeneration, match="a: generation"):
            lease.require_current()
        with pytest.raises(StaleGeneration), lease.call("read", 1.0):
            raise AssertionError("a port was called")
        with pytest.raises(StaleGeneration), lease.effect():
            raise AssertionError("a port was written to")


def test_a_takeover_waits_for_an_effect_under_way() -> None:
    fence = Fence()
    lease = a_lease(fence)
    taken = threading.Event()
    order: list[str] = []

    def take_over() -> None:
        fence.advance(PATIENCE_S)
        order.append("takeover")
        taken.set()

    with lease.effect():
        thread = threading.Thread(target=take_over, daemon=True)
        thread.start()
        assert not taken.wait(0.05)
        order.append("effect")
    assert taken.wait(PATIENCE_S)
    assert order == ["effect", "takeover"]
    assert not lease.is_current()


def test_an_effect_that_hangs_holds_up_neither_takeover_nor_successor() -> None:
    fence = Fence()
    old = a_lease(fence)
    inside, go_on = threading.Event(), threading.Event()
    met: list[object] = []

    def hang() -> None:
        with old.effect():
            inside.set()
            go_on.wait()
        try:
            with old.effect():
                met.append("acted again")
        except StaleGeneration:
            met.append("refused")

    thread = threading.Thread(target=hang, daemon=True)
    thread.start()
    assert inside.wait(PATIENCE_S)
    fence.advance(patience_s=0.01)
    new = a_lease(fence)
    done = threading.Event()

    def act() -> None:
        with new.effect():
            done.set()

    threading.Thread(target=act, daemon=True).start()
    held_up = not done.wait(10.0)
    go_on.set()
    assert not held_up
    thread.join(PATIENCE_S)
    assert met == ["refused"]
    assert new.is_current()


def test_an_effect_that_fails_lets_go() -> None:
    fence = Fence()
    lease = a_lease(fence)
    with pytest.raises(RuntimeError), lease.effect():
        raise RuntimeError("the disk is full")
    done: list[int] = []
    thread = threading.Thread(target=lambda: done.append(fence.advance(PATIENCE_S)), daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert done == [1]


def test_a_refused_effect_lets_go_too() -> None:
    fence = Fence()
    old = a_lease(fence)
    fence.advance()
    with pytest.raises(StaleGeneration), old.effect():
        raise AssertionError("acted")
    done: list[int] = []
    thread = threading.Thread(target=lambda: done.append(fence.advance(PATIENCE_S)), daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert done == [2]


def test_the_activity_follows_calls_within_calls() -> None:
    clock = VirtualClock(100.0)
    lease = a_lease(Fence(), clock)
    activity = lease.activity
    activity.what, activity.since_s = "FeeTick", clock.monotonic()
    clock.set(101.0)
    with lease.call("outer", 15.0):
        assert (activity.what, activity.deadline_s, activity.since_s) == ("outer", 15.0, 101.0)
        clock.set(105.0)
        with lease.call("inner", 180.0):
            assert (activity.what, activity.deadline_s, activity.since_s) == ("inner", 180.0, 105.0)
            clock.set(110.0)
        assert (activity.what, activity.deadline_s, activity.since_s) == ("outer", 15.0, 110.0)
    assert (activity.what, activity.deadline_s) == ("FeeTick", 0.0)


def test_a_call_that_fails_is_over() -> None:
    lease = a_lease(Fence())
    with pytest.raises(RuntimeError), lease.call("read", 15.0):
        raise RuntimeError("no")
    assert (lease.activity.what, lease.activity.deadline_s) == (None, 0.0)
