"""The pricing desk: what counts as evidence of demand, and which time it is set against."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cl_revenue_ops.domain.fees.desk import NO_LIQUIDITY, PricingDesk
from cl_revenue_ops.domain.watch import GAP_S
from messages.forwards import FAILED, LOCAL_FAILED, OFFERED, SETTLED
from tests.unit.fees_desk_support import (
    CAFE,
    FLOW_MSAT,
    HOUSE,
    MINER,
    PEERS,
    QUOTE,
    SHOP,
    SIZE_MSAT,
    begun,
    fact,
    laws,
    learn,
    many,
    row,
    volume_msat,
    watched,
)
from tests.unit.fees_support import DAY_S, HALF_HOUR_S, HOUR_S, NOW

# -- what counts as evidence ------------------------------------------------------------------


def test_what_came_in_watched_time_is_counted_against_that_time() -> None:
    busy, idle = begun(), begun()
    before = volume_msat(busy, SHOP)
    now_s = watched(busy, 12.0)
    watched(idle, 12.0)
    learn(busy, many(24, NOW, now_s), now_s)
    learn(idle, (), now_s)
    assert busy.demand.peers[SHOP].seen == pytest.approx(24.0)
    assert volume_msat(idle, SHOP) < 0.7 * before
    # The prior, a fiftieth of it, still holds it down a little after half a day.
    assert 0.65 * 48 * SIZE_MSAT < volume_msat(busy, SHOP) < 1.1 * 48 * SIZE_MSAT


def test_what_came_before_the_first_start_teaches_sizes_and_entries_but_no_counts() -> None:
    """Twenty days of the log at once, a minute and a half after the first reading."""
    taught, plain = PricingDesk(), PricingDesk()
    for desk, rows in (
        (taught, many(400, NOW - 20 * DAY_S, NOW - 91.0, msat=7_000_000)),
        (plain, []),
    ):
        desk.look(HOUSE, NOW - 90.0)
        desk.meet(HOUSE, dict.fromkeys(PEERS, QUOTE), FLOW_MSAT)
        desk.ask(HOUSE, NOW)
        desk.look(HOUSE, NOW)
        learn(desk, rows, NOW)
    assert laws(taught) == laws(plain)
    shop = taught.demand.peers[SHOP]
    assert shop.seen == 0.0
    assert shop.size_count > 100.0
    assert dict(shop.entered)[MINER] > 400_000_000.0
    assert taught.demand.pool.size_msat < 0.2 * plain.demand.pool.size_msat


def test_what_came_while_the_plugin_was_down_teaches_sizes_and_entries_but_no_counts() -> None:
    """Down for five hours; what came before and after that counts."""
    taught, plain = begun(), begun()
    down_s, up_s = NOW + HOUR_S, NOW + 6 * HOUR_S
    for desk, rows in (
        (taught, many(6, NOW, down_s) + many(50, down_s, up_s) + many(5, up_s, up_s + HALF_HOUR_S)),
        (plain, many(6, NOW, down_s) + many(5, up_s, up_s + HALF_HOUR_S)),
    ):
        watched(desk, 1.0)
        desk.look(HOUSE, up_s)
        desk.look(HOUSE, up_s + HALF_HOUR_S)
        learn(desk, rows, up_s + HALF_HOUR_S)
        assert desk.demand.peers[SHOP].seen == pytest.approx(11.0)
    assert laws(taught) == laws(plain)
    assert taught.demand.peers[SHOP].size_count > plain.demand.peers[SHOP].size_count + 40.0


def test_what_is_logged_long_after_it_came_counts_no_more_and_what_is_a_little_late_does() -> None:
    desk = begun()
    now_s = watched(desk, 6.0)
    learn(desk, many(12, NOW, now_s), now_s)
    later_s = watched(desk, 0.5, from_s=now_s)
    learn(desk, [row(now_s - 0.5 * GAP_S), row(now_s - 1.5 * GAP_S)], later_s)
    assert desk.demand.peers[SHOP].seen == pytest.approx(13.0)
    assert desk.demand.peers[SHOP].size_count > 13.5


@pytest.mark.parametrize(
    ("changes", "counted"),
    [
        ({"status": SETTLED}, True),
        ({"status": LOCAL_FAILED, "failcode": NO_LIQUIDITY}, True),
        ({"status": LOCAL_FAILED, "failcode": 0x100C}, False),
        ({"status": LOCAL_FAILED, "failcode": 0x400A}, False),
        ({"status": LOCAL_FAILED, "failcode": None}, False),
        ({"status": FAILED, "failcode": NO_LIQUIDITY}, False),
        ({"status": FAILED, "failcode": None}, False),
        ({"status": OFFERED}, False),
        ({"out": None}, False),
        ({"out": "77x1x0"}, False),
        ({"into": "77x1x0"}, False),
        ({"status": LOCAL_FAILED, "failcode": NO_LIQUIDITY, "msat": None}, False),
    ],
)
def test_only_what_settled_or_was_refused_for_want_of_liquidity_is_evidence(
    changes: dict[str, Any], counted: bool
) -> None:
    desk, idle = begun(), begun()
    now_s = watched(desk, 4.0)
    watched(idle, 4.0)
    learn(desk, many(10, NOW, now_s, **changes), now_s)
    learn(idle, (), now_s)
    assert desk.demand.peers[SHOP].seen == pytest.approx(10.0 if counted else 0.0)
    assert (laws(desk) != laws(idle)) is counted


def test_a_refusal_is_demand_that_would_have_paid_but_teaches_neither_size_nor_entry() -> None:
    desk = begun()
    now_s = watched(desk, 4.0)
    learn(desk, many(10, NOW, now_s, status=LOCAL_FAILED, failcode=NO_LIQUIDITY), now_s)
    assert volume_msat(desk, SHOP) > volume_msat(desk, CAFE)
    shop = desk.demand.peers[SHOP]
    assert (shop.size_count, dict(shop.entered)) == (0.0, {})


def test_a_forward_counts_for_the_peer_it_left_to_and_enters_from_the_other() -> None:
    desk = begun()
    now_s = watched(desk, 4.0)
    learn(desk, many(8, NOW, now_s, out="2x1x0", into="0x1x0"), now_s)
    assert [desk.demand.peers[peer_id].seen for peer_id in PEERS] == pytest.approx([0.0, 0.0, 8.0])
    assert list(desk.demand.peers[CAFE].entered) == [SHOP]


def test_a_missing_fee_is_what_came_in_less_what_went_out() -> None:
    """Which of two policies that a sender may know it answered to, is told by what it paid."""
    now_s = NOW + 4.0 * HOUR_S
    rows = many(8, NOW + 3.0 * HOUR_S, now_s)
    free = [one._replace(fee_msat=0) for one in rows]
    found = []
    for heard in (rows, [one._replace(fee_msat=None) for one in rows], free):
        desk = begun()
        watched(desk, 4.0)
        desk.ask([fact(SHOP, fee_ppm=100)], NOW + HOUR_S)
        learn(desk, heard, now_s)
        found.append(laws(desk))
    assert found[0] == found[1] != found[2]


# -- who is watched ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"connected": False, "reestablished": False},
        {"state": "CHANNELD_SHUTTING_DOWN"},
        {"htlcs_out": 483},
        {"spendable_msat": 0},
        {"htlc_min_msat": 4_900_000_001},
    ],
)
def test_time_in_which_no_usual_forward_could_be_carried_says_nothing(
    changes: dict[str, Any],
) -> None:
    able, unable = begun(), begun()
    now_s = watched(able, 12.0)
    hindered = (fact(SHOP, **changes), *HOUSE[1:])
    unable.look(hindered, NOW)
    watched(unable, 12.0, hindered)
    learn(able, (), now_s)
    learn(unable, (), now_s)
    assert volume_msat(unable, SHOP) > 0.95 * volume_msat(begun(), SHOP)
    assert volume_msat(able, SHOP) < 0.7 * volume_msat(begun(), SHOP)
    assert volume_msat(unable, MINER) < 0.7 * volume_msat(begun(), MINER)


def test_the_less_of_the_usual_fits_the_less_its_silence_says() -> None:
    believed = []
    for room_msat in (0, SIZE_MSAT // 4, SIZE_MSAT, 8 * SIZE_MSAT):
        desk = begun()
        facts = (fact(SHOP, spendable_msat=room_msat), *HOUSE[1:])
        desk.look(facts, NOW)
        learn(desk, (), watched(desk, 12.0, facts))
        believed.append(volume_msat(desk, SHOP))
    assert believed == sorted(believed, reverse=True)
    assert len(set(believed)) == 4


@pytest.mark.parametrize("changes", [{"receivable_msat": 0}, {"htlcs_in": 483}])
def test_time_in_which_nothing_could_enter_says_nothing_of_what_did_not_leave(
    changes: dict[str, Any],
) -> None:
    closed = [replace(one, **changes) for one in HOUSE]
    desk = begun(closed)
    now_s = watched(desk, 12.0, closed)
    learn(desk, (), now_s)
    assert volume_msat(desk, SHOP) > 0.95 * volume_msat(begun(), SHOP)


def test_a_channel_of_small_capacity_carries_what_half_of_it_is() -> None:
    small = fact(SHOP, capacity_msat=150_000_000, local_msat=90_000_000, spendable_msat=80_000_000)
    desk = begun((small, *HOUSE[1:]))
    now_s = watched(desk, 12.0, (small, *HOUSE[1:]))
    learn(desk, (), now_s)
    assert volume_msat(desk, SHOP) < 0.7 * volume_msat(begun(), SHOP)


def test_one_channel_that_can_carry_is_enough_for_its_peer() -> None:
    drained = fact(SHOP, spendable_msat=0)
    for pair in ((drained, fact(SHOP, 5)), (fact(SHOP, 5), drained)):
        facts = (*pair, *HOUSE[1:])
        desk = begun(facts)
        now_s = watched(desk, 12.0, facts)
        learn(desk, (), now_s, facts)
        assert volume_msat(desk, SHOP) < 0.7 * volume_msat(begun(), SHOP)


def test_a_clock_that_was_set_back_costs_one_look_and_no_more() -> None:
    """After it, what comes is set against the time it came in, as before."""
    steady, moved = begun(), begun()
    learn(steady, many(12, NOW, NOW + 6 * HOUR_S), watched(steady, 6.0))
    learn(moved, many(12, NOW, NOW + 6 * HOUR_S), watched(moved, 6.0))
    steady_s, moved_s = NOW + 6 * HOUR_S, NOW - 30 * DAY_S
    moved.look(HOUSE, moved_s)
    learn(moved, [row(NOW + 6 * HOUR_S), row(moved_s)], moved_s)
    assert moved.demand.peers[SHOP].seen == pytest.approx(12.0)
    assert moved.demand.learned_s == moved.watch.read_s == moved_s
    for desk, from_s in ((steady, steady_s), (moved, moved_s)):
        now_s = watched(desk, 24.0, from_s=from_s)
        learn(desk, many(48, from_s, now_s), now_s)
        assert desk.demand.peers[SHOP].seen == pytest.approx(60.0)
    assert volume_msat(moved, SHOP) == pytest.approx(volume_msat(steady, SHOP), rel=0.05)
    assert volume_msat(moved, CAFE) == pytest.approx(volume_msat(steady, CAFE), rel=0.05)


def test_a_reading_that_is_told_late_takes_no_time_back() -> None:
    desk = begun()
    now_s = watched(desk, 3.0)
    before = desk.watch
    desk.look(HOUSE, now_s - 60.0)
    assert desk.watch == before
