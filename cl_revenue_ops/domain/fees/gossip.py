"""Is a change of fee worth a channel update: hysteresis, a few a day, and what is exempt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from cl_revenue_ops.domain.fees.facts import DAY_S, Fee, FeeParameters
from cl_revenue_ops.domain.fees.wording import Reason, percent, reason

MOST_REMEMBERED = 32


class Gossip(NamedTuple):
    """Broadcast or hold, and why."""

    broadcast: bool
    reason: Reason


def recent(updates_s: Sequence[float], now_s: float) -> tuple[float, ...]:
    """Return the times of updates within the day before `now_s`, at most MOST_REMEMBERED."""
    if not updates_s:
        return ()
    return tuple(at_s for at_s in updates_s if now_s - DAY_S < at_s <= now_s)[-MOST_REMEMBERED:]


def weigh(
    seen: Fee,
    wanted: Fee,
    emergency: Reason | None,
    updates: int,
    gain: Callable[[], float | None],
    parameters: FeeParameters,
) -> Gossip:
    """Return whether to broadcast `wanted` where `seen` is in force.

    An identical fee is never sent again, not even in an emergency. Otherwise an emergency is
    exempt. The relative change is that of ppm; from zero any change counts as the whole. A base
    fee that differs travels with the next change of ppm and causes none of its own. At most
    `fee_updates_per_day` in a day, and after the first of the day none that promises less than
    `least_gain_msat` until the next draw (`gain` in msat; None where nothing is known of that): a
    channel of which nothing is expected any more would never be tried at another fee. `gain` is
    asked last, and only where it decides: most channels keep their fee for other reasons.
    """
    if wanted == seen:
        return Gossip(False, reason("unchanged", ppm=seen.ppm, base_msat=seen.base_msat))
    if emergency is not None:
        return Gossip(True, emergency)
    if wanted.ppm == seen.ppm:
        return Gossip(False, reason("base_waits", ppm=seen.ppm, base_msat=wanted.base_msat))
    change = abs(wanted.ppm - seen.ppm) / seen.ppm if seen.ppm else 1.0
    both = {"seen_ppm": seen.ppm, "ppm": wanted.ppm}
    if change < parameters.hysteresis and seen.ppm:
        return Gossip(False, reason("small_change", **both, **_sizes(change, parameters)))
    if updates >= parameters.fee_updates_per_day:
        return Gossip(False, reason("budget_spent", **both, updates=updates))
    gain_msat = gain() if updates else None
    if gain_msat is not None and gain_msat < parameters.least_gain_msat:
        least = round(parameters.least_gain_msat)
        why = reason("small_gain", **both, gain_msat=round(gain_msat, 1), needed_msat=least)
        return Gossip(False, why)
    return Gossip(True, reason("worth_gossip", **both, **_sizes(change, parameters)))


def _sizes(change: float, parameters: FeeParameters) -> dict[str, float]:
    return {"change_pct": percent(change), "needed_pct": percent(parameters.hysteresis)}
