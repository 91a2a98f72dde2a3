"""What a rebalance looks like to those who asked for it: begun, refused, running, ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cl_revenue_ops.domain.rebalance.facts import Pair, Survey
from cl_revenue_ops.domain.rebalance.plan import BY_HAND, SPARE_PAYMENTS, Plan, unpack
from cl_revenue_ops.domain.rebalance.score import Scored
from cl_revenue_ops.domain.reports.rebalances import ReportedJob
from cl_revenue_ops.ports import ENDED, PLANNED, JobRow
from messages.budget import BudgetState
from messages.channels import ChannelFact
from messages.flow import ChannelFlow
from messages.rebalance import ExecutorView, MoneyView, StockCurves

CALLED_OFF = "not begun"
"""The outcome of a job that was never started begins so."""

TIME_UP = "its time"


class Ground(NamedTuple):
    """What everything told in one answer rests on; facts and flows by channel_id."""

    now_s: float
    facts: Mapping[str, ChannelFact]
    flows: Mapping[str, ChannelFlow]
    money: MoneyView
    budget: BudgetState
    view: ExecutorView | None
    executor_trouble: str | None
    reasons: tuple[str, ...]
    dry_run: bool
    min_profit_sats: int
    curves: StockCurves | None

    def scid(self, channel_id: str) -> str:
        """The channel's short channel id, else its channel_id."""
        fact = self.facts.get(channel_id)
        return channel_id if fact is None or fact.scid is None else fact.scid

    def named(self, pair: Pair) -> str:
        """A pair in words."""
        return f"from {self.scid(pair.source_channel_id)} to {self.scid(pair.channel_id)}"


def sats(msat: int) -> int:
    """Whole satoshis, rounded down."""
    return msat // 1_000


def _ppm(part_msat: int, amount_msat: int) -> int:
    return round(part_msat * 1e6 / amount_msat) if amount_msat else 0


# -- what was or would be begun ---------------------------------------------------------------


def would_move(ground: Ground, pair: Pair, reasons: Sequence[str]) -> dict[str, object]:
    """A move that would be made, were it not for these reasons."""
    return {
        "at": int(ground.now_s),
        "from_channel": ground.scid(pair.source_channel_id),
        "to_channel": ground.scid(pair.channel_id),
        "amount_sats": sats(pair.amount_msat),
        "max_fee_sats": -(-pair.reserve_msat // 1_000),
        "max_fee_ppm": pair.max_ppm,
        "expected_profit_sats": sats(pair.expected_msat),
        "because": list(reasons),
        "message": (
            f"would move {sats(pair.amount_msat)} sats {ground.named(pair)} for at most"
            f" {pair.max_ppm} ppm, expected to earn {sats(pair.expected_msat)} sats"
        ),
    }


def cycle(
    ground: Ground,
    survey: Survey,
    begun_jobs: Sequence[dict[str, object]],
    refused_jobs: Sequence[str],
    would: Sequence[dict[str, object]],
    channel_id: str | None,
) -> dict[str, object]:
    """The answer to a search: what was begun, or why nothing was."""
    told: dict[str, object] = {
        "status": "success",
        "begun": list(begun_jobs),
        "job_ids": [job["job_id"] for job in begun_jobs],
        "pairs_considered": len(survey.pairs),
        "refused": list(refused_jobs),
    }
    if ground.reasons:
        told["message"] = f"nothing was begun: {'; '.join(ground.reasons)}"
        told["would"] = list(would)
    elif begun_jobs:
        told["message"] = f"{len(begun_jobs)} begun; revenue-status shows how they go"
    elif refused_jobs:
        told["message"] = f"nothing was begun: {'; '.join(refused_jobs)}"
    else:
        told["message"] = f"nothing was begun: {_why_nothing(survey, channel_id)}"
    return told


def _why_nothing(survey: Survey, channel_id: str | None) -> str:
    if channel_id is not None and channel_id in survey.no_destination:
        return survey.no_destination[channel_id]
    if not survey.pairs:
        return "no channel can be filled from another one now; revenue-rebalance-debug says why"
    best = max(survey.pairs, key=lambda pair: pair.expected_msat)
    return f"none of {len(survey.pairs)} moves is worth its cost; of the best one: {refused(best)}"


def refused(pair: Pair) -> str:
    """Why a move is not made, with its arithmetic."""
    if not pair.amount_msat:
        return pair.refusal or "there is nothing to move"
    worth = f"worth {sats(pair.value_msat)} sats there and {sats(pair.loss_msat)} here"
    if not pair.max_ppm:
        return f"{pair.refusal} ({worth})"
    return (
        f"{pair.refusal} ({worth}, cost {sats(pair.cost_msat)} sats, success {pair.success:.0%}:"
        f" expected {sats(pair.expected_msat)} sats)"
    )


def begun(ground: Ground, row: JobRow, plan: Plan) -> dict[str, object]:
    """A job that was planned and reserved for."""
    pair, order = plan.pair, plan.order
    return {
        "job_id": order.job_id,
        "rebalance_id": row.number,
        "from_channel": ground.scid(pair.source_channel_id),
        "to_channel": ground.scid(pair.channel_id),
        "amount_sats": sats(order.total_msat),
        "payment_sats": sats(order.payment_msat),
        "max_fee_sats": -(-plan.dearest_msat // 1_000),
        "reserved_sats": -(-plan.reserve_msat // 1_000),
        "max_fee_ppm": order.max_ppm,
        "expected_profit_sats": sats(pair.expected_msat),
    }


def initiated(ground: Ground, row: JobRow, plan: Plan) -> dict[str, object]:
    """The answer to a move that was named: it goes on in the background."""
    job = begun(ground, row, plan)
    less = plan.order.total_msat < plan.pair.amount_msat * 9 // 10
    return {
        "status": "initiated",
        "success": True,
        **job,
        "message": (
            f"{job['job_id']}: moving {job['amount_sats']} sats {ground.named(plan.pair)} for at"
            f" most {job['max_fee_sats']} sats"
            + (", all that the rest of the day's budget covers" if less else "")
            + f"; until its end {job['reserved_sats']} sats are reserved, for"
            + f" {SPARE_PAYMENTS} payments more that sling may make anew;"
            + " revenue-status shows how it goes"
        ),
        "candidate": _candidate(ground, plan),
    }


def _candidate(ground: Ground, plan: Plan) -> dict[str, object]:
    pair, order = plan.pair, plan.order
    source, there = ground.facts[pair.source_channel_id], ground.facts[pair.channel_id]
    net_msat = pair.value_msat - pair.loss_msat - pair.cost_msat
    flow = ground.flows.get(pair.channel_id)
    return {
        "source_candidates": list(order.candidates),
        "num_source_candidates": len(order.candidates),
        "from_channel": ground.scid(pair.source_channel_id),
        "to_channel": ground.scid(pair.channel_id),
        "from_peer_id": source.peer_id,
        "to_peer_id": there.peer_id,
        "amount_sats": sats(order.total_msat),
        "amount_msat": order.total_msat,
        "outbound_fee_ppm": there.fee_ppm or 0,
        "inbound_fee_ppm": _ppm(pair.cost_msat, pair.amount_msat),
        "source_fee_ppm": source.fee_ppm or 0,
        "weighted_opp_cost_ppm": _ppm(pair.loss_msat, pair.amount_msat),
        "spread_ppm": _ppm(net_msat, pair.amount_msat),
        "max_budget_sats": -(-plan.dearest_msat // 1_000),
        "max_budget_msat": plan.dearest_msat,
        "max_fee_ppm": order.max_ppm,
        "expected_profit_sats": sats(pair.expected_msat),
        "liquidity_ratio": _share(there),
        "dest_flow_state": "manual" if plan.origin == BY_HAND else _klass(flow),
        "dest_turnover_rate": _turnover(there, flow),
        "source_turnover_rate": _turnover(source, ground.flows.get(pair.source_channel_id)),
    }


def _share(fact: ChannelFact) -> float:
    return round(fact.local_msat / fact.capacity_msat, 4) if fact.capacity_msat else 0.0


def _klass(flow: ChannelFlow | None) -> str:
    return "unknown" if flow is None else flow.klass


def _turnover(fact: ChannelFact, flow: ChannelFlow | None) -> float:
    if flow is None or not fact.capacity_msat:
        return 0.0
    rate = flow.rate_in_msat_per_day + flow.rate_out_msat_per_day
    return round(rate / fact.capacity_msat, 4)


# -- jobs --------------------------------------------------------------------------------------


def job_row(row: JobRow, plan: Plan, trouble: str | None = None) -> dict[str, object]:
    """A job as revenue-status shows it, by the names that clients know and by ours."""
    order, pair = plan.order, plan.pair
    ended = row.state == ENDED
    return {
        "id": row.number,
        "job_id": order.job_id,
        "from_channel": order.candidates[0],
        "to_channel": order.scid,
        "amount_sats": sats(order.total_msat),
        "max_fee_sats": -(-plan.dearest_msat // 1_000),
        "actual_fee_sats": row.cost_msat / 1_000 if row.moved_msat or ended else None,
        "expected_profit_sats": sats(pair.expected_msat),
        "actual_profit_sats": None,
        "status": status_of(row, plan),
        "rebalance_type": "manual" if plan.origin == BY_HAND else "normal",
        "error_message": row.outcome if ended and not row.moved_msat else trouble,
        "timestamp": int(row.begun_s),
        "state": row.state,
        "outcome": row.outcome,
        "moved_sats": sats(row.moved_msat),
        "moved_msat": row.moved_msat,
        "cost_msat": row.cost_msat,
        "max_fee_ppm": order.max_ppm,
        "asked_by": plan.origin,
        "ended_at": None if row.ended_s is None else int(row.ended_s),
    }


def status_of(row: JobRow, plan: Plan) -> str:
    """The job's state by the words that clients know."""
    if row.state == PLANNED:
        return "pending"
    if row.state != ENDED:
        return "pending_async"
    if row.moved_msat >= plan.order.total_msat:
        return "success"
    if row.moved_msat:
        return "partial"
    return "timeout" if (row.outcome or "").startswith(TIME_UP) else "failed"


def reported(rows: Sequence[JobRow], scores: Mapping[str, Scored]) -> list[ReportedJob]:
    """The jobs of a report: all that were begun."""
    found = []
    for row in rows:
        if row.state == PLANNED or (row.outcome or "").startswith(CALLED_OFF):
            continue
        order = unpack(row.plan).order
        found.append(
            ReportedJob(
                job_id=order.job_id,
                begun_s=row.begun_s,
                source=order.candidates[0],
                into=order.scid,
                outcome=row.outcome,
                moved_msat=row.moved_msat,
                cost_msat=row.cost_msat,
                scored=scores.get(order.job_id),
            )
        )
    return found


# -- reservations ------------------------------------------------------------------------------

OpenJob = tuple[JobRow, str, str | None, int]


def cleared(
    before: BudgetState,
    after: BudgetState,
    jobs: Mapping[str, OpenJob],
    spender: str,
) -> dict[str, object]:
    """The answer to revenue-clear-reservations: what was released, and why the rest is not."""
    kept = {one.job_id for one in after.reservations}
    gone = [one for one in before.reservations if one.job_id not in kept]
    rest = [
        {
            "job_id": one.job_id,
            "spender": one.spender,
            "reserved_sats": -(-one.reserved_msat // 1_000),
            "committed_msat": one.committed_msat,
            "age_s": round(after.at_s - one.opened_s),
            "why": _why_kept(jobs.get(one.job_id), one.spender == spender),
        }
        for one in after.reservations
    ]
    released_sats = sum(one.reserved_msat - one.committed_msat for one in gone) // 1_000
    return {
        "status": "success",
        "message": (
            f"{len(gone)} reservations released ({released_sats} sats); {len(rest)} kept"
            if gone or rest
            else "nothing was reserved"
        ),
        "cleared_count": len(gone),
        "released_sats": released_sats,
        "budget_available": 0 if after.trouble else sats(after.free_msat),
        "cleared": [one.job_id for one in gone],
        "kept": rest,
        "budget_trouble": after.trouble,
    }


def _why_kept(job: OpenJob | None, ours: bool) -> str:
    if job is None:
        return "its job is not known here" if ours else "it is somebody else's"
    row, why, trouble, pending = job
    if row.state != "ending":
        return f"its job is {row.state}"
    if pending:
        return f"{pending} of its payments are still pending ({why})"
    last = f": {trouble}" if trouble else ""
    return f"it is being stopped, and the end is not proven yet{last} ({why})"
