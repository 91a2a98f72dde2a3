"""The Alpha Sequence stage by stage: order, bounds, scarcity, amnesty, small first steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.fees import alpha, stages
from cl_revenue_ops.domain.fees.alpha import Context, Draft, Ruling, Stage, Verdict
from cl_revenue_ops.domain.fees.facts import (
    ChannelFacts,
    CongestionState,
    Fee,
    FeeParameters,
    Pin,
    PriorPrice,
)
from cl_revenue_ops.domain.fees.stages import SEQUENCE
from cl_revenue_ops.domain.fees.wording import reason
from tests.unit.fees_support import (
    DAY_S,
    DEFAULTS,
    NOW,
    all_facts,
    all_parameters,
    all_states,
    context,
    facts,
    known,
)

CONGESTED = CongestionState(active=True, above=2, sampled_at_s=NOW)


def verdict_of(stage: str, made: Context) -> Verdict:
    return next(v for v in alpha.run(made, SEQUENCE).verdicts if v.stage == stage)


def ppm_after(stage: str, made: Context) -> int:
    return verdict_of(stage, made).ppm


def acted(made: Context) -> list[str]:
    return [v.stage for v in alpha.run(made, SEQUENCE).verdicts if v.acted]


def test_the_stages_run_in_the_specified_order() -> None:
    assert [stage.name for stage in SEQUENCE] == [
        "policy", "pin", "congestion", "vegas", "scarcity", "thompson", "aimd", "bounds", "step",
    ]  # fmt: skip


@given(data=st.data(), seen=all_facts, p=all_parameters)
def test_the_bounds_hold_after_every_stage(
    data: st.DataObject, seen: ChannelFacts, p: FeeParameters
) -> None:
    state = data.draw(all_states(seen.fee))
    made = context(seen, state, p)
    for verdict in alpha.run(made, SEQUENCE).verdicts:
        if made.pin is not None:
            assert verdict.ppm == made.pin.ppm, verdict
        elif made.orders.terms is None or made.orders.passive:
            assert p.min_fee_ppm <= verdict.ppm <= p.max_fee_ppm, verdict
        assert verdict.reason.text


def test_a17_a_hive_fee_of_zero_is_zero_not_the_minimum() -> None:
    hive = facts(pin=Pin(0, 0, "hive", NOW))
    course = alpha.run(context(hive), SEQUENCE)
    assert course.draft.ppm == 0
    assert [v.stage for v in course.verdicts if v.acted] == ["pin"]


def test_an_order_stands_above_congestion_and_an_expired_one_does_not_stand() -> None:
    state = known(congestion=CONGESTED)
    ordered = facts(pin=Pin(77, None, "static", NOW - 10))
    assert alpha.run(context(ordered, state), SEQUENCE).draft.ppm == 77
    expired = facts(pin=Pin(77, None, "static", NOW - 10, until_s=NOW))
    assert alpha.run(context(expired, state), SEQUENCE).draft.ppm == DEFAULTS.max_fee_ppm


def test_congestion_forces_the_highest_fee_even_on_a_young_or_virgin_channel() -> None:
    state = known(congestion=CONGESTED, observed_s=0.0)
    virgin = facts(opener="remote", settled_out=0, local_msat=0, htlcs_out=400)
    course = alpha.run(context(virgin, state), SEQUENCE)
    assert course.draft.ppm == DEFAULTS.max_fee_ppm
    assert [v.stage for v in course.verdicts if v.acted] == ["congestion"]
    text = verdict_of("congestion", context(virgin, state)).reason.text
    assert "400 of 483" in text
    assert "82.8 %" in text
    assert "60.0 %" in text


@pytest.mark.parametrize(
    ("share", "multiplier"),
    [(0.0, 3.0), (0.0875, 2.279507), (0.175, 1.732051), (0.35, 1.0), (0.9, 1.0), (-0.1, 3.0)],
)
def test_golden_scarcity_is_exponential_from_one_to_three(share: float, multiplier: float) -> None:
    assert stages.scarcity_multiplier(share, 0.35, 3.0) == pytest.approx(multiplier, abs=1e-6)


@given(less=st.floats(0, 1), more=st.floats(0, 1), threshold=st.floats(0, 1), most=st.floats(1, 10))
def test_scarcity_never_falls_as_the_channel_drains(
    less: float, more: float, threshold: float, most: float
) -> None:
    low, high = sorted((less, more))
    drained = stages.scarcity_multiplier(low, threshold, most)
    fuller = stages.scarcity_multiplier(high, threshold, most)
    assert 1.0 <= fuller <= drained <= most * (1 + 1e-12)


@given(
    one=st.integers(0, 10_000_000_000),
    other=st.integers(0, 10_000_000_000),
    prior=st.integers(1, 4000),
)
def test_the_fee_never_falls_as_the_channel_drains(one: int, other: int, prior: int) -> None:
    price = PriorPrice(float(prior), 1.0, 4)
    low, high = sorted((one, other))
    drained = alpha.run(context(facts(local_msat=low, prior=price)), SEQUENCE).draft.ppm
    fuller = alpha.run(context(facts(local_msat=high, prior=price)), SEQUENCE).draft.ppm
    assert drained >= fuller


def test_scarcity_counts_from_the_reserve_an_empty_channel_asks_three_times() -> None:
    empty = facts(local_msat=100_000_000, prior=PriorPrice(100.0, 1.0, 4))
    assert alpha.run(context(empty), SEQUENCE).draft.ppm == 300


@pytest.mark.parametrize(
    ("local_msat", "share"),
    [(0, 0.0), (100_000_000, 0.0), (5_050_000_000, 0.5), (10_000_000_000, 1.0)],
)
def test_golden_local_share_is_of_what_can_be_sold(local_msat: int, share: float) -> None:
    assert stages.local_share(facts(local_msat=local_msat)) == pytest.approx(share)
    assert stages.local_share(facts(local_msat=local_msat, our_reserve_msat=10**11)) == 0.0


def test_a_full_channel_asks_the_price_and_scarcity_stays_out() -> None:
    full = facts(local_msat=9_900_000_000, prior=PriorPrice(321.4, 1.0, 4))
    course = alpha.run(context(full), SEQUENCE)
    assert course.draft.ppm == 321
    assert acted(context(full)) == ["thompson"]


@pytest.mark.parametrize(
    ("opener", "settled_out", "exempt"),
    [("remote", 0, True), ("remote", 1, False), ("local", 0, False), (None, 0, False)],
)
def test_b04_amnesty_for_a_channel_the_peer_opened_that_never_sent_anything(
    opener: str | None, settled_out: int, exempt: bool
) -> None:
    seen = facts(opener=opener, settled_out=settled_out, local_msat=200_000_000)
    scarcity = verdict_of("scarcity", context(seen))
    assert scarcity.acted is not exempt
    assert (scarcity.reason.code == "amnesty") is exempt


def test_scarcity_can_be_switched_off() -> None:
    off = FeeParameters(enable_scarcity_pricing=False)
    drained = facts(local_msat=0)
    assert alpha.run(context(drained, p=off), SEQUENCE).draft.ppm == 200
    assert alpha.run(context(drained), SEQUENCE).draft.ppm == 600


def test_the_price_never_lowers_the_scarcity_guard_nor_multiplies_again() -> None:
    drained = context(facts(local_msat=0, prior=PriorPrice(100.0, 1.0, 4)))
    assert ppm_after("scarcity", drained) == 300
    assert ppm_after("thompson", drained) == 300


def test_without_quotes_the_price_is_the_fee_found_at_first_contact() -> None:
    state = known()._replace(found=Fee(137, 1000))
    verdict = verdict_of("thompson", context(facts(), state))
    assert verdict.ppm == 137
    assert verdict.reason.code == "price_found"


@pytest.mark.parametrize(
    ("price", "code", "ppm"),
    [
        (3.0, "raised_to_floor", 10),
        (9000.0, "lowered_to_ceiling", 5000),
        (9.5, "within_bounds", 10),
    ],
)
def test_bounds_say_what_they_did(price: float, code: str, ppm: int) -> None:
    verdict = verdict_of("bounds", context(facts(prior=PriorPrice(price, 1.0, 2))))
    assert (verdict.reason.code, verdict.ppm) == (code, ppm)


@given(
    in_force=st.integers(0, 8000),
    price=st.floats(0.1, 20_000),
    local=st.integers(0, 10_000_000_000),
    observed_s=st.floats(0, 3 * DAY_S, exclude_max=True),
)
def test_a_young_channel_moves_at_most_by_half_of_the_fee_in_force(
    in_force: int, price: float, local: int, observed_s: float
) -> None:
    state = known(Fee(in_force, 0), observed_s=observed_s)
    seen = facts(fee=Fee(in_force, 0), prior=PriorPrice(price, 1.0, 3), local_msat=local)
    ppm = alpha.run(context(seen, state), SEQUENCE).draft.ppm
    start = min(5000, max(10, in_force))
    assert start / 1.5 <= ppm <= max(start * 1.5, start + 1)


@pytest.mark.parametrize(("in_force", "price", "ppm"), [(2, 600.0, 15), (8000, 50.0, 3334)])
def test_a_step_from_outside_the_bounds_starts_at_the_bound(
    in_force: int, price: float, ppm: int
) -> None:
    seen = facts(fee=Fee(in_force, 0), prior=PriorPrice(price, 1.0, 3))
    state = known(Fee(in_force, 0), observed_s=0.0)
    assert alpha.run(context(seen, state), SEQUENCE).draft.ppm == ppm


def test_after_three_observed_days_the_step_is_free() -> None:
    dear = facts(prior=PriorPrice(1000.0, 1.0, 3))
    young, grown = known(observed_s=3 * DAY_S - 1), known(observed_s=3 * DAY_S)
    assert alpha.run(context(dear, young), SEQUENCE).draft.ppm == 300
    assert alpha.run(context(dear, grown), SEQUENCE).draft.ppm == 1000


def test_after_congestion_a_young_channel_steps_from_the_fee_before_it() -> None:
    state = known(Fee(5000, 0), observed_s=0.0, forced_by="congestion", calm_ppm=200)
    seen = facts(fee=Fee(5000, 0), prior=PriorPrice(220.0, 1.0, 3))
    assert alpha.run(context(seen, state), SEQUENCE).draft.ppm == 220


def test_a03_a_later_stage_that_raises_the_floor_fits_in_and_acts() -> None:
    def reflex(made: Context, draft: Draft) -> Ruling:
        return Ruling(draft._replace(floor_ppm=900), True, reason("scarcity_off"))

    course = alpha.run(context(facts()), (*SEQUENCE[:2], Stage("refill", reflex), *SEQUENCE[2:]))
    assert course.draft.ppm == 900
    assert {v.stage: v.reason.code for v in course.verdicts}["bounds"] == "raised_to_floor"


def test_bounds_that_no_rule_can_keep_are_refused() -> None:
    with pytest.raises(ValueError, match="bounds"):
        FeeParameters(min_fee_ppm=100, max_fee_ppm=99)
