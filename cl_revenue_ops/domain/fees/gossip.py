"""Is a change of fee worth a channel update: hysteresis, a few a day, and what is exempt."""

from __future__ import annotations

from collections.abc import Sequence
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
    return tuple(at_s for at_s in updates_s if now_s - DAY_S < at_s <= now_s)[-MOST_REMEMBERED:]


def needed_change(updates: int, parameters: FeeParameters) -> float:
    """Return the least relative change that is worth gossip after `updates` in a day.

    The hysteresis for the first few; from then on it doubles with each, so that a channel can
    always react to something large and never chatters about something small.
    """
    return parameters.hysteresis * 2.0 ** max(0, updates - parameters.free_updates_a_day)


def weigh(
    seen: Fee, wanted: Fee, emergency: Reason | None, updates: int, parameters: FeeParameters
) -> Gossip:
    """Return whether to broadcast `wanted` where `seen` is in force.

    An identical fee is never sent again, not even in an emergency. Otherwise an emergency is
    exempt. The relative change is that of ppm; from zero any change counts as the whole. A base
    fee that differs travels with the next change of ppm and causes none of its own.
    """
    if wanted == seen:
        return Gossip(False, reason("unchanged", ppm=seen.ppm, base_msat=seen.base_msat))
    if emergency is not None:
        return Gossip(True, emergency)
    if wanted.ppm == seen.ppm:
        return Gossip(False, reason("base_waits", ppm=seen.ppm, base_msat=wanted.base_msat))
    change = abs(wanted.ppm - seen.ppm) / seen.ppm if seen.ppm else 1.0
    needed = needed_change(updates, parameters)
    shown = {
        "seen_ppm": seen.ppm,
        "ppm": wanted.ppm,
        "change_pct": percent(change),
        "needed_pct": percent(needed),
    }
    if change < needed and seen.ppm:
        return Gossip(False, reason("small_change", **shown, updates=updates))
    return Gossip(True, reason("worth_gossip", **shown))
