"""Injected faults: seeded rules that spoil RPC answers and notifications; none by default."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from cl_revenue_ops.simnode.errors import FAILED

RPC_KINDS = ("error", "timeout", "truncated", "wrong_type", "missing_keys", "nulls")
NOTIFICATION_KINDS = ("lost", "late", "doubled", "reordered", "malformed")


@dataclass
class Fault:
    """One rule: spoil what matches `target` (a glob over methods or topics).

    `chance` is the probability at each match, `count` how often at most (None: no limit),
    `seconds` how long a timeout is held (real time only) or a late notification waits.
    """

    kind: str
    target: str = "*"
    chance: float = 1.0
    count: int | None = None
    seconds: float = 60.0
    code: int = FAILED
    message: str = "injected fault"
    hits: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.kind not in RPC_KINDS + NOTIFICATION_KINDS:
            raise ValueError(f"unknown fault {self.kind!r}")

    @property
    def spent(self) -> bool:
        """True once the rule has struck as often as it may."""
        return self.count is not None and self.hits >= self.count


@dataclass(frozen=True)
class Notification:
    """A topic with the params that go out."""

    topic: str
    params: Any


class Faults:
    """The rules in force. Same seed and same order of calls: same faults."""

    def __init__(self, seed: int, now: Callable[[], float]) -> None:
        self._random = random.Random(f"faults/{seed}")
        self._now = now
        self._rules: list[Fault] = []
        self._late: list[tuple[float, Notification]] = []
        self._held: Notification | None = None
        self._guard = threading.Lock()

    def add(self, fault: Fault) -> Fault:
        """Put a rule in force."""
        self._rules.append(fault)
        return fault

    def clear(self) -> None:
        """Remove all rules; what is held back stays held until it is due."""
        self._rules.clear()

    def _strike(self, kinds: tuple[str, ...], name: str) -> Fault | None:
        for rule in self._rules:
            if rule.kind not in kinds or rule.spent or not fnmatchcase(name, rule.target):
                continue
            if rule.chance >= 1.0 or self._random.random() < rule.chance:
                rule.hits += 1
                return rule
        return None

    def on_rpc(self, method: str) -> Fault | None:
        """The fault that this call meets, or None."""
        with self._guard:
            return self._strike(RPC_KINDS, method)

    def spoil(self, fault: Fault, result: Any) -> Any:
        """A malformed copy of a result, for the kinds that change it."""
        with self._guard:
            if fault.kind == "missing_keys":
                return _without(result, self._random)
            if fault.kind == "nulls":
                return _changed(result, self._random, lambda _: None)
            return _changed(result, self._random, _other_type)

    def notifications(self, topic: str, params: Mapping[str, Any]) -> list[Notification]:
        """What goes out now instead of this one notification."""
        with self._guard:
            news = Notification(topic, params)
            rule = self._strike(NOTIFICATION_KINDS, topic) if self._rules else None
            out = self._apply(rule, news)
            if self._held is not None and out:
                out, self._held = [*out, self._held], None
            if rule is not None and rule.kind == "reordered":
                # Held until the next notification has gone out.
                self._held = news
            return out

    def _apply(self, rule: Fault | None, news: Notification) -> list[Notification]:
        if rule is None:
            return [news]
        if rule.kind == "late":
            self._late.append((self._now() + rule.seconds, news))
        if rule.kind == "doubled":
            return [news, news]
        if rule.kind == "malformed":
            return [Notification(news.topic, _changed(news.params, self._random, _other_type))]
        return []

    def due(self, now_s: float) -> list[Notification]:
        """Late notifications whose time has come, in order."""
        with self._guard:
            ready = sorted((item for item in self._late if item[0] <= now_s), key=lambda i: i[0])
            self._late = [item for item in self._late if item[0] > now_s]
            return [news for _, news in ready]

    def swarm(self, chance: float = 0.02) -> list[Fault]:
        """Put a random half of all kinds in force, each against a random target; returns them.

        The choice holds for the whole run, so that faults of one run belong together.
        """
        targets = ("*", "list*", "setchannel", "feerates", "revenue-*", "get*")
        for kind in RPC_KINDS + NOTIFICATION_KINDS:
            if self._random.random() < 0.5:
                target = self._random.choice(targets) if kind in RPC_KINDS else "*"
                self.add(Fault(kind, target, chance))
        return list(self._rules)


def _other_type(value: Any) -> Any:
    """A value of a type that the reader does not expect."""
    if isinstance(value, str):
        return {"unexpected": value}
    if isinstance(value, int | float):
        return [str(value)]
    return "unexpected"


def _changed(value: Any, rng: random.Random, change: Callable[[Any], Any]) -> Any:
    """A copy with one place changed, found by walking down at random."""
    if isinstance(value, dict) and value:
        name = rng.choice(sorted(value))
        return {**value, name: _changed(value[name], rng, change)}
    if isinstance(value, list) and value:
        place = rng.randrange(len(value))
        return [*value[:place], _changed(value[place], rng, change), *value[place + 1 :]]
    return change(value)


def _without(value: Any, rng: random.Random) -> Any:
    """A copy that lacks one key somewhere on a random way down."""
    if isinstance(value, dict) and value:
        name = rng.choice(sorted(value))
        inner = value[name]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.7:
            return {**value, name: _without(inner, rng)}
        return {other: kept for other, kept in value.items() if other != name}
    if isinstance(value, list) and value:
        place = rng.randrange(len(value))
        return [*value[:place], _without(value[place], rng), *value[place + 1 :]]
    return value
