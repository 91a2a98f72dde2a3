"""Which order holds for a channel's fee: one by hand, the peer's policy, or none."""

from __future__ import annotations

from typing import Final, NamedTuple

from cl_revenue_ops.domain.fees.facts import ChannelFacts, Fee, FeeParameters, Pin
from cl_revenue_ops.domain.policy.terms import Limits, Terms, limits_of

BY_HAND: Final = "by hand"
AS_FOUND: Final = "as found at first contact"
"""The origin of the order that puts a fee back when the operator leaves."""


class Orders(NamedTuple):
    """What is ordered of a fee at a moment.

    `pin` is the exact fee, whoever ordered it; `passive` that the fee is somebody else's to set;
    `terms` what the peer's policy asks, also where an order by hand stands above it.
    """

    pin: Pin | None = None
    passive: bool = False
    terms: Terms | None = None

    @property
    def by_policy(self) -> bool:
        """Whether the exact fee is the policy's."""
        return self.pin is not None and self.terms is not None and self.pin == _pin(self.terms)

    @property
    def leaving(self) -> bool:
        """Whether the exact fee is the one that the operator gets back."""
        return self.pin is not None and self.pin.origin == AS_FOUND


NO_ORDERS: Final = Orders()


def orders_of(pin: Pin | None, terms: Terms | None, now_s: float) -> Orders:
    """Return the orders that hold at `now_s`; what has ended orders nothing.

    An order for the one channel stands above the policy of its peer. A passive policy only gives
    way to one that is not older than it: whoever gives it later means it all the same.
    """
    pin = None if pin is None or _over(pin.until_s, now_s) else pin
    terms = None if terms is None or _over(terms.until_s, now_s) else terms
    if terms is None:
        return Orders(pin)
    if terms.passive:
        newer = pin is not None and pin.set_at_s >= terms.since_s
        return Orders(pin, terms=terms) if newer else Orders(passive=True, terms=terms)
    return Orders(_pin(terms) if pin is None else pin, terms=terms)


def orders_in(facts: ChannelFacts, now_s: float) -> Orders:
    """Return the orders that hold for the channel at `now_s`."""
    return orders_of(facts.pin, facts.terms, now_s)


def pinned_fee(pin: Pin, parameters: FeeParameters) -> Fee:
    """Return the fee that a pin orders."""
    base = parameters.base_fee_msat if pin.base_msat is None else pin.base_msat
    return Fee(pin.ppm, base)


def limits_in(
    orders: Orders, parameters: FeeParameters, neutral_ppm: float, *, moving: bool = True
) -> Limits:
    """Return within what every stage's fee must lie: an exact fee is its own floor and ceiling."""
    if orders.pin is not None:
        return Limits(orders.pin.ppm, orders.pin.ppm)
    configured = Limits(parameters.min_fee_ppm, parameters.max_fee_ppm)
    terms = None if orders.passive else orders.terms
    return limits_of(terms, configured, neutral_ppm, moving=moving)


def _pin(terms: Terms) -> Pin | None:
    if terms.pin_ppm is None:
        return None
    return Pin(terms.pin_ppm, terms.pin_base_msat, terms.origin, terms.since_s, terms.until_s)


def _over(until_s: float | None, now_s: float) -> bool:
    return until_s is not None and now_s >= until_s
