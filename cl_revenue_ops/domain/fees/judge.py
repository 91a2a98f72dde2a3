"""Does a wanted fee get written now: blockers, foreign fees, emergencies, and gossip's worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from cl_revenue_ops.domain.channels import USABLE_STATES
from cl_revenue_ops.domain.demand.curve import log_fee
from cl_revenue_ops.domain.demand.price import HOLD_S
from cl_revenue_ops.domain.fees import gossip
from cl_revenue_ops.domain.fees.alpha import Context, Draft, neutral_ppm
from cl_revenue_ops.domain.fees.facts import (
    DAY_S,
    ChannelFacts,
    ChannelFeeState,
    Fee,
    expected_values_msat,
)
from cl_revenue_ops.domain.fees.orders import NO_ORDERS, Orders
from cl_revenue_ops.domain.fees.provenance import Hold, Whose, hold_left_s
from cl_revenue_ops.domain.fees.wording import Reason, reason
from cl_revenue_ops.domain.policy.terms import PPM_MOST, Limits, limits_of


class Judged(NamedTuple):
    """Whether to write, and the reason that settled it."""

    action: Literal["set", "none"]
    outcome: Reason


def usable(facts: ChannelFacts) -> bool:
    """Whether the channel could carry HTLCs and take a fee as reported."""
    return facts.state in USABLE_STATES and facts.connected and facts.reestablished


def blockers_of(facts: ChannelFacts, orders: Orders = NO_ORDERS) -> tuple[Reason, ...]:
    """Return all that forbids a write now, the gravest first.

    A pause does not hold back the fee that an operator who leaves gets back; the node takes it for
    a peer that is away as well.
    """
    conditions = facts.conditions
    waking = facts.connected and not facts.reestablished
    checks = (
        (conditions.safe_mode, "safe_mode"),
        (conditions.paused and not orders.leaving, "paused"),
        (orders.passive, "passive"),
        (not conditions.node_in_sync, "node_not_in_sync"),
        (facts.lost_state, "lost_state"),
        (not facts.connected and not orders.leaving, "peer_disconnected"),
        (waking and not orders.leaving, "not_reestablished"),
        (facts.fee is None, "fee_unknown"),
    )
    found = [reason(code) for holds, code in checks if holds]
    if facts.state not in USABLE_STATES:
        found.append(reason("state_not_settable", state=facts.state))
    return tuple(found)


def judge(
    context: Context,
    draft: Draft,
    wanted: Fee,
    whose: Whose | None,
    hold: Hold | None,
    blockers: Sequence[Reason],
    now_s: float,
) -> Judged:
    """Return whether `wanted` is written now.

    In this order: what forbids any write; a first contact; another writer's fee that is still
    left alone, unless a fee is ordered: an order holds until it is taken back, and so does a bound
    of the peer's policy; then gossip's worth.
    """
    seen, state, p = context.facts.fee, context.state, context.parameters
    if blockers or seen is None:
        return Judged("none", (*blockers, reason("fee_unknown"))[0])
    broken = context.pin is None and breaks_policy(context, seen)
    ordered = context.pin is not None or broken
    if whose == "first_contact" and not ordered:
        return Judged(
            "none", reason("first_contact", seen_ppm=seen.ppm, seen_base_msat=seen.base_msat)
        )
    known = hold is not None and bool(context.facts.conditions.writers)
    left_s = 0.0 if hold is None or known else hold_left_s(hold, now_s, p.foreign_hold_s)
    if hold is not None and left_s > 0.0 and not ordered:
        return Judged("none", _held_reason(hold, state, left_s))
    emergency = _emergency(context, draft, seen, wanted, hold, broken)

    def gain_msat() -> float | None:
        guarded = wanted.ppm > seen.ppm and draft.guard_ppm >= wanted.ppm - 1
        return None if guarded else _gain_msat(context, seen, wanted)

    weighed = gossip.weigh(seen, wanted, emergency, len(state.updates_s), gain_msat, p)
    return Judged("set" if weighed.broadcast else "none", weighed.reason)


def breaks_policy(context: Context, seen: Fee) -> bool:
    """Whether the fee in force breaks a bound that the peer's policy sets, so that it is an order.

    A bound that follows the price moves with every look at demand. It orders a change where the fee
    in force is off by what is worth gossip, or where no update of the last day was made under this
    policy: else the whole day would be spent on following it.
    """
    terms, p = context.orders.terms, context.parameters
    if terms is None or context.orders.passive:
        return False
    anything = Limits(0, PPM_MOST)
    if seen.ppm != limits_of(terms, anything, 0.0, moving=False).nearest(seen.ppm):
        return True
    nearest = limits_of(terms, anything, neutral_ppm(context)).nearest(seen.ppm)
    fresh = all(at_s < terms.since_s for at_s in context.state.updates_s)
    return nearest != seen.ppm and (fresh or abs(nearest - seen.ppm) >= p.hysteresis * seen.ppm)


def _outside(draft: Draft, context: Context, seen: Fee) -> bool:
    """Whether the fee in force is outside of bounds other than those that follow the price."""
    floor, ceiling = draft.floor_ppm, draft.ceiling_ppm
    if floor <= seen.ppm <= ceiling:
        return False
    limits, fixed = context.limits(), context.limits(moving=False)
    if floor == limits.floor_ppm:
        floor = fixed.floor_ppm if limits.floor_ppm >= fixed.floor_ppm else 0
    if ceiling == limits.ceiling_ppm:
        ceiling = fixed.ceiling_ppm if limits.ceiling_ppm <= fixed.ceiling_ppm else PPM_MOST
    return not floor <= seen.ppm <= ceiling


def _gain_msat(context: Context, seen: Fee, wanted: Fee) -> float | None:
    """Return what an update promises until the next draw, in msat; None before demand is known.

    What the best guess of the fee earns more than the one in force; a draw that is new also
    promises to learn, at most as much as the fee it tries out is expected to earn.
    """
    market = context.facts.market
    if market is None:
        return None
    days = HOLD_S / DAY_S
    fees = (market.priced.greedy, log_fee(float(seen.ppm)), log_fee(float(wanted.ppm)))
    greedy, staying, trying = expected_values_msat(market, fees)
    gain = greedy - staying
    if market.priced.draw.number != context.state.draws:
        gain = max(gain, trying)
    return max(0.0, gain) * days


def _held_reason(hold: Hold, state: ChannelFeeState, left_s: float) -> Reason:
    return reason(
        "foreign_fee_held",
        seen_ppm=hold.fee.ppm,
        seen_base_msat=hold.fee.base_msat,
        target_ppm=hold.fee.ppm if state.target is None else state.target.ppm,
        left_hours=round(left_s / 3600.0, 1),
    )


def _emergency(
    context: Context, draft: Draft, seen: Fee, wanted: Fee, hold: Hold | None, broken: bool
) -> Reason | None:
    """Return why hysteresis must not hold this change back, if it must not."""
    if draft.settled_by == "pin":
        return reason("pin") if hold is None else reason("pin_restored", seen_ppm=seen.ppm)
    if hold is not None and context.facts.conditions.writers:
        return reason(
            "rewritten",
            writer=" or ".join(context.facts.conditions.writers),
            seen_ppm=seen.ppm,
            seen_base_msat=seen.base_msat,
        )
    if draft.settled_by == "congestion":
        return reason("congestion_enter")
    if context.state.forced_by == "congestion":
        return reason("congestion_leave")
    if broken:
        floor_ppm, ceiling_ppm = context.limits()
        shown = {"floor_ppm": floor_ppm, "ceiling_ppm": ceiling_ppm}
        return reason("policy_bound", seen_ppm=seen.ppm, **shown)
    if _outside(draft, context, seen):
        return reason(
            "bounds", seen_ppm=seen.ppm, floor_ppm=draft.floor_ppm, ceiling_ppm=draft.ceiling_ppm
        )
    ours = context.state.confirmed
    if (
        hold is not None
        and ours is not None
        and ours.base_msat == wanted.base_msat != seen.base_msat
    ):
        return reason("base_restored", seen_base_msat=seen.base_msat)
    return None
