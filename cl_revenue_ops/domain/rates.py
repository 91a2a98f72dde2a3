"""The belief about how often one direction of a channel forwards: its numbers and readings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class RateParameters:
    """What the filter assumes of the world; days are the unit of time, log rates are natural.

    The log rate moves by a random walk (`diffusion_per_sqrt_day`) and by a velocity that forgets
    itself (Ornstein-Uhlenbeck: stationary sd `velocity_sd_per_day`, memory
    `velocity_memory_days`). `gate_sd` is the size of innovation, in standard deviations, beyond
    which one observation is tempered; `jump_sd` the size of the pooled innovation at which the
    rate is held to have jumped, and `jump_log_variance` what is then added to its variance; both
    sleep while the log-rate variance exceeds `gate_needs_log_variance` (nothing is known yet). The
    pool remembers about `pool_events` expected forwards, at least `pool_least_memory` of itself
    from step to step. The dispersion starts at `dispersion_prior` with the weight of
    `dispersion_prior_steps` steps and remembers `dispersion_memory_steps`; one step pulls with at
    most `dispersion_pull_most`.
    """

    diffusion_per_sqrt_day: float = 0.10
    velocity_sd_per_day: float = 0.05
    velocity_memory_days: float = 2.0
    prior_rate_per_day: float = 0.5
    prior_log_sd: float = 2.0
    gate_sd: float = 4.0
    gate_needs_log_variance: float = 1.0
    jump_sd: float = 4.0
    jump_log_variance: float = 1.0
    pool_events: float = 15.0
    pool_least_memory: float = 0.75
    dispersion_prior: float = 1.3
    dispersion_prior_steps: float = 10.0
    dispersion_memory_steps: float = 300.0
    dispersion_most: float = 50.0
    dispersion_pull_most: float = 16.0


@dataclass(frozen=True)
class RateState:
    """Ten floats: the belief over (log of events a day, velocity a day) and what tempers it.

    `p_xx`, `p_xv`, `p_vv` are the covariance; `dispersion` is the quasi-Poisson factor with the
    evidence behind it in steps; the `pool_*` sums are recent innovations, for jumps.
    """

    log_rate: float
    velocity: float
    p_xx: float
    p_xv: float
    p_vv: float
    dispersion: float
    dispersion_steps: float
    pool_count: float
    pool_mean: float
    pool_variance: float


@dataclass(frozen=True)
class Innovation:
    """How one observation compared with what was expected of it; `used` is False without exposure.

    `score` and `pooled_score` are in standard deviations; `weight` is the share of the
    observation's information that was taken (below 1: gated).
    """

    used: bool
    expected: float
    score: float
    pooled_score: float
    weight: float
    jump: bool


NOTHING_SEEN = Innovation(False, 0.0, 0.0, 0.0, 0.0, False)


def initial(parameters: RateParameters) -> RateState:
    """Return the belief about a direction that nobody has watched yet."""
    return RateState(
        log_rate=math.log(parameters.prior_rate_per_day),
        velocity=0.0,
        p_xx=parameters.prior_log_sd**2,
        p_xv=0.0,
        p_vv=parameters.velocity_sd_per_day**2,
        dispersion=parameters.dispersion_prior,
        dispersion_steps=parameters.dispersion_prior_steps,
        pool_count=0.0,
        pool_mean=0.0,
        pool_variance=0.0,
    )


def expected_count(state: RateState, exposure_days: float) -> tuple[float, float]:
    """Return mean and variance of the count that the belief predicts for `exposure_days`.

    A quasi-Poisson count over a log-normal rate: counting noise plus doubt about the rate.
    """
    mean = exposure_days * math.exp(state.log_rate + 0.5 * state.p_xx)
    return mean, count_variance(state, mean)


def surprise(count: float, mean: float, variance: float) -> float:
    """Return how many standard deviations a count lies above (+) or below (-) its prediction.

    The Wilson-Hilferty score of a scaled Poisson count with that mean and variance, taken at the
    middle of its step (mid-p), so that skewness at small counts is no surprise.
    """
    dispersion = variance / mean
    shape = count / dispersion + 0.5
    cube = math.pow(mean / dispersion / shape, 1.0 / 3.0)
    return 3.0 * math.sqrt(shape) * (1.0 - 1.0 / (9.0 * shape) - cube)


def rate_moments(state: RateState) -> tuple[float, float]:
    """Return mean and standard deviation of the rate in events a day (log-normal)."""
    mean = math.exp(state.log_rate + 0.5 * state.p_xx)
    return mean, mean * math.sqrt(math.expm1(state.p_xx))


def to_floats(state: RateState) -> tuple[float, ...]:
    """Return the state as ten plain floats, in the order of the fields."""
    return astuple(state)


def from_floats(values: Sequence[float]) -> RateState:
    """Return the state that `to_floats` wrote; raise TypeError on another number of values."""
    return RateState(*map(float, values))


def count_variance(state: RateState, mean: float) -> float:
    """Return the variance of a count whose predicted mean is `mean`."""
    return state.dispersion * mean + mean**2 * math.expm1(state.p_xx)
