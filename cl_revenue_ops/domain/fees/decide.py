"""One fee decision: facts, state and parameters in, a fee with all its reasons and a state out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from cl_revenue_ops.domain.fees import alpha, congestion, gossip
from cl_revenue_ops.domain.fees.alpha import Context, Stage, Verdict
from cl_revenue_ops.domain.fees.facts import (
    ChannelFacts,
    ChannelFeeState,
    Fee,
    FeeParameters,
)
from cl_revenue_ops.domain.fees.judge import blockers_of, judge, usable
from cl_revenue_ops.domain.fees.orders import Orders, orders_in, pinned_fee
from cl_revenue_ops.domain.fees.provenance import Hold, Whose, hold_of, whose_fee
from cl_revenue_ops.domain.fees.stages import SEQUENCE
from cl_revenue_ops.domain.fees.wording import Reason

FORCING_STAGES = ("pin", "congestion")


class FeeDecision(NamedTuple):
    """What was decided for one channel, with everything that it was decided from.

    `action` is 'set' or 'none'. `target` is the fee that holds if the decision is carried out:
    the one to write, or the one that stays (None where the node reports none). `wanted` is what
    the sequence asked for whether or not it is written. `outcome` is the reason that settled it,
    `blockers` are all that forbade a write. `newly_foreign` marks the first sight of another
    writer's fee. The last four are the inputs: the decision can be recomputed from them alone.
    """

    action: Literal["set", "none"]
    target: Fee | None
    wanted: Fee
    seen: Fee | None
    whose: Whose | None
    outcome: Reason
    blockers: tuple[Reason, ...]
    verdicts: tuple[Verdict, ...]
    newly_foreign: bool
    facts: ChannelFacts
    state: ChannelFeeState
    parameters: FeeParameters
    now_s: float

    @property
    def code(self) -> str:
        """The machine code of the outcome."""
        return self.outcome.code

    @property
    def sentence(self) -> str:
        """One plain sentence; every number in it stands in the record."""
        if self.action == "set" and self.target is not None:
            why = "; ".join(v.reason.text for v in self.verdicts if v.acted)
            was = f", after {self.seen.ppm} ppm," if self.seen else ""
            return f"Set {self.target.ppm} ppm{was} because {self.outcome.text}: {why}."
        whys = self.blockers or (self.outcome,)
        return f"Did nothing because {' and '.join(why.text for why in whys)}."


class FeeSettings(Protocol):
    """The operator's settings that fee decisions depend on, as the configuration holds them."""

    @property
    def min_fee_ppm(self) -> int: ...
    @property
    def max_fee_ppm(self) -> int: ...
    @property
    def base_fee_msat(self) -> int: ...
    @property
    def htlc_congestion_threshold(self) -> float: ...
    @property
    def enable_scarcity_pricing(self) -> bool: ...
    @property
    def scarcity_threshold(self) -> float: ...
    @property
    def enable_vegas_reflex(self) -> bool: ...
    @property
    def fee_updates_per_day(self) -> int: ...


def decide(
    facts: ChannelFacts,
    state: ChannelFeeState,
    parameters: FeeParameters,
    now_s: float,
    stages: Sequence[Stage] = SEQUENCE,
) -> tuple[FeeDecision, ChannelFeeState]:
    """Decide the fee of one channel at `now_s` (Unix seconds).

    The returned state is to be stored before the fee is written; after a write that succeeded
    pass it through `written`. The sequence always runs, so a decision that does nothing still
    shows what it would have set. Nothing is read again by this: the same arguments give the same
    decision.
    """
    seen = facts.fee
    orders = orders_in(facts, now_s)
    state_before, state = state, _settled(_taken_back(state, seen, orders), seen)
    pinned = None if orders.pin is None else pinned_fee(orders.pin, parameters)
    whose = None if seen is None else whose_fee(seen, state.target, state.confirmed, pinned)
    observed = _observe(facts, state, parameters, now_s, ruled=orders.terms is not None)
    found = state.found or seen
    # Where another plugin's fee is written over, the channel moves on from ours.
    ours = state.confirmed if whose == "foreign" and facts.conditions.writers else None
    start = ours or seen
    context = Context(
        facts=facts,
        state=observed,
        parameters=parameters,
        orders=orders,
        found_ppm=parameters.min_fee_ppm if found is None else found.ppm,
        in_force_ppm=None if start is None else start.ppm,
    )
    course = alpha.run(context, stages)
    wanted = pinned or Fee(course.draft.ppm, parameters.base_fee_msat)
    hold = None
    if seen is not None and whose == "foreign" and not orders.passive:
        hold = hold_of(seen, _held(state), now_s)
    blockers = blockers_of(facts, orders)
    judged = judge(context, course.draft, wanted, whose, hold, blockers, now_s)
    decision = FeeDecision(
        action=judged.action,
        target=wanted if judged.action == "set" else seen,
        wanted=wanted,
        seen=seen,
        whose=whose,
        outcome=judged.outcome,
        blockers=blockers,
        verdicts=course.verdicts,
        newly_foreign=hold is not None and hold.fee != state.foreign,
        facts=facts,
        state=state_before,
        parameters=parameters,
        now_s=now_s,
    )
    return decision, _after(observed, decision, hold, course.draft.settled_by)


def parameters_of(settings: FeeSettings) -> FeeParameters:
    """Return the parameters that these settings stand for; raise ValueError on inverted bounds."""
    return FeeParameters(
        min_fee_ppm=settings.min_fee_ppm,
        max_fee_ppm=settings.max_fee_ppm,
        base_fee_msat=settings.base_fee_msat,
        htlc_congestion_threshold=settings.htlc_congestion_threshold,
        enable_scarcity_pricing=settings.enable_scarcity_pricing,
        scarcity_threshold=settings.scarcity_threshold,
        enable_vegas_reflex=settings.enable_vegas_reflex,
        fee_updates_per_day=settings.fee_updates_per_day,
    )


def written(state: ChannelFeeState, now_s: float) -> ChannelFeeState:
    """Return the state after its target was written to the node: the update counts as gossip.

    Whatever else is seen there from now on is another writer's.
    """
    updates_s = (*gossip.recent(state.updates_s, now_s), now_s)
    return state._replace(
        confirmed=state.target,
        forced_by=state.target_forced_by,
        draws=state.target_draws,
        updates_s=updates_s[-gossip.MOST_REMEMBERED :],
    )


def observe_slots(
    state: ChannelFeeState, used: int, slots: int, at_s: float, parameters: FeeParameters
) -> ChannelFeeState:
    """Take in a reading of the outgoing HTLC slots between two decisions."""
    sampled = congestion.sample(state.congestion, used, slots, at_s, parameters)
    return state._replace(congestion=sampled)


def _taken_back(state: ChannelFeeState, seen: Fee | None, orders: Orders) -> ChannelFeeState:
    """Note whether the peer's policy leaves the fee to others.

    Once it does not any more, the fee that stands is the one to move on from, whoever set it.
    """
    if orders.passive:
        return state._replace(left_alone=True, foreign=None, foreign_since_s=None)
    if not state.left_alone or seen is None:
        return state
    state = state._replace(left_alone=False)
    if state.target is None or seen in (state.target, state.confirmed):
        return state
    return state._replace(
        target=seen, confirmed=seen, forced_by=None, target_forced_by=None, calm_ppm=None
    )


def _settled(state: ChannelFeeState, seen: Fee | None) -> ChannelFeeState:
    """Learn from the fee that is seen whether the target has come into force."""
    if seen is None or state.target is None or seen == state.confirmed != state.target:
        return state
    forced_by = state.target_forced_by if seen == state.target else None
    return state if forced_by == state.forced_by else state._replace(forced_by=forced_by)


def _observe(
    facts: ChannelFacts, state: ChannelFeeState, p: FeeParameters, now_s: float, *, ruled: bool
) -> ChannelFeeState:
    """Count the time in which the channel was seen usable, and take the slots as a sample.

    A long gap counts as `longest_gap_s`: nobody watched the rest of it.
    """
    used, slots, at_s = facts.htlcs_out, facts.slots_out, facts.sampled_at_s
    since_s = 0.0 if state.decided_at_s is None else max(0.0, now_s - state.decided_at_s)
    watched_s = min(since_s, p.longest_gap_s) if usable(facts) else 0.0
    return state._replace(
        congestion=congestion.sample(state.congestion, used, slots, at_s, p),
        observed_s=state.observed_s + watched_s,
        decided_at_s=now_s,
        updates_s=gossip.recent(state.updates_s, now_s),
        decisions=state.decisions + 1,
        ruled=ruled,
    )


def _held(state: ChannelFeeState) -> Hold | None:
    if state.foreign is None or state.foreign_since_s is None:
        return None
    return Hold(state.foreign, state.foreign_since_s)


def _after(
    state: ChannelFeeState, decision: FeeDecision, hold: Hold | None, settled_by: str | None
) -> ChannelFeeState:
    """Return the state that the next decision starts from."""
    seen = decision.seen
    if seen is None:
        return state
    if state.target is None:
        state = state._replace(found=seen, target=seen, confirmed=seen)
    if state.left_alone:
        # Ours is remembered: whoever leaves for good gets back only what we had changed.
        return state
    if hold is not None and (decision.blockers or decision.code == "foreign_fee_held"):
        return state._replace(foreign=hold.fee, foreign_since_s=hold.since_s)
    # A foreign fee that is managed again counts as ours: it is the fee we move on from. One that is
    # written over does not: where that fails, it is done at the next decision.
    moved_on = hold is not None or decision.whose == "operator_pin"
    ours = state.confirmed if decision.code == "rewritten" and state.confirmed else seen
    state = state._replace(
        target=seen if moved_on else state.target,
        confirmed=ours,
        foreign=None,
        foreign_since_s=None,
    )
    if decision.action == "none" and decision.code != "unchanged":
        return state
    forced_by = settled_by if settled_by in FORCING_STAGES else None
    market = decision.facts.market
    number = state.draws if market is None else market.priced.draw.number
    return state._replace(
        draws=number if decision.action == "none" else state.draws,
        target_draws=number,
        target=decision.target,
        target_forced_by=forced_by,
        calm_ppm=ours.ppm if state.forced_by is None else state.calm_ppm,
    )
