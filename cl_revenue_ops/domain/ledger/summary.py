"""What totals of forwards and of accounts say of each channel over a window."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cl_revenue_ops.domain.ledger import accounts
from messages.books import ChannelBooks
from messages.forwards import ScidTotals

# What each kind of account tells, with the sign that makes revenue and costs positive.
_ACCOUNTS = {
    accounts.IMPORTED_ROUTING: ("imported_fees_msat", -1),
    accounts.LEASE: ("lease_msat", -1),
    accounts.PENALTY: ("penalty_msat", -1),
    accounts.OPENING: ("opening_msat", 1),
    accounts.CLOSURE: ("closure_msat", 1),
    accounts.DUST: ("closure_msat", 1),
    accounts.SPLICE: ("splice_msat", 1),
    accounts.REBALANCE: ("rebalance_msat", 1),
    accounts.OTHER_REBALANCE: ("other_rebalance_msat", 1),
    accounts.PAYMENT_FEES: ("payment_fees_msat", 1),
    accounts.PUSHED: ("pushed_msat", -1),
}


# The amounts of ChannelBooks lie between its channel and whether they are estimated; the first of
# them are those of forwards, in the order of ScidTotals with the two kinds of failures as one.
_NAMES = ChannelBooks._fields[1:-1]
_AMOUNTS = len(_NAMES)
_NO_ACCOUNTS = (0,) * (_AMOUNTS - _NAMES.index("lease_msat"))
_PLACES = {kind: (_NAMES.index(name), sign) for kind, (name, sign) in _ACCOUNTS.items()}


def by_channel(
    forwards: Iterable[ScidTotals],
    totals: Iterable[tuple[str, int]],
    channel_of: Mapping[str, str],
    estimated: frozenset[str] = frozenset(),
) -> tuple[ChannelBooks, ...]:
    """Every channel with a total, by channel_id; a scid of no known channel stands for itself.

    `channel_of` has the channel of each scid, `totals` are (account, msat), `estimated` are the
    channels with a cost that is an estimate.
    """
    sums: dict[str, list[int]] = {}
    for row in forwards:
        scid, *moved, failed_in, local_failed_in, failed_out, local_failed_out = row
        if not scid:
            continue
        channel_id = channel_of.get(scid, scid)
        found = (*moved, failed_in + local_failed_in, failed_out + local_failed_out)
        had = sums.get(channel_id)
        if had is None:
            sums[channel_id] = [*found, *_NO_ACCOUNTS]
        else:
            had[: len(found)] = map(int.__add__, had, found)
    for account, amount_msat in totals:
        kind, owner = accounts.parted(account)
        if owner is not None and kind in _PLACES:
            place, sign = _PLACES[kind]
            had = sums.get(owner)
            if had is None:
                sums[owner] = had = [0] * _AMOUNTS
            had[place] += sign * amount_msat
    return tuple(
        ChannelBooks._make((channel_id, *found, channel_id in estimated))
        for channel_id, found in sorted(sums.items())
    )


def total_of(totals: Iterable[tuple[str, int]], account: str) -> int:
    """The sum of one account, 0 where it has none."""
    return sum(amount_msat for name, amount_msat in totals if name == account)
