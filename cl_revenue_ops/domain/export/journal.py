"""A forward as the journal entry that it is."""

from __future__ import annotations

from collections.abc import Mapping

from cl_revenue_ops.domain.ledger.forwards import postings_of
from messages.books import Entry
from messages.forwards import SETTLED, LoggedForward


def of_forward(row: LoggedForward, channel_of: Mapping[str, str]) -> Entry | None:
    """The entry of a settled forward, by its number in the log; None for one that moved nothing."""
    if row.status != SETTLED:
        return None
    postings = postings_of(row, channel_of)
    return Entry(f"forward:{row.seq}", int(row.at_s), "forward", "listforwards", "", postings)
