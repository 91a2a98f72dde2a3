"""What is known of one channel's flow, and the step that takes in the newest interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from cl_revenue_ops.domain import kalman, rates
from cl_revenue_ops.domain.flow_window import (
    NO_FLOW,
    Totals,
    Window,
    extend,
    from_flat,
    merge,
    to_flat,
    totals,
)
from cl_revenue_ops.domain.rates import Innovation, RateParameters, RateState

DAY_S = 86_400.0
ROW_VERSION = 1
_LOG_MOST = 300.0


@dataclass(frozen=True)
class FlowParameters:
    """How flow is read; `rate` is the filter's own set.

    A channel is a source (sink) when net flow exceeds `imbalance` of gross flow outwards (inwards)
    with a probability of at least `decisive`, and `evidence_for_class` is there. Evidence (forwards
    plus days watched) halves every `evidence_half_life_days`; `evidence_full` gives full
    confidence, and more is not kept: it would hide how old it has become. The mean size
    remembers about `size_memory_forwards`; `size_prior_variation` is the squared coefficient of
    variation assumed of sizes, with the weight of `size_prior_steps` comparisons. Until a size is
    known a forward of `typical_msat` is thought of.
    """

    window_days: int = 7
    rate: RateParameters = field(default_factory=RateParameters)
    imbalance: float = 0.2
    decisive: float = 0.7
    evidence_half_life_days: float = 7.0
    evidence_full: float = 20.0
    evidence_for_class: float = 3.0
    size_memory_forwards: float = 200.0
    size_prior_variation: float = 2.0
    size_prior_steps: float = 5.0
    size_memory_steps: float = 100.0
    typical_msat: int = 50_000_000


class SizeBelief(NamedTuple):
    """The mean forward in msat, the forwards behind it, and how sizes vary around it.

    `variation` is the squared coefficient of variation, `steps` the comparisons behind it.
    """

    mean_msat: float
    forwards: float
    variation: float
    steps: float


class Direction(NamedTuple):
    """One direction of a channel: how often forwards come, and how large they are."""

    rate: RateState
    size: SizeBelief


@dataclass(frozen=True)
class FlowState:
    """All that is kept of one channel between two analyses; times are Unix seconds.

    `incoming` entered through the channel (it fills), `outgoing` left through it (it drains).
    `settled` counts since `first_s`, `window` the last days by the hour, `evidence` the decaying
    sum behind the confidence; exposures are the seconds in which the direction could carry.
    """

    first_s: float
    updated_s: float
    last_forward_s: float | None
    last_jump_s: float | None
    evidence: float
    exposure_in_s: float
    exposure_out_s: float
    settled: Totals
    incoming: Direction
    outgoing: Direction
    window: Window


@dataclass(frozen=True)
class FlowObservation:
    """What is new since the last step, and nothing else: one interval that ends at `end_s`.

    `buckets` hold the forwards that settled in it (see flow_window.collect); the exposures are the
    seconds of it in which the channel could have carried inwards and outwards. An interval that
    nobody watched (the plugin was down) has no exposure: its forwards reach the window and the
    totals, but say nothing about the rate.
    """

    end_s: float
    exposure_in_s: float
    exposure_out_s: float
    buckets: Window = ()


@dataclass(frozen=True)
class FlowDiagnostics:
    """What one step did: its length, both innovations, and forwards that the filters left out."""

    interval_s: float
    incoming: Innovation
    outgoing: Innovation
    unread_forwards: int


def initial(now_s: float, parameters: FlowParameters) -> FlowState:
    """Return the state of a channel that is seen for the first time."""
    nobody_watched = Direction(
        rates.initial(parameters.rate),
        SizeBelief(0.0, 0.0, parameters.size_prior_variation, parameters.size_prior_steps),
    )
    return FlowState(
        first_s=now_s,
        updated_s=now_s,
        last_forward_s=None,
        last_jump_s=None,
        evidence=0.0,
        exposure_in_s=0.0,
        exposure_out_s=0.0,
        settled=NO_FLOW,
        incoming=nobody_watched,
        outgoing=nobody_watched,
        window=(),
    )


def step(
    state: FlowState, observation: FlowObservation, now_s: float, parameters: FlowParameters
) -> tuple[FlowState, FlowDiagnostics]:
    """Take in one interval. Its cost does not depend on the gap before it or on the history.

    An exposure can't exceed the time since the last step, so an interval told twice teaches the
    filters nothing the second time; that no forward is told twice is the caller's cursor's duty.
    """
    interval_s = max(0.0, observation.end_s - state.updated_s)
    exposure_in_s = min(max(0.0, observation.exposure_in_s), interval_s)
    exposure_out_s = min(max(0.0, observation.exposure_out_s), interval_s)
    fresh = merge(observation.buckets)
    new = _sums(fresh)
    incoming, seen_in = _advance(
        state.incoming, interval_s, new.in_count, new.in_msat, exposure_in_s, parameters
    )
    outgoing, seen_out = _advance(
        state.outgoing, interval_s, new.out_count, new.out_msat, exposure_out_s, parameters
    )
    read = new.in_count * seen_in.used + new.out_count * seen_out.used
    watched_days = 0.5 * (exposure_in_s + exposure_out_s) / DAY_S
    moved = replace(
        state,
        updated_s=state.updated_s + interval_s,
        last_forward_s=_last_forward_s(state, observation, fresh),
        last_jump_s=observation.end_s if seen_in.jump or seen_out.jump else state.last_jump_s,
        evidence=min(
            parameters.evidence_full,
            decayed_evidence(state, interval_s, parameters) + read + watched_days,
        ),
        exposure_in_s=state.exposure_in_s + exposure_in_s,
        exposure_out_s=state.exposure_out_s + exposure_out_s,
        settled=Totals(*(old + more for old, more in zip(state.settled, new, strict=True))),
        incoming=incoming,
        outgoing=outgoing,
        window=extend(state.window, fresh, now_s, parameters.window_days),
    )
    unread = new.in_count + new.out_count - read
    return moved, FlowDiagnostics(interval_s, seen_in, seen_out, unread)


def decayed_evidence(state: FlowState, later_s: float, parameters: FlowParameters) -> float:
    """Return what is left of the evidence `later_s` after the last step (half-life in days)."""
    half_lives = max(0.0, later_s) / DAY_S / parameters.evidence_half_life_days
    return state.evidence * math.pow(0.5, half_lives)


def window_totals(state: FlowState, now_s: float, window_days: int) -> Totals:
    """Return the sums of the last `window_days`, as far as the window reaches."""
    return totals(state.window, now_s, window_days)


def to_row(state: FlowState) -> tuple[Any, ...]:
    """Return the state as a compact tuple that JSON keeps exactly; it begins with its version."""
    return (
        ROW_VERSION,
        state.first_s,
        state.updated_s,
        state.last_forward_s,
        state.last_jump_s,
        state.evidence,
        state.exposure_in_s,
        state.exposure_out_s,
        tuple(state.settled),
        (*rates.to_floats(state.incoming.rate), *state.incoming.size),
        (*rates.to_floats(state.outgoing.rate), *state.outgoing.size),
        to_flat(state.window),
    )


def from_row(row: Sequence[Any]) -> FlowState:
    """Return the state that `to_row` wrote.

    Raises ValueError on a version that isn't ours; ValueError, TypeError, KeyError, IndexError or
    OverflowError on a row that isn't one, or whose numbers no step can have left.
    """
    if not row or row[0] != ROW_VERSION:
        raise ValueError(f"a flow row of version {row[0] if row else None}, not {ROW_VERSION}")
    first_s, updated_s, last_forward_s, last_jump_s, evidence, *exposures = row[1:8]
    settled, incoming, outgoing, window = row[8:]
    return FlowState(
        first_s=finite(first_s),
        updated_s=finite(updated_s),
        last_forward_s=None if last_forward_s is None else finite(last_forward_s),
        last_jump_s=None if last_jump_s is None else finite(last_jump_s),
        evidence=finite(evidence),
        exposure_in_s=finite(exposures[0]),
        exposure_out_s=finite(exposures[1]),
        settled=Totals(*map(int, settled)),
        incoming=_direction(incoming),
        outgoing=_direction(outgoing),
        window=from_flat(tuple(map(int, window))),
    )


def not_after(state: FlowState, now_s: float) -> FlowState:
    """Return the state with every moment that lies ahead of the clock moved to `now_s`."""
    if state.updated_s <= now_s:
        return state
    return replace(
        state,
        first_s=min(state.first_s, now_s),
        updated_s=now_s,
        last_forward_s=None if state.last_forward_s is None else min(state.last_forward_s, now_s),
        last_jump_s=None if state.last_jump_s is None else min(state.last_jump_s, now_s),
    )


def finite(value: Any) -> float:
    """Return a stored number as a float; raise TypeError or ValueError where it is none."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is no number to reckon with")
    return number


def _direction(values: Sequence[Any]) -> Direction:
    rate = rates.from_floats([finite(value) for value in values[:10]])
    size = SizeBelief(*(finite(value) for value in values[10:]))
    sane = abs(rate.log_rate) < _LOG_MOST and 0.0 < rate.p_xx < _LOG_MOST and rate.dispersion > 0.0
    if not sane or rate.p_vv < 0.0 or size.variation < 0.0 or size.steps < 0.0:
        raise ValueError("a belief that no step can have left")
    if size.mean_msat < 0.0 or (size.mean_msat > 0.0 and size.forwards <= 0.0):
        raise ValueError("a mean size without forwards behind it")
    return Direction(rate, size)


def _advance(
    direction: Direction,
    interval_s: float,
    count: int,
    msat: int,
    exposure_s: float,
    p: FlowParameters,
) -> tuple[Direction, Innovation]:
    rate, seen = kalman.step(direction.rate, interval_s / DAY_S, count, exposure_s / DAY_S, p.rate)
    return Direction(rate, _resize(direction.size, count, msat, p)), seen


def _resize(size: SizeBelief, count: int, msat: int, p: FlowParameters) -> SizeBelief:
    """Take `count` forwards of `msat` together into the mean size.

    The gap between the new average and the old mean has the variance of sizes times
    (1/count + 1/forwards): dividing by that makes every comparison an estimate of the variation.
    """
    if count == 0:
        return size
    variation, steps = size.variation, size.steps
    if size.mean_msat > 0.0:
        gap = msat / count / size.mean_msat - 1.0
        seen = gap**2 / (1.0 / count + 1.0 / size.forwards)
        steps = min(steps + 1.0, p.size_memory_steps)
        variation += (min(seen, 10.0 * p.size_prior_variation) - variation) / steps
    forwards = size.forwards + count
    mean_msat = (size.mean_msat * size.forwards + msat) / forwards
    return SizeBelief(mean_msat, min(forwards, p.size_memory_forwards), variation, steps)


def _sums(buckets: Window) -> Totals:
    return Totals(
        sum(b.in_count for b in buckets),
        sum(b.in_msat for b in buckets),
        sum(b.out_count for b in buckets),
        sum(b.out_msat for b in buckets),
    )


def _last_forward_s(state: FlowState, observation: FlowObservation, fresh: Window) -> float | None:
    """Return when the newest forward settled, to the hour, and not after the interval's end."""
    if not fresh:
        return state.last_forward_s
    newest_s = min(observation.end_s, (fresh[-1].hour + 1) * 3600.0)
    return newest_s if state.last_forward_s is None else max(newest_s, state.last_forward_s)
