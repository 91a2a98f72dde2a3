"""A plain model of policies, written apart from the house: what must hold after each operation."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

Held = dict[str, Any]
PLAIN: Held = {
    "strategy": "dynamic",
    "rebalance_mode": "enabled",
    "fee_ppm_target": None,
    "fee_multiplier_min": None,
    "fee_multiplier_max": None,
    "min_fee_ppm": None,
    "max_fee_ppm": None,
    "tags": [],
    "expires_at": None,
}


class Operation(NamedTuple):
    """One call of revenue-policy."""

    action: str
    params: dict[str, Any]


class Outcome(NamedTuple):
    """What a call must come to: the state after it, the peers that changed, and its verdict."""

    state: dict[str, Held]
    changed: list[str]
    verdict: str  # done, bad or limited


class Model:
    """Policies by peer, and when each peer was changed."""

    def __init__(self) -> None:
        self.state: dict[str, Held] = {}
        self.times: dict[str, list[float]] = defaultdict(list)

    def end(self, now_s: float) -> None:
        """What has ended is gone."""
        for peer_id, held in list(self.state.items()):
            if held["expires_at"] is not None and now_s >= held["expires_at"]:
                del self.state[peer_id]

    def expect(self, operation: Operation, now_s: float) -> Outcome:
        """What this call must come to; nothing changes here."""
        self.end(now_s)
        after = dict(self.state)
        for entry in _entries(operation):
            held = _entry(operation.action, entry, after.get(entry["peer_id"]), now_s)
            if held == "bad":
                return Outcome(self.state, [], "bad")
            if held is None:
                after.pop(entry["peer_id"], None)
            else:
                after[entry["peer_id"]] = held  # type: ignore[assignment]
        peers = sorted(after.keys() | self.state.keys())
        changed = [p for p in peers if after.get(p) != self.state.get(p)]
        for peer_id in changed:
            if sum(now_s - at_s < 60.0 for at_s in self.times[peer_id]) >= 10:
                return Outcome(self.state, [], "limited")
        return Outcome(after, changed, "done")

    def adopt(self, outcome: Outcome, now_s: float) -> None:
        """The call took effect."""
        self.state = outcome.state
        for peer_id in outcome.changed:
            self.times[peer_id] = [*self.times[peer_id][-20:], now_s]


def _entries(operation: Operation) -> list[dict[str, Any]]:
    return operation.params["updates"] if operation.action == "batch" else [operation.params]


def _entry(
    action: str, entry: dict[str, Any], held: Held | None, now_s: float
) -> Held | str | None:
    if action == "delete":
        return None
    made = dict(PLAIN if held is None else held)
    if action == "untag":
        if held is None:
            return None
        made["tags"] = [tag for tag in made["tags"] if tag != entry["tag"]]
        return made
    if action == "tag":
        if entry["tag"] not in made["tags"]:
            made["tags"] = [*made["tags"], entry["tag"]]
        return made
    for name, value in entry.items():
        if name == "expires_in_hours":
            made["expires_at"] = math.ceil(now_s + value * 3_600) if value > 0 else None
        elif name != "peer_id":
            made[name] = list(dict.fromkeys(value)) if name == "tags" else value
    low, high = made["min_fee_ppm"], made["max_fee_ppm"]
    least, most = made["fee_multiplier_min"], made["fee_multiplier_max"]
    if low is not None and high is not None and low > high:
        return "bad"
    if least is not None and most is not None and least > most:
        return "bad"
    if made["strategy"] == "static" and made["fee_ppm_target"] is None:
        return "bad"
    return made


# -- drawing ----------------------------------------------------------------------------------


def draw(rng: Random, peers: Sequence[str]) -> Operation:
    """One operation; few peers and values, so that repeats, limits and contradictions occur."""
    action = rng.choices(["set", "batch", "delete", "tag", "untag"], weights=[10, 3, 2, 2, 2])[0]
    if action == "batch":
        entries = [_options(rng, peers) for _ in range(rng.randint(0, 5))]
        return Operation(action, {"updates": entries})
    if action == "set":
        return Operation(action, _options(rng, peers))
    params = {"peer_id": rng.choice(peers)}
    if action != "delete":
        params["tag"] = rng.choice("abc")
    return Operation(action, params)


def _options(rng: Random, peers: Sequence[str]) -> dict[str, Any]:
    choices: dict[str, list[Any]] = {
        "strategy": ["dynamic", "static", "passive", "hive"],
        "rebalance_mode": ["enabled", "disabled", "source_only", "sink_only"],
        "fee_ppm_target": [0, 50, 100_000, None],
        "fee_multiplier_min": [0.1, 1.0, None],
        "fee_multiplier_max": [0.5, 5.0, None],
        "min_fee_ppm": [0, 100, None],
        "max_fee_ppm": [50, 100, None],
        "tags": [[], ["a"], ["b", "a", "b"]],
        "expires_in_hours": [0, 1, 2.5, -1],
    }
    named = rng.sample(sorted(choices), rng.randint(0, 4))
    return {"peer_id": rng.choice(peers), **{n: rng.choice(choices[n]) for n in named}}
