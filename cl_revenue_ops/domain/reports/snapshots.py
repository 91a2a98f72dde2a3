"""One day's snapshot: what flowed and what there was at its end, as stored and as shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cl_revenue_ops.domain import jsontext
from cl_revenue_ops.domain.reports import money
from cl_revenue_ops.domain.reports.ground import Ground
from cl_revenue_ops.domain.reports.money import DAY_S, sats
from messages.books import Books
from messages.node_books import NodeBalances

# Late forwards of a day are in the books by then.
SETTLED_S = 6 * 3_600.0
GRACE_S = 900.0
"""How long after midnight the balances still are those of the day's end."""

MOST_DAYS = 3_650
_FLOWS = (
    "revenue_msat", "opening_msat", "closure_msat", "splice_msat", "rebalance_msat",
    "volume_msat", "forwards", "failed",
)  # fmt: skip


def flows_of(books: Books, behind: bool) -> str:
    """What flowed on the day of these books, as JSON text; `behind` where more may come."""
    sums = money.summed(books.channels)
    row: dict[str, object] = {name: getattr(sums, name) for name in _FLOWS}
    row["days"] = round(money.covered_days(books), 6)
    row["behind"] = behind
    return jsontext.dumps(row)


def balances_of(ground: Ground, balances: NodeBalances) -> str:
    """What there was, as JSON text."""
    capacities = {entry.channel_id: entry.fact.capacity_msat for entry in ground.open_entries()}
    return jsontext.dumps(
        {
            "at_s": balances.at_s,
            "onchain_msat": balances.onchain_msat + balances.reserved_msat,
            "local_msat": sum(amount_msat for _, amount_msat in balances.channels),
            "channels": len(capacities),
            "capacity_msat": sum(capacities.values()),
        }
    )


def due_days(
    now_s: float, stored: Mapping[int, float], known_since_s: float | None
) -> tuple[int, ...]:
    """Days whose flows are to be read (again), oldest first: ended, and not final yet.

    From the first day with records or with a snapshot on. `stored` has when each day's flows
    were read; a time ahead of the clock says nothing, because the clock was set back since.
    """
    today = money.day_of(now_s)
    begins = [min(stored)] if stored else []
    if known_since_s is not None:
        begins.append(money.day_of(known_since_s))
    first = max(min(begins, default=today), today - MOST_DAYS)
    return tuple(day for day in range(first, today) if not _final(day, stored.get(day), now_s))


def _final(day: int, read_s: float | None, now_s: float) -> bool:
    if read_s is None:
        return False
    settled_s = (day + 1) * DAY_S + SETTLED_S
    return now_s < settled_s or settled_s <= read_s <= now_s


def at_its_end(day: int, at_s: float) -> bool:
    """Whether balances read at this time are those of the day's end."""
    return 0.0 <= at_s - (day + 1) * DAY_S <= GRACE_S


def shown(day: int, flows: str, balances: str | None) -> dict[str, Any]:
    """A snapshot by the names that clients read; what nobody looked at is None and marked."""
    flowed = jsontext.loads(flows)
    held = None if balances is None else jsontext.loads(balances)
    net_msat = flowed["revenue_msat"] - sum(flowed[name] for name in _FLOWS[1:5])
    capacity_msat = 0 if held is None else held["capacity_msat"]
    return {
        "date": money.date_of(day),
        "net_worth_sats": None if held is None else sats(held["onchain_msat"] + held["local_msat"]),
        "onchain_sats": None if held is None else sats(held["onchain_msat"]),
        "local_sats": None if held is None else sats(held["local_msat"]),
        "channel_count": None if held is None else held["channels"],
        "capacity_sats": None if held is None else sats(capacity_msat),
        "revenue_sats": sats(flowed["revenue_msat"]),
        "opening_cost_sats": sats(flowed["opening_msat"]),
        "closure_cost_sats": sats(flowed["closure_msat"]),
        "splice_cost_sats": sats(flowed["splice_msat"]),
        "rebalance_cost_sats": sats(flowed["rebalance_msat"]),
        "net_profit_sats": sats(net_msat),
        "operating_margin_pct": money.margin_percent(net_msat, flowed["revenue_msat"]),
        "annualized_roc_pct": money.annual_percent(net_msat, capacity_msat, flowed["days"]),
        "volume_sats": sats(flowed["volume_msat"]),
        "total_forwards": flowed["forwards"],
        "covers_days": flowed["days"],
        "balances": "unknown" if held is None else "known",
        "final": not flowed["behind"],
    }


def agree(flows: Iterable[str], books: Books) -> bool:
    """Whether snapshots add up to the totals of their days; one that cannot be read does not."""
    sums = money.summed(books.channels)
    totals = dict.fromkeys(_FLOWS, 0)
    try:
        for text in flows:
            row = jsontext.loads(text)
            for name in _FLOWS:
                totals[name] += row[name]
    except (ValueError, TypeError, KeyError):
        return False
    return all(totals[name] == getattr(sums, name) for name in _FLOWS)
