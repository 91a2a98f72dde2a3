"""revenue-policy: one table of actions, each with the arguments that it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from cl_revenue_ops.commands import values
from cl_revenue_ops.commands.binding import BadInput, Param
from cl_revenue_ops.commands.desk import FrontDesk, HandOn
from cl_revenue_ops.domain.policy import edits, fields
from cl_revenue_ops.domain.policy.fields import Fault
from messages.policies import (
    DeletePolicy,
    ReadPolicies,
    SetPolicies,
    SuggestPolicies,
    TagPolicy,
)

ENGINE = "policy-engine"
LATEST_S = 10**11
T = TypeVar("T")


@dataclass(frozen=True)
class Given:
    """An argument that was given, whatever it is: null clears some fields."""

    raw: object


@dataclass(frozen=True)
class Action:
    """One action: `run` makes the work for the engine from the arguments."""

    run: Callable[[Mapping[str, Any]], HandOn]
    params: tuple[Param, ...] = ()


def _sound(outcome: T | Fault) -> T:
    if isinstance(outcome, Fault):
        raise BadInput(outcome.text)
    return outcome


def _peer_id(raw: object) -> str:
    return _sound(fields.peer_id(raw))


def _tag(raw: object) -> str:
    return _sound(fields.tag(raw))


def _since(raw: object) -> int:
    """A whole second; a fraction is cut off, null is the beginning."""
    if raw is None:
        return 0
    if isinstance(raw, float) and 0.0 <= raw <= LATEST_S:
        return int(raw)
    return values.whole("since", 0, LATEST_S)(raw)


def _set(args: Mapping[str, Any]) -> HandOn:
    given = {name: value.raw for name, value in args.items() if isinstance(value, Given)}
    edit = _sound(edits.read_edit({**given, "peer_id": args["peer_id"]}))
    return HandOn(ENGINE, lambda i, to, by: SetPolicies(i, to, by, (edit,)))


def _batch(args: Mapping[str, Any]) -> HandOn:
    updates = _sound(edits.read_batch(args["updates"]))
    return HandOn(ENGINE, lambda i, to, by: SetPolicies(i, to, by, updates, batch=True))


def _delete(args: Mapping[str, Any]) -> HandOn:
    peer_id = args["peer_id"]
    return HandOn(ENGINE, lambda i, to, by: DeletePolicy(i, to, by, peer_id))


def _tagging(add: bool) -> Callable[[Mapping[str, Any]], HandOn]:
    def run(args: Mapping[str, Any]) -> HandOn:
        peer_id, tag = args["peer_id"], args["tag"]
        return HandOn(ENGINE, lambda i, to, by: TagPolicy(i, to, by, peer_id, tag, add))

    return run


def _reading(what: str) -> Callable[[Mapping[str, Any]], HandOn]:
    def run(args: Mapping[str, Any]) -> HandOn:
        peer_id, tag, since_s = args.get("peer_id"), args.get("tag"), args.get("since", 0)
        return HandOn(
            ENGINE, lambda i, to, by: ReadPolicies(i, to, by, what, peer_id, tag, since_s)
        )

    return run


def _suggest(args: Mapping[str, Any]) -> HandOn:
    return HandOn(ENGINE, SuggestPolicies)


PEER = Param("peer_id", _peer_id, required=True)
TAG = Param("tag", _tag, required=True)
OPTIONS = (
    "strategy", "rebalance", "fee_ppm", "fee_multiplier_min", "fee_multiplier_max",
    "min_fee_ppm", "max_fee_ppm", "tags", "expires_in_hours", *fields.ALIASES,
)  # fmt: skip

ACTIONS: Mapping[str, Action] = {
    "set": Action(_set, (PEER, *(Param(name, Given) for name in OPTIONS))),
    "get": Action(_reading("get"), (PEER,)),
    "list": Action(_reading("list")),
    "delete": Action(_delete, (PEER,)),
    "tag": Action(_tagging(True), (PEER, TAG)),
    "untag": Action(_tagging(False), (PEER, TAG)),
    "find": Action(_reading("find"), (TAG,)),
    "batch": Action(_batch, (Param("updates", lambda raw: raw, required=True),)),
    "changes": Action(_reading("changes"), (Param("since", _since, default=0),)),
    "suggest": Action(_suggest),
}

PARAMS = (Param("action", values.word("action", tuple(ACTIONS)), required=True),)
MORE = {name: action.params for name, action in ACTIONS.items()}


def run(desk: FrontDesk, args: Mapping[str, Any]) -> HandOn:
    """Hand the action that was asked for to its owner; BadInput for a bad argument."""
    return ACTIONS[args["action"]].run(args)
