"""The node's two lists of movements by index: channel moves and chain moves (from v25.09)."""

from __future__ import annotations

from typing import NamedTuple

from cl_revenue_ops.adapters.asking import Asker, rows_of
from cl_revenue_ops.adapters.breaker import MOVES
from cl_revenue_ops.adapters.capabilities import Capabilities, Feature, not_offered
from cl_revenue_ops.ports import NodeRefused


class MoveList(NamedTuple):
    """One of them: `key` names its rows in an answer, and its index for `wait`."""

    method: str
    key: str
    feature: Feature


CHANNEL_MOVES = MoveList("listchannelmoves", "channelmoves", Feature.CHANNEL_MOVES)
CHAIN_MOVES = MoveList("listchainmoves", "chainmoves", Feature.CHAIN_MOVES)


class MoveLists:
    """Reads them; None from a node that does not have the list, which is remembered."""

    def __init__(self, asker: Asker, capabilities: Capabilities) -> None:
        self._asker = asker
        self._capabilities = capabilities

    def newest(self, which: MoveList) -> int | None:
        """The newest index; 0 while nothing was moved."""
        if not self._capabilities.worth_trying(which.feature):
            return None
        try:
            # Not with the waiting for forwards: an outage here is none of theirs.
            newest = self._asker.newest_index(which.key, "created", group=MOVES)
        except NodeRefused as refusal:
            self._learn(which, refusal)
            return None
        self._capabilities.found(which.feature)
        return newest

    def rows(self, which: MoveList, start: int, limit: int) -> list[object] | None:
        """At most `limit` rows from index `start` on, as they came."""
        if not self._capabilities.worth_trying(which.feature):
            return None
        params = {"index": "created", "start": start, "limit": limit}
        try:
            reply = self._asker.ask(which.method, params)
        except NodeRefused as refusal:
            self._learn(which, refusal)
            return None
        rows = rows_of(which.method, reply, which.key)
        self._capabilities.found(which.feature)
        return rows

    def _learn(self, which: MoveList, refusal: NodeRefused) -> None:
        if not not_offered(refusal.code):
            raise refusal
        self._capabilities.missing(which.feature)
