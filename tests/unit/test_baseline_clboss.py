"""CLBoss: its three multipliers, the price game, and when fees are updated."""

from __future__ import annotations

from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.bench.baselines import BASELINES
from cl_revenue_ops.bench.baselines.clboss import (
    Clboss,
    PriceGame,
    bin_count,
    bin_multiplier,
    next_bin,
    price_multiplier,
    rivals_by_size,
    size_multiplier,
)
from tests.unit.baseline_support import DAY_S, START_S, FakeNode, channel, forward, quote, run

SAT = 1_000


def test_size() -> None:
    assert size_multiplier(0, 0, 7) == 1.0
    assert size_multiplier(0, 9, 9) == pytest.approx(0.5)
    # A quarter of the way up: sqrt(.5) + .5 (1 - sqrt(.5)) = 0.853553, squared.
    assert size_multiplier(1, 3, 4) == pytest.approx(0.728553, abs=1e-6)
    assert size_multiplier(3, 3, 6) == pytest.approx(1.0)
    # Three quarters: 1 + .5 (sqrt(16 - ln 4) - 1), squared.
    assert size_multiplier(3, 1, 4) == pytest.approx((1 + 0.5 * (sqrt(16 - log(4)) - 1)) ** 2)
    assert size_multiplier(10, 0, 10) == pytest.approx(16 - log(10))
    assert size_multiplier(1, 0, 10**9) == pytest.approx(2.0)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 20))
def test_being_bigger_never_costs_less(smaller: int, bigger: int, same: int) -> None:
    total = smaller + bigger + same
    one, more = (
        size_multiplier(smaller, bigger + 1, total + 1),
        size_multiplier(smaller + 1, bigger, total + 1),
    )
    assert 0.5 - 1e-9 <= one <= more + 1e-9 <= 16.01


def test_rivals_are_counted_by_their_capacity_into_the_peer() -> None:
    quotes = [
        quote(1, 400_000, "small"),
        quote(1, 700_000, "big"),
        quote(1, 700_000, "big"),
        quote(1, 1_000_000, "same"),
    ]
    assert rivals_by_size(quotes, 1_000_000 * SAT) == (1, 1, 3)


def test_bins() -> None:
    assert [bin_count(sat * SAT) for sat in (100_000, 1_000_000, 4_900_000, 99_000_000)] == [
        4,
        5,
        24,
        50,
    ]
    assert bin_multiplier(0, 4) == pytest.approx(50**0.375)
    assert bin_multiplier(3, 4) == pytest.approx(50**-0.375)
    assert bin_multiplier(12, 25) == pytest.approx(1.0)


def test_bins_move_with_random_hysteresis() -> None:
    assert next_bin(None, 0.55, 10, 0.999) == 5
    assert next_bin(None, 1.0, 10, 0.5) == 9
    assert next_bin(5, 0.59, 10, 0.0) == 5
    # Down to 3.25: 3 is taken with probability 0.75, else 4.
    assert (next_bin(6, 0.325, 10, 0.74), next_bin(6, 0.325, 10, 0.76)) == (3, 4)
    # Up to 7.25: 7 is taken with probability 0.25, else 6.
    assert (next_bin(5, 0.725, 10, 0.24), next_bin(5, 0.725, 10, 0.26)) == (7, 6)


@given(st.floats(0, 1), st.integers(4, 50), st.floats(0, 0.999), st.data())
def test_a_bin_is_at_most_one_off(
    share: float, bins: int, draw: float, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, bins - 1))
    found = next_bin(place, share, bins, draw)
    assert 0 <= found < bins and abs(found - min(int(share * bins), bins - 1)) <= 1


def test_prices() -> None:
    assert [price_multiplier(price) for price in (-2, -1, 0, 1, 3)] == pytest.approx(
        [0.64, 0.8, 1.0, 1.2, 1.728]
    )


def _play(game: PriceGame, fees: dict[int, int]) -> list[int]:
    """Play a whole deck; each price earns what it is worth."""
    played = []
    for _ in range(5):
        played.append(game.price)
        game.earn(fees.get(game.price, 0))
        for _ in range(288):
            game.tick()
    return played


def test_each_price_around_the_centre_is_played_for_two_days() -> None:
    game = PriceGame(np.random.default_rng(5))
    first = game.price
    for _ in range(287):
        game.tick()
    assert game.price == first
    game.tick()
    assert game.price != first


def test_the_best_price_becomes_the_centre_unless_none_earned() -> None:
    game = PriceGame(np.random.default_rng(5))
    assert sorted(_play(game, {2: 900, -1: 901, 0: 5})) == [-2, -1, 0, 1, 2]
    assert sorted(_play(game, {})) == [-3, -2, -1, 0, 1]
    assert sorted(_play(game, {1: 10})) == [-3, -2, -1, 0, 1]
    assert sorted(_play(game, {})) == [-1, 0, 1, 2, 3]


def _node(share: float = 0.5, base_msat: int = 0) -> FakeNode:
    rivals = [
        quote(100, 500_000, "a", base_msat),
        quote(300, 600_000, "b", base_msat),
        quote(900, 50_000_000, "c", base_msat),
        quote(900, 1_000, "d", base_msat),
    ]
    one = channel(0, share, capacity_msat=5_000_000 * SAT)
    return FakeNode(one, quotes={"peer0": rivals})


def _begun(name: str, seed: int, node: FakeNode) -> Clboss:
    policy = BASELINES[name](seed)
    assert isinstance(policy, Clboss)
    policy.begin(node)
    return policy


def test_the_fee_is_the_weighted_median_times_the_three() -> None:
    node = _node(base_msat=1_000)
    policy = _begun("clboss", 11, node)  # half of 25 bins: the middle one multiplies by 1
    factor = size_multiplier(3, 1, 4) * price_multiplier(policy.price("peer0"))
    assert node.sets == [(0, round(900 * factor), round(1_000 * factor))]


def test_the_base_is_a_weighted_median_too() -> None:
    node = FakeNode(channel(0, 0.5, capacity_msat=5_000_000 * SAT))
    node.asked["peer0"] = [
        quote(100, 300_000, "a", 4_000),
        quote(200, 400_000, "b", 2_000),
        quote(300, 250_000, "c", 1_000),
    ]
    policy = _begun("clboss-nosize", 11, node)
    factor = price_multiplier(policy.price("peer0"))
    assert node.sets == [(0, round(200 * factor), round(2_000 * factor))]


def test_without_size_the_rest_stays() -> None:
    node = _node(0.99)
    policy = _begun("clboss-nosize", 11, node)
    factor = bin_multiplier(24, 25) * price_multiplier(policy.price("peer0"))
    assert node.ppm() == round(900 * factor)


def test_the_least_rate_is_one_and_a_peer_without_rivals_is_left_alone() -> None:
    node = FakeNode(channel(0), channel(1), quotes={"peer0": [quote(0)]})
    _begun("clboss", 11, node)
    assert node.sets == [(0, 1, 0)]


def test_all_channels_of_a_peer_get_its_fee_by_their_common_balance() -> None:
    node = _node()
    halves = {"peer_id": "peer0", "capacity_msat": 2_500_000 * SAT}
    node.open = {0: channel(0, 0.9, **halves), 1: channel(1, 0.1, **halves)}
    policy = _begun("clboss", 11, node)
    factor = size_multiplier(3, 1, 4) * price_multiplier(policy.price("peer0"))
    assert node.ppm(0) == node.ppm(1) == round(900 * factor)


def test_updates_come_at_random_within_30_to_90_minutes() -> None:
    node = _node()
    policy = _begun("clboss", 2, node)
    gaps, last_s, seen = set[float](), START_S, 1
    for _ in range(600):
        run(policy, node, 600.0)
        if len(node.sets) > seen:
            gaps.add(node.now_s - last_s)
            last_s, seen = node.now_s, len(node.sets)
    assert gaps == {2_400.0, 3_000.0, 3_600.0, 4_200.0, 4_800.0, 5_400.0}


def test_the_price_that_earns_becomes_the_centre() -> None:
    node = _node()
    policy = _begun("clboss", 4, node)
    for _ in range(5 * 288):
        if policy.price("peer0") == 2:
            policy.settled(forward(node.now_s), node)
        run(policy, node, 600.0)
    seen = set[int]()
    for _ in range(5 * 288):
        seen.add(policy.price("peer0"))
        run(policy, node, 600.0)
    assert seen == {0, 1, 2, 3, 4}


def test_a_forward_that_only_entered_by_the_peer_scores_nothing() -> None:
    node = _node()
    policy = _begun("clboss", 4, node)
    for _ in range(5 * 288):
        if policy.price("peer0") == 2:
            policy.settled(forward(node.now_s, out_index=1, in_index=0), node)
        run(policy, node, 600.0)
    assert policy.price("peer0") in range(-2, 3)
    seen = set[int]()
    for _ in range(5 * 288):
        seen.add(policy.price("peer0"))
        run(policy, node, 600.0)
    assert seen == {-2, -1, 0, 1, 2}


def _without_price(policy: Clboss, node: FakeNode) -> float:
    """Run until the next update has used the card in play, and take the card out."""
    sets, price = len(node.sets), None
    while len(node.sets) == sets:
        run(policy, node, 600.0)
        price = policy.price("peer0")
    assert price is not None
    return node.ppm() / price_multiplier(price)


def test_size_is_looked_at_again_daily() -> None:
    node = _node()
    policy = _begun("clboss", 2, node)
    node.asked["peer0"] = [quote(900, 50_000_000, f"big{k}") for k in range(4)]
    run(policy, node, 0.5 * DAY_S)
    assert _without_price(policy, node) == pytest.approx(900 * size_multiplier(3, 1, 4), rel=0.01)
    run(policy, node, 0.6 * DAY_S)
    assert _without_price(policy, node) == pytest.approx(450, rel=0.01)


def test_size_is_looked_at_again_when_the_channels_change() -> None:
    node = _node()
    policy = _begun("clboss", 2, node)
    node.asked["peer0"] = [quote(900, 50_000_000, f"big{k}") for k in range(4)]
    node.open[7] = channel(7)
    assert _without_price(policy, node) == pytest.approx(450, rel=0.01)
