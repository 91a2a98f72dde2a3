"""A kill between any two messages leaves no trace in log, cursors, flow states or evidence."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim.house_support import START_S, HouseNode
from tests.sim.house_traffic import CATCH_UP_S, Traffic, traffic

HOURS = 4
EVERYTHING_COUNTS_ONCE = {"revenue-ops-enable-reputation": "false"}
PAYMENTS = [
    # minute, way, outcome; pending ones are settled half an hour later
    *((minute, minute, ("settled", "settled", "failed", "pending")[minute % 4])
      for minute in range(3, HOURS * 60 - 45, 7)),
]  # fmt: skip


class Kept(NamedTuple):
    """What a restart must not change."""

    log: list[tuple[Any, ...]]
    cursors: tuple[Any, ...]
    analysed_s: float
    flow_cursor: int
    states: list[tuple[Any, ...]]
    fee_cursor: int
    evidence: dict[str, float]


def kept(node: HouseNode) -> Kept:
    """Read it from the database. The order of the log is that in which it was told."""
    log = node.query(
        "SELECT in_scid, in_htlc_id, status, out_scid, in_msat, out_msat, fee_msat,"
        " received_at_s, resolved_at_s, failcode, created_index FROM forward_log"
        " ORDER BY in_scid, in_htlc_id"
    )
    ((flow_cursor, header),) = node.query("SELECT cursor_seq, header FROM flow_header")
    ((fee_header,),) = node.query("SELECT header FROM fee_header")
    demand = node.query("SELECT peer_id, body FROM fee_demand ORDER BY peer_id")
    return Kept(
        log,
        node.query("SELECT * FROM forward_state")[0],
        json.loads(header)["analysed_s"],
        flow_cursor,
        node.query("SELECT channel_id, body FROM flow_state ORDER BY channel_id"),
        json.loads(fee_header)["desk"]["cursor"],
        {peer_id: json.loads(body)["peer"]["seen"] for peer_id, body in demand},
    )


def live(it: Traffic, go: Callable[[float], object]) -> Kept:
    """The same four hours every time; `go` advances the house to an instant."""
    node, amount_msat = it.node, 1_000_000
    go(START_S + 60.0)
    waiting: list[tuple[int, int]] = []
    for minute, way, outcome in PAYMENTS:
        go(START_S + 60.0 * minute)
        amount_msat += 50_021
        ends = (it.one, it.two) if way % 3 else (it.two, it.one)
        row = node.pay(*ends, amount_msat, fee_msat=20_000, outcome=outcome)
        if outcome == "pending":
            waiting.append((minute + 30, row.created_index))
        if waiting and waiting[0][0] <= minute:
            node.world.resolve(waiting.pop(0)[1])
    for _, created_index in waiting:
        node.world.resolve(created_index)
    go(START_S + 3_600.0 * HOURS + CATCH_UP_S)
    return kept(node)


@cache
def undisturbed() -> tuple[Kept, int]:
    """What is kept without a kill, and how many messages were handled."""
    with traffic(options=EVERYTHING_COUNTS_ONCE) as it:
        result = live(it, lambda until_s: it.node.advance(until_s))
        assert len(result.log) == len(PAYMENTS)
        assert result.flow_cursor == result.fee_cursor == len(PAYMENTS)
        assert sum(result.evidence.values()) == len([row for row in PAYMENTS if row[2] != "failed"])
        assert len(result.states) == 2
        return result, it.node.life.handled


def disturbed(kills: list[int]) -> Kept:
    """The same with a kill after each of these numbers of messages, counted from the last."""
    with traffic(options=EVERYTHING_COUNTS_ONCE) as it:
        node, left = it.node, list(kills)

        def go(until_s: float) -> None:
            node.advance(until_s)
            while not node.life.alive:
                node.restart()
                if left:
                    node.life.die_after(left.pop(0))
                node.life.ask("dev-revenue-advance", {"until": until_s})

        go(START_S + 60.0)
        node.life.die_after(left.pop(0))
        return live(it, go)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 700), min_size=1, max_size=6))
def test_a_kill_anywhere_changes_nothing_that_is_kept(kills: list[int]) -> None:
    assert disturbed(kills) == undisturbed()[0]
