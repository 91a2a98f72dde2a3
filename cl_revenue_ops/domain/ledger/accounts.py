"""The chart of accounts: every name that a posting may have, and how it is taken apart.

A name is "group:what" or "group:what:channel_id". Groups are those of double entry: assets and
expenses grow by debits (positive), income and equity by credits (negative).
"""

from __future__ import annotations

WALLET = "assets:wallet"
TRANSIT = "assets:transit"
"""Between the outputs that a transaction spends and those that it makes; in the end zero."""

UNATTRIBUTED = "income:unattributed"
"""What the node had earned and deleted before it was first seen."""

WALLET_FEES = "expenses:wallet"
"""Miners' fees that no channel paid."""

PAYMENTS = "equity:payments"
"""What was paid to others, and received from them, over channels."""

ONCHAIN = "equity:onchain"
"""Deposits from outside, and what was sent there."""

OPENING_BALANCE = "equity:opening"
"""What there was before the first record."""

COUNTED = "equity:counted"
"""The other side of what the node's counter of fees alone tells of the time before."""

IMPORTED = "equity:imported"

ESTIMATED = "equity:estimated"
"""The other side of costs that nobody told: no money is known to have moved."""

CHANNEL = "assets:channel"
ROUTING = "income:routing"
IMPORTED_ROUTING = "income:imported"
LEASE = "income:lease"
PENALTY = "income:penalty"
OPENING = "expenses:opening"
CLOSURE = "expenses:closure"
DUST = "expenses:dust"
"""What the chain cut off an HTLC that ended there, because outputs are whole satoshis."""

SPLICE = "expenses:splice"
REBALANCE = "expenses:rebalance"
OTHER_REBALANCE = "expenses:other-rebalance"
PAYMENT_FEES = "expenses:payment"
PUSHED = "equity:pushed"
ADJUSTMENT = "equity:adjustment"
"""What the node itself wrote to make its books fit, and tags that are not known."""


def of(kind: str, channel_id: str) -> str:
    """The account of that kind for one channel."""
    return f"{kind}:{channel_id}"


def parted(account: str) -> tuple[str, str | None]:
    """Its kind, and the channel that it is for (None where it is for none)."""
    group, what, *channel = account.split(":", 2)
    return f"{group}:{what}", channel[0] if channel else None
