"""Congestion of outgoing HTLC slots: entered on two samples, left below the threshold."""

from __future__ import annotations

from cl_revenue_ops.domain.fees.facts import CongestionState, FeeParameters

_ROUNDING = 1e-9


def slot_share(used: int, slots: int) -> float:
    """Return the share of outgoing HTLC slots in use; 0 where no slot is known."""
    return used / slots if slots > 0 else 0.0


def sample(
    state: CongestionState, used: int, slots: int, at_s: float, parameters: FeeParameters
) -> CongestionState:
    """Take in one reading of the slots; the one already taken in, told again, changes nothing.

    A reading is known by its time. An older time is another reading: the clock was set back.

    Congested from `congestion_samples` readings running above the threshold on, until one is
    below `congestion_release` of it: in between it stays as it is, so it cannot flutter.
    """
    if at_s == state.sampled_at_s:
        return state
    share = slot_share(used, slots)
    threshold = parameters.htlc_congestion_threshold
    above = state.above + 1 if share > threshold else 0
    if state.active:
        release = parameters.congestion_release * threshold
        active = used > 0 and share > release - _ROUNDING
    else:
        active = above >= parameters.congestion_samples
    return CongestionState(active, above, at_s)
