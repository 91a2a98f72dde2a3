"""Between the grant of a budget and the end of its job: what is weighed again, what is released."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from cl_revenue_ops.domain.rebalance import health, score
from cl_revenue_ops.domain.rebalance.health import Health
from messages.base import Answer, Command, Message
from messages.budget import ReserveBudget, Verdict
from messages.policies import PeerPolicy, PolicySnapshot
from messages.rebalance import StartOutcome, StockCurves
from tests.sim.rebalance_support import RebalanceNode, rebalance_node

GRANT_S = 120.0


@pytest.fixture
def node() -> Iterator[RebalanceNode]:
    with rebalance_node() as node:
        yield node


@contextmanager
def just_before(node: RebalanceNode, method: str, act: Callable[[], object]) -> Iterator[list[str]]:
    """Something happens once, just before the node is asked this; gives all it is asked from then
    on."""
    asked: list[str] = []

    def look(name: str) -> None:
        if asked or name == method:
            if not asked:
                act()
            asked.append(name)

    node.asked = look
    try:
        yield asked
    finally:
        node.asked = lambda method: None


def called_off(node: RebalanceNode) -> str:
    """Nothing was begun and nothing stays reserved; says why."""
    assert node.states() == {"r1": "ended"}
    assert node.query("SELECT baseline FROM rebalance_job") == [(-1,)]
    assert node.budget()["reservations"] == []
    assert node.query("SELECT proof FROM budget_reservation") == [("never started",)]
    assert node.call("sling-stats", {"json": True}) == []
    assert node.calls.get("sling-once", 0) == 0
    return str(node.job()["outcome"])


# "wait" tells the index of the newest payment: it is asked for after the grant.


def test_a_gate_that_closes_after_the_grant_is_obeyed(node: RebalanceNode) -> None:
    with just_before(node, "wait", lambda: node.life.gate.close("test", "just now")):
        node.by_hand()
    assert called_off(node) == "not begun: test: just now"


def test_a_policy_that_changes_after_the_grant_is_obeyed(node: RebalanceNode) -> None:
    peer = node.world.channel(node.empty[0]).peer_id
    forbidden = PolicySnapshot(2, node.now_s, (PeerPolicy(peer, rebalance="disabled"),))

    def change() -> None:
        node.life.house.core.post.publish(forbidden)

    with just_before(node, "wait", change):
        node.by_hand()
    assert called_off(node) == "not begun: policy: rebalance is disabled"


def test_a_value_that_is_gone_after_the_grant_is_seen(node: RebalanceNode) -> None:
    worthless = StockCurves(node.now_s, 0.0, {})

    def change() -> None:
        node.life.house.core.post.publish(worthless)

    with just_before(node, "wait", change):
        node.by_hand()
    assert "its stock has no value yet" in called_off(node)


def test_a_grant_acted_on_late_is_weighed_by_what_is_read_anew(node: RebalanceNode) -> None:
    clock = node.life.runtime.clock

    def late() -> None:
        clock.set(clock.now() + GRANT_S + 1.0)

    with just_before(node, "wait", late) as asked:
        node.by_hand()
    assert "listpeerchannels" in asked[: asked.index("sling-once")]
    assert node.states() == {"r1": "running"}


def test_one_acted_on_in_time_needs_no_reading(node: RebalanceNode) -> None:
    with just_before(node, "wait", lambda: None) as asked:
        node.by_hand()
    assert "listpeerchannels" not in asked[: asked.index("sling-once")]


@contextmanager
def answers_lost(node: RebalanceNode, kind: type) -> Iterator[None]:
    """Answers of this kind to the Rebalancer go into the void."""
    post = node.life.house.core.post
    tell = post.tell

    def lose(address: str, message: Message) -> None:
        lost = isinstance(message, Answer) and isinstance(message.result, kind)
        if address != "rebalancer" or not lost:
            tell(address, message)

    post.tell = lose  # type: ignore[method-assign]
    try:
        yield
    finally:
        post.tell = tell  # type: ignore[method-assign]


def test_the_answer_of_a_start_that_is_lost_counts_as_started(node: RebalanceNode) -> None:
    node.value(0.0)
    with answers_lost(node, StartOutcome):
        node.force()
        assert node.states() == {"r1": "starting"}
        node.wait_s(30)
        assert len(node.budget()["reservations"]) == 1
    node.wait_s(90)
    assert node.job()["status"] == "success"
    assert node.budget()["reservations"] == []
    assert node.query("SELECT proof FROM budget_reservation") == [
        ("stopped, and no payment of its own pending",)
    ]


def test_a_start_that_got_lost_on_the_way_is_no_failure_of_the_route(
    node: RebalanceNode,
) -> None:
    node.value(0.0)
    whole = node.answer

    def swallow(request: bytes, before_send: Callable[[], None] | None) -> bytearray | None:
        """sling-once is sent, and nobody ever sees it."""
        if json.loads(request)["method"] != "sling-once" or before_send is None:
            return whole(request, before_send)
        before_send()
        return None

    node.answer = swallow  # type: ignore[method-assign]
    node.force()
    node.answer = whole  # type: ignore[method-assign]
    node.wait_s(120)
    assert node.states() == {"r1": "ended"}
    assert node.job()["outcome"].startswith("nothing moves any more")
    assert node.call("revenue-rebalance-debug")["breakers"] == []
    assert node.budget()["reservations"] == []


def test_the_answer_of_a_reservation_that_is_lost_releases_it(node: RebalanceNode) -> None:
    with answers_lost(node, Verdict):
        assert "busy" in node.by_hand()["error"]
        assert node.states() == {"r1": "planned"}
    node.wait_s(60)
    assert "its budget could not be reserved: no answer in time" in called_off(node)


def test_an_order_that_its_caller_gave_up_is_not_carried_out(node: RebalanceNode) -> None:
    with answers_lost(node, tuple):
        for _ in range(2):
            assert "busy" in node.call("revenue-rebalance-debug")["error"]
        assert "busy" in node.by_hand()["error"]
        node.wait_s(80)
    node.wait_s(60)
    assert node.states() == {}
    assert node.by_hand()["status"] == "initiated"


def test_a_reservation_of_nobody_is_released_on_demand(node: RebalanceNode) -> None:
    post, clock = node.life.house.core.post, node.life.runtime.clock
    forgotten: Command = ReserveBudget(
        "x1", "gateway", clock.monotonic() + 60, "r99", "rebalancer", 33_000, 10**12, clock.now()
    )
    post.tell("accountant", forgotten)
    node.settle()
    assert [one["job_id"] for one in node.budget()["reservations"]] == ["r99"]
    cleared = node.call("revenue-clear-reservations")
    assert (cleared["cleared_count"], cleared["released_sats"], cleared["cleared"]) == (
        1,
        33,
        ["r99"],
    )
    assert cleared["kept"] == []
    assert cleared["budget_available"] == 5_000
    assert node.budget()["reservations"] == []


def test_a_reservation_of_nobody_is_released_at_the_next_start(node: RebalanceNode) -> None:
    post, clock = node.life.house.core.post, node.life.runtime.clock
    forgotten: Command = ReserveBudget(
        "x1", "gateway", clock.monotonic() + 60, "r99", "rebalancer", 33_000, 10**12, clock.now()
    )
    post.tell("accountant", forgotten)
    node.settle()
    node.restart()
    assert node.budget()["reservations"] == []


def test_clearing_leaves_what_runs_and_says_so(node: RebalanceNode) -> None:
    assert node.sling is not None
    node.sling.slow_payments(40.0)
    node.force()
    node.wait_s(10)
    cleared = node.call("revenue-clear-reservations")
    assert cleared["cleared_count"] == 0
    assert [(one["job_id"], one["why"]) for one in cleared["kept"]] == [
        ("r1", "its job is running")
    ]
    node.wait_s(60)
    assert node.job()["status"] == "success"


def test_a_payment_is_looked_for_as_soon_as_it_is_told_of(node: RebalanceNode) -> None:
    assert node.sling is not None
    node.sling.slow_payments(12.0)
    node.force()
    node.wait_s(10)
    assert node.states() == {"r1": "running"}
    looked = node.calls["listsendpays"]
    node.advance(node.now_s + 3)
    node.settle()
    assert node.states() == {"r1": "ended"}
    assert node.calls["listsendpays"] > looked


def test_a_search_that_has_suspended_itself_moves_nothing_and_says_so(
    node: RebalanceNode,
) -> None:
    until_s = node.now_s + 36_000
    words = Health(until_s, 1, "a run of losses")
    node.kill()
    with closing(sqlite3.connect(node.database)) as connection, connection:
        connection.execute(
            "REPLACE INTO rebalance_learned VALUES ('health', ?)", (health.pack(words),)
        )
    node.start()
    node.settle()
    node.wait_s(30)
    node.value()
    answer = node.call("revenue-rebalance")
    assert answer["begun"] == []
    assert "rebalancing has suspended itself for another 10 h: a run of losses" in answer["message"]
    assert "a run of losses" in node.status()["rebalancing"]["suspended"]
    assert "a run of losses" in node.call("revenue-report", ["rebalances"])["suspended"]
    assert node.by_hand()["status"] == "initiated", "an operator may move all the same"


def test_a_run_of_losses_suspends_the_search(node: RebalanceNode) -> None:
    node.value(0.0)
    for _ in range(health.RUN):
        node.force(50_000, 50)
        node.wait_s(60)
    node.advance(node.now_s + health.JUDGED_AFTER_S + score.DAY_S, 3_600.0)
    node.value()
    answer = node.call("revenue-rebalance")
    assert answer["begun"] == []
    assert "more than chance explains" in answer["message"]
    assert any("more than chance explains" in line for _, line in node.life.logs)
    before = node.status()["rebalancing"]["suspended"]
    node.restart()
    assert node.status()["rebalancing"]["suspended"] == before
