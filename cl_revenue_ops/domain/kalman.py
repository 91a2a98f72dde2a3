"""The Kalman filter over a log rate and its velocity; the only place that knows filterpy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from cl_revenue_ops.domain.rates import (
    NOTHING_SEEN,
    Innovation,
    RateParameters,
    RateState,
    count_variance,
    expected_count,
    surprise,
)

Array = NDArray[np.float64]
Predict = Callable[..., tuple[Array, Array]]
Update = Callable[..., tuple[Array, Array]]

_LEAST_EXPOSURE_DAYS = 1e-6
_NEWTON_STEPS = 50
_NEWTON_TOLERANCE = 1e-12
_LEAST_MEAN = 0.5  # one forward on a quiet channel is no surprise, however short the step


def transition(dt_days: float, parameters: RateParameters) -> tuple[Array, Array]:
    """Return F and Q (2 x 2) for `dt_days` >= 0, exact for any length of gap.

    The solution of dx = v dt + s dW, dv = -v/tau dt + sqrt(2/tau) sd dW' (integrated
    Ornstein-Uhlenbeck process): two steps of any lengths compose to one of their sum.
    """
    tau, sd = parameters.velocity_memory_days, parameters.velocity_sd_per_day
    kept = math.exp(-dt_days / tau)
    gone = -math.expm1(-dt_days / tau)
    gone_twice = -math.expm1(-2.0 * dt_days / tau)
    drift = 2.0 * sd**2 * tau * (dt_days - 2.0 * tau * gone + 0.5 * tau * gone_twice)
    q_xx = parameters.diffusion_per_sqrt_day**2 * dt_days + max(0.0, drift)
    q_xv = sd**2 * tau * gone**2
    q_vv = sd**2 * gone_twice
    move = np.array([[1.0, tau * gone], [0.0, kept]])
    return move, np.array([[q_xx, q_xv], [q_xv, q_vv]])


def predict(state: RateState, dt_days: float, parameters: RateParameters) -> RateState:
    """Carry the belief `dt_days` forward; the variance never grows beyond that of a stranger."""
    if dt_days <= 0.0:
        return state
    move, noise = transition(dt_days, parameters)
    carry, _ = _filterpy_functions()
    mean, covariance = carry(_mean(state), _covariance(state), F=move, Q=noise)
    return _capped(_with_belief(state, mean, covariance), parameters)


def observe(
    state: RateState, count: int, exposure_days: float, parameters: RateParameters
) -> tuple[RateState, Innovation]:
    """Take in `count` forwards seen during `exposure_days` in which they could have happened.

    Without exposure (less than a tenth of a second) nothing is learned: silence of a channel that
    could not carry says nothing. Raises ValueError on a negative count.
    """
    if count < 0:
        raise ValueError(f"a count of forwards cannot be negative: {count}")
    if exposure_days < _LEAST_EXPOSURE_DAYS:
        return state, NOTHING_SEEN
    gated, innovation = _gate(state, count, exposure_days, parameters)
    dispersion = gated.dispersion / innovation.weight
    observed, noise = _working_observation(gated, count, exposure_days, dispersion)
    _, correct = _filterpy_functions()
    mean, covariance = correct(
        _mean(gated), _covariance(gated), observed, np.array([[noise]]), np.array([[1.0, 0.0]])
    )
    return _with_belief(gated, mean, covariance), innovation


def step(
    state: RateState, dt_days: float, count: int, exposure_days: float, parameters: RateParameters
) -> tuple[RateState, Innovation]:
    """Predict over `dt_days`, then observe; a gap of any length costs one prediction."""
    return observe(predict(state, dt_days, parameters), count, exposure_days, parameters)


def _gate(
    state: RateState, count: int, exposure_days: float, p: RateParameters
) -> tuple[RateState, Innovation]:
    """Compare with the prediction: temper a lone outlier, widen the belief where outliers persist.

    Both comparisons are innovations over their own standard deviation. The pool forgets with
    evidence rather than with time, so a quiet channel pools for days and a busy one for hours.
    """
    expected, variance = expected_count(state, exposure_days)
    mean = max(expected, _LEAST_MEAN)
    score = surprise(count, mean, count_variance(state, mean))
    known = state.p_xx <= p.gate_needs_log_variance
    share = min(1.0, p.gate_sd / abs(score)) if known and score else 1.0
    error = min((count - expected) * share, p.gate_sd * math.sqrt(variance))
    kept = max(p.pool_least_memory, math.exp(-expected / state.dispersion / p.pool_events))
    pooled = replace(
        state,
        pool_count=kept * state.pool_count + expected + error,
        pool_mean=kept * state.pool_mean + expected,
        pool_variance=kept**2 * state.pool_variance + variance,
    )
    pooled_score = _pooled_score(pooled)
    if known and abs(pooled_score) > p.jump_sd:
        wide = replace(state, p_xx=state.p_xx + p.jump_log_variance)
        fresh = replace(_capped(wide, p), pool_count=0.0, pool_mean=0.0, pool_variance=0.0)
        return fresh, Innovation(True, expected, score, pooled_score, 1.0, True)
    learned = _with_dispersion(pooled, count - expected, expected, variance, p)
    return learned, Innovation(True, expected, score, pooled_score, share**2, False)


def _pooled_score(state: RateState) -> float:
    if state.pool_mean < _LEAST_MEAN:
        return 0.0
    return surprise(state.pool_count, state.pool_mean, state.pool_variance)


def _with_dispersion(
    state: RateState, error: float, expected: float, variance: float, p: RateParameters
) -> RateState:
    """Move the dispersion to where squared innovations average one; never below Poisson's 1.

    A step's weight is the information its square carries (one over its variance, 2 + 1/mean);
    the product of weight and square is bounded, so that one burst moves it by a bounded amount.
    """
    weight = 2.0 * expected / (1.0 + 2.0 * expected)
    steps = min(state.dispersion_steps + weight, p.dispersion_memory_steps)
    pull = min(weight * error**2 / variance, p.dispersion_pull_most)
    moved = state.dispersion * (1.0 + (pull - weight) / steps)
    bounded = min(p.dispersion_most, max(1.0, moved))
    return replace(state, dispersion=bounded, dispersion_steps=steps)


def _working_observation(
    state: RateState, count: int, exposure_days: float, dispersion: float
) -> tuple[float, float]:
    """Return the Gaussian observation (log rate, variance) that stands for the count.

    The log-likelihood of a quasi-Poisson count is expanded at the posterior mode (Newton, started
    on the side from which it cannot overshoot), so the linear update lands on that mode exactly:
    log((count + prior) / exposure) with the prior that the belief itself implies.
    """
    mean = exposure_days * math.exp(state.log_rate)
    pull = state.p_xx / dispersion
    shift = min(pull * count, math.log(count / mean)) if count > mean else 0.0
    for _ in range(_NEWTON_STEPS):
        at = mean * math.exp(shift)
        move = (shift - pull * (count - at)) / (1.0 + pull * at)
        shift -= move
        if abs(move) < _NEWTON_TOLERANCE:
            break
    at = mean * math.exp(shift)
    return state.log_rate + shift + (count - at) / at, dispersion / at


def _capped(state: RateState, p: RateParameters) -> RateState:
    """Shrink the log-rate variance to the prior's by a congruence, which keeps it a covariance."""
    most = p.prior_log_sd**2
    if state.p_xx <= most:
        return state
    return replace(state, p_xx=most, p_xv=state.p_xv * math.sqrt(most / state.p_xx))


def _mean(state: RateState) -> Array:
    return np.array([state.log_rate, state.velocity])


def _covariance(state: RateState) -> Array:
    return np.array([[state.p_xx, state.p_xv], [state.p_xv, state.p_vv]])


def _with_belief(state: RateState, mean: Array, covariance: Array) -> RateState:
    return replace(
        state,
        log_rate=float(mean[0]),
        velocity=float(mean[1]),
        p_xx=float(covariance[0, 0]),
        p_xv=0.5 * float(covariance[0, 1] + covariance[1, 0]),
        p_vv=float(covariance[1, 1]),
    )


@cache
def _filterpy_functions() -> tuple[Predict, Update]:
    """Return filterpy's stateless `predict` and `update`.

    Imported at the first use and not with this module: filterpy brings SciPy along, which takes
    most of a second and 70 MB, and nothing may wait for that before lightningd has its answer.
    """
    from filterpy.kalman import predict, update

    return predict, update
