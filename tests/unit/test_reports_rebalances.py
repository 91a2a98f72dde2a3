"""The report on rebalances: rows, totals, the share that paid, and the text."""

from __future__ import annotations

from typing import Any

from cl_revenue_ops.domain.rebalance.health import Health
from cl_revenue_ops.domain.rebalance.score import DAY_S, Opening, Refill, Scored
from cl_revenue_ops.domain.reports.rebalances import ReportedJob, rebalances
from tests.unit.test_reports_text import LONG, lines_of

NOW_S = 1_700_000_000.0


def job(
    number: int, earned_msat: int = 0, *, age_days: float = 5.0, moved_msat: int = 500_000_000,
    unsold_msat: int = 0,
) -> ReportedJob:  # fmt: skip
    """A job that cost 100 sats and took 50 sats' worth from its source."""
    begun_s = NOW_S - age_days * DAY_S
    opening = Opening(
        f"r{number}", "02" + "aa" * 32, begun_s, 0, moved_msat, 100_000, 100.0, 260.46, 80_400
    )
    refill = Refill(opening, sold_msat=moved_msat // 4, earned_msat=earned_msat)
    scored = Scored(refill, unsold_msat) if moved_msat else None
    cost_msat = 100_000 if moved_msat else 0
    return ReportedJob(
        f"r{number}", begun_s, LONG, "1x1x1", "all moved", moved_msat, cost_msat, scored
    )


def made(*jobs: ReportedJob, health: Health | None = None) -> dict[str, Any]:
    return rebalances(jobs, 30, NOW_S, health or Health())


def test_each_job_shows_what_it_promised_and_what_it_brought() -> None:
    (row,) = made(job(1, 250_000, unsold_msat=33_000))["rebalances"]
    assert row == {
        "job_id": "r1",
        "begun_at": int(NOW_S - 5 * DAY_S),
        "from": LONG,
        "to": "1x1x1",
        "outcome": "all moved",
        "moved_sats": 500_000,
        "cost_sats": 100,
        "source_ppm": 100.0,
        "destination_ppm": 260.5,
        "expected_sats": 80,
        "sold_sats": 125_000,
        "earned_sats": 250,
        "source_loss_sats": 50,
        "realised_sats": 100,
        "unsold_sats": 375_000,
        "unsold_worth_sats": 33,
        "paid": True,
    }


def test_the_share_that_paid_is_of_jobs_that_can_be_judged() -> None:
    report = made(
        job(1, 151_000), job(2, 150_000), job(3, 0), job(4, 900_000, age_days=1),
        job(5, moved_msat=0), job(6, 149_000, unsold_msat=50_000),
    )  # fmt: skip
    paid = {row["job_id"]: row["paid"] for row in report["rebalances"]}
    assert paid == {"r1": True, "r2": False, "r3": False, "r4": None, "r5": None, "r6": True}
    totals = report["totals"]
    assert (totals["judged_count"], totals["paid_count"], totals["paid_pct"]) == (4, 2, 50.0)
    assert (totals["count"], totals["moved_count"]) == (6, 5)
    assert made(job(4, age_days=1))["totals"]["paid_pct"] is None


def test_totals_are_sums_before_rounding_and_the_newest_comes_first() -> None:
    report = made(job(1, 400), job(2, 400, age_days=2), job(3, moved_msat=0, age_days=9))
    assert [row["job_id"] for row in report["rebalances"]] == ["r2", "r1", "r3"]
    totals = report["totals"]
    assert totals["earned_sats"] == 1
    assert totals["expected_sats"] == 161
    assert totals["realised_sats"] == -299
    assert (totals["cost_sats"], totals["moved_sats"]) == (200, 1_000_000)


def test_a_job_that_moved_nothing_promises_and_brings_nothing() -> None:
    (row,) = made(job(1, moved_msat=0))["rebalances"]
    assert row["moved_sats"] == row["cost_sats"] == 0
    assert row["expected_sats"] is row["realised_sats"] is row["paid"] is None


def test_as_text_it_fits_and_says_all_that_matters() -> None:
    suspended = Health(NOW_S + 7_200, 1, "the last 10 rebalances lost")
    lines = lines_of("rebalances", made(job(1, 250_000), job(2), health=suspended))
    text = "\n".join(lines)
    assert "of the last 30 days" in text
    assert "suspended itself for another 2 h: the last 10 rebalances lost." in text
    assert "1 of 2 (50.00 %)" in text
    (row,) = [line for line in lines if line.startswith("r1 ")]
    assert "2023-11-09" in row and LONG[:8] in row and row.endswith("yes")


def test_as_text_what_moved_nothing_is_counted_by_its_end_alone() -> None:
    none = [job(n, moved_msat=0) for n in (1, 2)]
    runs = job(3, moved_msat=0)._replace(outcome=None)
    lines = lines_of("rebalances", made(*none, runs, job(4)))
    assert lines[lines.index("Moved nothing") + 1] == f"2 x {none[0].outcome}"
    assert [line.split()[0] for line in lines if line[:1] == "r"] == ["r3", "r4"]
    assert "Moved nothing" not in lines_of("rebalances", made(job(4)))


def test_as_text_without_any_there_is_no_table() -> None:
    lines = lines_of("rebalances", rebalances((), None, NOW_S, Health()))
    assert lines[0] == "Rebalances of all times"
    assert lines[-1] == "Have paid                none can be judged yet"
