"""The snapshot of each day: one row a day, over midnights, downtime, kills and clocks that step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cl_revenue_ops.runtime.clock import VirtualClock
from tests.sim.house_support import HouseNode, house_node

DAY_S = 86_400.0
HOUR_S = 3_600.0
FEE_MSAT = 20_001


@pytest.fixture
def node() -> Iterator[HouseNode]:
    """A house with two channels, a quarter of an hour before a midnight in UTC."""
    with house_node(start=False) as node:
        for name in ("alice", "bob"):
            node.open(name, 10_000_000, 5_000_000)
        node.world.fund(3_000_000)
        node.world.mine(1)
        node.start()
        node.settle()
        until_midnight(node, -900.0)
        yield node


def until_midnight(node: HouseNode, after_s: float = 0.0) -> None:
    """Let time pass until so long after the next midnight."""
    node.wait_s((node.now_s // DAY_S + 1) * DAY_S + after_s - node.now_s)


def pay(node: HouseNode, count: int = 1) -> None:
    incoming, outgoing = list(node.world.channels)[:2]
    for _ in range(count):
        node.world.forward(incoming, outgoing, 10**7, 10**7 + FEE_MSAT, node.now_s)


def today(node: HouseNode) -> int:
    return int(node.now_s // DAY_S)


def rows(node: HouseNode) -> dict[int, tuple[dict[str, Any], dict[str, Any] | None]]:
    """Flows and balances by day, after seeing that no day has two rows."""
    found = node.query("SELECT day, flows, balances FROM daily_snapshot ORDER BY day")
    assert len({day for day, *_ in found}) == len(found)
    return {
        day: (json.loads(flows), None if held is None else json.loads(held))
        for day, flows, held in found
    }


def worth_msat(node: HouseNode) -> int:
    funds = node.call("listfunds")
    confirmed = [o["amount_msat"] for o in funds["outputs"] if o["status"] == "confirmed"]
    return int(sum(confirmed) + sum(c["our_amount_msat"] for c in funds["channels"]))


def held_msat(held: dict[str, Any] | None) -> int:
    assert held is not None
    return int(held["onchain_msat"]) + int(held["local_msat"])


def test_a_13_the_days_end_has_local_on_chain_capacity_and_channels(node: HouseNode) -> None:
    pay(node, 3)
    ended, worth = today(node), worth_msat(node)
    until_midnight(node, 60.0)
    flows, held = rows(node)[ended]
    assert held is not None
    assert held_msat(held) == worth == worth_msat(node)
    assert held["onchain_msat"] > 0 and held["local_msat"] > 0
    assert (held["channels"], held["capacity_msat"]) == (2, 20_000_000_000)
    assert 0.0 <= held["at_s"] - (ended + 1) * DAY_S <= 60.0
    assert (flows["revenue_msat"], flows["forwards"]) == (3 * FEE_MSAT, 3)


def test_days_follow_one_another_and_are_shown_newest_last(node: HouseNode) -> None:
    first = today(node)
    for count in (1, 2, 3):
        pay(node, count)
        until_midnight(node, 60.0)
        node.wait_s(8 * HOUR_S)
    found = rows(node)
    assert [found[first + number][0]["forwards"] for number in range(3)] == [1, 2, 3]
    assert all(found[first + number][1] is not None for number in range(3))
    shown = node.call("revenue-history")["snapshots"]
    assert [row["total_forwards"] for row in shown[-3:]] == [1, 2, 3]
    assert all(row["final"] and row["balances"] == "known" for row in shown[-3:])
    health = node.call("revenue-dashboard", [2])["financial_health"]
    assert health["net_worth_change_since"] == shown[-3]["date"]
    assert health["net_worth_change_sats"] == health["tlv_sats"] - shown[-3]["net_worth_sats"]


def test_forwards_that_were_learned_late_are_in_the_final_row(node: HouseNode) -> None:
    ended = today(node)
    with node.life.held():
        pay(node, 2)
        node.life.withdraw()
    until_midnight(node, 5.0)
    node.wait_s(7 * HOUR_S)
    assert rows(node)[ended][0]["forwards"] == 2


def test_days_missed_in_downtime_are_made_up_with_balances_unknown(node: HouseNode) -> None:
    last = today(node)
    until_midnight(node, 60.0)
    node.kill()
    for _ in range(3):
        pay(node, 2)
        node._virtual.base_s += DAY_S  # type: ignore[union-attr]
    node._virtual.base_s += 3 * HOUR_S  # type: ignore[union-attr]
    node.start()
    node.settle()
    node.wait_s(2 * HOUR_S)
    found = rows(node)
    assert sorted(found)[-4:] == [last, last + 1, last + 2, last + 3]
    assert found[last][1] is not None
    assert [found[last + number][1] for number in (1, 2, 3)] == [None] * 3
    assert [found[last + number][0]["forwards"] for number in (1, 2, 3)] == [2, 2, 2]
    shown = node.call("revenue-history")["snapshots"][-1]
    assert (shown["balances"], shown["net_worth_sats"]) == ("unknown", None)
    assert shown["revenue_sats"] == round(2 * FEE_MSAT / 1000)


@pytest.mark.parametrize("messages", [*range(0, 60, 3), 80, 120])
def test_a_kill_around_midnight_leaves_one_row_a_day(node: HouseNode, messages: int) -> None:
    pay(node, 2)
    ended = today(node)
    until_midnight(node, -1.0)
    node.life.die_after(messages)
    until_midnight(node, 20.0)
    if not node.life.alive:
        node.kill()
        node.start()
        node.settle()
    node.wait_s(300.0)
    flows, held = rows(node)[ended]
    assert flows["forwards"] == 2
    assert held_msat(held) == worth_msat(node)
    node.wait_s(8 * HOUR_S)
    assert rows(node)[ended][0]["forwards"] == 2
    assert ended + 1 not in rows(node)


def test_a_restart_after_the_minutes_of_grace_does_not_pass_off_later_balances(
    node: HouseNode,
) -> None:
    ended = today(node)
    node.kill()
    node._virtual.base_s += 3 * HOUR_S  # type: ignore[union-attr]
    node.start()
    node.settle()
    node.wait_s(HOUR_S)
    assert rows(node)[ended][1] is None


# -- clocks ------------------------------------------------------------------------------------


class Stepped:
    """A wall clock that is off; the other one runs on."""

    def __init__(self, clock: VirtualClock, offset_s: float) -> None:
        self.clock = clock
        self.offset_s = offset_s

    def now(self) -> float:
        return self.clock.now() + self.offset_s

    def monotonic(self) -> float:
        return self.clock.monotonic()


def stepped(node: HouseNode, offset_s: float) -> None:
    """The wall clock of the Reporter, and of whom it asks, is off by so much from now on."""
    clock = node.life.runtime.clock
    assert isinstance(clock, VirtualClock)
    runtime: Any = node.life.house.runtime
    for address in ("reporter", "books-reader", "accountant"):
        runtime._actors[address].context.clock = Stepped(clock, offset_s)


def test_a_clock_that_steps_back_over_midnight_makes_no_second_row(node: HouseNode) -> None:
    ended = today(node)
    until_midnight(node, 5.0)
    assert rows(node)[ended][1] is not None
    stepped(node, -HOUR_S)
    node.wait_s(900.0)
    pay(node)
    node.wait_s(HOUR_S)
    _, held = rows(node)[ended]
    # The midnight that was seen last is the day's end.
    assert held_msat(held) == worth_msat(node)
    assert sorted(rows(node))[-1] == ended


def test_a_clock_that_was_days_ahead_leaves_no_wrong_day_behind(node: HouseNode) -> None:
    ended = today(node)
    stepped(node, 5 * DAY_S)
    node.wait_s(660.0)
    ahead = rows(node)
    assert ended + 3 in ahead and ahead[ended + 3][1] is None
    stepped(node, 0.0)
    shown = node.call("revenue-history")["snapshots"]
    assert len(shown) == len([day for day in ahead if day < ended])
    for count in (1, 2, 3):
        pay(node, count)
        until_midnight(node, 60.0)
        assert rows(node)[today(node) - 1][1] is not None
        node.wait_s(7 * HOUR_S)
    until_midnight(node, 3 * DAY_S)
    found = rows(node)
    assert [found[ended + number][0]["forwards"] for number in range(4)] == [1, 2, 3, 0]


def test_a_clock_set_far_back_takes_no_row_away(node: HouseNode) -> None:
    until_midnight(node, 60.0)
    before = rows(node)
    stepped(node, -node.now_s + 1_000.0)
    node.wait_s(2 * HOUR_S)
    assert rows(node) == before
    stepped(node, 0.0)
    node.wait_s(DAY_S)
    assert rows(node).keys() > before.keys()


def test_rows_that_disagree_with_the_totals_are_read_anew(node: HouseNode) -> None:
    pay(node, 2)
    ended = today(node)
    until_midnight(node, 7 * HOUR_S)
    wrong = json.dumps({**rows(node)[ended][0], "revenue_msat": 7})
    _write(node, f"UPDATE daily_snapshot SET flows = '{wrong}' WHERE day = {ended}")
    until_midnight(node, 8 * HOUR_S)
    flows, held = rows(node)[ended]
    assert flows["revenue_msat"] == 2 * FEE_MSAT
    assert held is not None


@pytest.mark.parametrize("text", ["torn", "[]", "{}", "7"])
def test_an_unreadable_row_is_left_out_and_made_anew(node: HouseNode, text: str) -> None:
    pay(node, 2)
    ended = today(node)
    until_midnight(node, 7 * HOUR_S)
    _write(node, f"UPDATE daily_snapshot SET flows = '{text}' WHERE day = {ended}")
    answer = node.call("revenue-history")
    assert "error" not in answer
    node.wait_s(HOUR_S)
    assert rows(node)[ended][0]["forwards"] == 2


def _write(node: HouseNode, sql: str) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(node.database)) as connection:
        connection.execute(sql)
        connection.commit()


def test_a_node_that_is_away_at_midnight_is_asked_again_for_some_minutes(node: HouseNode) -> None:
    ended = today(node)
    node.reachable = False
    until_midnight(node, 120.0)
    assert rows(node).get(ended, (None, None))[1] is None
    node.reachable = True
    node.wait_s(180.0)
    assert rows(node)[ended][1] is not None


def test_a_full_disk_at_midnight_only_delays_the_row(node: HouseNode) -> None:
    ended = today(node)
    until_midnight(node, -1.0)
    with node.life.full_disk() as make_room:
        node.wait_s(120.0)
        make_room()
    node.wait_s(300.0)
    assert rows(node)[ended][1] is not None
    assert node.status()["actors"]["reporter"]["restarts"] == 0
