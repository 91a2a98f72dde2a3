"""The report on rebalances: what each promised, what it brought, and how many have paid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cl_revenue_ops.domain.rebalance.health import Health, judged, worth_msat
from cl_revenue_ops.domain.rebalance.score import Scored
from cl_revenue_ops.domain.reports.money import date_of, day_of, percent, sats
from cl_revenue_ops.domain.reports.tables import Column, number, pairs, plain, table, wrapped


class ReportedJob(NamedTuple):
    """A job of the window; `scored` is None where it moved nothing, or nothing yet.

    `source` and `into` are how the channels are shown, `outcome` how it ended (None: it runs).
    """

    job_id: str
    begun_s: float
    source: str
    into: str
    outcome: str | None
    moved_msat: int
    cost_msat: int
    scored: Scored | None


def rebalances(
    jobs: Sequence[ReportedJob], window_days: int | None, now_s: float, health: Health
) -> dict[str, Any]:
    """The report, the newest job first; amounts sats, rounded each by itself.

    What a sat was worth at both ends at the start is in ppm.
    `realised` is fees of what was sold, less what the source lost, less the cost. A job has paid
    where that, with the unsold rest as it is believed in, is above zero; that is said of jobs old
    enough to be judged. One that moved nothing has neither paid nor not.
    """
    found = sorted(jobs, key=lambda job: (-job.begun_s, job.job_id))
    rows = [_row(job, now_s) for job in found]
    scored = [job.scored for job in found if job.scored is not None]
    judged_rows = [row for row in rows if row["paid"] is not None]
    paid = sum(row["paid"] is True for row in judged_rows)
    moved = [job for job in found if job.moved_msat]
    totals = {
        "count": len(found),
        "moved_count": len(moved),
        "moved_sats": sats(sum(job.moved_msat for job in found)),
        "cost_sats": sats(sum(job.cost_msat for job in found)),
        "expected_sats": sats(sum(s.refill.opening.expected_msat for s in scored)),
        "earned_sats": sats(sum(s.refill.earned_msat for s in scored)),
        "source_loss_sats": sats(sum(s.refill.loss_msat for s in scored)),
        "realised_sats": sats(sum(s.refill.realised_msat for s in scored)),
        "unsold_sats": sats(sum(s.refill.left_msat for s in scored)),
        "unsold_worth_sats": sats(sum(s.unsold_msat for s in scored)),
        "judged_count": len(judged_rows),
        "paid_count": paid,
        "paid_pct": percent(paid, len(judged_rows)),
    }
    return {
        "type": "rebalances",
        "window_days": window_days,
        "generated_at": int(now_s),
        "suspended": health.suspended(now_s),
        "totals": totals,
        "rebalances": rows,
    }


def _row(job: ReportedJob, now_s: float) -> dict[str, Any]:
    row: dict[str, Any] = {
        "job_id": job.job_id,
        "begun_at": int(job.begun_s),
        "from": job.source,
        "to": job.into,
        "outcome": job.outcome,
        "moved_sats": sats(job.moved_msat),
        "cost_sats": sats(job.cost_msat),
    }
    scored = job.scored
    opening = None if scored is None else scored.refill.opening
    row["source_ppm"] = None if opening is None else round(opening.source_ppm, 1)
    row["destination_ppm"] = None if opening is None else round(opening.destination_ppm, 1)
    names = ("expected", "sold", "earned", "source_loss", "realised", "unsold", "unsold_worth")
    values: Sequence[int | None] = [None] * len(names)
    if scored is not None:
        refill = scored.refill
        values = (
            refill.opening.expected_msat, refill.sold_msat, refill.earned_msat, refill.loss_msat,
            refill.realised_msat, refill.left_msat, scored.unsold_msat,
        )  # fmt: skip
    for name, value in zip(names, values, strict=True):
        row[f"{name}_sats"] = None if value is None else sats(value)
    known = scored is not None and judged(scored, now_s)
    row["paid"] = worth_msat(scored, now_s) > 0 if scored is not None and known else None
    return row


def as_text(report: Mapping[str, Any]) -> list[str]:
    """The same in lines of at most 100 columns."""
    days = report["window_days"]
    totals = report["totals"]
    span = "of all times" if days is None else f"of the last {days} days"
    lines = [f"Rebalances {span}"]
    if report["suspended"]:
        lines += wrapped(f"Note: {report['suspended']}.")
    share = totals["paid_pct"]
    lines += ["", *pairs(
        [
            ("Begun", f"{number(totals['count'])}, {number(totals['moved_count'])} moved anything"),
            ("Moved", f"{number(totals['moved_sats'])} sats"),
            ("Cost", f"{number(totals['cost_sats'])} sats"),
            ("Expected", f"{number(totals['expected_sats'])} sats"),
            ("Realised", f"{number(totals['realised_sats'])} sats"),
            ("  fees of what was sold", f"{number(totals['earned_sats'])} sats"),
            ("  lost at the source", f"{number(totals['source_loss_sats'])} sats"),
            ("Unsold", f"{number(totals['unsold_sats'])} sats, worth"
                       f" {number(totals['unsold_worth_sats'])} sats"),
            ("Have paid", "none can be judged yet" if share is None else
             f"{totals['paid_count']} of {totals['judged_count']} ({number(share, 2)} %)"),
        ]
    )]  # fmt: skip
    columns = [
        *(Column(name, right=False) for name in ("job", "begun")),
        *(Column(name, right=False, elastic=True) for name in ("from", "to")),
        *map(Column, ("moved", "cost", "expected", "realised", "unsold")),
        Column("paid", right=False),
    ]
    words = {True: "yes", False: "no", None: "-"}
    rows = [
        (
            str(row["job_id"]), date_of(day_of(row["begun_at"])), plain(row["from"]),
            plain(row["to"]), number(row["moved_sats"]), number(row["cost_sats"]),
            number(row["expected_sats"]), number(row["realised_sats"]),
            number(row["unsold_worth_sats"]), words[row["paid"]],
        )
        for row in report["rebalances"]
        if row["moved_sats"] or row["outcome"] is None
    ]  # fmt: skip
    return lines + _in_vain(report) + (["", *table(columns, rows)] if rows else [])


def _in_vain(report: Mapping[str, Any]) -> list[str]:
    """Jobs that ended and moved nothing, counted by how they ended; they are in no other row."""
    ends = Counter(
        str(row["outcome"])
        for row in report["rebalances"]
        if not row["moved_sats"] and row["outcome"] is not None
    )
    told = [line for end, count in ends.most_common() for line in wrapped(f"{count} x {end}")]
    return ["", "Moved nothing", *told] if told else []
