"""Reports as text for lightning-cli: the same figures as in JSON, in tables of 100 columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cl_revenue_ops.domain.reports import money, rebalances
from cl_revenue_ops.domain.reports.tables import (
    Column,
    bar,
    number,
    pairs,
    plain,
    table,
    wrapped,
)

NARROW = 8

Row = Mapping[str, Any]
Lines = list[str]


def answer(what: str, report: Row) -> dict[str, object]:
    """What lightning-cli prints as plain text: a hint, and one member, which it prints bare."""
    lines = _RENDERERS.get(what, _any)(report)
    return {"format-hint": "simple", "text": "\n".join(lines)}


# -- parts -------------------------------------------------------------------------------------


def _sats(value: object) -> str:
    return f"{number(value)} sats" if value is not None else "not known"


def _percent(value: object) -> str:
    return f"{number(float(value), 2)} %" if isinstance(value, (int, float)) else "not known"


def _covers(report: Row) -> Lines:
    covers = report.get("covers")
    if not isinstance(covers, Mapping) or "days" not in covers:
        return []
    line = f"Covers {_moment(covers['from'])} to {_moment(covers['until'])} UTC"
    lines = [f"{line} ({number(covers['days'], 2)} days)."]
    if covers["note"]:
        lines += wrapped(f"Note: {covers['note']}.")
    return lines


def _moment(at_s: int) -> str:
    minutes = int(at_s % money.DAY_S) // 60
    return f"{money.date_of(money.day_of(at_s))} {minutes // 60:02d}:{minutes % 60:02d}"


def _titled(title: str, lines: Iterable[str]) -> Lines:
    found = list(lines)
    return ["", title, *found] if found else []


def _peer(row: Row) -> str:
    return plain(row.get("alias") or row.get("peer_id") or "-")


# -- reports -----------------------------------------------------------------------------------


def _dashboard(report: Row) -> Lines:
    health, period = report["financial_health"], report["period"]
    since = health["net_worth_change_since"]
    change = "not known" if since is None else f"{health['net_worth_change_sats']:+,} sats"
    lines = [f"Dashboard, {period['window_days']} days", *_covers(report), ""]
    lines += pairs(
        [
            ("Net worth", _sats(health["tlv_sats"])),
            ("  on-chain, confirmed", _sats(health["onchain_sats"])),
            ("  in channels", _sats(health["local_sats"])),
            ("  change", change if since is None else f"{change} since the end of {since}"),
            ("Revenue", _sats(period["gross_revenue_sats"])),
            ("Costs", _sats(period["opex_sats"])),
            ("  rebalances", _sats(period["rebalance_cost_sats"])),
            ("  openings", _sats(period["opening_cost_sats"])),
            ("  closures", _sats(period["closure_cost_sats"])),
            ("  splices", _sats(period["splice_cost_sats"])),
            ("Net profit", _sats(health["net_profit_sats"])),
            ("Operating margin", _percent(health["operating_margin_pct"])),
            ("Return on capacity, a year", _percent(report["annualized_roc_pct"])),
            ("Forwards", f"{number(period['total_forwards'])} settled"),
            ("Volume", _sats(period["volume_sats"])),
        ]
    )
    columns = [
        Column("channel", right=False),
        Column("peer", right=False, elastic=True),
        *map(Column, ("spent", "earned", "loss")),
    ]
    rows = [
        (
            str(row["channel_id"]), _peer(row), number(row["spent"]), number(row["earned"]),
            number(row["estimated_loss_sats"]),
        )
        for row in report["bleeder_warnings"]
    ]  # fmt: skip
    names = ("spent", "earned", "estimated_loss_sats")
    sums = [number(sum(row[name] for row in report["bleeder_warnings"])) for name in names]
    if rows:
        lines += _titled("Bleeders (sats)", table(columns, rows, ("total", "", *sums)))
    others = report["warnings"][report["bleeder_count"] :]
    return lines + _titled("Warnings", [line for text in others for line in wrapped(text)])


def _profitability(report: Row) -> Lines:
    if "channels" not in report:
        return _one_channel(report)
    summary = report["summary"]
    lines = [f"Profitability of {summary['total_channels']} open channels", *_covers(report), ""]
    columns = [
        Column("channel", right=False),
        Column("peer", right=False, elastic=True),
        Column("balance", right=False),
        *map(Column, ("ppm", "revenue", "costs", "net", "sourced", "fwds")),
        Column("class", right=False),
    ]
    channels = sorted(report["channels"], key=lambda r: (-r["net_profit_sats"], r["channel_id"]))
    rows = [
        (
            str(row["channel_id"]), _peer(row), bar(row["balance_ratio"], NARROW),
            number(row["our_fee_ppm"]), number(row["revenue_sats"]), number(row["costs_sats"]),
            number(row["net_profit_sats"]), number(row["sourced_fees_sats"]),
            number(row["forward_count"]), str(row["profitability_class"]).partition("_c")[0],
        )
        for row in channels
    ]  # fmt: skip
    local = sum(row["local_sats"] for row in channels)
    capacity = sum(row["capacity_sats"] for row in channels)
    total = (
        "total", "", bar(local / capacity if capacity else 0.0, NARROW), "",
        number(summary["total_revenue_sats"]), number(summary["total_costs_sats"]),
        number(summary["total_profit_sats"]), "", "", "",
    )  # fmt: skip
    lines += table(columns, rows, total)
    lines += ["", "Amounts in sats. Sourced: fees that other channels earned with what came in"]
    return [*lines, "here; it is in their revenue already and adds up to no total of its own."]


def _one_channel(report: Row) -> Lines:
    found = report["profitability"]
    lines = [f"Channel {report['channel_id']} ({found['status']})", *_covers(report), ""]
    return lines + _amounts(found)


def _amounts(found: Row) -> Lines:
    out, into = found["outbound_flow"], found["inbound_flow"]
    known = [("Class", found.get("profitability_class")), ("Role", found.get("channel_role"))]
    return pairs(
        [
            *((name, str(value)) for name, value in known if value is not None),
            ("Revenue", _sats(found["total_revenue_sats"])),
            ("Costs", _sats(found["total_costs_sats"])),
            ("  opening", _sats(found["open_cost_sats"])),
            ("  closure", _sats(found["closure_cost_sats"])),
            ("  splices", _sats(found["splice_cost_sats"])),
            ("  rebalances", _sats(found["rebalance_cost_sats"])),
            ("Net profit", _sats(found["net_profit_sats"])),
            ("Earned elsewhere with it", _sats(into["contribution_to_other_channels_sats"])),
            ("Out", f"{number(out['payment_count'])} forwards, {_sats(out['volume_sats'])}"),
            ("In", f"{number(into['payment_count'])} forwards, {_sats(into['volume_sats'])}"),
        ]
    )


def _history(report: Row) -> Lines:
    lines = ["The node's whole life", *_covers(report), ""]
    lines += pairs(
        [
            ("Revenue", _sats(report["lifetime_revenue_sats"])),
            ("  from before the records", _sats(report["lifetime_unattributed_sats"])),
            ("Costs", _sats(report["lifetime_total_costs_sats"])),
            ("  openings", _sats(report["lifetime_opening_costs_sats"])),
            ("  closures", _sats(report["lifetime_closure_costs_sats"])),
            ("  splices", _sats(report["lifetime_splice_costs_sats"])),
            ("  rebalances", _sats(report["lifetime_rebalance_costs_sats"])),
            ("Net profit", _sats(report["lifetime_net_profit_sats"])),
            ("Return on costs", _percent(report["lifetime_roi_percent"])),
            ("Forwards", f"{number(report['lifetime_forward_count'])} settled"),
        ]
    )
    closed = report["closed_channels_summary"]
    if closed["channel_count"]:
        lines += _titled(
            f"{closed['channel_count']} closed channels",
            pairs(
                [
                    ("Revenue", _sats(closed["total_revenue"])),
                    ("Net profit", _sats(closed["total_net_pnl"])),
                    ("Open for, on average", f"{number(closed['avg_days_open'], 1)} days"),
                ]
            ),
        )
    return lines + _titled("Days (sats)", _days(report["snapshots"]))


def _days(snapshots: list[Row]) -> Lines:
    if not snapshots:
        return []
    names = ("revenue_sats", "net_profit_sats", "volume_sats", "total_forwards")
    columns = [
        Column("day", right=False),
        *map(Column, ("net worth", "revenue", "costs", "net", "volume", "forwards", "channels")),
    ]

    def cost(row: Row) -> int:
        return int(row["revenue_sats"] - row["net_profit_sats"])

    rows = [
        (
            str(row["date"]), number(row["net_worth_sats"]), number(row["revenue_sats"]),
            number(cost(row)), number(row["net_profit_sats"]), number(row["volume_sats"]),
            number(row["total_forwards"]), number(row["channel_count"]),
        )
        for row in snapshots
    ]  # fmt: skip
    revenue, net, volume, forwards = (sum(row[name] for row in snapshots) for name in names)
    total = ("total", "", *map(number, (revenue, revenue - net, net, volume, forwards)), "")
    return table(columns, rows, total)


def _summary(report: Row) -> Lines:
    channels, life = report["channels"], report["lifetime"]
    counts = ", ".join(f"{channels[n]} {n}" for n in ("open", "opening", "closing", "closed"))
    lines = ["Summary", *_covers(report), ""]
    return lines + pairs(
        [
            ("Net worth", _sats(report["net_worth_sats"])),
            ("  on-chain, confirmed", _sats(report["onchain_sats"])),
            ("  in channels", _sats(report["local_sats"])),
            ("Operating margin", _percent(report["operating_margin_pct"])),
            ("Return on capacity, a year", _percent(report["annualized_roc_pct"])),
            ("Channels", counts),
            ("Capacity", _sats(channels["capacity_sats"])),
            ("Lifetime revenue", _sats(life["revenue_sats"])),
            ("Lifetime costs", _sats(life["costs_sats"])),
            ("Lifetime net profit", _sats(life["net_profit_sats"])),
            ("Policies", number(report["policies"]["total"])),
        ]
    )


def _costs(report: Row) -> Lines:
    names = ("last_24h", "last_7d", "last_30d", "total")
    columns = [Column("cost", right=False), *map(Column, names)]
    kinds = ("opening", "closure", "splice", "rebalance")
    rows = [
        (kind, *(number(report[f"{kind}_costs"][f"{name}_sats"]) for name in names))
        for kind in kinds
    ]
    total = ("total", *(number(report["all_costs"][f"{name}_sats"]) for name in names))
    whole = {"covers": report["covers"]["total"]}
    return ["Costs (sats; whole UTC days and today so far)", *_covers(whole), "",
            *table(columns, rows, total)]  # fmt: skip


def _reconcile(report: Row) -> Lines:
    lines = [line for text in report["in_words"] for line in wrapped(text)]
    columns = [
        Column("what", right=False, elastic=True),
        Column("account", right=False, elastic=True),
        *map(Column, ("ours msat", "theirs msat", "remainder")),
        Column("", right=False),
    ]
    rows = [
        (
            plain(row["what"]), plain(row["account"]), number(row["ours_msat"]),
            number(row["theirs_msat"]), number(row["remainder_msat"]),
            "taken over" if row["taken_over"] else "",
        )
        for row in report["rows"]
    ]  # fmt: skip
    return lines + ([] if not rows else ["", *table(columns, rows)])


def _channel(report: Row) -> Lines:
    lines = [
        f"Channel {report['channel_id']} with {_peer(report)} ({report['status']})",
        *_balance(report),
        *_covers(report),
        "",
        *_amounts(report["profitability"]),
    ]
    columns = [
        Column("cost", right=False),
        Column("when", right=False),
        Column("sats"),
        Column("transaction", right=False, elastic=True),
    ]
    rows = [
        (
            str(row["what"]), money.date_of(money.day_of(row["at"])), number(row["sats"]),
            plain(row["txid"] or "-"),
        )
        for row in report["chain_costs"]
    ]  # fmt: skip
    return lines + (_titled("On-chain costs", table(columns, rows)) if rows else [])


def _balance(report: Row) -> Lines:
    if report["local_sats"] is None:
        return []
    return [f"Balance {bar(report['balance_ratio'], 40)} {_sats(report['local_sats'])}"]


def _of_peer(report: Row) -> Lines:
    found = report["profitability"]
    lines = [f"Peer {_peer(report)}", report["peer_id"], *_covers(report), ""]
    policy = report["policy"]
    lines += pairs([("Policy", f"{policy['strategy']}, rebalance {policy['rebalance_mode']}")])
    return lines + (["This peer never had a channel."] if found is None else _amounts(found))


def _any(report: Row) -> Lines:
    """Names with values, as deep as they go."""
    rows: list[tuple[str, str]] = []
    at_s = report.get("generated_at")
    if isinstance(at_s, int):
        report = {**report, "generated_at": f"{_moment(at_s)} UTC"}

    def walk(prefix: str, value: object) -> None:
        if isinstance(value, Mapping):
            for name, inner in value.items():
                walk(f"{prefix}.{name}" if prefix else str(name), inner)
        elif isinstance(value, (list, tuple)):
            for place, inner in enumerate(value):
                walk(f"{prefix}[{place}]", inner)
        else:
            rows.append((prefix, number(value)))

    walk("", report)
    return pairs(rows)


_RENDERERS: Mapping[str, Callable[[Row], Lines]] = {
    "dashboard": _dashboard,
    "profitability": _profitability,
    "history": _history,
    "summary": _summary,
    "costs": _costs,
    "reconcile": _reconcile,
    "rebalances": rebalances.as_text,
    "channel": _channel,
    "peer": _of_peer,
}
