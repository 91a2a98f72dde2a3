"""What the pricing desk stores is all it needs: back from the store it decides the same."""

from __future__ import annotations

import base64
import copy
import json
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from cl_revenue_ops.domain.demand.curve import CELLS
from cl_revenue_ops.domain.fees.book import FeeBook
from cl_revenue_ops.domain.fees.desk import PricingDesk
from cl_revenue_ops.domain.fees.record import to_record
from tests.unit.fees_support import DAY_S, HALF_HOUR_S, HOUR_S, NOW, spike
from tests.unit.fees_world import House, entries, quotes, world


def lived(seed: int, hours: int) -> House:
    house = House(world(seed))
    house.world.demands = [
        replace(demand, per_day=4.0 * demand.per_day, size_msat=0.2 * demand.size_msat)
        for demand in house.world.demands
    ]
    quotes(house)
    for _ in range(hours):
        house.hour()
    return house


def same_desk(one: PricingDesk, other: PricingDesk) -> None:
    """Bit for bit, the order of peers apart."""
    assert sorted(one.demand.peers) == sorted(other.demand.peers)
    for peer_id, law in one.demand.posteriors.items():
        again = other.demand.posteriors[peer_id]
        for kept, read in zip(vars(law).values(), vars(again).values(), strict=True):
            assert kept.dtype == read.dtype
            assert np.array_equal(kept, read), peer_id
    assert one.demand.peers == other.demand.peers
    assert one.demand.pool == other.demand.pool
    assert one.demand.season == other.demand.season
    assert one.demand.values == other.demand.values
    assert one.demand.learned_s == other.demand.learned_s
    assert (one.draws, one.aimd) == (other.draws, other.aimd)
    assert (one.watch, one.cursor) == (other.watch, other.cursor)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_packed_is_read_back_exactly(seed: int) -> None:
    house = lived(seed, 30)
    desk = house.book.desk
    assert desk.cursor > 100
    assert any(known.window.mean_msat > 0.0 for known in desk.demand.peers.values())
    assert any(scarce > 0.0 for scarce, _ in desk.demand.values.values())
    same_desk(desk, house.restart().book.desk)
    assert house.restart().book.desk.pack() == {**desk.pack()}
    assert house.restart().book.desk.header() == desk.header()


def test_a_peer_that_was_only_met_is_read_back_too() -> None:
    house = House(world(4))
    house.book.desk.meet(house.world.facts(), {}, 100_000_000)
    desk = house.restart().book.desk
    assert desk.pack() == house.book.desk.pack()
    assert desk.draws == {}
    assert sorted(desk.demand.peers) == sorted(house.world.peer(n) for n in range(6))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_desk_restored_between_two_cycles_makes_the_same_decisions(seed: int) -> None:
    """Restored before every one of 24 cycles, beside one that was never stopped."""
    steady = lived(seed, 20)
    steady.decisions.clear()
    restless = copy.deepcopy(steady)
    for hour in range(24):
        restless = restless.restart()
        if hour == 6:
            quotes(steady, 1.7)
            quotes(restless, 1.7)
        for one, other in zip(steady.hour(), restless.hour(), strict=True):
            assert to_record(one) == to_record(other), f"seed {seed}, hour {hour}"
    same_desk(steady.book.desk, restless.book.desk)
    assert steady.book.desk.markets == restless.book.desk.markets
    assert any(d.action == "set" for d in steady.decisions), "nothing was decided that could differ"


def test_restored_between_reading_the_channels_and_the_cycle_it_knows_what_was_watched() -> None:
    steady = lived(3, 10)
    restless = copy.deepcopy(steady)
    for house in (steady, restless):
        rows = house.world.pass_time(HALF_HOUR_S)
        house.look()
        if house is restless:
            house.book = house.restart().book
        house.cycle(rows + house.world.pass_time(HALF_HOUR_S))
    same_desk(steady.book.desk, restless.book.desk)


def test_the_spike_of_the_mempool_is_not_kept() -> None:
    house = lived(1, 2)
    house.book.spike = spike(1.0)
    book = FeeBook.unpack(house.book.header(), {}, house.book.desk.pack(), house.world.now_s)
    assert book.spike is None


@cache
def packed() -> tuple[dict[str, Any], str]:
    """A desk's header, and the row of a peer whose draw and decrease are known."""
    house = lived(1, 3)
    desk = house.book.desk
    peer_id = house.world.peer(0)
    desk.aimd[peer_id] = desk.aimd[peer_id]._replace(multiplier=0.85, decreased_at_s=NOW)
    return desk.header(), desk.pack()[peer_id]


def changed(path: tuple[str | int, ...], value: object) -> str:
    row = json.loads(packed()[1])
    place: Any = row
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return json.dumps(row)


UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
DAMAGED: dict[str, str] = {
    "nothing": "",
    "no JSON": "x",
    "null": "null",
    "a number": "7",
    "a list": "[]",
    "empty": "{}",
    "too deep": "[" * 100_000,
    "cut off": packed()[1][:-9],
    "no posterior": changed(("posterior",), None),
    "two arrays": changed(("posterior",), json.loads(packed()[1])["posterior"][:2]),
    "no base64": changed(("posterior", 0), "!!"),
    "a short array": changed(("posterior", 1), "AAAAAA=="),
    "nothing weighs": changed(("posterior", 0), base64.b64encode(bytes(4 * CELLS)).decode()),
    "no peer": changed(("peer",), []),
    "a size that is NaN": changed(("peer", "size_sum_msat"), float("nan")),
    "entries as a list": changed(("peer", "entered"), [1]),
    "a policy cut short": changed(("peer", "policies"), [[1.0, 2]]),
    "one value": changed(("value",), [1.0]),
    "a value that is NaN": changed(("value",), [float("nan"), 0.0]),
    "a value that is infinite": changed(("value",), [0.0, float("inf")]),
    "a value as a word": changed(("value",), ["1.0", 0.0]),
    "a draw cut short": changed(("draw",), [1, 0.5, NOW, 3]),
    "a draw that is NaN": changed(("draw", 4), float("nan")),
    "a draw of half a number": changed(("draw", 0), 1.5),
    "a draw of a word": changed(("draw", 1), "0.5"),
    "a draw beyond the bands": changed(("draw", 3), 7),
    "a draw below the bands": changed(("draw", 3), -1),
    "a multiplier of nothing": changed(("aimd", 1), 0.0),
    "a later AIMD": changed(("aimd", 0), 99),
    "no AIMD": changed(("aimd",), None),
    "a number beyond all": packed()[1].replace('"value":[', '"value":[1' + "0" * 400 + ",", 1),
}


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("known", [True, False])
def test_a_damaged_row_of_a_peer_raises_and_changes_nothing(name: str, known: bool) -> None:
    desk, peer_id = PricingDesk(), world(1).peer(0)
    header, row = packed()
    desk.read_header(header, 2.0 * NOW)
    if known:
        desk.read(peer_id, row)
    before = copy.deepcopy(desk)
    with pytest.raises(UNREADABLE):
        desk.read(peer_id, DAMAGED[name])
    same_desk(desk, before)


def test_the_undamaged_row_is_read() -> None:
    """So none of the damages above is refused for another reason than its own."""
    desk = PricingDesk()
    desk.read("02" + "aa" * 32, json.dumps(json.loads(packed()[1])))
    assert desk.aimd["02" + "aa" * 32].multiplier == 0.85


@pytest.mark.parametrize(
    "damage",
    [
        {"pool": None}, {"pool": [99]}, {"season": None}, {"season": [[0.0]] * 4},
        {"noise": None}, {"noise": [1.0]}, {"fitted": None}, {"fitted": {"them": [1.0]}},
        {"watch": None}, {"watch": [1.0, {}, {}]}, {"cursor": None}, {"cursor": 1.5},
        {"cursor": True}, {"learned_s": "x"}, {"learned_s": float("nan")},
        {"learned_s": float("inf")},
    ],
)  # fmt: skip
def test_a_damaged_header_raises_and_changes_nothing(damage: dict[str, Any]) -> None:
    desk, (header, _) = PricingDesk(), packed()
    desk.read_header(header, 2.0 * NOW)
    before = copy.deepcopy(desk)
    with pytest.raises(UNREADABLE):
        desk.read_header({**header, **damage}, 2.0 * NOW)
    for name in damage:
        with pytest.raises(UNREADABLE):
            desk.read_header({key: v for key, v in header.items() if key != name}, 2.0 * NOW)
    same_desk(desk, before)


def test_one_damaged_peer_starts_anew_alone_and_is_named() -> None:
    house = lived(2, 3)
    rows = house.book.desk.pack()
    hurt = house.world.peer(2)
    book = FeeBook.unpack(house.book.header(), {}, {**rows, hurt: rows[hurt][:-7]}, 2.0 * NOW)
    assert book.unreadable == (f"the demand of {hurt}",)
    assert sorted(book.desk.demand.peers) == sorted(set(rows) - {hurt})
    house.book = book
    assert len(house.cycle()) == 7
    assert hurt in house.book.desk.markets


def test_a_damaged_desk_in_the_header_costs_the_header_and_not_the_peers() -> None:
    house = lived(2, 3)
    header = json.loads(house.book.header())
    header["desk"]["pool"] = [99]
    book = FeeBook.unpack(json.dumps(header), {}, house.book.desk.pack(), 2.0 * NOW)
    assert book.unreadable == ("header",)
    assert (book.desk.cursor, book.desk.demand.learned_s) == (0, None)
    assert sorted(book.desk.demand.peers) == sorted(house.book.desk.demand.peers)


def test_a_header_from_before_there_was_a_desk_is_read() -> None:
    book = FeeBook.unpack('{"last_cycle_s": 5.0, "quotes": {}}', {}, {}, NOW)
    assert (book.last_cycle_s, book.unreadable, book.desk.cursor) == (5.0, (), 0)


def test_restored_by_a_clock_that_was_set_back_nothing_lies_ahead_and_it_learns_on() -> None:
    house = lived(3, 12)
    back_s = house.world.now_s - 30 * DAY_S
    house.world.now_s = back_s
    house.book = house.restart().book
    desk = house.book.desk
    assert desk.demand.learned_s == back_s
    assert desk.watch.read_s == back_s
    before = {name: known.seen for name, known in desk.demand.peers.items()}
    for _ in range(3):
        house.hour()
    assert desk.demand.learned_s == back_s + 3 * HOUR_S
    assert sum(known.seen - before[name] for name, known in desk.demand.peers.items()) > 5.0
    assert all(back_s <= draw.at_s <= back_s + 3 * HOUR_S for draw in desk.draws.values())


def test_peers_without_channels_are_forgotten_whole() -> None:
    house = lived(1, 4)
    desk, facts = house.book.desk, house.world.facts()
    gone = house.world.peer(1)
    kept = [fact for fact in facts if fact.peer_id != gone]
    assert gone in desk.markets
    desk.forget(entries(kept))
    rest = sorted({fact.peer_id for fact in kept})
    tables = (desk.demand.peers, desk.demand.posteriors, desk.demand.values, desk.demand.surprises)
    for table in (*tables, desk.draws, desk.aimd, desk.markets, desk.pack()):
        assert sorted(table) == rest


def test_the_book_forgets_a_peer_whose_last_channel_is_closed_in_two_readings() -> None:
    house = lived(1, 4)
    facts, peers = house.world.facts(), house.book.desk.demand.peers
    first, other = house.world.peer(0), house.world.peer(2)
    gone = [fact for fact in facts if fact.peer_id == other] + facts[:1]
    told = entries([fact for fact in facts if fact not in gone]) + entries(gone, closed=True)
    house.book.forget_closed(told, NOW)
    assert other in peers
    house.book.forget_closed(told, NOW + 60.0)
    assert other not in peers
    assert first in peers, "another channel leads to it"
    assert len(peers) == 5
