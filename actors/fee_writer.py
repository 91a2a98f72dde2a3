"""How the FeeController records its decisions, writes them to the node, and what came of it."""

from __future__ import annotations

from cl_revenue_ops.config import default_config
from cl_revenue_ops.domain.fees import explain
from cl_revenue_ops.domain.fees.book import FeeBook
from cl_revenue_ops.domain.fees.decide import FeeDecision
from cl_revenue_ops.domain.fees.orders import orders_in
from cl_revenue_ops.ports import (
    FEE_SET,
    FeeStore,
    MalformedReply,
    Node,
    PortError,
    TimedOut,
    WriteRefused,
)
from cl_revenue_ops.runtime.actor import Context
from messages.boss import ForeignFee
from messages.fees import FeeChanged

DAY_S = 86_400.0
NOTHING = "none"
UNKNOWN = "unknown"


class FeeWriter:
    """Record first, then write, then record what came of it: so a fee found on the node after a
    crash is known as ours. Blocks on the store and on the node; a failure is an outcome.

    `retention_days` is how long the record of a decision is kept; whoever hears of another setting
    sets it.
    """

    def __init__(self, context: Context, store: FeeStore, node: Node) -> None:
        self._context = context
        self._store = store
        self._node = node
        self.retention_days = default_config().decision_retention_days
        self._header: str | None = None
        self._header_cycle_s: float | None = None

    def record(
        self, book: FeeBook, decisions: list[FeeDecision], *, by_hand: bool = False
    ) -> tuple[int, ...]:
        """Store decisions, targets and states together; the decisions' numbers in order."""
        states = book.pack(decision.facts.channel_id for decision in decisions)
        rows = [explain.row(decision, by_hand=by_hand) for decision in decisions]
        keep_since_s = self._context.clock.now() - self.retention_days * DAY_S
        if self._header is None or by_hand or book.last_cycle_s != self._header_cycle_s:
            # Long with many channels, and the same for all steps of a cycle.
            self._header, self._header_cycle_s = book.header(), book.last_cycle_s
        numbers = self._store.record(self._header, states, rows, keep_since_s=keep_since_s)
        for decision in decisions:
            if decision.newly_foreign:
                self._context.publish(_foreign(decision))
        return numbers

    def carry_out(self, book: FeeBook, decision: FeeDecision, number: int) -> str:
        """Write a recorded decision; FEE_SET when it stands on the node, NOTHING when there was
        nothing to write, else what prevented it.
        """
        if decision.action != "set" or decision.target is None:
            return NOTHING
        channel_id = decision.facts.channel_id
        outcome = self._write(decision)
        if outcome == FEE_SET:
            book.written(channel_id, self._context.clock.now())
        self._store.set_outcome(number, outcome, book.pack([channel_id]))
        if outcome == FEE_SET:
            self._announce(decision)
        return outcome

    def is_open(self, outcome: str) -> bool:
        """Whether the fee may or may not stand on the node: its target has to be remembered."""
        return outcome.startswith(UNKNOWN)

    def take_back(self, book: FeeBook, decision: FeeDecision, number: int, outcome: str) -> None:
        """Store the states again after an order was withdrawn."""
        self._store.set_outcome(number, outcome, book.pack([decision.facts.channel_id]))

    def _write(self, decision: FeeDecision) -> str:
        target = decision.target
        assert target is not None
        try:
            leaving = orders_in(decision.facts, decision.now_s).leaving
            self._node.set_fee(
                decision.facts.channel_id, target.base_msat, target.ppm, though_paused=leaving
            )
        except WriteRefused as refusal:
            return f"not written: {refusal}"
        except (TimedOut, MalformedReply) as error:
            return self._find_out(decision, f"{UNKNOWN}: {error}")
        except PortError as error:
            return f"failed: {error}"
        return FEE_SET

    def _find_out(self, decision: FeeDecision, unknown: str) -> str:
        """A write whose answer got lost or says nothing: ask the node what fee stands now."""
        try:
            facts = {fact.channel_id: fact for fact in self._node.channels().facts}
        except PortError:
            return unknown
        fact = facts.get(decision.facts.channel_id)
        if fact is not None and (fact.fee_ppm, fact.fee_base_msat) == decision.target:
            return FEE_SET
        return "failed: the node did not confirm it, and has not taken it"

    def _announce(self, decision: FeeDecision) -> None:
        assert decision.target is not None
        self._context.publish(
            FeeChanged(
                decision.facts.channel_id,
                decision.seen.ppm if decision.seen is not None else None,
                decision.target.ppm,
                self._context.clock.now(),
                decision.sentence,
            )
        )


def _foreign(decision: FeeDecision) -> ForeignFee:
    facts, ours = decision.facts, decision.state.confirmed
    assert facts.fee is not None
    seen = facts.fee
    ours_ppm = None if ours is None else ours.ppm
    return ForeignFee(
        facts.channel_id, facts.peer_id, seen.ppm, seen.base_msat, ours_ppm, decision.now_s
    )
