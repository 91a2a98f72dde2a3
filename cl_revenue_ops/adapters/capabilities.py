"""What this node's version can do, found by trying: what it refused is not asked for a while."""

from __future__ import annotations

import threading
from enum import Enum

from cl_revenue_ops.ports import Clock

REPROBE_AFTER_S = 3600.0
CLBOSS_REPROBE_AFTER_S = 300.0
BOOKKEEPER_REPROBE_AFTER_S = 300.0
BALANCE_REPROBE_AFTER_S = 86_400.0

_NOT_OFFERED_CODES = (-32601, -32602)


def not_offered(code: int) -> bool:
    """Whether a JSON-RPC error says that the node lacks the method or the parameter."""
    return code in _NOT_OFFERED_CODES


class Feature(Enum):
    """What not every supported version answers, and since when it does."""

    FORWARD_PAGES = "listforwards by index, start and limit (v23.11)"
    FORWARD_WAIT = "wait for forwards (v23.11)"
    PAYMENT_PAGES = "listsendpays by index, start and limit (v23.11)"
    PAYMENT_WAIT = "wait for sendpays (v23.11)"
    CHANNEL_MOVES = "listchannelmoves (v25.09)"
    CHAIN_MOVES = "listchainmoves (v25.09)"
    BOOKKEEPER = "the commands of bookkeeper"
    REPLY_FILTER = "the filter member of a request (v22.11)"
    CLBOSS = "the commands of CLBoss"
    CLBOSS_BALANCE = "the tag balance of clboss-unmanage (CLBoss 0.13A)"


# What comes and goes with another plugin is asked again at a pace of its own.
_REPROBE_S = {
    Feature.BOOKKEEPER: BOOKKEEPER_REPROBE_AFTER_S,
    Feature.CLBOSS: CLBOSS_REPROBE_AFTER_S,
    Feature.CLBOSS_BALANCE: BALANCE_REPROBE_AFTER_S,
}


class Capabilities:
    """Features of the one node, shared by all actors and safe from any thread.

    A feature counts as offered until the node refuses it. A refusal holds for `REPROBE_AFTER_S`
    (of CLBoss and bookkeeper: 300 s, of the tag balance of CLBoss: a day) or until `forget`,
    because the node may have been upgraded meanwhile.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._found: set[Feature] = set()
        self._refused_at_s: dict[Feature, float] = {}

    def worth_trying(self, feature: Feature) -> bool:
        """False only while a refusal holds."""
        now_s = self._clock.monotonic()
        with self._lock:
            refused_at_s = self._refused_at_s.get(feature)
            reprobe_s = _REPROBE_S.get(feature, REPROBE_AFTER_S)
            return refused_at_s is None or now_s - refused_at_s >= reprobe_s

    def found(self, feature: Feature) -> None:
        """The node has just used the feature."""
        with self._lock:
            self._found.add(feature)
            self._refused_at_s.pop(feature, None)

    def missing(self, feature: Feature) -> None:
        """The node has just shown that it lacks the feature."""
        now_s = self._clock.monotonic()
        with self._lock:
            self._found.discard(feature)
            self._refused_at_s[feature] = now_s

    def forget(self) -> None:
        """The node was away: another version may have come back."""
        with self._lock:
            self._found.clear()
            self._refused_at_s.clear()

    def states(self) -> dict[str, bool | None]:
        """By feature in words: offered, refused, or None where it was not tried yet."""
        with self._lock:
            states: dict[str, bool | None] = {feature.value: None for feature in Feature}
            states.update({feature.value: False for feature in self._refused_at_s})
            states.update({feature.value: True for feature in self._found})
        return states
