"""The answer of revenue-dashboard: how the node does, and which channels bleed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from cl_revenue_ops.domain.reports import ground as grounds
from cl_revenue_ops.domain.reports import money
from cl_revenue_ops.domain.reports.ground import Balances, Ground
from cl_revenue_ops.domain.reports.money import Sums, sats
from messages.books import Books, ChannelBooks


class Bleeder(NamedTuple):
    """A channel into which rebalances cost more than it earned, on either side of forwards."""

    channel_id: str
    spent_msat: int
    earned_msat: int

    @property
    def loss_msat(self) -> int:
        """What is lost of what was spent."""
        return self.spent_msat - self.earned_msat


def contribution_msat(row: ChannelBooks) -> int:
    """What passed by a channel earned, wherever it was booked: its own side and the other's.

    It says what a channel is good for. Added up over channels it would count each forward twice.
    """
    return row.revenue_msat + row.in_fees_msat


def bleeders(rows: Iterable[ChannelBooks]) -> list[Bleeder]:
    """Channels whose exit and sourced fees are below their rebalances, the worst first."""
    found = [
        Bleeder(row.channel_id, row.rebalances_msat, row.out_fees_msat + row.in_fees_msat)
        for row in rows
    ]
    return sorted(
        (row for row in found if row.loss_msat > 0),
        key=lambda row: (-row.loss_msat, row.channel_id),
    )


def dashboard(
    ground: Ground,
    window_days: int,
    books: Books,
    balances: Balances,
    before: Mapping[str, Any] | None,
) -> dict[str, object]:
    """The whole answer; `before` is the snapshot of the day before the window (see snapshots)."""
    sums = money.summed(books.channels)
    days = money.covered_days(books)
    worth = grounds.net_worth(ground, balances)
    annual = money.annual_percent(sums.net_msat, ground.capacity_msat(), days) or 0.0
    losing = bleeders(books.channels)
    told = [_bleeder(ground, row) for row in losing]
    from_day = money.day_of(ground.now_s) - window_days
    return {
        "financial_health": {
            "tlv_sats": worth["tlv_sats"],
            "onchain_sats": worth["onchain_sats"],
            "local_sats": worth["local_sats"],
            "unconfirmed_sats": worth["unconfirmed_sats"],
            "net_profit_sats": sats(sums.net_msat),
            "operating_margin_pct": money.margin_percent(sums.net_msat, sums.revenue_msat),
            "annualized_roc_pct": annual,
            "capacity_sats": sats(ground.capacity_msat()),
            **_change(worth["tlv_sats"], before),
        },
        "period": {"window_days": window_days, **figures(sums), **_beside(books)},
        "warnings": [*map(_warning, told), *_troubles(books, worth["note"])],
        "bleeder_count": len(told),
        "annualized_roc_pct": annual,
        "bleeder_warnings": told,
        "channels": ground.counts(),
        "covers": money.covers(books, from_day),
        "generated_at": int(ground.now_s),
    }


def figures(sums: Sums) -> dict[str, object]:
    """The totals of a period by the names that clients read; every kind of cost by itself."""
    return {
        "gross_revenue_sats": sats(sums.revenue_msat),
        "opex_sats": sats(sums.costs_msat),
        "net_profit_sats": sats(sums.net_msat),
        "rebalance_cost_sats": sats(sums.rebalance_msat),
        "opening_cost_sats": sats(sums.opening_msat),
        "closure_cost_sats": sats(sums.closure_msat),
        "splice_cost_sats": sats(sums.splice_msat),
        "total_forwards": sums.forwards,
        "volume_sats": sats(sums.volume_msat),
        "failed_forwards": sums.failed,
    }


def _beside(books: Books) -> dict[str, object]:
    """What is no routing business of any channel and counts in none of the figures."""
    return {
        "wallet_fees_sats": sats(books.wallet_fees_msat),
        "payment_fees_sats": sats(sum(row.payment_fees_msat for row in books.channels)),
    }


def _change(worth_sats: object, before: Mapping[str, Any] | None) -> dict[str, object]:
    """By how much the net worth has grown since the snapshot; deposits and payments are in it."""
    then = None if before is None else before.get("net_worth_sats")
    known = isinstance(worth_sats, int) and isinstance(then, int)
    return {
        "net_worth_change_sats": worth_sats - then if known else None,  # type: ignore[operator]
        "net_worth_change_since": before["date"] if known and before is not None else None,
    }


def _bleeder(ground: Ground, row: Bleeder) -> dict[str, object]:
    return {
        "channel_id": ground.name(row.channel_id),
        "full_channel_id": row.channel_id,
        "peer_id": ground.peer(row.channel_id),
        "alias": ground.called(ground.peer(row.channel_id)),
        "estimated_loss_sats": sats(row.loss_msat),
        "spent": sats(row.spent_msat),
        "earned": sats(row.earned_msat),
    }


def _warning(row: Mapping[str, object]) -> str:
    return (
        f"Channel {row['channel_id']} ({row['alias']}): {row['spent']:,} sats spent on rebalancing,"
        f" {row['earned']:,} sats earned"
    )


def _troubles(books: Books, note: object) -> list[str]:
    found = [] if books.trouble is None else [f"The books are behind: {books.trouble}"]
    if note is not None:
        text = str(note)
        found.append(text[:1].upper() + text[1:])
    return found
