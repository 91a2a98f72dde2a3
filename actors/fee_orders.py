"""How the FeeController carries out an operator's orders: pin a fee, or give a channel back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from actors.fee_writer import NOTHING, FeeWriter
from cl_revenue_ops.domain.fees import explain
from cl_revenue_ops.domain.fees.book import FeeBook, Situation
from cl_revenue_ops.domain.fees.decide import FeeDecision
from cl_revenue_ops.domain.fees.facts import Pin
from cl_revenue_ops.domain.fees.orders import BY_HAND
from cl_revenue_ops.ports import FEE_SET
from messages.channels import ChannelFact
from messages.fees import SetFeeByHand


class Refused(Exception):
    """The order was not carried out, and nothing has changed; the message says why."""


class FeeOrders:
    """Decides, records and writes one channel at once; blocks on the store and on the node."""

    def __init__(self, writer: FeeWriter, clock: Callable[[], float]) -> None:
        self._writer = writer
        self._now = clock

    def carry_out(
        self,
        order: SetFeeByHand,
        book: FeeBook,
        fact: ChannelFact,
        situation: Situation,
        scids: Mapping[str, str],
    ) -> dict[str, object]:
        """Return the answer for the operator; raises Refused."""
        if order.ppm is None:
            decision, text, outcome = self._unpin(book, fact, situation)
        else:
            decision, text, outcome = self._pin(book, fact, situation, order.ppm, order.force)
        fees = explain.fees(decision, stands=outcome in (FEE_SET, NOTHING))
        done = {"pinned": decision.facts.channel_id in book.pins, "message": text}
        told = explain.order(decision.facts.channel_id, scids)
        return {**told, **done, "written": outcome == FEE_SET, **fees}

    def _unpin(
        self, book: FeeBook, fact: ChannelFact, situation: Situation
    ) -> tuple[FeeDecision, str, str]:
        had = book.give_back(fact)
        decision = book.decide(fact, situation)
        (number,) = self._writer.record(book, [decision], by_hand=True)
        outcome = self._writer.carry_out(book, decision, number)
        text = "the controller manages its fee again" if had else "its fee was not pinned"
        why = decision.sentence if outcome in (FEE_SET, NOTHING) else f"Now {outcome}."
        return decision, f"{text}. {why}", outcome

    def _pin(
        self, book: FeeBook, fact: ChannelFact, situation: Situation, ppm: int, force: bool
    ) -> tuple[FeeDecision, str, str]:
        """Pin and write; a pin whose write did not happen is taken back: nothing has changed.

        Where nobody knows whether it happened, the target stays: found later, it is ours. A peer
        whose policy is passive is left alone unless forced.
        """
        channel_id, at_s = fact.channel_id, self._now()
        terms = book.terms(fact.peer_id, at_s)
        passive = terms is not None and terms.passive
        if passive and not force:
            raise Refused(
                f"not set: the policy of {fact.peer_id} is passive and leaves its fees alone;"
                f" revenue-policy delete {fact.peer_id} ends that, force=true sets this fee anyway"
            )
        before = book.pins.get(channel_id), book.state(channel_id)
        since_s = at_s if terms is None else max(at_s, terms.since_s)
        book.pins[channel_id] = Pin(ppm, None, BY_HAND, since_s)
        decision = book.decide(fact, situation)
        if decision.action == "none" and decision.code != "unchanged":
            book.restore(channel_id, *before)
            raise Refused(f"not set: {decision.sentence}")
        (number,) = self._writer.record(book, [decision], by_hand=True)
        outcome = self._writer.carry_out(book, decision, number)
        if outcome not in (FEE_SET, NOTHING):
            is_open = self._writer.is_open(outcome)
            book.restore(channel_id, before[0], book.state(channel_id) if is_open else before[1])
            self._writer.take_back(book, decision, number, outcome)
            raise Refused(f"not pinned, {outcome}" if is_open else f"not set: {outcome}")
        text = "pinned until revenue-set-fee ... auto"
        if terms is not None:
            text = f"{text}; that stands above the peer's policy ({terms.strategy})"
        return decision, text, outcome
