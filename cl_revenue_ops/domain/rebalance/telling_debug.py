"""What revenue-rebalance-debug answers: every pair with its arithmetic, and what stands behind."""

from __future__ import annotations

from collections.abc import Sequence

from cl_revenue_ops.domain.channels import usable
from cl_revenue_ops.domain.rebalance.expected import OVERHEAD_MSAT
from cl_revenue_ops.domain.rebalance.facts import Pair, Survey
from cl_revenue_ops.domain.rebalance.plan import Plan
from cl_revenue_ops.domain.rebalance.telling import Ground, job_row, sats
from cl_revenue_ops.ports import JobRow
from messages.budget import BudgetState
from messages.channels import ChannelFact

PAIRS_SHOWN = 500
LOW, HIGH = 0.2, 0.8
"""Shares of local balance by which channels are listed as depleted or source; nothing else."""

Jobs = Sequence[tuple[JobRow, Plan, str | None]]


def debug(
    ground: Ground,
    survey: Survey,
    jobs: Jobs,
    breakers: Sequence[dict[str, object]],
    channel_id: str | None,
) -> dict[str, object]:
    """The whole answer; of one channel the pairs into it."""
    shown = sorted(survey.pairs, key=lambda pair: (pair.refusal is not None, -pair.expected_msat))
    chosen = {(pair.source_channel_id, pair.channel_id) for pair in survey.chosen}
    whole = channel_id is None
    return {
        "sling_available": ground.executor_trouble is None,
        "executor": _executor(ground),
        "dry_run": ground.dry_run,
        "rejection_reasons": list(ground.reasons),
        "capital_controls": _controls(ground),
        "thresholds": {
            "low_liquidity_threshold": LOW,
            "high_liquidity_threshold": HIGH,
            "rebalance_min_profit_sats": ground.min_profit_sats,
        },
        "channels": {
            "depleted": _listed(ground, survey, depleted=True) if whole else [],
            "source": _listed(ground, survey, depleted=False) if whole else [],
            "active_jobs": [job_row(row, plan, trouble) for row, plan, trouble in jobs],
        },
        "pairs": [_pair(ground, pair, chosen) for pair in shown[:PAIRS_SHOWN]],
        "pairs_left_out": max(0, len(shown) - PAIRS_SHOWN),
        "no_destination": {ground.scid(k): why for k, why in survey.no_destination.items()},
        "no_source": {ground.scid(k): why for k, why in survey.no_source.items()},
        "breakers": [_breaker(ground, row) for row in breakers],
        "stock_valued_at": None if ground.curves is None else int(ground.curves.at_s),
    }


def _executor(ground: Ground) -> dict[str, object]:
    view = ground.view
    return {
        "name": None if view is None else view.name,
        "version": None if view is None else view.version,
        "trouble": ground.executor_trouble,
        "jobs": [] if view is None else [job._asdict() for job in view.jobs],
    }


def _controls(ground: Ground) -> dict[str, object]:
    budget, money = ground.budget, ground.money
    liquid_msat = money.liquid_msat
    return {
        "onchain_sats": _known(money.onchain_msat),
        "channel_sats": _known(money.channels_msat),
        "total_liquid_sats": _known(liquid_msat),
        "wallet_reserve_sats": sats(budget.wallet_reserve_msat),
        "reserve_ok": liquid_msat is not None and liquid_msat >= budget.wallet_reserve_msat,
        "daily_budget_sats": sats(budget.configured_msat),
        "effective_budget_sats": sats(budget.effective_msat),
        "effective_budget_is": _because(budget),
        "revenue_sats_per_day": sats(budget.revenue_msat_per_day),
        "daily_spent_sats": -(-budget.spent_msat // 1_000),
        "daily_reserved_sats": -(-budget.reserved_msat // 1_000),
        "budget_remaining_sats": 0 if budget.trouble else sats(budget.free_msat),
        "budget_ok": budget.trouble is None and budget.free_msat > 0,
        "budget_trouble": budget.trouble,
        "reservations": [
            {
                "job_id": one.job_id,
                "spender": one.spender,
                "reserved_msat": one.reserved_msat,
                "committed_msat": one.committed_msat,
                "age_s": round(budget.at_s - one.opened_s),
            }
            for one in budget.reservations
        ],
    }


def _known(msat: int | None) -> int | None:
    return None if msat is None else sats(msat)


def _pair(ground: Ground, pair: Pair, chosen: set[tuple[str, str]]) -> dict[str, object]:
    made = (pair.source_channel_id, pair.channel_id) in chosen
    return {
        "from_channel": ground.scid(pair.source_channel_id),
        "to_channel": ground.scid(pair.channel_id),
        "verdict": "move" if made else "leave",
        "refusal": pair.refusal,
        "amount_sats": sats(pair.amount_msat),
        "payment_sats": sats(pair.payment_msat),
        "max_fee_ppm": pair.max_ppm,
        "max_fee_sats": -(-pair.reserve_msat // 1_000),
        "value_msat": pair.value_msat,
        "loss_msat": pair.loss_msat,
        "cost_msat": pair.cost_msat,
        "success": pair.success,
        "expected_msat": pair.expected_msat,
        "arithmetic": _arithmetic(pair),
        "details": dict(pair.record),
    }


def _arithmetic(pair: Pair) -> str:
    """EV in one line, as far as there is a price to work it out with."""
    if not pair.max_ppm:
        return "not worked out: no size and price can pay"
    loss = f"- {pair.loss_msat}" if pair.loss_msat >= 0 else f"+ {-pair.loss_msat}"
    return (
        f"{pair.success:.2f} x ({pair.value_msat} {loss} - {pair.cost_msat})"
        f" - {OVERHEAD_MSAT} = {pair.expected_msat} msat"
    )


def _because(budget: BudgetState) -> str:
    """Where the effective budget comes from, in words."""
    if budget.trouble is not None:
        return budget.trouble
    if budget.effective_msat == budget.configured_msat:
        return "daily-budget-sats"
    if budget.effective_msat == budget.configured_msat // 10:
        return "a tenth of daily-budget-sats: the share of revenue (proportional-budget) is less"
    return "the share of revenue that proportional-budget-pct allows"


def _listed(ground: Ground, survey: Survey, *, depleted: bool) -> list[dict[str, object]]:
    """Channels that have little, or much, with why they are not filled, or not drained."""
    why_not = survey.no_destination if depleted else survey.no_source
    return [
        {
            "scid": fact.scid,
            "peer": fact.peer_id,
            "local_pct": round(100.0 * fact.local_msat / fact.capacity_msat, 1),
            "fee_ppm": fact.fee_ppm or 0,
            "flow_state": _state(ground, fact),
            "skip_reason": why_not.get(fact.channel_id),
        }
        for fact in ground.facts.values()
        if usable(fact) and fact.capacity_msat and _is_at_end(fact, depleted)
    ]


def _is_at_end(fact: ChannelFact, depleted: bool) -> bool:
    share = fact.local_msat / fact.capacity_msat
    return share < LOW if depleted else share > HIGH


def _state(ground: Ground, fact: ChannelFact) -> str:
    flow = ground.flows.get(fact.channel_id)
    return "unknown" if flow is None else flow.klass


def _breaker(ground: Ground, row: dict[str, object]) -> dict[str, object]:
    named = dict(row)
    for key in ("source_channel_id", "channel_id"):
        if isinstance(row.get(key), str):
            named[key.replace("_id", "")] = ground.scid(str(row[key]))
    return named
