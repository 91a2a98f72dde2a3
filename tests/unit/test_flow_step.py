"""A flow state takes in new data only, survives storage exactly, and learns sizes and rates."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.domain import flow, flow_report, rates
from cl_revenue_ops.domain.flow import FlowObservation, FlowParameters, FlowState
from cl_revenue_ops.domain.flow_window import HourBucket, Window

P = FlowParameters()
NOW = 1_700_000_000.0
HOUR_S = 3600.0
DAY_S = 86_400.0

amounts = st.integers(0, 10**12)
buckets = st.lists(
    st.builds(
        lambda hour, inc, inm, outc, outm: HourBucket(
            int(NOW // 3600) + hour, inc, inm if inc else 0, outc, outm if outc else 0
        ),
        st.integers(-200, 5),
        st.integers(0, 500),
        amounts,
        st.integers(0, 500),
        amounts,
    ),
    max_size=5,
).map(tuple)
observations = st.lists(
    st.builds(
        lambda dt, ein, eout, b: (dt, ein, eout, b),
        st.floats(-100.0, 30 * DAY_S),
        st.floats(0.0, 30 * DAY_S),
        st.floats(0.0, 30 * DAY_S),
        buckets,
    ),
    max_size=6,
)


def told(now_s: float, in_count: int, in_msat: int, out_count: int, out_msat: int) -> Window:
    return (HourBucket(int(now_s // 3600) - 1, in_count, in_msat, out_count, out_msat),)


def live(
    hours: int, ins: float, outs: float, msat: int = 100_000_000, seed: int = 1
) -> tuple[FlowState, float]:
    """A channel with `ins` and `outs` forwards a day of `msat` for some hours, always usable."""
    rng = np.random.default_rng(seed)
    state, now = flow.initial(NOW, P), NOW
    for _ in range(hours):
        now += HOUR_S
        i, o = int(rng.poisson(ins / 24)), int(rng.poisson(outs / 24))
        seen = FlowObservation(now, HOUR_S, HOUR_S, told(now, i, i * msat, o, o * msat))
        state, _ = flow.step(state, seen, now, P)
    return state, now


def test_b22_an_interval_told_twice_teaches_the_filters_nothing_the_second_time() -> None:
    state, now = live(100, 24, 48)
    seen = FlowObservation(now + HOUR_S, HOUR_S, HOUR_S, told(now + HOUR_S, 9, 900, 9, 900))
    once, _ = flow.step(state, seen, now + HOUR_S, P)
    twice, diagnostics = flow.step(once, seen, now + HOUR_S, P)
    assert (twice.incoming.rate, twice.outgoing.rate) == (once.incoming.rate, once.outgoing.rate)
    assert diagnostics.interval_s == 0.0
    assert diagnostics.unread_forwards == 18


def test_b22_an_overlapping_exposure_counts_only_its_new_part() -> None:
    state, now = live(10, 24, 48)
    week = FlowObservation(now + HOUR_S, 7 * DAY_S, 7 * DAY_S)
    hour = FlowObservation(now + HOUR_S, HOUR_S, HOUR_S)
    assert flow.step(state, week, now, P)[0] == flow.step(state, hour, now, P)[0]


def test_b25_reading_again_and_again_changes_nothing() -> None:
    state, now = live(100, 24, 48)
    first = flow_report.estimate(state, now + 60, P)
    for _ in range(5):
        flow_report.estimate(state, now + 60, P)
    empty = FlowObservation(now, 0.0, 0.0)
    assert flow.step(state, empty, now, P)[0] == state
    assert flow_report.estimate(state, now + 60, P) == first


def test_forwards_of_a_time_nobody_watched_reach_the_window_but_not_the_rate() -> None:
    state, now = live(100, 24, 48)
    later = now + 10 * HOUR_S
    down = FlowObservation(later, 0.0, 0.0, told(later, 0, 0, 500, 500 * 10**8))
    after, diagnostics = flow.step(state, down, later, P)
    silent, _ = flow.step(state, FlowObservation(later, 0.0, 0.0), later, P)
    assert after.outgoing.rate == silent.outgoing.rate
    assert diagnostics.unread_forwards == 500
    assert after.settled.out_count == state.settled.out_count + 500
    assert after.evidence == silent.evidence
    assert flow.window_totals(after, later, 7).out_count >= 500


def test_silence_of_a_drained_channel_says_nothing_about_its_outgoing_rate() -> None:
    state, now = live(24 * 10, 24, 48)
    drained, idle = state, state
    for hour in range(1, 49):
        at = now + hour * HOUR_S
        drained, _ = flow.step(drained, FlowObservation(at, HOUR_S, 0.0), at, P)
        idle, _ = flow.step(idle, FlowObservation(at, HOUR_S, HOUR_S), at, P)
    assert rates.rate_moments(drained.outgoing.rate)[0] > 30
    assert rates.rate_moments(idle.outgoing.rate)[0] < 15
    assert drained.incoming.rate == idle.incoming.rate


@pytest.mark.parametrize(("ins", "outs"), [(24.0, 72.0), (200.0, 50.0)])
def test_volumes_a_day_are_found_within_their_doubt(ins: float, outs: float) -> None:
    errors = []
    for seed in range(5):
        state, now = live(24 * 14, ins, outs, seed=seed)
        seen = flow_report.estimate(state, now, P)
        errors.append((seen.rate_in_msat_per_day / 1e8 - ins) / (seen.rate_in_sd / 1e8))
        errors.append((seen.rate_out_msat_per_day / 1e8 - outs) / (seen.rate_out_sd / 1e8))
    assert max(map(abs, errors)) < 4.0, f"seeds 0-4: {errors}"
    assert abs(np.mean(errors)) < 1.2, f"seeds 0-4: {errors}"


def test_the_mean_size_and_its_variation_are_learned() -> None:
    rng = np.random.default_rng(7)
    state, now, spread = flow.initial(NOW, P), NOW, 1.0
    for _ in range(24 * 30):
        now += HOUR_S
        count = int(rng.poisson(4))
        msat = int(rng.lognormal(math.log(1e8) - spread**2 / 2, spread, size=count).sum())
        seen = FlowObservation(now, HOUR_S, HOUR_S, told(now, 0, 0, count, msat))
        state, _ = flow.step(state, seen, now, P)
    size = state.outgoing.size
    assert size.mean_msat == pytest.approx(1e8, rel=0.25), "seed 7"
    assert size.variation == pytest.approx(math.expm1(spread**2), rel=0.5), "seed 7"
    assert size.forwards == P.size_memory_forwards


def test_equal_sizes_are_found_to_be_equal() -> None:
    state, _ = live(24 * 20, 24, 48)
    assert state.outgoing.size.mean_msat == pytest.approx(1e8)
    assert state.outgoing.size.variation < 0.2


@settings(max_examples=150)
@given(history=observations)
def test_any_history_round_trips_exactly_through_json(
    history: list[tuple[float, float, float, Window]],
) -> None:
    state, now = flow.initial(NOW, P), NOW
    for dt, exposure_in, exposure_out, window in history:
        now += dt
        state, _ = flow.step(state, FlowObservation(now, exposure_in, exposure_out, window), now, P)
    again = flow.from_row(json.loads(json.dumps(flow.to_row(state))))
    assert again == state
    seen = FlowObservation(now + 60, 60, 60, told(now, 1, 5, 1, 5))
    assert flow.step(again, seen, now + 60, P) == flow.step(state, seen, now + 60, P)


@settings(max_examples=150)
@given(history=observations)
def test_sums_are_conserved_and_every_reading_is_in_range(
    history: list[tuple[float, float, float, Window]],
) -> None:
    state, now = flow.initial(NOW, P), NOW
    for dt, exposure_in, exposure_out, window in history:
        now += dt
        state, _ = flow.step(state, FlowObservation(now, exposure_in, exposure_out, window), now, P)
    assert state.settled.out_msat == sum(b.out_msat for h in history for b in h[3])
    assert state.settled.in_count == sum(b.in_count for h in history for b in h[3])
    seen = flow_report.estimate(state, now, P)
    assert -1.0 <= seen.flow_ratio <= 1.0
    assert 0.0 <= seen.ratio_sd <= 1.0
    assert 0.1 <= seen.confidence <= 1.0
    assert seen.klass in ("source", "sink", "balanced")
    three = seen.source_probability + seen.balanced_probability + seen.sink_probability
    assert three == pytest.approx(1.0)
    assert seen.rate_in_msat_per_day >= 0.0
    assert math.isfinite(seen.net_sd)


def test_a_row_of_another_version_is_refused() -> None:
    row = flow.to_row(flow.initial(NOW, P))
    with pytest.raises(ValueError, match="version 99"):
        flow.from_row((99, *row[1:]))
    with pytest.raises(ValueError, match="version None"):
        flow.from_row(())


def test_one_long_gap_equals_many_short_ones() -> None:
    state, now = live(100, 24, 48)
    end = now + 30 * DAY_S
    once, _ = flow.step(state, FlowObservation(end, 0.0, 0.0), end, P)
    often = state
    for day in range(1, 31):
        at = now + day * DAY_S
        often, _ = flow.step(often, FlowObservation(at, 0.0, 0.0), at, P)
    assert rates.to_floats(once.outgoing.rate) == pytest.approx(
        rates.to_floats(often.outgoing.rate)
    )
    assert once.evidence == pytest.approx(often.evidence)


def test_an_exposure_too_short_to_measure_is_none() -> None:
    state = flow.initial(NOW, P)
    seen = FlowObservation(NOW + 1.0, 2e-313, 1e-9, told(NOW, 3, 3, 3, 3))
    after, diagnostics = flow.step(state, seen, NOW + 1.0, P)
    assert diagnostics.unread_forwards == 6
    assert math.isfinite(flow_report.estimate(after, NOW + 1.0, P).net_sd)
