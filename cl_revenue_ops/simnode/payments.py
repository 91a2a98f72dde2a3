"""Payments of the node itself: circular payments, invoices paid to us."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from cl_revenue_ops.simnode import closing, events, onchain_htlcs, routing
from cl_revenue_ops.simnode.identity import payment_hash
from cl_revenue_ops.simnode.model import Channel, Htlc
from cl_revenue_ops.simnode.sendpays import visible

if TYPE_CHECKING:
    from cl_revenue_ops.simnode.world import World

ROUTE_FAILURE = 204


class Route(NamedTuple):
    """One part of a payment to ourselves: `amount_msat` arrives, the fee leaves with it."""

    outgoing: Channel
    incoming: Channel
    amount_msat: int
    fee_msat: int

    @property
    def sent_msat(self) -> int:
        """What leaves the outgoing channel."""
        return self.amount_msat + self.fee_msat


@dataclass
class OwnFlight:
    """A payment to ourselves that is on its way: its rows and the HTLCs that hold it.

    `leaving` and `arriving` go with `routes` place by place; an arriving one that is missing never
    came. `settled` is known once the arriving side has ended; a leaving one that the chain has to
    end stays until then.
    """

    routes: list[Route]
    rows: list[dict[str, Any]]
    leaving: list[Htlc | None]
    arriving: list[Htlc]
    settled: bool | None = None

    @property
    def complete(self) -> bool:
        """True if every part has come in, so that all may be claimed."""
        return len(self.arriving) == len(self.routes)


def begin(world: World, routes: list[Route], arrives: bool, at_s: float) -> OwnFlight:
    """See World.begin_circular: HTLCs are put on all channels that have room for them."""
    for route in routes:
        if route.amount_msat <= 0 or route.fee_msat < 0 or route.outgoing is route.incoming:
            raise ValueError("a circular payment needs two channels and a positive amount")
    preimage = world.draw("own-preimage")
    parts = range(1, len(routes) + 1) if len(routes) > 1 else range(1)
    rows = [
        _start(world, world.id, route.amount_msat, route.sent_msat, at_s, preimage, part)
        for route, part in zip(routes, parts, strict=True)
    ]
    hash_ = rows[0]["payment_hash"]
    flight = OwnFlight(routes, rows, [], [])
    for route in routes:
        if not routing.can_send(world, route.outgoing, route.sent_msat):
            break
        flight.leaving.append(
            routing.add_htlc(world, route.outgoing, "out", route.sent_msat, hash_)
        )
        if not arrives or not routing.can_receive(world, route.incoming, route.amount_msat):
            break
        flight.arriving.append(
            routing.add_htlc(world, route.incoming, "in", route.amount_msat, hash_)
        )
    world.own_flights[rows[0]["created_index"]] = flight
    world.changed.notify_all()
    if not flight.leaving:
        end(world, rows[0]["created_index"], False, at_s)
    return flight


def end(world: World, created: int, ok: bool, at_s: float) -> list[dict[str, Any]]:
    """See World.end_circular.

    Arrivals are booked before departures, for the HTLC that a payment to oneself comes in with is
    let go first. On a channel that was closed by force only the chain ends an HTLC.
    """
    flight = world.own_flights.get(created)
    if flight is None or flight.settled is not None:
        raise ValueError(f"payment {created} is not in flight")
    ok = ok and flight.complete
    _end_arrivals(world, flight, ok, at_s)
    for place, left in enumerate(flight.leaving):
        route = flight.routes[place]
        if left is None:
            continue
        if route.outgoing.frozen:
            if ok:
                onchain_htlcs.settle(world, route.outgoing, "out", left.id)
            continue
        routing.remove_htlc(world, route.outgoing, left, fulfilled=ok)
        flight.leaving[place] = None
        if ok:
            _book_out(world, route.outgoing, at_s, flight.rows[place], route.fee_msat)
    return _close(world, created, at_s)


def _end_arrivals(world: World, flight: OwnFlight, ok: bool, at_s: float) -> None:
    flight.settled = ok
    hash_ = flight.rows[0]["payment_hash"]
    for route, arrived in zip(flight.routes, flight.arriving, strict=False):
        if route.incoming.frozen:
            if ok:
                onchain_htlcs.settle(world, route.incoming, "in", arrived.id)
            continue
        routing.remove_htlc(world, route.incoming, arrived, fulfilled=ok)
        if ok:
            _book(world, route.incoming, at_s, hash_, credit_msat=route.amount_msat)


def _close(world: World, created: int, at_s: float) -> list[dict[str, Any]]:
    """Give its end to each part that has no HTLC of ours left; return all as they now stand."""
    flight = world.own_flights[created]
    shown = []
    for place, row in enumerate(flight.rows):
        waits = place < len(flight.leaving) and flight.leaving[place] is not None
        if waits or row["status"] != "pending":
            shown.append(visible(world.era, row))
        elif flight.settled:
            shown.append(_complete(world, row, at_s))
        else:
            shown.append(_fail(world, row, flight.routes[place].outgoing, at_s))
    if not any(flight.leaving):
        del world.own_flights[created]
    for route in flight.routes:
        for channel in (route.incoming, route.outgoing):
            closing.drained(world, channel, at_s)
    return shown


def ended_on_chain(
    world: World, channel: Channel, htlc: Htlc, fulfilled: bool, at_s: float
) -> None:
    """The chain has ended an HTLC of a payment to ourselves; the channel lets go of it later."""
    for created, flight in list(world.own_flights.items()):
        for place, left in enumerate(flight.leaving):
            if left is htlc and flight.routes[place].outgoing is channel:
                flight.leaving[place] = None
                if flight.settled is None:
                    _end_arrivals(world, flight, fulfilled, at_s)
                _close(world, created, at_s)


def circular(world: World, routes: list[Route], ok: bool, at_s: float) -> list[dict[str, Any]]:
    """See World.circular_parts: all parts are on their way before the first arrives."""
    flight = begin(world, routes, ok, at_s)
    if flight.settled is None:
        end(world, flight.rows[0]["created_index"], ok, at_s)
    return [visible(world.era, row) for row in flight.rows]


def pay(
    world: World, outgoing: Channel, destination: str, amount_msat: int, fee_msat: int, at_s: float
) -> dict[str, Any]:
    """We pay somebody else over one channel; failed if the channel has no room."""
    sent = amount_msat + fee_msat
    row = _start(world, destination, amount_msat, sent, at_s, world.draw("own-preimage"))
    if not routing.can_send(world, outgoing, sent):
        return _fail(world, row, outgoing, at_s)
    htlc = routing.add_htlc(world, outgoing, "out", sent, row["payment_hash"])
    routing.remove_htlc(world, outgoing, htlc, fulfilled=True)
    _book_out(world, outgoing, at_s, row, fee_msat)
    return _complete(world, row, at_s)


def receive(world: World, incoming: Channel, amount_msat: int, at_s: float) -> bool:
    """Somebody pays our invoice over one channel; False if the channel has no room."""
    if not routing.can_receive(world, incoming, amount_msat):
        return False
    hash_ = payment_hash(world.draw("own-preimage"))
    htlc = routing.add_htlc(world, incoming, "in", amount_msat, hash_)
    routing.remove_htlc(world, incoming, htlc, fulfilled=True)
    _book(world, incoming, at_s, hash_, credit_msat=amount_msat)
    return True


def _start(
    world: World,
    destination: str,
    amount_msat: int,
    sent_msat: int,
    at_s: float,
    preimage: str,
    part: int = 0,
) -> dict[str, Any]:
    number = world.number("sendpay")
    return world.sendpays.add(
        {
            "id": number, "payment_hash": payment_hash(preimage), "groupid": 1, "partid": part,
            "destination": destination, "amount_msat": amount_msat,
            "amount_sent_msat": sent_msat, "created_at": int(at_s), "status": "pending",
            "payment_preimage": preimage,
        }
    )  # fmt: skip


def _complete(world: World, row: dict[str, Any], at_s: float) -> dict[str, Any]:
    world.sendpays.update(row, status="complete", completed_at=int(at_s))
    world.emit("sendpay_success", visible(world.era, row))
    world.changed.notify_all()
    return visible(world.era, row)


def _fail(world: World, row: dict[str, Any], outgoing: Channel, at_s: float) -> dict[str, Any]:
    world.sendpays.update(row, status="failed", completed_at=int(at_s))
    data = {
        **visible(world.era, row), "erring_index": 1, "failcode": 4103,
        "failcodename": "WIRE_TEMPORARY_CHANNEL_FAILURE", "erring_node": outgoing.peer_id,
        "erring_channel": routing.scid_of(outgoing), "erring_direction": 0,
    }  # fmt: skip
    message = "failed: WIRE_TEMPORARY_CHANNEL_FAILURE"
    world.emit("sendpay_failure", {"code": ROUTE_FAILURE, "message": message, "data": data})
    world.changed.notify_all()
    return visible(world.era, row)


def _book_out(
    world: World, channel: Channel, at_s: float, row: dict[str, Any], fee_msat: int
) -> None:
    move = world.books.book_channel(
        channel.channel_id, at_s, "invoice", debit_msat=row["amount_sent_msat"],
        fees_msat=fee_msat, payment_hash=row["payment_hash"], part_id=row["partid"],
        group_id=row["groupid"],
    )  # fmt: skip
    events.channel_move(world, move)


def _book(world: World, channel: Channel, at_s: float, hash_: str, *, credit_msat: int) -> None:
    """What arrives is booked without part and group: those are the payer's."""
    move = world.books.book_channel(
        channel.channel_id, at_s, "invoice", credit_msat=credit_msat, payment_hash=hash_
    )
    events.channel_move(world, move)
