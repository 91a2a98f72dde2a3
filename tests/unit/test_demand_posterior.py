"""Tests of the posterior over demand against brute force, and of its laws."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.domain.demand import posterior as law
from cl_revenue_ops.domain.demand.curve import (
    CELL_LOG_PRICE,
    CELLS,
    LOG_FEES,
    LOG_PRICE_STEP,
    LOG_PRICES,
    PRICES,
    STEEPNESS,
    FloatArray,
    shares,
)
from cl_revenue_ops.domain.demand.posterior import Offered, Posterior, Prior, Seen

EVEN = (0.2,) * len(STEEPNESS)
SHARP = (0.0,) * (len(STEEPNESS) - 1) + (1.0,)
MIDDLE = float(LOG_PRICES[PRICES // 2])
PRIOR = Prior(MIDDLE - 0.4, 0.9, 3e8, 1.7, EVEN)
SIZE = 1e8


@dataclass(frozen=True)
class Evidence:
    """Fees that were on offer, and what came at some of them."""

    offered: tuple[Offered, ...]
    seen: tuple[Seen, ...]

    def __add__(self, other: Evidence) -> Evidence:
        return Evidence(self.offered + other.offered, self.seen + other.seen)


def after(start: Posterior, evidence: Evidence, dispersion_msat: float = SIZE) -> Posterior:
    """The posterior after evidence about its first row."""
    exposed = law.exposure(len(start), evidence.offered)
    return law.observe(start, evidence.seen, exposed, dispersion_msat)


def same(one: Posterior, other: Posterior, relative: float = 2e-5) -> None:
    """Assert that two posteriors say the same, up to what float32 loses in a few steps."""
    assert one.weight == pytest.approx(other.weight, rel=relative, abs=1e-9)
    believable = np.maximum(one.weight, other.weight) > 1e-12
    assert one.rate[believable] == pytest.approx(other.rate[believable], rel=relative)
    assert one.shape == pytest.approx(other.shape, rel=relative)


def mean_rate(one: Posterior) -> float:
    """The mean of the volume a day at no fee."""
    return float((one.weight.astype(np.float64) * one.rate).sum(axis=1)[0])


def log_price(one: Posterior) -> tuple[float, float]:
    """Mean and variance of ln c."""
    weight = one.weight[0].astype(np.float64)
    mean = float(weight @ CELL_LOG_PRICE) / float(weight.sum())
    return mean, float(weight @ (CELL_LOG_PRICE - mean) ** 2) / float(weight.sum())


# -- Bayes -------------------------------------------------------------------------------------


def by_brute_force(prior: Prior, evidence: Evidence, phi: float) -> tuple[FloatArray, FloatArray]:
    """Weights and mean rates of all cells, the rate integrated numerically observation by
    observation.
    """
    log_rate = np.linspace(math.log(prior.rate_msat) - 14.0, math.log(prior.rate_msat) + 8.0, 6001)
    rate = np.exp(log_rate)
    # The gamma's density over ln(rate).
    log_density = prior.shape * (log_rate - rate / prior.rate_msat)
    price = -0.5 * ((CELL_LOG_PRICE - prior.log_price) / prior.log_price_sd) ** 2
    log_joint = price[:, None] + np.log(np.tile(prior.steepness, PRICES))[:, None] + log_density
    for fee in evidence.offered:
        log_joint -= (shares(fee.log_fee) * fee.days / phi)[:, None] * rate
    for came in evidence.seen:
        log_joint += (np.log(shares(came.log_fee))[:, None] + log_rate) * came.volume_msat / phi
    joint = np.exp(log_joint - log_joint.max())
    total = joint.sum(axis=1)
    return total / total.sum(), (joint @ rate) / np.maximum(total, 1e-300)


OFFERS = (Offered(0, MIDDLE - 1.0, 1.5), Offered(0, MIDDLE, 2.0), Offered(0, MIDDLE + 0.7, 0.25))
EVIDENCE = Evidence(
    OFFERS,
    (Seen(0, MIDDLE - 1.0, 5 * SIZE), Seen(0, MIDDLE, 2.5 * SIZE), Seen(0, MIDDLE, 0.4 * SIZE)),
)
NOTHING_CAME = Evidence((Offered(0, MIDDLE - 0.5, 3.0),), ())
MUCH_CAME = Evidence((Offered(0, MIDDLE + 1.0, 2.0),), (Seen(0, MIDDLE + 1.0, 40 * SIZE),))


@pytest.mark.parametrize("evidence", [EVIDENCE, NOTHING_CAME, MUCH_CAME])
@pytest.mark.parametrize("phi", [1.0, 4.5])
def test_the_posterior_is_that_of_numerical_integration(evidence: Evidence, phi: float) -> None:
    weight, rate = by_brute_force(PRIOR, evidence, phi * SIZE)
    found = after(law.initial(PRIOR), evidence, phi * SIZE)
    assert found.weight[0] == pytest.approx(weight, rel=2e-3, abs=1e-8)
    believable = weight > 1e-9
    assert found.rate[0][believable] == pytest.approx(rate[believable], rel=2e-3)


def test_with_price_and_steepness_known_it_is_the_gamma_posterior() -> None:
    """Shape 2 and mean 10 a day, then 7 in four days at the price of the alternatives, where half
    is kept: (2 + 7) / (2/10 + 2) = 4.0909.
    """
    start = law.initial(Prior(MIDDLE, 1e-3, 10 * SIZE, 2.0, SHARP))
    evidence = Evidence((Offered(0, MIDDLE, 4.0),), (Seen(0, MIDDLE, 7 * SIZE),))
    found = after(start, evidence)
    assert mean_rate(found) == pytest.approx(4.0909091 * SIZE, rel=1e-6)
    assert found.shape[0] == pytest.approx(9.0)


def test_two_prices_are_weighed_by_bayes_rule() -> None:
    """At a fee far below both prices all is kept; a day of silence at 3 per day is exp(-3)."""
    start = law.initial(PRIOR)
    weight = np.zeros((1, CELLS), np.float32)
    low, high = len(STEEPNESS) - 1, CELLS - 1
    weight[0, [low, high]] = 0.5
    sure = Posterior(weight, np.full_like(start.rate, 3 * SIZE), np.full(1, 1e6, np.float32))
    fee = float(LOG_FEES[-1]) - 3.0
    found = after(sure, Evidence((Offered(0, fee, 1.0),), ()))
    assert found.weight[0, high] / found.weight[0, low] == pytest.approx(math.exp(-3.0), rel=1e-3)
    found = after(sure, Evidence((Offered(0, MIDDLE - 30.0, 1.0),), ()))
    assert found.weight[0, high] == pytest.approx(0.5), "where both keep all, silence tells nothing"


def test_volume_at_a_high_fee_speaks_for_high_prices_and_silence_against_them() -> None:
    start = law.initial(PRIOR)
    assert log_price(after(start, MUCH_CAME))[0] > log_price(start)[0]
    assert log_price(after(start, NOTHING_CAME))[0] < log_price(start)[0]
    assert mean_rate(after(start, MUCH_CAME)) > mean_rate(start)
    assert mean_rate(after(start, NOTHING_CAME)) < mean_rate(start)


fees = st.floats(float(LOG_FEES[0]), float(LOG_FEES[-1]))
offers = st.builds(Offered, st.just(0), fees, st.floats(0.001, 5.0))
sights = st.builds(Seen, st.just(0), fees, st.floats(1e5, 5e9))
pieces = st.builds(
    Evidence,
    st.lists(offers, max_size=4).map(tuple),
    st.lists(sights, max_size=4).map(tuple),
)


@settings(deadline=None, max_examples=40)
@given(st.lists(pieces, min_size=2, max_size=4), st.randoms(use_true_random=False))
def test_the_order_and_the_grouping_of_evidence_do_not_matter(
    parts: list[Evidence], random: object
) -> None:
    shuffled = list(parts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one_by_one = other_order = law.initial(PRIOR)
    for part in parts:
        one_by_one = after(one_by_one, part, 3 * SIZE)
    for part in shuffled:
        other_order = after(other_order, part, 3 * SIZE)
    together = Evidence((), ())
    for part in parts:
        together += part
    at_once = after(law.initial(PRIOR), together, 3 * SIZE)
    for found in (one_by_one, other_order):
        heavy = at_once.weight > 1e-4
        assert found.weight[heavy] == pytest.approx(at_once.weight[heavy], rel=2e-3)
        assert found.rate[heavy] == pytest.approx(at_once.rate[heavy], rel=1e-4)


def test_without_evidence_nothing_changes() -> None:
    start = after(law.initial(PRIOR), EVIDENCE)
    found = after(start, Evidence((), ()))
    same(found, start, 1e-6)
    assert np.array_equal(found.shape, start.shape)
    assert law.drifted(start, 0.0) is start


def test_forwards_of_dispersed_traffic_tell_as_much_as_fewer_plain_ones() -> None:
    """n forwards in so many days with dispersion phi are n/phi forwards in 1/phi of the days."""
    start, phi = law.initial(PRIOR), 6.0
    fewer = Evidence(
        tuple(offer._replace(days=offer.days / phi) for offer in EVIDENCE.offered),
        tuple(came._replace(volume_msat=came.volume_msat / phi) for came in EVIDENCE.seen),
    )
    same(after(start, EVIDENCE, phi * SIZE), after(start, fewer, SIZE))
    told, plain = after(start, EVIDENCE, phi * SIZE), after(start, EVIDENCE, SIZE)
    assert told.shape[0] - PRIOR.shape == pytest.approx(7.9 / phi)
    assert log_price(told)[1] > log_price(plain)[1]


def test_rows_do_not_hear_each_others_evidence() -> None:
    start = law.stacked([law.initial(PRIOR)] * 3)
    offered = [Offered(2, MIDDLE, 1.0), Offered(0, MIDDLE - 1.0, 1.5), Offered(2, 3.0, 0.5)]
    seen = [Seen(2, 3.0, SIZE), Seen(0, MIDDLE - 1.0, 5 * SIZE), Seen(2, MIDDLE, SIZE / 3)]
    exposed = law.exposure(3, offered)
    found = law.observe(start, seen, exposed, SIZE)
    for place in range(3):
        alone = Evidence(
            tuple(o._replace(place=0) for o in offered if o.place == place),
            tuple(s._replace(place=0) for s in seen if s.place == place),
        )
        same(found.row(place), after(law.initial(PRIOR), alone), 1e-6)


def test_what_is_expected_has_the_moments_of_the_mixture() -> None:
    rng = np.random.default_rng(20261)
    found = after(law.initial(PRIOR), EVIDENCE)
    exposed = law.exposure(1, OFFERS)
    weight = found.weight[0].astype(np.float64)
    chosen = rng.choice(CELLS, 200_000, p=weight / weight.sum())
    shape = float(found.shape[0])
    drawn = rng.gamma(shape, found.rate[0][chosen] / shape) * exposed[0][chosen]
    hoped = law.expected(found, exposed)
    assert hoped.mean[0] == pytest.approx(drawn.mean(), rel=0.02), "seed 20261"
    assert hoped.variance[0] == pytest.approx(drawn.var(), rel=0.05), "seed 20261"


def test_the_prior_is_centred_where_it_is_told_and_as_wide() -> None:
    mean, spread = log_price(law.initial(PRIOR))
    assert mean == pytest.approx(PRIOR.log_price, abs=0.01)
    assert math.sqrt(spread) == pytest.approx(PRIOR.log_price_sd, rel=0.02)
    assert mean_rate(law.initial(PRIOR)) == pytest.approx(PRIOR.rate_msat, rel=1e-5)
    assert law.steepness(law.initial(PRIOR))[0] == pytest.approx(EVEN, rel=1e-5)


# -- moving ------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [0.02, 1.0, 12.0])
def test_drift_widens_and_conserves_probability_and_mean_volume(days: float) -> None:
    start = after(law.initial(PRIOR), EVIDENCE)
    found = law.drifted(start, days)
    assert float(found.weight.sum()) == pytest.approx(1.0, abs=1e-5)
    assert mean_rate(found) == pytest.approx(mean_rate(start), rel=1e-5)
    assert log_price(found)[1] > log_price(start)[1]
    assert found.shape[0] < start.shape[0]
    relative = 1.0 / float(found.shape[0]) - 1.0 / float(start.shape[0])
    assert relative == pytest.approx(law.RATE_DRIFT**2 * days, rel=1e-2)


def test_many_small_steps_of_time_are_one_large_one() -> None:
    start = after(law.initial(PRIOR), EVIDENCE)
    found = start
    for _ in range(48):
        found = law.drifted(found, 1.0 / 48.0)
    once = law.drifted(start, 1.0)
    assert log_price(found)[0] == pytest.approx(log_price(once)[0], abs=1e-3)
    assert log_price(found)[1] == pytest.approx(log_price(once)[1], rel=0.02)
    assert found.shape[0] == pytest.approx(once.shape[0], rel=1e-3)


def certain(place: int) -> Posterior:
    """A posterior that is sure of the price at a place of the grid."""
    weight = np.zeros((1, CELLS), np.float32)
    weight[0, place * len(STEEPNESS)] = 1.0
    return Posterior(weight, np.full((1, CELLS), SIZE, np.float32), np.full(1, 5.0, np.float32))


def test_prices_diffuse_and_sometimes_jump_far() -> None:
    """Diffusion alone leaves next to nothing a jump's length away; jumps put their part there."""
    days = 1.0
    found = law.drifted(certain(PRICES // 2), days)
    weight = found.weight[0].astype(np.float64)
    away = np.abs(CELL_LOG_PRICE - MIDDLE)
    jumped = 1.0 - math.exp(-law.JUMPS_PER_DAY * days)
    assert law.JUMP_SD > 6.0 * law.PRICE_DRIFT, "or a jump is no jump"
    # The middle between two cells, at which the normal's tail begins that the cells stand for.
    edge = math.ceil(law.JUMP_SD / LOG_PRICE_STEP) * LOG_PRICE_STEP - 0.5 * LOG_PRICE_STEP
    beyond = math.erfc(edge / law.JUMP_SD / math.sqrt(2.0))
    assert float(weight[away > edge].sum()) == pytest.approx(jumped * beyond, rel=0.05)
    near = (1.0 - jumped) * law.PRICE_DRIFT**2 * days
    assert log_price(found)[1] == pytest.approx(near + jumped * law.JUMP_SD**2, rel=0.05)


@pytest.mark.parametrize("place", [0, 1, PRICES - 1])
def test_nothing_is_lost_at_the_ends_of_the_grid(place: int) -> None:
    for found in (law.drifted(certain(place), 30.0), law.shifted(certain(place), 0.4)):
        assert float(found.weight.sum()) == pytest.approx(1.0, abs=1e-5)
        assert mean_rate(found) == pytest.approx(SIZE, rel=1e-5)


@pytest.mark.parametrize("place", [0, PRICES - 1])
def test_drift_at_an_end_of_the_grid_takes_volume_along(place: int) -> None:
    """Half believed at the end, at much volume, half in the middle, at little."""
    weight = 0.5 * certain(place).weight + 0.5 * certain(PRICES // 2).weight
    rate = np.where(certain(place).weight > 0.0, 100.0 * SIZE, SIZE).astype(np.float32)
    start = Posterior(weight, rate, np.full(1, 5.0, np.float32))
    for days in (0.5, 30.0):
        assert mean_rate(law.drifted(start, days)) == pytest.approx(50.5 * SIZE, rel=1e-5)


@pytest.mark.parametrize("ratio", [2.2, 1.03, 0.97, 0.5])
def test_a_shift_moves_the_price_by_the_ratio_and_nothing_else(ratio: float) -> None:
    start = after(law.initial(PRIOR), EVIDENCE)
    found = law.shifted(start, math.log(ratio))
    assert log_price(found)[0] - log_price(start)[0] == pytest.approx(math.log(ratio), abs=2e-3)
    assert float(found.weight.sum()) == pytest.approx(1.0, abs=1e-5)
    assert mean_rate(found) == pytest.approx(mean_rate(start), rel=1e-5)
    assert law.steepness(found)[0] == pytest.approx(law.steepness(start)[0], abs=1e-5)
    assert found.shape == pytest.approx(start.shape)
    # Between two cells a shift may blur by at most a quarter of a cell's square.
    assert 0.0 <= log_price(found)[1] - log_price(start)[1] + 2e-3 <= LOG_PRICE_STEP**2 / 4 + 4e-3


@pytest.mark.parametrize("log_ratio", [50.0, -50.0])
def test_a_shift_beyond_the_grid_piles_up_at_its_end(log_ratio: float) -> None:
    found = law.shifted(law.initial(PRIOR), log_ratio)
    end = slice(CELLS - len(STEEPNESS), CELLS) if log_ratio > 0 else slice(0, len(STEEPNESS))
    assert float(found.weight[0, end].sum()) == pytest.approx(1.0, abs=1e-5)
    assert mean_rate(found) == pytest.approx(PRIOR.rate_msat, rel=1e-4)


def test_reweighing_changes_steepness_by_its_factors() -> None:
    start = after(law.initial(PRIOR), EVIDENCE)
    factors = np.resize([0.0, 1.0, 2.0, 1.0, 0.5], len(STEEPNESS))
    found, before = law.reweighed(start, factors), law.steepness(start)[0]
    assert law.steepness(found)[0] == pytest.approx(
        before * factors / (before @ factors), rel=1e-5, abs=1e-7
    )
    sharp = np.arange(2, CELLS, len(STEEPNESS))
    ratio = found.weight[0, sharp] / np.maximum(start.weight[0, sharp], 1e-30)
    assert np.ptp(ratio[start.weight[0, sharp] > 1e-6]) < 1e-4, "prices are left as they were"
    assert np.array_equal(found.rate, start.rate)


def test_no_destinations_are_no_fault() -> None:
    none = law.stacked([])
    assert len(none) == 0
    assert len(law.drifted(none, 1.0)) == 0
    assert len(law.observe(none, [], law.exposure(0, []), SIZE)) == 0


def test_what_is_held_is_single_precision_and_never_leaves_its_bounds() -> None:
    """Weeks of silence, then a flood: the extremes of what can be told."""
    found = law.initial(PRIOR)
    for _ in range(60):
        found = after(law.drifted(found, 100.0), Evidence((Offered(0, 0.0, 1.0),), ()), 1e3)
    assert found.shape[0] == pytest.approx(law.LEAST_SHAPE), "volume can't be told any worse"
    flood = (Seen(0, float(LOG_FEES[-1]), 1e13),)
    found = after(found, Evidence((Offered(0, float(LOG_FEES[-1]), 1e-4),), flood), SIZE)
    for array in (found.weight, found.rate, found.shape):
        assert array.dtype == np.float32
        assert np.isfinite(array).all()
    assert float(found.weight.sum()) == pytest.approx(1.0, abs=1e-5)
    assert found.rate.min() > 0.0
    assert found.shape.min() >= law.LEAST_SHAPE * (1.0 - 1e-6)
