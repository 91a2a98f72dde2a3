"""What is told of a decision's belief follows from its record, figure by figure."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.demand.curve import FEES
from cl_revenue_ops.domain.demand.price import HOLD_S, Draw
from cl_revenue_ops.domain.fees import explain
from cl_revenue_ops.domain.fees.book import FeeBook
from cl_revenue_ops.domain.fees.decide import FeeDecision, decide
from cl_revenue_ops.domain.fees.explain_belief import (
    arithmetic,
    belief,
    stages,
    weighted_quantiles,
)
from cl_revenue_ops.domain.fees.explain_next import Outlook
from cl_revenue_ops.domain.fees.facts import Fee, FeeParameters
from cl_revenue_ops.domain.fees.record import to_record
from cl_revenue_ops.ports import StoredDecision
from tests.unit import shadow_support as support
from tests.unit.fees_support import NOW, all_facts, all_parameters, all_states
from tests.unit.shadow_support import CELL, CELL_PRICE, CELL_STEEP, decided, priced

HELD = Draw(7, 1.2, NOW - 7200.0, 3, math.log(200.0))


def section(decision: FeeDecision) -> Any:
    return json.loads(json.dumps(belief(decision), allow_nan=False))


def volume_sat(ppm: float) -> float:
    """The demand curve, written down once more."""
    return 1e6 / (1.0 + math.pow(ppm / CELL_PRICE, CELL_STEEP))


# -- the belief ------------------------------------------------------------------------------------


def test_volumes_are_those_at_the_fee_in_force_and_at_the_wanted_one() -> None:
    decision = decided(priced(support.belief(CELL)))
    told = section(decision)
    for name, ppm in (("fee_in_force", 200), ("wanted_fee", decision.wanted.ppm)):
        volume = told[f"volume_at_{name}"]
        assert volume["fee_ppm"] == ppm
        assert volume["mid"] == pytest.approx(volume_sat(ppm), rel=1e-3)
        assert volume["low"] < volume["mid"] < volume["high"]


def test_a_base_fee_counts_in_the_volume() -> None:
    decision = decided(priced(support.belief(CELL)), fee=Fee(200, 10_000))
    told = section(decision)["volume_at_fee_in_force"]
    assert told["mid"] == pytest.approx(volume_sat(300), rel=1e-3)


def test_the_best_fee_is_best_at_the_net_value() -> None:
    told = section(decided(priced(support.belief(CELL))))["best_fee_ppm"]
    fees = np.arange(50.0, 2_000.0, 0.1)
    best = fees[np.argmax(1.0 / (1.0 + (fees / CELL_PRICE) ** CELL_STEEP) * (fees - 30.0))]
    assert told["mid"] == pytest.approx(best, rel=0.02)
    assert told["low"] < told["mid"] < told["high"]


def test_alternatives_are_weighted_by_probability() -> None:
    cells = (CELL - 10, CELL, CELL + 11)
    told = section(decided(priced(support.belief(*cells))))["alternatives"]
    assert told["price_ppm"]["mid"] == pytest.approx(CELL_PRICE, rel=1e-3)
    assert told["price_ppm"]["low"] < CELL_PRICE < told["price_ppm"]["high"]
    assert told["steepness"]["mid"] == pytest.approx((3.5 + 3.5 + 5.5) / 3, abs=0.01)


def test_the_curve_goes_from_a_quarter_to_four_times_the_wanted_fee() -> None:
    decision = decided(priced(support.belief(CELL)))
    rows, wanted = section(decision)["curve"], decision.wanted.ppm
    assert [rows[i]["fee_ppm"] for i in (0, 4, -1)] == pytest.approx(
        [wanted / 4, wanted, wanted * 4], abs=0.05
    )
    for row in rows:
        volume = volume_sat(row["fee_ppm"])
        assert row["volume_sats_per_day"] == pytest.approx(volume, rel=1e-3)
        assert row["fees_sats_per_day"] == pytest.approx(volume * row["fee_ppm"] / 1e6, rel=2e-3)
        over = volume * (row["fee_ppm"] - 30.0) / 1e6
        assert row["over_stock_value_sats_per_day"] == pytest.approx(over, rel=1e-2)


def test_the_parts_of_the_stocks_value_add_up() -> None:
    told = section(decided(priced(support.belief(CELL))))["stock_value_ppm"]
    assert told["own"] == told["scarce"] - told["full"] + told["leaning"] == 50.0
    assert (told["net"], told["entering"], told["node_level"]) == (30.0, 20.0, 180.0)


def test_known_demand_has_no_alternatives() -> None:
    sure = replace(support.belief(CELL), known=np.linspace(1e9, 0.0, FEES))
    told = section(decided(priced(sure)))
    assert told["alternatives"] is None
    assert told["best_fee_ppm"]["low"] == told["best_fee_ppm"]["high"]


def test_before_demand_was_looked_at_there_is_no_belief() -> None:
    decision = decided(None)
    assert belief(decision) is None
    assert arithmetic(decision).startswith("no demand looked at yet")


# -- the draw --------------------------------------------------------------------------------------


def test_a_draw_that_is_held_tells_until_when_and_what_would_end_it() -> None:
    told = section(decided(priced(support.belief(CELL), HELD)))["draw"]
    assert (told["number"], told["z"], told["since"]) == (7, 1.2, NOW - 7200.0)
    assert told["until_at_latest"] == NOW - 7200.0 + HOLD_S
    assert told["redrawn_because"] is None
    band, surprise, moved, wake = told["let_go_earlier_by"]
    assert band == "a local share outside 33.0 to 67.0 % (it is 50.0 %)"
    assert surprise.endswith("below 0.001 (so far 0.4)")
    assert "led to 200.0 ppm" in moved
    assert wake == "revenue-wake-all"


@pytest.mark.parametrize(
    ("held", "words"), [(None, "none yet"), (HELD._replace(at_s=0.0), "let go or its time")]
)
def test_a_new_draw_tells_why(held: Draw | None, words: str) -> None:
    told = section(decided(priced(support.belief(CELL), held)))["draw"]
    assert words in told["redrawn_because"]


@pytest.mark.parametrize("held", [None, HELD])
def test_the_arithmetic_adds_up(held: Draw | None) -> None:
    """The line's own numbers give its own result."""
    decision = decided(priced(support.belief(CELL - 5, CELL + 5), held))
    line = arithmetic(decision)
    found = re.search(
        r"exp\(([\d.]+) ln ([\d.]+) \+ ([\d.]+) \(ln ([\d.]+) \+ ([-\d.]+) x ([\d.]+)\)\)"
        r" = ([\d.]+) ppm",
        line,
    )
    assert found, line
    rest, greedy, alpha, mean, z, sd, result = map(float, found.groups())
    log_fee = rest * math.log(greedy) + alpha * (math.log(mean) + z * sd)
    assert math.exp(log_fee) == pytest.approx(result, rel=1e-3)
    assert line.endswith(f"wanted {decision.wanted.ppm} ppm")
    if held is None:
        assert decision.wanted.ppm == pytest.approx(result, abs=1.0)
    else:
        assert line.startswith("200.00 ppm as drawn 2.0 h before")
        assert decision.wanted.ppm == 200


def test_the_arithmetic_names_every_stage_that_acted() -> None:
    decision = decided(priced(support.belief(CELL)), local_msat=3_367_000_000)
    acted = [f"{v.stage} {v.ppm}" for v in decision.verdicts if v.acted]
    assert len(acted) == 2
    assert ", ".join(acted) in arithmetic(decision)


# -- the stages in words ---------------------------------------------------------------------------


@given(data=st.data(), seen=all_facts, p=all_parameters)
def test_words_come_back_from_codes_and_numbers(
    data: st.DataObject, seen: Any, p: FeeParameters
) -> None:
    decision, _ = decide(seen, data.draw(all_states(seen.fee)), p, NOW)
    record = json.loads(json.dumps(to_record(decision)))
    told = stages(record["verdicts"])
    assert [row["text"] for row in told] == [v.reason.text for v in decision.verdicts]
    assert [(row["stage"], row["acted"], row["ppm"]) for row in told] == [
        (v.stage, v.acted, v.ppm) for v in decision.verdicts
    ]


@pytest.mark.parametrize("code", ["of_another_version", "pinned"])
def test_a_code_without_its_words_is_told_bare(code: str) -> None:
    verdict = {"stage": "x", "acted": True, "ppm": 5, "code": code, "numbers": {}}
    assert stages([verdict])[0]["text"] == code


# -- the whole of a decision -----------------------------------------------------------------------

OUTLOOK = Outlook(NOW, NOW + 60.0, None, {}, FeeParameters(), 1800, None)


def kept(decision: FeeDecision, **changes: Any) -> StoredDecision:
    row = explain.row(decision, by_hand=False)._replace(**changes)
    return StoredDecision(1, row, NOW, 1, None)


def test_one_channel_is_told_whole_and_many_briefly() -> None:
    stored = kept(decided(priced(support.belief(CELL))))
    whole: Any = explain.report([stored], {}, FeeBook(), OUTLOOK, whole=True)
    brief: Any = explain.report([stored], {}, FeeBook(), OUTLOOK, whole=False)
    (one,), (other,) = whole["channels"], brief["channels"]
    assert set(one) - set(other) == {"belief", "stages", "arithmetic", "record"}
    assert {name: one[name] for name in other} == other
    assert one["record"] == json.loads(stored.row.body)
    assert len(json.dumps(other)) < 1_500


def test_a_record_of_another_version_is_told_without_what_only_its_rules_knew() -> None:
    record = to_record(decided(priced(support.belief(CELL))))
    text = json.dumps({**record, "version": 1})
    stored = kept(decided(None), body=text)
    told = explain.shown(stored, {}, FeeBook(), OUTLOOK, whole=True)
    assert (told["status"], told["belief"], told["arithmetic"]) == ("ready", None, None)
    assert told["stages"]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("text", ["{", "[]", "7", '{"inputs": 3}', '{"version": 2}'])
def test_a_damaged_record_is_told_and_not_fatal(text: str, whole: bool) -> None:
    told = explain.shown(kept(decided(None), body=text), {}, FeeBook(), OUTLOOK, whole=whole)
    assert told["status"] == "unreadable"
    assert ("record" in told) is whole


def test_quantiles_lie_between_the_values() -> None:
    low, high = weighted_quantiles(
        np.array([3.0, 1.0, 2.0]), np.array([0.25, 0.25, 0.5]), (0.125, 0.5)
    )
    assert (low, high) == (1.0, 2.0)


def test_an_order_is_told_as_the_fee_that_stands() -> None:
    decision = decided(priced(support.belief(CELL)))
    assert decision.action == "set"
    assert explain.fees(decision, stands=False)["new_fee_ppm"] == 200
    assert explain.fees(decision, stands=True)["new_fee_ppm"] == decision.wanted.ppm
    quiet = decision._replace(action="none", target=decision.seen)
    assert explain.fees(quiet, stands=True)["new_fee_ppm"] == 200
