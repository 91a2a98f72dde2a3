"""Rebalances found in the node's movements: pairs in any order, parts, strangers, doubled pages."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.policy import costs
from cl_revenue_ops.domain.policy.costs import Costs, Rebalance, rebalances
from messages.moves import OwnMove

A, B, C = "aa" * 32, "bb" * 32, "cc" * 32
HASH, OTHER = "11" * 32, "22" * 32
NOW_S = 1_700_000_000.0
DAY_S = 86_400.0


def left(index: int, channel_id: str, msat: int, fees_msat: int, hash_: str = HASH) -> OwnMove:
    """What a payment took from a channel: `msat` with its fees."""
    return OwnMove(index, channel_id, 0, msat, fees_msat, hash_, NOW_S)


def came(index: int, channel_id: str, msat: int, hash_: str = HASH) -> OwnMove:
    return OwnMove(index, channel_id, msat, 0, 0, hash_, NOW_S)


def test_the_cost_is_charged_to_the_channel_that_was_filled() -> None:
    made = rebalances([came(1, B, 1_000_000), left(2, A, 1_000_250, 250)])
    assert made == (Rebalance(filled=B, drained=A, amount_msat=1_000_000, cost_msat=250),)
    assert Costs(made).by_channel() == {B: 250}
    assert rebalances([left(1, A, 1_000_250, 250), came(2, B, 1_000_000)]) == made


def test_what_has_no_counterpart_is_paid_to_or_by_somebody_else() -> None:
    assert rebalances([left(1, A, 1_000_250, 250)]) == ()
    assert rebalances([came(1, B, 1_000_000)]) == ()
    assert rebalances([left(1, A, 1_000_250, 250, OTHER), came(2, B, 1_000_000)]) == ()


def test_what_came_must_be_what_left_without_its_fees() -> None:
    """Whoever passes somebody's payment on as one of its own has both, and they differ."""
    for msat in (999_999, 1_000_001, 1_000_250):
        assert rebalances([came(1, B, msat), left(2, A, 1_000_250, 250)]) == ()


def test_each_part_is_charged_where_it_arrived() -> None:
    made = rebalances(
        [
            left(1, A, 600_060, 60),
            left(2, A, 400_004, 4),
            came(3, B, 400_000),
            came(4, C, 600_000),
        ]
    )
    assert Costs(made).by_channel() == {C: 60, B: 4}


def test_equal_parts_are_matched_in_their_order_and_none_twice() -> None:
    parts = [left(1, A, 101, 1), left(2, A, 102, 2), left(3, A, 103, 3)]
    made = rebalances([*parts, came(4, B, 100), came(5, C, 100)])
    assert Costs(made).by_channel() == {B: 1, C: 2}


def test_several_into_one_channel_add_up() -> None:
    made = rebalances(
        [
            *(left(1, A, 101, 1), came(2, B, 100)),
            *(left(3, C, 5_005, 5, OTHER), came(4, B, 5_000, OTHER)),
        ]
    )
    assert Costs(made).by_channel() == {B: 6}


def test_only_what_moved_within_the_window_counts() -> None:
    rows = [came(n, B, 1)._replace(at_s=NOW_S + n) for n in range(-2, 3)]
    assert costs.within(rows, NOW_S - 1, NOW_S + 1) == rows[1:4]


# -- in words -------------------------------------------------------------------------------------

ONE = (Rebalance(B, A, 1_000_000, 2_500_999),)


def test_what_is_known_is_said_as_far_as_it_is_known() -> None:
    whole = costs.figures(Costs(ONE, NOW_S - 7 * DAY_S), NOW_S)
    assert whole["rebalance_costs_since"] == int(NOW_S - 7 * DAY_S)
    assert (whole["rebalances_in_window"], whole["rebalance_cost_in_window_sats"]) == (1, 2_500)
    assert str(whole["rebalance_costs"]).startswith("1 rebalance cost 2500 sats, by the node's")
    part = costs.figures(Costs(ONE, NOW_S - 2.5 * DAY_S, "too many rows", unreadable=3), NOW_S)
    assert part["rebalance_costs_since"] == int(NOW_S - 2.5 * DAY_S)
    for word in ("last 2.5 days", "too many rows", "at least", "3 movements"):
        assert word in str(part["rebalance_costs"])
    none = costs.figures(Costs(lacks=costs.NOT_OFFERED), NOW_S)
    assert "listchannelmoves" in str(none.pop("rebalance_costs"))
    assert set(none.values()) == {None}


# -- laws -----------------------------------------------------------------------------------------


class Part(NamedTuple):
    """One part of a payment; its amount and fee in msat."""

    drained: str
    filled: str
    amount_msat: int
    fee_msat: int


CHANNELS = st.sampled_from([A, B, C])
PARTS = st.builds(Part, CHANNELS, CHANNELS, st.integers(1, 3), st.integers(0, 3))
PAYMENTS = st.lists(st.lists(PARTS, min_size=1, max_size=4), max_size=5)
STRANGERS = st.lists(st.tuples(st.booleans(), CHANNELS, st.integers(1, 9)), max_size=5)


def booked(payments: list[list[Part]], strangers: list[tuple[bool, str, int]]) -> list[OwnMove]:
    """The rows of self-payments, and single ones of payments to and by others."""
    rows: list[OwnMove] = []
    for number, parts in enumerate(payments):
        hash_ = f"{number:064x}"
        for part in parts:
            rows.append(came(0, part.filled, part.amount_msat, hash_))
            rows.append(
                left(0, part.drained, part.amount_msat + part.fee_msat, part.fee_msat, hash_)
            )
    for number, (pays, channel_id, msat) in enumerate(strangers):
        hash_ = f"{1_000 + number:064x}"
        row = left(0, channel_id, msat, 1, hash_) if pays else came(0, channel_id, msat, hash_)
        rows.append(row)
    return rows


@given(PAYMENTS, STRANGERS, st.data())
def test_all_rebalances_are_found_and_nothing_else_in_whatever_order(
    payments: list[list[Part]], strangers: list[tuple[bool, str, int]], data: st.DataObject
) -> None:
    rows = data.draw(st.permutations(booked(payments, strangers)))
    rows = [row._replace(created_index=place) for place, row in enumerate(rows, start=1)]
    parts = [part for payment in payments for part in payment]
    made = rebalances(rows)
    assert len(made) == len(parts)
    assert sum(one.cost_msat for one in made) == sum(part.fee_msat for part in parts)
    for channel_id in (A, B, C):
        arrived = sum(part.amount_msat for part in parts if part.filled == channel_id)
        assert sum(one.amount_msat for one in made if one.filled == channel_id) == arrived
    read = (
        data.draw(st.permutations(rows + data.draw(st.lists(st.sampled_from(rows))) * 2))
        if rows
        else []
    )
    assert sorted(rebalances(read)) == sorted(made), "read in any order, rows read twice"


@given(PAYMENTS, st.integers(0, 40))
def test_where_the_list_is_cut_off_fewer_are_found_and_never_more(
    payments: list[list[Part]], cut: int
) -> None:
    rows = [
        row._replace(created_index=place) for place, row in enumerate(booked(payments, []), start=1)
    ]
    whole, newest = rebalances(rows), rebalances(rows[cut:])
    assert len(newest) <= len(whole)
    assert sum(one.amount_msat for one in newest) <= sum(one.amount_msat for one in whole)
