"""What the books know of rebalance costs over the window of suggestions, and why not more."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import NamedTuple

from messages.books import Books

NO_BLEEDER = (
    "without them no bleeder can be found: a peer whose channels earned less than rebalancing into"
    " them cost"
)
NOT_TOLD = (
    "this node has neither bookkeeper nor, before Core Lightning v25.09, a list of what each"
    " payment moved"
)
NO_RECORD = "nothing is on record yet"
ESTIMATED = "estimated"
DAY_S = 86_400.0


class Costs(NamedTuple):
    """What rebalances cost in msat, by the channel that they filled, over whole days in UTC.

    Known from `since_s` on (Unix seconds; None where nothing is known), as the node was read at
    `read_at_s`. `lacks` says why not all of the window is known, and is None where it is.
    """

    by_channel: Mapping[str, int]
    since_s: float | None = None
    read_at_s: float | None = None
    lacks: str | None = None

    @property
    def total_msat(self) -> int:
        """All channels together, closed ones included."""
        return sum(self.by_channel.values())


def of_books(books: Books, from_day: int) -> Costs:
    """The costs in these books, which were asked for from that day (days since 1970 in UTC) on.

    Before the first whole reading of what the node moved nothing is known, however much may be
    booked already: costs that are half read look like small ones.
    """
    if books.read_at_s is None:
        return Costs({}, lacks=books.trouble)
    if books.costs_source == ESTIMATED:
        return Costs({}, lacks=NOT_TOLD)
    if books.known_since_s is None:
        return Costs({}, lacks=NO_RECORD)
    lacks = []
    if books.from_s > from_day * DAY_S:
        lacks.append(f"the records begin on {_date(books.from_s)}")
    if books.trouble is not None:
        lacks.append(f"the books are behind: {books.trouble}")
    spent = {row.channel_id: row.rebalances_msat for row in books.channels if row.rebalances_msat}
    return Costs(spent, books.from_s, books.read_at_s, "; ".join(lacks) or None)


def in_words(costs: Costs, until_s: float) -> str:
    """What is known, for an operator."""
    if costs.since_s is None or costs.read_at_s is None:
        return f"rebalance costs are not known ({costs.lacks}); {NO_BLEEDER}"
    least = "" if costs.lacks is None else "at least "
    text = (
        f"rebalances cost {least}{costs.total_msat // 1000} sats from {_date(costs.since_s)} to"
        f" {_date(until_s)} (days in UTC, today so far), by the books as of"
        f" {_moment(costs.read_at_s)} UTC; each is charged to the channel that it filled"
    )
    return text if costs.lacks is None else f"{text}; not all is known ({costs.lacks})"


def figures(costs: Costs, until_s: float) -> dict[str, object]:
    """What an answer shows of it; None where nothing is known."""
    known = costs.since_s is not None
    return {
        "rebalance_costs": in_words(costs, until_s),
        "rebalance_costs_since": None if costs.since_s is None else int(costs.since_s),
        "rebalance_costs_read_at": None if costs.read_at_s is None else int(costs.read_at_s),
        "rebalance_cost_in_window_sats": costs.total_msat // 1000 if known else None,
    }


def _date(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, tz=timezone.utc).strftime("%Y-%m-%d")


def _moment(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, tz=timezone.utc).strftime("%Y-%m-%d %H:%M")
