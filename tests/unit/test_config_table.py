"""The table of settings against the specification, the typed Config and lightningd's options."""

from __future__ import annotations

import dataclasses
import typing

import pytest

from cl_revenue_ops.config import (
    BY_KEY,
    SETTINGS,
    Config,
    Kind,
    Setting,
    SettingRefused,
    SettingValue,
    default_config,
    default_values,
    find,
    mutable_keys,
    option_declarations,
    parse,
    violations,
)

# Option, key, default, owner built in this version.
SPECIFIED: tuple[tuple[str, str, SettingValue, bool], ...] = (
    ("revenue-ops-db-path", "db_path", None, True),
    ("revenue-ops-dry-run", "dry_run", False, True),
    ("revenue-ops-paused", "paused", False, True),
    ("revenue-ops-flow-interval", "flow_interval", 3600, True),
    ("revenue-ops-fee-interval", "fee_interval", 1800, True),
    ("revenue-ops-rebalance-interval", "rebalance_interval", 900, True),
    ("revenue-ops-flow-window-days", "flow_window_days", 7, True),
    ("revenue-ops-min-fee-ppm", "min_fee_ppm", 10, True),
    ("revenue-ops-max-fee-ppm", "max_fee_ppm", 5000, True),
    ("revenue-ops-fee-updates-per-day", "fee_updates_per_day", 4, True),
    ("revenue-ops-base-fee-msat", "base_fee_msat", 0, True),
    ("revenue-ops-target-flow", "target_flow", 100000, True),
    ("revenue-ops-rebalancer", "rebalancer_plugin", "sling", True),
    ("revenue-ops-rebalance-min-profit", "rebalance_min_profit", 10, True),
    ("revenue-ops-daily-budget-sats", "daily_budget_sats", 5000, True),
    ("revenue-ops-min-wallet-reserve", "min_wallet_reserve", 1000000, True),
    ("revenue-ops-proportional-budget", "enable_proportional_budget", True, True),
    ("revenue-ops-proportional-budget-pct", "proportional_budget_pct", 0.30, True),
    ("revenue-ops-reservation-timeout-hours", "reservation_timeout_hours", 4, True),
    ("revenue-ops-htlc-congestion-threshold", "htlc_congestion_threshold", 0.8, True),
    ("revenue-ops-vegas-reflex", "enable_vegas_reflex", True, True),
    ("revenue-ops-vegas-decay", "vegas_decay_rate", 0.85, True),
    ("revenue-ops-scarcity-pricing", "enable_scarcity_pricing", True, True),
    ("revenue-ops-scarcity-threshold", "scarcity_threshold", 0.35, True),
    ("revenue-ops-decision-retention-days", "decision_retention_days", 90, True),
    ("revenue-ops-enable-reputation", "enable_reputation", True, True),
    ("revenue-ops-reputation-decay", "reputation_decay", 0.98, True),
    ("revenue-ops-enable-kelly", "enable_kelly", False, True),
    ("revenue-ops-kelly-fraction", "kelly_fraction", 0.5, True),
    ("revenue-ops-hive-enabled", "hive_enabled", "auto", False),
    ("revenue-ops-hive-fee-ppm", "hive_fee_ppm", 0, True),
    ("revenue-ops-hive-rebalance-tolerance", "hive_rebalance_tolerance", 50, True),
    ("revenue-ops-clboss-enabled", "clboss_enabled", True, True),
    ("revenue-ops-failed-forward-retention-days", "failed_forward_retention_days", 30, True),
    ("revenue-ops-settled-forward-retention-days", "settled_forward_retention_days", 0, True),
    ("revenue-ops-rpc-timeout-seconds", "rpc_timeout_seconds", 15, True),
    ("revenue-ops-rpc-circuit-breaker-seconds", "rpc_circuit_breaker_seconds", 60, True),
)

RANGES: dict[str, tuple[float, float]] = {
    "flow_interval": (30, 604800),
    "fee_interval": (30, 604800),
    "rebalance_interval": (30, 604800),
    "flow_window_days": (1, 31),
    "min_fee_ppm": (0, 100000),
    "max_fee_ppm": (1, 100000),
    "fee_updates_per_day": (1, 48),
    "base_fee_msat": (0, 1000000),
    "target_flow": (0, 10000000000),
    "rebalance_min_profit": (0, 10000000),
    "daily_budget_sats": (0, 10000000),
    "min_wallet_reserve": (0, 100000000),
    "proportional_budget_pct": (0.0, 1.0),
    "reservation_timeout_hours": (1, 24),
    "htlc_congestion_threshold": (0.0, 1.0),
    "vegas_decay_rate": (0.0, 1.0),
    "scarcity_threshold": (0.0, 1.0),
    "decision_retention_days": (1, 3650),
    "reputation_decay": (0.0, 1.0),
    "kelly_fraction": (0.0, 1.0),
    "hive_fee_ppm": (0, 100000),
    "hive_rebalance_tolerance": (0, 100000),
    "failed_forward_retention_days": (0, 3650),
    "settled_forward_retention_days": (0, 3650),
    "rpc_timeout_seconds": (1, 300),
    "rpc_circuit_breaker_seconds": (0, 3600),
}

TYPES = {Kind.INT: int, Kind.FLOAT: float, Kind.BOOL: bool, Kind.CHOICE: str}


def test_every_specified_option_with_its_default_and_no_other() -> None:
    found = [(s.option, s.key, s.default, s.built) for s in SETTINGS]
    assert found == list(SPECIFIED)


def test_the_specified_default_of_the_database_is_told() -> None:
    assert BY_KEY["db_path"].default_text == "<lightning-dir>/revenue_ops.db"
    assert "revenue_ops.db" in BY_KEY["db_path"].help


def test_defaults_have_the_type_of_the_config_field() -> None:
    annotations = typing.get_type_hints(Config)
    for setting in SETTINGS:
        expected = TYPES.get(setting.kind, str | None)
        assert annotations[setting.key] == expected, setting.key
        if setting.default is not None:
            assert type(setting.default) is expected, setting.key


def test_config_has_exactly_the_keys_of_the_table_and_a_version() -> None:
    fields = [field.name for field in dataclasses.fields(Config)]
    assert fields == ["version", *(setting.key for setting in SETTINGS)]


def test_default_config_carries_the_defaults() -> None:
    config = dataclasses.asdict(default_config(version=3))
    assert config == {"version": 3, **{key: default for _, key, default, _ in SPECIFIED}}


def test_defaults_are_within_their_own_bounds_and_rules() -> None:
    for setting in SETTINGS:
        if setting.default is not None:
            assert parse(setting, setting.default) == setting.default, setting.key
    assert violations(default_values()) == ()


def test_each_number_has_the_listed_range() -> None:
    numeric = (Kind.INT, Kind.FLOAT)
    found = {s.key: (s.low, s.high) for s in SETTINGS if s.kind in numeric}
    assert found == RANGES


@pytest.mark.parametrize("key", RANGES)
def test_each_bound_is_enforced_at_the_edge(key: str) -> None:
    setting = BY_KEY[key]
    low, high = RANGES[key]
    step = 1 if setting.kind is Kind.INT else 1e-9
    assert parse(setting, low) == low
    assert parse(setting, high) == high
    assert isinstance(parse(setting, low - step), SettingRefused)
    assert isinstance(parse(setting, high + step), SettingRefused)


def test_bounds_of_the_settings_that_are_no_numbers() -> None:
    longest = "/" + "a" * 1023
    assert parse(BY_KEY["db_path"], longest) == longest
    assert isinstance(parse(BY_KEY["db_path"], longest + "a"), SettingRefused)
    assert isinstance(parse(BY_KEY["db_path"], ""), SettingRefused)
    assert BY_KEY["hive_enabled"].choices == ("auto", "true", "false")
    assert BY_KEY["rebalancer_plugin"].choices == ("sling",)
    rest = {s.key for s in SETTINGS if s.kind is not Kind.BOOL} - set(RANGES)
    assert rest == {"db_path", "hive_enabled", "rebalancer_plugin"}


def test_all_but_the_database_can_change_at_run_time() -> None:
    assert [s.key for s in SETTINGS if not s.dynamic] == ["db_path"]
    assert mutable_keys() == sorted(key for _, key, _, _ in SPECIFIED if key != "db_path")


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_a_setting_is_found_by_each_of_its_names(setting: Setting) -> None:
    suffix = setting.option.removeprefix("revenue-ops-")
    names = (
        setting.key,
        setting.key.replace("_", "-"),
        setting.option,
        setting.option.replace("-", "_"),
        suffix,
        suffix.replace("-", "_"),
    )
    assert all(find(name) is setting for name in names)


def test_no_two_settings_share_a_name() -> None:
    names = [
        name
        for setting in SETTINGS
        for name in sorted({setting.key, setting.option[12:].replace("-", "_")})
    ]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("min_fee_pmp", "min_fee_ppm"),
        ("revenue-ops-fee-intervall", "fee_interval"),
        ("vegas_decai", "vegas_decay_rate"),
        ("Dry_Run", "dry_run"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_key(name: str, nearest: str) -> None:
    refused = find(name)
    assert isinstance(refused, SettingRefused)
    assert f"unknown key '{name}'; the nearest known key is {nearest} " in refused.text


def test_options_are_declared_as_strings_with_defaults_as_text() -> None:
    rows = {row.name: row for row in option_declarations()}
    assert list(rows) == [option for option, _, _, _ in SPECIFIED]
    assert {row.type for row in rows.values()} == {"string"}
    assert rows["revenue-ops-min-fee-ppm"].default == "10"
    assert rows["revenue-ops-vegas-decay"].default == "0.85"
    assert rows["revenue-ops-clboss-enabled"].default == "true"
    assert rows["revenue-ops-dry-run"].default == "false"
    assert rows["revenue-ops-db-path"].default is None
    assert [name for name, row in rows.items() if not row.dynamic] == ["revenue-ops-db-path"]


def test_declared_defaults_parse_to_the_defaults() -> None:
    for setting, row in zip(SETTINGS, option_declarations(), strict=True):
        if row.default is not None:
            assert parse(setting, row.default) == setting.default


def test_descriptions_tell_type_bounds_default_and_what_is_absent() -> None:
    for setting, row in zip(SETTINGS, option_declarations(), strict=True):
        assert row.description.isascii()
        assert row.description.isprintable()
        assert f"[{setting.kind.value}: {setting.bounds}; default: " in row.description
        assert ("is not part of this version yet" in row.description) is not setting.built
    by_name = {row.name: row.description for row in option_declarations()}
    assert by_name["revenue-ops-rpc-timeout-seconds"].endswith("[int: 1 to 300; default: 15]")
