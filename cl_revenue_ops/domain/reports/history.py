"""The answer of revenue-history: a node's whole life, its closed channels, its newest days."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cl_revenue_ops.domain.reports import money
from cl_revenue_ops.domain.reports.closing import Closed
from cl_revenue_ops.domain.reports.ground import Ground
from cl_revenue_ops.domain.reports.money import sats
from messages.books import Books


def history(
    ground: Ground, books: Books, closed: Iterable[Closed], snapshots: list[dict[str, Any]]
) -> dict[str, object]:
    """The whole answer; what was earned before the first record is revenue of the lifetime."""
    sums = money.summed(books.channels)
    revenue_msat = sums.revenue_msat + books.unattributed_msat
    net_msat = revenue_msat - sums.costs_msat
    return {
        "lifetime_revenue_sats": sats(revenue_msat),
        "lifetime_unattributed_sats": sats(books.unattributed_msat),
        "lifetime_opening_costs_sats": sats(sums.opening_msat),
        "lifetime_closure_costs_sats": sats(sums.closure_msat),
        "lifetime_splice_costs_sats": sats(sums.splice_msat),
        "lifetime_rebalance_costs_sats": sats(sums.rebalance_msat),
        "lifetime_total_costs_sats": sats(sums.costs_msat),
        "lifetime_net_profit_sats": sats(net_msat),
        "lifetime_roi_percent": money.return_percent(net_msat, sums.costs_msat, revenue_msat),
        "lifetime_forward_count": sums.forwards,
        "lifetime_volume_sats": sats(sums.volume_msat),
        "lifetime_wallet_fees_sats": sats(books.wallet_fees_msat),
        "closed_channels_summary": closed_summary(closed),
        "snapshots": snapshots,
        "covers": money.covers(books, None),
        "generated_at": int(ground.now_s),
    }


def closed_summary(closed: Iterable[Closed]) -> Mapping[str, object]:
    """The channels that have closed, in one: figures by today's books."""
    rows = list(closed)
    sums = money.summed(row.books for row in rows)
    ages = [row.days_open for row in rows if row.days_open is not None]
    return {
        "channel_count": len(rows),
        "archived_count": sum(row.archived for row in rows),
        "total_capacity": sats(sum(row.entry.fact.capacity_msat for row in rows)),
        "total_open_costs": sats(sums.opening_msat),
        "total_closure_costs": sats(sums.closure_msat),
        "total_splice_costs": sats(sums.splice_msat),
        "total_revenue": sats(sums.revenue_msat),
        "total_rebalance_costs": sats(sums.rebalance_msat),
        "total_forwards": sums.forwards,
        "total_net_pnl": sats(sums.net_msat),
        "avg_days_open": round(sum(ages) / len(ages), 1) if ages else 0.0,
    }
