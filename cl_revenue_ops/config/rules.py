"""The rules that bind several settings together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cl_revenue_ops.config.setting import SettingValue

_DAY_S = 86_400


@dataclass(frozen=True)
class Rule:
    """A law over the values of `keys`; `text` says what must hold, after the two names."""

    keys: tuple[str, str]
    text: str
    holds: Callable[[float, float], bool]


@dataclass(frozen=True)
class Violation:
    """A broken rule with the values that break it."""

    rule: Rule
    text: str


RULES: tuple[Rule, ...] = (
    Rule(
        ("min_fee_ppm", "max_fee_ppm"),
        "min_fee_ppm must not be above max_fee_ppm",
        lambda min_fee_ppm, max_fee_ppm: min_fee_ppm <= max_fee_ppm,
    ),
    # Otherwise some forwards would lie in no analysed window at all.
    Rule(
        ("flow_interval", "flow_window_days"),
        "flow_interval must not be longer than flow_window_days (86400 seconds a day)",
        lambda flow_interval_s, window_days: flow_interval_s <= window_days * _DAY_S,
    ),
)


def violations(values: Mapping[str, SettingValue]) -> tuple[Violation, ...]:
    """The rules that complete, parsed `values` break, in the order of the list of rules."""
    return tuple(Violation(rule, _told(rule, values)) for rule in RULES if not _holds(rule, values))


def _holds(rule: Rule, values: Mapping[str, SettingValue]) -> bool:
    first, second = (values[key] for key in rule.keys)
    assert isinstance(first, (int, float))
    assert isinstance(second, (int, float))
    return rule.holds(first, second)


def _told(rule: Rule, values: Mapping[str, SettingValue]) -> str:
    first, second = rule.keys
    return f"{rule.text} ({first} is {values[first]}, {second} is {values[second]})"
