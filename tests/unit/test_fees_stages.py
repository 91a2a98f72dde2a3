"""What the mempool, scarcity, the draw and AIMD each do to a price, and what they leave alone."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.demand.book import Worth
from cl_revenue_ops.domain.fees import alpha, vegas
from cl_revenue_ops.domain.fees.alpha import Context, Draft, Verdict
from cl_revenue_ops.domain.fees.facts import (
    ChannelFacts,
    CongestionState,
    Fee,
    FeeParameters,
    Market,
    Pin,
    PriorPrice,
    Spike,
    market,
)
from cl_revenue_ops.domain.fees.stages import SEQUENCE, scarcity_multiplier
from tests.unit.fees_support import (
    DEFAULTS,
    NOW,
    all_facts,
    all_parameters,
    asking,
    context,
    facts,
    known,
    markets,
    spike,
    spikes,
    worth,
    worths,
)

FULL, HALF, DRAINED = 9_900_000_000, 5_000_000_000, 100_000_000
WIDE = FeeParameters(min_fee_ppm=1, max_fee_ppm=2**31)


def drafts(made: Context) -> dict[str, Draft]:
    """The draft after each stage."""
    found: dict[str, Draft] = {}
    draft = Draft(alpha.neutral_ppm(made), made.parameters.min_fee_ppm, made.parameters.max_fee_ppm)
    for stage in SEQUENCE:
        draft = stage.rule(made, draft).draft
        found[stage.name] = draft
    return found


def rulings(made: Context) -> dict[str, Verdict]:
    return {verdict.stage: verdict for verdict in alpha.run(made, SEQUENCE).verdicts}


def final(seen: ChannelFacts, p: FeeParameters = WIDE) -> int:
    return alpha.run(context(seen, p=p), SEQUENCE).draft.ppm


def neutral(made: Market) -> float:
    return math.exp(made.priced.neutral)


# -- the mempool ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("intensity", "floor_ppm"),
    [(0.0, 10), (0.009, 10), (0.01, 12), (0.04, 14), (0.25, 75), (1, 300)],
)
def test_golden_floor_is_up_to_three_times_and_up_to_the_neutral_price(
    intensity: float, floor_ppm: int
) -> None:
    """10 x (1 + 2 sqrt(intensity)), or the intensity's part of the 300 ppm of the quotes."""
    seen = facts(prior=PriorPrice(300.0, 1.0, 4), spike=spike(intensity))
    assert drafts(context(seen))["vegas"].floor_ppm == floor_ppm


@given(one=st.floats(0, 1), other=st.floats(0, 1), made=markets, p=all_parameters)
def test_the_floor_rises_with_the_intensity_up_to_the_ceiling(
    one: float, other: float, made: Market, p: FeeParameters
) -> None:
    low, high = sorted((one, other))
    floors = []
    for intensity in (0.0, low, high):
        seen = facts(market=made, spike=spike(intensity))
        draft = drafts(context(seen, p=p))["vegas"]
        assert p.min_fee_ppm <= draft.floor_ppm <= draft.ceiling_ppm == p.max_fee_ppm
        floors.append(draft.floor_ppm)
    assert floors == sorted(floors)


@given(made=markets, held=spikes)
def test_at_full_intensity_nothing_is_sold_below_the_neutral_price(
    made: Market, held: Spike
) -> None:
    seen = facts(market=made, spike=spike(1.0), local_msat=FULL)
    assert final(seen) >= math.floor(neutral(made))
    partly = final(seen._replace(spike=held))
    assert partly >= math.floor(neutral(made) * held.intensity * (held.multiplier > 1.0))


def test_the_raised_floor_acts_at_the_bounds_and_says_so() -> None:
    cheap = facts(market=asking(40.0), local_msat=FULL, spike=spike(1.0))
    floor = math.ceil(neutral(asking(40.0)))
    found = rulings(context(cheap))
    assert (found["vegas"].acted, found["vegas"].reason.code) == (True, "mempool_spike")
    assert found["thompson"].reason.code == "drawn"
    assert found["bounds"].reason.code == "raised_to_floor"
    assert found["bounds"].ppm == found["step"].ppm == floor > 200
    text = found["vegas"].reason.text
    assert "40.0 sat/vB against 10.0 on average" in text
    assert f"the floor is {floor} ppm (intensity 1.0)" in text


def test_a_fading_spike_is_told_without_a_feerate() -> None:
    for unknown in (spike(0.5, None, 10.0), spike(0.5, 40.0, None)):
        found = rulings(context(facts(market=asking(40.0), spike=unknown)))
        assert found["vegas"].acted
        assert found["vegas"].reason.code == "mempool_fading"


def test_the_reflex_is_off_by_option_and_silent_while_the_mempool_is_calm() -> None:
    off = FeeParameters(enable_vegas_reflex=False)
    for seen, p, code in (
        (facts(market=asking(40.0), spike=spike(1.0)), off, "vegas_off"),
        (facts(market=asking(40.0), spike=None), DEFAULTS, "mempool_calm"),
        (facts(market=asking(40.0), spike=spike(0.0)), DEFAULTS, "mempool_calm"),
    ):
        found = rulings(context(seen, p=p))
        assert (found["vegas"].acted, found["vegas"].reason.code) == (False, code)
        assert found["step"].ppm == 40


@given(seen=all_facts, p=all_parameters, held=spikes)
def test_a_spike_never_lowers_a_fee_and_never_moves_an_order_or_congestion(
    seen: ChannelFacts, p: FeeParameters, held: Spike
) -> None:
    calm = final(seen._replace(spike=None), p)
    spiked = final(seen._replace(spike=held), p)
    assert spiked >= calm
    if seen.pin is not None and context(seen).pin is not None:
        assert spiked == calm
    congested = context(
        seen._replace(spike=held, pin=None, terms=None),
        known(congestion=CongestionState(True, 2, NOW)),
        p,
    )
    assert drafts(congested)["vegas"].floor_ppm == p.min_fee_ppm
    assert alpha.run(congested, SEQUENCE).draft.ppm == p.max_fee_ppm


def test_the_reflex_itself_gives_the_spike_that_the_floor_follows() -> None:
    """From samples of the feerate to a fee: four times the mean is full intensity."""
    state, calm_s = vegas.VegasState(), NOW - 8 * 1800.0
    for number in range(8):
        state, _ = vegas.observe(state, 10.0, calm_s + number * 1800.0, 0.99, 0.85)
    state, verdict = vegas.observe(state, 40.0, NOW, 0.99, 0.85)
    assert verdict.code == "surge"
    found = []
    for minutes in (0, 30, 60, 1000):
        left = vegas.intensity_at(state, NOW + minutes * 60.0, 0.85)
        now = Spike(left, vegas.floor_multiplier(left), 40.0, verdict.mean_sat_per_vb)
        found.append(final(facts(market=asking(20.0), spike=now), DEFAULTS))
    full = math.ceil(neutral(asking(20.0)))
    assert found[0] == full
    assert found[1] == pytest.approx(0.5 * full, rel=0.02)
    assert found[2] == pytest.approx(0.25 * full, rel=0.04)
    assert found[3] == 20


# -- scarcity and the draw --------------------------------------------------------------------


def test_the_draw_is_the_price_and_says_what_it_rests_on() -> None:
    made = asking(412.0, worth(300.0, own_ppm=50.0, entering_ppm=20.0))
    found = rulings(context(facts(market=made, prior=PriorPrice(77.0, 1.0, 5))))
    assert (found["thompson"].acted, found["thompson"].ppm) == (True, 412)
    assert found["thompson"].reason.code == "drawn"
    numbers = found["thompson"].reason.numbers
    assert numbers["own_ppm"] == 50.0
    assert numbers["entering_ppm"] == 20.0
    assert numbers["greedy_ppm"] == round(math.exp(made.priced.greedy), 1)
    assert numbers["z"] == round(made.priced.draw.z, 2)
    assert found["step"].ppm == 412


def test_the_neutral_price_knows_nothing_of_our_stock() -> None:
    """The first three prices are the same, whatever the stock is worth; only the draw differs."""
    plain, dear = worth(300.0), worth(300.0, own_ppm=900.0, entering_ppm=-200.0)
    first = market(plain, 0.2, None, 0.0, NOW, 1.0)
    second = market(dear, 0.2, None, 0.0, NOW, 1.0)
    assert alpha.neutral_ppm(context(facts(market=first))) == neutral(first) == neutral(second)
    assert second.priced.log_fee > first.priced.log_fee + 0.5


@given(told=worths, z=st.floats(-4, 4), local=st.integers(0, 10_000_000_000))
def test_the_guard_is_a_multiple_of_the_neutral_price_whatever_our_stock_is_worth(
    told: Worth, z: float, local: int
) -> None:
    """So the value of the stock is never multiplied, and what is drawn is never multiplied."""
    made = market(told, 0.3, None, z, NOW, 1.0)
    found = drafts(context(facts(market=made, local_msat=local), p=WIDE))
    share = max(0, local - 100_000_000) / 9_900_000_000
    multiplier = scarcity_multiplier(share, 0.35, 3.0)
    guard = neutral(made) * multiplier if multiplier > 1.0 else 0.0
    assert found["scarcity"].guard_ppm == pytest.approx(guard)
    drawn = math.exp(made.priced.log_fee)
    assert found["thompson"].asked_ppm == pytest.approx(max(drawn, guard))


def test_a_drained_channel_is_guarded_at_three_times_neutral_and_not_at_three_times_the_draw() -> (
    None
):
    cheap, dear = asking(400.0), asking(1500.0, worth(300.0, own_ppm=800.0))
    guard = 3.0 * neutral(cheap)
    assert 600.0 < guard < 1500.0
    below = rulings(context(facts(market=cheap, local_msat=DRAINED)))
    assert below["scarcity"].reason.code == "scarce"
    assert (below["thompson"].acted, below["thompson"].reason.code) == (False, "draw_below_guard")
    assert below["step"].ppm == math.floor(guard + 0.5)
    above = rulings(context(facts(market=dear, local_msat=DRAINED)))
    assert above["thompson"].reason.code == "drawn"
    assert above["step"].ppm == 1500


@given(made=markets, local=st.integers(0, 10_000_000_000), threshold=st.floats(0, 1))
def test_scarcity_never_lowers_what_demand_and_stock_ask(
    made: Market, local: int, threshold: float
) -> None:
    seen = facts(market=made, local_msat=local)
    on = replace(WIDE, scarcity_threshold=threshold)
    assert final(seen, on) >= final(seen, replace(on, enable_scarcity_pricing=False))


@given(
    made=markets,
    one=st.integers(0, 10_000_000_000),
    other=st.integers(0, 10_000_000_000),
)
def test_at_one_price_of_demand_the_fee_never_falls_as_the_channel_drains(
    made: Market, one: int, other: int
) -> None:
    low, high = sorted((one, other))
    drained = final(facts(market=made, local_msat=low))
    assert drained >= final(facts(market=made, local_msat=high))


@pytest.mark.parametrize(("opener", "settled_out", "ppm"), [("remote", 0, 200), ("local", 0, 0)])
def test_virgin_amnesty_leaves_the_draw_as_it_is(opener: str, settled_out: int, ppm: int) -> None:
    made = asking(200.0)
    virgin = facts(market=made, opener=opener, settled_out=settled_out, local_msat=0)
    expected = ppm or math.floor(3.0 * neutral(made) + 0.5)
    assert final(virgin) == expected
    assert final(virgin._replace(settled_out=1)) == math.floor(3.0 * neutral(made) + 0.5)
    code = rulings(context(virgin))["scarcity"].reason.code
    assert code == ("amnesty" if opener == "remote" else "scarce")


# -- AIMD -------------------------------------------------------------------------------------


@given(
    told=worths, z=st.floats(-4, 4), multiplier=st.floats(0.5, 1.0), local=st.integers(0, 10**10)
)
def test_aimd_lowers_the_price_but_never_the_guard(
    told: Worth, z: float, multiplier: float, local: int
) -> None:
    made = market(told, 0.3, None, z, NOW, multiplier)
    found = drafts(context(facts(market=made, local_msat=local), p=WIDE))
    price, after = found["thompson"].asked_ppm, found["aimd"].asked_ppm
    lowered = multiplier * math.exp(made.priced.log_fee)
    assert after == pytest.approx(max(found["scarcity"].guard_ppm, lowered))
    assert after <= price * (1.0 + 1e-12)
    assert found["aimd"].guard_ppm == found["scarcity"].guard_ppm


def test_the_multiplier_takes_its_part_of_the_draw_and_says_so() -> None:
    found = rulings(context(facts(market=asking(400.0, multiplier=0.85))))
    assert (found["thompson"].ppm, found["aimd"].ppm, found["step"].ppm) == (400, 340, 340)
    assert (found["aimd"].acted, found["aimd"].reason.code) == (True, "counts_improbably_low")
    assert found["aimd"].reason.text.endswith("0.85 of the price, 340.0 ppm")
    calm = rulings(context(facts(market=asking(400.0))))
    assert (calm["aimd"].acted, calm["aimd"].reason.code) == (False, "counts_as_expected")
    assert calm["step"].ppm == 400


def test_where_the_guard_stands_above_the_price_aimd_does_nothing() -> None:
    drained = facts(market=asking(400.0, multiplier=0.5), local_msat=DRAINED)
    found = rulings(context(drained))
    guard = math.floor(3.0 * neutral(asking(400.0)) + 0.5)
    assert (found["aimd"].acted, found["aimd"].ppm, found["step"].ppm) == (False, guard, guard)


def test_a_price_is_lowered_down_to_the_guard_and_not_past_it() -> None:
    """A little below the threshold: the draw stands above the guard, half of it below."""
    local = 100_000_000 + int(0.30 * 9_900_000_000)
    made = asking(400.0, multiplier=0.5)
    guard = neutral(made) * scarcity_multiplier(0.30, 0.35, 3.0)
    assert 200.0 < guard < 400.0
    found = rulings(context(facts(market=made, local_msat=local)))
    assert (found["aimd"].acted, found["aimd"].ppm) == (True, math.floor(guard + 0.5))


def test_aimd_leaves_orders_congestion_and_the_bounds_alone() -> None:
    low = asking(400.0, multiplier=0.5)
    assert final(facts(market=low, pin=Pin(333, None, "static", NOW - 1.0))) == 333
    jammed = context(facts(market=low), known(congestion=CongestionState(True, 2, NOW)))
    assert alpha.run(jammed, SEQUENCE).draft.ppm == DEFAULTS.max_fee_ppm
    assert final(facts(market=low), FeeParameters(min_fee_ppm=250)) == 250


# -- together ---------------------------------------------------------------------------------


@given(seen=all_facts, p=all_parameters, made=markets)
def test_the_step_of_a_young_channel_binds_what_demand_asks(
    seen: ChannelFacts, p: FeeParameters, made: Market
) -> None:
    priced = seen._replace(market=made, pin=None)
    young = context(priced, known(observed_s=0.0), p)
    found = drafts(young)
    if young.in_force_ppm is None:
        return
    floor, ceiling = found["vegas"].floor_ppm, found["vegas"].ceiling_ppm
    start = max(floor, min(ceiling, young.in_force_ppm))
    assert start / 1.5 <= found["step"].ppm <= max(start * 1.5, start + 1)


def test_with_a_market_neither_quotes_nor_the_fee_found_are_asked() -> None:
    made = asking(412.0)
    for quoted, found in ((50.0, 60), (4000.0, 3000)):
        seen = facts(market=made, prior=PriorPrice(quoted, 1.0, 5))
        assert final(seen) == 412
        state = known()._replace(found=Fee(found, 0))
        assert alpha.neutral_ppm(context(seen, state)) == neutral(made)
        assert alpha.neutral_ppm(context(seen._replace(market=None), state)) == quoted
        assert alpha.neutral_ppm(context(facts(), state)) == found
