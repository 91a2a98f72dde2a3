"""Tests of the index of rivals' moves: what it follows, what it must not, and what it costs."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest

from cl_revenue_ops.domain import jsontext
from cl_revenue_ops.domain.demand import packing, rivals
from cl_revenue_ops.domain.demand.rivals import LIVE_DAYS, MOST_RIVALS, Ask, Noise, Rivals
from cl_revenue_ops.simnode.market import draw_market

HOUR_S = 3_600.0
CAPACITY = 10**9


def asks(*prices: int) -> list[Ask]:
    """One rival a price, by its place."""
    return [Ask(f"{place}x1x1", ppm, CAPACITY) for place, ppm in enumerate(prices)]


def played(*looks: list[Ask], noise: Noise | None = None) -> tuple[Rivals, Noise]:
    """What is known after looks an hour apart."""
    known, heard = Rivals(), noise or Noise()
    for number, look in enumerate(looks):
        known, heard = rivals.read(known, look, heard, 1e9 + number * HOUR_S)
    return known, heard


def level(*looks: list[Ask]) -> float:
    return played(*looks)[0].level


def test_where_rivals_stand_is_no_move() -> None:
    assert level(asks(5, 50, 5_000)) == 0.0
    assert level(asks(5, 50, 5_000), asks(5, 50, 5_000)) == 0.0


def test_a_rival_that_moves_moves_the_index_by_its_own_move() -> None:
    assert level(asks(100, 900), asks(200, 900)) == pytest.approx(math.log(2.0), abs=0.1)
    assert level(asks(100, 900), asks(100, 450)) == pytest.approx(-math.log(2.0), abs=0.1)


def test_a_rival_that_follows_later_says_the_same_again() -> None:
    first = level(asks(100, 900), asks(200, 900))
    both = level(asks(100, 900), asks(200, 900), asks(200, 1_800))
    assert both == pytest.approx(math.log(2.0), abs=0.02)
    assert both >= first


def test_rivals_that_come_and_go_are_no_move() -> None:
    assert level(asks(100), asks(100, 5_000)) == 0.0
    assert level(asks(100, 5_000), asks(100)) == 0.0
    after = level(asks(100, 200), asks(200), asks(200, 9_000), asks(200, 9_000))
    assert after == level(asks(100, 200), asks(200))


def test_what_rounding_may_have_done_is_no_move() -> None:
    assert level(asks(3), asks(2)) == 0.0
    assert level(asks(1_000), asks(1_015)) == 0.0
    assert level(asks(1_000), asks(1_030)) > 0.0


def test_free_channels_say_nothing() -> None:
    assert level(asks(0, 100), asks(500, 100), asks(0, 100)) == 0.0


def test_rivals_that_disagree_are_believed_less() -> None:
    """Where each moves for reasons of its own, the moves of a few say little of the market."""
    wild = random.Random(7)
    looks = [
        asks(*(round(300 * math.exp(wild.gauss(0.0, 0.8))) for _ in range(6))) for _ in range(40)
    ]
    known, heard = played(*looks)
    assert heard.variance > 0.3
    alone = [a if place else a._replace(ppm=4 * a.ppm) for place, a in enumerate(looks[-1])]
    moved, _ = rivals.read(known, alone, heard, 1e9 + 99 * HOUR_S)
    assert abs(moved.level - known.level) < 0.75 * math.log(4.0)


def test_one_that_errs_among_many_that_agree_is_outvoted() -> None:
    after = level(asks(*[100] * 9), asks(*[200] * 8, 5_000))
    assert after == pytest.approx(math.log(2.0), abs=0.05)


@pytest.mark.parametrize("seed", [1001, 1002, 1003, 1004])
def test_the_index_follows_the_price_of_the_alternatives(seed: int) -> None:
    """On a drawn market: much closer than the price of the first day stays to it."""
    market = draw_market(seed, channels=12, days=30)
    levels, heard = market.rivals.levels, Noise()
    off = still = 0.0
    for place in range(len(market.peers)):
        known = Rivals()
        for look in range(120):
            at_s = levels.start_s + look * 6 * HOUR_S
            quotes = market.rivals.quotes(place, at_s)
            seen = [Ask(q.short_channel_id, q.ppm, q.capacity_sat * 1_000) for q in quotes]
            known, heard = rivals.read(known, seen, heard, at_s)
            moved = levels.log_at(place, at_s) - levels.log_at(place, levels.start_s)
            off += (known.level - moved) ** 2
            still += moved**2
    assert off < 0.5 * still, f"seed {seed}: {off:.2f} of {still:.2f}"


def test_rivals_lead_while_they_move() -> None:
    known, heard = played(asks(100, 300), asks(150, 300))
    assert rivals.leads(known)
    later = known.read_s + 2.0 * LIVE_DAYS * 86_400.0
    known, _ = rivals.read(known, asks(150, 300), heard, later)
    assert not rivals.leads(known)
    assert not rivals.leads(None)


def test_a_clock_that_was_set_back_forgets_nothing() -> None:
    known, heard = played(asks(100), asks(200))
    earlier, _ = rivals.read(known, asks(200), heard, known.read_s - 1e6)
    assert (earlier.level, earlier.live) == (known.level, known.live)


def test_only_the_largest_are_remembered() -> None:
    many = [Ask(f"{n}x1x1", 100, CAPACITY + n) for n in range(3 * MOST_RIVALS)]
    known, _ = played(many, many)
    assert len(known.known) == MOST_RIVALS
    assert f"{3 * MOST_RIVALS - 1}x1x1" in known.known
    assert len(jsontext.dumps(packing.rivals_to_row(known))) < 3_000


def test_what_is_stored_comes_back() -> None:
    known, heard = played(asks(100, 7), asks(151, 7), asks(151, 9))
    row = json.loads(jsontext.dumps(packing.rivals_to_row(known)))
    assert packing.rivals_from_row(row) == known
    assert packing.noise_from_row(json.loads(jsontext.dumps(list(heard)))) == heard


ROW = packing.rivals_to_row(played(asks(100, 7), asks(151, 7))[0])


@pytest.mark.parametrize(
    "damage",
    [
        {"known": None}, {"known": [1]}, {"known": {"1x1": [1.0]}}, {"known": {"1x1": ["a", 1]}},
        {"level": None}, {"level": float("nan")}, {"live": "much"}, {"read_s": [1]},
    ],
)  # fmt: skip
def test_a_damaged_row_is_refused(damage: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        packing.rivals_from_row({**ROW, **damage})


@pytest.mark.parametrize("row", [[], [1.0], [1.0, 0.0], [-1.0, 2.0], [float("nan"), 1.0], "ab"])
def test_a_damaged_noise_is_refused(row: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        packing.noise_from_row(row)
