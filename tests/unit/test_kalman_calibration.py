"""Is the rate filter honest? Normalised innovations and interval coverage on seeded streams."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cl_revenue_ops.domain import kalman, rates
from cl_revenue_ops.domain.rates import RateParameters

P = RateParameters()
UNGATED = RateParameters(gate_sd=math.inf, jump_sd=math.inf)
HOUR = 1.0 / 24.0
WARM_UP = 24 * 5
Z80 = 1.2816


def stream(
    seed: int, rate_per_day: float, hours: int, jump_at: int = -1, jump: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Hourly Poisson counts under a log rate that moves as the filter assumes, and the rate."""
    rng = np.random.default_rng(seed)
    x, v = math.log(rate_per_day), 0.0
    keep = math.exp(-HOUR / P.velocity_memory_days)
    truth = np.empty(hours)
    for hour in range(hours):
        v = keep * v + P.velocity_sd_per_day * math.sqrt(1 - keep**2) * rng.normal()
        x += v * HOUR + P.diffusion_per_sqrt_day * math.sqrt(HOUR) * rng.normal()
        x += jump if hour == jump_at else 0.0
        truth[hour] = x
    return rng.poisson(np.exp(truth) * HOUR), truth


def follow(
    counts: np.ndarray, parameters: RateParameters, exposed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """(log rate, its sd, scores, jumps) after each hour; `exposed` hours only are observed."""
    state, jumps = rates.initial(parameters), 0
    means, sds, scores = np.empty(len(counts)), np.empty(len(counts)), np.empty(len(counts))
    for hour, count in enumerate(counts):
        exposure = HOUR if exposed is None or exposed[hour] else 0.0
        seen_count = int(count) if exposure else 0
        state, seen = kalman.step(state, HOUR, seen_count, exposure, parameters)
        means[hour], sds[hour], scores[hour] = state.log_rate, math.sqrt(state.p_xx), seen.score
        jumps += seen.jump
    return means, sds, scores, jumps


@pytest.mark.parametrize("rate_per_day", [3.0, 24.0, 240.0])
def test_eighty_percent_intervals_cover_eighty_percent(rate_per_day: float) -> None:
    covered, jumps = [], 0
    for seed in range(40):
        counts, truth = stream(seed, rate_per_day, 24 * 21)
        means, sds, _, jumped = follow(counts, P)
        covered.append(np.abs(means - truth)[WARM_UP:] < Z80 * sds[WARM_UP:])
        jumps += jumped
    coverage = float(np.mean(covered))
    assert 0.72 <= coverage <= 0.88, f"seeds 0-39 at {rate_per_day}: coverage {coverage:.3f}"
    assert jumps <= 2, f"seeds 0-39 at {rate_per_day}: {jumps} jumps seen where none was"


def test_normalised_innovations_are_about_standard_normal() -> None:
    scores = np.concatenate(
        [follow(stream(seed, 240.0, 24 * 21)[0], P)[2][WARM_UP:] for seed in range(10)]
    )
    assert abs(scores.mean()) < 0.08, f"seeds 0-9: mean {scores.mean():.3f}"
    assert 0.9 < scores.std() < 1.1, f"seeds 0-9: sd {scores.std():.3f}"
    lagged = float(np.corrcoef(scores[1:], scores[:-1])[0, 1])
    assert abs(lagged) < 0.08, f"seeds 0-9: correlation of neighbours {lagged:.3f}"
    within = float(np.mean(np.abs(scores) < Z80))
    assert 0.76 < within < 0.84, f"seeds 0-9: {within:.3f} within the 80 % interval"


def test_the_dispersion_of_bursty_traffic_is_found_and_keeps_the_intervals_honest() -> None:
    covered, found = [], []
    for seed in range(10):
        rng = np.random.default_rng(1000 + seed)
        _, truth = stream(seed, 240.0, 24 * 21)
        # Bursts of geometric size (mean 3): variance over mean is 2 x 3 - 1 = 5.
        bursts = rng.poisson(np.exp(truth) * HOUR / 3.0)
        counts = np.array([rng.geometric(1.0 / 3.0, size=k).sum() for k in bursts])
        state = rates.initial(P)
        for hour, count in enumerate(counts):
            state, _ = kalman.step(state, HOUR, int(count), HOUR, P)
            if hour >= WARM_UP:
                covered.append(abs(state.log_rate - truth[hour]) < Z80 * math.sqrt(state.p_xx))
        found.append(state.dispersion)
    assert 3.5 < np.mean(found) < 6.5, f"seeds 0-9: dispersion {np.mean(found):.2f}, not about 5"
    assert 0.68 <= np.mean(covered) <= 0.9, f"seeds 0-9: coverage {np.mean(covered):.3f}"


def test_hours_in_which_the_channel_could_not_carry_do_not_bias_the_rate() -> None:
    """Half of each day offline: read as silence, that would halve the rate."""
    errors = []
    for seed in range(8):
        counts, truth = stream(seed, 96.0, 24 * 14)
        exposed = (np.arange(len(counts)) % 24) < 12
        means, _, _, _ = follow(np.where(exposed, counts, 0), P, exposed)
        errors.append((means - truth)[WARM_UP:].mean())
    assert abs(np.mean(errors)) < 0.1, f"seeds 0-7: bias {np.mean(errors):.3f}"


@pytest.mark.parametrize("jump", [math.log(4.0), -math.log(4.0)])
@pytest.mark.parametrize("rate_per_day", [240.0, 1200.0])
def test_after_a_jump_gating_tracks_faster_than_none(jump: float, rate_per_day: float) -> None:
    at = 24 * 10
    gated: list[float] = []
    plain: list[float] = []
    for seed in range(8):
        counts, truth = stream(seed, rate_per_day, 24 * 12, at, jump)
        for parameters, errors in ((P, gated), (UNGATED, plain)):
            means = follow(counts, parameters)[0]
            errors.append(np.abs(means - truth)[at : at + 36].mean())
    assert np.mean(gated) < 0.8 * np.mean(plain), (
        f"seeds 0-7: error {np.mean(gated):.3f} gated, {np.mean(plain):.3f} plain"
    )
