"""A record is enough: every decision can be made again from it, and every number stands in it."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_revenue_ops.domain.fees import wording
from cl_revenue_ops.domain.fees.decide import decide
from cl_revenue_ops.domain.fees.facts import (
    ChannelFacts,
    ChannelFeeState,
    Conditions,
    CongestionState,
    Fee,
    FeeParameters,
    Pin,
    PriorPrice,
)
from cl_revenue_ops.domain.fees.record import (
    decide_again,
    replay,
    state_from_row,
    state_to_row,
    to_record,
)
from tests.unit.fees_support import (
    DAY_S,
    NOW,
    all_facts,
    all_parameters,
    all_states,
    facts,
    known,
)


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
        conditions=Conditions(not sometimes(0.05), sometimes(0.05), False),
    )
    parameters = FeeParameters(
        min_fee_ppm=int(rng.integers(0, 50)),
        max_fee_ppm=int(rng.integers(500, 6000)),
        scarcity_threshold=float(rng.uniform(0, 0.6)),
    )
    return made, ChannelFeeState() if sometimes(0.1) else state, parameters


def test_a_thousand_decisions_are_made_again_from_their_records_alone() -> None:
    codes = set()
    for seed in range(1000):
        decision, _ = decide(*drawn(seed), NOW)
        text = json.dumps(to_record(decision))
        record: dict[str, Any] = json.loads(text)
        ppm = None if decision.target is None else decision.target.ppm
        assert replay(record) == ppm, f"seed {seed}"
        assert json.dumps(to_record(decide_again(record))) == text, f"seed {seed}"
        codes.add((decision.action, decision.code))
    assert len(codes) >= 10, f"the draws reach only {sorted(codes)}"


def test_replay_reads_inputs_not_the_outcome() -> None:
    decision, _ = decide(*drawn(1), NOW)
    record = json.loads(json.dumps(to_record(decision)))
    inputs_only = {name: record[name] for name in ("version", "at_s", "inputs")}
    assert decision.target is not None
    assert replay(inputs_only) == decision.target.ppm


def test_another_input_gives_another_decision() -> None:
    """So the replay is not vacuous: the record's numbers are what decides."""
    seen = facts(prior=PriorPrice(600.0, 1.0, 5))
    record = json.loads(json.dumps(to_record(decide(seen, known(), FeeParameters(), NOW)[0])))
    assert replay(record) == 600
    record["inputs"]["facts"]["prior"]["ppm"] = 700.0
    assert replay(record) == 700


def numbers_in(value: Any) -> set[float]:
    """Every number of a record's reasons and fees, not of its inputs."""
    if isinstance(value, dict):
        return set().union(*(numbers_in(v) for k, v in value.items() if k != "inputs"), set())
    if isinstance(value, list):
        return set().union(*(numbers_in(item) for item in value), set())
    return {float(value)} if isinstance(value, int | float) else set()


@settings(max_examples=300)
@given(data=st.data(), seen=all_facts, p=all_parameters)
def test_every_number_in_every_sentence_stands_in_the_record(
    data: st.DataObject, seen: ChannelFacts, p: FeeParameters
) -> None:
    decision, _ = decide(seen, data.draw(all_states(seen.fee)), p, NOW)
    record = to_record(decision)
    stated = {key: value for key, value in record.items() if key not in ("sentence", "at_s")}
    recorded = numbers_in(stated)
    for text in re.findall(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?", decision.sentence):
        assert float(text) in recorded, (text, decision.sentence)


@given(data=st.data(), seen=all_facts, p=all_parameters)
def test_any_state_round_trips_exactly(
    data: st.DataObject, seen: ChannelFacts, p: FeeParameters
) -> None:
    _, state = decide(seen, data.draw(all_states(seen.fee)), p, NOW)
    assert state_from_row(json.loads(json.dumps(state_to_row(state)))) == state


def test_other_versions_are_refused() -> None:
    with pytest.raises(ValueError, match="version"):
        state_from_row({**state_to_row(known()), "version": 99})
    with pytest.raises(ValueError, match="version"):
        replay({**to_record(decide(facts(), known(), FeeParameters(), NOW)[0]), "version": 99})


def test_a_reason_needs_words_and_all_their_numbers() -> None:
    with pytest.raises(KeyError):
        wording.reason("no_such_code")
    with pytest.raises(KeyError):
        wording.reason("pinned", ppm=3)
