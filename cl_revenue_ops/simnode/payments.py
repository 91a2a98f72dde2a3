"""Payments of the node itself: circular payments, invoices paid to us."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cl_revenue_ops.simnode import events, routing
from cl_revenue_ops.simnode.identity import payment_hash
from cl_revenue_ops.simnode.model import Channel
from cl_revenue_ops.simnode.sendpays import visible

if TYPE_CHECKING:
    from cl_revenue_ops.simnode.world import World

ROUTE_FAILURE = 204


def circular(
    world: World,
    outgoing: Channel,
    incoming: Channel,
    amount_msat: int,
    fee_msat: int,
    ok: bool,
    at_s: float,
) -> dict[str, Any]:
    """See World.circular_payment."""
    if amount_msat <= 0 or fee_msat < 0 or outgoing is incoming:
        raise ValueError("a circular payment needs two channels and a positive amount")
    sent = amount_msat + fee_msat
    row = _start(world, world.id, amount_msat, sent, at_s)
    has_room = routing.can_send(world, outgoing, sent)
    has_room = has_room and routing.can_receive(world, incoming, amount_msat)
    hash_ = row["payment_hash"]
    if has_room:
        leaving = routing.add_htlc(world, outgoing, "out", sent, hash_)
        routing.remove_htlc(world, outgoing, leaving, fulfilled=ok)
    if not has_room or not ok:
        return _fail(world, row, outgoing, at_s)
    arriving = routing.add_htlc(world, incoming, "in", amount_msat, hash_)
    routing.remove_htlc(world, incoming, arriving, fulfilled=True)
    # As lightningd writes them: what arrives first, and of the payment only its hash with it.
    _book(world, incoming, at_s, {"payment_hash": hash_}, credit_msat=amount_msat)
    _book(world, outgoing, at_s, row, debit_msat=sent, fees_msat=fee_msat)
    return _complete(world, row, at_s)


def pay(
    world: World, outgoing: Channel, destination: str, amount_msat: int, fee_msat: int, at_s: float
) -> dict[str, Any]:
    """We pay somebody else over one channel; failed if the channel has no room."""
    sent = amount_msat + fee_msat
    row = _start(world, destination, amount_msat, sent, at_s)
    if not routing.can_send(world, outgoing, sent):
        return _fail(world, row, outgoing, at_s)
    htlc = routing.add_htlc(world, outgoing, "out", sent, row["payment_hash"])
    routing.remove_htlc(world, outgoing, htlc, fulfilled=True)
    _book(world, outgoing, at_s, row, debit_msat=sent, fees_msat=fee_msat)
    return _complete(world, row, at_s)


def receive(world: World, incoming: Channel, amount_msat: int, at_s: float) -> bool:
    """Somebody pays our invoice over one channel; False if the channel has no room."""
    if not routing.can_receive(world, incoming, amount_msat):
        return False
    hash_ = payment_hash(world.draw("own-preimage"))
    htlc = routing.add_htlc(world, incoming, "in", amount_msat, hash_)
    routing.remove_htlc(world, incoming, htlc, fulfilled=True)
    _book(world, incoming, at_s, {"payment_hash": hash_}, credit_msat=amount_msat)
    return True


def _start(
    world: World, destination: str, amount_msat: int, sent_msat: int, at_s: float
) -> dict[str, Any]:
    preimage = world.draw("own-preimage")
    number = world.number("sendpay")
    return world.sendpays.add(
        {
            "id": number, "payment_hash": payment_hash(preimage), "groupid": 1, "partid": 0,
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


def _book(
    world: World,
    channel: Channel,
    at_s: float,
    row: dict[str, Any],
    *,
    credit_msat: int = 0,
    debit_msat: int = 0,
    fees_msat: int = 0,
) -> None:
    move = world.books.book_channel(
        channel.channel_id, at_s, "invoice", credit_msat=credit_msat, debit_msat=debit_msat,
        fees_msat=fees_msat, payment_hash=row["payment_hash"], part_id=row.get("partid"),
        group_id=row.get("groupid"),
    )  # fmt: skip
    events.channel_move(world, move)
