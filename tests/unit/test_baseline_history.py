"""What a rule remembers: sums over windows against counting by hand, and what peers ask."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.bench.baselines.history import History, Series
from cl_revenue_ops.bench.baselines.peers import by_peer, local_share, weighted_quantiles
from tests.unit.baseline_support import SAT, channel, forward, refusal


@given(
    st.lists(st.tuples(st.floats(0, 100), st.integers(0, 10**9)), max_size=40),
    st.floats(-1, 101),
    st.floats(0, 50),
)
def test_a_window_sums_what_came_after_its_start(
    entries: list[tuple[float, int]], start_s: float, width_s: float
) -> None:
    entries.sort(key=lambda entry: entry[0])
    series = Series(keep_s=1_000.0)
    for at_s, amount in entries:
        series.add(at_s, amount)
    end_s = start_s + width_s
    within = [amount for at_s, amount in entries if at_s > start_s]
    assert series.since(start_s) == sum(within)
    assert series.count_since(start_s) == len(within)
    assert series.between(start_s, end_s) == sum(a for t, a in entries if start_s < t <= end_s)
    assert series.last_s == (entries[-1][0] if entries else None)


def test_a_long_series_forgets_only_what_no_window_reaches() -> None:
    series = Series(keep_s=100.0)
    for second in range(30_000):
        series.add(float(second), second)
    assert series.since(29_999.0 - 100) == sum(range(29_900, 30_000))
    assert series.count_since(-1.0) < 30_000


def test_a_late_entry_is_filed_under_the_newest_time() -> None:
    series = Series(keep_s=100.0)
    series.add(10.0, 1)
    series.add(5.0, 2)
    assert series.since(9.0) == 3


def test_a_forward_is_filed_with_both_channels() -> None:
    history = History(keep_s=1_000.0)
    history.settled(forward(50.0, out_index=3, in_index=4, sat=1_000, ppm=500))
    went, came = history.of(3), history.of(4)
    assert (went.out.since(0), went.earned.since(0), went.into.since(0)) == (1_000 * SAT, 500, 0)
    assert (came.into.since(0), came.assisted.since(0)) == (1_000 * SAT + 500, 500)
    assert went.last_forward_s() == came.last_forward_s() == 50.0
    assert history.of(5).last_forward_s() is None


def test_a_refusal_is_filed_with_the_way_out() -> None:
    history = History(keep_s=1_000.0)
    history.refused(refusal(7.0, out_index=2))
    assert history.of(2).refused.count_since(6.0) == 1
    assert history.of(1).refused.count_since(6.0) == 0


def test_the_channels_of_a_peer_are_taken_together() -> None:
    first, second = channel(0, 0.2, peer_id="p"), channel(2, 0.6, peer_id="p")
    other = channel(1, peer_id="q")
    assert by_peer([first, other, second]) == {"p": [first, second], "q": [other]}
    assert local_share([first, second]) == 0.4


def test_quantiles_weigh() -> None:
    weighted = [(300, 1), (100, 4), (200, 5)]
    assert weighted_quantiles(weighted, 0.4) == (100,)
    assert weighted_quantiles(weighted, 0.5, 0.65, 0.91, 1.0) == (200, 200, 300, 300)
    assert weighted_quantiles([(5, 0), (7, 3)], 0.5) == (7,)
    assert weighted_quantiles([], 0.5) == weighted_quantiles([(5, 0)], 0.5) == ()


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_that_of_the_repeated_values(
    weighted: list[tuple[int, int]], share: float
) -> None:
    (found,) = weighted_quantiles(weighted, share)
    values = [value for value, weight in weighted for _ in range(weight)]
    assert sum(value <= found for value in values) >= share * len(values)
    assert sum(value < found for value in values) < share * len(values)
