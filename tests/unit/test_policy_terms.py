"""What a policy asks at a moment: exact fees, bounds and their order, ends, and rebalances."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.policy.terms import (
    PPM_MOST,
    Limits,
    Terms,
    limits_of,
    may_drain,
    may_fill,
    terms_of,
)
from messages.policies import REBALANCE_MODES, PeerPolicy
from tests.unit.fees_support import NOW, peer_policies

PEER = "02" + "cd" * 32
NODE_WIDE = Limits(10, 5000)


def limits(neutral_ppm: float, **bounds: float) -> Limits:
    """The limits under a dynamic policy with these bounds."""
    policy = PeerPolicy(PEER, **bounds)  # type: ignore[arg-type]  # ppm are whole in these tests
    return limits_of(terms_of(policy, NOW, 0), NODE_WIDE, neutral_ppm)


def test_a_plain_policy_or_none_asks_nothing_of_fees() -> None:
    assert terms_of(None, NOW, 3) is None
    assert terms_of(PeerPolicy(PEER, rebalance="disabled", tags=("x",)), NOW, 3) is None
    assert limits_of(None, NODE_WIDE, 200.0) == NODE_WIDE


def test_static_hive_and_equal_bounds_are_exact_fees_with_their_end() -> None:
    static = terms_of(PeerPolicy(PEER, "static", fee_ppm=77_000, expires_at_s=NOW + 5), NOW, 3)
    assert static == Terms("static", 0.0, NOW + 5, 77_000)
    assert static.origin == "static"
    hive = terms_of(PeerPolicy(PEER, "hive", fee_ppm=99, min_fee_ppm=50), NOW, 3)
    assert hive is not None
    assert (hive.pin_ppm, hive.pin_base_msat, hive.origin, hive.bounded) == (3, 0, "hive", False)
    equal = terms_of(PeerPolicy(PEER, min_fee_ppm=50, max_fee_ppm=50), NOW, 3)
    assert equal is not None
    assert (equal.pin_ppm, equal.origin, equal.bounded) == (50, "equal bounds", False)


def test_a_static_policy_without_a_fee_orders_none_and_keeps_its_bounds() -> None:
    assert terms_of(PeerPolicy(PEER, "static"), NOW, 3) is None
    bounded = terms_of(PeerPolicy(PEER, "static", max_fee_ppm=50), NOW, 3)
    assert bounded is not None
    assert (bounded.pin_ppm, bounded.max_ppm, bounded.bounded) == (None, 50, True)


@pytest.mark.parametrize("strategy", ["static", "hive", "passive", "dynamic"])
def test_an_end_holds_from_its_second_on(strategy: str) -> None:
    policy = PeerPolicy(PEER, strategy, fee_ppm=7, max_fee_ppm=9, expires_at_s=NOW)
    assert terms_of(policy, NOW - 0.001, 3) is not None
    assert terms_of(policy, NOW, 3) is None
    assert terms_of(policy, NOW + 1.0, 3) is None


@pytest.mark.parametrize(
    ("bounds", "neutral_ppm", "wanted"),
    [
        # An absolute bound stands in place of the configured one on its side.
        ({"min_fee_ppm": 2}, 200.0, (2, 5000)),
        ({"max_fee_ppm": 9000}, 200.0, (10, 9000)),
        ({"min_fee_ppm": 7000}, 200.0, (7000, 7000)),
        ({"max_fee_ppm": 5}, 200.0, (5, 5)),
        ({"min_fee_ppm": 100, "max_fee_ppm": 9000}, 200.0, (100, 9000)),
        # Multiples narrow, rounded inwards.
        ({"fee_multiplier_min": 0.5, "fee_multiplier_max": 2.0}, 201.0, (101, 402)),
        ({"fee_multiplier_min": 0.1, "fee_multiplier_max": 5.0}, 50.0, (10, 250)),
        ({"fee_multiplier_max": 5.0}, 4000.0, (10, 5000)),
        # A multiple wins over a configured bound, an absolute bound over a multiple.
        ({"fee_multiplier_max": 2.0}, 3.0, (6, 6)),
        ({"fee_multiplier_min": 2.0}, 4000.0, (8000, 8000)),
        ({"fee_multiplier_max": 2.0, "min_fee_ppm": 100}, 3.0, (100, 100)),
        ({"fee_multiplier_min": 2.0, "max_fee_ppm": 300}, 4000.0, (300, 300)),
        ({"fee_multiplier_max": 2.0, "max_fee_ppm": 9000}, 200.0, (10, 400)),
        # Where no whole ppm lies between two multiples the upper one holds.
        ({"fee_multiplier_min": 1.0, "fee_multiplier_max": 1.0}, 200.5, (200, 200)),
    ],
)
def test_the_order_of_bounds(
    bounds: dict[str, float], neutral_ppm: float, wanted: tuple[int, int]
) -> None:
    assert limits(neutral_ppm, **bounds) == wanted


def test_what_gossip_cannot_hold_is_cut() -> None:
    static = terms_of(PeerPolicy(PEER, "static", fee_ppm=1 << 40), NOW, 3)
    assert static is not None
    assert static.pin_ppm == PPM_MOST
    assert limits(1e9, fee_multiplier_min=5.0).floor_ppm == PPM_MOST
    assert limits(float("inf"), fee_multiplier_min=5.0).floor_ppm == PPM_MOST


@given(
    policy=peer_policies,
    low=st.integers(0, 500),
    spread=st.integers(0, 8000),
    neutral_ppm=st.floats(0.01, 20_000.0),
)
def test_a_law_of_all_bounds(policy: PeerPolicy, low: int, spread: int, neutral_ppm: float) -> None:
    """Each bound holds, unless one that stands above it does not let it."""
    terms = terms_of(policy, NOW, 5)
    if terms is None or not terms.bounded:
        return
    configured = Limits(low, low + spread)
    floor, ceiling = limits_of(terms, configured, neutral_ppm)
    assert 0 <= floor <= ceiling <= PPM_MOST
    own_min, own_max = terms.min_ppm or 0, terms.max_ppm
    assert floor >= own_min
    assert own_max is None or ceiling <= own_max
    if terms.max_multiple is not None:
        assert ceiling <= max(terms.max_multiple * neutral_ppm, own_min)
    if terms.min_multiple is not None and terms.max_multiple is None:
        assert floor >= min(
            terms.min_multiple * neutral_ppm, PPM_MOST if own_max is None else own_max
        )
    moving = terms.min_multiple is not None or terms.max_multiple is not None
    if terms.min_ppm is None and not moving:
        assert floor == min(low, ceiling)
    if terms.max_ppm is None and not moving:
        assert ceiling == max(low + spread, floor)


@pytest.mark.parametrize(
    ("mode", "fill", "drain"),
    [
        ("enabled", True, True),
        ("disabled", False, False),
        ("source_only", False, True),
        ("sink_only", True, False),
    ],
)
def test_which_way_rebalances_may_go(mode: str, fill: bool, drain: bool) -> None:
    policy = PeerPolicy(PEER, "passive", rebalance=mode, expires_at_s=NOW)
    assert (may_fill(policy, NOW - 1), may_drain(policy, NOW - 1)) == (fill, drain)
    assert (may_fill(policy, NOW), may_drain(policy, NOW)) == (True, True), "it has ended"
    lasting = policy._replace(expires_at_s=None)
    assert (may_fill(lasting, NOW), may_drain(lasting, NOW)) == (fill, drain)


def test_without_a_policy_everything_may_be_rebalanced() -> None:
    assert (may_fill(None, NOW), may_drain(None, NOW)) == (True, True)
    assert set(REBALANCE_MODES) == {"enabled", "disabled", "source_only", "sink_only"}
