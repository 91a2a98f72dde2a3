"""Fee cycles of the whole house when something else happens meanwhile: others, clocks, damage."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from typing import Any

import pytest

from cl_revenue_ops.simnode.faults import Fault
from messages.control import Resume, Suspend
from tests.sim.house_support import HouseNode, house_node

DAY_S = 86_400.0
FIRST_S = 90.0


@pytest.fixture
def node() -> Iterator[HouseNode]:
    with house_node(start=False) as node:
        for name in ("alice", "bob"):
            node.open(name, 1_000_000, 500_000)
        node.start()
        node.settle()
        yield node


@pytest.fixture
def crowd() -> Iterator[HouseNode]:
    """A house with more channels than one step of a cycle takes."""
    with house_node(start=False) as node:
        for number in range(25):
            node.open(f"peer {number}", 1_000_000, 500_000)
        node.start()
        node.settle()
        yield node


def last_id(node: HouseNode) -> str:
    """The channel that is decided last."""
    return max(node.world.channels)


def ppm(node: HouseNode, channel_id: str) -> int:
    return int(node.world.channel(channel_id).policy.ppm)


def decision(node: HouseNode, channel_id: str) -> dict[str, Any]:
    (row,) = node.call("revenue-fee-debug", [channel_id])["channels"]
    assert isinstance(row, dict)
    return row


def decisions(node: HouseNode, channel_id: str) -> int:
    """How often the channel was decided on."""
    sql = "SELECT coalesce(sum(repeats), 0) FROM fee_decision WHERE channel_id = ?"
    return int(node.query(sql, channel_id)[0][0])


def at_the_first(node: HouseNode, method: str, act: Callable[[], object]) -> None:
    """Do something just before the node looks at the house's next call of this method."""

    def asked(what: str) -> None:
        if what == method:
            node.asked = lambda other: None
            act()

    node.asked = asked


# -- others, in the midst of a cycle -----------------------------------------------------------


def test_another_writer_in_the_midst_of_a_cycle_is_seen(crowd: HouseNode) -> None:
    crowd.wait_s(DAY_S)
    last = last_id(crowd)
    at_the_first(crowd, "setchannel", lambda: crowd.call("setchannel", {"id": last, "feeppm": 432}))
    crowd.call("revenue-config", ["set", "min_fee_ppm", "50"])
    crowd.wait_s(1800)
    assert ppm(crowd, last) == 432
    assert decision(crowd, last)["skip_reason"] == "foreign_fee_held"


def test_another_writer_while_gossip_is_asked_is_seen(node: HouseNode) -> None:
    last = last_id(node)
    at_the_first(node, "listchannels", lambda: node.call("setchannel", {"id": last, "feeppm": 7}))
    node.wait_s(FIRST_S + 60)
    assert decision(node, last)["fee_ppm"] == 7


def test_a_peer_that_leaves_in_the_midst_of_a_cycle_is_seen(crowd: HouseNode) -> None:
    crowd.wait_s(DAY_S)
    last, before = last_id(crowd), ppm(crowd, last_id(crowd))
    peer_id = crowd.world.channel(last).peer_id
    at_the_first(crowd, "setchannel", lambda: crowd.world.disconnect(peer_id))
    crowd.call("revenue-config", ["set", "min_fee_ppm", "50"])
    crowd.wait_s(1800)
    assert ppm(crowd, last) == before


def test_gossip_is_asked_a_few_at_a_time_with_a_rest_between(crowd: HouseNode) -> None:
    at_s: list[float] = []

    def asked(method: str) -> None:
        if method == "listchannels":
            at_s.append(crowd.life.runtime.clock.now())

    crowd.asked = asked
    crowd.wait_s(FIRST_S + 60)
    batches = sorted(set(at_s))
    assert len(at_s) == 25
    assert max(at_s.count(instant) for instant in batches) <= 5
    rests = [later - earlier for earlier, later in pairwise(batches)]
    assert len(batches) >= 5
    assert min(rests) >= 0.99


def test_an_order_in_the_midst_of_a_cycle_counts_for_that_cycle(crowd: HouseNode) -> None:
    crowd.wait_s(FIRST_S + 2)
    last = last_id(crowd)
    assert decisions(crowd, last) == 0, "the cycle is still under way"
    crowd.call("revenue-set-fee", [last, 777])
    crowd.wait_s(60)
    assert (decisions(crowd, last), ppm(crowd, last)) == (1, 777)
    assert decisions(crowd, min(crowd.world.channels)) == 1


def test_a_suspended_cycle_does_not_go_on_later(crowd: HouseNode) -> None:
    crowd.wait_s(FIRST_S + 2)
    post, last = crowd.life.house.core.post, last_id(crowd)
    post.tell("fee-controller", Suspend("a test"))
    post.tell("fee-controller", Resume())
    crowd.wait_s(60)
    assert decisions(crowd, last) == 0
    crowd.wait_s(1800)
    assert decisions(crowd, last) == 1


# -- answers that say nothing ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["wrong_type", "nulls", "missing_keys"])
def test_a_write_that_was_taken_and_confirmed_in_nonsense_is_found_out(
    node: HouseNode, kind: str
) -> None:
    channel_id = last_id(node)
    node.faults.add(Fault(kind, "setchannel", count=1))
    answer = node.life.ask("revenue-set-fee", {"channel_id": channel_id, "fee_ppm": 777})
    assert answer is not None
    told = answer.get("result", answer)
    assert (told["status"], ppm(node, channel_id)) == ("success", 777), told


def test_a_fee_of_unknown_fate_is_ours_when_it_is_found_later(node: HouseNode) -> None:
    node.wait_s(7200)
    channel_id, whole = last_id(node), node.answer

    def answer(request: bytes, before_send: Callable[[], None] | None) -> bytearray | None:
        reply = whole(request, before_send)
        if json.loads(request)["method"] == "setchannel":
            node.faults.add(Fault("timeout", "listpeerchannels", count=1))
            return None
        return reply

    node.answer = answer  # type: ignore[method-assign]
    told = node.call("revenue-set-fee", [channel_id, 777])
    node.answer = whole  # type: ignore[method-assign]
    node.faults.clear()
    assert (told["status"], ppm(node, channel_id)) == ("error", 777)
    assert "unknown" in json.dumps(told)
    node.restart()
    node.wait_s(3600)
    assert decision(node, channel_id)["whose"] == "ours"


# -- a clock in the past -----------------------------------------------------------------------


def in_the_past(node: HouseNode) -> None:
    """The machine dies and wakes up a month earlier."""
    node.wait_s(2 * 3600)
    node.kill()
    assert node._virtual is not None
    node._virtual.base_s -= 30 * DAY_S
    node._start_at(node.now_s)
    node.settle()


def test_a_clock_in_the_past_stops_no_cycle(node: HouseNode) -> None:
    in_the_past(node)
    before = decisions(node, last_id(node))
    node.wait_s(2000)
    assert decisions(node, last_id(node)) == before + 1


def test_a_clock_in_the_past_stops_no_new_interval(node: HouseNode) -> None:
    in_the_past(node)
    before = decisions(node, last_id(node))
    node.call("revenue-config", ["set", "fee_interval", "600"])
    node.wait_s(650)
    assert decisions(node, last_id(node)) == before + 1


# -- damage on the disk ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE fee_state SET body = '{}' WHERE channel_id = ?",
        'UPDATE fee_state SET body = replace(body, \'"observed_s":\', \'"observed_s":null,"x":\')'
        " WHERE channel_id = ?",
        "UPDATE fee_header SET header = 'x' || substr(?, 1, 1)",
        "UPDATE fee_decision SET body = 'x' WHERE outcome = 'set' AND channel_id = ?",
    ],
)
def test_a_damaged_row_does_not_stop_the_house(node: HouseNode, sql: str) -> None:
    node.wait_s(2 * 3600)
    channel_id = last_id(node)
    node.call("revenue-set-fee", [channel_id, 777])
    node.wait_s(3600)
    node.kill()
    with closing(sqlite3.connect(node.database)) as connection, connection:
        assert connection.execute(sql, (channel_id,)).rowcount >= 1
    node.start()
    node.settle()
    before = decisions(node, channel_id)
    node.wait_s(2000)
    status = node.status()
    assert not status["safe_mode"]
    assert {actor["state"] for actor in status["actors"].values()} == {"ready"}
    assert decisions(node, channel_id) > before
    damaged = [text for _, text in node.life.logs if "is damaged" in text]
    assert len(damaged) == (0 if "fee_decision" in sql else 1), damaged


def test_a_damaged_record_is_told_and_not_fatal(node: HouseNode) -> None:
    node.wait_s(200.0)
    node.checkpoint()
    with closing(sqlite3.connect(node.database)) as file, file:
        file.execute("UPDATE fee_decision SET body = '{'")
    rows = node.call("revenue-fee-debug")["channels"]
    assert {row["status"] for row in rows} == {"unreadable"}
    assert node.status()["actors"]["fee-controller"]["restarts"] == 0
