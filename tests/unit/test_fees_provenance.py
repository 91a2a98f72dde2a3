"""Whose fee is it that stands on the node."""

from __future__ import annotations

import pytest
from hypothesis import given

from cl_revenue_ops.domain.fees.facts import Fee
from cl_revenue_ops.domain.fees.provenance import Hold, hold_left_s, hold_of, whose_fee
from tests.unit.fees_support import DAY_S, HOUR_S, NOW, fees

OURS, OLD, PIN, OTHER = Fee(200, 0), Fee(180, 0), Fee(0, 0), Fee(999, 5000)


@pytest.mark.parametrize(
    ("seen", "target", "confirmed", "pinned", "whose"),
    [
        (OTHER, None, None, None, "first_contact"),
        (PIN, None, None, PIN, "first_contact"),
        (OURS, OURS, OURS, None, "ours"),
        (OURS, OURS, OLD, None, "ours"),
        (OLD, OURS, OLD, None, "ours"),
        (OLD, OURS, OURS, None, "foreign"),
        (OTHER, OURS, OURS, None, "foreign"),
        (Fee(200, 1000), OURS, OURS, None, "foreign"),
        (PIN, OURS, OURS, PIN, "operator_pin"),
        (PIN, PIN, PIN, PIN, "operator_pin"),
        (OTHER, PIN, PIN, PIN, "foreign"),
        (OURS, OURS, OURS, PIN, "ours"),
    ],
)
def test_whose_fee(
    seen: Fee, target: Fee | None, confirmed: Fee | None, pinned: Fee | None, whose: str
) -> None:
    assert whose_fee(seen, target, confirmed, pinned) == whose


@given(seen=fees, target=fees, confirmed=fees)
def test_only_a_fee_that_we_decided_on_is_ours(seen: Fee, target: Fee, confirmed: Fee) -> None:
    ours = whose_fee(seen, target, confirmed, None) == "ours"
    assert ours == (seen in (target, confirmed))


def test_a_hold_starts_at_first_sight_and_anew_with_a_new_value() -> None:
    first = hold_of(OTHER, None, NOW)
    assert hold_of(OTHER, first, NOW + HOUR_S) == first
    assert hold_of(OLD, first, NOW + HOUR_S) == Hold(OLD, NOW + HOUR_S)
    assert hold_left_s(first, NOW + HOUR_S, DAY_S) == 23 * HOUR_S
    assert hold_left_s(first, NOW + DAY_S, DAY_S) == 0.0


def test_a_hold_from_the_future_begins_now() -> None:
    ahead = Hold(OTHER, NOW + 30 * DAY_S)
    assert hold_of(OTHER, ahead, NOW) == Hold(OTHER, NOW)
    assert hold_left_s(ahead, NOW, DAY_S) == DAY_S
