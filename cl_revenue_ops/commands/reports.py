"""Reports: revenue-report with one table of kinds, and the commands that are reports themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cl_revenue_ops.commands import values
from cl_revenue_ops.commands.binding import BadInput, Param
from cl_revenue_ops.commands.desk import FrontDesk, HandOn
from messages.channels import ChannelEntry
from messages.fees import ShadowReport
from messages.rebalance import RebalanceReport
from messages.reports import MakeReport

REPORTER = "reporter"
LONGEST_DAYS = 31
LONGEST_WINDOW_DAYS = 3_650
PATIENCE_S = 180.0
JSON, TEXT = "json", "text"

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


def _rebalances(desk: FrontDesk, args: Mapping[str, Any]) -> HandOn:
    days, text = args["window_days"], args["format"] == TEXT
    return HandOn("rebalancer", lambda i, to, by: RebalanceReport(i, to, by, days, text))


def any_channel(desk: FrontDesk, name: str) -> ChannelEntry:
    """The channel that the operator means, open or closed; BadInput for none, or several.

    A node id means the peer's only open channel, or its only channel where none is open.
    """
    entry = desk.channel(name)
    if entry is None and len(name) == 66:
        known = [other for other in desk.channels().values() if other.peer_id == name]
        of_peer = desk.channels_of(name) or known
        if len(of_peer) > 1:
            scids = ", ".join(str(e.fact.scid or e.channel_id) for e in of_peer)
            raise BadInput(f"that peer has {len(of_peer)} channels; name one of {scids}")
        entry = of_peer[0] if of_peer else None
    if entry is None:
        raise BadInput(f"this node has and had no channel {name}")
    return entry


def _asking(what: str) -> Run:
    """A report of the Reporter, with the window, the name and the format of the arguments."""

    def run(desk: FrontDesk, args: Mapping[str, Any]) -> HandOn:
        days, text = args.get("window_days", 30), args.get("format") == TEXT
        name = args.get("peer_id")
        if args.get("channel_id") is not None:
            name = any_channel(desk, args["channel_id"]).channel_id
        return HandOn(REPORTER, lambda i, to, by: MakeReport(i, to, by, what, days, name, text))

    return run


FORMAT = Param("format", values.word("format", (JSON, TEXT)), default=JSON)
WINDOW = Param("window_days", values.whole("window_days", 1, LONGEST_WINDOW_DAYS), default=30)
CHANNEL = Param("channel_id", values.channel_name("channel_id"))

dashboard = _asking("dashboard")
history = _asking("history")
profitability = _asking("profitability")
capacity = _asking("capacity")
cleanup = _asking("cleanup")

REPORTS: Mapping[str, Report] = {
    "summary": Report(_asking("summary"), (FORMAT,)),
    "peer": Report(
        _asking("peer"), (Param("peer_id", values.node_id("peer_id"), required=True), FORMAT)
    ),
    "channel": Report(
        _asking("channel"),
        (Param("channel_id", values.channel_name("channel_id"), required=True), FORMAT),
    ),
    "costs": Report(_asking("costs"), (FORMAT,)),
    "policies": Report(_asking("policies"), (FORMAT,)),
    "hive": Report(_asking("hive"), (FORMAT,)),
    "reconcile": Report(_asking("reconcile"), (FORMAT,)),
    "rebalances": Report(
        _rebalances,
        (Param("window_days", values.whole("window_days", 1, LONGEST_WINDOW_DAYS)), FORMAT),
    ),
    "shadow": Report(
        _shadow,
        (Param("window_days", values.whole("window_days", 1, LONGEST_DAYS), default=7),),
    ),
}

PARAMS = (Param("report_type", values.word("report_type", tuple(REPORTS)), default="summary"),)
MORE = {name: report.params for name, report in REPORTS.items()}


def run(desk: FrontDesk, args: Mapping[str, Any]) -> dict[str, object] | HandOn:
    """Carry out the report that was asked for."""
    return REPORTS[args["report_type"]].run(desk, args)
