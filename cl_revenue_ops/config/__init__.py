"""The settings of the plugin: one table, from which options, run-time changes and docs come."""

from cl_revenue_ops.config.book import (
    Change,
    Configured,
    Outcome,
    Override,
    SettingsBook,
    Source,
    StoredOverride,
    describe,
    mutable_keys,
    reset_value,
    set_value,
)
from cl_revenue_ops.config.boot import BootResult, at_boot
from cl_revenue_ops.config.lookup import find
from cl_revenue_ops.config.options import OptionDeclaration, option_declarations
from cl_revenue_ops.config.parse import echo, parse
from cl_revenue_ops.config.rules import RULES, Rule, Violation, violations
from cl_revenue_ops.config.setting import (
    OPTION_PREFIX,
    Kind,
    Owner,
    Setting,
    SettingRefused,
    SettingValue,
    to_text,
)
from cl_revenue_ops.config.table import BY_KEY, SETTINGS
from cl_revenue_ops.config.values import Config, config_from, default_config, default_values

__all__ = [
    "BY_KEY",
    "OPTION_PREFIX",
    "RULES",
    "SETTINGS",
    "BootResult",
    "Change",
    "Config",
    "Configured",
    "Kind",
    "OptionDeclaration",
    "Outcome",
    "Override",
    "Owner",
    "Rule",
    "Setting",
    "SettingRefused",
    "SettingValue",
    "SettingsBook",
    "Source",
    "StoredOverride",
    "Violation",
    "at_boot",
    "config_from",
    "default_config",
    "default_values",
    "describe",
    "echo",
    "find",
    "mutable_keys",
    "option_declarations",
    "parse",
    "reset_value",
    "set_value",
    "to_text",
    "violations",
]
