"""The laws of the circuit breakers and of the memory of what the node can do."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.adapters.breaker import Breakers, group_of
from cl_revenue_ops.adapters.capabilities import REPROBE_AFTER_S, Capabilities, Feature
from cl_revenue_ops.ports import CircuitOpen, MalformedReply, NodeRefused, TimedOut, Unavailable
from tests.unit.test_adapter_server import ManualClock

OUTAGES = (Unavailable("gone"), TimedOut("silent"))
ANSWERS = (None, NodeRefused(-1, "no"), MalformedReply("what"))


class Subject:
    """Breakers on a manual clock, called with a given outcome."""

    def __init__(self, cooldown_s: float = 60.0) -> None:
        self.clock = ManualClock()
        self.cooldown_s = cooldown_s
        self.breakers = Breakers(self.clock, lambda: self.cooldown_s)

    def call(self, outcome: BaseException | None = None, group: str = "forwards") -> bool:
        """Whether the call was let out."""
        reached = False
        with suppress(Unavailable, NodeRefused, MalformedReply, KeyError), self.guard(group):
            reached = True
            if outcome is not None:
                raise outcome
        return reached

    def guard(self, group: str = "forwards") -> AbstractContextManager[None]:
        """One call under the caller's own control."""
        return self.breakers.guard(group)

    def state(self, group: str = "forwards") -> str:
        """The state that an operator sees."""
        return {shown.group: shown.state for shown in self.breakers.states()}[group]


def opened(cooldown_s: float = 60.0) -> Subject:
    """A subject whose group 'forwards' has just opened."""
    subject = Subject(cooldown_s)
    for _ in range(3):
        assert subject.call(TimedOut("silent"))
    return subject


@given(
    events=st.lists(
        st.sampled_from([*OUTAGES, *ANSWERS, KeyError("our own fault")])
        | st.floats(0, 100, allow_nan=False)
    ),
    cooldown_s=st.sampled_from([0.0, 1.0, 60.0]),
)
def test_calls_one_after_another_follow_the_rule(
    events: list[BaseException | float | None], cooldown_s: float
) -> None:
    """Held back exactly while, after three outages running, the cooldown since the last lasts."""
    subject = Subject(cooldown_s)
    outages, last_outage_s = 0, 0.0
    for event in events:
        if isinstance(event, float):
            subject.clock.now_s += event
            continue
        now_s = subject.clock.now_s
        held_back = cooldown_s > 0 and outages >= 3 and now_s - last_outage_s < cooldown_s
        assert subject.call(event) is not held_back
        if held_back:
            continue
        if isinstance(event, Unavailable):
            outages, last_outage_s = outages + 1, now_s
        elif not isinstance(event, KeyError):
            outages = 0


def test_an_open_breaker_says_when_it_tries_again() -> None:
    subject = opened()
    subject.clock.now_s += 15
    with pytest.raises(CircuitOpen, match=r"'forwards'.* 45 s"), subject.guard():
        pass
    (shown,) = subject.breakers.states()
    assert shown == ("forwards", "open", 3, 1, 45.0)


def test_half_open_lets_one_probe_through_at_a_time() -> None:
    subject = opened()
    subject.clock.now_s += 60
    assert subject.state() == "half-open"
    with subject.guard():
        assert subject.state() == "half-open"
        assert not subject.call()
        subject.clock.now_s += 600
        assert not subject.call()
    assert subject.state() == "closed"
    assert subject.call()


def test_a_failed_probe_opens_for_a_whole_cooldown_again() -> None:
    subject = opened()
    subject.clock.now_s += 60
    assert subject.call(Unavailable("gone"))
    subject.clock.now_s += 59
    assert not subject.call()
    subject.clock.now_s += 1
    assert subject.call(NodeRefused(-1, "an answer"))
    assert subject.breakers.states() == (("forwards", "closed", 0, 2, 0.0),)


def test_a_probe_that_says_nothing_gives_its_turn_back() -> None:
    subject = opened()
    subject.clock.now_s += 60
    assert subject.call(KeyError("not sent"))
    assert subject.state() == "half-open"
    assert subject.call()
    assert subject.state() == "closed"


def test_calls_from_before_the_opening_change_nothing() -> None:
    subject = Subject()
    with subject.guard():
        for _ in range(3):
            subject.call(TimedOut("silent"))
    assert subject.state() == "open"
    with suppress(Unavailable), subject.guard("other"):
        raise Unavailable("gone")
    assert subject.breakers.states()[0].opens == 1


def test_a_cooldown_set_to_zero_closes_what_is_open() -> None:
    subject = opened()
    subject.cooldown_s = 0
    assert subject.call(TimedOut("silent"))
    assert subject.state() == "closed"


def test_a_cooldown_of_zero_never_opens() -> None:
    subject = Subject(cooldown_s=0)
    for _ in range(5):
        assert subject.call(TimedOut("silent"))
        assert subject.state() == "closed"
    subject.cooldown_s = 60
    assert subject.call(TimedOut("silent"))
    assert subject.breakers.states() == (("forwards", "open", 6, 1, 60.0),)


def test_groups_do_not_disturb_each_other() -> None:
    subject = opened()
    assert not subject.call(group="forwards")
    for method in ("setchannel", "listpeerchannels", "listchannels", "getinfo", "listpeers"):
        assert subject.call(group=group_of(method))
    assert group_of("wait") == group_of("listforwards")
    assert group_of("listpeers") == "listpeers"
    assert group_of("sling-stop") == group_of("sling-version") != group_of("listsendpays")


def test_of_many_threads_one_becomes_the_probe() -> None:
    subject = opened()
    subject.clock.now_s += 60
    together, done = threading.Barrier(8), threading.Barrier(8)
    passed: list[bool] = []

    def attempt() -> None:
        together.wait(10)
        try:
            with subject.guard():
                passed.append(True)
                done.wait(10)
        except CircuitOpen:
            passed.append(False)
            done.wait(10)

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(passed) == [False] * 7 + [True]


def test_a_refused_feature_is_left_alone_for_an_hour() -> None:
    clock = ManualClock()
    capabilities = Capabilities(clock)
    feature = Feature.FORWARD_PAGES
    assert capabilities.states()[feature.value] is None
    assert capabilities.worth_trying(feature)
    capabilities.missing(feature)
    clock.now_s += REPROBE_AFTER_S - 1
    assert not capabilities.worth_trying(feature)
    assert capabilities.states()[feature.value] is False
    assert capabilities.worth_trying(Feature.FORWARD_WAIT)
    clock.now_s += 1
    assert capabilities.worth_trying(feature)
    capabilities.found(feature)
    assert capabilities.states()[feature.value] is True
    capabilities.missing(feature)
    capabilities.found(feature)
    assert capabilities.worth_trying(feature)


def test_a_node_that_was_away_is_asked_anew() -> None:
    capabilities = Capabilities(ManualClock())
    capabilities.missing(Feature.REPLY_FILTER)
    capabilities.found(Feature.FORWARD_WAIT)
    capabilities.forget()
    assert capabilities.worth_trying(Feature.REPLY_FILTER)
    assert set(capabilities.states().values()) == {None}
