"""Tests of the price: the greedy fee, the draw that moves it, and when a draw must go."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.demand import belief
from cl_revenue_ops.domain.demand import price as pricing
from cl_revenue_ops.domain.demand.belief import Belief
from cl_revenue_ops.domain.demand.book import Surprise, Worth
from cl_revenue_ops.domain.demand.curve import FEES_PPM
from cl_revenue_ops.domain.demand.posterior import (
    Offered,
    Prior,
    Seen,
    drifted,
    exposure,
    initial,
    observe,
)
from cl_revenue_ops.domain.demand.price import (
    BAND_SLACK,
    BANDS,
    BUSY,
    HOLD_S,
    MOVED,
    SPARSE,
    SURPRISE,
    Asked,
    Draw,
    Priced,
    band_of,
    exploration,
    price,
    price_all,
)
from tests.unit.demand_support import SIZE_MSAT, known, worth

NOW = 1_700_000_000.0
EVEN = (0.2,) * 5


@functools.cache
def believed(seed: int = 1) -> Belief:
    """What is believed of a peer after ten days."""
    rng = np.random.default_rng([seed, 61])
    law = initial(Prior(5.0, 0.9, 2e9, 0.3, EVEN))
    for _ in range(10):
        fee = float(rng.normal(5.0, 0.8))
        seen = [Seen(0, fee, SIZE_MSAT * float(rng.poisson(4.0)))]
        law = observe(drifted(law, 1.0), seen, exposure(1, [Offered(0, fee, 1.0)]), 2.0 * SIZE_MSAT)
    return belief.believe(law)[0]


BELIEVED = believed()


def told(own_ppm: float = 0.0, entering_ppm: float = 0.0, **changes: Any) -> Worth:
    """What a decision is told of stock that is worth so much."""
    return worth(BELIEVED, own_ppm=own_ppm, entering_ppm=entering_ppm, **changes)


def first(one: Worth | None = None, z: float = 0.7, share: float = 0.5) -> Priced:
    """The price at the first look."""
    return price(told() if one is None else one, share, None, z, NOW)


# -- the greedy fee ------------------------------------------------------------------------------


def test_where_stock_is_worth_nothing_the_greedy_fee_is_the_neutral_one() -> None:
    made = first()
    assert made.greedy == made.neutral
    assert made.net_ppm == 0.0
    equal = first(told(80.0, 80.0))
    assert equal.greedy == equal.neutral == made.neutral


@pytest.mark.parametrize(("own", "entering"), [(150.0, 0.0), (0.0, -150.0), (200.0, 50.0)])
def test_what_leaves_is_dear_and_what_it_leaves_behind_is_worth_something(
    own: float, entering: float
) -> None:
    made = first(told(own, entering))
    assert made.net_ppm == pytest.approx(150.0)
    volumes = belief.volumes_msat_per_day([BELIEVED])[0]
    best = float(FEES_PPM[np.argmax(volumes * (FEES_PPM - 150.0))])
    assert made.greedy == pytest.approx(math.log(best), abs=0.03)
    assert made.greedy > made.neutral == first().neutral
    assert first(told(-60.0, 0.0)).greedy < made.neutral


def test_the_fee_is_the_greedy_one_moved_by_a_part_of_the_draw() -> None:
    for z in (-2.0, 0.0, 1.3):
        made = first(told(100.0), z)
        best = belief.bests([BELIEVED], np.array([100.0]))[0]
        assert (made.mean, made.sd) == (round(best.mean, 6), round(best.sd, 6))
        expected = (1.0 - made.alpha) * made.greedy + made.alpha * (made.mean + z * made.sd)
        assert made.log_fee == pytest.approx(expected, abs=1e-6)
        assert made.draw.log_fee == made.log_fee


def test_demand_that_is_known_leaves_nothing_to_chance() -> None:
    sure = worth(known(150.0, 3.0, 9e8), own_ppm=40.0)
    for z in (-3.0, 2.0):
        made = price(sure, 0.5, None, z, NOW)
        assert made.log_fee == made.greedy
        assert (made.alpha, made.sd, made.propensity) == (0.0, 0.0, 0.0)


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-200, 500), st.floats(0, 1)), max_size=6))
def test_what_is_priced_together_is_priced_as_alone(
    rows: list[tuple[int, float, float]],
) -> None:
    asked = [Asked(worth(believed(seed), own_ppm=own), x, None, x - 0.5) for seed, own, x in rows]
    assert price_all(asked, NOW) == [price(*one, NOW) for one in asked]


# -- how much is explored ------------------------------------------------------------------------


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of the draw at two forwards a day, half of it at twenty."""
    monkeypatch.setattr(pricing, "SPARSE", (2.0, 0.25))
    monkeypatch.setattr(pricing, "BUSY", (20.0, 0.5))


@pytest.mark.usefixtures("eager")
def test_busy_channels_explore_more_than_sparse_ones() -> None:
    expected = {0.0: 0.25, 0.2: 0.25, 2.0: 0.25, math.sqrt(40.0): 0.375, 20.0: 0.5, 2e3: 0.5}
    for per_day, alpha in expected.items():
        assert exploration(per_day) == pytest.approx(alpha)


def test_no_channel_is_left_to_chance_altogether() -> None:
    (few, least), (many, most) = SPARSE, BUSY
    assert 0.0 < least <= most < 1.0
    assert exploration(few) == pytest.approx(least)
    assert exploration(many) == pytest.approx(most)


@pytest.mark.usefixtures("eager")
def test_busy_is_by_the_forwards_a_day_that_are_expected_at_the_greedy_fee() -> None:
    volumes = belief.volumes_msat_per_day([BELIEVED])[0]
    made = first(told(100.0))
    at_greedy = float(np.interp(made.greedy, np.log(FEES_PPM), volumes))
    assert made.alpha == pytest.approx(exploration(at_greedy / SIZE_MSAT), abs=0.02)
    small, large = (first(told(size_msat=at_greedy / count)) for count in (1_000.0, 0.01))
    assert small.alpha == pytest.approx(0.5)
    assert large.alpha == pytest.approx(0.25)


def test_the_propensity_is_the_density_of_the_log_fee() -> None:
    for z in (-1.7, 0.0, 0.4):
        made = first(told(30.0), z)
        centre = (1.0 - made.alpha) * made.greedy + made.alpha * made.mean
        law = NormalDist(centre, made.alpha * made.sd)
        assert made.propensity == pytest.approx(law.pdf(made.log_fee), rel=1e-4)
    kept = price(told(30.0), 0.5, made.draw, 1.9, NOW + 60.0)
    assert kept.propensity == pytest.approx(made.propensity)


# -- holding and letting go ----------------------------------------------------------------------


def again(
    share: float = 0.5, after_s: float = 60.0, one: Worth | None = None, held: Draw | None = None
) -> Priced:
    """The price a moment after the first one, with another draw ready."""
    held = first().draw if held is None else held
    return price(told() if one is None else one, share, held, -1.1, NOW + after_s)


def test_a_draw_is_held() -> None:
    before = first()
    assert before.redrawn == "first"
    assert before.draw == Draw(1, 0.7, NOW, band_of(0.5), before.log_fee)
    for after_s in (0.0, 60.0, HOLD_S - 1.0):
        made = again(after_s=after_s)
        assert made.redrawn == ""
        assert made.draw == before.draw
        assert made.log_fee == before.log_fee


def test_a_small_change_of_what_stock_is_worth_moves_no_held_fee() -> None:
    made = again(one=told(5.0))
    assert made.redrawn == ""
    assert made.log_fee == first().log_fee
    assert made.greedy > first().greedy


def changed(made: Priced, why: str, at_s: float, share: float = 0.5) -> None:
    """Assert that a new draw is in force, and why."""
    assert made.redrawn == why
    centre = (1.0 - made.alpha) * made.greedy + made.alpha * made.mean
    assert made.log_fee == pytest.approx(centre - 1.1 * made.alpha * made.sd, abs=1e-6)
    assert made.draw == Draw(2, -1.1, at_s, band_of(share), made.log_fee)


@pytest.mark.parametrize("after_s", [HOLD_S, 10 * HOLD_S, -1.0])
def test_a_draw_goes_when_its_time_is_over_or_lies_ahead(after_s: float) -> None:
    changed(again(after_s=after_s), "hold_over", NOW + after_s)


def test_a_draw_goes_when_the_balance_leaves_its_band_by_more_than_the_slack() -> None:
    edge = BANDS[3]
    assert BANDS[2] < 0.5 < edge
    for share in (edge + 0.5 * BAND_SLACK, BANDS[2] - 0.5 * BAND_SLACK):
        assert again(share=share).redrawn == ""
    for share in (edge + 1.5 * BAND_SLACK, BANDS[2] - 1.5 * BAND_SLACK, 0.0, 1.0):
        changed(again(share=share), "band_crossed", NOW + 60.0, share)


def test_at_the_ends_there_is_one_edge_to_cross() -> None:
    empty, full = first(share=0.0).draw, first(share=1.0).draw
    assert (empty.band, full.band) == (0, len(BANDS))
    assert again(share=0.0, held=empty).redrawn == ""
    assert again(share=1.0, held=full).redrawn == ""
    assert again(share=BANDS[0] + 1.5 * BAND_SLACK, held=empty).redrawn == "band_crossed"
    assert again(share=BANDS[-1] - 1.5 * BAND_SLACK, held=full).redrawn == "band_crossed"


@pytest.mark.parametrize("share", [0.0, *BANDS, 1.0])
def test_a_share_lies_in_the_band_from_its_edge_on(share: float) -> None:
    assert band_of(share) == len([edge for edge in BANDS if edge <= share])
    held = first(share=share).draw
    assert again(share=share, held=held).redrawn == ""


def test_a_draw_goes_when_what_came_surprises() -> None:
    ordinary = Surprise(3.0, 3.0, 1.0, 2.0 * SURPRISE)
    assert again(one=told(surprise=ordinary)).redrawn == ""
    for surprise in (
        replace(ordinary, p_low=0.5 * SURPRISE),
        replace(ordinary, p_high=0.5 * SURPRISE),
    ):
        changed(again(one=told(surprise=surprise)), "surprise", NOW + 60.0)


def test_a_draw_goes_when_the_fee_that_it_leads_to_has_moved_away() -> None:
    up = next(net for net in range(5_000) if abs(target(net) - target(0)) > math.log1p(MOVED))
    assert again(one=told(float(up - 2))).redrawn == ""
    changed(again(one=told(float(up + 2))), "target_moved", NOW + 60.0)
    down = next(net for net in range(5_000) if target(0) - target(-net) > math.log1p(MOVED))
    assert again(one=told(float(2 - down))).redrawn == ""
    changed(again(one=told(float(-down - 2))), "target_moved", NOW + 60.0)


def target(net: float) -> float:
    """Where the first draw leads at a net value."""
    return first(told(float(net))).log_fee


def test_draws_are_counted_on() -> None:
    held = Draw(41, 0.0, NOW - 2 * HOLD_S, band_of(0.5), 5.0)
    assert again(held=held).draw.number == 42
