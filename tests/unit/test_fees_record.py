"""A record is enough: every decision can be made again from it, and every number stands in it."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.domain import jsontext
from cl_revenue_ops.domain.demand.book import Surprise
from cl_revenue_ops.domain.fees import wording
from cl_revenue_ops.domain.fees.decide import decide
from cl_revenue_ops.domain.fees.facts import (
    ChannelFacts,
    ChannelFeeState,
    Conditions,
    CongestionState,
    Fee,
    FeeParameters,
    Market,
    Pin,
    PriorPrice,
    market,
)
from cl_revenue_ops.domain.fees.record import (
    decide_again,
    replay,
    state_from_row,
    state_to_row,
    to_record,
    to_text,
)
from tests.unit.fees_support import (
    DAY_S,
    HOUR_S,
    NOW,
    all_facts,
    all_parameters,
    all_states,
    asking,
    facts,
    known,
    spike,
    unrecorded,
    worth,
)


def drawn_market(rng: np.random.Generator) -> Market:
    """Some demand, some value of stock, perhaps a draw that is held, perhaps a surprise."""
    told = worth(
        float(rng.lognormal(5.5, 1.0)),
        volume_msat=float(round(rng.lognormal(19.0, 3.0))),
        own_ppm=round(float(rng.normal(100.0, 300.0)), 3),
        entering_ppm=round(float(rng.normal(50.0, 200.0)), 3),
        surprise=Surprise(3.0, 20.0, float(rng.choice([1e-4, 0.3])), 0.9),
    )
    share = round(float(rng.uniform()), 5)
    fresh_z = round(float(rng.normal()), 6)
    multiplier = float(rng.choice([1.0, 1.0, 0.85, 0.5]))
    held = None
    if rng.random() < 0.7:
        before_s = NOW - float(rng.uniform(0, 8 * HOUR_S))
        first = market(told, share, None, round(float(rng.normal()), 6), before_s, 1.0)
        held = first.priced.draw._replace(number=int(rng.integers(1, 90)))
    return market(told, share, held, fresh_z, NOW, multiplier)


def drawn(seed: int) -> tuple[ChannelFacts, ChannelFeeState, FeeParameters]:
    """Facts, state and parameters as a node could show them, drawn from a seed."""
    rng = np.random.default_rng(seed)

    def sometimes(chance: float) -> bool:
        return bool(rng.random() < chance)

    def fee() -> Fee:
        return Fee(int(rng.lognormal(5.0, 1.5)), int(rng.choice([0, 1000])))

    ours, seen = fee(), fee()
    if sometimes(0.7):
        seen = ours
    state = known(
        ours,
        observed_s=float(rng.uniform(0, 6 * DAY_S)),
        congestion=CongestionState(sometimes(0.2), int(rng.integers(0, 3)), NOW - 60),
        forced_by="congestion" if sometimes(0.1) else None,
        calm_ppm=int(rng.integers(1, 3000)) if sometimes(0.3) else None,
        updates_s=tuple(sorted(float(NOW - rng.uniform(0, 2 * DAY_S)) for _ in range(5))),
        draws=int(rng.integers(0, 90)),
    )
    pin = Pin(int(rng.integers(0, 900)), None, "static", NOW - float(rng.uniform(0, 2 * DAY_S)))
    prior = PriorPrice(float(rng.lognormal(5.5, 1.0)), float(rng.uniform(0.2, 2)), 6)
    made = facts(
        fee=None if sometimes(0.02) else seen,
        local_msat=int(rng.integers(0, 10**10)),
        opener="remote" if sometimes(0.5) else "local",
        settled_out=int(rng.integers(0, 3)),
        htlcs_out=int(rng.integers(0, 484)) if sometimes(0.3) else 3,
        prior=prior if sometimes(0.8) else None,
        pin=pin if sometimes(0.1) else None,
        connected=not sometimes(0.05),
        conditions=Conditions(
            not sometimes(0.05), sometimes(0.05), False, ("CLBoss",) if sometimes(0.3) else ()
        ),
        market=drawn_market(rng) if sometimes(0.8) else None,
        spike=spike(round(float(rng.uniform()), 4)) if sometimes(0.3) else None,
    )
    parameters = FeeParameters(
        min_fee_ppm=int(rng.integers(0, 50)),
        max_fee_ppm=int(rng.integers(500, 6000)),
        scarcity_threshold=float(rng.uniform(0, 0.6)),
        enable_vegas_reflex=not sometimes(0.1),
        fee_updates_per_day=int(rng.integers(0, 9)),
    )
    return made, ChannelFeeState() if sometimes(0.1) else state, parameters


def test_a_thousand_decisions_are_made_again_from_their_records_alone() -> None:
    codes = set()
    for seed in range(1000):
        decision, _ = decide(*drawn(seed), NOW)
        text = to_text(decision)
        record: dict[str, Any] = json.loads(text)
        ppm = None if decision.target is None else decision.target.ppm
        assert replay(record) == ppm, f"seed {seed}"
        assert to_text(decide_again(record)) == text, f"seed {seed}"
        codes.add((decision.action, decision.code))
    assert len(codes) >= 14, f"the draws reach only {sorted(codes)}"


def test_replay_reads_inputs_not_the_outcome() -> None:
    decision, _ = decide(*drawn(1), NOW)
    record = to_record(decision)
    inputs_only = {name: record[name] for name in ("version", "at_s", "inputs")}
    assert decision.target is not None
    assert replay(inputs_only) == decision.target.ppm


def test_another_input_gives_another_decision() -> None:
    """So the replay is not vacuous: the record's numbers are what decides."""
    seen = facts(prior=PriorPrice(600.0, 1.0, 5))
    record = to_record(decide(seen, known(), FeeParameters(), NOW)[0])
    assert replay(record) == 600
    record["inputs"]["facts"]["prior"]["ppm"] = 700.0
    assert replay(record) == 700


def test_the_price_is_worked_out_again_from_the_recorded_belief() -> None:
    """The recorded price is there to be read; what decides is the belief, the draw and the time."""
    made = asking(612.0)
    decision, _ = decide(facts(market=made), known(), FeeParameters(), NOW)
    record = to_record(decision)
    told = record["inputs"]["facts"]["market"]
    assert told["priced"]["propensity"] == made.priced.propensity > 0.0
    told["priced"] = {"log_fee": 0.0}
    assert replay(record) == 612
    told["fresh_z"] = 0.0
    calm = market(made.worth, made.share, None, 0.0, NOW, 1.0)
    assert replay(record) == math.floor(math.exp(calm.priced.log_fee) + 0.5) < 612
    told["worth"]["own_ppm"] = 900.0
    assert (replay(record) or 0) > 900
    told["worth"]["own_ppm"] = 0.0
    told["held"] = {**made.priced.draw._asdict(), "log_fee": math.log(640.0), "z": 0.0}
    assert replay(record) != 640, "a draw whose target moved is drawn anew"
    told["held"] = {**made.priced.draw._asdict(), "log_fee": math.log(640.0)}
    assert replay(record) == 640, "a draw that is held stands as it was drawn"


@settings(max_examples=300)
@given(data=st.data(), seen=all_facts, p=all_parameters)
def test_every_number_in_every_sentence_stands_in_the_record(
    data: st.DataObject, seen: ChannelFacts, p: FeeParameters
) -> None:
    decision, _ = decide(seen, data.draw(all_states(seen.fee)), p, NOW)
    assert unrecorded(decision) == [], decision.sentence


@given(data=st.data(), seen=all_facts, p=all_parameters)
def test_any_state_round_trips_exactly(
    data: st.DataObject, seen: ChannelFacts, p: FeeParameters
) -> None:
    _, state = decide(seen, data.draw(all_states(seen.fee)), p, NOW)
    assert state_from_row(jsontext.loads(jsontext.dumps(state_to_row(state)))) == state


def test_other_versions_are_refused() -> None:
    with pytest.raises(ValueError, match="version"):
        state_from_row({**state_to_row(known()), "version": 99})
    with pytest.raises(ValueError, match="version 1"):
        replay({**to_record(decide(facts(), known(), FeeParameters(), NOW)[0]), "version": 1})
    with pytest.raises(ValueError, match="version"):
        replay({**to_record(decide(facts(), known(), FeeParameters(), NOW)[0]), "version": 99})


def test_a_reason_needs_words_and_all_their_numbers() -> None:
    with pytest.raises(KeyError):
        wording.reason("no_such_code")
    with pytest.raises(KeyError):
        wording.reason("pinned", ppm=3)
