"""Decisions and states as JSON: written out whole, read back exactly, and decided again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from cl_revenue_ops.domain.fees.decide import FeeDecision, decide
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
from cl_revenue_ops.domain.fees.wording import Reason

RECORD_VERSION = 1
STATE_VERSION = 1


def to_record(decision: FeeDecision) -> dict[str, Any]:
    """Return the decision as plain JSON values: what was decided, why, and from what."""
    return {
        "version": RECORD_VERSION,
        "channel_id": decision.facts.channel_id,
        "at_s": decision.now_s,
        "action": decision.action,
        "code": decision.code,
        "sentence": decision.sentence,
        "target": _plain(decision.target),
        "wanted": _plain(decision.wanted),
        "seen": _plain(decision.seen),
        "whose": decision.whose,
        "newly_foreign": decision.newly_foreign,
        "outcome": _reason(decision.outcome),
        "blockers": [_reason(blocker) for blocker in decision.blockers],
        "verdicts": [
            {"stage": v.stage, "acted": v.acted, "ppm": v.ppm, **_reason(v.reason)}
            for v in decision.verdicts
        ],
        "inputs": {
            "facts": _plain(decision.facts),
            "state": _plain(decision.state),
            "parameters": _plain(decision.parameters),
        },
    }


def decide_again(record: Mapping[str, Any]) -> FeeDecision:
    """Return the decision that the recorded inputs give; nothing of its outcome is read.

    Raises ValueError on a record of another version.
    """
    if record.get("version") != RECORD_VERSION:
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
    """Return the state as plain JSON values with a version."""
    return {"version": STATE_VERSION, **_plain(state)}


def state_from_row(row: Mapping[str, Any]) -> ChannelFeeState:
    """Return the state that `state_to_row` wrote; raise ValueError on another version."""
    if row.get("version") != STATE_VERSION:
        raise ValueError(f"a fee state of version {row.get('version')}, not {STATE_VERSION}")
    return _state({key: value for key, value in row.items() if key != "version"})


def _reason(why: Reason) -> dict[str, Any]:
    return {"code": why.code, "numbers": dict(why.numbers)}


def _plain(value: Any) -> Any:
    """Return dataclasses and named tuples as objects, other tuples as lists."""
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, tuple):
        if hasattr(value, "_fields"):
            return {name: _plain(item) for name, item in zip(value._fields, value, strict=True)}
        return [_plain(item) for item in value]
    return value


def _facts(values: Mapping[str, Any]) -> ChannelFacts:
    fee, prior, pin = values["fee"], values["prior"], values["pin"]
    return ChannelFacts(
        **{
            **values,
            "fee": None if fee is None else Fee(**fee),
            "prior": None if prior is None else PriorPrice(**prior),
            "pin": None if pin is None else Pin(**pin),
            "conditions": Conditions(**values["conditions"]),
        }
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
