"""The shorter reports: summary, policies, hive, costs, a peer, a channel, reconcile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from cl_revenue_ops.domain.policy import rows as policy_rows
from cl_revenue_ops.domain.reports import classes, money, profitability
from cl_revenue_ops.domain.reports import closing as closings
from cl_revenue_ops.domain.reports import ground as grounds
from cl_revenue_ops.domain.reports.closing import Closed
from cl_revenue_ops.domain.reports.dashboard import figures
from cl_revenue_ops.domain.reports.ground import Balances, Ground
from cl_revenue_ops.domain.reports.money import sats
from cl_revenue_ops.domain.reports.profitability import Channel, Spans
from messages.books import Books, CostEntry, Reconciliation
from messages.flow import ChannelFlow

SUMMARY_DAYS = 30


def summary(ground: Ground, month: Books, life: Books, balances: Balances) -> dict[str, object]:
    """Net worth, operating margin, channel counts, policies."""
    sums, all_sums = money.summed(month.channels), money.summed(life.channels)
    revenue_msat = all_sums.revenue_msat + life.unattributed_msat
    days = money.covered_days(month)
    worth = grounds.net_worth(ground, balances)
    return {
        "type": "summary",
        "net_worth_sats": worth["tlv_sats"],
        "onchain_sats": worth["onchain_sats"],
        "local_sats": worth["local_sats"],
        "unconfirmed_sats": worth["unconfirmed_sats"],
        "note": worth["note"],
        "operating_margin_pct": money.margin_percent(sums.net_msat, sums.revenue_msat),
        "annualized_roc_pct": money.annual_percent(sums.net_msat, ground.capacity_msat(), days)
        or 0.0,
        "channels": {
            **ground.counts(),
            "connected": sum(entry.fact.connected for entry in ground.open_entries()),
            "capacity_sats": sats(ground.capacity_msat()),
        },
        "period": {"window_days": SUMMARY_DAYS, **figures(sums)},
        "lifetime": {
            "revenue_sats": sats(revenue_msat),
            "unattributed_sats": sats(life.unattributed_msat),
            "costs_sats": sats(all_sums.costs_msat),
            "net_profit_sats": sats(revenue_msat - all_sums.costs_msat),
            "total_forwards": all_sums.forwards,
        },
        "policies": _policy_counts(ground),
        "covers": money.covers(month, money.day_of(ground.now_s) - SUMMARY_DAYS),
        "generated_at": int(ground.now_s),
    }


def _holding(ground: Ground) -> list[Any]:
    ends = ground.now_s
    return [p for p in ground.policies if p.expires_at_s is None or p.expires_at_s > ends]


def _policy_counts(ground: Ground) -> dict[str, object]:
    held = _holding(ground)
    return {
        "total": len(held),
        "by_strategy": dict(sorted(Counter(p.strategy for p in held).items())),
        "by_rebalance_mode": dict(sorted(Counter(p.rebalance for p in held).items())),
    }


def policies(ground: Ground) -> dict[str, object]:
    """How many policies hold, of each kind and with each tag."""
    tags = Counter(tag for policy in _holding(ground) for tag in policy.tags)
    return {
        "type": "policies",
        **_policy_counts(ground),
        "by_tag": dict(sorted(tags.items())),
        "generated_at": int(ground.now_s),
    }


def hive(ground: Ground) -> dict[str, object]:
    """The peers whose strategy is hive."""
    peers = [policy_rows.shown(p, ground.now_s) for p in _holding(ground) if p.strategy == "hive"]
    return {"type": "hive", "peers": peers, "count": len(peers), "generated_at": int(ground.now_s)}


def channel(
    ground: Ground,
    found: Channel,
    life: Books,
    costs: Iterable[CostEntry],
    closed: Closed | None,
) -> dict[str, object]:
    """One channel, open or closed: what it is, what it earned and cost, and each on-chain cost."""
    entry, row = found.entry, found.record.month
    return {
        "type": "channel",
        "channel_id": grounds.name_of(entry),
        "full_channel_id": entry.channel_id,
        "scids": list(entry.scids),
        "peer_id": entry.peer_id,
        "alias": ground.called(entry.peer_id),
        "status": grounds.status_of(entry),
        "state": entry.fact.state,
        "opener": entry.fact.opener,
        # A closed channel holds nothing any more, whatever was last seen of it.
        "local_sats": None if entry.closed else sats(entry.fact.local_msat),
        "balance_ratio": None if entry.closed else profitability.balance_ratio(entry),
        "our_fee_ppm": None if entry.closed else entry.fact.fee_ppm,
        "profitability": profitability.detail(found, ground),
        "last_30_days": profitability.amounts(row),
        "chain_costs": [
            {
                "what": cost.what,
                "at": cost.at_s,
                "sats": sats(cost.msat),
                "msat": cost.msat,
                "txid": cost.txid,
                "source": cost.source,
            }
            for cost in costs
            if cost.channel_id == entry.channel_id
        ],
        "costs_final": entry.channel_id not in life.provisional,
        "policy": policy_rows.shown(ground.policy_of(entry.peer_id), ground.now_s),
        "flow_state": _flow(ground.flows.get(entry.channel_id)),
        "closed": None if closed is None else closings.shown(closed, ground),
        "covers": money.covers(life, None),
        "generated_at": int(ground.now_s),
    }


def peer(
    ground: Ground,
    peer_id: str,
    found: Sequence[Channel],
    spans: Spans,
    closed: Iterable[Closed],
) -> dict[str, object]:
    """A peer: its policy, its channels open and closed, and all of them as one."""
    together = money.added((c.record.life for c in found), peer_id)
    open_ones = [c for c in found if grounds.status_of(c.entry) == grounds.OPEN]
    capacity_msat = sum(c.entry.fact.capacity_msat for c in open_ones)
    flows = [ground.flows.get(c.entry.channel_id) for c in open_ones]
    shown = [_flow(flow) for flow in flows if flow is not None]
    return {
        "type": "peer",
        "peer_id": peer_id,
        "alias": ground.called(peer_id),
        "policy": policy_rows.shown(ground.policy_of(peer_id), ground.now_s),
        "profitability": None
        if not found
        else {
            "channel_count": len(found),
            "capacity_sats": sats(capacity_msat),
            "profitability_class": _class_of_all(found, peer_id),
            **profitability.amounts(together),
        },
        "flow_state": shown[0] if shown else None,
        "flow_states": shown,
        "channels": [
            {"channel_id": grounds.name_of(c.entry), **profitability.detail(c, ground)}
            for c in found
            if not c.entry.closed
        ],
        "closed_channels": [
            closings.shown(c, ground) for c in closed if c.entry.peer_id == peer_id
        ],
        "covers": money.covers(spans.life, None),
        "generated_at": int(ground.now_s),
    }


def _class_of_all(found: Sequence[Channel], peer_id: str) -> str:
    record = classes.Record(
        money.added((c.record.life for c in found), peer_id),
        money.added((c.record.week for c in found), peer_id),
        money.added((c.record.month for c in found), peer_id),
        max(c.record.age_days for c in found),
    )
    return classes.class_of(record)


def _flow(flow: ChannelFlow | None) -> dict[str, object] | None:
    if flow is None:
        return None
    return {
        "channel_id": flow.channel_id,
        "state": flow.klass,
        "flow_ratio": round(flow.flow_ratio, 4),
        "confidence": round(flow.confidence, 4),
        "in_sats_per_day": int(flow.rate_in_msat_per_day) // 1000,
        "out_sats_per_day": int(flow.rate_out_msat_per_day) // 1000,
        "velocity_per_day": round(flow.velocity_per_day, 6),
        "observed_days": round(flow.observed_s / money.DAY_S, 2),
    }


def reconcile(ground: Ground, found: Reconciliation) -> dict[str, object]:
    """The books held against the node: every comparison, and what is left unexplained."""
    rows = [
        {
            "what": row.what,
            "account": ground.name(row.account),
            "full_account": row.account,
            "ours_msat": row.ours_msat,
            "theirs_msat": row.theirs_msat,
            "source": row.source,
            "remainder_msat": row.remainder_msat,
            "taken_over": row.taken_over,
            "note": row.note,
        }
        for row in found.rows
    ]
    compared = [row for row in found.rows if row.remainder_msat is not None]
    off = [row for row in compared if row.remainder_msat]
    unexplained = [row for row in off if row.note is None]
    return {
        "type": "reconcile",
        "balanced": found.trouble is None and bool(compared) and not unexplained,
        "unexplained_msat": sum(abs(row.remainder_msat or 0) for row in unexplained),
        "compared": len(compared),
        "not_compared": len(found.rows) - len(compared),
        "in_words": _words(ground, found, len(compared), off),
        "rows": rows,
        "trouble": found.trouble,
        "compared_at": int(found.at_s),
        "generated_at": int(ground.now_s),
    }


def _words(ground: Ground, found: Reconciliation, compared: int, off: Sequence[Any]) -> list[str]:
    if found.trouble is not None:
        return [f"The books could not be held against the node: {found.trouble}"]
    if not compared:
        return ["There was nothing to compare the books with."]
    if not off:
        return [f"{compared} comparisons agree to the millisatoshi."]
    lines = [f"{compared - len(off)} of {compared} comparisons agree to the millisatoshi."]
    for row in off:
        more = "more" if row.remainder_msat > 0 else "less"
        why = "unexplained" if row.note is None else row.note
        lines.append(
            f"{row.what} of {ground.name(row.account)}: the books have"
            f" {abs(row.remainder_msat):,} msat {more} than {row.source} ({why})."
        )
    return lines
