"""The answer of revenue-profitability: what each channel earned, cost, and contributed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from cl_revenue_ops.domain.reports import classes, money
from cl_revenue_ops.domain.reports import ground as grounds
from cl_revenue_ops.domain.reports.classes import CLASSES, PROFILES, Record
from cl_revenue_ops.domain.reports.dashboard import contribution_msat
from cl_revenue_ops.domain.reports.ground import Ground
from cl_revenue_ops.domain.reports.money import sats
from messages.books import Books, ChannelBooks, CostEntry
from messages.channels import ChannelEntry

RANKED = 10


class Spans(NamedTuple):
    """The books of all days, of the newest 7 and of the newest 30, today so far beside them."""

    life: Books
    week: Books
    month: Books


BRIEF = (
    "channel_id",
    "net_profit_sats",
    "roi_percentage",
    "contribution_roi_percentage",
    "days_active",
    "flow_profile",
)
"""What the lists by class have of each channel."""


class Channel(NamedTuple):
    """A channel with its record and class."""

    entry: ChannelEntry
    record: Record
    klass: str
    days: float
    ended_s: float | None = None


def channels_of(
    ground: Ground,
    spans: Spans,
    costs: Iterable[CostEntry],
    entries: Iterable[ChannelEntry] | None = None,
    ended: Mapping[str, float | None] | None = None,
) -> list[Channel]:
    """These channels (the open ones), each with its record.

    `days` are those of its life of which anything is known: rates divide by them.
    """
    life, week, month = (grounds.books_of(books) for books in spans)
    opened = grounds.opening_times(costs)
    ended = ended or {}
    found = []
    for entry in ground.open_entries() if entries is None else entries:
        channel_id = entry.channel_id
        opened_s = grounds.opened_s(entry, ground, opened.get(channel_id))
        end_s = ended.get(channel_id)
        until_s = ground.now_s if end_s is None else end_s
        nothing = ChannelBooks(channel_id)
        record = Record(
            life.get(channel_id, nothing),
            week.get(channel_id, nothing),
            month.get(channel_id, nothing),
            max(0.0, until_s - opened_s) / money.DAY_S,
        )
        known_s = max(opened_s, spans.life.from_s)
        days = max(0.0, min(until_s, spans.life.until_s) - known_s) / money.DAY_S
        found.append(Channel(entry, record, classes.class_of(record), days, end_s))
    return found


def profitability(ground: Ground, spans: Spans, costs: Iterable[CostEntry]) -> dict[str, object]:
    """All open channels by class, flat, and ranked; totals count every msat once."""
    channels = channels_of(ground, spans, costs)
    summary = _summary(channels)
    rows = [(channel.klass, flat(channel, ground)) for channel in channels]
    return {
        "summary": summary,
        "overall_roi_percent": summary["overall_roi_pct"],
        "channels_by_class": {
            name: [{key: row[key] for key in BRIEF} for klass, row in rows if klass == name]
            for name in CLASSES
        },
        "channels": [row for _, row in rows],
        "rankings": rankings(channels, ground),
        "lifetime_all_channels": _everything(spans.life),
        "covers": money.covers(spans.life, None),
        "generated_at": int(ground.now_s),
    }


def _summary(channels: Sequence[Channel]) -> dict[str, Any]:
    sums = money.summed(c.record.life for c in channels)
    sourced_msat = sum(c.record.life.in_fees_msat for c in channels)
    counted = {klass: sum(c.klass == klass for c in channels) for klass in CLASSES}
    profiles = [classes.flow_profile(c.record.life) for c in channels]
    return {
        "total_channels": len(channels),
        **{f"{klass}_count": count for klass, count in counted.items()},
        "total_profit_sats": sats(sums.net_msat),
        "total_revenue_sats": sats(sums.revenue_msat),
        "total_contribution_sats": sats(sums.revenue_msat),
        "total_sourced_sats": sats(sourced_msat),
        "total_costs_sats": sats(sums.costs_msat),
        "overall_roi_pct": money.return_percent(sums.net_msat, sums.costs_msat, sums.revenue_msat),
        "flow_profiles": {f"{name}_count": profiles.count(name) for name in PROFILES},
    }


def _everything(life: Books) -> dict[str, object]:
    """All channels there ever were, closed ones included."""
    sums = money.summed(life.channels)
    return {
        "revenue_sats": sats(sums.revenue_msat),
        "costs_sats": sats(sums.costs_msat),
        "net_profit_sats": sats(sums.net_msat),
        "forward_count": sums.forwards,
    }


def flat(channel: Channel, ground: Ground) -> dict[str, object]:
    """One row of `channels`."""
    entry, row, fact = channel.entry, channel.record.life, channel.entry.fact
    revenue_msat, costs_msat = row.revenue_msat, row.costs_msat
    net_msat, contributed_msat = revenue_msat - costs_msat, contribution_msat(row)
    annual = money.annual_percent(net_msat, fact.capacity_msat, channel.days)
    return {
        "channel_id": grounds.name_of(entry),
        "full_channel_id": entry.channel_id,
        "peer_id": entry.peer_id,
        "alias": ground.called(entry.peer_id),
        "our_fee_ppm": fact.fee_ppm or 0,
        "profitability_class": channel.klass,
        "classification": channel.klass,
        "net_profit_sats": sats(net_msat),
        "revenue_sats": sats(revenue_msat),
        "costs_sats": sats(costs_msat),
        "sourced_fees_sats": sats(row.in_fees_msat),
        "roi_percentage": money.return_percent(net_msat, costs_msat, revenue_msat),
        "contribution_roi_percentage": money.return_percent(
            contributed_msat - costs_msat, costs_msat, contributed_msat
        ),
        "roi_annual_pct": annual or 0.0,
        "balance_ratio": balance_ratio(entry),
        "capacity_sats": sats(fact.capacity_msat),
        "local_sats": sats(fact.local_msat),
        "forward_count": row.settled_in + row.settled_out,
        "days_active": int(channel.record.age_days),
        "flow_profile": classes.flow_profile(row),
        "channel_role": classes.role(row),
    }


def balance_ratio(entry: ChannelEntry) -> float:
    """Our part of a channel, 0 to 1."""
    fact = entry.fact
    return round(fact.local_msat / fact.capacity_msat, 4) if fact.capacity_msat else 0.0


def _roi(row: ChannelBooks) -> float:
    return money.return_percent(row.net_msat, row.costs_msat, row.revenue_msat)


def rankings(channels: Sequence[Channel], ground: Ground) -> dict[str, object]:
    """The first and last by net profit, and by what was earned elsewhere with what came in."""

    def listed(chosen: Iterable[Channel], value: str) -> list[dict[str, object]]:
        return [
            {
                "rank": place,
                "channel_id": grounds.name_of(c.entry),
                "alias": ground.called(c.entry.peer_id),
                "sats": sats(getattr(c.record.life, value)),
            }
            for place, c in enumerate(chosen, 1)
        ]

    by_net = sorted(channels, key=lambda c: (-c.record.life.net_msat, c.entry.channel_id))
    by_sourced = sorted(channels, key=lambda c: (-c.record.life.in_fees_msat, c.entry.channel_id))
    losing = [c for c in reversed(by_net) if c.record.life.net_msat < 0]
    return {
        "most_profitable": listed(
            [c for c in by_net if c.record.life.net_msat > 0][:RANKED], "net_msat"
        ),
        "least_profitable": listed(losing[:RANKED], "net_msat"),
        "best_sources": listed(
            [c for c in by_sourced if c.record.life.in_fees_msat > 0][:RANKED], "in_fees_msat"
        ),
    }


def one(channel: Channel, ground: Ground, books: Books) -> dict[str, object]:
    """The answer for a single channel."""
    return {
        "channel_id": grounds.name_of(channel.entry),
        "full_channel_id": channel.entry.channel_id,
        "profitability": detail(channel, ground),
        "covers": money.covers(books, None),
        "generated_at": int(ground.now_s),
    }


def detail(channel: Channel, ground: Ground) -> dict[str, object]:
    """Everything of a channel's profitability by the names that clients read."""
    entry, record = channel.entry, channel.record
    return {
        "peer_id": entry.peer_id,
        "status": grounds.status_of(entry),
        "capacity_sats": sats(entry.fact.capacity_msat),
        "days_active": int(record.age_days),
        "days_open": round(record.age_days, 1),
        "days_covered": round(channel.days, 4),
        "profitability_class": channel.klass,
        "classification": channel.klass,
        "fee_multiplier": classes.fee_multiplier(record),
        "marginal_roi_percent": classes.marginal_percent(record.life),
        "is_operationally_profitable": contribution_msat(record.life) > record.life.rebalances_msat,
        "roi_annual_pct": money.annual_percent(
            record.life.net_msat, entry.fact.capacity_msat, channel.days
        ),
        **amounts(record.life),
    }


def amounts(row: ChannelBooks) -> dict[str, object]:
    """What a channel, or several together, earned, cost and contributed."""
    out_sats = sats(row.out_msat)
    return {
        "total_revenue_sats": sats(row.revenue_msat),
        "fees_earned_sats": sats(row.out_fees_msat + row.imported_fees_msat),
        "lease_sats": sats(row.lease_msat),
        "penalty_sats": sats(row.penalty_msat),
        "open_cost_sats": sats(row.opening_msat),
        "closure_cost_sats": sats(row.closure_msat),
        "splice_cost_sats": sats(row.splice_msat),
        "rebalance_cost_sats": sats(row.rebalances_msat),
        "other_rebalance_cost_sats": sats(row.other_rebalance_msat),
        "total_costs_sats": sats(row.costs_msat),
        "total_cost_sats": sats(row.costs_msat),
        "net_profit_sats": sats(row.net_msat),
        "roi_percentage": _roi(row),
        "roi_percent": _roi(row),
        "total_contribution_sats": sats(contribution_msat(row)),
        "contribution_net_sats": sats(classes.contribution_net_msat(row)),
        "contribution_roi_percentage": classes.contribution_percent(row),
        "outbound_flow": {
            "payment_count": row.settled_out,
            "volume_sats": out_sats,
            "revenue_earned_sats": sats(row.out_fees_msat),
        },
        "inbound_flow": {
            "payment_count": row.settled_in,
            "volume_sats": sats(row.in_msat),
            "contribution_to_other_channels_sats": sats(row.in_fees_msat),
        },
        "flow_profile": classes.flow_profile(row),
        "inbound_outbound_ratio": classes.inbound_outbound_ratio(row),
        "channel_role": classes.role(row),
        "volume_routed_sats": out_sats,
        "forward_count": row.settled_in + row.settled_out,
        "failed_forwards": row.failed_in + row.failed_out,
        "cost_per_sat_routed": _ratio(row.costs_msat, row.out_msat),
        "fee_per_sat_routed": _ratio(row.out_fees_msat, row.out_msat),
        "estimated": row.estimated,
    }


def _ratio(part_msat: int, volume_msat: int) -> float:
    return round(part_msat / volume_msat, 8) if volume_msat else 0.0
