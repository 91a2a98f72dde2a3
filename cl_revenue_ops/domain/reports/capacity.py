"""The answer of revenue-capacity-report: where capital is worth more, and where it is idle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cl_revenue_ops.domain.reports import classes, money
from cl_revenue_ops.domain.reports import ground as grounds
from cl_revenue_ops.domain.reports.classes import UNDERWATER, ZOMBIE
from cl_revenue_ops.domain.reports.ground import Ground, Missing
from cl_revenue_ops.domain.reports.money import sats
from cl_revenue_ops.domain.reports.profitability import Channel, Spans, channels_of
from messages.books import CostEntry
from messages.flow import ChannelFlow
from messages.reports import ChainView

HOLD_SAT_PER_VB = 100.0
WINNER_DAYS, LOSER_DAYS, FIRE_SALE_DAYS = 14.0, 30.0, 90.0
WINNER_MARGINAL, IDLE_MARGINAL = 20.0, 10.0
FIRE_SALE_PERCENT = -50.0
IDLE_TURNOVER = 0.0015
LEAST_TURNOVER = 0.01
LOW_SHARE = 0.3
MOST_PAIRS = 10
PI, PROXY = "pi", "fees earned in 30 days (proxy)"


class Case(NamedTuple):
    """What speaks for a channel's capital. `value_ppm` is what a sat of stock is worth there.

    `turnover` is what passed a day over capacity, `evidence_days` for how long it was watched.
    """

    channel: Channel
    flow: ChannelFlow | None
    value_ppm: float | None
    value_source: str | None
    level_ppm: float | None
    turnover: float
    evidence_days: float

    @property
    def share(self) -> float:
        """Our part of the balance."""
        fact = self.channel.entry.fact
        return fact.local_msat / fact.capacity_msat if fact.capacity_msat else 0.0

    @property
    def scarce(self) -> bool:
        """Whether the node would pay its own price level for more stock here."""
        if self.value_source == PI and self.level_ppm is not None and self.value_ppm is not None:
            return self.value_ppm > max(0.0, self.level_ppm)
        draining = self.flow is not None and self.flow.klass == "source"
        return draining and self.share < LOW_SHARE and bool(self.value_ppm)


def capacity_report(
    ground: Ground, spans: Spans, costs: Iterable[CostEntry], chain: ChainView | Missing
) -> dict[str, object]:
    """The whole answer: advice only, nothing is done."""
    view = None if isinstance(chain, Missing) else chain
    month_days = money.covered_days(spans.month)
    cases = [_case(ground, found, month_days) for found in channels_of(ground, spans, costs)]
    winners = sorted((case for case in cases if wins(case)), key=_gain, reverse=True)
    losers = [(case, why) for case in cases if (why := loses(case)) is not None]
    losers.sort(key=lambda pair: -pair[0].channel.entry.fact.capacity_msat)
    advice = mempool(chain)
    return {
        "timestamp": int(ground.now_s),
        "mempool_recommendation": advice,
        "opening_feerate_sat_vb": None if view is None else view.opening_sat_per_vb,
        "winners": [_winner(ground, case) for case in winners],
        "losers": [_loser(ground, case, why, view) for case, why in losers],
        "recommendations": _pairs(ground, winners, [case for case, _ in losers], view, advice),
        "channels_considered": len(cases),
        "channels_too_young": sum(case.evidence_days < WINNER_DAYS for case in cases),
        "covers": money.covers(spans.month, money.day_of(ground.now_s) - 30),
    }


def mempool(chain: ChainView | Missing) -> str:
    """What the chain says of acting now; begins with HOLD, PROCEED or UNKNOWN."""
    if isinstance(chain, Missing):
        return f"UNKNOWN: the node could not be asked for its feerates: {chain.reason}"
    rate = chain.opening_sat_per_vb
    if rate is None:
        return "UNKNOWN: the node has no estimate of feerates"
    if rate > HOLD_SAT_PER_VB:
        return f"HOLD: an opening costs {rate:.1f} sat/vB, more than {HOLD_SAT_PER_VB:.0f}"
    return f"PROCEED: an opening costs {rate:.1f} sat/vB"


def _case(ground: Ground, found: Channel, month_days: float) -> Case:
    entry, month = found.entry, found.record.month
    price = ground.prices.get(entry.channel_id)
    flow = ground.flows.get(entry.channel_id)
    days = min(month_days, found.record.age_days)
    capacity_msat = entry.fact.capacity_msat
    passed_msat = month.in_msat + month.out_msat
    turnover = passed_msat / capacity_msat / days if capacity_msat and days > 0.0 else 0.0
    value: float | None = None
    source: str | None = None
    level: float | None = None
    if price is not None:
        value, source, level = round(price.own_ppm, 1), PI, round(price.level_ppm, 1)
    elif month.out_msat:
        value, source = round(1e6 * month.out_fees_msat / month.out_msat, 1), PROXY
    evidence_days = min(found.days, found.record.age_days)
    if flow is not None:
        evidence_days = min(evidence_days, flow.observed_s / money.DAY_S)
    return Case(found, flow, value, source, level, turnover, evidence_days)


def wins(case: Case) -> bool:
    """Whether more capital would earn: it is used, it pays, and its stock is scarce.

    The earlier rule asked that half of the capacity pass every day, which hardly a channel does.
    """
    return (
        case.evidence_days >= WINNER_DAYS
        and case.turnover >= LEAST_TURNOVER
        and classes.marginal_percent(case.channel.record.month) > WINNER_MARGINAL
        and case.scarce
    )


def loses(case: Case) -> str | None:
    """Why the capital would be better elsewhere; None where nothing says so, or not for long."""
    record, klass = case.channel.record, case.channel.klass
    days = min(case.evidence_days, record.age_days)
    if days < LOSER_DAYS or case.scarce:
        return None
    gain = classes.contribution_percent(record.life)
    if record.age_days > FIRE_SALE_DAYS and (
        klass == ZOMBIE or (klass == UNDERWATER and gain < FIRE_SALE_PERCENT)
    ):
        return "fire_sale"
    if klass == ZOMBIE:
        return "zombie"
    if case.turnover < IDLE_TURNOVER and classes.marginal_percent(record.month) < IDLE_MARGINAL:
        return "stagnant"
    return None


def _gain(case: Case) -> float:
    """What a further sat earns a day, in ppm: its value times how often it turns over."""
    return (case.value_ppm or 0.0) * case.turnover


def _shared(ground: Ground, case: Case) -> dict[str, object]:
    entry = case.channel.entry
    return {
        "scid": grounds.name_of(entry),
        "full_channel_id": entry.channel_id,
        "peer_id": entry.peer_id,
        "alias": ground.called(entry.peer_id),
        "capacity": sats(entry.fact.capacity_msat),
        "local_sats": sats(entry.fact.local_msat),
        "turnover": round(case.turnover, 5),
        "flow_ratio": 0.0 if case.flow is None else round(case.flow.flow_ratio, 4),
        "value_ppm": case.value_ppm,
        "value_source": case.value_source,
        "level_ppm": case.level_ppm,
        "evidence_days": round(case.evidence_days, 1),
        "days_open": round(case.channel.record.age_days, 1),
    }


def _winner(ground: Ground, case: Case) -> dict[str, object]:
    return {
        **_shared(ground, case),
        "roi": classes.marginal_percent(case.channel.record.month),
        "gain_ppm_per_day": round(_gain(case), 3),
        # The features of a peer are not read.
        "peer_supports_splice": None,
    }


def close_cost(case: Case, view: ChainView | None) -> int | None:
    """What closing costs by the node's own estimate; by force where the peer is away."""
    if view is None:
        return None
    away = not case.channel.entry.fact.connected
    return view.unilateral_close_sats if away else view.mutual_close_sats


def _loser(ground: Ground, case: Case, why: str, view: ChainView | None) -> dict[str, object]:
    record = case.channel.record
    kept = ground.policy_of(case.channel.entry.peer_id).strategy == "hive"
    return {
        **_shared(ground, case),
        "reason": why,
        "roi": classes.contribution_percent(record.life),
        "marginal_roi": classes.marginal_percent(record.month),
        "classification": case.channel.klass,
        "estimated_closure_cost_sats": close_cost(case, view),
        "action": "KEEP (fleet member)" if kept else "CLOSE",
    }


def _pairs(
    ground: Ground,
    winners: Sequence[Case],
    losers: Sequence[Case],
    view: ChainView | None,
    advice: str,
) -> list[str]:
    """Each loser with a winner to put its money into; none where there is no winner."""
    wait = "" if advice.startswith("PROCEED") else " (not now: see mempool_recommendation)"
    members = {p.peer_id for p in ground.policies if p.strategy == "hive"}
    free = [case for case in losers if case.channel.entry.peer_id not in members]
    lines = []
    for winner, loser in list(zip(winners, free, strict=False))[:MOST_PAIRS]:
        cost = close_cost(loser, view)
        price = "at an unknown cost" if cost is None else f"at about {cost:,} sats"
        lines.append(
            f"Close {grounds.name_of(loser.channel.entry)} {price}, which frees"
            f" {sats(loser.channel.entry.fact.local_msat):,} sats, and splice into"
            f" {grounds.name_of(winner.channel.entry)}, where a sat is worth"
            f" {winner.value_ppm or 0.0:,.0f} ppm{wait}"
        )
    return lines
