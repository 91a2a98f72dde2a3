"""The post office: addresses, readers, snapshots that are kept, and who hears of a failure."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from cl_revenue_ops.runtime.clock import VirtualClock
from cl_revenue_ops.runtime.dead_letters import DeadLetters
from cl_revenue_ops.runtime.mailbox import Mailbox
from cl_revenue_ops.runtime.post_office import Box, PostOffice
from messages.base import Answer, Command, Fact, LossyFact, Message, Refusal, Snapshot, Tick


@dataclass(frozen=True)
class News(Fact):
    """A fact."""

    number: int = 0


@dataclass(frozen=True)
class Rumour(LossyFact):
    """A fact that may be dropped."""

    number: int = 0


@dataclass(frozen=True)
class Gossip(LossyFact):
    """A fact that may be dropped and has no catch-up."""


@dataclass(frozen=True)
class State(Snapshot):
    """A version."""

    number: int = 0


@dataclass(frozen=True)
class Look(Tick):
    """The catch-up of Rumour."""


@dataclass(frozen=True)
class Request(Command):
    """To an owner."""


def an_office(limit: int = 10) -> PostOffice:
    """With readers a and b of News and State, and a of Rumour."""
    post = PostOffice(VirtualClock(5.0), DeadLetters(), {Rumour: Look()})
    post.add("a", Box(Mailbox(limit)), (News, State, Rumour))
    post.add("b", Box(Mailbox(limit)), (State, News))
    post.add("caller", Box(Mailbox(limit)))
    return post


def waiting(post: PostOffice, address: str) -> list[Message]:
    """What waits at an address, taken out."""
    box = post.box(address).mailbox
    box.set_open(True)
    found = []
    while (envelope := box.take()) is not None:
        found.append(envelope.message)
    return found


def a_request(reply_to: str = "caller") -> Request:
    """One command."""
    return Request("c1", reply_to, 100.0)


def test_a_fact_goes_to_its_readers_and_to_nobody_else() -> None:
    post = an_office()
    post.publish(News(1))
    post.publish(Rumour(2))
    assert waiting(post, "a") == [News(1), Rumour(2)]
    assert waiting(post, "b") == [News(1)]
    assert waiting(post, "caller") == []


def test_a_fact_without_readers_is_no_dead_letter() -> None:
    post = an_office()
    post.publish(Gossip())
    assert post.dead_letters.counts() == {}


def test_the_newest_snapshot_of_each_type_is_kept() -> None:
    post = an_office()
    assert post.retained([State]) == []
    post.publish(State(1))
    post.publish(State(2))
    post.publish(News(3))
    assert post.retained([State, News]) == [State(2)]


def test_reads_says_what_an_address_subscribed_to() -> None:
    post = an_office()
    assert set(post.reads("a")) == {News, State, Rumour}
    assert set(post.reads("b")) == {News, State}
    assert post.reads("caller") == []
    assert post.addresses() == ("a", "b", "caller")


def test_an_address_is_given_once() -> None:
    post = an_office()
    with pytest.raises(AssertionError, match="taken"):
        post.add("a", Box(Mailbox()))
    with pytest.raises(KeyError):
        post.box("nobody")


@pytest.mark.parametrize(("failed", "to", "why"), [(True, "a", "failed"), (False, "z", "address")])
def test_a_command_that_nobody_serves_is_refused_to_its_sender(
    failed: bool, to: str, why: str
) -> None:
    post = an_office()
    post.box("a").failed = failed
    post.tell(to, a_request())
    replies = waiting(post, "caller")
    assert len(replies) == 1
    assert isinstance(replies[0], Refusal)
    assert (replies[0].call_id, replies[0].invalid) == ("c1", False)
    assert to in replies[0].reason
    assert any(why in reason for reason in post.dead_letters.counts())
    assert waiting(post, "a") == []


def test_facts_and_control_for_the_failed_are_kept_for_its_next_life() -> None:
    post = an_office()
    post.box("a").failed = True
    post.publish(News(1))
    post.publish(State(2))
    assert waiting(post, "a") == [News(1), State(2)]


def test_facts_for_one_who_may_never_come_back_are_bounded() -> None:
    post = an_office(limit=3)
    post.box("b").failed = True
    for number in range(5):
        post.publish(News(number))
        post.publish(State(number))
    assert waiting(post, "b") == [News(0), State(4), News(1)]
    assert post.dead_letters.counts() == {"failed": 3}
    # Whoever is only slow or restarting loses none.
    assert waiting(post, "a")[-1] == News(4)


def test_a_reply_to_the_failed_or_unknown_is_only_filed() -> None:
    post = an_office()
    post.box("a").failed = True
    post.tell("a", Answer("c1", None))
    post.tell("z", Refusal("c1", "no"))
    assert post.dead_letters.counts() == {"failed": 1, "no such address": 1}


def test_a_full_mailbox_refuses_commands_and_drops_rumours_for_one_catch_up() -> None:
    post = an_office(limit=1)
    post.publish(News(1))
    post.tell("a", a_request())
    for number in range(3):
        post.publish(Rumour(number))
    post.tell("a", Gossip())
    assert waiting(post, "a") == [News(1), Look()]
    replies = waiting(post, "caller")
    assert len(replies) == 1
    assert isinstance(replies[0], Refusal)
    assert "busy" in replies[0].reason
    assert post.box("a").dropped == 4
    assert post.dead_letters.counts() == {"full": 5}


def test_whoever_drives_the_actors_hears_of_what_can_be_delivered() -> None:
    post = an_office(limit=1)
    woken: list[str] = []
    post.delivered = woken.append
    post.tell("a", State(1))
    post.tell("a", State(2))
    assert woken == ["a"]
    # Full: the rumour is dropped, and its catch-up is news to the driver.
    post.publish(Rumour(1))
    post.publish(Rumour(2))
    assert woken == ["a", "a"]


def test_nothing_is_raised_in_the_sender() -> None:
    post = an_office(limit=0)
    post.tell("nobody", News(1))
    post.tell("nobody", a_request("nobody either"))
    post.tell("a", a_request("nobody either"))
    assert sum(post.dead_letters.counts().values()) == 5
