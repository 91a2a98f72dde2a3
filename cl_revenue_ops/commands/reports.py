"""revenue-report: one table of reports, each with the arguments that it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cl_revenue_ops.commands import values
from cl_revenue_ops.commands.binding import Param
from cl_revenue_ops.commands.desk import FrontDesk, HandOn
from messages.fees import ShadowReport

LONGEST_DAYS = 31
PATIENCE_S = 180.0

Run = Callable[[FrontDesk, Mapping[str, Any]], dict[str, object] | HandOn]


@dataclass(frozen=True)
class Report:
    """One report: `run` answers from notices, or hands the work to its owner."""

    run: Run
    params: tuple[Param, ...] = ()


def _shadow(desk: FrontDesk, args: Mapping[str, Any]) -> HandOn:
    days = args["window_days"]
    return HandOn(
        "fee-controller", lambda i, to, by: ShadowReport(i, to, by, days), patience_s=PATIENCE_S
    )


REPORTS: Mapping[str, Report] = {
    "shadow": Report(
        _shadow,
        (Param("window_days", values.whole("window_days", 1, LONGEST_DAYS), default=7),),
    ),
}

PARAMS = (Param("report_type", values.word("report_type", tuple(REPORTS)), required=True),)
MORE = {name: report.params for name, report in REPORTS.items()}


def run(desk: FrontDesk, args: Mapping[str, Any]) -> dict[str, object] | HandOn:
    """Carry out the report that was asked for."""
    return REPORTS[args["report_type"]].run(desk, args)
