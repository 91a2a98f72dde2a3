"""Tests of the demand curve, its grid, and where a curve times a margin is highest."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.demand.curve import (
    CELL_LOG_PRICE,
    CELL_STEEPNESS,
    CELLS,
    FEES,
    FEES_PPM,
    LOG_FEE_STEP,
    LOG_FEES,
    LOG_PRICE_STEP,
    LOG_PRICES,
    PRICES,
    SHARES,
    STEEPNESS,
    FloatArray,
    best_log_fees,
    best_of_cells,
    log_fee,
    shares,
)

FINE = np.linspace(0.0, float(LOG_FEES[-1]), 40_001)


def share(fee: float, price: float, steep: float) -> float:
    """S(f; c, k), written down once more."""
    return 1.0 / (1.0 + math.pow(fee / price, steep))


def test_the_share_kept_has_known_values() -> None:
    """At the price of the alternatives half is kept; k = 2.3 at twice the price keeps 1/5.925."""
    assert share(200.0, 100.0, 2.3) == pytest.approx(0.168788, abs=1e-6)
    for cell in (0, 7, CELLS // 2, CELLS - 1):
        price, steep = math.exp(CELL_LOG_PRICE[cell]), float(CELL_STEEPNESS[cell])
        for ratio in (0.25, 1.0, 2.0, 5.0):
            found = shares(math.log(price * ratio))[cell]
            assert found == pytest.approx(share(price * ratio, price, steep), rel=1e-9)
        assert shares(math.log(price))[cell] == pytest.approx(0.5)


def test_every_cell_is_one_pair_of_price_and_steepness() -> None:
    pairs = set(zip(CELL_LOG_PRICE.tolist(), CELL_STEEPNESS.tolist(), strict=True))
    assert len(pairs) == CELLS == PRICES * len(STEEPNESS)
    first_price = CELL_LOG_PRICE[: len(STEEPNESS)]
    assert np.all(first_price == LOG_PRICES[0]), "cells are numbered price by price"
    assert np.allclose(np.diff(LOG_PRICES), LOG_PRICE_STEP)
    assert STEEPNESS.min() > 1.0, "at k = 1 or less no best fee exists"


def test_the_table_of_shares_is_the_curve_at_the_fees_of_the_grid() -> None:
    assert SHARES.shape == (CELLS, FEES)
    for cell, place in ((0, 0), (17, 50), (CELLS - 1, FEES - 1)):
        fee, price = float(FEES_PPM[place]), math.exp(CELL_LOG_PRICE[cell])
        assert SHARES[cell, place] == pytest.approx(
            share(fee, price, float(CELL_STEEPNESS[cell])), rel=1e-9
        )
    assert np.all(np.diff(SHARES, axis=1) <= 0.0), "nobody buys more at a higher fee"


@pytest.mark.parametrize(
    ("ppm", "expected"),
    [(0.0, 0.0), (0.3, 0.0), (1.0, 0.0), (250.0, math.log(250.0)), (1e9, float(LOG_FEES[-1]))],
)
def test_a_fee_is_read_within_the_grid(ppm: float, expected: float) -> None:
    assert log_fee(ppm) == pytest.approx(expected)


cells = st.integers(0, CELLS - 1)
nets = st.one_of(st.just(0.0), st.floats(-5_000.0, 15_000.0))


def value(log_fees: FloatArray, cell: int, net_ppm: float) -> FloatArray:
    """What a unit of demand earns at each fee."""
    gap = CELL_STEEPNESS[cell] * (log_fees - CELL_LOG_PRICE[cell])
    earned: FloatArray = (np.exp(log_fees) - net_ppm) / (1.0 + np.exp(gap))
    return earned


@given(cells, nets)
def test_the_best_fee_of_a_cell_is_that_of_a_search_over_all_fees(
    cell: int, net_ppm: float
) -> None:
    """Beyond forty times c the table ends; there nothing is left to sell. Where what traffic leaves
    behind is worth many times c, the best fee is next to nothing, and none near it earns any less.
    """
    price = math.exp(CELL_LOG_PRICE[cell])
    ratio = net_ppm / price
    if not -20.0 <= ratio <= 40.0:
        return
    found = float(best_of_cells(np.array([cell]), np.array([net_ppm]))[0])
    earned = value(FINE, cell, net_ppm)
    best = int(np.argmax(earned))
    if ratio >= -4.0 and 0.0 < FINE[best] < FINE[-1]:
        assert found == pytest.approx(FINE[best], abs=0.03)
    at_found = float(value(np.array([found]), cell, net_ppm)[0])
    assert at_found >= earned[best] - 0.002 * abs(earned[best])


def test_the_best_fee_of_a_cell_has_known_values() -> None:
    """At net = 0 it is c (k - 1)^(-1/k): where the elasticity k (1 - S) is one."""
    middle = np.arange(CELLS // 2, CELLS // 2 + len(STEEPNESS))
    found = best_of_cells(middle, np.zeros(1)) - CELL_LOG_PRICE[middle]
    steep = CELL_STEEPNESS[middle]
    assert found == pytest.approx(-np.log(steep - 1.0) / steep, abs=0.008)


def test_the_best_fee_rises_with_the_value_of_what_is_sold_and_stays_in_the_grid() -> None:
    places = np.repeat(np.arange(CELLS)[:, None], 5, axis=1)
    found = best_of_cells(places, np.array([-3_000.0, -50.0, 0.0, 50.0, 30_000.0]))
    assert np.all(np.diff(found, axis=1) >= -1e-9)
    assert found.min() >= LOG_FEES[0]
    assert found.max() <= LOG_FEES[-1]


@given(
    st.floats(float(LOG_FEES[2]), float(LOG_FEES[-3])),
    st.floats(0.1, 100.0),
    st.floats(-1_000.0, 1_000.0),
)
def test_the_top_of_a_parabola_is_found_between_the_fees_of_the_grid(
    top: float, bend: float, height: float
) -> None:
    found = best_log_fees((height - bend * (LOG_FEES - top) ** 2)[None, :])[0]
    assert found == pytest.approx(top, abs=1e-6)


def test_at_an_end_of_the_grid_and_on_level_ground_the_best_fee_is_the_grids_own() -> None:
    rising, falling, level = LOG_FEES, -LOG_FEES, np.zeros(FEES)
    found = best_log_fees(np.stack([rising, falling, level]))
    assert found.tolist() == [LOG_FEES[-1], LOG_FEES[0], LOG_FEES[0]]


def test_a_refined_fee_is_nearer_to_its_grid_point_than_to_the_next() -> None:
    sharp = np.zeros((1, FEES))
    sharp[0, 40:43] = (1.0, 1.0 - 1e-12, 0.0)
    assert abs(float(best_log_fees(sharp)[0]) - LOG_FEES[40]) <= 0.5 * LOG_FEE_STEP + 1e-9
