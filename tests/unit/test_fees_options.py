"""Every setting of fee decisions changes a decision: from the configuration to the fee."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from cl_revenue_ops.config import SettingValue, default_config
from cl_revenue_ops.domain.fees.decide import FeeDecision, decide, parameters_of
from cl_revenue_ops.domain.fees.facts import ChannelFeeState, CongestionState, Fee, FeeParameters
from tests.unit.fees_support import HOUR_S, NOW, asking, facts, known, spike

THREE = tuple(NOW - hours * HOUR_S for hours in (20.0, 15.0, 10.0))
CHEAP = asking(40.0)
FULL, THIRD, DRAINED = 9_900_000_000, 3_400_000_000, 100_000_000


def decided(
    settings: dict[str, SettingValue], state: ChannelFeeState | None = None, **changes: Any
) -> FeeDecision:
    """What a channel at 200 ppm is given under these settings, all others at their defaults."""
    config = replace(default_config(), **settings)  # type: ignore[arg-type]
    seen = facts(**{"market": asking(400.0), "local_msat": FULL, **changes})
    return decide(seen, known() if state is None else state, parameters_of(config), NOW)[0]


def test_the_defaults_of_the_configuration_are_those_of_the_rules() -> None:
    assert parameters_of(default_config()) == FeeParameters()


@pytest.mark.parametrize(
    ("key", "values", "changes", "ppms"),
    [
        ("min_fee_ppm", (10, 450), {}, (400, 450)),
        ("max_fee_ppm", (5000, 350), {}, (400, 350)),
        ("enable_scarcity_pricing", (True, False), {"local_msat": DRAINED}, (727, 400)),
        ("scarcity_threshold", (0.35, 0.9), {"local_msat": THIRD}, (400, 484)),
        ("scarcity_threshold", (0.35, 0.0), {"local_msat": DRAINED}, (727, 400)),
        ("enable_vegas_reflex", (True, False), {"market": CHEAP, "spike": spike(1.0)}, (243, 40)),
    ],
)
def test_a_setting_changes_the_fee_that_is_set(
    key: str,
    values: tuple[SettingValue, SettingValue],
    changes: dict[str, Any],
    ppms: tuple[int, int],
) -> None:
    found = [decided({key: value}, **changes) for value in values]
    assert [one.action for one in found] == ["set", "set"]
    assert tuple(one.target.ppm for one in found if one.target is not None) == ppms


def test_fee_updates_per_day_decides_whether_a_fourth_update_is_sent() -> None:
    state = known(updates_s=THREE)
    allowed, held = (decided({"fee_updates_per_day": n}, state) for n in (4, 3))
    assert (allowed.action, allowed.target) == ("set", Fee(400, 0))
    assert (held.action, held.code) == ("none", "budget_spent")
    assert decided({"fee_updates_per_day": 3}, known(updates_s=THREE[1:])).action == "set"


def test_base_fee_msat_travels_with_the_next_fee() -> None:
    assert decided({"base_fee_msat": 750}).target == Fee(400, 750)


def test_the_congestion_threshold_decides_from_when_on_slots_are_congested() -> None:
    state = known(congestion=CongestionState(False, 1, NOW - 60.0))
    assert decided({}, state, htlcs_out=300).target == Fee(400, 0)
    low = decided({"htlc_congestion_threshold": 0.5}, state, htlcs_out=300)
    assert (low.code, low.target) == ("congestion_enter", Fee(5000, 0))


def test_no_setting_of_the_rules_is_left_out_above() -> None:
    """A parameter that has the name of a setting is one that `parameters_of` takes over."""
    config = default_config()
    named = [field.name for field in fields(FeeParameters) if hasattr(config, field.name)]
    assert named == [
        "min_fee_ppm", "max_fee_ppm", "base_fee_msat", "htlc_congestion_threshold",
        "enable_scarcity_pricing", "scarcity_threshold", "enable_vegas_reflex",
        "fee_updates_per_day",
    ]  # fmt: skip
