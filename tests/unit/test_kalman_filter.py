"""The rate filter: filterpy's numbers, exact gaps, gating, and what it must not learn from."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.domain import kalman, rates
from cl_revenue_ops.domain.rates import RateParameters, RateState

P = RateParameters()
ROOT = Path(__file__).resolve().parents[2]
HOUR = 1.0 / 24.0

gaps = st.floats(1e-5, 400.0)
counts = st.integers(0, 100_000)
exposures = st.floats(1e-6, 40.0)


def settled_at(rate_per_day: float, steps: int = 24 * 20) -> RateState:
    """A state that has watched a Poisson stream by its mean for a while, without surprises."""
    state, owed = rates.initial(P), 0.0
    for _ in range(steps):
        owed += rate_per_day * HOUR
        count = int(owed)
        owed -= count
        state, _ = kalman.step(state, HOUR, count, HOUR, P)
    return state


def covariance(state: RateState) -> np.ndarray:
    return np.array([[state.p_xx, state.p_xv], [state.p_xv, state.p_vv]])


def test_filterpy_is_loaded_at_the_first_step_and_not_with_the_module() -> None:
    program = (
        "import sys\n"
        "from cl_revenue_ops.domain import kalman, rates\n"
        "before = 'filterpy' in sys.modules\n"
        "p = rates.RateParameters()\n"
        "kalman.step(rates.initial(p), 0.1, 3, 0.1, p)\n"
        "print(before, 'filterpy' in sys.modules)\n"
    )
    assert run(program) == "False True"


def run(program: str, first_on_path: str = "") -> str:
    """What a fresh interpreter prints for a program of this project."""
    path = os.pathsep.join(filter(None, (first_on_path, str(ROOT))))
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
    )
    return done.stdout.strip()


def test_golden_one_step_against_the_formulas_written_out() -> None:
    start = RateState(math.log(4.0), 0.05, 0.2, 0.01, 0.0025, 1.5, 50.0, 0.0, 0.0, 0.0)
    dt = 0.5
    a = math.exp(-dt / 2.0)
    b = 2.0 * (1.0 - a)
    drift = 2.0 * 0.05**2 * 2.0 * (dt - 2.0 * 2.0 * (1 - a) + (1 - a * a))
    pxx = 0.2 + 2 * b * 0.01 + b * b * 0.0025 + 0.01 * dt + drift
    pxv = a * (0.01 + b * 0.0025) + 0.05**2 * 2.0 * (1 - a) ** 2
    pvv = a * a * 0.0025 + 0.05**2 * (1 - a * a)
    x, v = math.log(4.0) + b * 0.05, a * 0.05
    moved = kalman.predict(start, dt, P)
    assert (moved.log_rate, moved.velocity) == pytest.approx((x, v), rel=1e-12)
    assert (moved.p_xx, moved.p_xv, moved.p_vv) == pytest.approx((pxx, pxv, pvv), rel=1e-9)

    after, seen = kalman.observe(moved, 3, dt, P)
    assert seen.weight == 1.0
    # The dispersion moves with this step too; the mode solves delta = pxx (n - mu e^delta) / phi.
    delta, mu = after.log_rate - x, dt * math.exp(x)
    assert delta == pytest.approx(pxx * (3 - mu * math.exp(delta)) / after.dispersion, abs=1e-9)
    information = mu * math.exp(delta) / after.dispersion
    assert after.p_xx == pytest.approx(1.0 / (1.0 / pxx + information), rel=1e-9)
    assert after.velocity == pytest.approx(v + pxv / pxx * delta, rel=1e-9)


def test_golden_stream() -> None:
    """The values of a second, scalar implementation of the same formulas (no filterpy)."""
    state = rates.initial(P)
    for count in (0, 2, 1, 0, 5, 3, 0, 1):
        state, _ = kalman.step(state, 0.25, count, 0.25, P)
    assert state.log_rate == pytest.approx(1.7615038373878, abs=1e-9)
    assert state.p_xx == pytest.approx(0.1565441867366, abs=1e-9)
    assert state.dispersion == pytest.approx(1.5921339681015, abs=1e-9)


@given(first=gaps, second=gaps)
def test_a_gap_is_exact_two_steps_make_one(first: float, second: float) -> None:
    f1, q1 = kalman.transition(first, P)
    f2, q2 = kalman.transition(second, P)
    whole_f, whole_q = kalman.transition(first + second, P)
    assert np.allclose(f2 @ f1, whole_f, rtol=1e-9, atol=1e-12)
    assert np.allclose(f2 @ q1 @ f2.T + q2, whole_q, rtol=1e-7, atol=1e-12)


@given(dt=gaps)
def test_process_noise_is_a_covariance(dt: float) -> None:
    _, noise = kalman.transition(dt, P)
    assert noise[0, 0] > 0.0
    assert noise[1, 1] > 0.0
    assert np.linalg.det(noise) >= -1e-18


def test_b22_a_long_gap_without_data_widens_the_belief_and_raises_no_flag() -> None:
    before = settled_at(48.0)
    after, seen = kalman.step(before, 7.0, 0, 0.0, P)
    assert not seen.used
    assert not seen.jump
    assert after.p_xx > before.p_xx
    assert after.log_rate == pytest.approx(
        before.log_rate + 2.0 * (1 - math.exp(-3.5)) * before.velocity
    )
    expected_again = 7 * 48
    _, surprised = kalman.observe(after, expected_again, 7.0, P)
    assert not surprised.jump


def test_a_gap_of_years_leaves_at_most_the_doubt_about_a_stranger() -> None:
    after = kalman.predict(settled_at(48.0), 4000.0, P)
    assert after.p_xx == pytest.approx(P.prior_log_sd**2)
    assert np.linalg.eigvalsh(covariance(after))[0] > 0.0


@given(count=counts)
def test_no_update_while_the_channel_could_not_carry(count: int) -> None:
    before = settled_at(10.0, 48)
    after, seen = kalman.observe(before, count, 0.0, P)
    assert after == before
    assert not seen.used


def test_a_negative_count_is_a_programmers_error() -> None:
    with pytest.raises(ValueError, match="negative"):
        kalman.observe(rates.initial(P), -1, 1.0, P)


@settings(max_examples=200)
@given(data=st.lists(st.tuples(gaps, counts, exposures), min_size=1, max_size=12))
def test_any_history_leaves_a_finite_state_with_a_covariance(
    data: list[tuple[float, int, float]],
) -> None:
    state = rates.initial(P)
    for dt, count, exposure in data:
        state, seen = kalman.step(state, dt, count, exposure, P)
        assert all(math.isfinite(value) for value in rates.to_floats(state))
        assert math.isfinite(seen.score)
        assert math.isfinite(seen.pooled_score)
        assert state.p_xx <= P.prior_log_sd**2 * (1 + 1e-9)
        assert np.linalg.eigvalsh(covariance(state))[0] > 0.0
        assert 1.0 <= state.dispersion <= P.dispersion_most


@settings(max_examples=100)
@given(count=counts, more=st.integers(1, 1000), exposure=exposures)
def test_more_forwards_never_mean_a_lower_rate(count: int, more: int, exposure: float) -> None:
    ungated = RateParameters(gate_sd=math.inf, jump_sd=math.inf, dispersion_pull_most=0.0)
    base = rates.initial(P)
    fewer, _ = kalman.observe(base, count, exposure, ungated)
    greater, _ = kalman.observe(base, count + more, exposure, ungated)
    assert greater.log_rate >= fewer.log_rate - 1e-9


def test_b22_a_jump_is_flagged_when_it_lasts_and_a_lone_burst_is_not() -> None:
    quiet = settled_at(48.0)
    burst, seen = kalman.step(quiet, HOUR, 60, HOUR, P)
    assert seen.score > P.gate_sd
    assert seen.weight < 0.5
    assert not seen.jump
    assert math.exp(burst.log_rate) < 1.6 * math.exp(quiet.log_rate)

    state, jumped_after = quiet, 0
    for hour in range(1, 13):
        state, seen = kalman.step(state, HOUR, 10, HOUR, P)
        if seen.jump:
            jumped_after = hour
            break
    assert 1 <= jumped_after <= 6


def test_b22_the_jump_test_compares_in_standard_deviations() -> None:
    """The same relative change is a surprise on a busy channel and none on a quiet one."""
    busy, quiet = settled_at(480.0), settled_at(4.0)
    _, loud = kalman.step(busy, HOUR, 60, HOUR, P)
    _, soft = kalman.step(quiet, HOUR, 1, HOUR, P)
    assert loud.score > P.gate_sd
    assert abs(soft.score) < 2.0


@given(mean=st.floats(0.5, 500.0), dispersion=st.floats(1.0, 5.0))
def test_surprise_grows_with_the_count(mean: float, dispersion: float) -> None:
    """As far down as six deviations, beyond which the score is only known to be enormous."""
    scores = [rates.surprise(count, mean, dispersion * mean) for count in range(0, 1000, 3)]
    near = [score for score in scores if score > -6.0]
    assert near == sorted(near)
    assert all(score < -5.0 for score in scores[: -len(near)])


@pytest.mark.parametrize("mean", [0.5, 2.0, 10.0, 80.0])
def test_surprise_is_the_normal_score_of_a_poisson_count(mean: float) -> None:
    """Checked against the exact mid-p of the Poisson law, summed here, out to four deviations."""
    pmf, below = math.exp(-mean), 0.0
    for count in range(int(mean + 4 * math.sqrt(mean)) + 2):
        mid = below + 0.5 * pmf
        score = rates.surprise(count, mean, mean)
        assert 0.5 * math.erfc(-score / math.sqrt(2.0)) == pytest.approx(mid, abs=0.05)
        below += pmf
        pmf *= mean / (count + 1)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=10, max_size=10))
def test_floats_round_trip(values: list[float]) -> None:
    assert list(rates.to_floats(rates.from_floats(values))) == values
