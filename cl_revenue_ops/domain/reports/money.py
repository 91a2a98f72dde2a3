"""Sums for reports: msat to sats once a total, shares, and what a window covers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import NamedTuple

from messages.books import Books, ChannelBooks

DAY_S = 86_400.0
YEAR_DAYS = 365.0


def sats(msat: int) -> int:
    """Whole sats, halves up. For totals: fees below a sat are many, and add up."""
    return (msat + 500) // 1_000


def percent(part: float, whole: float) -> float | None:
    """`part` of `whole` in percent; None where there is nothing to be a part of."""
    return round(100.0 * part / whole, 2) if whole > 0 else None


def return_percent(net_msat: int, cost_msat: int, gained_msat: int) -> float:
    """Net over costs in percent; without costs 100 where anything was gained, else 0."""
    if cost_msat > 0:
        return round(100.0 * net_msat / cost_msat, 2)
    return 100.0 if gained_msat > 0 else 0.0


def margin_percent(net_msat: int, revenue_msat: int) -> float:
    """Net over revenue in percent; without revenue -100 where anything was spent, else 0."""
    if revenue_msat > 0:
        return round(100.0 * net_msat / revenue_msat, 2)
    return -100.0 if net_msat < 0 else 0.0


def annual_percent(net_msat: int, capital_msat: int, days: float) -> float | None:
    """Net over capital in percent of a year; None where there is no time or no capital."""
    if days <= 0.0 or capital_msat <= 0:
        return None
    return round(100.0 * net_msat / capital_msat * YEAR_DAYS / days, 4)


class Sums(NamedTuple):
    """Totals over channels, msat; each forward counts once, at the channel that it left by."""

    revenue_msat: int = 0
    opening_msat: int = 0
    closure_msat: int = 0
    splice_msat: int = 0
    rebalance_msat: int = 0
    volume_msat: int = 0
    forwards: int = 0
    failed: int = 0

    @property
    def costs_msat(self) -> int:
        """Opening, closure, splice and rebalance."""
        return self.opening_msat + self.closure_msat + self.splice_msat + self.rebalance_msat

    @property
    def net_msat(self) -> int:
        """Net P&L = Revenue - (Opening + Closure + Splice + Rebalance)."""
        return self.revenue_msat - self.costs_msat


def summed(rows: Iterable[ChannelBooks]) -> Sums:
    """The totals of these channels."""
    totals = [0] * len(Sums._fields)
    for row in rows:
        for place, value in enumerate(
            (
                row.revenue_msat,
                row.opening_msat,
                row.closure_msat,
                row.splice_msat,
                row.rebalances_msat,
                row.out_msat,
                row.settled_out,
                row.failed_in,
            )
        ):
            totals[place] += value
    return Sums(*totals)


def added(rows: Iterable[ChannelBooks], channel_id: str) -> ChannelBooks:
    """Several channels as one, under a name of its own."""
    totals: dict[str, int] = dict.fromkeys(ChannelBooks._fields[1:-1], 0)
    estimated = False
    for row in rows:
        estimated = estimated or row.estimated
        for name in totals:
            totals[name] += getattr(row, name)
    return ChannelBooks(channel_id, **totals, estimated=estimated)


# -- time --------------------------------------------------------------------------------------


def day_of(at_s: float) -> int:
    """The day of this moment, in days since 1970 in UTC."""
    return int(at_s // DAY_S)


def date_of(day: int) -> str:
    """The day as 2024-02-29."""
    return (datetime.fromtimestamp(day * DAY_S, tz=timezone.utc)).date().isoformat()


def covered_days(books: Books) -> float:
    """For how many days the books have anything to say of their window."""
    return max(0.0, books.until_s - books.from_s) / DAY_S


def covers(books: Books, from_day: int | None) -> dict[str, object]:
    """What a window covers: since when, until when, whether that is all that was asked for.

    `from_day` is the first day asked for, None for all there is.
    """
    notes = []
    complete = books.trouble is None
    if books.known_since_s is None:
        complete = False
        notes.append("nothing is known yet")
    elif from_day is not None and books.from_s > from_day * DAY_S:
        complete = False
        notes.append(f"the records begin on {date_of(day_of(books.known_since_s))}")
    if books.trouble is not None:
        notes.append(f"the books are behind: {books.trouble}")
    if books.costs_source in ("none", "estimated", "inferred"):
        notes.append(_SOURCES[books.costs_source])
        complete = complete and books.costs_source != "none"
    if books.provisional:
        notes.append(f"on-chain costs of {len(books.provisional)} channels are not final yet")
    return {
        "from": int(books.from_s),
        "until": int(books.until_s),
        "days": round(covered_days(books), 6),
        "complete": complete,
        "note": "; ".join(notes) or None,
    }


_SOURCES = {
    "none": "on-chain costs are not known",
    "estimated": "on-chain costs are estimates, for want of bookkeeper",
    "inferred": "on-chain costs are inferred from inputs and outputs, for want of bookkeeper",
}
