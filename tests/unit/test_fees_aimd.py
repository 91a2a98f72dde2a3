"""AIMD as a detector: when it lets a price go, how it comes back, and what is kept of it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.fees.aimd import AimdState, observe, state_from_row, state_to_row

NOW_S = 1_700_000_000.0
HOUR_S = 3600.0
FRESH = AimdState()
FEW, USUAL = 1e-4, 0.3


def fed(
    values: Sequence[float | None], every_s: float = HOUR_S, state: AimdState = FRESH
) -> list[tuple[str, float]]:
    said = []
    for number, p_low in enumerate(values):
        state, verdict = observe(state, p_low, NOW_S + number * every_s, 1.0)
        assert verdict.multiplier == state.multiplier
        said.append((verdict.code, round(verdict.multiplier, 6)))
    return said


def test_improbably_few_forwards_lower_the_price_by_a_factor() -> None:
    assert fed([FEW, FEW]) == [("decreased", 0.85), ("decreased", 0.7225)]


@pytest.mark.parametrize("p_low", [1e-3, 0.01, 0.5, 1.0])
def test_chance_and_more_than_expected_lower_nothing(p_low: float) -> None:
    assert fed([p_low]) == [("calm", 1.0)]


def test_just_below_one_in_a_thousand_is_improbable() -> None:
    assert fed([0.00099999])[0][0] == "decreased"


def test_there_is_one_decrease_an_hour_at_most() -> None:
    codes = [code for code, _ in fed([FEW] * 5, every_s=1800.0)]
    assert codes == ["decreased", "held", "decreased", "held", "decreased"]


def test_while_a_decrease_is_held_back_nothing_recovers() -> None:
    assert fed([FEW, FEW], every_s=60.0) == [("decreased", 0.85), ("held", 0.85)]


def test_it_never_goes_below_one_half() -> None:
    said = fed([FEW] * 8)
    assert [value for _, value in said[3:7]] == [0.522006, 0.5, 0.5, 0.5]
    assert said[-1][0] == "held"


def test_it_recovers_by_steps_up_to_one() -> None:
    said = fed([FEW] + [USUAL] * 9)
    assert [value for _, value in said] == [
        0.85,
        0.87,
        0.89,
        0.91,
        0.93,
        0.95,
        0.97,
        0.99,
        1.0,
        1.0,
    ]
    assert [code for code, _ in said[1:]] == ["recovering"] * 8 + ["calm"]


def test_recovery_goes_by_fee_intervals_and_not_by_decisions() -> None:
    low = AimdState(0.6, NOW_S)
    one, _ = observe(low, USUAL, NOW_S + 1800.0, 1.0)
    parts = low
    for number in range(10):
        parts, _ = observe(parts, USUAL, NOW_S + 180.0 * (number + 1), 0.1)
    assert parts.multiplier == pytest.approx(one.multiplier) == pytest.approx(0.62)
    assert observe(low, USUAL, NOW_S, -1.0)[0].multiplier == 0.6


def test_where_nothing_could_be_expected_nothing_moves() -> None:
    assert fed([FEW, None, None]) == [("decreased", 0.85), ("unseen", 0.85), ("unseen", 0.85)]


def test_a_decrease_from_the_future_holds_for_an_hour_at_most() -> None:
    ahead = AimdState(0.85, NOW_S + 30 * 86_400.0)
    said = fed([FEW, FEW, FEW], every_s=1800.0, state=ahead)
    assert [code for code, _ in said] == ["held", "held", "decreased"]


@given(
    st.lists(
        st.tuples(st.one_of(st.none(), st.floats(0.0, 1.0)), st.floats(-1e4, 1e4)), max_size=60
    )
)
def test_it_stays_within_its_bounds_and_what_is_kept_is_exact(
    windows: list[tuple[float | None, float]],
) -> None:
    state, at_s = AimdState(), NOW_S
    for p_low, gap_s in windows:
        at_s += gap_s
        state, _ = observe(state, p_low, at_s, gap_s / 1800.0)
        assert 0.5 <= state.multiplier <= 1.0
        assert state_from_row(json.loads(json.dumps(state_to_row(state)))) == state


@pytest.mark.parametrize(
    "text",
    [
        "null", "5", '"abc"', "[]", "{}", '{"a": 1, "b": 2, "c": 3}', "[1, 1.0]",
        "[1, 1.0, null, 4]", "[2, 1.0, null]", '["1", 1.0, null]', "[1, null, null]",
        '[1, "0.9", null]', "[1, true, null]", "[1, 0.49, null]", "[1, 1.01, null]",
        "[1, NaN, null]", "[1, 0.9, Infinity]", '[1, 0.9, "soon"]', "[1, 0.9, [5]]",
        f"[1, 0.9, {10**400}]", "[1, 0.9, false]",
    ],
)  # fmt: skip
def test_a_damaged_row_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        state_from_row(json.loads(text))


def test_whole_numbers_are_numbers_too() -> None:
    assert state_from_row([1, 1, 5]) == AimdState(1.0, 5.0)
