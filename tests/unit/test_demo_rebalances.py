"""What the demo tells of rebalances: lines, checks against the node, and the plot of the spend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cl_revenue_ops.simnode import plots, run_record
from cl_revenue_ops.simnode.clock import VirtualClock
from cl_revenue_ops.simnode.market import draw_market
from cl_revenue_ops.simnode.market_driver import MarketDriver
from cl_revenue_ops.simnode.prices import DAY_S
from cl_revenue_ops.simnode.rebalance_told import books_line, cost_line, rebalance_lines
from cl_revenue_ops.simnode.report import headline, write_page
from cl_revenue_ops.simnode.world import World

TOTALS = {
    "count": 41, "moved_count": 9, "moved_sats": 1_000, "cost_sats": 198, "earned_sats": 350,
    "source_loss_sats": 40, "realised_sats": 112, "judged_count": 8, "paid_count": 6,
}  # fmt: skip
BUDGET = {
    "daily_budget_sats": 5_000, "effective_budget_sats": 700, "daily_spent_sats": 120,
    "daily_reserved_sats": 30, "budget_remaining_sats": 550,
}  # fmt: skip


def lines(**changes: Any) -> dict[str, str]:
    """What is told of these totals."""
    return dict(rebalance_lines({"totals": {**TOTALS, **changes}}, {"budget": BUDGET}))


def test_jobs_what_they_brought_and_the_budget_are_told() -> None:
    found = lines()
    assert found == {
        "jobs": "41 begun, 9 moved something; of 8 that can be judged 6 have paid (75%)",
        "what they brought": "fees 350 sat, lost at sources 40, cost 198; realised 112",
        "budget of the last day": (
            "700 sat (of 5,000 at most); spent 120, reserved 30, left 550"
        ),
    }  # fmt: skip
    assert lines(judged_count=0)["jobs"].endswith("none is old enough to be judged")
    assert "gained at sources 40," in lines(source_loss_sats=-40)["what they brought"]


@pytest.mark.parametrize("answer", [None, {}, [], {"error": "no report"}])
def test_a_plugin_that_tells_nothing_gets_no_lines(answer: Any) -> None:
    assert rebalance_lines(answer, answer) == []
    assert books_line(answer) is None
    assert cost_line(answer, 5) is None


def test_books_and_cost_are_checks_that_can_fail() -> None:
    assert books_line({"balanced": True, "in_words": ["All agree."]}) == (True, "books: All agree.")
    wrong = books_line({"balanced": False, "in_words": ["1 msat is left."]})
    assert wrong == (False, "books: DO NOT AGREE - 1 msat is left.")
    told = {"totals": TOTALS}
    for cost_msat in (197_001, 198_000, 198_999):
        check = cost_line(told, cost_msat)
        assert check is not None and check[0] and f"{cost_msat:,} msat" in check[1]
    for cost_msat in (196_999, 199_000):
        check = cost_line(told, cost_msat)
        assert check is not None and not check[0] and "DISAGREE" in check[1]


def test_what_was_spent_stands_beside_the_revenue(tmp_path: Path) -> None:
    market = draw_market(21, channels=6, days=3)
    clock = VirtualClock(market.start_s)
    world = World(clock, seed=market.seed)
    driver = MarketDriver(market, world)
    samples = [run_record.take_sample(driver, market.start_s)]
    channels = [world.channels[name] for name in driver.channel_ids]
    out = max(channels, key=lambda channel: channel.spendable_msat)
    others = [channel for channel in channels if channel.peer_id != out.peer_id]
    into = max(others, key=lambda channel: channel.receivable_msat)
    for day, cost_msat in ((0.5, 1_500), (1.5, 2_600), (1.7, 900)):
        at_s = market.start_s + day * DAY_S
        world.circular_payment(
            out.channel_id, into.channel_id, 1_000_000, cost_msat, ok=True, at_s=at_s
        )
    world.circular_payment(out.channel_id, into.channel_id, 1_000_000, 77_000, ok=False)
    samples.append(run_record.take_sample(driver, market.end_s))
    record = run_record.measure(driver, samples, {})
    assert record.daily_costs_msat == (1_500, 3_500, 0)
    assert record.totals.moved_msat == 3_000_000
    told = dict(headline(record))
    assert told["rebalances"].startswith("3,000 sat in 3 payments for 5 sat (1667 ppm, ")
    figures = plots.draw_figures(record)
    assert [title for title, _ in figures][1] == "Spent on rebalances, beside the revenue"
    page = tmp_path / "page.html"
    write_page(page, record, figures, [], [("jobs", "3 begun")])
    text = page.read_text()
    assert text.count("<svg") == 4 and "<td>jobs</td><td>3 begun</td>" in text
