"""Channels that have closed: how, when, at which cost, and the record that is archived of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from cl_revenue_ops.domain import jsontext
from cl_revenue_ops.domain.reports import ground as grounds
from cl_revenue_ops.domain.reports.ground import Ground
from cl_revenue_ops.domain.reports.money import DAY_S, sats
from messages.books import Books, ChannelBooks, CostEntry
from messages.channels import ChannelEntry
from messages.reports import ClosedChannel

MUTUAL, UNKNOWN = "mutual", "unknown"


class Seen(NamedTuple):
    """What was seen of a channel's closing: since when, whether both agreed, when archived."""

    seen_s: float | None = None
    mutual: bool | None = None
    archived_s: float | None = None


class Closed(NamedTuple):
    """A closed channel with its books; times are Unix seconds, None where nobody knows."""

    entry: ChannelEntry
    books: ChannelBooks
    opened_s: float
    closed_s: float | None
    close_type: str
    closer: str | None
    archived: bool

    @property
    def days_open(self) -> float | None:
        """From its opening to its closing."""
        if self.closed_s is None:
            return None
        return max(0.0, self.closed_s - self.opened_s) / DAY_S


def closed_channels(
    ground: Ground,
    books: Books,
    costs: Iterable[CostEntry],
    seen: Mapping[str, Seen],
    listed: Mapping[str, ClosedChannel],
) -> list[Closed]:
    """Every closed channel, by the time of first contact. `listed` is what the node has of it."""
    costs = list(costs)
    opened, closures = grounds.opening_times(costs), _closure_times(costs)
    rows = grounds.books_of(books)
    found = []
    for entry in ground.entries.values():
        if not entry.closed:
            continue
        channel_id = entry.channel_id
        mark, row = seen.get(channel_id, Seen()), listed.get(channel_id)
        closer = None if row is None else row.closer
        found.append(
            Closed(
                entry,
                rows.get(channel_id, ChannelBooks(channel_id)),
                grounds.opened_s(entry, ground, opened.get(channel_id)),
                mark.seen_s if mark.seen_s is not None else closures.get(channel_id),
                close_type(mark.mutual, closer, mark.seen_s is not None),
                closer,
                mark.archived_s is not None,
            )
        )
    return found


def _closure_times(costs: Iterable[CostEntry]) -> dict[str, float]:
    """When the first cost of each closing was booked."""
    found: dict[str, float] = {}
    for cost in costs:
        if cost.what == "closure":
            found[cost.channel_id] = min(cost.at_s, found.get(cost.channel_id, cost.at_s))
    return found


def close_type(mutual: bool | None, closer: str | None, watched: bool) -> str:
    """mutual, local_unilateral, remote_unilateral or unknown.

    lightningd names the side that closed and never says that both agreed: that is seen from the
    states that the channel went through. Without having `watched` them it is unknown.
    """
    if mutual:
        return MUTUAL
    if closer is None or not (watched or mutual is False):
        return UNKNOWN
    return f"{closer}_unilateral"


def noted(seen: Seen, state: str, now_s: float) -> Seen:
    """What is known after seeing a closing channel in this state; force after talk is force."""
    said = grounds.agreed(state)
    since_s = now_s if seen.seen_s is None else seen.seen_s
    return Seen(since_s, seen.mutual if said is None else said, seen.archived_s)


def is_final(row: Closed, books: Books) -> bool:
    """Whether nothing more is to come: the node has forgotten it, and its costs are settled."""
    return row.entry.closed and row.entry.channel_id not in books.provisional


def record(row: Closed, now_s: float) -> str:
    """The row of the archive, as JSON text; amounts in msat."""
    entry, books = row.entry, row.books
    return jsontext.dumps(
        {
            "channel_id": entry.channel_id,
            "scid": entry.fact.scid,
            "scids": list(entry.scids),
            "peer_id": entry.peer_id,
            "capacity_msat": entry.fact.capacity_msat,
            "opener": entry.fact.opener,
            "opened_s": row.opened_s,
            "closed_s": row.closed_s,
            "close_type": row.close_type,
            "closer": row.closer,
            "opening_msat": books.opening_msat,
            "closure_msat": books.closure_msat,
            "splice_msat": books.splice_msat,
            "rebalance_msat": books.rebalances_msat,
            "revenue_msat": books.revenue_msat,
            "volume_msat": books.out_msat,
            "forwards": books.settled_out,
            "net_msat": books.net_msat,
            "days_open": None if row.days_open is None else round(row.days_open, 3),
            "estimated": books.estimated,
            "archived_s": now_s,
        }
    )


def shown(row: Closed, ground: Ground) -> dict[str, object]:
    """A closed channel by the names that clients read; figures by today's books."""
    books = row.books
    return {
        "channel_id": grounds.name_of(row.entry),
        "full_channel_id": row.entry.channel_id,
        "peer_id": row.entry.peer_id,
        "capacity_sats": sats(row.entry.fact.capacity_msat),
        "opened_at": int(row.opened_s),
        "closed_at": None if row.closed_s is None else int(row.closed_s),
        "close_type": row.close_type,
        "closer": row.closer,
        "open_cost_sats": sats(books.opening_msat),
        "closure_cost_sats": sats(books.closure_msat),
        "splice_cost_sats": sats(books.splice_msat),
        "rebalance_cost_sats": sats(books.rebalances_msat),
        "revenue_sats": sats(books.revenue_msat),
        "forward_count": books.settled_out,
        "net_pnl_sats": sats(books.net_msat),
        "days_open": None if row.days_open is None else round(row.days_open, 1),
        "archived": row.archived,
        "estimated": books.estimated,
    }
