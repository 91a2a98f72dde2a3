"""The capacity report: winners, losers, what closing costs, and when to act."""

from __future__ import annotations

from typing import Any

import pytest

from cl_revenue_ops.domain.reports import capacity
from cl_revenue_ops.domain.reports.ground import Ground, Missing, StockPrice
from messages.books import Books
from messages.policies import PeerPolicy
from messages.reports import ChainView
from tests.unit.report_support import (
    DAY_S,
    HEIGHT,
    NOW_S,
    books,
    channel_id,
    entry,
    flow,
    ground,
    peer_id,
    row,
    spans,
)

CALM = ChainView(NOW_S, HEIGHT, 5.0, 700, 1_200)
GOOD = {"settled_out": 50, "out_msat": 900_000_000, "out_fees_msat": 450_000}
LOST = {"settled_in": 1, "in_msat": 1_000, "opening_msat": 5_000_000}


def scene(**parts: Any) -> Ground:
    """Channel 1 is scarce and sells, 2 lost its opening and stands still."""
    prices = {channel_id(1): StockPrice(800.0, 300.0), channel_id(2): StockPrice(-50.0, 300.0)}
    return ground(
        entry(1), entry(2),
        **{"prices": prices, "flows": {channel_id(n): flow(n) for n in (1, 2)}, **parts},
    )  # fmt: skip


def report(
    on: Ground | None = None, chain: ChainView | Missing = CALM, life: Books | None = None
) -> dict[str, Any]:
    months = books(row(1, **GOOD), row(2, **LOST))
    whole = books(row(1, **GOOD), row(2, **LOST), days=300.0) if life is None else life
    answer: dict[str, Any] = capacity.capacity_report(
        scene() if on is None else on, spans(whole, months, months), (), chain
    )
    return answer


@pytest.mark.parametrize(
    ("chain", "begins"),
    [
        (CALM, "PROCEED"),
        (CALM._replace(opening_sat_per_vb=100.0), "PROCEED"),
        (CALM._replace(opening_sat_per_vb=100.5), "HOLD"),
        (CALM._replace(opening_sat_per_vb=None), "UNKNOWN"),
        (Missing("no answer in time"), "UNKNOWN"),
    ],
)
def test_what_the_mempool_says(chain: ChainView | Missing, begins: str) -> None:
    answer = report(chain=chain)
    assert answer["mempool_recommendation"].startswith(begins)
    assert ("not now" in answer["recommendations"][0]) == (begins != "PROCEED")


def test_a_winner_has_its_value_and_a_loser_what_closing_costs() -> None:
    answer = report()
    (winner,), (loser,) = answer["winners"], answer["losers"]
    assert (winner["scid"], winner["value_ppm"], winner["value_source"]) == (
        entry(1).fact.scid, 800.0, "pi",
    )  # fmt: skip
    assert winner["evidence_days"] == 100.0
    assert winner["turnover"] == pytest.approx(0.9 / 30)
    assert (loser["scid"], loser["reason"], loser["action"]) == (
        entry(2).fact.scid, "fire_sale", "CLOSE",
    )  # fmt: skip
    assert loser["classification"] == "underwater"
    assert loser["estimated_closure_cost_sats"] == 700
    (line,) = answer["recommendations"]
    assert str(loser["scid"]) in line and str(winner["scid"]) in line and "700 sats" in line


def test_a_peer_that_is_away_closes_by_force_and_without_estimates_nobody_guesses() -> None:
    away = scene()._replace(
        entries={channel_id(1): entry(1), channel_id(2): entry(2, connected=False)}
    )
    assert report(away)["losers"][0]["estimated_closure_cost_sats"] == 1_200
    unknown = report(chain=CALM._replace(mutual_close_sats=None))
    assert unknown["losers"][0]["estimated_closure_cost_sats"] is None
    assert "unknown cost" in unknown["recommendations"][0]


def test_nothing_is_advised_on_young_evidence() -> None:
    young = {channel_id(n): flow(n, observed_s=13 * DAY_S) for n in (1, 2)}
    answer = report(scene(flows=young))
    assert (answer["winners"], answer["losers"], answer["channels_too_young"]) == ([], [], 2)
    # Enough to splice, too little to close.
    half = {channel_id(n): flow(n, observed_s=20 * DAY_S) for n in (1, 2)}
    answer = report(scene(flows=half))
    assert (len(answer["winners"]), answer["losers"], answer["recommendations"]) == (1, [], [])


def test_stock_that_is_worth_less_than_the_level_is_no_reason_to_add_more() -> None:
    prices = {channel_id(1): StockPrice(299.0, 300.0), channel_id(2): StockPrice(400.0, 300.0)}
    answer = report(scene(prices=prices))
    assert answer["winners"] == []
    # What the plan of the whole node wants more of is not closed.
    assert answer["losers"] == []


def test_without_a_price_of_stock_a_proxy_stands_in_and_says_so() -> None:
    draining = {channel_id(1): flow(1, klass="source"), channel_id(2): flow(2)}
    on = scene(prices={}, flows=draining)
    low = on._replace(entries={**on.entries, channel_id(1): entry(1, local_msat=200_000_000)})
    (winner,) = report(low)["winners"]
    assert (winner["value_ppm"], winner["level_ppm"]) == (500.0, None)
    assert winner["value_source"] == capacity.PROXY
    assert report(on)["winners"] == []


def test_members_of_a_fleet_are_kept() -> None:
    answer = report(scene(policies=(PeerPolicy(peer_id(2), "hive"),)))
    assert answer["losers"][0]["action"].startswith("KEEP")
    assert answer["recommendations"] == []


def test_a_channel_that_stands_still_without_loss_is_stagnant() -> None:
    life = books(row(1, **GOOD), row(2, settled_in=1, in_msat=1_000), days=300.0)
    months = books(row(1, **GOOD), row(2, settled_in=1, in_msat=1_000))
    answer: Any = capacity.capacity_report(scene(), spans(life, months, months), (), CALM)
    assert [each["reason"] for each in answer["losers"]] == ["stagnant"]
