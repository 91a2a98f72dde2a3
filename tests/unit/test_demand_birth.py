"""Tests of what is believed of a destination's price before anything is seen."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.demand.birth import (
    FOUND_SD,
    LEVEL_SD,
    NOTHING_SD,
    NOWHERE_PPM,
    QUOTE_VARIANCE,
    RIVAL_VARIANCE,
    Birth,
    Opinion,
    opinions,
)

NOTHING = Birth(None, 0, None, 1e9)


def quoted(ppm: float, quotes: int) -> Birth:
    """Nothing but a quote."""
    return Birth(ppm, quotes, None, 1e9)


def found(ppm: float) -> Birth:
    """Nothing but the fee found."""
    return Birth(None, 0, ppm, 1e9)


def test_without_any_price_to_lean_on_little_is_known() -> None:
    told = opinions({"a": NOTHING})["a"]
    assert told == pytest.approx((math.log(NOWHERE_PPM), NOTHING_SD**2))


def test_a_quote_is_worth_more_the_more_rivals_make_it_but_never_all() -> None:
    told = [opinions({"a": quoted(300.0, many)})["a"] for many in (1, 4, 20, 10_000)]
    assert all(one.log_price == pytest.approx(math.log(300.0)) for one in told)
    assert [one.variance for one in told] == [
        pytest.approx(QUOTE_VARIANCE + RIVAL_VARIANCE / many) for many in (1, 4, 20, 10_000)
    ]


def test_the_fee_found_and_the_quote_are_weighed_by_their_precision() -> None:
    told = opinions({"a": Birth(100.0, 10, 400.0, 1e9)})["a"]
    quote, mine = 1.0 / (QUOTE_VARIANCE + RIVAL_VARIANCE / 10), FOUND_SD**-2
    centre = (quote * math.log(100.0) + mine * math.log(400.0)) / (quote + mine)
    assert told == pytest.approx((centre, 1.0 / (quote + mine)))


def test_a_lonely_dear_quote_does_not_drown_what_the_node_asks_everywhere() -> None:
    """One rival at a closed door's price into a peer; all of ours go for about 200 ppm."""
    births = {f"p{n}": found(150.0 + 10.0 * n) for n in range(12)}
    told = opinions({**births, "a": Birth(10_000.0, 1, 250.0, 1e9)})["a"]
    assert math.exp(told.log_price) < 330.0


def test_where_the_others_lie_counts_less_than_what_is_known_of_the_peer_itself() -> None:
    births = {f"p{n}": found(1_000.0 + n) for n in range(50)}
    told = opinions({**births, "a": found(100.0)})["a"]
    others = opinions({**births, "b": NOTHING})["b"]
    middle = 0.5 * (math.log(100.0) + others.log_price)
    assert math.log(100.0) < told.log_price < middle
    assert others.variance > LEVEL_SD**2


def test_one_fee_for_all_is_one_opinion() -> None:
    """Found everywhere alike, it says where the node lies, and hardly more than one fee would."""
    alike = {f"p{n}": found(100.0) for n in range(30)}
    apart = {f"p{n}": found(100.0 + 0.1 * n) for n in range(30)}
    one, many = opinions(alike)["p3"], opinions(apart)["p3"]
    assert math.exp(one.log_price) == pytest.approx(100.0)
    assert one.variance == pytest.approx(FOUND_SD**2 + LEVEL_SD**2, rel=0.1)
    assert many.variance < 0.4 * one.variance


def test_what_was_learned_speaks_by_how_sure_it_is() -> None:
    sure = opinions({"a": NOTHING}, [Opinion(6.0, 0.01)] * 10)["a"]
    vague = opinions({"a": NOTHING}, [Opinion(6.0, 4.0)] * 10)["a"]
    assert (sure.log_price, vague.log_price) == pytest.approx((6.0, 6.0))
    assert LEVEL_SD**2 < sure.variance < vague.variance


PPM = st.floats(1.0, 20_000.0)
BIRTHS = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=2),
    st.builds(Birth, st.none() | PPM, st.integers(0, 50), st.none() | PPM.map(round), st.just(1e9)),
    min_size=1,
    max_size=12,
)


@given(BIRTHS, st.lists(st.builds(Opinion, st.floats(0.0, 9.9), st.floats(0.001, 2.0)), max_size=5))
def test_a_prior_lies_among_what_was_told_whatever_the_order(
    births: dict[str, Birth], learned: list[Opinion]
) -> None:
    told = opinions(births, learned)
    prices = [one.log_price for one in learned]
    for birth in births.values():
        prices += [math.log(p) for p in (birth.quote_ppm, birth.found_ppm) if p is not None]
    low, high = (
        min(prices, default=math.log(NOWHERE_PPM)),
        max(prices, default=math.log(NOWHERE_PPM)),
    )
    backwards = opinions(dict(reversed(births.items())), learned)
    for name, one in told.items():
        assert low - 1e-6 <= one.log_price <= high + 1e-6
        assert 0.0 < one.variance < 20.0
        assert backwards[name].log_price == pytest.approx(one.log_price)
