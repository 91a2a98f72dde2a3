"""The port of the node's own payments over lightningd's RPC: what it paid to itself."""

from __future__ import annotations

from typing import Any, NamedTuple

from cl_revenue_ops.adapters.asking import Asker, rows_of
from cl_revenue_ops.adapters.breaker import PAYMENTS
from cl_revenue_ops.adapters.capabilities import Capabilities, Feature, not_offered
from cl_revenue_ops.adapters.fields import WrongField, field, optional
from cl_revenue_ops.adapters.parse import parse_info
from cl_revenue_ops.adapters.parse_books import parse_output
from cl_revenue_ops.adapters.rpc import NodeRpc
from cl_revenue_ops.adapters.tally import Tally
from cl_revenue_ops.adapters.validate import (
    parse_count,
    parse_hash,
    parse_msat,
    parse_pubkey,
    parse_stamp,
    parse_word,
)
from cl_revenue_ops.ports import MalformedReply, NodeRefused
from messages.budget import SelfPayment
from messages.rebalance import OwnPayments

METHOD = "listsendpays"
PAGE = 1_000
COMPLETE, PENDING = "complete", "pending"

_OUTPUTS_FILTER = {"outputs": [{"amount_msat": True, "status": True, "reserved": True}]}


class SentPart(NamedTuple):
    """One row of listsendpays to a node: amounts None where the node does not say."""

    status: str
    amount_msat: int
    payment: SelfPayment | None


class LightningPayments:
    """Implements ports.PaymentNode. Rows that cannot be read are left out and counted.

    A row is one part of one payment; releases before v23.11 have no index, and their ids, which
    the indexes went on from, serve in its place.
    """

    def __init__(self, rpc: NodeRpc, capabilities: Capabilities, left_out: Tally) -> None:
        self._asker = Asker(rpc, capabilities, left_out)
        self._capabilities = capabilities
        self._own_id: str | None = None

    def newest_payment(self) -> int:
        """See ports.PaymentNode; where the node cannot tell, its whole list is read."""
        if self._capabilities.worth_trying(Feature.PAYMENT_WAIT):
            try:
                newest = self._asker.newest_index("sendpays", "created", group=PAYMENTS)
            except NodeRefused as refusal:
                self._learn(Feature.PAYMENT_WAIT, refusal)
            else:
                self._capabilities.found(Feature.PAYMENT_WAIT)
                return newest
        return max((_index(row) for row in self._all()), default=0)

    def own_payments(self, start: int) -> OwnPayments:
        """See ports.PaymentNode."""
        if start < 0:
            raise ValueError(f"no such index: {start}")
        own_id = self._who()
        completed: list[SelfPayment] = []
        pending: list[int] = []
        next_index, first_pending = start, None
        for row in self._from(start):
            index = _index(row)
            next_index = max(next_index, index + 1)
            if not isinstance(row, dict) or row.get("destination") != own_id:
                continue
            part = parse_sent_part(row)
            if part is None:
                self._asker.leave_out(METHOD, 1)
            elif part.payment is not None:
                completed.append(part.payment)
            elif part.status == PENDING:
                pending.append(part.amount_msat)
            if row.get("status") == PENDING and (first_pending is None or index < first_pending):
                first_pending = index
        if first_pending is not None:
            next_index = first_pending
        return OwnPayments(tuple(completed), tuple(pending), next_index)

    def onchain_msat(self) -> int:
        """See ports.PaymentNode; an output that cannot be read counts for nothing."""
        reply = self._asker.ask_filtered("listfunds", {}, _OUTPUTS_FILTER)
        outputs = self._asker.parsed(
            "listfunds", rows_of("listfunds", reply, "outputs"), parse_output
        )
        return sum(o.amount_msat for o in outputs if o.status == "confirmed" and not o.reserved)

    # -- inner workings -----------------------------------------------------------------------

    def _who(self) -> str:
        if self._own_id is None:
            info = parse_info(self._asker.ask("getinfo"))
            if info is None:
                raise MalformedReply("getinfo: a field is missing or wrong")
            self._own_id = info.node_id
        return self._own_id

    def _from(self, start: int) -> list[object]:
        """Every row from this index on."""
        if not self._capabilities.worth_trying(Feature.PAYMENT_PAGES):
            return [row for row in self._all() if _index(row) >= start]
        found: list[object] = []
        while True:
            params = {"index": "created", "start": start, "limit": PAGE}
            try:
                rows = rows_of(METHOD, self._asker.ask(METHOD, params), "payments")
            except NodeRefused as refusal:
                self._learn(Feature.PAYMENT_PAGES, refusal)
                return [row for row in self._all() if _index(row) >= start]
            self._capabilities.found(Feature.PAYMENT_PAGES)
            found += rows
            if len(rows) < PAGE:
                return found
            last = max(map(_index, rows))
            if last < start:
                raise MalformedReply(f"{METHOD}: the created index does not grow beyond {start}")
            start = last + 1

    def _all(self) -> list[object]:
        return rows_of(METHOD, self._asker.ask(METHOD), "payments")

    def _learn(self, feature: Feature, refusal: NodeRefused) -> None:
        if not not_offered(refusal.code):
            raise refusal
        self._capabilities.missing(feature)


def _index(row: object) -> int:
    """The row's place in the list. Without one nothing after it would be known to be read."""
    get: Any = row.get if isinstance(row, dict) else {}.get
    index = parse_count(get("created_index", get("id")))
    if index is None:
        raise MalformedReply(f"{METHOD}: a row has neither index nor id")
    return index


def parse_sent_part(row: object) -> SentPart | None:
    """One row of listsendpays; `payment` is there where it is complete.

    The cost is what left beyond what arrived, so it is none where less left.
    """
    if not isinstance(row, dict):
        return None
    try:
        status = field(row, "status", parse_word)
        amount_msat = field(row, "amount_msat", parse_msat)
        payment = _completed(row, amount_msat) if status == COMPLETE else None
    except WrongField:
        return None
    return SentPart(status, amount_msat, payment)


def _completed(row: dict[str, Any], amount_msat: int) -> SelfPayment:
    cost_msat = field(row, "amount_sent_msat", parse_msat) - amount_msat
    if cost_msat < 0:
        raise WrongField
    group, part = (field(row, name, parse_count, 0) for name in ("groupid", "partid"))
    created_s = optional(row, "created_at", parse_stamp)
    return SelfPayment(
        field(row, "payment_hash", parse_hash),
        f"{group}.{part}",
        field(row, "completed_at", parse_stamp, created_s),
        amount_msat,
        cost_msat,
    )


def parse_seen_payment(row: dict[str, Any]) -> tuple[str, int | None] | None:
    """(destination, amount) of the body of a notification; None where the first is missing."""
    destination = parse_pubkey(row.get("destination"))
    return None if destination is None else (destination, parse_msat(row.get("amount_msat")))
