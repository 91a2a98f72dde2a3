"""Owns what a demo tells of rebalances: the plugin's score, budget and books, in words."""

from __future__ import annotations

from typing import Any

Line = tuple[str, str]


def rebalance_lines(report: Any, status: Any) -> list[Line]:
    """Return (name, value) lines from `revenue-report rebalances` and `revenue-status`.

    None for a plugin that tells neither; all amounts sats.
    """
    totals = report.get("totals") if isinstance(report, dict) else None
    budget = status.get("budget") if isinstance(status, dict) else None
    found = []
    if isinstance(totals, dict):
        found.append(("jobs", _jobs(totals)))
        found.append(("what they brought", _brought(totals)))
    if isinstance(budget, dict):
        found.append(("budget of the last day", _budget(budget)))
    return found


def _jobs(totals: dict[str, Any]) -> str:
    text = f"{totals['count']:,} begun, {totals['moved_count']:,} moved something; "
    if not totals["judged_count"]:
        return text + "none is old enough to be judged"
    share = totals["paid_count"] / totals["judged_count"]
    judged = f"of {totals['judged_count']:,} that can be judged {totals['paid_count']:,} have paid"
    return f"{text}{judged} ({share:.0%})"


def _brought(totals: dict[str, Any]) -> str:
    lost = totals["source_loss_sats"]
    source = f"lost at sources {lost:,}" if lost >= 0 else f"gained at sources {-lost:,}"
    return (
        f"fees {totals['earned_sats']:,} sat, {source}, cost {totals['cost_sats']:,}; "
        f"realised {totals['realised_sats']:,}"
    )


def _budget(budget: dict[str, Any]) -> str:
    return (
        f"{budget['effective_budget_sats']:,} sat (of {budget['daily_budget_sats']:,} at most); "
        f"spent {budget['daily_spent_sats']:,}, reserved {budget['daily_reserved_sats']:,}, "
        f"left {budget['budget_remaining_sats']:,}"
    )


def books_line(report: Any) -> tuple[bool, str] | None:
    """Whether the plugin's books agree with every other source, and a line that says it; None for
    a plugin that has no such report."""
    if not isinstance(report, dict) or "balanced" not in report:
        return None
    words = " ".join(map(str, report.get("in_words", ())))
    well = report["balanced"] is True
    return well, f"books: {words}" if well else f"books: DO NOT AGREE - {words}"


def cost_line(report: Any, cost_msat: int) -> tuple[bool, str] | None:
    """Hold the plugin's cost of all its rebalances against the node's own list of payments.

    The plugin tells whole satoshi; None where it moved nothing or does not say.
    """
    totals = report.get("totals") if isinstance(report, dict) else None
    if not isinstance(totals, dict) or not cost_msat:
        return None
    told_sat = totals["cost_sats"]
    if abs(told_sat * 1_000 - cost_msat) < 1_000:
        return True, f"rebalances: plugin and node agree - {cost_msat:,} msat were paid for them"
    return False, f"rebalances: DISAGREE - plugin {told_sat:,} sat, node {cost_msat:,} msat"
