"""revenue-status and revenue-hive-status: the state of the house, from notices alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from cl_revenue_ops.commands.desk import VERSION, FrontDesk
from messages.channels import ChannelEntry

NEWEST = 10


def status(desk: FrontDesk) -> dict[str, object]:
    """Everything that an operator asks first; safe mode and pauses stand first of all."""
    supervisor = desk.notice("supervisor") or {}
    settings = desk.notice("settings") or {}
    config = desk.book().config
    fees = desk.notice("fee-controller") or {}
    moves = desk.notice("rebalancer") or {}
    gate = desk.gate.reasons()
    return {
        "status": "running" if not supervisor.get("stopping") else "stopping",
        "safe_mode": supervisor.get("safe_mode") is not None,
        "safe_mode_reason": supervisor.get("safe_mode"),
        "degraded": supervisor.get("degraded", []),
        "writes_allowed": not gate,
        "writes_closed_because": gate,
        "paused": "paused" in gate or "configuration" in gate,
        "problems": list(settings.get("problems", ())),
        "version": VERSION,
        "uptime_s": round(desk.clock.now() - desk.started_at_s, 1),
        "config": {
            "target_flow_sats": config.target_flow,
            "fee_range_ppm": [config.min_fee_ppm, config.max_fee_ppm],
            "rebalance_min_profit_sats": config.rebalance_min_profit,
            "dry_run": config.dry_run,
        },
        "forwards": desk.notice("accountant") or {},
        "books": desk.notice("accountant books") or {},
        "budget": desk.notice("accountant budget") or {},
        "channel_states": desk.rendered("channel_states", _sources(desk), _channel_states),
        "recent_fee_changes": fees.get("recent", [])[:NEWEST],
        "foreign_fees": fees.get("foreign", []),
        "recent_rebalances": moves.get("recent", [])[:NEWEST],
        "running_rebalances": moves.get("running", []),
        "rebalancing": _rebalancing(moves),
        "policies": desk.rendered("policies", (desk.notice("policy-engine"),), _policies),
        "actors": _actors(desk, supervisor),
        "dead_letters": _dead_letters(desk),
        "open_calls": len(desk.calls.deadlines()),
        "breakers": desk.breakers(),
        "notifications": dict(desk.counters()),
        "database": desk.notice("storekeeper") or {},
    }


def hive_status(desk: FrontDesk) -> dict[str, object]:
    """Truthfully standalone: the part that speaks with cl-hive is not in this version."""
    config = desk.book().config
    features = (
        "coordinated_fees",
        "fleet_intelligence",
        "rebalance_coordination",
        "collective_defense",
        "anticipatory_liquidity",
        "time_based_fees",
    )
    recommendations = ["This version works standalone: it does not speak with cl-hive yet."]
    if config.hive_enabled == "true":
        recommendations.append(
            "revenue-ops-hive-enabled=true asks for a fleet; until that part exists the node"
            " is run standalone."
        )
    return {
        "hive_enabled_setting": config.hive_enabled,
        "mode": "standalone",
        "hive_bridge_initialized": False,
        "cl_hive_available": False,
        "features": dict.fromkeys(features, False),
        "bridge_status": None,
        "recommendations": recommendations,
        "hive_config": {
            "hive_fee_ppm": config.hive_fee_ppm,
            "hive_rebalance_tolerance": config.hive_rebalance_tolerance,
        },
    }


def _rebalancing(notice: Mapping[str, Any]) -> dict[str, object]:
    """How the search goes, and what would have been moved where nothing may be."""
    names = ("last_search_at", "last_search", "suspended", "trouble", "would")
    return {name: notice.get(name) for name in names}


def _policies(notice: Any) -> dict[str, object]:
    """How many policies there are of each kind, and when the next one ends."""
    if notice is None:
        return {}
    holding = notice["policies"]
    return {
        "count": len(holding),
        "by_strategy": dict(sorted(Counter(p.strategy for p in holding).items())),
        "by_rebalance_mode": dict(sorted(Counter(p.rebalance for p in holding).items())),
        "next_end_at": notice["next_end_at"],
        "version": notice["version"],
    }


def _sources(desk: FrontDesk) -> tuple[Any, Any]:
    """What the channels' rows are made of: the last reading and the last analysis."""
    return desk.notice("channel-registry"), desk.notice("flow-analyzer")


def _channel_states(snapshot: Any, analysis: Any) -> list[dict[str, object]]:
    """One row per open channel with everything that clients read; no nulls among the numbers."""
    if snapshot is None:
        return []
    flows = analysis["channels"] if analysis is not None else {}
    rows = [_channel_row(entry, flows.get(entry.channel_id)) for entry in _open(snapshot.channels)]
    rows.sort(key=lambda row: (str(row["state"]), -float(str(row["flow_ratio"]))))
    return rows


def _open(entries: tuple[ChannelEntry, ...]) -> list[ChannelEntry]:
    return [entry for entry in entries if not entry.closed and entry.fact.scid is not None]


NO_FLOW_YET = {
    "state": "balanced",
    "flow_ratio": 0.0,
    "sats_in": 0,
    "sats_out": 0,
    "confidence": 0.1,
    "velocity": 0.0,
    "flow_multiplier": 1.0,
    "ema_decay": 0.8,
    "forward_count": 0,
    "kalman_flow_ratio": 0.0,
    "kalman_velocity": 0.0,
    "kalman_uncertainty": 1.0,
    "updated_at": 0,
}


def _channel_row(entry: ChannelEntry, flow: dict[str, Any] | None) -> dict[str, object]:
    fact = entry.fact
    return {
        **(flow if flow is not None else NO_FLOW_YET),
        "channel_id": fact.scid,
        "scid": fact.scid,
        "full_channel_id": entry.channel_id,
        "peer_id": entry.peer_id,
        "capacity": fact.capacity_msat // 1000,
        "our_balance": fact.local_msat // 1000,
        "fee_ppm": fact.fee_ppm or 0,
        "channel_state": fact.state,
        "connected": fact.connected,
    }


def _actors(desk: FrontDesk, supervisor: dict[str, Any]) -> dict[str, dict[str, object]]:
    now_s = desk.clock.now()
    health: dict[str, dict[str, object]] = {}
    for address, row in supervisor.get("actors", {}).items():
        notice = desk.board.read(address)
        box = desk.post.box(address)
        health[address] = {
            **row,
            "mailbox_depth": box.mailbox.depth(),
            "dropped": box.dropped,
            "last_decision_age_s": None if notice is None else round(now_s - notice.at_s, 1),
        }
    return health


def _dead_letters(desk: FrontDesk) -> dict[str, object]:
    letters = desk.post.dead_letters
    counts = letters.counts()
    return {
        "total": sum(counts.values()),
        "by_reason": counts,
        "newest": [
            {
                "at": letter.at_s,
                "address": letter.address,
                "message": letter.message,
                "reason": letter.reason,
            }
            for letter in letters.newest(NEWEST)
        ],
    }
