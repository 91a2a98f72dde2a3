"""Payments of the node itself: circular payments, invoices paid to us."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cl_revenue_ops.simnode import events, routing
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


def circular(world: World, routes: list[Route], ok: bool, at_s: float) -> list[dict[str, Any]]:
    """See World.circular_parts.

    All parts are on their way before the first arrives; arrivals are booked before departures,
    for the HTLC that a payment to oneself comes in with is let go first.
    """
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
    leaving: list[Htlc] = []
    arriving: list[Htlc] = []
    for route in routes:
        if not routing.can_send(world, route.outgoing, route.sent_msat):
            break
        leaving.append(routing.add_htlc(world, route.outgoing, "out", route.sent_msat, hash_))
        if not ok or not routing.can_receive(world, route.incoming, route.amount_msat):
            break
        arriving.append(routing.add_htlc(world, route.incoming, "in", route.amount_msat, hash_))
    ok = len(arriving) == len(routes)
    for route, htlc in zip(routes, arriving, strict=False):
        routing.remove_htlc(world, route.incoming, htlc, fulfilled=ok)
        if ok:
            _book(world, route.incoming, at_s, hash_, credit_msat=route.amount_msat)
    for route, row, htlc in zip(routes, rows, leaving, strict=False):
        routing.remove_htlc(world, route.outgoing, htlc, fulfilled=ok)
        if ok:
            _book_out(world, route.outgoing, at_s, row, route.fee_msat)
    if ok:
        return [_complete(world, row, at_s) for row in rows]
    return [
        _fail(world, row, route.outgoing, at_s) for row, route in zip(rows, routes, strict=True)
    ]


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
