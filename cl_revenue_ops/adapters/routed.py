"""What forwards moved in each channel, summed from rows as the node lists them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cl_revenue_ops.adapters.validate import (
    COUNT_LIMIT,
    TIME_LIMIT_S,
    parse_channel_id,
    parse_msat,
    parse_stamp,
)
from messages.node_books import RoutedSum

_ROUTED = "routed"


class RoutedTally:
    """What forwards moved, by channel; `early_s` is up to when they are summed apart as well.

    `malformed` counts rows of forwards that make no sense.
    """

    def __init__(self, early_s: float) -> None:
        self._early_s = early_s
        self._sums: dict[str, list[int]] = {}
        self.malformed = 0

    def take(
        self, rows: Iterable[dict[str, Any]], tag_name: str, channel_id: str | None = None
    ) -> list[dict[str, Any]]:
        """Add the rows of forwards and give back the others.

        Their tag is at `tag_name`; they are of that channel, or else of the one they name. Written
        for speed: there are two rows a forward, and integers, as current nodes send them, are
        checked without a call.
        """
        others, all_sums, early_s = [], self._sums, self._early_s
        for row in rows:
            get = row.get
            if get(tag_name) != _ROUTED:
                others.append(row)
                continue
            credit, debit, at_s = get("credit_msat"), get("debit_msat"), get("timestamp")
            if type(credit) is not int or type(debit) is not int or type(at_s) is not int:
                credit, debit, at_s = _amounts_and_time(credit, debit, at_s)
            if (
                (credit and debit)
                or not 0 < credit + debit < COUNT_LIMIT
                or not 0 <= at_s < TIME_LIMIT_S
            ):
                self.malformed += 1
                continue
            name: Any = channel_id or get("account_id")
            try:
                sums = all_sums[name]
            except (KeyError, TypeError):
                if parse_channel_id(name) is None:
                    self.malformed += 1
                    continue
                sums = all_sums[name] = [0, 0, 0, 0, 0, 0]
            sums[0] += 1
            sums[1] += credit
            sums[2] += debit
            if at_s <= early_s:
                sums[3] += 1
                sums[4] += credit
                sums[5] += debit
        return others

    def sums(self) -> tuple[RoutedSum, ...] | None:
        """By channel_id; None where amounts add up to more than there can be."""
        found = sorted(self._sums.items())
        if any(max(sums) >= COUNT_LIMIT for _, sums in found):
            return None
        return tuple(RoutedSum(name, *sums) for name, sums in found)


def _amounts_and_time(credit: object, debit: object, at_s: object) -> tuple[int, int, int]:
    """The same as integers; nothing was moved by what makes no sense."""
    credit_msat, debit_msat, stamp_s = parse_msat(credit), parse_msat(debit), parse_stamp(at_s)
    if credit_msat is None or debit_msat is None or stamp_s is None:
        return 0, 0, 0
    return credit_msat, debit_msat, stamp_s
