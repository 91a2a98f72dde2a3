"""The Vegas reflex: what counts as a spike, how far the floor rises, and how it comes down."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.fees import vegas
from cl_revenue_ops.domain.fees.vegas import VegasState, VegasVerdict, floor_multiplier, observe

DECAY = 0.85
HALF_HOUR_S = 1800.0
DAY_S = 86_400.0
START_S = 1_700_000_000.0
UNTOUCHED = VegasState()
NEVER, ALWAYS = 0.999999, 0.0


def fed(
    rates: Sequence[float], *, every_s: float = HALF_HOUR_S, state: VegasState = UNTOUCHED,
    start_s: float = START_S, uniform: float = NEVER, decay: float = DECAY,
) -> tuple[VegasState, list[VegasVerdict]]:  # fmt: skip
    """What remains and what was said after samples at equal distances."""
    said = []
    for number, rate in enumerate(rates):
        state, verdict = observe(state, rate, start_s + number * every_s, uniform, decay)
        said.append(verdict)
    return state, said


def after_calm(*rates: float, uniform: float = NEVER) -> list[VegasVerdict]:
    """What is said of samples that follow five hours at 10 sat/vB."""
    return fed([10.0] * 10 + list(rates), uniform=uniform)[1][10:]


# -- what counts as a spike -------------------------------------------------------------------


def test_a_spike_is_more_than_twice_the_mean_of_the_earlier_samples() -> None:
    for rate, code in ((10.0, "calm"), (20.0, "calm"), (20.1, "noted"), (1.0, "calm")):
        (verdict,) = after_calm(rate)
        assert (verdict.code, verdict.mean_sat_per_vb) == (code, 10.0)
        assert verdict.ratio == pytest.approx(rate / 10.0)


def test_the_new_sample_is_not_part_of_its_own_mean() -> None:
    """With it the ratio would be 3.1, and no surge."""
    (verdict,) = after_calm(40.0)
    assert (verdict.code, verdict.ratio, verdict.intensity) == ("surge", 4.0, 1.0)


def test_a_first_spike_is_noted_and_the_second_running_is_certain() -> None:
    first, second = after_calm(30.0, 34.0)
    assert (first.code, first.boost, first.intensity) == ("noted", 0.0, 0.0)
    mean = (100.0 + 30.0) / 11
    assert second.code == "confirmed"
    assert second.boost == pytest.approx((34.0 / mean - 2.0) / 2.0)
    assert second.intensity == second.boost


def test_a_calm_sample_between_two_spikes_begins_the_count_anew() -> None:
    assert [v.code for v in after_calm(30.0, 10.0, 30.0)] == ["noted", "calm", "noted"]


@pytest.mark.parametrize(("uniform", "code"), [(0.2499, "early"), (0.25, "noted")])
def test_a_first_spike_acts_early_with_half_its_boost_as_probability(
    uniform: float, code: str
) -> None:
    """Three times the mean is a boost of one half: one time in four."""
    (verdict,) = after_calm(30.0, uniform=uniform)
    assert verdict.code == code
    assert verdict.intensity == (0.5 if code == "early" else 0.0)


def test_an_early_draw_does_not_make_a_spike_of_a_calm_sample() -> None:
    assert after_calm(20.0, uniform=ALWAYS)[0].code == "calm"


@pytest.mark.parametrize("rate", [40.0, 400.0, 1e6])
def test_four_times_the_mean_acts_in_full_at_once(rate: float) -> None:
    (verdict,) = after_calm(rate)
    assert (verdict.code, verdict.boost, verdict.intensity) == ("surge", 1.0, 1.0)


def test_the_boost_grows_without_a_step_into_the_surge() -> None:
    boosts = [after_calm(20.0 + 0.1 * n, uniform=ALWAYS)[0].boost for n in range(1, 220)]
    assert boosts == sorted(boosts)
    assert max(b - a for a, b in zip([0.0, *boosts], boosts, strict=False)) < 0.0051
    assert boosts[-1] == 1.0


def test_without_history_nothing_is_a_spike() -> None:
    _, said = fed([10.0, 10.0, 10.0, 1000.0, 500.0])
    assert [v.code for v in said] == ["young"] * 4 + ["calm"]
    assert (said[3].ratio, said[3].mean_sat_per_vb, said[3].intensity) == (None, None, 0.0)


def test_many_samples_of_less_than_an_hour_are_not_history() -> None:
    rates = [10.0] * 60 + [1000.0]
    assert fed(rates, every_s=59.0)[1][-1].code == "young"
    assert fed(rates, every_s=60.0)[1][-1].code == "surge"


def test_three_samples_are_not_history_however_old() -> None:
    assert fed([10.0] * 3 + [1000.0], every_s=7200.0)[1][-1].code == "young"
    assert fed([10.0] * 4 + [1000.0], every_s=7200.0)[1][-1].code == "surge"


def test_the_mean_is_that_of_the_last_day() -> None:
    high, _ = fed([100.0] * 48)
    _, said = fed([10.0] * 60, state=high, start_s=START_S + 48 * HALF_HOUR_S)
    assert said[0].mean_sat_per_vb == pytest.approx(100.0)
    assert 10.0 < (said[30].mean_sat_per_vb or 0.0) < 100.0
    assert said[-1].mean_sat_per_vb == pytest.approx(10.0)


def test_a_price_that_stays_becomes_the_new_normal() -> None:
    said = after_calm(*[60.0] * 60)
    assert said[0].code == "surge"
    assert said[-1].code == "calm"
    assert said[-1].intensity < 0.01


# -- how it comes down ------------------------------------------------------------------------


def surged() -> VegasState:
    return fed([10.0] * 10 + [100.0])[0]


LAST_S = START_S + 10 * HALF_HOUR_S


def test_the_half_life_is_about_half_an_hour() -> None:
    state = surged()
    half_life_s = 420.0 * math.log(0.5) / math.log(0.85)
    assert 29.5 * 60 < half_life_s < 30.5 * 60
    assert vegas.intensity_at(state, LAST_S + half_life_s, DECAY) == pytest.approx(0.5)
    assert vegas.intensity_at(state, LAST_S + 420.0, DECAY) == pytest.approx(0.85)


def test_nothing_decays_in_the_instant_that_raised_it() -> None:
    assert vegas.intensity_at(surged(), LAST_S, DECAY) == 1.0
    assert vegas.intensity_at(surged(), LAST_S, 0.0) == 1.0


@given(st.lists(st.floats(1.0, 5000.0), min_size=1, max_size=8))
def test_it_does_not_matter_how_often_one_looks_while_it_decays(gaps_s: list[float]) -> None:
    state, at_s = surged(), LAST_S
    for gap_s in gaps_s:
        at_s += gap_s
        state, verdict = observe(state, 10.0, at_s, NEVER, DECAY)
    elapsed_s = at_s - LAST_S
    assert verdict.intensity == pytest.approx(0.85 ** (elapsed_s / 420.0), rel=1e-9)


def test_a_spike_seen_often_raises_no_more_than_one_seen_once() -> None:
    often = fed([10.0] * 300 + [25.0] * 10, every_s=30.0, uniform=ALWAYS)[1]
    assert often[300].intensity == pytest.approx(0.25)
    assert often[-1].intensity < 0.26


def test_a_smaller_spike_does_not_lower_what_a_larger_one_raised() -> None:
    surge, smaller = after_calm(100.0, 40.0)
    assert surge.intensity == 1.0
    assert smaller.boost < 0.1
    assert smaller.intensity == pytest.approx(0.85 ** (30 / 7))


def test_a_decay_of_zero_ends_at_once_and_one_never() -> None:
    state = surged()
    assert vegas.intensity_at(state, LAST_S + 0.001, 0.0) == 0.0
    assert vegas.intensity_at(state, LAST_S + 365 * DAY_S, 1.0) == 1.0
    calm, _ = fed([10.0] * 100, state=state, start_s=LAST_S + HALF_HOUR_S, decay=1.0)
    assert calm.intensity == 1.0


@pytest.mark.parametrize("decay", [-0.1, 1.1, math.nan])
def test_a_decay_that_is_no_share_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match="decay"):
        vegas.intensity_at(surged(), LAST_S, decay)
    with pytest.raises(ValueError, match="decay"):
        observe(VegasState(), 10.0, START_S, NEVER, decay)


# -- the floor --------------------------------------------------------------------------------


def test_the_floor_rises_from_one_to_three_times() -> None:
    assert floor_multiplier(0.0) == floor_multiplier(0.00999) == 1.0
    assert floor_multiplier(0.01) == pytest.approx(1.2)
    assert floor_multiplier(0.25) == pytest.approx(2.0)
    assert floor_multiplier(1.0) == 3.0


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_the_floor_never_falls_as_the_intensity_rises(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 1.0 <= floor_multiplier(low) <= floor_multiplier(high) <= 3.0


# -- what must not break it --------------------------------------------------------------------


def test_a_sample_told_again_is_no_second_spike() -> None:
    state, _ = fed([10.0] * 10 + [30.0])
    again, verdict = observe(state, 30.0, LAST_S, NEVER, DECAY)
    assert again == state
    assert (verdict.code, verdict.intensity) == ("repeated", 0.0)


def test_a_clock_that_was_set_back_costs_no_history() -> None:
    state = surged()
    back_s = LAST_S - 30 * DAY_S
    assert vegas.intensity_at(state, back_s, DECAY) == 1.0
    state, verdict = observe(state, 10.0, back_s, NEVER, DECAY)
    assert (verdict.code, verdict.intensity) == ("calm", 1.0)
    assert verdict.mean_sat_per_vb == pytest.approx(200.0 / 11)
    _, verdict = observe(state, 10.0, back_s + 420.0, NEVER, DECAY)
    assert verdict.intensity == pytest.approx(0.85)


def test_a_clock_that_was_set_far_ahead_begins_anew() -> None:
    state, verdict = observe(surged(), 1000.0, LAST_S + 1e9, NEVER, DECAY)
    assert (verdict.code, verdict.intensity) == ("young", 0.0)
    assert len(state.slots) == 1


def test_memory_is_bounded_and_the_mean_exact_however_often_one_looks() -> None:
    rates = [10.0 + n % 7 for n in range(3000)]
    state, said = fed(rates, every_s=30.0)
    assert len(state.slots) <= 289
    mean = said[-1].mean_sat_per_vb or 0.0
    assert mean == pytest.approx(sum(rates[:-1][-2880:]) / 2880, rel=1e-3)


def test_an_untouched_reflex_is_at_rest() -> None:
    assert vegas.intensity_at(VegasState(), START_S, DECAY) == 0.0


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_feerate_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="not a feerate"):
        observe(VegasState(), rate, START_S, NEVER, DECAY)


@given(
    st.lists(
        st.tuples(st.floats(0.25, 5000.0), st.floats(-1e5, 2e5), st.floats(0.0, 0.999)),
        max_size=60,
    ),
    st.sampled_from([0.0, 0.5, 0.85, 1.0]),
)
def test_whatever_comes_the_intensity_is_a_share_and_memory_bounded(
    samples: list[tuple[float, float, float]], decay: float
) -> None:
    state, at_s = VegasState(), START_S
    for rate, gap_s, uniform in samples:
        at_s += gap_s
        state, verdict = observe(state, rate, at_s, uniform, decay)
        assert 0.0 <= verdict.intensity <= 1.0
        assert state.observed_s == at_s
        firsts = [slot.first_s for slot in state.slots]
        assert firsts == sorted(firsts)
        assert all(at_s - DAY_S < first_s <= at_s for first_s in firsts)
