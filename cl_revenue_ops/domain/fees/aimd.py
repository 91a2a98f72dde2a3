"""AIMD as a detector: the price gives way at once when fewer forwards come than can be chance."""

from __future__ import annotations

from typing import Any, NamedTuple

DECREASE = 0.85
RECOVERY = 0.02
LEAST_MULTIPLIER = 0.5
IMPROBABLE = 1e-3
LEAST_PAUSE_S = 3600.0
ROW_VERSION = 1
_BEYOND = 1e300

UNSEEN = "unseen"
DECREASED = "decreased"
HELD = "held"
RECOVERING = "recovering"
CALM = "calm"


class AimdState(NamedTuple):
    """What the price is multiplied with, 0.5 to 1, and when it was last decreased (Unix seconds).

    It is kept beside the posterior and never flows into it.
    """

    multiplier: float = 1.0
    decreased_at_s: float | None = None


class AimdVerdict(NamedTuple):
    """What a window meant, and the multiplier after it.

    `code`: `unseen` (nothing could be expected), `decreased`, `held` (improbably few, but the
    last decrease is less than an hour old or the multiplier is at its lowest), `recovering`, or
    `calm` (as many as expected, and nothing to recover from).
    """

    code: str
    multiplier: float


def observe(
    state: AimdState, p_low: float | None, at_s: float, intervals: float
) -> tuple[AimdState, AimdVerdict]:
    """Take in the window since the last decision.

    `p_low` is the probability, under the posterior, of as few forwards as were counted or fewer;
    None where nothing could be expected (no exposure): that says nothing, not even that all is
    well. Below 1e-3 the multiplier falls to 0.85 of itself, once an hour at most and never below
    0.5. Otherwise it recovers by 0.02 for each fee interval that the window lasted (`intervals`),
    up to 1, so that more frequent decisions recover no faster.

    A last decrease that lies ahead of `at_s` (the clock was set back) counts as of `at_s`.
    """
    decreased_at_s = state.decreased_at_s
    if decreased_at_s is not None:
        decreased_at_s = min(decreased_at_s, at_s)
    multiplier = state.multiplier
    if p_low is None:
        code = UNSEEN
    elif p_low >= IMPROBABLE:
        code = RECOVERING if multiplier < 1.0 else CALM
        multiplier = min(1.0, multiplier + RECOVERY * max(0.0, intervals))
    elif multiplier > LEAST_MULTIPLIER and (
        decreased_at_s is None or at_s - decreased_at_s >= LEAST_PAUSE_S
    ):
        code = DECREASED
        multiplier, decreased_at_s = max(LEAST_MULTIPLIER, multiplier * DECREASE), at_s
    else:
        code = HELD
    return AimdState(multiplier, decreased_at_s), AimdVerdict(code, multiplier)


def state_to_row(state: AimdState) -> tuple[Any, ...]:
    """Return the state as a tuple that JSON keeps exactly; it begins with its version."""
    return (ROW_VERSION, state.multiplier, state.decreased_at_s)


def state_from_row(row: object) -> AimdState:
    """Return the state that `state_to_row` wrote; raise ValueError where it is none."""
    if not isinstance(row, (list, tuple)) or len(row) != 3:
        raise ValueError("not a row of an AIMD state")
    version, multiplier, decreased_at_s = row
    if version != ROW_VERSION:
        raise ValueError(f"an AIMD row of version {version}, not {ROW_VERSION}")
    if not LEAST_MULTIPLIER <= _number(multiplier) <= 1.0:
        raise ValueError(f"a multiplier is from {LEAST_MULTIPLIER} to 1, not {multiplier}")
    return AimdState(float(multiplier), None if decreased_at_s is None else _number(decreased_at_s))


def _number(value: object) -> float:
    # Comparing is safe for an integer of any size; no number compares with a NaN.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < _BEYOND:
        raise ValueError("not a finite number")
    return float(value)
