"""A forward as a journal entry: the postings of its row."""

from __future__ import annotations

from collections.abc import Mapping

from cl_revenue_ops.domain.ledger import accounts
from messages.forwards import SETTLED, Forward, LoggedForward


def postings_of(
    forward: Forward | LoggedForward, channel_of: Mapping[str, str]
) -> tuple[tuple[str, int], ...]:
    """(account, msat) of a settled forward; they sum to zero. Nothing is stored for it.

    `channel_of` has the channel of each scid; one of no known channel stands for itself. What a
    node reports inconsistently (in less out is not the fee, or a side is missing) stands in
    equity:adjustment of the outgoing channel. ValueError for a forward that is not settled.
    """
    if forward.status != SETTLED:
        raise ValueError(f"a forward that is {forward.status} moved nothing")
    into = channel_of.get(forward.in_scid, forward.in_scid)
    postings = [(accounts.of(accounts.CHANNEL, into), forward.in_msat)]
    adjustment = accounts.ADJUSTMENT
    if forward.out_scid:
        out = channel_of.get(forward.out_scid, forward.out_scid)
        postings.append((accounts.of(accounts.CHANNEL, out), -(forward.out_msat or 0)))
        postings.append((accounts.of(accounts.ROUTING, out), -(forward.fee_msat or 0)))
        adjustment = accounts.of(accounts.ADJUSTMENT, out)
    postings.append((adjustment, -sum(amount_msat for _, amount_msat in postings)))
    return tuple(posting for posting in postings if posting[1])
