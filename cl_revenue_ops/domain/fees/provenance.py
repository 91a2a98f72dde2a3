"""Whose fee stands on the node: ours, an operator's order, another writer's, or a first find."""

from __future__ import annotations

from typing import Literal, NamedTuple

from cl_revenue_ops.domain.fees.facts import Fee

Whose = Literal["ours", "operator_pin", "foreign", "first_contact"]


class Hold(NamedTuple):
    """A foreign fee and since when it has been seen (Unix seconds)."""

    fee: Fee
    since_s: float


def whose_fee(seen: Fee, target: Fee | None, confirmed: Fee | None, pinned: Fee | None) -> Whose:
    """Return who set the fee that is seen on the node.

    `target` is the fee that we decided on last, `confirmed` the last fee of ours that was seen: a
    write that did not happen leaves it standing, so both are ours. `pinned` is the ordered fee.
    """
    if target is None:
        return "first_contact"
    if pinned is not None and seen == pinned:
        return "operator_pin"
    if seen in (target, confirmed):
        return "ours"
    return "foreign"


def hold_of(seen: Fee, held: Hold | None, now_s: float) -> Hold:
    """Return the hold on a foreign fee; the clock starts anew with each new foreign value.

    A hold that began after `now_s` (the clock was set back since) begins now.
    """
    stands = held is not None and held.fee == seen and held.since_s <= now_s
    return held if held is not None and stands else Hold(seen, now_s)


def hold_left_s(hold: Hold, now_s: float, hold_s: float) -> float:
    """Return for how many seconds a foreign fee is still left alone; 0 when it is ours again."""
    return min(hold_s, max(0.0, hold.since_s + hold_s - now_s))
