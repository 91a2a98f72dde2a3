"""The class, the flow profile and the role of a channel, by what it earned and what it cost."""

from __future__ import annotations

from typing import NamedTuple

from cl_revenue_ops.domain.reports import money
from cl_revenue_ops.domain.reports.dashboard import contribution_msat
from messages.books import ChannelBooks

PROFITABLE, BREAK_EVEN, UNDERWATER = "profitable", "break_even", "underwater"
STAGNANT, ZOMBIE = "stagnant_candidate", "zombie"
CLASSES = (PROFITABLE, BREAK_EVEN, UNDERWATER, STAGNANT, ZOMBIE)
PROFILES = (
    "inbound_dominant", "outbound_dominant", "balanced",
    "inbound_only", "outbound_only", "inactive",
)  # fmt: skip

EDGE_PERCENT = 10.0
STAGNANT_DAYS, ZOMBIE_DAYS = 7, 30
LEAST_FORWARDS = 10
_ROLE_SHARE = 0.7


class Record(NamedTuple):
    """The books of a channel over its life and over its newest days; `age_days` since opening."""

    life: ChannelBooks
    week: ChannelBooks
    month: ChannelBooks
    age_days: float


def contribution_net_msat(row: ChannelBooks) -> int:
    """What a channel contributed on both sides, less all that it cost."""
    return contribution_msat(row) - row.costs_msat


def contribution_percent(row: ChannelBooks) -> float:
    """Contribution less costs over costs, in percent."""
    return money.return_percent(contribution_net_msat(row), row.costs_msat, contribution_msat(row))


def marginal_percent(row: ChannelBooks) -> float:
    """The same over rebalances alone: whether to go on as now. A millisatoshi at least is spent."""
    spent_msat = row.rebalances_msat
    if spent_msat == 0:
        return 100.0 if contribution_msat(row) > 0 else 0.0
    return round(100.0 * (contribution_msat(row) - spent_msat) / max(1_000, spent_msat), 2)


def idle(row: ChannelBooks) -> bool:
    """Whether nothing settled over it."""
    return row.settled_in == 0 and row.settled_out == 0


def class_of(record: Record) -> str:
    """The class, in this order of precedence; R is the return of `contribution_percent`.

    zombie: R < -10 %, and either nothing settled for 30 days over a channel that is older, or
    money was spent on filling it within these days, more than 7 days ago, and nothing left by it.
    The earlier rule asked for failed diagnostic rebalances, of which none was ever made, so no
    channel could be one.
    stagnant_candidate: R < -10 % and nothing settled for 7 days over a channel that is older.
    profitable: R > 10 %. underwater: R < -10 %. break_even: all others.
    """
    gain, week, month = contribution_percent(record.life), record.week, record.month
    age = record.age_days
    if gain < -EDGE_PERCENT:
        filled = month.rebalances_msat > week.rebalances_msat and month.settled_out == 0
        if age > ZOMBIE_DAYS and (idle(month) or filled):
            return ZOMBIE
        if age > STAGNANT_DAYS and idle(week):
            return STAGNANT
        return UNDERWATER
    return PROFITABLE if gain > EDGE_PERCENT else BREAK_EVEN


def fee_multiplier(record: Record) -> float:
    """What the earlier rule made of the marginal return; told, not applied."""
    if class_of(record) == ZOMBIE:
        return 1.0
    marginal = marginal_percent(record.life)
    steps = ((20.0, 0.95), (0.0, 1.0), (-20.0, 1.05), (-50.0, 1.10))
    if marginal > steps[0][0]:
        return steps[0][1]
    return next((factor for edge, factor in steps[1:] if marginal >= edge), 1.15)


def flow_profile(row: ChannelBooks) -> str:
    """Which way forwards go, by their counts."""
    into, out = row.settled_in, row.settled_out
    if into == 0 and out == 0:
        return "inactive"
    if out == 0:
        return "inbound_only"
    if into == 0:
        return "outbound_only"
    if into > 3 * out:
        return "inbound_dominant"
    return "outbound_dominant" if into * 3 < out else "balanced"


def inbound_outbound_ratio(row: ChannelBooks) -> float | str:
    """Forwards that entered over those that left; "infinite" where none left."""
    if row.settled_out == 0:
        return "infinite" if row.settled_in else 0.0
    return round(row.settled_in / row.settled_out, 4)


def role(row: ChannelBooks) -> str:
    """What a channel is for: a gateway in or out, balanced, or dormant for want of forwards."""
    count = row.settled_in + row.settled_out
    if count < LEAST_FORWARDS:
        return "dormant"
    if row.settled_in > _ROLE_SHARE * count:
        return "inbound_gateway"
    return "outbound_gateway" if row.settled_out > _ROLE_SHARE * count else "balanced"
