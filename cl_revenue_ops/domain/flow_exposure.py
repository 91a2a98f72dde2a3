"""For how long a channel could have carried a forward in each direction."""

from __future__ import annotations

from typing import NamedTuple

from cl_revenue_ops.domain.channels import usable
from cl_revenue_ops.domain.flow import FlowParameters, FlowState
from messages.channels import ChannelFact


class Carrying(NamedTuple):
    """Whether a channel could carry a typical forward inwards and outwards."""

    inwards: bool
    outwards: bool


def carrying(fact: ChannelFact, state: FlowState, parameters: FlowParameters) -> Carrying:
    """Return what the channel could carry as reported by `fact`.

    It must be connected, reestablished and open, with a free slot and room for a forward of the
    mean size seen in that direction (`typical_msat` until one was seen, half the capacity at most).
    """
    if not usable(fact):
        return Carrying(False, False)
    largest = 0.5 * fact.capacity_msat
    need_in = min(state.incoming.size.mean_msat or parameters.typical_msat, largest)
    need_out = min(state.outgoing.size.mean_msat or parameters.typical_msat, largest)
    return Carrying(
        fact.receivable_msat > 0
        and fact.receivable_msat >= need_in
        and fact.htlcs_in < fact.slots_in,
        fact.spendable_msat > 0
        and fact.spendable_msat >= max(need_out, fact.htlc_min_msat)
        and fact.htlcs_out < fact.slots_out,
    )


def exposure_s(before: bool, after: bool, interval_s: float) -> float:
    """Return the seconds of an interval in which it could carry, from readings at both ends.

    All of it where both say yes, half where they differ, nothing where both say no.
    """
    return max(0.0, interval_s) * 0.5 * (before + after)
