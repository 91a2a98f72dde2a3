"""The values of all settings at one version, typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cl_revenue_ops.config.setting import SettingValue
from cl_revenue_ops.config.table import SETTINGS


@dataclass(frozen=True)
class Config:
    """Every setting by its key, and the version of this set of values, which only grows.

    Types, defaults, bounds and units are those of the table of settings; `db_path` None means
    the file `revenue_ops.db` in the node's lightning-dir. A share is a number from 0 to 1.
    """

    version: int
    db_path: str | None
    dry_run: bool
    paused: bool
    flow_interval: int
    fee_interval: int
    rebalance_interval: int
    flow_window_days: int
    min_fee_ppm: int
    max_fee_ppm: int
    fee_updates_per_day: int
    base_fee_msat: int
    target_flow: int
    rebalancer_plugin: str
    rebalance_min_profit: int
    daily_budget_sats: int
    min_wallet_reserve: int
    enable_proportional_budget: bool
    proportional_budget_pct: float
    reservation_timeout_hours: int
    htlc_congestion_threshold: float
    enable_vegas_reflex: bool
    vegas_decay_rate: float
    enable_scarcity_pricing: bool
    scarcity_threshold: float
    decision_retention_days: int
    enable_reputation: bool
    reputation_decay: float
    enable_kelly: bool
    kelly_fraction: float
    hive_enabled: str
    hive_fee_ppm: int
    hive_rebalance_tolerance: int
    clboss_enabled: bool
    failed_forward_retention_days: int
    settled_forward_retention_days: int
    rpc_timeout_seconds: int
    rpc_circuit_breaker_seconds: int


def default_values() -> dict[str, SettingValue]:
    """The default of every setting by key."""
    return {setting.key: setting.default for setting in SETTINGS}


def config_from(values: Mapping[str, SettingValue], version: int) -> Config:
    """A Config of parsed values; all keys must be there (a missing one is a program error)."""
    fields: dict[str, Any] = dict(values)
    return Config(version=version, **fields)


def default_config(version: int = 0) -> Config:
    """The Config of a node that sets no option."""
    return config_from(default_values(), version)
