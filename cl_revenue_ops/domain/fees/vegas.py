"""The Vegas reflex: a spike of the mempool raises the fee floor by an intensity that decays."""

from __future__ import annotations

import math
from typing import NamedTuple

DAY_S = 86_400.0
DECAY_STEP_S = 420.0
"""What is left of the intensity is decay^(elapsed / 7 min): 0.85 halves it in about 30 min."""

SPIKE_RATIO, SURGE_RATIO = 2.0, 4.0
MOST_MULTIPLIER = 3.0
LEAST_SAMPLES, LEAST_HISTORY_S = 4, 3600.0
SLOT_S = 300.0
LEAST_INTENSITY = 0.01

REPEATED = "repeated"
YOUNG = "young"
CALM = "calm"
NOTED = "noted"
EARLY = "early"
CONFIRMED = "confirmed"
SURGE = "surge"


class Slot(NamedTuple):
    """The samples of five minutes from `first_s` on: their sum (sat/vB) and their number."""

    first_s: float
    total: float
    samples: int


class VegasState(NamedTuple):
    """What the reflex remembers; in memory only, a reload begins anew.

    `slots` are the samples of the last 24 h, oldest first, at most one slot for five minutes;
    `intensity` in [0, 1] is what it was at `observed_s`, the time of the newest sample; `spikes`
    counts the spikes running.
    """

    slots: tuple[Slot, ...] = ()
    intensity: float = 0.0
    observed_s: float | None = None
    spikes: int = 0


class VegasVerdict(NamedTuple):
    """What one sample meant.

    `code`: `repeated` (this sample was taken in already), `young` (too little history), `calm`, or
    a spike: `noted` (a first one, not acted on yet), `early` (a first one, acted on by the draw),
    `confirmed` (the second running or later), `surge` (four times the mean or more). `ratio` is the
    sample over the mean of the earlier ones, both None where there is too little history; `boost`
    what the intensity was raised to at least (0 where nothing was), `intensity` what then holds.
    """

    code: str
    mean_sat_per_vb: float | None
    ratio: float | None
    boost: float
    intensity: float


def observe(
    state: VegasState, sat_per_vb: float, at_s: float, rng_uniform: float, decay: float
) -> tuple[VegasState, VegasVerdict]:
    """Take in one sample of the feerate at `at_s` (Unix seconds).

    The moving average is the mean of the earlier samples of the last 24 h. Above 200 % of it a
    sample is a spike. From 2 to 4 times the mean the boost is (ratio - 2)/2: certain on the second
    spike running, before that with the probability boost/2 (`rng_uniform` in [0, 1) below it); from
    4 times on it is 1, at once. The intensity is raised to the boost, not by it: how often
    somebody looks does not change how high the floor goes. It decays first, by the time since the
    last sample, so nothing decays in the instant that raised it.

    A sample with the time of the newest one is that one told again. An earlier time means that
    the clock was set back: what is remembered moves back with it. Raises ValueError for a feerate
    that is not above zero or not finite, and for a decay outside [0, 1].
    """
    if not (math.isfinite(sat_per_vb) and sat_per_vb > 0.0):
        raise ValueError(f"not a feerate: {sat_per_vb} sat/vB")
    intensity = intensity_at(state, at_s, decay)
    if at_s == state.observed_s:
        return state, VegasVerdict(REPEATED, None, None, 0.0, intensity)
    slots = _recent(_moved_back(state, at_s), at_s)
    mean = _mean(slots, at_s)
    ratio = None if mean is None else sat_per_vb / mean
    code, boost = _judge(ratio, state.spikes, rng_uniform)
    raised = max(intensity, boost)
    spikes = 0 if code in (YOUNG, CALM) else state.spikes + 1
    after = VegasState(_with(slots, sat_per_vb, at_s), raised, at_s, spikes)
    return after, VegasVerdict(code, mean, ratio, boost, raised)


def intensity_at(state: VegasState, now_s: float, decay: float) -> float:
    """Return the intensity in [0, 1] at `now_s`: decay^(elapsed / 7 min) of what it was.

    A time before the newest sample counts as that of the sample. A decay of 0 leaves nothing after
    any time at all; with 1 a floor once raised stays until a reload or another setting. Raises
    ValueError for a decay outside [0, 1].
    """
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"a decay is from 0 to 1, not {decay}")
    if state.observed_s is None:
        return 0.0
    elapsed_s = max(0.0, now_s - state.observed_s)
    return state.intensity * math.pow(decay, elapsed_s / DECAY_STEP_S)


def floor_multiplier(intensity: float) -> float:
    """Return what the fee floor is multiplied with: 1 at rest, 1 + 2 sqrt(intensity), 3 at 1."""
    if intensity < LEAST_INTENSITY:
        return 1.0
    return 1.0 + (MOST_MULTIPLIER - 1.0) * math.sqrt(min(1.0, intensity))


def _judge(ratio: float | None, spikes: int, rng_uniform: float) -> tuple[str, float]:
    if ratio is None:
        return YOUNG, 0.0
    if ratio <= SPIKE_RATIO:
        return CALM, 0.0
    if ratio >= SURGE_RATIO:
        return SURGE, 1.0
    boost = (ratio - SPIKE_RATIO) / (SURGE_RATIO - SPIKE_RATIO)
    if spikes >= 1:
        return CONFIRMED, boost
    return (EARLY, boost) if rng_uniform < 0.5 * boost else (NOTED, 0.0)


def _moved_back(state: VegasState, at_s: float) -> tuple[Slot, ...]:
    """The slots as they would be had the clock always shown what it shows now."""
    if state.observed_s is None or at_s >= state.observed_s:
        return state.slots
    ahead_s = state.observed_s - at_s
    return tuple(slot._replace(first_s=slot.first_s - ahead_s) for slot in state.slots)


def _recent(slots: tuple[Slot, ...], at_s: float) -> tuple[Slot, ...]:
    return tuple(slot for slot in slots if slot.first_s > at_s - DAY_S)


def _mean(slots: tuple[Slot, ...], at_s: float) -> float | None:
    samples = sum(slot.samples for slot in slots)
    if samples < LEAST_SAMPLES or at_s - slots[0].first_s < LEAST_HISTORY_S:
        return None
    return sum(slot.total for slot in slots) / samples


def _with(slots: tuple[Slot, ...], sat_per_vb: float, at_s: float) -> tuple[Slot, ...]:
    if slots and at_s < slots[-1].first_s + SLOT_S:
        newest = slots[-1]
        return (*slots[:-1], Slot(newest.first_s, newest.total + sat_per_vb, newest.samples + 1))
    return (*slots, Slot(at_s, sat_per_vb, 1))
