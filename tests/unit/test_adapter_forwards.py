"""The parser of forwards: live rows old and new, round trips, one wrong field at a time."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.adapters.parse import parse_forward
from messages.forwards import SETTLED, STATUSES, Forward

LIMIT = 1 << 63

OFFERED_ROW: dict[str, Any] = {
    "created_index": 1,
    "in_channel": "103x1x0",
    "in_htlc_id": 0,
    "out_channel": "105x1x0",
    "out_htlc_id": 7,
    "in_msat": 10005005,
    "out_msat": 10000000,
    "fee_msat": 5005,
    "status": "offered",
    "style": "tlv",
    "received_time": 1795355619.3729768,
}
SETTLED_ROW = {
    **OFFERED_ROW,
    "updated_index": 1,
    "status": "settled",
    "resolved_time": 1795355619.6860626,
}

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["02" + "ab" * 32, "ab" * 32, "103x1x0", "5msat", "settled", "local"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
scids = st.builds(
    lambda block, index, output: f"{block}x{index}x{output}",
    st.integers(0, 2**24 - 1),
    st.integers(0, 2**24 - 1),
    st.integers(0, 2**16 - 1),
)
counts = st.integers(0, LIMIT - 1)
times = st.floats(0, 4e9)


@st.composite
def forwards(draw: st.DrawFn) -> Forward:
    """Any forward that a node may report."""
    status = draw(st.sampled_from(STATUSES))
    routed = status == SETTLED or draw(st.booleans())
    in_msat = draw(counts)
    out_msat = draw(st.integers(0, in_msat)) if routed else None
    return Forward(
        in_scid=draw(scids),
        in_htlc_id=draw(counts),
        out_scid=draw(scids) if routed else draw(st.none() | scids),
        in_msat=in_msat,
        out_msat=out_msat,
        fee_msat=None if out_msat is None else in_msat - out_msat,
        status=status,
        received_at_s=draw(times),
        resolved_at_s=draw(st.none() | times),
        failcode=draw(st.none() | st.integers(0, 65535)),
        created_index=draw(st.none() | counts),
        updated_index=draw(st.none() | counts),
    )


def as_row(forward: Forward, old: bool) -> dict[str, Any]:
    """The row that lightningd would send; `old` writes amounts as text, as up to v23.02."""

    def msat(amount: int | None) -> object:
        return f"{amount}msat" if old and amount is not None else amount

    row = {
        "in_channel": forward.in_scid,
        "in_htlc_id": forward.in_htlc_id,
        "out_channel": forward.out_scid,
        "in_msat": msat(forward.in_msat),
        "out_msat": msat(forward.out_msat),
        "fee_msat": msat(forward.fee_msat),
        "status": forward.status,
        "received_time": forward.received_at_s,
        "resolved_time": forward.resolved_at_s,
        "failcode": forward.failcode,
        "created_index": forward.created_index,
        "updated_index": forward.updated_index,
        "style": "tlv",
    }
    return {key: value for key, value in row.items() if value is not None}


@given(forward=forwards(), old=st.booleans())
def test_a_forward_survives_the_wire(forward: Forward, old: bool) -> None:
    assert parse_forward(as_row(forward, old)) == forward


@given(forward=forwards(), field=st.sampled_from(sorted(SETTLED_ROW)), value=anything)
def test_a_forward_with_one_odd_field_is_left_out_or_sound(
    forward: Forward, field: str, value: object
) -> None:
    parsed = parse_forward({**as_row(forward, old=False), field: value})
    if parsed is None:
        return
    assert parse_forward(as_row(parsed, old=False)) == parsed
    assert type(parsed.in_msat) is int
    assert type(parsed.received_at_s) is float
    assert math.isfinite(parsed.received_at_s)
    if parsed.out_msat is not None:
        assert parsed.fee_msat == parsed.in_msat - parsed.out_msat >= 0
    assert parsed.status != SETTLED or None not in (parsed.out_scid, parsed.out_msat)


def test_live_rows_are_understood() -> None:
    assert parse_forward(OFFERED_ROW) == Forward(
        "103x1x0", 0, "105x1x0", 10005005, 10000000, 5005, "offered",
        1795355619.3729768, None, None, 1, None,
    )  # fmt: skip
    settled = parse_forward(SETTLED_ROW)
    assert settled is not None
    assert settled.resolved_at_s == 1795355619.6860626
    assert settled.updated_index == 1
    never_routed = {
        "created_index": 3,
        "in_channel": "103x1x0",
        "in_htlc_id": 2,
        "in_msat": 1000,
        "status": "local_failed",
        "received_time": 1795355700,
        "failcode": 16399,
        "failreason": "WIRE_INVALID_ONION_BLINDING",
    }
    assert parse_forward(never_routed) == Forward(
        "103x1x0", 2, None, 1000, None, None, "local_failed", 1795355700.0, None, 16399, 3, None
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("in_channel", "103x1"),
        ("in_channel", None),
        ("in_htlc_id", None),
        ("in_htlc_id", "0"),
        ("in_htlc_id", True),
        ("in_htlc_id", -1),
        ("in_htlc_id", 2**63),
        ("in_msat", -1),
        ("in_msat", 2**63),
        ("in_msat", 10005005.0),
        ("out_channel", "nowhere"),
        ("out_channel", None),
        ("out_msat", None),
        ("fee_msat", None),
        ("fee_msat", 5006),
        ("fee_msat", "5005"),
        ("status", "unheard of"),
        ("status", ["settled"]),
        ("received_time", None),
        ("received_time", float("nan")),
        ("received_time", -1.0),
        ("received_time", True),
        ("resolved_time", "soon"),
        ("failcode", -1),
        ("created_index", "1"),
        ("updated_index", 1.0),
    ],
)
def test_a_settled_row_with_a_wrong_field_is_left_out(field: str, value: object) -> None:
    assert parse_forward(SETTLED_ROW) is not None
    assert parse_forward({**SETTLED_ROW, field: value}) is None


def test_a_wrong_outgoing_channel_costs_an_unsettled_row_too() -> None:
    assert parse_forward({**OFFERED_ROW, "out_channel": "nowhere"}) is None


def test_a_fee_below_nothing_is_left_out() -> None:
    row = {**SETTLED_ROW, "out_msat": 10005006, "fee_msat": -1}
    assert parse_forward(row) is None
