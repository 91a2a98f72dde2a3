"""The Alpha Sequence: an ordered list of rules, each of which leaves a verdict with its reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from cl_revenue_ops.domain.fees.congestion import slot_share
from cl_revenue_ops.domain.fees.facts import (
    DAY_S,
    ChannelFacts,
    ChannelFeeState,
    FeeParameters,
    Pin,
)
from cl_revenue_ops.domain.fees.wording import Reason, percent, reason


class Verdict(NamedTuple):
    """What one stage did: `ppm` is the fee after it, within the bounds that then hold."""

    stage: str
    acted: bool
    ppm: int
    reason: Reason


@dataclass(frozen=True)
class Context:
    """What every rule may look at. `found_ppm` is the fee of the first contact, `in_force_ppm` the
    fee on the node now (None where the node doesn't say).
    """

    facts: ChannelFacts
    state: ChannelFeeState
    parameters: FeeParameters
    pin: Pin | None
    found_ppm: int
    in_force_ppm: int | None


@dataclass(frozen=True)
class Draft:
    """The fee as it is being worked out: `asked_ppm` before and after bounds and rounding.

    `settled_by` names the stage that ended the pricing (pin, congestion); later prices stand back.
    A stage may move the bounds: a rising floor acts at the bounds stage.
    """

    asked_ppm: float
    floor_ppm: int
    ceiling_ppm: int
    settled_by: str | None = None

    @property
    def ppm(self) -> int:
        """The integer fee within the bounds."""
        return max(self.floor_ppm, min(self.ceiling_ppm, math.floor(self.asked_ppm + 0.5)))


class Ruling(NamedTuple):
    """What a rule returns: the draft after it, whether it acted, and why."""

    draft: Draft
    acted: bool
    reason: Reason


Rule = Callable[[Context, Draft], Ruling]


class Stage(NamedTuple):
    """A named rule in the sequence."""

    name: str
    rule: Rule


class Course(NamedTuple):
    """The outcome of the sequence: the last draft and every stage's verdict, in order."""

    draft: Draft
    verdicts: tuple[Verdict, ...]


def run(context: Context, stages: Sequence[Stage]) -> Course:
    """Apply the stages in order, starting from the inventory-neutral price."""
    draft = Draft(
        neutral_ppm(context), context.parameters.min_fee_ppm, context.parameters.max_fee_ppm
    )
    verdicts = []
    for stage in stages:
        ruling = stage.rule(context, draft)
        draft = ruling.draft
        verdicts.append(Verdict(stage.name, ruling.acted, draft.ppm, ruling.reason))
    return Course(draft, tuple(verdicts))


def neutral_ppm(context: Context) -> float:
    """Return the price that knows nothing of our stock: others' price, or the fee once found."""
    prior = context.facts.prior
    return float(context.found_ppm) if prior is None else prior.ppm


def pin_stage(context: Context, draft: Draft) -> Ruling:
    """An ordered fee holds exactly: it becomes its own floor and ceiling."""
    pin = context.pin
    if pin is None:
        return Ruling(draft, False, reason("not_pinned"))
    pinned = Draft(float(pin.ppm), pin.ppm, pin.ppm, "pin")
    return Ruling(pinned, True, reason("pinned", ppm=pin.ppm, origin=pin.origin))


def congestion_stage(context: Context, draft: Draft) -> Ruling:
    """While outgoing HTLC slots are congested the fee is the highest there is."""
    if draft.settled_by is not None:
        return _stand_back(draft)
    facts, p, congestion = context.facts, context.parameters, context.state.congestion
    shown = {
        "used": facts.htlcs_out,
        "slots": facts.slots_out,
        "used_pct": percent(slot_share(facts.htlcs_out, facts.slots_out)),
        "threshold_pct": percent(p.htlc_congestion_threshold),
    }
    if not congestion.active:
        calm = reason(
            "not_congested", **shown, samples=p.congestion_samples, above=congestion.above
        )
        return Ruling(draft, False, calm)
    release = percent(p.congestion_release * p.htlc_congestion_threshold)
    highest = replace(draft, asked_ppm=float(draft.ceiling_ppm), settled_by="congestion")
    why = reason("congested", **shown, release_pct=release, ppm=draft.ceiling_ppm)
    return Ruling(highest, True, why)


def scarcity_multiplier(share: float, threshold: float, most: float) -> float:
    """Return most^(1 - share/threshold) below the threshold, 1 from it on.

    Exponential between 1 at the threshold and `most` at an empty channel.
    """
    if threshold <= 0.0 or share >= threshold:
        return 1.0
    return math.pow(most, 1.0 - max(0.0, share) / threshold)


def local_share(facts: ChannelFacts) -> float:
    """Return our share of what can ever be sold: balance above the reserve over capacity above it.

    So an empty channel has the share 0 although the reserve is still there.
    """
    sellable = facts.capacity_msat - facts.our_reserve_msat
    if sellable <= 0:
        return 0.0
    return min(1.0, max(0.0, (facts.local_msat - facts.our_reserve_msat) / sellable))


def scarcity_stage(context: Context, draft: Draft) -> Ruling:
    """A channel that runs out guards its stock: a multiple of the neutral price.

    Virgin amnesty: a channel that the peer opened and through which nothing has left yet has never
    had a stock to guard, and is exempt.
    """
    if draft.settled_by is not None:
        return _stand_back(draft)
    facts, p = context.facts, context.parameters
    if not p.enable_scarcity_pricing:
        return Ruling(draft, False, reason("scarcity_off"))
    share = local_share(facts)
    shown = {"share_pct": percent(share), "threshold_pct": percent(p.scarcity_threshold)}
    multiplier = scarcity_multiplier(share, p.scarcity_threshold, p.scarcity_most)
    if multiplier <= 1.0:
        return Ruling(draft, False, reason("not_scarce", **shown))
    if facts.opener == "remote" and facts.settled_out == 0:
        return Ruling(draft, False, reason("amnesty", share_pct=percent(share)))
    neutral = neutral_ppm(context)
    guarded = replace(draft, asked_ppm=neutral * multiplier)
    why = reason("scarce", **shown, neutral_ppm=round(neutral, 1), multiplier=round(multiplier, 3))
    return Ruling(guarded, True, why)


def price_stage(context: Context, draft: Draft) -> Ruling:
    """What demand asks, for now the prior price; a guard that stands above it is not lowered."""
    if draft.settled_by is not None:
        return _stand_back(draft)
    price, prior = neutral_ppm(context), context.facts.prior
    shown = round(price, 1)
    if price < draft.asked_ppm:
        guard = round(draft.asked_ppm, 1)
        why = reason("price_below_guard", guard_ppm=guard, price_ppm=shown)
        return Ruling(draft, False, why)
    if prior is None:
        why = reason("price_found", price_ppm=shown)
    else:
        why = reason("price_of_quotes", price_ppm=shown, quotes=prior.quotes, spread=prior.spread)
    return Ruling(replace(draft, asked_ppm=price), True, why)


def bounds_stage(context: Context, draft: Draft) -> Ruling:
    """From here on the fee is an integer between floor and ceiling."""
    ppm, asked = draft.ppm, round(draft.asked_ppm, 1)
    held = replace(draft, asked_ppm=float(ppm))
    if math.floor(draft.asked_ppm + 0.5) < draft.floor_ppm:
        why = reason("raised_to_floor", asked_ppm=asked, floor_ppm=draft.floor_ppm)
        return Ruling(held, True, why)
    if math.floor(draft.asked_ppm + 0.5) > draft.ceiling_ppm:
        why = reason("lowered_to_ceiling", asked_ppm=asked, ceiling_ppm=draft.ceiling_ppm)
        return Ruling(held, True, why)
    why = reason("within_bounds", ppm=ppm, floor_ppm=draft.floor_ppm, ceiling_ppm=draft.ceiling_ppm)
    return Ruling(held, False, why)


def step_stage(context: Context, draft: Draft) -> Ruling:
    """A young channel moves in small steps from the fee that is in force.

    Measured from the fee in force as the bounds allow it (from the fee before, where a pin or
    congestion has forced the one in force), at least by 1 ppm. It never leaves the bounds.
    """
    if draft.settled_by is not None:
        return _stand_back(draft)
    p, observed_s = context.parameters, context.state.observed_s
    days = round(observed_s / DAY_S, 2)
    start = _step_start(context)
    if observed_s >= p.young_s or start is None:
        return Ruling(draft, False, reason("step_free", observed_days=days))
    start = max(draft.floor_ppm, min(draft.ceiling_ppm, start))
    lowest = math.ceil(start / p.young_factor)
    highest = max(start + 1, math.floor(start * p.young_factor))
    asked = draft.ppm
    limited = replace(draft, asked_ppm=float(max(lowest, min(highest, asked))))
    if limited.ppm == asked:
        why = reason("step_within", ppm=asked, factor=p.young_factor, from_ppm=start)
        return Ruling(limited, False, why)
    why = reason(
        "step_limited",
        observed_days=days,
        needed_days=round(p.young_s / DAY_S, 2),
        factor=p.young_factor,
        from_ppm=start,
        ppm=limited.ppm,
        asked_ppm=asked,
    )
    return Ruling(limited, True, why)


def _step_start(context: Context) -> int | None:
    if context.state.forced_by is not None and context.state.calm_ppm is not None:
        return context.state.calm_ppm
    return context.in_force_ppm


def _stand_back(draft: Draft) -> Ruling:
    return Ruling(draft, False, reason("not_reached", stage=draft.settled_by or ""))


SEQUENCE: tuple[Stage, ...] = (
    Stage("pin", pin_stage),
    Stage("congestion", congestion_stage),
    Stage("scarcity", scarcity_stage),
    Stage("price", price_stage),
    Stage("bounds", bounds_stage),
    Stage("step", step_stage),
)
