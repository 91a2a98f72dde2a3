"""Our own payments in listchannelmoves: live rows, odd ones, pages backwards, nodes without it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.adapters.breaker import group_of
from cl_revenue_ops.adapters.capabilities import REPROBE_AFTER_S
from cl_revenue_ops.adapters.parse_books import parse_own_move
from cl_revenue_ops.ports import MalformedReply, NodeRefused
from messages.moves import OwnMove, OwnMovePage
from tests.unit.test_adapter_forwards import anything
from tests.unit.test_adapter_node import Desk
from tests.unit.test_adapter_server import Step, a_bench, refusal, result

CHANNEL = "5e6e" * 16
HASH = "da14" * 16

# As a node of v26.06 lists a payment to itself, and a forward.
ARRIVED: dict[str, Any] = {
    "created_index": 3,
    "account_id": CHANNEL,
    "credit_msat": 5000000,
    "debit_msat": 0,
    "timestamp": 1795402081,
    "primary_tag": "invoice",
    "payment_hash": HASH,
    "fees_msat": 0,
}
LEFT = {
    **ARRIVED,
    "created_index": 4,
    "credit_msat": 0,
    "debit_msat": 5000551,
    "part_id": 0,
    "group_id": 1,
    "fees_msat": 551,
}
FORWARDED = {**LEFT, "created_index": 1, "primary_tag": "routed", "timestamp": 1795402080}
PUSHED = {**ARRIVED, "created_index": 2, "primary_tag": "pushed", "payment_hash": None}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with a_bench(tmp_path) as bench:
        yield Desk(bench)


def newest(index: int) -> Step:
    return result({"subsystem": "channelmoves", "created": index})


def page(*rows: object) -> Step:
    return result({"channelmoves": list(rows)})


def test_live_rows_are_understood() -> None:
    assert parse_own_move(ARRIVED) == OwnMove(3, CHANNEL, 5000000, 0, 0, HASH, 1795402081.0)
    assert parse_own_move(LEFT) == OwnMove(4, CHANNEL, 0, 5000551, 551, HASH, 1795402081.0)


@pytest.mark.parametrize(
    "change",
    [
        {"credit_msat": 1},
        {"debit_msat": 0},
        {"debit_msat": 550},
        {"account_id": "wallet"},
        {"payment_hash": None},
        {"timestamp": "soon"},
        {"created_index": -1},
    ],
)
def test_a_row_that_makes_no_sense_is_left_out(change: dict[str, Any]) -> None:
    assert parse_own_move({**LEFT, **change}) is None


@given(st.sampled_from(sorted(LEFT)), anything, st.sampled_from([ARRIVED, LEFT]))
def test_one_odd_field_leaves_the_row_out_or_sound(
    field: str, value: object, row: dict[str, Any]
) -> None:
    move = parse_own_move({**row, field: value})
    assert parse_own_move(value) is None
    if move is not None:
        assert min(move.credit_msat, move.debit_msat, move.fees_msat) == 0
        assert move.credit_msat + move.debit_msat > 0
        assert move.credit_msat or move.debit_msat >= move.fees_msat


def test_the_newest_page_lies_below_the_newest_index(desk: Desk) -> None:
    desk.script(newest(4), page(PUSHED, ARRIVED, LEFT))
    found = desk.node.own_moves(None, 3)
    assert found is not None
    assert [row.created_index for row in found.rows] == [3, 4], "only payments by us or to us"
    assert (found.start, found.malformed) == (2, 0)
    assert desk.asked == [
        ("wait", {"subsystem": "channelmoves", "indexname": "created", "nextvalue": 0}),
        ("listchannelmoves", {"index": "created", "start": 2, "limit": 3}),
    ]


def test_an_older_page_ends_where_the_newer_began(desk: Desk) -> None:
    desk.script(page(FORWARDED))
    assert desk.node.own_moves(2, 3) == OwnMovePage((), 1, 1795402080.0, 1795402080.0)
    assert desk.asked == [("listchannelmoves", {"index": "created", "start": 1, "limit": 1})]


def test_a_page_tells_its_first_and_its_latest_time(desk: Desk) -> None:
    rows = [{**FORWARDED, "timestamp": at_s} for at_s in (500, 9, 700, "soon", 600)]
    desk.script(page(*rows))
    found = desk.node.own_moves(6, 5)
    assert found is not None
    assert (found.oldest_s, found.newest_s) == (500.0, 700.0)


def test_a_node_that_has_moved_nothing_yet_is_not_asked_for_rows(desk: Desk) -> None:
    desk.script(newest(0))
    assert desk.node.own_moves(None, 1000) == OwnMovePage((), 1, None, None)


def test_malformed_rows_are_counted_and_passed_over(desk: Desk) -> None:
    desk.script(page(ARRIVED, {**LEFT, "fees_msat": "many"}, None, FORWARDED))
    found = desk.node.own_moves(5, 4)
    assert found is not None
    assert (len(found.rows), found.malformed) == (1, 2)
    assert desk.left_out.counts() == {"listchannelmoves": 2}


@pytest.mark.parametrize("code", [-32601, -32602])
@pytest.mark.parametrize("before", [None, 9])
def test_a_node_without_the_list_says_so_and_is_not_asked_for_an_hour(
    desk: Desk, code: int, before: int | None
) -> None:
    desk.script(refusal(code, "no"), newest(0))
    for _ in range(2):
        assert desk.node.own_moves(before, 1000) is None
    assert len(desk.asked) == 1
    desk.bench.clock.now_s += REPROBE_AFTER_S
    assert desk.node.own_moves(None, 1000) is not None
    assert desk.capabilities.states()["listchannelmoves (v25.09)"] is True


def test_other_refusals_pass_and_what_is_no_list_is_malformed(desk: Desk) -> None:
    desk.script(refusal(-1, "no"), result({}), result({"created": None}))
    with pytest.raises(NodeRefused):
        desk.node.own_moves(None, 1000)
    with pytest.raises(MalformedReply):
        desk.node.own_moves(5, 1000)
    with pytest.raises(MalformedReply):
        desk.node.own_moves(None, 1000)


def test_its_outages_hold_back_nothing_else() -> None:
    others = ("listforwards", "listpeerchannels", "setchannel", "getinfo", "listchannels")
    assert group_of("listchannelmoves") == "moves"
    assert "moves" not in {group_of(method) for method in others}
