"""Rebalance costs as the books have them: what is known, of when, and why not more."""

from __future__ import annotations

from typing import Any

import pytest

from cl_revenue_ops.domain.policy import costs
from messages.books import Books, ChannelBooks

A, B, SCID = "aa" * 32, "bb" * 32, "700000x1x0"
DAY_S = 86_400.0
TODAY = 20_000
FROM_DAY = TODAY - 7
NOW_S = TODAY * DAY_S + 3_600.0
READ_S = NOW_S - 300.0

SPENT = (
    ChannelBooks(A, rebalance_msat=1_000, other_rebalance_msat=2_500_999),
    ChannelBooks(B, out_fees_msat=7, payment_fees_msat=9_000_000, opening_msat=5_000_000),
    ChannelBooks(SCID, other_rebalance_msat=500_001),
)


def books(**parts: Any) -> Books:
    """Books that are whole over the window."""
    return Books(
        **{
            "channels": SPENT,
            "unattributed_msat": 0,
            "wallet_fees_msat": 0,
            "from_s": FROM_DAY * DAY_S,
            "until_s": NOW_S,
            "known_since_s": (FROM_DAY - 90) * DAY_S,
            "costs_source": "bookkeeper",
            "provisional": (),
            "trouble": None,
            "read_at_s": READ_S,
            **parts,
        }
    )


def figures(**parts: Any) -> tuple[str, dict[str, object]]:
    """What is said in words, and the other figures."""
    shown = costs.figures(costs.of_books(books(**parts), FROM_DAY), NOW_S)
    return str(shown.pop("rebalance_costs")), shown


def test_only_rebalances_count_and_whoever_made_them() -> None:
    spent = costs.of_books(books(), FROM_DAY)
    assert spent.by_channel == {A: 2_501_999, SCID: 500_001}
    assert spent.lacks is None


@pytest.mark.parametrize("source", ["bookkeeper", "inferred"])
def test_what_is_known_whole_is_said_with_its_days(source: str) -> None:
    text, shown = figures(costs_source=source)
    assert shown == {
        "rebalance_costs_since": FROM_DAY * 86_400,
        "rebalance_costs_read_at": int(READ_S),
        "rebalance_cost_in_window_sats": 3_002,
    }
    assert text == (
        "rebalances cost 3002 sats from 2024-09-27 to 2024-10-04 (days in UTC, today so far), by"
        " the books as of 2024-10-04 00:55 UTC; each is charged to the channel that it filled"
    )


def test_no_rebalances_cost_nothing_which_is_known() -> None:
    text, shown = figures(channels=())
    assert shown["rebalance_cost_in_window_sats"] == 0
    assert text.startswith("rebalances cost 0 sats from")


def test_a_window_that_is_known_in_part_has_the_least_that_they_cost() -> None:
    since_s = (TODAY - 2) * DAY_S
    text, shown = figures(from_s=since_s, known_since_s=since_s)
    assert shown["rebalance_costs_since"] == int(since_s)
    assert text.startswith("rebalances cost at least 3002 sats from 2024-10-02 to 2024-10-04 ")
    assert text.endswith("not all is known (the records begin on 2024-10-02)")
    text, shown = figures(trouble="the node is silent")
    assert shown["rebalance_cost_in_window_sats"] == 3_002
    assert "at least 3002" in text and "as of 2024-10-04 00:55 UTC" in text
    assert text.endswith("not all is known (the books are behind: the node is silent)")
    both = costs.of_books(books(from_s=since_s, trouble="silent"), FROM_DAY)
    assert both.lacks == "the records begin on 2024-10-02; the books are behind: silent"


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({"read_at_s": None, "trouble": "not read yet"}, "(not read yet)"),
        ({"costs_source": "estimated"}, "neither bookkeeper nor"),
        ({"known_since_s": None, "from_s": NOW_S, "channels": ()}, "nothing is on record yet"),
    ],
)
def test_what_is_not_known_is_no_number_and_says_why(parts: dict[str, Any], why: str) -> None:
    text, shown = figures(**parts)
    assert set(shown.values()) == {None}
    assert why in text and "no bleeder can be found" in text
    assert costs.of_books(books(**parts), FROM_DAY).by_channel == {}
