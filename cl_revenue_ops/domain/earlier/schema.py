"""The tables of the earlier plugin: their columns, what is needed of them, why others are left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

COLUMNS: Mapping[str, tuple[str, ...]] = {
    name: tuple(columns.split())
    for name, columns in {
        "budget_reservations": "reservation_id reserved_sats reserved_at job_channel_id status",
        "channel_closure_costs": "channel_id peer_id close_type closure_fee_sats"
        " htlc_sweep_fee_sats penalty_fee_sats total_closure_cost_sats funding_txid closing_txid"
        " closed_at resolution_complete",
        "channel_costs": "channel_id peer_id open_cost_sats capacity_sats opened_at",
        "channel_failures": "channel_id failure_count last_failure_time",
        "channel_probes": "channel_id probe_type started_at",
        "channel_states": "channel_id peer_id state flow_ratio sats_in sats_out capacity"
        " updated_at confidence velocity flow_multiplier ema_decay forward_count"
        " kalman_flow_ratio kalman_velocity kalman_uncertainty",
        "clboss_unmanaged": "peer_id tag unmanaged_at",
        "closed_channels": "channel_id peer_id capacity_sats opened_at closed_at close_type"
        " open_cost_sats closure_cost_sats total_revenue_sats total_rebalance_cost_sats"
        " forward_count net_pnl_sats days_open funding_txid closing_txid closer",
        "config_overrides": "key value version updated_at",
        "daily_forwarding_stats": "channel_id date total_in_msat total_out_msat total_fee_msat"
        " forward_count",
        "fee_changes": "id channel_id peer_id old_fee_ppm new_fee_ppm reason manual timestamp",
        "fee_strategy_state": "channel_id last_revenue_rate last_fee_ppm trend_direction step_ppm"
        " consecutive_same_direction last_update last_broadcast_fee_ppm is_sleeping sleep_until"
        " stable_cycles last_state forward_count_since_update last_volume_sats v2_state_json",
        "financial_snapshots": "timestamp total_local_balance_sats total_remote_balance_sats"
        " total_onchain_sats total_capacity_sats total_revenue_accumulated_sats"
        " total_rebalance_cost_accumulated_sats channel_count",
        "flow_history": "id channel_id timestamp sats_in sats_out flow_ratio state",
        "forwards": "id in_channel out_channel in_msat out_msat fee_msat resolution_time"
        " timestamp resolved_time",
        "ignored_peers": "peer_id reason ignored_at",
        "kalman_state": "channel_id flow_ratio flow_velocity variance_ratio variance_velocity"
        " covariance last_update innovation_variance",
        "lifetime_aggregates": "id pruned_revenue_msat pruned_forward_count last_prune_timestamp",
        "mempool_fee_history": "id sat_per_vbyte timestamp",
        "peer_connection_history": "id peer_id event_type timestamp",
        "peer_policies": "peer_id strategy rebalance_mode fee_ppm_target tags updated_at"
        " fee_multiplier_min fee_multiplier_max expires_at",
        "peer_reputation": "peer_id success_count failure_count last_update",
        "pid_state": "channel_id integral last_error last_fee_ppm last_update",
        "rebalance_costs": "id channel_id peer_id cost_sats amount_sats timestamp",
        "rebalance_history": "id from_channel to_channel amount_sats max_fee_sats actual_fee_sats"
        " expected_profit_sats actual_profit_sats status rebalance_type error_message timestamp",
        "splice_costs": "id channel_id peer_id splice_type amount_sats fee_sats"
        " old_capacity_sats new_capacity_sats txid timestamp",
    }.items()
}

# Without these columns nothing of a table can be taken; the rest is taken where it is there.
NEEDED: Mapping[str, tuple[str, ...]] = {
    "peer_policies": ("peer_id",),
    "forwards": ("out_channel", "fee_msat", "timestamp"),
    "daily_forwarding_stats": ("channel_id", "date", "total_fee_msat"),
    "channel_costs": ("channel_id", "open_cost_sats", "opened_at"),
    "channel_closure_costs": ("channel_id", "total_closure_cost_sats", "closed_at"),
    "splice_costs": ("id", "channel_id", "fee_sats", "timestamp"),
    "rebalance_costs": ("id", "channel_id", "cost_sats", "timestamp"),
    "closed_channels": ("channel_id",),
    "channel_states": ("channel_id",),
    "fee_changes": ("id", "channel_id", "new_fee_ppm", "timestamp"),
}

CONFIG = "config_overrides"
_LEARNED = "what it had learned is learned anew here, from the node's own forwards"
_PASSING = "of passing use only"

WHY_LEFT: Mapping[str, str] = {
    "budget_reservations": _PASSING,
    "channel_failures": _PASSING,
    "channel_probes": _PASSING,
    "clboss_unmanaged": "what CLBoss leaves alone is read from CLBoss itself",
    "fee_strategy_state": _LEARNED,
    "financial_snapshots": "rounded to sats and made from doubtful totals; the ledger is exact",
    "flow_history": _LEARNED,
    "ignored_peers": "orders to CLBoss are yours to give: revenue-ignore",
    "kalman_state": _LEARNED,
    "lifetime_aggregates": "a total without channel and day, which may count forwards twice",
    "mempool_fee_history": _PASSING,
    "peer_connection_history": _PASSING,
    "peer_reputation": _LEARNED,
    "pid_state": _LEARNED,
    "rebalance_history": "attempts; what they cost stands in rebalance_costs",
}


class Shape(NamedTuple):
    """What a file has of the known tables: `usable` are the columns to read, by table."""

    usable: Mapping[str, tuple[str, ...]]
    unknown_columns: Mapping[str, list[str]]
    missing_columns: Mapping[str, list[str]]
    left_out: Mapping[str, str]


def compare(tables: Iterable[tuple[str, tuple[str, ...], int]]) -> Shape:
    """Hold (name, columns, rows) of a file against what is known."""
    usable: dict[str, tuple[str, ...]] = {}
    unknown: dict[str, list[str]] = {}
    missing: dict[str, list[str]] = {}
    left: dict[str, str] = {}
    found = {name: (columns, rows) for name, columns, rows in tables}
    for name, (columns, rows) in found.items():
        known = COLUMNS.get(name)
        if known is None:
            left[name] = f"{counted(rows)}: an unknown table"
            continue
        why = WHY_LEFT.get(name)
        extra = [column for column in columns if column not in known]
        lacking = [column for column in known if column not in columns]
        if extra:
            unknown[name] = extra
        if lacking:
            missing[name] = lacking
        if why is not None and rows:
            left[name] = f"{counted(rows)}: {why}"
        elif name in NEEDED:
            needs = [column for column in NEEDED[name] if column not in columns]
            if needs:
                left[name] = f"{counted(rows)}: nothing can be read without {', '.join(needs)}"
            else:
                usable[name] = tuple(column for column in known if column in columns)
    for name in NEEDED:
        if name not in found:
            left[name] = "this file has no such table"
    return Shape(usable, unknown, missing, left)


def counted(rows: int) -> str:
    """How many rows, in words."""
    return "1 row" if rows == 1 else f"{rows} rows"
