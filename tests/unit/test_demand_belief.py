"""Tests of what a decision is told of demand: rounding, cells, intervals and best fees."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain import jsontext
from cl_revenue_ops.domain.demand import belief, posterior
from cl_revenue_ops.domain.demand.belief import DIGITS, MOST_CELLS, Belief
from cl_revenue_ops.domain.demand.curve import (
    CELL_LOG_PRICE,
    CELL_STEEPNESS,
    CELLS,
    FEES,
    FEES_PPM,
    LOG_FEES,
    STEEPNESS,
    best_of_cells,
)
from cl_revenue_ops.domain.demand.posterior import Offered, Posterior, Prior, Seen
from tests.unit.demand_support import known

EVEN = (1.0 / len(STEEPNESS),) * len(STEEPNESS)
SIZE = 1e8


def law(seed: int, days: int = 10) -> Posterior:
    """The posterior of a peer after some days at fees around 150 ppm."""
    rng = np.random.default_rng([seed, 41])
    found = posterior.initial(Prior(float(rng.normal(5.0, 0.7)), 0.9, 2e9, 0.3, EVEN))
    for _ in range(days):
        fee = float(rng.normal(5.0, 0.8))
        seen = [Seen(0, fee, SIZE * float(rng.poisson(4.0) * rng.random()))]
        exposed = posterior.exposure(1, [Offered(0, fee, float(rng.random()))])
        found = posterior.observe(found, seen, exposed, 2 * SIZE)
    return found


def told(seed: int, days: int = 10) -> Belief:
    """What is believed of it."""
    return belief.believe(law(seed, days))[0]


def one_cell(place: int, rate: float = 1e9, shape: float = 100.0) -> Belief:
    """A belief that is sure of price and steepness."""
    spare = [other for other in range(CELLS) if other != place][: MOST_CELLS - 1]
    cells = sorted([place, *spare])
    weights = tuple(float(cell == place) for cell in cells)
    return Belief.of(tuple(cells), weights, (rate,) * MOST_CELLS, shape)


# -- the record ----------------------------------------------------------------------------------


def test_the_most_probable_cells_are_told_and_no_others() -> None:
    found, held = told(1), law(1)
    assert len(found.places) == len(found.weights) == len(found.rates) == MOST_CELLS
    assert len(set(found.places)) == MOST_CELLS
    others = np.setdiff1d(np.arange(CELLS), found.places)
    assert held.weight[0, others].max() <= held.weight[0, list(found.places)].min()
    assert list(found.places) == sorted(found.places), "one order, whatever the sort does"


def test_weights_and_rates_are_those_of_the_posterior_within_its_rounding() -> None:
    found, held = told(2), law(2)
    places = list(found.places)
    kept = held.weight[0, places].astype(np.float64)
    assert found.weights == pytest.approx((kept / kept.sum()).tolist(), abs=1e-5)
    assert found.rates == pytest.approx(held.rate[0, places].tolist(), rel=1e-6)
    assert found.shape == pytest.approx(float(held.shape[0]), rel=10.0 ** (1 - DIGITS))
    assert sum(found.weights) == pytest.approx(1.0, abs=1e-4)
    assert belief.columns([found]).weights.sum() == pytest.approx(1.0, abs=1e-12)


def test_what_counts_as_evidence_is_scaled_to_what_flows() -> None:
    plain, scaled = belief.believe(law(2)), belief.believe(law(2), 1.7)
    assert scaled[0].rates == pytest.approx([1.7 * rate for rate in plain[0].rates], rel=1e-6)
    assert replace(scaled[0], rates=plain[0].rates) == plain[0] != scaled[0]


def test_each_row_is_believed_by_itself() -> None:
    rows = [law(seed) for seed in range(4)]
    assert belief.believe(posterior.stacked(rows)) == [belief.believe(row)[0] for row in rows]
    assert belief.believe(posterior.stacked([])) == []


@pytest.mark.parametrize("seed", range(5))
def test_a_record_in_json_gives_exactly_the_same_fees(seed: int) -> None:
    found = told(seed)
    again = Belief.of(**jsontext.loads(jsontext.dumps(found)))
    assert again == found
    for net in (-300.0, 0.0, 123.456):
        assert belief.best_fee(again, net) == belief.best_fee(found, net)
        assert belief.bests([again], np.array([net])) == belief.bests([found], np.array([net]))
    assert np.array_equal(
        belief.volumes_msat_per_day([again]), belief.volumes_msat_per_day([found])
    )


@given(st.floats(1e-6, 1e15), st.sampled_from([1.0, -1.0]))
def test_rounding_keeps_some_digits_and_no_more(value: float, sign: float) -> None:
    found = float(belief.rounded(np.array([sign * value]))[0])
    assert found == pytest.approx(sign * value, rel=0.51 * 10.0 ** (1 - DIGITS))
    assert f"{found:.{DIGITS - 1}e}" == f"{found:.{DIGITS + 5}e}".replace("0" * 6 + "e", "e")


def test_zero_is_rounded_to_zero() -> None:
    assert belief.rounded(np.zeros(2)).tolist() == [0.0, 0.0]


# -- volume --------------------------------------------------------------------------------------


def test_the_volume_at_each_fee_is_the_mean_over_the_cells() -> None:
    found = next(one for one in map(told, range(20)) if sum(one.weights) < 0.999995)
    volumes = belief.volumes_msat_per_day([found])[0]
    assert volumes.shape == (FEES,)
    for place in (0, 100, FEES - 1):
        expected = sum(
            weight * rate / (1.0 + math.exp(CELL_STEEPNESS[cell] * (LOG_FEES[place] - price)))
            for cell, weight, rate, price in zip(
                found.places,
                found.weights,
                found.rates,
                CELL_LOG_PRICE[list(found.places)],
                strict=True,
            )
        ) / sum(found.weights)
        assert volumes[place] == pytest.approx(expected, rel=1e-9)
        at = float(LOG_FEES[place])
        assert belief.mean_volumes_at(found, [at])[0] == pytest.approx(expected, rel=1e-9)
        assert belief.volume_at(found, at).mid == pytest.approx(expected, rel=1e-9)


def test_far_beyond_every_price_nothing_is_sold_and_nothing_overflows() -> None:
    assert belief.mean_volumes_at(told(3), [1e4])[0] == pytest.approx(0.0, abs=1e-3)
    assert belief.volumes_msat_per_day([]).shape == (0, FEES)


def test_the_interval_of_the_volume_is_that_of_the_gamma_where_price_is_known() -> None:
    """A gamma of shape 25 and mean 1: 10 % of it lie below 0.7539, and above 1.2635 (from the
    chi-square distribution with 50 degrees of freedom: 37.689 and 63.167); the interval is wider
    by what was measured to be missing. The width of a cell is doubt too; far below the price it
    matters little.
    """
    found = belief.volume_at(one_cell(CELLS // 2, 1e9, 25.0), 0.0)
    assert found.mid == pytest.approx(1e9, rel=1e-4)
    median = 0.9867e9
    low, high = ((end / 0.9867) ** belief.VOLUME_WIDENED * median for end in (0.7539, 1.2635))
    assert found.low == pytest.approx(low, rel=0.07)
    assert found.high == pytest.approx(high, rel=0.07)
    surer = belief.volume_at(one_cell(CELLS // 2, 1e9, 1e4), 0.0)
    assert found.low < surer.low < surer.high < found.high


# -- the best fee --------------------------------------------------------------------------------


def test_where_price_is_known_the_best_fee_is_that_of_the_cell() -> None:
    place = CELLS // 2
    for net in (-40.0, 0.0, 200.0):
        expected = float(best_of_cells(np.array([place]), np.array([net]))[0])
        found = belief.best_fee(one_cell(place), net)
        assert math.log(found.mid) == pytest.approx(expected, abs=0.02)
        assert found.low < found.mid < found.high
        best = belief.bests([one_cell(place)], np.array([net]))[0]
        assert best.mean == pytest.approx(expected, abs=1e-9)
        assert best.sd == pytest.approx(math.sqrt(belief.WITHIN_CELL_VARIANCE))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("net", [-50.0, 0.0, 180.0])
def test_moments_and_interval_of_the_best_fee_are_those_of_the_cells(seed: int, net: float) -> None:
    found = told(seed, 3)
    rng = np.random.default_rng([seed, 43])
    weights = np.array(found.weights) / sum(found.weights)
    cells = rng.choice(found.places, 40_000, p=weights)
    drawn = best_of_cells(cells, np.full(len(cells), net))
    drawn += rng.normal(0.0, math.sqrt(belief.WITHIN_CELL_VARIANCE), len(cells))
    best = belief.bests([found], np.array([net]))[0]
    assert best.mean == pytest.approx(float(drawn.mean()), abs=0.01), f"seed {seed}"
    assert best.sd == pytest.approx(float(drawn.std()), rel=0.03), f"seed {seed}"
    interval = belief.best_fee(found, net)
    low, mid, high = np.quantile(drawn, (0.1, 0.5, 0.9))
    low, high = (mid + belief.FEE_WIDENED * (end - mid) for end in (low, high))
    assert math.log(interval.low) == pytest.approx(float(low), abs=0.08), f"seed {seed}"
    assert math.log(interval.high) == pytest.approx(float(high), abs=0.08), f"seed {seed}"


@pytest.mark.parametrize("net", [-50.0, 0.0, 180.0])
def test_the_greedy_fee_earns_most_of_the_expected_volume(net: float) -> None:
    for seed in range(5):
        volumes = belief.volumes_msat_per_day([told(seed)])
        greedy = math.exp(float(belief.greedy_log_fees(volumes, np.array([net]))[0]))
        earned = volumes[0] * (FEES_PPM - net)
        at_greedy = np.interp(math.log(greedy), LOG_FEES, volumes[0]) * (greedy - net)
        assert at_greedy >= earned.max() * 0.9995, f"seed {seed}"
        assert belief.best_fee(told(seed), net).mid == pytest.approx(greedy)


# -- known demand --------------------------------------------------------------------------------


def test_known_demand_leaves_no_doubt() -> None:
    """k = 3: the best fee at net = 0 is c 2^(-1/3), where two thirds are kept."""
    sure = known(150.0, 3.0, 9e8)
    fee = 150.0 * 2.0 ** (-1 / 3)
    found = belief.best_fee(sure, 0.0)
    assert found.low == found.mid == found.high == pytest.approx(fee, rel=1e-3)
    sold = belief.volume_at(sure, math.log(fee))
    assert sold.low == sold.mid == sold.high == pytest.approx(6e8, rel=1e-3)
    assert belief.mean_volumes_at(sure, [math.log(fee)])[0] == pytest.approx(6e8, rel=1e-3)
    best = belief.bests([sure], np.zeros(1))[0]
    assert best.mean == pytest.approx(math.log(fee), abs=1e-3)
    assert best.sd == 0.0
    assert np.array_equal(belief.volumes_msat_per_day([sure, sure])[1], np.array(sure.known))
    assert belief.bests([], np.zeros(0)) == []
