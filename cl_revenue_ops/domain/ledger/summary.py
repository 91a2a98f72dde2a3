"""What totals of forwards and of accounts say of each channel over a window."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from cl_revenue_ops.domain.ledger import accounts
from messages.books import ChannelBooks
from messages.forwards import ScidTotals

_FORWARDS = (
    "settled_in",
    "in_msat",
    "in_fees_msat",
    "settled_out",
    "out_msat",
    "out_fees_msat",
)
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
    sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in forwards:
        if not row.scid:
            continue
        channel = sums[channel_of.get(row.scid, row.scid)]
        for name in _FORWARDS:
            channel[name] += getattr(row, name)
        channel["failed_in"] += row.failed_in + row.local_failed_in
        channel["failed_out"] += row.failed_out + row.local_failed_out
    for account, amount_msat in totals:
        kind, channel_id = accounts.parted(account)
        if channel_id is not None and kind in _ACCOUNTS:
            name, sign = _ACCOUNTS[kind]
            sums[channel_id][name] += sign * amount_msat
    return tuple(
        ChannelBooks(channel_id, **found, estimated=channel_id in estimated)
        for channel_id, found in sorted(sums.items())
    )


def total_of(totals: Iterable[tuple[str, int]], account: str) -> int:
    """The sum of one account, 0 where it has none."""
    return sum(amount_msat for name, amount_msat in totals if name == account)
