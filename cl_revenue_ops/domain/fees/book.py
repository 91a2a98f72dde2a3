"""All that the fee controller remembers, and how it is packed for the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from cl_revenue_ops.domain import jsontext
from cl_revenue_ops.domain.fees import congestion, decide, quote_book, record
from cl_revenue_ops.domain.fees.decide import FeeDecision
from cl_revenue_ops.domain.fees.desk import PricingDesk
from cl_revenue_ops.domain.fees.facts import (
    ChannelFeeState,
    Conditions,
    Fee,
    FeeParameters,
    Pin,
    Spike,
    channel_facts,
    finite,
)
from cl_revenue_ops.domain.fees.orders import Orders, limits_in, orders_of
from cl_revenue_ops.domain.fees.prior import Quote, asks_of, prior_price
from cl_revenue_ops.domain.fees.quote_book import Asked
from cl_revenue_ops.domain.policy.terms import Limits, Terms, terms_of
from messages.channels import ChannelEntry, ChannelFact
from messages.policies import PeerPolicy

CLOSING_STATES = (
    "CHANNELD_SHUTTING_DOWN",
    "CLOSINGD_SIGEXCHANGE",
    "CLOSINGD_COMPLETE",
    "AWAITING_UNILATERAL",
    "FUNDING_SPEND_SEEN",
    "ONCHAIN",
    "CLOSED",
)
HEADER = "header"
UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
)

_Kept = TypeVar("_Kept")


class Situation(NamedTuple):
    """What holds for all channels of one reading of the node, made at `read_at_s`."""

    conditions: Conditions
    read_at_s: float
    parameters: FeeParameters


class SlotSample(NamedTuple):
    """`turned`: channels where congestion began or ended; `busy`: some channel came near to it."""

    turned: tuple[str, ...]
    busy: bool


@dataclass
class FeeBook:
    """State and pins by channel_id, quotes by peer, and when the last cycle began (Unix seconds).

    `desk` prices the destinations. `policies` are those told last, by peer_id, `hive_fee_ppm` what
    a hive policy asks; they and `spike`, the mempool's, are in memory only. `settled_out` is what
    the last flow report said, `missing` since which reading of the channels one that we remember
    was not among the open ones; neither is stored here. `unreadable` names
    the stored rows (channel_ids, HEADER) that could not be understood.
    """

    states: dict[str, ChannelFeeState] = field(default_factory=dict)
    pins: dict[str, Pin] = field(default_factory=dict)
    quotes: dict[str, Asked] = field(default_factory=dict)
    desk: PricingDesk = field(default_factory=PricingDesk)
    policies: dict[str, PeerPolicy] = field(default_factory=dict)
    hive_fee_ppm: int = 0
    spike: Spike | None = None
    last_cycle_s: float | None = None
    settled_out: dict[str, int] = field(default_factory=dict)
    slots: dict[str, int] = field(default_factory=dict)
    missing: dict[str, float] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()

    def state(self, channel_id: str) -> ChannelFeeState:
        """The kept state of a channel; a fresh one where there is none."""
        return self.states.get(channel_id) or ChannelFeeState()

    def hear(self, peer_id: str, quotes: Sequence[Quote], ours: str, at_s: float) -> None:
        """Take in what gossip shows of the channels into a peer; `ours` is our node's id."""
        self.quotes[peer_id] = Asked(at_s, prior_price(quotes, ours))
        self.desk.hear(peer_id, asks_of(quotes, ours), at_s)

    def terms(self, peer_id: str, now_s: float) -> Terms | None:
        """What the peer's policy asks of its fees now."""
        return terms_of(self.policies.get(peer_id), now_s, self.hive_fee_ppm)

    def orders(self, channel_id: str, peer_id: str | None, now_s: float) -> Orders:
        """What is ordered of the fee of a channel now."""
        terms = None if peer_id is None else self.terms(peer_id, now_s)
        return orders_of(self.pins.get(channel_id), terms, now_s)

    def limits(
        self, facts: Iterable[ChannelFact], parameters: FeeParameters, now_s: float
    ) -> dict[str, Limits]:
        """Return within what the fees of each peer's channels stay now; of several the widest."""
        found: dict[str, Limits] = {}
        for fact in facts:
            floor, ceiling = self._limits(fact, parameters, now_s)
            before = found.get(fact.peer_id, Limits(floor, ceiling))
            found[fact.peer_id] = Limits(min(floor, before[0]), max(ceiling, before[1]))
        return found

    def _limits(self, fact: ChannelFact, parameters: FeeParameters, now_s: float) -> Limits:
        orders, stands_ppm = self.orders(fact.channel_id, fact.peer_id, now_s), fact.fee_ppm
        if orders.passive and stands_ppm is not None:
            return Limits(stands_ppm, stands_ppm)
        neutral_ppm = None
        if orders.terms is not None and orders.terms.bounded:
            neutral_ppm = self.desk.demand.neutral_ppm(fact.peer_id, now_s)
        moving = neutral_ppm is not None
        return limits_in(orders, parameters, neutral_ppm or 0.0, moving=moving)

    def decide(
        self, fact: ChannelFact, situation: Situation, pin: Pin | None = None
    ) -> FeeDecision:
        """Decide one channel's fee and keep the state that follows.

        A `pin` stands in place of the one that is kept, for this decision alone.
        """
        channel_id, at_s = fact.channel_id, situation.read_at_s
        facts = channel_facts(
            fact,
            settled_out=max(self.settled_out.get(channel_id, 0), fact.out_fulfilled),
            sampled_at_s=at_s,
            prior=quote_book.price_into(self.quotes, fact.peer_id),
            pin=self.pins.get(channel_id) if pin is None else pin,
            conditions=situation.conditions,
            market=self.desk.markets.get(fact.peer_id),
            spike=self.spike,
            terms=self.terms(fact.peer_id, at_s),
        )
        self.slots[channel_id] = fact.slots_out
        decision, self.states[channel_id] = decide.decide(
            facts, self.state(channel_id), situation.parameters, at_s
        )
        return decision

    def written(self, channel_id: str, at_s: float) -> None:
        """The target of this channel stands on the node."""
        self.states[channel_id] = decide.written(self.states[channel_id], at_s)

    def give_back(self, fact: ChannelFact) -> bool:
        """End the pin of a channel and the hold on another writer's fee: the fee on the node is
        where the controller goes on from. True when there was a pin.
        """
        state = self.state(fact.channel_id)
        if None not in (fact.fee_ppm, fact.fee_base_msat, state.target):
            seen = Fee(fact.fee_ppm or 0, fact.fee_base_msat or 0)
            self.states[fact.channel_id] = state._replace(
                target=seen, confirmed=seen, foreign=None, foreign_since_s=None
            )
        return self.pins.pop(fact.channel_id, None) is not None

    def wake(self) -> int:
        """Let every held draw go: new ones are due; returns how many channels are decided on."""
        self.desk.draws = {name: one._replace(at_s=0.0) for name, one in self.desk.draws.items()}
        return len(self.states)

    def restore(self, channel_id: str, pin: Pin | None, state: ChannelFeeState) -> None:
        """Take back what a decision changed."""
        self.states[channel_id] = state
        self.pins.pop(channel_id, None)
        if pin is not None:
            self.pins[channel_id] = pin

    def sample_slots(
        self, used: Mapping[str, int], at_s: float, parameters: FeeParameters
    ) -> SlotSample:
        """Take in a reading of the outgoing HTLC slots of all channels that were decided on."""
        turned, busy = [], False
        for channel_id, slots in self.slots.items():
            before = self.state(channel_id)
            now_used = used.get(channel_id, 0)
            after = decide.observe_slots(before, now_used, slots, at_s, parameters)
            self.states[channel_id] = after
            if after.congestion.active != before.congestion.active:
                turned.append(channel_id)
            half = 0.5 * parameters.htlc_congestion_threshold
            share = congestion.slot_share(now_used, slots)
            busy = busy or after.congestion.active or share > half
        return SlotSample(tuple(turned), busy)

    def forget_closed(self, entries: Iterable[ChannelEntry], read_at_s: float) -> None:
        """Let go of what concerns channels that are gone, and of prices into strangers.

        Gone is what was seen closing, or is closed in two readings running: a single reading
        that leaves channels out must not cost their pins.
        """
        by_id = {entry.channel_id: entry for entry in entries}
        missing: dict[str, float] = {}
        for channel_id in dict.fromkeys((*self.states, *self.pins, *self.slots)):
            entry = by_id.get(channel_id)
            if entry is not None and not entry.closed:
                continue
            closing = entry is not None and entry.fact.state in CLOSING_STATES
            if closing or self.missing.get(channel_id, read_at_s) != read_at_s:
                self.states.pop(channel_id, None)
                self.pins.pop(channel_id, None)
                self.slots.pop(channel_id, None)
            else:
                missing[channel_id] = self.missing.get(channel_id, read_at_s)
        self.missing = missing
        peers = (e.peer_id for e in by_id.values() if not e.closed or e.channel_id in missing)
        self.quotes = quote_book.kept(self.quotes, peers)
        self.desk.forget(e for e in by_id.values() if not e.closed or e.channel_id in missing)

    # -- packing ------------------------------------------------------------------------------

    def header(self) -> str:
        """Quotes, the time of the last cycle, and what the desk knows of no peer in particular."""
        body = {
            "last_cycle_s": self.last_cycle_s,
            "quotes": quote_book.to_row(self.quotes),
            "desk": self.desk.header(),
        }
        return jsontext.dumps(body)

    def pack(self, channel_ids: Iterable[str]) -> dict[str, str]:
        """State and pin of some channels, for the store."""
        return {channel_id: self._packed(channel_id) for channel_id in channel_ids}

    def _packed(self, channel_id: str) -> str:
        pin = self.pins.get(channel_id)
        body = {
            "state": record.state_to_row(self.state(channel_id)),
            "pin": None if pin is None else list(pin),
        }
        return jsontext.dumps(body)

    @classmethod
    def unpack(
        cls, header: str | None, rows: Mapping[str, str], demand: Mapping[str, str], now_s: float
    ) -> FeeBook:
        """The book that was stored; an empty one where nothing was.

        What cannot be understood starts fresh, row by row, and is named in `unreadable`. No time
        in it lies ahead of `now_s`.
        """
        book, unreadable = cls(), []
        if header is not None:
            kept = _read(_header_from_row, header)
            if kept is None:
                unreadable.append(HEADER)
            else:
                book.last_cycle_s, book.quotes, desk = kept
                if desk is not None:
                    book.desk.read_header(desk, now_s)
        for peer_id, text in demand.items():
            try:
                book.desk.read(peer_id, text)
            except UNREADABLE:
                unreadable.append(f"the demand of {peer_id}")
        for channel_id, text in rows.items():
            packed = _read(_channel_from_row, text)
            if packed is None:
                unreadable.append(channel_id)
                continue
            book.states[channel_id], pin = packed
            if pin is not None:
                book.pins[channel_id] = pin
        book.unreadable = tuple(unreadable)
        return book


def _read(from_row: Callable[[Any], _Kept], text: str) -> _Kept | None:
    """What a stored row holds; None where it is damaged in whatever way."""
    try:
        return from_row(jsontext.loads(text))
    except UNREADABLE:
        return None


def _header_from_row(row: Any) -> tuple[float | None, dict[str, Asked], Any]:
    last_s, desk = row["last_cycle_s"], row.get("desk")
    if desk is not None:
        PricingDesk().read_header(desk, 0.0)
    last_s = None if last_s is None else finite(last_s)
    return last_s, quote_book.from_row(row["quotes"]), desk


def _channel_from_row(row: Any) -> tuple[ChannelFeeState, Pin | None]:
    pin = row["pin"]
    return record.state_from_row(row["state"]), None if pin is None else record.pin_from_row(pin)
