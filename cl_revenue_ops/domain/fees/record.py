"""Decisions and states as JSON: written out whole, read back exactly, and decided again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cl_revenue_ops.domain import jsontext
from cl_revenue_ops.domain.demand.belief import Belief
from cl_revenue_ops.domain.demand.book import Surprise, Worth
from cl_revenue_ops.domain.demand.price import Draw
from cl_revenue_ops.domain.fees.decide import FeeDecision, decide
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
    Spike,
    finite,
    market,
)
from cl_revenue_ops.domain.fees.wording import Reason
from cl_revenue_ops.domain.policy.terms import Terms

RECORD_VERSION = 3
RECORD_VERSIONS_READ = (2, 3)
STATE_VERSION = 3
STATE_VERSIONS_READ = (1, 2, 3)


def to_text(decision: FeeDecision) -> str:
    """Return the decision as JSON: what was decided, why, and from what."""
    return jsontext.dumps(
        {
            "version": RECORD_VERSION,
            "channel_id": decision.facts.channel_id,
            "at_s": decision.now_s,
            "action": decision.action,
            "code": decision.code,
            "sentence": decision.sentence,
            "target": decision.target,
            "wanted": decision.wanted,
            "seen": decision.seen,
            "whose": decision.whose,
            "newly_foreign": decision.newly_foreign,
            "outcome": _reason(decision.outcome),
            "blockers": [_reason(blocker) for blocker in decision.blockers],
            "verdicts": [
                {"stage": v.stage, "acted": v.acted, "ppm": v.ppm, **_reason(v.reason)}
                for v in decision.verdicts
            ],
            "inputs": {
                "facts": decision.facts,
                "state": decision.state,
                "parameters": decision.parameters,
            },
        }
    )


def to_record(decision: FeeDecision) -> dict[str, Any]:
    """Return the decision as plain JSON values, as they are read back."""
    record: dict[str, Any] = jsontext.loads(to_text(decision))
    return record


def decide_again(record: Mapping[str, Any]) -> FeeDecision:
    """Return the decision that the recorded inputs give; nothing of its outcome is read.

    Raises ValueError on a record of another version.
    """
    if record.get("version") not in RECORD_VERSIONS_READ:
        raise ValueError(f"a record of version {record.get('version')}, not {RECORD_VERSION}")
    inputs = record["inputs"]
    decision, _ = decide(
        _facts(inputs["facts"]),
        _state(inputs["state"]),
        FeeParameters(**inputs["parameters"]),
        record["at_s"],
    )
    return decision


def replay(record: Mapping[str, Any]) -> int | None:
    """Return the ppm that the recorded inputs lead to: the fee to set, or the one that stays.

    None where the node reported no fee. Raises ValueError on a record of another version.
    """
    target = decide_again(record).target
    return None if target is None else target.ppm


def state_to_row(state: ChannelFeeState) -> dict[str, Any]:
    """Return the state's fields with a version, as jsontext writes them."""
    return {"version": STATE_VERSION, **state._asdict()}


def state_from_row(row: Mapping[str, Any]) -> ChannelFeeState:
    """Return the state that `state_to_row` wrote.

    Raises ValueError on another version; on anything else that is no state also TypeError,
    KeyError or AttributeError.
    """
    if row.get("version") not in STATE_VERSIONS_READ:
        raise ValueError(f"a fee state of version {row.get('version')}, not {STATE_VERSION}")
    return _checked(_state({key: value for key, value in row.items() if key != "version"}))


def pin_from_row(row: Sequence[Any]) -> Pin:
    """Return a pin kept as a list; raise ValueError or TypeError where it is none."""
    pin = Pin(*row)
    _each(_whole, pin.ppm, *_known(pin.base_msat))
    _each(_word, pin.origin)
    _each(finite, pin.set_at_s, *_known(pin.until_s))
    return pin


def _checked(state: ChannelFeeState) -> ChannelFeeState:
    """Return the state; raise where a value could not have been written by `state_to_row`."""
    fees = _known(state.found, state.target, state.confirmed, state.foreign)
    _each(_whole, *(number for fee in fees for number in fee), *_known(state.calm_ppm))
    _each(_whole, state.congestion.above, state.decisions, state.draws, state.target_draws)
    _each(finite, state.observed_s, state.congestion.sampled_at_s, *state.updates_s)
    _each(finite, *_known(state.foreign_since_s, state.decided_at_s))
    _each(_word, *_known(state.forced_by, state.target_forced_by))
    for flag in (state.left_alone, state.ruled):
        if not isinstance(flag, bool):
            raise TypeError(f"neither true nor false: {flag}")
    return state


def _known(*values: Any) -> tuple[Any, ...]:
    return tuple(value for value in values if value is not None)


def _each(check: Callable[[Any], object], *values: Any) -> None:
    for value in values:
        check(value)


def _whole(value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"not a whole number: {value}")


def _word(value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"not a word: {value}")


def _reason(why: Reason) -> dict[str, Any]:
    return {"code": why.code, "numbers": why.numbers}


def _facts(values: Mapping[str, Any]) -> ChannelFacts:
    fee, prior, pin, spike = (values[name] for name in ("fee", "prior", "pin", "spike"))
    conditions, terms = values["conditions"], values.get("terms")
    # Version 2 knew of policies nothing but a switch that was never on.
    values = {key: value for key, value in values.items() if key != "passive"}
    return ChannelFacts(
        **{
            **values,
            "terms": None if terms is None else Terms(**terms),
            "fee": None if fee is None else Fee(**fee),
            "prior": None if prior is None else PriorPrice(**prior),
            "pin": None if pin is None else Pin(**pin),
            "conditions": Conditions(**{**conditions, "writers": tuple(conditions["writers"])}),
            "market": None if values["market"] is None else _market(values["market"]),
            "spike": None if spike is None else Spike(**spike),
        }
    )


def _market(values: Mapping[str, Any]) -> Market:
    """Price again from what was recorded; the recorded price itself is not looked at."""
    worth, held = values["worth"], values["held"]
    surprise = worth["surprise"]
    told = Worth(
        **{
            **worth,
            "belief": Belief.of(**worth["belief"]),
            "surprise": None if surprise is None else Surprise(**surprise),
        }
    )
    return market(
        told,
        values["share"],
        None if held is None else Draw(**held),
        values["fresh_z"],
        values["at_s"],
        values["multiplier"],
    )


def _state(values: Mapping[str, Any]) -> ChannelFeeState:
    fees = {
        name: None if values[name] is None else Fee(**values[name])
        for name in ("found", "target", "confirmed", "foreign")
    }
    return ChannelFeeState(
        **{
            **values,
            **fees,
            "congestion": CongestionState(**values["congestion"]),
            "updates_s": tuple(values["updates_s"]),
        }
    )
