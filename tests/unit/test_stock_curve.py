"""The value of stock by how much there is: its curve, its integral, and the plan it comes from."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.domain.demand import shadow, stock_curve
from cl_revenue_ops.domain.demand.book import DemandBook
from cl_revenue_ops.domain.demand.curve import FEES_PPM, FloatArray, within
from cl_revenue_ops.domain.demand.shadow import HORIZON_DAYS, MARGIN, Ascent, Mix, Multipliers
from cl_revenue_ops.domain.demand.stock_curve import (
    Knots,
    Trade,
    curves,
    value_at,
    value_below,
    worth_msat,
)
from cl_revenue_ops.domain.fees import stock_curves
from tests.unit.demand_support import curve as demand

CAPACITY = 10_000_000_000
STEP: Knots = ((0, 400.0), (1_000, 200.0), (1_000, 50.0), (3_000, 50.0), (4_000, -10.0))


@st.composite
def any_knots(draw: st.DrawFn) -> Knots:
    """Stocks that rise and values that fall, with jumps and flat parts."""
    many = draw(st.integers(2, 8))
    stocks = sorted(draw(st.lists(st.integers(0, 10**10), min_size=many, max_size=many)))
    values = sorted(
        draw(st.lists(st.floats(-2e3, 2e4), min_size=many, max_size=many)), reverse=True
    )
    return tuple(zip(stocks, values, strict=True))


STOCKS = st.integers(-(10**9), 2 * 10**10)


# -- reading a curve -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stock", "at", "below"),
    [
        (-5, 400.0, 400.0),
        (0, 400.0, 400.0),
        (500, 300.0, 300.0),
        (1_000, 50.0, 200.0),
        (2_000, 50.0, 50.0),
        (3_500, 20.0, 20.0),
        (4_000, -10.0, -10.0),
        (9_000, -10.0, -10.0),
    ],
)
def test_between_knots_it_is_a_line_and_beyond_the_ends_it_stays(
    stock: int, at: float, below: float
) -> None:
    assert value_at(STEP, stock) == pytest.approx(at)
    assert value_below(STEP, stock) == pytest.approx(below)


def test_what_stock_is_worth_by_hand() -> None:
    million = 1e6
    assert worth_msat(STEP, 0, 1_000) * million == pytest.approx(300_000)
    assert worth_msat(STEP, 500, 2_000) * million == pytest.approx(250 * 500 + 50 * 1_000)
    assert worth_msat(STEP, 4_000, 5_000) * million == pytest.approx(-10_000)
    assert worth_msat(STEP, -1_000, 0) * million == pytest.approx(400_000)


@given(any_knots(), STOCKS, STOCKS)
def test_law_no_sat_is_dearer_than_the_one_before(knots: Knots, one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert value_at(knots, high) <= value_at(knots, low) + 1e-6
    assert value_below(knots, high) >= value_at(knots, high) - 1e-6
    if low < high:
        assert value_below(knots, high) <= value_at(knots, low) + 1e-6


@given(any_knots(), STOCKS, STOCKS, STOCKS)
def test_law_worth_adds_up_and_there_and_back_is_nothing(
    knots: Knots, start: int, middle: int, end: int
) -> None:
    whole = worth_msat(knots, start, end)
    parts = worth_msat(knots, start, middle) + worth_msat(knots, middle, end)
    assert parts == pytest.approx(whole, abs=1.0, rel=1e-6)
    assert worth_msat(knots, end, start) == -whole


@given(any_knots(), STOCKS, st.integers(1, 10**9))
def test_law_the_next_sats_are_worth_no_more_and_what_they_are_lies_between_the_ends(
    knots: Knots, start: int, size: int
) -> None:
    first = worth_msat(knots, start, start + size)
    second = worth_msat(knots, start + size, start + 2 * size)
    assert second <= first + 1e-6 * (1.0 + abs(first))
    high, low = value_at(knots, start), value_below(knots, start + size)
    assert low * size / 1e6 - 1e-3 <= first * (1 + 1e-9) + 1e-3
    assert first <= high * size / 1e6 + 1e-3 + 1e-9 * abs(first)


# -- making one ------------------------------------------------------------------------------------

NEUTRAL = 150.0 * 2.0 ** (-1 / 3)


def made(
    volumes: FloatArray,
    into: float = 0.0,
    entering: float = 0.0,
    room: float = 1e9,
    most_ppm: float = np.inf,
) -> Knots:
    known = (float(CAPACITY), entering, into, room, most_ppm)
    offered = within(volumes[None, :], np.array([0.0]), np.array([most_ppm]))
    (knots,) = curves(offered, Trade(*(np.array([one]) for one in known)))
    return knots


def sold(volumes: FloatArray, pi_ppm: float, entering: float = 0.0) -> float:
    """What leaves a day at the best fee, looked for over the whole grid."""
    gains = [v * (f - pi_ppm + entering) for v, f in zip(volumes, FEES_PPM, strict=True)]
    return float(volumes[int(np.argmax(gains))])


@pytest.mark.parametrize("entering", [0.0, -20.0, 15.0])
@pytest.mark.parametrize("multiple", [2.5, 1.25, 0.65, 0.18])
def test_a_scarce_stock_lasts_the_horizon_at_the_price_that_its_value_asks(
    multiple: float, entering: float
) -> None:
    volumes, into = demand(150.0, 3.0, 4e8), 1e7
    neutral = float(FEES_PPM[int(np.argmax(volumes * FEES_PPM))])
    assert neutral == pytest.approx(NEUTRAL, rel=0.03)
    pi = multiple * neutral
    stock = MARGIN * CAPACITY + HORIZON_DAYS * (sold(volumes, pi, entering) - into)
    assert 0.0 < stock < CAPACITY
    assert value_at(made(volumes, into, entering), stock) == pytest.approx(pi, abs=0.02)


def test_between_its_margins_stock_that_nobody_wants_is_worth_nothing() -> None:
    knots = made(np.zeros(len(FEES_PPM)))
    assert [value_at(knots, share * CAPACITY) for share in (0.06, 0.5, 0.94)] == [0.0] * 3
    assert worth_msat(knots, 0.06 * CAPACITY, 0.94 * CAPACITY) == 0.0


def test_b28_what_only_comes_in_makes_no_stock_worth_having() -> None:
    """Volume of the other direction is no proof of demand: the more of it, the less it is worth."""
    busy = demand(150.0, 3.0, 5e8)
    alone, fed = made(busy), made(busy, into=4e8)
    for share in (0.0, 0.1, 0.2, 0.3, 0.5, 0.8, 1.0):
        assert value_at(fed, share * CAPACITY) <= value_at(alone, share * CAPACITY)
    filled = made(np.full(len(FEES_PPM), 1.0), into=4e8)
    assert max(value_at(filled, share * CAPACITY) for share in (0.0, 0.1, 0.5, 1.0)) <= 0.0


@pytest.mark.parametrize("entering", [0.0, -30.0, 20.0])
def test_stock_is_never_worth_more_than_the_highest_fee_that_can_be_asked(entering: float) -> None:
    """Where more is asked for at that fee than there is, the next sat is sold for it at once."""
    volumes, most = demand(4_000.0, 3.0, 2e9), 500.0
    knots = made(volumes, entering=entering, most_ppm=most)
    assert knots[0][1] == pytest.approx(most + entering, abs=0.01)
    at_most = MARGIN * CAPACITY + HORIZON_DAYS * sold(volumes, 0.0) / 10.0
    assert value_at(knots, 0.5 * at_most) > 0.8 * (most + entering)
    assert value_at(made(volumes), 0.5 * at_most) > 2.0 * most
    # An entry that costs more than the fee brings in leaves nothing to gain.
    assert made(volumes, entering=-600.0, most_ppm=most)[0][1] == 0.0


def test_room_is_never_worth_more_than_the_plan_says_now() -> None:
    volumes = demand(150.0, 3.0, 1e6)
    assert min(pi for _, pi in made(volumes, into=9e8)) == pytest.approx(-NEUTRAL, rel=0.03)
    assert min(pi for _, pi in made(volumes, into=9e8, room=7.5)) == -7.5
    assert min(pi for _, pi in made(volumes, into=9e8, room=0.0)) == 0.0


@settings(max_examples=60)
@given(
    price=st.floats(5.0, 5_000.0),
    steep=st.sampled_from([1.5, 2.3, 3.5, 9.0]),
    per_day=st.floats(0.0, 5e10),
    into=st.floats(0.0, 5e10),
    entering=st.floats(-500.0, 500.0),
    room=st.floats(0.0, 500.0),
    most=st.floats(1.0, 20_000.0),
)
def test_law_stocks_rise_within_capacity_and_values_fall(
    price: float,
    steep: float,
    per_day: float,
    into: float,
    entering: float,
    room: float,
    most: float,
) -> None:
    knots = made(demand(price, steep, per_day), into, entering, room, most)
    assert knots[0][1] <= max(0.0, most + entering) + 0.01
    assert all(0 <= stock <= CAPACITY for stock, _ in knots)
    for (stock, value), (later, less) in pairwise(knots):
        assert stock <= later and value >= less
    assert knots[-1][1] >= -room - 0.01


def test_a_place_is_that_of_the_fee_in_the_grid() -> None:
    asked = np.array([0.0, 1.0, float(FEES_PPM[40]), 1e9])
    assert stock_curve.places(asked).tolist() == [0, 0, 40, len(FEES_PPM) - 1]


def test_without_channels_there_are_no_curves() -> None:
    told = stock_curves.of(DemandBook(), [], {}, {}, 77.0)
    assert (told.at_s, dict(told.curves)) == (77.0, {})


# -- the plan that holds still ---------------------------------------------------------------------


def node(peers: int = 6) -> tuple[FloatArray, Mix, FloatArray, FloatArray]:
    """Peers that drain into one another at different prices."""
    rng = np.random.default_rng(17)
    volumes = np.array(
        [demand(float(np.exp(rng.normal(5.0, 0.5))), 3.0, 2e9 * (k + 1)) for k in range(peers)]
    )
    into = np.array([k for k in range(peers) for _ in range(2)], dtype=np.intp)
    out = np.array([(k + step) % peers for k in range(peers) for step in (1, 2)], dtype=np.intp)
    mix = Mix(into, out, np.full(len(into), 0.45), np.full(peers, 0.1), np.full(peers, 1 / peers))
    capacity = np.full(peers, float(CAPACITY))
    return volumes, mix, capacity * np.linspace(0.1, 0.9, peers), capacity


def plan(ascent: Ascent, start: Multipliers | None = None) -> shadow.Plan:
    volumes, mix, local, capacity = node()
    none = np.zeros(len(local))
    return shadow.plan(volumes, mix, local, capacity, start or Multipliers(none, none), ascent)


def test_the_solution_is_the_mean_of_the_last_two_thirds_of_the_steps() -> None:
    """Of two steps it is both, of three the last two; what each came to follows from the others."""
    one, two, three = (plan(Ascent(steps=n)).multipliers.scarce for n in (1, 2, 3))
    second = 2.0 * two - one
    third = 2.0 * three - second
    four = plan(Ascent(steps=4)).multipliers.scarce
    fourth = 3.0 * four - second - third
    for before, after in ((one, second), (second, third), (third, fourth)):
        assert np.all(after >= -1e-9)
        assert float(np.abs(after - before).max()) > 0.0


def test_the_solution_holds_still_from_one_to_the_next() -> None:
    first = plan(Ascent(steps=240))
    for _ in range(5):
        first = plan(Ascent(steps=240), first.multipliers)
    later = plan(Ascent(steps=241), first.multipliers)
    assert float(np.abs(later.own - first.own).max()) / first.level_ppm < 0.05


def test_without_a_lean_the_balance_alone_says_nothing() -> None:
    leaning, upright = plan(Ascent(steps=6)), plan(Ascent(steps=6, lean=0.0))
    bare = upright.multipliers.scarce - upright.multipliers.full
    assert upright.own == pytest.approx(bare)
    lean = leaning.own - (leaning.multipliers.scarce - leaning.multipliers.full)
    assert lean == pytest.approx(0.3 * leaning.level_ppm * (1 - 2 * np.linspace(0.1, 0.9, 6)))
