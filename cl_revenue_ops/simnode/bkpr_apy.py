"""The yield of channels as bkpr-channelsapy reports it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from cl_revenue_ops.simnode.bkpr_ledger import Account, Ledger, is_channel
from cl_revenue_ops.simnode.moves import ChannelMove

BLOCKS_A_YEAR = 52_364


@dataclass
class Yield:
    """Sums in msat of one channel's moves in the window; `add` makes the roll-up of several."""

    routed_out: int = 0
    routed_in: int = 0
    lease_out: int = 0
    lease_in: int = 0
    pushed_out: int = 0
    pushed_in: int = 0
    fees_out: int = 0
    fees_in: int = 0
    our_start: int = 0
    total_start: int = 0
    first_height: int = 0
    last_height: int = 0

    def take(self, move: ChannelMove) -> None:
        """Count one move; invoices are volume without fees, the rest has none of either."""
        kind = {"pushed": "pushed", "lease_fee": "lease", "routed": "routed", "invoice": "routed"}
        name = kind.get(move.primary_tag)
        if name is None:
            return
        for way, amount_msat in (("in", move.credit_msat), ("out", move.debit_msat)):
            key = f"{name}_{way}"
            setattr(self, key, getattr(self, key) + amount_msat)
        if move.primary_tag == "routed" and move.credit_msat:
            self.fees_in += move.fees_msat
        elif move.primary_tag == "routed":
            self.fees_out += move.fees_msat

    def begin(self, account: Account, height: int) -> None:
        """Set the start balances and the blocks of an account that has an opening."""
        if account.opened is None:
            raise ValueError(f"{account.name} was never opened")
        self.first_height = account.opened.blockheight
        self.last_height = account.closed.blockheight if account.closed else height
        self.total_start = account.opened.output_msat
        given = self.pushed_in + self.lease_in - self.pushed_out - self.lease_out
        self.our_start = account.opened.credit_msat + given

    def add(self, other: Yield) -> None:
        """Add another channel's sums and widen the blocks."""
        for entry in fields(Yield)[:10]:
            setattr(self, entry.name, getattr(self, entry.name) + getattr(other, entry.name))
        first = self.first_height or other.first_height
        self.first_height = min(first, other.first_height)
        self.last_height = max(self.last_height, other.last_height)

    def shown(self, name: str) -> dict[str, Any]:
        """The entry of the result; shares are texts with four decimals and a percent sign."""
        blocks = self.last_height - self.first_height + 1
        theirs = self.total_start - self.our_start

        def share(part: int, whole: int) -> str:
            return f"{part / whole * 100:.4f}%"

        def apy(earned: int, capital: int) -> str:
            return f"{earned / capital * BLOCKS_A_YEAR / blocks * 100:.4f}%"

        shown: dict[str, Any] = {
            "account": name,
            "routed_out_msat": self.routed_out,
            "routed_in_msat": self.routed_in,
            "lease_fee_paid_msat": self.lease_out,
            "lease_fee_earned_msat": self.lease_in,
            "pushed_out_msat": self.pushed_out,
            "pushed_in_msat": self.pushed_in,
            "our_start_balance_msat": self.our_start,
            "channel_start_balance_msat": self.total_start,
            "fees_out_msat": self.fees_out,
            "fees_in_msat": self.fees_in,
            "utilization_out": share(self.routed_out, self.total_start),
            "utilization_in": share(self.routed_in, self.total_start),
            "apy_out": apy(self.fees_out, self.total_start),
            "apy_in": apy(self.fees_in, self.total_start),
            "apy_total": apy(self.fees_out + self.fees_in, self.total_start),
        }
        if self.our_start:
            shown["utilization_out_initial"] = share(self.routed_out, self.our_start)
            shown["apy_out_initial"] = apy(self.fees_out, self.our_start)
            # The real plugin takes the whole channel here as well.
            shown["apy_total_initial"] = shown["apy_total"]
        if theirs:
            shown["utilization_in_initial"] = share(self.routed_in, theirs)
            shown["apy_in_initial"] = apy(self.fees_in, theirs)
        return shown


def entries(ledger: Ledger, after_s: int, until_s: int, height: int) -> list[dict[str, Any]]:
    """One entry a channel with moves in the window, by account, and the roll-up `net`."""
    found: dict[str, Yield] = {}
    for move in ledger.channel:
        if after_s < move.timestamp <= until_s and is_channel(move.account_id):
            found.setdefault(move.account_id, Yield()).take(move)
    net = Yield()
    shown = []
    for name in sorted(found):
        found[name].begin(ledger.accounts[name], height)
        net.add(found[name])
        shown.append(found[name].shown(name))
    return [*shown, net.shown("net")] if net.total_start else shown
