"""Fixed fees, proportional fees, and the search for the best fixed fee in hindsight."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.bench.baselines import BASELINES, FixedFees, best_static
from cl_revenue_ops.bench.baselines.hindsight import Play
from cl_revenue_ops.bench.baselines.proportional import proportional_ppm
from tests.unit.baseline_support import HOUR_S, FakeNode, channel, run


def test_found_fees_stay() -> None:
    node = FakeNode(channel(0, ppm=321, base_msat=7))
    policy = BASELINES["static"](1)
    policy.begin(node)
    run(policy, node, 50 * HOUR_S)
    assert node.sets == []


def test_a_flat_fee_is_set_once_also_on_a_later_channel() -> None:
    node = FakeNode(channel(0), channel(1, ppm=100, base_msat=1_000), channel(2, ppm=100))
    policy = BASELINES["static-100"](1)
    policy.begin(node)
    assert node.sets == [(0, 100, 0), (1, 100, 0)]
    node.open[3] = channel(3, ppm=5)
    run(policy, node, 3 * HOUR_S)
    assert node.sets[2:] == [(3, 100, 0)]


def test_fixed_fees_leave_unnamed_channels_alone() -> None:
    node = FakeNode(channel(0), channel(1), channel(2, ppm=70))
    policy = FixedFees({0: 50, 2: 70, 9: 1})
    policy.begin(node)
    run(policy, node, 3 * HOUR_S)
    assert node.sets == [(0, 50, 0)]


@pytest.mark.parametrize(
    ("share", "ppm"), [(0.0, 1_000), (0.25, 775), (0.5, 550), (0.999, 100), (1.0, 100)]
)
def test_proportional_fee(share: float, ppm: int) -> None:
    assert proportional_ppm(round(share * 10_000), 10_000, 100, 1_000) == ppm


@given(st.integers(0, 1_000), st.integers(0, 1_000))
def test_more_balance_never_costs_more(one: int, other: int) -> None:
    less, more = sorted((one, other))
    dear, cheap = (proportional_ppm(local, 1_000, 100, 1_000) for local in (less, more))
    assert 100 <= cheap <= dear <= 1_000


def test_a_small_proportional_step_is_not_made_and_the_base_stays() -> None:
    node = FakeNode(channel(0, 0.5, ppm=541), channel(1, 0.5, ppm=540, base_msat=9))
    BASELINES["proportional"](1).begin(node)
    assert node.sets == [(1, 550, 9)]


def _market(best: Mapping[int, int], plays: list[dict[int, int]]) -> Play:
    """A market in which each channel earns most at a price of its own, less on either side."""

    def play(fees: Mapping[int, int]) -> int:
        plays.append(dict(fees))
        return sum(10_000 - abs(fees[index] - best[index]) for index in best)

    return play


def test_the_search_finds_each_channels_own_best() -> None:
    plays: list[dict[int, int]] = []
    grid = [400, 100, 200, 50, 800]
    found = best_static(_market({0: 50, 1: 800, 2: 200}, plays), grid, [2, 0, 1])
    assert found.ppm_by_index == {0: 50, 1: 800, 2: 200}
    assert found.fees_msat == 30_000
    assert found.plays == len(plays) == len({tuple(sorted(one.items())) for one in plays})
    assert plays[0] == {0: 50, 1: 50, 2: 50}
    first_own = next(one for one in plays if len(set(one.values())) > 1)
    assert first_own[0] == first_own[1] != first_own[2], "the first channel given climbs first"


def test_each_channel_climbs_by_single_steps_both_ways() -> None:
    grid, plays = [10, 20, 30, 40, 50, 60, 70], list[dict[int, int]]()
    found = best_static(_market({0: 10, 1: 70, 2: 40}, plays), grid, [0, 1, 2], sweeps=1)
    assert found.ppm_by_index == {0: 10, 1: 70, 2: 40}
    # Seven shared; 50, 30, 20, 10 for one; 50, 60, 70, 30 for the next; 50 and 30 for the last.
    assert found.plays == 7 + 4 + 3 + 2


def test_the_search_keeps_to_its_plays() -> None:
    plays: list[dict[int, int]] = []
    found = best_static(_market({0: 50, 1: 800}, plays), [50, 100, 800], [0, 1], most_plays=4)
    assert len(plays) == 4
    assert found.fees_msat == max(
        sum(10_000 - abs(f[i] - b) for i, b in ((0, 50), (1, 800))) for f in plays
    )


def test_no_sweep_means_the_best_shared_fee() -> None:
    found = best_static(_market({0: 50, 1: 150}, []), [50, 100, 800], [0, 1], sweeps=0)
    assert found.ppm_by_index in ({0: 50, 1: 50}, {0: 100, 1: 100})


@pytest.mark.parametrize(("grid", "channels", "most"), [([], [0], 9), ([1], [], 9), ([1], [0], 0)])
def test_an_empty_search_is_refused(grid: list[int], channels: list[int], most: int) -> None:
    with pytest.raises(ValueError, match="search needs"):
        best_static(lambda _: 0, grid, channels, most_plays=most)
