"""The rules of the Alpha Sequence, in their order; each leaves a verdict with its reason."""

from __future__ import annotations

import math

from cl_revenue_ops.domain.fees.alpha import Context, Draft, Ruling, Stage, neutral_ppm
from cl_revenue_ops.domain.fees.congestion import slot_share
from cl_revenue_ops.domain.fees.facts import DAY_S, ChannelFacts
from cl_revenue_ops.domain.fees.wording import Number, percent, reason


def policy_stage(context: Context, draft: Draft) -> Ruling:
    """Says what the peer's policy asks: its bounds hold from the start, an exact fee is a pin."""
    orders, terms = context.orders, context.orders.terms
    if terms is None:
        return Ruling(draft, False, reason("no_policy"))
    if orders.passive:
        return Ruling(draft, False, reason("policy_passive"))
    if orders.pin is not None:
        code = "policy_pins" if orders.by_policy else "policy_behind"
        return Ruling(draft, False, reason(code, strategy=terms.strategy))
    least, most = draft.floor_ppm, draft.ceiling_ppm
    p = context.parameters
    narrowed = (least, most) != (p.min_fee_ppm, p.max_fee_ppm)
    return Ruling(draft, narrowed, reason("policy_bounds", floor_ppm=least, ceiling_ppm=most))


def pin_stage(context: Context, draft: Draft) -> Ruling:
    """An ordered fee holds exactly: it becomes its own floor and ceiling."""
    pin, terms = context.pin, context.orders.terms
    if pin is None:
        return Ruling(draft, False, reason("not_pinned"))
    pinned = Draft(float(pin.ppm), pin.ppm, pin.ppm, "pin")
    shown: dict[str, Number] = {"ppm": pin.ppm, "origin": pin.origin}
    if context.orders.by_policy:
        return Ruling(pinned, True, reason("pinned_by_policy", **shown))
    if terms is not None:
        why = reason("pinned_over_policy", **shown, strategy=terms.strategy)
        return Ruling(pinned, True, why)
    return Ruling(pinned, True, reason("pinned", **shown))


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
    highest = draft._replace(asked_ppm=float(draft.ceiling_ppm), settled_by="congestion")
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
    guard = neutral * multiplier
    guarded = Draft(guard, draft.floor_ppm, draft.ceiling_ppm, None, guard)
    why = reason("scarce", **shown, neutral_ppm=round(neutral, 1), multiplier=round(multiplier, 3))
    return Ruling(guarded, True, why)


def thompson_stage(context: Context, draft: Draft) -> Ruling:
    """What demand and the value of our stock ask, as drawn; a guard above it is not lowered.

    Until demand was looked at, after a start, the first price stands in.
    """
    if draft.settled_by is not None:
        return _stand_back(draft)
    if context.facts.market is None:
        return _first_price(context, draft)
    worth, priced = context.facts.market.worth, context.facts.market.priced
    asked = math.exp(priced.log_fee)
    shown = {
        "price_ppm": round(asked, 1),
        "greedy_ppm": round(math.exp(priced.greedy), 1),
        "own_ppm": round(worth.own_ppm, 1),
        "entering_ppm": round(worth.entering_ppm, 1),
    }
    if asked < draft.guard_ppm:
        guarded = draft.asking(draft.guard_ppm)
        why = reason("draw_below_guard", **shown, guard_ppm=round(draft.guard_ppm, 1))
        return Ruling(guarded, False, why)
    alpha, sd = round(priced.alpha, 2), round(priced.sd, 2)
    why = reason("drawn", **shown, alpha=alpha, sd=sd, z=round(priced.draw.z, 2))
    return Ruling(draft.asking(asked), True, why)


def _first_price(context: Context, draft: Draft) -> Ruling:
    price, prior = neutral_ppm(context), context.facts.prior
    shown = round(price, 1)
    if price < draft.guard_ppm:
        why = reason("price_below_guard", guard_ppm=round(draft.guard_ppm, 1), price_ppm=shown)
        return Ruling(draft.asking(draft.guard_ppm), False, why)
    if prior is None:
        why = reason("price_found", price_ppm=shown)
    else:
        why = reason("price_of_quotes", price_ppm=shown, quotes=prior.quotes, spread=prior.spread)
    return Ruling(draft.asking(price), True, why)


def aimd_stage(context: Context, draft: Draft) -> Ruling:
    """The price gives way where fewer forwards came than can be chance, down to the guard."""
    if draft.settled_by is not None:
        return _stand_back(draft)
    market = context.facts.market
    if market is None or market.multiplier >= 1.0:
        return Ruling(draft, False, reason("counts_as_expected"))
    lowered = max(draft.guard_ppm, math.exp(market.priced.log_fee) * market.multiplier)
    why = reason(
        "counts_improbably_low", multiplier=round(market.multiplier, 3), ppm=round(lowered, 1)
    )
    return Ruling(draft.asking(lowered), lowered < draft.asked_ppm, why)


def vegas_stage(context: Context, draft: Draft) -> Ruling:
    """While block space is scarce the floor rises: refilling what is sold has become dearer.

    The floor is multiplied (up to 3x), and reaches as far towards the inventory-neutral price as
    the intensity does: at full intensity nothing is sold below it, however full the channel.
    """
    if draft.settled_by is not None:
        return _stand_back(draft)
    spike = context.facts.spike
    if not context.parameters.enable_vegas_reflex:
        return Ruling(draft, False, reason("vegas_off"))
    if spike is None or spike.multiplier <= 1.0:
        return Ruling(draft, False, reason("mempool_calm"))
    neutral = neutral_ppm(context) * spike.intensity
    raised = math.ceil(max(draft.floor_ppm * spike.multiplier, neutral))
    floor = min(raised, draft.ceiling_ppm)
    shown = {"intensity": round(spike.intensity, 3), "floor_ppm": floor}
    if spike.sat_per_vb is None or spike.mean_sat_per_vb is None:
        why = reason("mempool_fading", **shown)
    else:
        rates = {"sat_per_vb": round(spike.sat_per_vb, 1), "mean": round(spike.mean_sat_per_vb, 1)}
        why = reason("mempool_spike", **shown, **rates)
    return Ruling(draft._replace(floor_ppm=floor), True, why)


def bounds_stage(context: Context, draft: Draft) -> Ruling:
    """From here on the fee is an integer between floor and ceiling."""
    ppm, asked = draft.ppm, round(draft.asked_ppm, 1)
    held = draft.asking(float(ppm))
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
    start = _step_start(context)
    if observed_s >= p.young_s or start is None:
        days = round(observed_s / DAY_S, 2)
        return Ruling(draft, False, reason("step_free", observed_days=days))
    start = max(draft.floor_ppm, min(draft.ceiling_ppm, start))
    lowest = math.ceil(start / p.young_factor)
    highest = max(start + 1, math.floor(start * p.young_factor))
    asked = draft.ppm
    limited = draft.asking(float(max(lowest, min(highest, asked))))
    if limited.ppm == asked:
        why = reason("step_within", ppm=asked, factor=p.young_factor, from_ppm=start)
        return Ruling(limited, False, why)
    why = reason(
        "step_limited",
        observed_days=round(observed_s / DAY_S, 2),
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
    Stage("policy", policy_stage),
    Stage("pin", pin_stage),
    Stage("congestion", congestion_stage),
    Stage("vegas", vegas_stage),
    Stage("scarcity", scarcity_stage),
    Stage("thompson", thompson_stage),
    Stage("aimd", aimd_stage),
    Stage("bounds", bounds_stage),
    Stage("step", step_stage),
)
