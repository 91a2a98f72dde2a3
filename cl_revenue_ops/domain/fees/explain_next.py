"""When a channel is decided on next, and what stands in the way of another fee by now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from cl_revenue_ops.domain.demand.price import HOLD_S, Draw
from cl_revenue_ops.domain.fees import gossip
from cl_revenue_ops.domain.fees.book import FeeBook
from cl_revenue_ops.domain.fees.facts import DAY_S, ChannelFeeState, FeeParameters
from cl_revenue_ops.domain.fees.orders import Orders
from cl_revenue_ops.domain.fees.provenance import Hold, hold_left_s

HOUR_S = 3600.0
SAID_BY_THE_GATE = ("paused", "safe_mode", "node_not_in_sync")


class Outlook(NamedTuple):
    """How the controller stands at `now_s`: when its next cycle begins (Unix seconds), why it is
    suspended (None: it is not), why nothing is written, by source, and what the last cycle could
    not read (None: it could).
    """

    now_s: float
    next_cycle_s: float
    suspended: str | None
    closed: Mapping[str, str]
    parameters: FeeParameters
    fee_interval_s: int
    trouble: str | None


def next_decision(
    outlook: Outlook, book: FeeBook, channel_id: str, peer_id: str | None, last: Sequence[str]
) -> dict[str, object]:
    """When the channel is decided on next at the latest, `at` None where it is not, and what
    stands `in_the_way` now. `last` is what forbade a write at the last decision.

    Congestion that begins or ends, and orders, decide sooner.
    """
    state = book.states.get(channel_id)
    if state is None:
        return {"at": None, "in_the_way": ["the channel is not among the open ones any more"]}
    orders = book.orders(channel_id, peer_id, outlook.now_s)
    draw = None if peer_id is None else book.desk.draws.get(peer_id)
    found = [
        *_house(outlook),
        *(f"at the last decision {text}" for text in last),
        *_channel(outlook, state, orders),
        *_draw(outlook, orders, draw),
    ]
    at = None if outlook.suspended is not None else int(outlook.next_cycle_s)
    return {"at": at, "in_the_way": found}


def _house(outlook: Outlook) -> Iterator[str]:
    if outlook.suspended is not None:
        yield f"no fees are decided: {outlook.suspended}"
    for source, why in sorted(outlook.closed.items()):
        yield f"nothing is written: {source}: {why}"


def _channel(outlook: Outlook, state: ChannelFeeState, orders: Orders) -> Iterator[str]:
    now_s, p, pin = outlook.now_s, outlook.parameters, orders.pin
    if orders.passive:
        yield "the peer's policy is passive: its fees are left alone"
        return
    if pin is not None:
        whose = "by the peer's policy at" if orders.by_policy else "at"
        yield f"the fee is pinned {whose} {pin.ppm} ppm ({pin.origin})"
        return
    if state.foreign is not None and state.foreign_since_s is not None:
        left_s = hold_left_s(Hold(state.foreign, state.foreign_since_s), now_s, p.foreign_hold_s)
        if left_s > 0.0:
            hours = round(left_s / HOUR_S, 1)
            yield f"another writer's {state.foreign.ppm} ppm is left alone for {hours} more hours"
    updates_s, most = gossip.recent(state.updates_s, now_s), p.fee_updates_per_day
    if len(updates_s) >= most > 0:
        hours = round((updates_s[-most] + DAY_S - now_s) / HOUR_S, 1)
        yield (
            f"{len(updates_s)} updates of the channel in a day are as many as it may have; the"
            f" next is free in {hours} hours"
        )


def _draw(outlook: Outlook, orders: Orders, draw: Draw | None) -> Iterator[str]:
    left_s = 0.0 if draw is None else draw.at_s + HOLD_S - outlook.now_s
    if orders.pin is None and not orders.passive and 0.0 < left_s <= HOLD_S:
        yield f"the draw in force is held for {round(left_s / HOUR_S, 1)} more hours at most"
