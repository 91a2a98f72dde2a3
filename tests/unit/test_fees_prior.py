"""The prior price: others' quotes into the peer, sanely weighed."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.fees.prior import (
    KEEP_OUT_PPM,
    UNKNOWN_SPREAD,
    Quote,
    price_ppm,
    prior_price,
)

US = "02" + "aa" * 32


def quote(
    ppm: int, sats: int = 1_000_000, *, base: int = 0, source: str = "x", on: bool = True
) -> Quote:
    return Quote(source, f"{ppm}x{sats}x{base}", sats * 1000, on, base, ppm)


quotes = st.lists(
    st.builds(
        Quote,
        st.sampled_from(["a", "b", US]),
        st.text(max_size=3),
        st.integers(0, 10**10),
        st.booleans(),
        st.integers(0, 10_000),
        st.integers(0, 50_000),
    ),
    max_size=12,
)


def test_golden_median_is_weighed_by_capacity() -> None:
    many_small = [quote(1000, 100_000) for _ in range(4)]
    prior = prior_price([*many_small, quote(100, 500_000), quote(110, 400_000)], US)
    assert prior is not None
    assert prior.ppm == pytest.approx(110.0)
    assert prior.quotes == 6


def test_weight_that_halves_between_two_prices_takes_their_middle() -> None:
    prior = prior_price([quote(100), quote(400)], US)
    assert prior is not None
    assert prior.ppm == pytest.approx(200.0, rel=1e-3)
    assert (prior.spread, prior.quotes) == (UNKNOWN_SPREAD, 2)


@pytest.mark.parametrize(
    "left_out",
    [
        quote(5, source=US),
        quote(5, on=False),
        quote(0),
        quote(int(KEEP_OUT_PPM) + 1),
        quote(5, 0),
    ],
)
def test_our_own_disabled_free_closed_and_empty_channels_are_no_quotes(left_out: Quote) -> None:
    assert prior_price([left_out], US) is None
    heavy = left_out._replace(capacity_msat=left_out.capacity_msat * 100)
    with_it = prior_price([quote(200), quote(300), heavy], US)
    assert with_it == prior_price([quote(200), quote(300)], US)


def test_nobody_quotes() -> None:
    assert prior_price([], US) is None


def test_the_base_fee_counts_as_a_typical_forward_pays_it() -> None:
    assert price_ppm(quote(10, base=1000)) == pytest.approx(20.0)
    assert price_ppm(quote(10, base=1000), typical_msat=1_000_000) == pytest.approx(1010.0)


def test_a_lone_outlier_among_many_does_not_widen_the_spread() -> None:
    crowd = [quote(ppm) for ppm in (180, 190, 200, 210, 220, 205)]
    plain, with_joke = prior_price(crowd, US), prior_price([*crowd, quote(15_000)], US)
    assert plain is not None
    assert with_joke is not None
    assert with_joke.quotes == plain.quotes
    assert with_joke.ppm == pytest.approx(plain.ppm, rel=0.05)
    assert with_joke.spread < 0.3


@given(quotes=quotes, order=st.randoms(use_true_random=False))
def test_the_price_lies_among_the_quotes_and_their_order_does_not_matter(
    quotes: list[Quote], order: random.Random
) -> None:
    prior = prior_price(quotes, US)
    used = [price_ppm(q) for q in quotes if q.source != US and q.active and q.capacity_msat]
    if prior is not None:
        assert min(used) * 0.999 - 0.001 <= prior.ppm <= max(used) * 1.001 + 0.001
        assert prior.spread >= 0.0
        assert 1 <= prior.quotes <= len(used)
    shuffled = list(quotes)
    order.shuffle(shuffled)
    assert prior_price(shuffled, US) == prior
