"""Tests of what stock is worth: the fluid plan of a node, solved step by step."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.domain.demand import shadow
from cl_revenue_ops.domain.demand.belief import greedy_log_fees
from cl_revenue_ops.domain.demand.curve import FEES, FloatArray, within
from cl_revenue_ops.domain.demand.shadow import LEAN, MOST_LEVELS, Mix, Multipliers, Plan
from tests.unit.demand_support import curve

CAPACITY = 1e10
DEMAND = curve(150.0, 3.0, 2e9)
NONE = np.zeros(FEES)
HARDLY = curve(150.0, 3.0, 1e3)


def mix(peers: int, pairs: dict[tuple[int, int], float], rest: float = 0.1) -> Mix:
    """Traffic by (into, out); a part `rest` of it, and all of whom no pair names, is common."""
    into = np.array([pair[0] for pair in pairs], dtype=np.intp)
    out = np.array([pair[1] for pair in pairs], dtype=np.intp)
    share = np.array(list(pairs.values()), dtype=np.float64)
    total = np.bincount(out, share, peers)
    left = np.where(total > 0.0, rest, 1.0)
    common = np.bincount(into, share, peers) + 0.01
    return Mix(into, out, share * (1.0 - rest) / total[out], left, common / common.sum())


def everybody(peers: int) -> Mix:
    """Traffic of everybody to everybody else."""
    pairs = {(i, j): 1.0 for i in range(peers) for j in range(peers) if i != j}
    return mix(peers, pairs)


def solved(volumes: list[FloatArray], one: Mix, share: list[float], calls: int = 60) -> list[Plan]:
    """The plans of one cycle after another, of channels of equal capacity whose stock stays."""
    peers = len(volumes)
    capacity = np.full(peers, CAPACITY)
    start, found = Multipliers(np.zeros(peers), np.zeros(peers)), []
    for _ in range(calls):
        made = shadow.plan(np.array(volumes), one, np.array(share) * capacity, capacity, start)
        start = made.multipliers
        found.append(made)
    return found


def asked(volumes: list[FloatArray], made: Plan) -> FloatArray:
    """The fee that each peer's demand asks at these values."""
    return np.exp(greedy_log_fees(np.array(volumes), made.own - made.entering))


def test_at_a_node_in_balance_stock_is_worth_nothing() -> None:
    made = solved([DEMAND] * 4, everybody(4), [0.5] * 4)[-1]
    for values in (made.multipliers.scarce, made.multipliers.full, made.own, made.entering):
        assert values == pytest.approx(np.zeros(4), abs=1e-9)


def test_the_level_is_the_neutral_price_weighted_by_revenue() -> None:
    """k = 3: c 2^(-1/3) to within a step of the grid; a peer without revenue has no say."""
    neutral = 150.0 * 2.0 ** (-1 / 3)
    assert shadow.level_ppm(np.array([DEMAND])) == pytest.approx(neutral, rel=0.03)
    assert shadow.level_ppm(np.array([DEMAND, NONE])) == pytest.approx(neutral, rel=0.03)
    other = curve(1_350.0, 3.0, 2e9 / 9.0)
    assert shadow.level_ppm(np.array([DEMAND, other])) == pytest.approx(3 * neutral, rel=0.05)
    assert shadow.level_ppm(np.array([NONE, NONE])) == 1.0


# -- a node through which everything flows one way -----------------------------------------------

ONE_WAY = [DEMAND, HARDLY, HARDLY]
BY_ONE = mix(3, {(1, 0): 1.0})


def test_the_less_is_left_of_what_drains_the_scarcer_it_is() -> None:
    """Where it enters there is room enough all the time."""
    found = []
    for share in (0.9, 0.7, 0.5, 0.3, 0.12):
        made = solved(ONE_WAY, BY_ONE, [share, 0.0, 0.5])[-1]
        found.append(float(made.multipliers.scarce[0]))
    assert found[0] > 0.0
    assert np.all(np.diff(np.log(found)) > 0.05), found


def test_what_drains_is_sold_above_the_neutral_price_and_dearer_the_less_there_is() -> None:
    neutral = float(np.exp(greedy_log_fees(np.array([DEMAND]), np.zeros(1)))[0])
    found = []
    for share in (0.5, 0.3, 0.12):
        made = solved(ONE_WAY, BY_ONE, [share, 1.0 - share, 0.5])[-1]
        found.append(float(asked(ONE_WAY, made)[0]))
    assert neutral * 1.2 < found[0] < found[1] < found[2]


def test_where_traffic_enters_what_it_leaves_behind_is_worth_less_than_nothing() -> None:
    made = solved(ONE_WAY, BY_ONE, [0.3, 0.7, 0.5])[-1]
    assert made.own[1] < 0.0 < made.own[0]
    assert made.multipliers.full[1] > 0.0
    assert made.multipliers.full[0] == 0.0
    plan = made.multipliers.scarce - made.multipliers.full
    assert made.entering[0] == pytest.approx(
        0.9 * plan[1] + 0.1 * float(BY_ONE.common @ plan), rel=0.01
    )


def test_traffic_both_ways_needs_no_price_to_stay() -> None:
    """What leaves by each comes back by the other: nothing drains."""
    both = mix(2, {(0, 1): 1.0, (1, 0): 1.0})
    made = solved([DEMAND, DEMAND], both, [0.4, 0.6])[-1]
    assert made.multipliers.scarce == pytest.approx(np.zeros(2), abs=1e-9)
    assert made.own[0] == pytest.approx(made.level_ppm * LEAN * 0.2, rel=1e-6)
    assert made.own[1] == pytest.approx(-made.own[0], rel=1e-6)


@pytest.mark.parametrize("dormant", [NONE, HARDLY], ids=["none", "hardly any"])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_channel_without_demand_leaves_the_others_alone(
    dormant: FloatArray, share: float
) -> None:
    volumes = [DEMAND, curve(300.0, 3.0, 1e9), curve(90.0, 2.3, 1e9)]
    pairs = {(i, j): 1.0 for i in range(3) for j in range(3) if i != j}
    alone = solved(volumes, mix(3, pairs), [0.3, 0.5, 0.6])[-1]
    beside = solved([*volumes, dormant], mix(4, pairs), [0.3, 0.5, 0.6, share])[-1]
    assert beside.level_ppm == pytest.approx(alone.level_ppm, rel=1e-3)
    for one, other in ((beside.own, alone.own), (beside.entering, alone.entering)):
        assert one[:3] == pytest.approx(other, abs=0.06 * alone.level_ppm)
    assert abs(beside.own[3]) <= LEAN * beside.level_ppm * 1.001, "nothing but its lean"


# -- the ascent ----------------------------------------------------------------------------------


def any_node(seed: int, peers: int = 8) -> tuple[list[FloatArray], Mix, list[float]]:
    """Peers of different prices, volumes and stocks, with traffic between some of them."""
    rng = np.random.default_rng([seed, 53])
    volumes = [
        curve(
            float(np.exp(rng.normal(5.0, 0.5))),
            float(rng.choice([2.3, 3.5, 5.5])),
            float(np.exp(rng.normal(20.5, 0.7))),
        )
        for _ in range(peers)
    ]
    pairs = {
        (i, j): float(rng.random())
        for i in range(peers)
        for j in range(peers)
        if i != j and rng.random() < 0.5
    }
    return volumes, mix(peers, pairs), rng.random(peers).tolist()


def test_called_again_and_again_the_values_settle() -> None:
    swings = []
    for seed in range(8):
        plans = solved(*any_node(seed), calls=40)
        own = np.array([made.own for made in plans[-10:]]) / plans[-1].level_ppm
        swings.append(np.ptp(own, axis=0))
    assert float(np.median(swings)) < 0.02, f"seeds 0-7: {np.median(swings, axis=1)}"
    assert float(np.quantile(swings, 0.9)) < 0.25, f"seeds 0-7: {np.quantile(swings, 0.9, axis=1)}"


def test_a_plan_goes_on_from_where_the_last_one_stood() -> None:
    """One cold call has not arrived where much is to be found out; the next ones go on."""
    by_any = BY_ONE._replace(common=np.full(3, 1.0 / 3.0))
    share = [0.12, 0.88, 0.5]
    plans = solved(ONE_WAY, by_any, share, calls=150)
    first, last = (float(plans[place].multipliers.scarce[0]) for place in (0, -1))
    assert 0.0 < first < 0.8 * last
    capacity = np.full(3, CAPACITY)
    start = plans[-1].multipliers
    again = shadow.plan(np.array(ONE_WAY), by_any, np.array(share) * capacity, capacity, start)
    assert again.multipliers.scarce[0] == pytest.approx(last, rel=0.03)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 10_000),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1e6),
    st.floats(0.0, 1e6),
)
def test_multipliers_stay_within_their_caps(
    seed: int, share: float, scarce: float, full: float
) -> None:
    volumes, one, _ = any_node(seed, 5)
    volumes[0], capacity = NONE, np.array([CAPACITY, 1.0, 1e4, 1e14, CAPACITY])
    start = Multipliers(np.full(5, scarce), np.full(5, full))
    made = shadow.plan(np.array(volumes), one, share * capacity, capacity, start)
    neutral = np.exp(greedy_log_fees(np.array(volumes), np.zeros(5)))
    most = MOST_LEVELS * np.maximum(neutral, made.level_ppm) * 1.03
    assert np.all(made.multipliers.scarce >= 0.0)
    assert np.all(made.multipliers.scarce <= most), f"seed {seed}"
    assert np.all(made.multipliers.full >= 0.0)
    assert np.all(made.multipliers.full <= MOST_LEVELS * made.level_ppm * 1.0001), f"seed {seed}"
    assert np.isfinite(made.own).all()
    assert np.isfinite(made.entering).all()


def test_caps_are_reached_where_nothing_can_be_had() -> None:
    """Empty and much wanted, while nothing at all may enter elsewhere."""
    volumes = [curve(150.0, 1.5, 1e13), HARDLY]
    plans = solved(volumes, mix(2, {(1, 0): 1.0}), [0.0, 0.5], calls=200)
    made = plans[-1]
    neutral = math.exp(float(greedy_log_fees(np.array(volumes[:1]), np.zeros(1))[0]))
    most = MOST_LEVELS * max(neutral, made.level_ppm)
    assert made.multipliers.scarce[0] == pytest.approx(most, rel=0.03)


def test_what_cannot_be_sold_dearer_is_worth_that_fee_and_no_more() -> None:
    """Much wanted at the highest fee, more than there is: the multiplier stops at the fee."""
    volumes = [curve(4_000.0, 3.0, 1e10), HARDLY]
    bounds = np.array([[10.0, 500.0], [10.0, 500.0]])
    offered = within(np.array(volumes), bounds[:, 0], bounds[:, 1])
    made = solved(list(offered), mix(2, {(1, 0): 1.0}), [0.05, 0.5], calls=200)[-1]
    free = solved(volumes, mix(2, {(1, 0): 1.0}), [0.05, 0.5], calls=200)[-1]

    def worth(plan: Plan) -> float:
        values = plan.multipliers
        return float(values.scarce[0] - values.full[0] - plan.entering[0])

    assert worth(made) == pytest.approx(500.0, rel=0.1)
    assert worth(free) > 1_500.0


# -- where traffic enters ------------------------------------------------------------------------

TWO_WAYS_IN = Mix(
    np.array([1, 2], dtype=np.intp),
    np.array([0, 0], dtype=np.intp),
    np.array([0.6, 0.3]),
    np.array([0.1, 1.0, 1.0]),
    np.array([0.0, 0.5, 0.5]),
)


def test_what_enters_is_worth_the_mean_over_the_ways_in() -> None:
    found = shadow.entry(TWO_WAYS_IN, np.array([50.0, 10.0, -20.0]), np.full(3, 100.0))
    assert found.value[0] == pytest.approx(0.6 * 10.0 - 0.3 * 20.0 + 0.1 * -5.0)
    assert found.part[0] == pytest.approx(1.0)
    assert found.open.tolist() == [1.0, 1.0]
    assert found.value[1] == pytest.approx(-5.0), "nothing is known: as the node's traffic"


def test_traffic_that_room_turns_away_does_not_count() -> None:
    """A fee of 100 less 50 for what leaves: who enters at -60 or below is turned away."""
    found = shadow.entry(TWO_WAYS_IN, np.array([50.0, 10.0, -60.0]), np.full(3, 100.0))
    assert found.open.tolist() == [1.0, 0.0]
    assert found.part[0] == pytest.approx(0.7)
    assert found.value[0] == pytest.approx((0.6 * 10.0 + 0.1 * -25.0) / 0.7)
    higher = shadow.entry(TWO_WAYS_IN, np.array([50.0, 10.0, -60.0]), np.full(3, 111.0))
    assert higher.open.tolist() == [1.0, 1.0]


def test_what_is_common_can_be_turned_away_too() -> None:
    found = shadow.entry(TWO_WAYS_IN, np.array([50.0, 10.0, -130.0]), np.full(3, 100.0))
    assert found.part[0] == pytest.approx(0.6)
    assert found.value[0] == pytest.approx(10.0)


def test_where_no_higher_fee_can_be_asked_nobody_chooses_by_where_they_enter() -> None:
    own, fees = np.array([500.0, -19.0, -101.0]), np.full(3, 100.0)
    assert shadow.entry(TWO_WAYS_IN, own, fees, fees >= 100.0).open.tolist() == [1.0, 0.0]
    assert shadow.entry(TWO_WAYS_IN, own, fees, fees > 100.0).open.tolist() == [0.0, 0.0]


def test_where_all_is_turned_away_it_is_as_the_node_s_traffic() -> None:
    found = shadow.entry(TWO_WAYS_IN, np.array([500.0, 10.0, -20.0]), np.full(3, 100.0))
    assert found.value[0] == pytest.approx(-5.0)
    assert 0.0 < found.part[0] < 1e-3
