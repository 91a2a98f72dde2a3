"""The Alpha Sequence: an ordered list of rules, each of which leaves a verdict with its reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from cl_revenue_ops.domain.fees.facts import (
    ChannelFacts,
    ChannelFeeState,
    FeeParameters,
    Pin,
)
from cl_revenue_ops.domain.fees.orders import Orders, limits_in
from cl_revenue_ops.domain.fees.wording import Reason
from cl_revenue_ops.domain.policy.terms import Limits


class Verdict(NamedTuple):
    """What one stage did: `ppm` is the fee after it, within the bounds that then hold."""

    stage: str
    acted: bool
    ppm: int
    reason: Reason


class Context(NamedTuple):
    """What every rule may look at. `found_ppm` is the fee of the first contact, `in_force_ppm` the
    fee that the channel moves on from: the one on the node now, ours where it is another plugin's
    (None where the node doesn't say). `orders` are those that hold now.
    """

    facts: ChannelFacts
    state: ChannelFeeState
    parameters: FeeParameters
    orders: Orders
    found_ppm: int
    in_force_ppm: int | None

    @property
    def pin(self) -> Pin | None:
        """The exact fee that is ordered."""
        return self.orders.pin

    def limits(self, *, moving: bool = True) -> Limits:
        """Within what the fee must lie after every stage; without `moving` as far as that does
        not follow the price.
        """
        return limits_in(self.orders, self.parameters, neutral_ppm(self), moving=moving)


class Draft(NamedTuple):
    """The fee as it is being worked out: `asked_ppm` before and after bounds and rounding.

    `settled_by` names the stage that ended the pricing (pin, congestion); later prices stand back.
    A stage may move the bounds: a rising floor acts at the bounds stage. `guard_ppm` is what later
    prices must not go below.
    """

    asked_ppm: float
    floor_ppm: int
    ceiling_ppm: int
    settled_by: str | None = None
    guard_ppm: float = 0.0

    @property
    def ppm(self) -> int:
        """The integer fee within the bounds."""
        asked, floor, ceiling, _, _ = self
        ppm = math.floor(asked + 0.5)
        return ppm if floor <= ppm <= ceiling else max(floor, min(ceiling, ppm))

    def asking(self, asked_ppm: float) -> Draft:
        """The same, with another fee."""
        return Draft(asked_ppm, *self[1:])

    def within(self, limits: Limits) -> Draft:
        """The same, with its bounds inside of these."""
        if limits.floor_ppm <= self.floor_ppm <= self.ceiling_ppm <= limits.ceiling_ppm:
            return self
        floor, ceiling = limits.nearest(self.floor_ppm), limits.nearest(self.ceiling_ppm)
        return self._replace(floor_ppm=floor, ceiling_ppm=ceiling)


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
    """Apply the stages in order, starting from the inventory-neutral price.

    Whatever a stage makes of the bounds, it does not leave those that hold from the start.
    """
    limits = context.limits()
    draft = Draft(neutral_ppm(context), limits.floor_ppm, limits.ceiling_ppm)
    ppm = draft.ppm
    verdicts = []
    for name, rule in stages:
        asked, acted, why = rule(context, draft)
        if asked is not draft:
            draft = asked.within(limits)
            ppm = draft.ppm
        verdicts.append(Verdict(name, acted, ppm, why))
    return Course(draft, tuple(verdicts))


def neutral_ppm(context: Context) -> float:
    """Return the price that knows nothing of our stock: the best one were stock worth nothing, and
    until demand was looked at others' price, or the fee once found.
    """
    if context.facts.market is not None:
        return math.exp(context.facts.market.priced.neutral)
    prior = context.facts.prior
    return float(context.found_ppm) if prior is None else prior.ppm
