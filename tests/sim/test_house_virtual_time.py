"""Virtual time: what dev-revenue-advance does and answers, and that a seed fixes everything."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.runtime import restart
from tests.sim.house_life import HouseProcess
from tests.sim.house_support import START_S, HouseNode, house_node
from tests.sim.house_traffic import Traffic, traffic

ADVANCE = "dev-revenue-advance"


def advance(node: HouseNode, until: object) -> dict[str, Any]:
    """The whole answer of the method; the node's own clock stays where it is."""
    answer = node.life.ask(ADVANCE, {"until": until})
    assert answer is not None
    return answer


def clock(node: HouseNode) -> float:
    return node.life.runtime.clock.now()


def test_it_is_not_there_without_the_variable() -> None:
    life = HouseProcess({})
    life.manifest = life.request("getmanifest", {})
    assert ADVANCE not in life.methods
    answer = life.ask(ADVANCE, {"until": START_S})
    assert answer is not None
    assert answer["error"]["code"] == -32601


def test_init_is_answered_before_disk_and_node_are_touched_and_boot_comes_before_all_else() -> None:
    with house_node(start=False) as node:
        node.start()
        assert node.calls == {}
        assert not node.database.exists()
        states = {row["state"] for row in node.status()["actors"].values()}
        assert states == {"ready"}
        assert node.database.exists()
        assert clock(node) == START_S


@pytest.mark.parametrize(
    "until",
    [None, True, "1700000100", [], float("nan"), float("inf"), 0, -1.0, START_S - 0.001],
    ids=str,
)
def test_a_bad_until_is_32602_and_moves_nothing(until: object) -> None:
    with house_node() as node:
        assert advance(node, until)["error"]["code"] == -32602
        assert clock(node) == START_S


@pytest.mark.parametrize("params", [{}, [], [1.8e9, 2], {"until": 1.8e9, "by": 1}, 5])
def test_bad_arguments_are_32602(params: Any) -> None:
    with house_node() as node:
        answer = node.life.ask(ADVANCE, params)
        assert answer is not None
        assert answer["error"]["code"] == -32602


def test_until_now_is_allowed_and_fires_nothing() -> None:
    with house_node() as node:
        answer = advance(node, START_S)["result"]
        assert (answer["now"], answer["timers"], answer["messages"]) == (START_S, 0, 0)


def test_next_is_the_next_timer_and_no_timer_fires_before_its_time() -> None:
    with house_node() as node:
        for _ in range(40):
            due_s = advance(node, clock(node))["result"]["next"]
            assert due_s > clock(node)
            early = advance(node, due_s - 0.001)["result"]
            assert (early["timers"], early["messages"], early["next"]) == (0, 0, due_s)
            done = advance(node, due_s)["result"]
            assert done["now"] == due_s
            assert done["timers"] >= 1
            assert done["messages"] >= done["timers"]


def test_the_counts_are_those_of_the_runtime() -> None:
    with house_node() as node:
        before = node.life.handled
        done = advance(node, START_S + 3_600.0)["result"]
        assert done["messages"] == node.life.handled - before
        assert done["timers"] >= 3_600.0 / restart.LIVENESS_S


def script(it: Traffic, cuts: list[float]) -> tuple[Any, ...]:
    """Some traffic, time in the given pieces, and everything that can be seen afterwards."""
    node, statuses = it.node, []
    for number, cut_s in enumerate(cuts):
        it.pay(("settled", "failed", "pending", "local_failed")[number % 4], number)
        node.call("revenue-config", ["set", "min_fee_ppm", 20 + number])
        node.wait_s(cut_s)
        status = node.status()
        status["database"].pop("path")
        statuses.append(status)
    return statuses, node.dump(), [text for _, text in node.life.logs], node.life.trace


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_status_database_log_and_order(seed: int) -> None:
    def run() -> tuple[Any, ...]:
        with traffic(seed=seed) as it:
            return script(it, [10.0, 100.0, 2_000.0, 5_000.0])

    first, second = run(), run()
    assert json.dumps(first, default=repr) == json.dumps(second, default=repr)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(1.0, 900.0), min_size=1, max_size=8))
def test_time_in_pieces_is_the_same_time(pieces: list[float]) -> None:
    # The pieces end a second before the instant that is compared, and fire the same timers.
    end_s = START_S + 3_600.0
    with house_node() as whole, house_node() as cut:
        done = advance(whole, end_s)["result"]
        timers = messages = 0
        for piece_s in pieces:
            part = advance(cut, min(end_s, clock(cut) + piece_s))["result"]
            timers, messages = timers + part["timers"], messages + part["messages"]
        rest = advance(cut, end_s)["result"]
        assert timers + rest["timers"] == done["timers"]
        assert messages + rest["messages"] == done["messages"]
        assert rest["next"] == done["next"]
        assert cut.dump() == whole.dump()


def test_a_notification_is_worked_through_at_the_time_when_it_arrives() -> None:
    with traffic() as it:
        it.node.wait_s(100.0)
        it.pay("settled")
        it.node.settle()
        assert len(it.stored()) == 1
        assert clock(it.node) == it.node.now_s
        assert advance(it.node, clock(it.node))["result"]["messages"] == 0


def test_a_call_that_is_still_open_is_refused_as_busy_and_answered_once() -> None:
    with house_node(start=False) as node:
        node.reachable = False
        node.start()
        answer = node.call("revenue-config", ["set", "min_fee_ppm", 20])
        assert answer["status"] == "error"
        assert answer["success"] is False
        assert "busy" in answer["error"]
        assert node.status()["open_calls"] == 0
        node.reachable = True
        node.wait_s(300.0)
        # The owner's own answer found nobody waiting; the house would fail on a second one.
        assert node.status()["open_calls"] == 0
