"""The repository of the FeeController."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from cl_revenue_ops.ports.stores import Store

FEE_SET = "set"
"""The outcome of a decision whose fee stands on the node; with any other it does not."""


class DecisionRow(NamedTuple):
    """A fee decision for the record; `body` is its JSON, from which it can be recomputed."""

    channel_id: str
    at_s: float
    action: str
    code: str
    old_ppm: int | None
    new_ppm: int | None
    by_hand: bool
    body: str


class StoredDecision(NamedTuple):
    """A decision as recorded; `outcome` is None while unknown, repeats counts equal ones."""

    decision_id: int
    row: DecisionRow
    last_at_s: float
    repeats: int
    outcome: str | None


class FeeStore(Store, Protocol):
    """Targets and state of each channel, and every decision with its outcome."""

    def load(self) -> tuple[str | None, Mapping[str, str]]:
        """(header text, channel_id -> packed state)."""
        ...

    def record(
        self,
        header: str,
        states: Mapping[str, str],
        decisions: Sequence[DecisionRow],
        *,
        keep_since_s: float = 0.0,
    ) -> tuple[int, ...]:
        """Store states and decisions together; returns the decisions' ids in order.

        A decision equal to the channel's newest one in action, code and ppm extends that one
        (newest body, time of the last, count) instead of making a row. Decisions, whatever
        they did, whose last repetition was before `keep_since_s` are let go, a bounded number in
        one call, oldest first.
        """
        ...

    def load_demand(self) -> Mapping[str, str]:
        """peer_id -> what was learned of its demand, packed."""
        ...

    def save_demand(self, header: str, demand: Mapping[str, str]) -> None:
        """Store the header and what is known of every peer, together; other peers are let go."""
        ...

    def set_outcome(self, decision_id: int, outcome: str, state: Mapping[str, str]) -> None:
        """What became of a decision, with the channel states that follow from it."""
        ...

    def recent_changes(self, limit: int) -> tuple[StoredDecision, ...]:
        """The newest fees that were really set, newest first."""
        ...

    def last_decisions(self, channel_id: str | None, limit: int) -> tuple[StoredDecision, ...]:
        """Decisions of one channel, newest first; with None the newest of each channel."""
        ...

    def decisions_after(self, place: tuple[float, int], limit: int) -> tuple[StoredDecision, ...]:
        """All decisions by (time of the last repetition, id) that come after a place in this
        order, in which those of one channel stand as they were made.
        """
        ...
