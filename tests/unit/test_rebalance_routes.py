"""What routes cost and whether they work, as learned from our own jobs."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.rebalance.routes import (
    ANY,
    DRIFT_VARIANCE_PER_DAY,
    FIRST_MEAN,
    FIRST_SD,
    KEPT_OUTCOMES,
    NODES,
    NOISE_SD,
    SPREAD_SD,
    RouteBook,
)
from tests.unit.rebalance_support import DAY_S, MILLION, NOW

A, B, C, D = "peer-a", "peer-b", "peer-c", "peer-d"
PRICES = st.floats(0.5, 50_000.0)


def middle(book: RouteBook, source: str = A, destination: str = B, now_s: float = NOW) -> float:
    costs = book.costs_ppm(source, destination, 100.0, 0.0, now_s)
    return costs[NODES // 2]


# -- prices ----------------------------------------------------------------------------------------


def test_of_an_unknown_route_it_is_known_how_little_is() -> None:
    law = RouteBook().law(A, B, NOW)
    assert law.mean == FIRST_MEAN
    assert law.variance == pytest.approx(FIRST_SD**2 + 2 * SPREAD_SD**2)


def test_prices_by_hand() -> None:
    """others 100, mu 0.1, sd^2 = 0.36 + 2 0.2025 + 0.1225: quantiles 0.5/24, 11.5/24, 23.5/24."""
    costs = RouteBook().costs_ppm(A, B, 100.0, 0.0, NOW)
    sd = math.sqrt(0.8875)
    for place, z in ((0, -2.036834), (11, -0.052245), (23, 2.036834)):
        assert costs[place] == pytest.approx(100.0 * math.exp(0.1 + sd * z), rel=1e-5)


@given(PRICES, st.floats(1.0, 5_000.0), st.floats(0.0, 3_000.0), st.floats(0.0, 100.0))
def test_law_prices_rise_and_none_is_below_what_the_last_hop_charges(
    cost: float, others: float, least: float, days: float
) -> None:
    book = RouteBook()
    book.paid(A, B, others, cost, NOW)
    costs = book.costs_ppm(A, B, others, least, NOW + days * DAY_S)
    assert len(costs) == NODES
    assert all(low <= high for low, high in pairwise(costs))
    assert costs[0] >= least


@given(PRICES, st.integers(0, 5))
def test_law_what_was_paid_moves_the_price_towards_it_and_narrows_it(
    cost: float, before: int
) -> None:
    book = RouteBook()
    for _ in range(before):
        book.paid(A, B, 100.0, 90.0, NOW)
    old, value = book.law(A, B, NOW), math.log(cost / 100.0)
    book.paid(A, B, 100.0, cost, NOW)
    new = book.law(A, B, NOW)
    assert min(old.mean, value) - 1e-9 <= new.mean <= max(old.mean, value) + 1e-9
    assert abs(new.mean - value) <= abs(old.mean - value)
    assert new.variance < old.variance


@given(st.floats(0.5, 500_000.0), st.integers(0, 8))
def test_law_what_was_too_dear_raises_the_price_and_never_makes_it_less_sure(
    most: float, before: int
) -> None:
    """However unlikely it was: also where the route was thought to cost a tenth of that."""
    book = RouteBook()
    for _ in range(before):
        book.paid(A, B, 100.0, 50.0, NOW)
    old = {key: book.law(*key, NOW) for key in ((A, B), (ANY, B), (ANY, ANY))}
    book.too_dear(A, B, 100.0, most, NOW)
    for key, law in old.items():
        new = book.law(*key, NOW)
        assert new.mean >= law.mean
        assert new.variance <= law.variance + 1e-12
        if most >= 100.0:
            assert new.mean > law.mean + 1e-3


@given(st.floats(1.0, 50_000.0), st.floats(1.0, 50_000.0))
def test_law_the_higher_the_price_that_did_not_do_the_dearer_the_route(
    one: float, other: float
) -> None:
    found = []
    for most in sorted((one, other)):
        book = RouteBook()
        book.paid(A, B, 100.0, 50.0, NOW)
        book.too_dear(A, B, 100.0, most, NOW)
        found.append(book.law(A, B, NOW).mean)
    assert found[0] <= found[1] + 1e-9


def test_what_was_learned_by_hand() -> None:
    """One payment at e times the price of others: gains v / (v + sd^2) of the three laws."""
    book, spread = RouteBook(), SPREAD_SD**2
    book.paid(A, B, 100.0, 100.0 * math.e, NOW)
    node, into, pair = 0.36, 0.36 + spread, 0.36 + 2 * spread
    for key, prior, noise in (
        ((ANY, ANY), node, NOISE_SD**2 + 2 * spread),
        ((ANY, B), into, NOISE_SD**2 + spread),
        ((A, B), pair, NOISE_SD**2),
    ):
        law, gain = book.laws[key], prior / (prior + noise)
        assert law.mean == pytest.approx(0.1 + gain * 0.9)
        assert law.variance == pytest.approx((1.0 - gain) * prior)


def test_what_was_too_dear_by_hand() -> None:
    """At the very mean: z = 0, so mu rises by v / sd sqrt(2 / pi), v falls by (v / sd)^2 2 / pi."""
    book = RouteBook()
    book.too_dear(A, B, 100.0, 100.0 * math.exp(0.1), NOW)
    variance, total = 0.765, math.sqrt(0.8875)
    law = book.law(A, B, NOW)
    assert law.mean == pytest.approx(0.1 + variance / total * math.sqrt(2 / math.pi))
    assert law.variance == pytest.approx(variance - (variance / total) ** 2 * 2 / math.pi)


def test_a_pair_leans_on_its_destination_and_that_on_the_node() -> None:
    book = RouteBook()
    for _ in range(6):
        book.paid(A, B, 100.0, 400.0, NOW)
    own, same, other = middle(book), middle(book, C, B), middle(book, C, D)
    assert own > same > other > middle(RouteBook())
    assert book.law(C, B, NOW).variance > book.law(A, B, NOW).variance
    for _ in range(6):
        book.paid(C, B, 100.0, 40.0, NOW)
    assert middle(book, C, B) < middle(book, D, B) < middle(book, A, B)


def test_with_time_a_law_spreads_and_its_mean_stays() -> None:
    book = RouteBook()
    book.paid(A, B, 100.0, 400.0, NOW)
    now, later = book.law(A, B, NOW), book.law(A, B, NOW + 5 * DAY_S)
    assert later.mean == now.mean
    assert later.variance == pytest.approx(now.variance + 5 * DRIFT_VARIANCE_PER_DAY)
    assert book.law(A, B, NOW - DAY_S) == now._replace(at_s=NOW - DAY_S)


@given(st.floats(0.0, 5_000.0), PRICES)
def test_law_what_was_once_learned_is_never_less_sure_than_what_never_was(
    days: float, cost: float
) -> None:
    book, at_s = RouteBook(), NOW + days * DAY_S
    book.paid(A, B, 100.0, cost, NOW)
    own, never = book.law(A, B, at_s), book.law(C, B, at_s)
    assert own.variance <= never.variance + 1e-9
    assert never.variance <= book.law(C, D, at_s).variance + 1e-9
    assert book.law(C, D, at_s).variance <= RouteBook().law(C, D, at_s).variance + 1e-9


# -- success ---------------------------------------------------------------------------------------


def test_success_by_hand() -> None:
    """(good + 2 wider) / (good + bad + 2), from 0.7 over node and destination to the pair."""
    book = RouteBook()
    assert book.success(A, B, MILLION, NOW) == pytest.approx(0.7)
    book.came(A, B, MILLION, True, 1.0, NOW)
    node = (1 + 2 * 0.7) / 3
    into = (1 + 2 * node) / 3
    assert book.success(C, D, MILLION, NOW) == pytest.approx(node)
    assert book.success(C, B, MILLION, NOW) == pytest.approx((2 * into) / 2)
    assert book.success(A, B, MILLION, NOW) == pytest.approx((1 + 2 * into) / 3)
    book = RouteBook()
    book.came(A, B, MILLION, False, 3.0, NOW)
    assert book.success(C, D, MILLION, NOW) == pytest.approx(2 * 0.7 / 5)
    assert book.success(A, B, MILLION, NOW) == pytest.approx(0.7 * (2 / 5) ** 3)


def test_an_outcome_counts_half_after_three_days_in_fractions() -> None:
    book = RouteBook()
    book.came(A, B, MILLION, False, 1.0, NOW)
    for days in (0.0, 0.5, 3.0, 4.25):
        bad = 0.5 ** (days / 3.0)
        expected = 0.7 * (2 / (2 + bad)) ** 3
        assert book.success(A, B, MILLION, NOW + days * DAY_S) == pytest.approx(expected)


def test_what_came_through_says_so_of_less_and_what_failed_of_more() -> None:
    book = RouteBook()
    book.came(A, B, MILLION, True, 2.0, NOW)
    assert book.success(A, B, MILLION // 10, NOW) == book.success(A, B, MILLION, NOW) > 0.7
    assert book.success(A, B, 2 * MILLION, NOW) == pytest.approx(0.7)
    book = RouteBook()
    book.came(A, B, MILLION, False, 2.0, NOW)
    assert book.success(A, B, 10 * MILLION, NOW) == book.success(A, B, MILLION, NOW) < 0.7
    assert book.success(A, B, MILLION // 2, NOW) == pytest.approx(0.7)


OUTCOMES = st.lists(
    st.tuples(st.integers(1, 4_000), st.booleans(), st.floats(0.0, 9.0), st.floats(0.0, 20.0)),
    max_size=15,
)


@given(OUTCOMES, st.integers(1, 4_000), st.integers(1, 4_000))
def test_law_success_is_a_probability_and_more_is_never_likelier(
    outcomes: list[tuple[int, bool, float, float]], one: int, other: int
) -> None:
    book = RouteBook()
    for thousands, ok, weight, days in outcomes:
        book.came(A, B, thousands * 1_000_000, ok, weight, NOW - days * DAY_S)
    low, high = sorted((one, other))
    less, more = (book.success(A, B, size * 1_000_000, NOW) for size in (low, high))
    assert 0.0 <= more <= less + 1e-12
    assert less <= 1.0


@given(OUTCOMES, st.booleans())
def test_law_an_outcome_moves_success_its_own_way(
    outcomes: list[tuple[int, bool, float, float]], ok: bool
) -> None:
    book = RouteBook()
    for thousands, came, weight, days in outcomes[: KEPT_OUTCOMES - 1]:
        book.came(A, B, thousands * 1_000_000, came, weight, NOW - days * DAY_S)
    before = book.success(A, B, MILLION, NOW)
    book.came(A, B, MILLION, ok, 1.0, NOW)
    after = book.success(A, B, MILLION, NOW)
    assert after >= before if ok else after <= before


def test_no_more_outcomes_are_kept_than_count() -> None:
    book = RouteBook()
    for number in range(40):
        book.came(A, B, number * 1_000, True, 1.0, NOW)
    for key in ((A, B), (ANY, B), (ANY, ANY)):
        assert [one.amount_msat for one in book.outcomes[key]] == [
            number * 1_000 for number in range(40 - KEPT_OUTCOMES, 40)
        ]


# -- memory ----------------------------------------------------------------------------------------

EVENTS = st.lists(
    st.tuples(
        st.sampled_from([A, B, C]), st.sampled_from([B, C, D]), st.sampled_from("pdy"),
        st.floats(0.5, 5_000.0), st.floats(0.0, 9.0),
    ),
    max_size=12,
)  # fmt: skip


def taught(events: list[tuple[str, str, str, float, float]]) -> RouteBook:
    book = RouteBook()
    for source, destination, what, ppm, days in events:
        at_s = NOW + days * DAY_S
        if what == "p":
            book.paid(source, destination, 100.0, ppm, at_s)
        elif what == "d":
            book.too_dear(source, destination, 100.0, ppm, at_s)
        else:
            book.came(source, destination, round(ppm * 1e6), ppm < 500.0, days, at_s)
    return book


@given(EVENTS)
def test_law_what_was_learned_comes_back_exactly(
    events: list[tuple[str, str, str, float, float]],
) -> None:
    book = taught(events)
    assert RouteBook.from_row(json.loads(json.dumps(book.to_row()))) == book


@given(EVENTS)
def test_law_what_is_forgotten_is_what_names_a_peer_that_is_no_more(
    events: list[tuple[str, str, str, float, float]],
) -> None:
    book = taught(events)
    keys = {*book.laws, *book.outcomes}
    book.forget(frozenset({A, B}))
    assert {*book.laws, *book.outcomes} == {key for key in keys if set(key) <= {A, B, ANY}}
    book.forget(frozenset())
    assert {*book.laws, *book.outcomes} <= {(ANY, ANY)}


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"laws": []},
        {"laws": [["a", "b", 0.1, 0.0, 1.0]], "outcomes": []},
        {"laws": [["a", "b", 0.1, math.inf, 1.0]], "outcomes": []},
        {"laws": [["a", "b", math.nan, 1.0, 1.0]], "outcomes": []},
        {"laws": [["a", "b", 0.1, 0.2]], "outcomes": []},
        {"laws": [["a"]], "outcomes": []},
        {"laws": [], "outcomes": [["a", "b", [1.0, 5, True]]]},
        {"laws": [], "outcomes": [["a", "b", [1.0, 5, True, -1.0]]]},
        {"laws": [], "outcomes": [["a", "b", [math.nan, 5, True, 1.0]]]},
    ],
)
def test_anything_else_is_refused(row: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        RouteBook.from_row(row)
