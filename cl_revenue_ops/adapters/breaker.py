"""Circuit breakers by group of methods: a part of the node that does not answer is left alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from cl_revenue_ops.ports import CircuitOpen, Clock, MalformedReply, NodeRefused, Unavailable

OUTAGES_TO_OPEN = 3

MOVES = "moves"
"""The group of the node's lists of movements, and of waiting for them."""

PAYMENTS = "payments"
"""The group of the node's own payments, and of waiting for them."""

_BOOKKEEPER = "bookkeeper"
_GROUPS = {
    "bkpr-listaccountevents": _BOOKKEEPER,
    "bkpr-listbalances": _BOOKKEEPER,
    "bkpr-listincome": _BOOKKEEPER,
    "clboss-status": "clboss",
    "clboss-unmanage": "clboss",
    "getinfo": "info",
    "listchainmoves": MOVES,
    "listchannelmoves": MOVES,
    "listchannels": "gossip",
    "listforwards": "forwards",
    "listnodes": "gossip",
    "listpeerchannels": "channels",
    "listsendpays": PAYMENTS,
    "setchannel": "fees",
    "sling-deletejob": "sling",
    "sling-jobsettings": "sling",
    "sling-once": "sling",
    "sling-stats": "sling",
    "sling-stop": "sling",
    "sling-version": "sling",
    "wait": "forwards",
}


def group_of(method: str) -> str:
    """The group whose breaker a method shares; a method that is not listed stands for itself."""
    return _GROUPS.get(method, method)


class Verdict(Enum):
    """What a call taught us: the node answered (be it a refusal), it did not, or nothing."""

    ANSWERED = "answered"
    OUTAGE = "outage"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Circuit:
    """One breaker: closed while `opened_at_s` is None, half-open while `probing`."""

    failures: int = 0
    opens: int = 0
    opened_at_s: float | None = None
    probing: bool = False


class Admission(NamedTuple):
    """Whether a call may go out, and whether its outcome decides on an open breaker."""

    circuit: Circuit
    allowed: bool
    probe: bool


def admit(circuit: Circuit, now_s: float, cooldown_s: float) -> Admission:
    """Ask for one call at `now_s` (monotonic seconds).

    A closed breaker lets everything through. An open one lets one probe through once
    `cooldown_s` has passed since it opened; with `cooldown_s` 0 it closes at once.
    """
    if circuit.opened_at_s is None:
        return Admission(circuit, allowed=True, probe=False)
    if cooldown_s <= 0:
        return Admission(Circuit(opens=circuit.opens), allowed=True, probe=False)
    if circuit.probing or seconds_left(circuit, now_s, cooldown_s) > 0:
        return Admission(circuit, allowed=False, probe=False)
    return Admission(replace(circuit, probing=True), allowed=True, probe=True)


def settle(
    circuit: Circuit, verdict: Verdict, probe: bool, now_s: float, cooldown_s: float
) -> Circuit:
    """Take in how an admitted call ended.

    Three outages running open a closed breaker, unless `cooldown_s` is 0; any answer begins the
    count anew. On an open one only the probe counts: calls that went out before say nothing new.
    """
    if circuit.opened_at_s is not None and not probe:
        return circuit
    if verdict is Verdict.NOTHING:
        return replace(circuit, probing=False)
    if verdict is Verdict.ANSWERED:
        return Circuit(opens=circuit.opens)
    failures = circuit.failures + 1
    if failures < OUTAGES_TO_OPEN or cooldown_s <= 0:
        return replace(circuit, failures=failures, probing=False)
    return Circuit(failures, circuit.opens + 1, now_s)


def seconds_left(circuit: Circuit, now_s: float, cooldown_s: float) -> float:
    """How long an open breaker still holds calls back; 0 when a call may try."""
    if circuit.opened_at_s is None:
        return 0.0
    return max(0.0, cooldown_s - (now_s - circuit.opened_at_s))


class BreakerState(NamedTuple):
    """One breaker as shown to an operator; `state` is closed, open or half-open."""

    group: str
    state: str
    failures: int
    opens: int
    seconds_left: float


class Breakers:
    """The breakers of the process, one a group, shared by all actors and safe from any thread.

    `cooldown_s` is asked each time, so a changed setting holds from the next call on.
    """

    def __init__(self, clock: Clock, cooldown_s: Callable[[], float]) -> None:
        self._clock = clock
        self._cooldown_s = cooldown_s
        self._lock = threading.Lock()
        self._circuits: dict[str, Circuit] = {}

    @contextmanager
    def guard(self, group: str) -> Iterator[None]:
        """Bracket one call of `group`: raises CircuitOpen instead of letting it out.

        The outcome is read from what the body raises: Unavailable (with TimedOut) is an outage,
        NodeRefused and MalformedReply are answers, anything else says nothing about the node.
        """
        probe = self._enter(group)
        verdict = Verdict.NOTHING
        try:
            yield
            verdict = Verdict.ANSWERED
        except Unavailable:
            verdict = Verdict.OUTAGE
            raise
        except (NodeRefused, MalformedReply):
            verdict = Verdict.ANSWERED
            raise
        finally:
            self._leave(group, verdict, probe)

    def states(self) -> tuple[BreakerState, ...]:
        """Every group that was ever called, by name."""
        now_s, cooldown_s = self._clock.monotonic(), self._cooldown_s()
        with self._lock:
            circuits = sorted(self._circuits.items())
        return tuple(_shown(group, circuit, now_s, cooldown_s) for group, circuit in circuits)

    def _enter(self, group: str) -> bool:
        now_s, cooldown_s = self._clock.monotonic(), self._cooldown_s()
        with self._lock:
            asked = admit(self._circuits.get(group, Circuit()), now_s, cooldown_s)
            self._circuits[group] = asked.circuit
        if not asked.allowed:
            left_s = seconds_left(asked.circuit, now_s, cooldown_s)
            until = f"next try in {left_s:.0f} s" if left_s else "one call tries whether it is back"
            raise CircuitOpen(
                f"calls of the group '{group}' are held back after repeated outages: {until}"
            )
        return asked.probe

    def _leave(self, group: str, verdict: Verdict, probe: bool) -> None:
        now_s, cooldown_s = self._clock.monotonic(), self._cooldown_s()
        with self._lock:
            circuit = self._circuits[group]
            self._circuits[group] = settle(circuit, verdict, probe, now_s, cooldown_s)


def _shown(group: str, circuit: Circuit, now_s: float, cooldown_s: float) -> BreakerState:
    left_s = seconds_left(circuit, now_s, cooldown_s)
    state = "open"
    if circuit.opened_at_s is None:
        state = "closed"
    elif circuit.probing or left_s == 0:
        state = "half-open"
    return BreakerState(group, state, circuit.failures, circuit.opens, left_s)
