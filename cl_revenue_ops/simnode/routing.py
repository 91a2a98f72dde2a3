"""How a forward lives: admission, HTLCs on both sides, settlement, books and notifications."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cl_revenue_ops.simnode import closing, events, onchain_htlcs, policies
from cl_revenue_ops.simnode.errors import bad_params
from cl_revenue_ops.simnode.forward_log import (
    FAILCODES,
    FAILED,
    LOCAL_FAILED,
    SETTLED,
    STATUSES,
)
from cl_revenue_ops.simnode.identity import digest, payment_hash, scid_number
from cl_revenue_ops.simnode.model import Channel, ForwardRow, Htlc, Pending

if TYPE_CHECKING:
    from cl_revenue_ops.simnode.world import World


def scid_of(channel: Channel) -> str:
    """The name under which lightningd files a channel's forwards: its scid, else its alias."""
    return channel.scid or channel.alias_local


def add_htlc(
    world: World, channel: Channel, direction: str, amount_msat: int, hash_: str, delta: int = 40
) -> Htlc:
    """Put an HTLC on a channel; the caller has checked stock and slots."""
    outgoing = direction == "out"
    number = channel.next_out_id if outgoing else channel.next_in_id
    expiry = world.height + delta
    row = world.htlcs.add(channel.channel_id, outgoing, number, amount_msat, expiry, hash_)
    htlc = Htlc(direction, number, amount_msat, expiry, hash_, row)
    counter = channel.traffic_out if outgoing else channel.traffic_in
    counter.offered += 1
    counter.offered_msat += amount_msat
    if outgoing:
        channel.next_out_id += 1
        channel.pending_out[number] = htlc
        channel.pending_out_msat += amount_msat
    else:
        channel.next_in_id += 1
        channel.pending_in[number] = htlc
        channel.pending_in_msat += amount_msat
    return htlc


def remove_htlc(world: World, channel: Channel, htlc: Htlc, fulfilled: bool) -> None:
    """Take an HTLC off; a fulfilled one moves its amount to the other side."""
    outgoing = htlc.direction == "out"
    if outgoing:
        del channel.pending_out[htlc.id]
        channel.pending_out_msat -= htlc.amount_msat
    else:
        del channel.pending_in[htlc.id]
        channel.pending_in_msat -= htlc.amount_msat
    world.htlcs.finish(htlc.row)
    if fulfilled:
        counter = channel.traffic_out if outgoing else channel.traffic_in
        counter.fulfilled += 1
        counter.fulfilled_msat += htlc.amount_msat
        channel.move(-htlc.amount_msat if outgoing else htlc.amount_msat)


def carries(world: World, channel: Channel) -> bool:
    """True if the channel can take an HTLC now: usable state, peer there and reestablished."""
    peer = world.peers[channel.peer_id]
    return channel.usable and peer.connected and peer.reestablished


def can_send(world: World, channel: Channel, amount_msat: int) -> bool:
    """True if we can offer `amount_msat`: stock above the reserve and a free slot."""
    slots = len(channel.pending_out) < channel.their_max_accepted_htlcs
    return carries(world, channel) and slots and amount_msat <= channel.spendable_msat


def can_receive(world: World, channel: Channel, amount_msat: int) -> bool:
    """True if the peer can offer `amount_msat` to us."""
    slots = len(channel.pending_in) < channel.max_accepted_htlcs
    return carries(world, channel) and slots and amount_msat <= channel.receivable_msat


def _refusal(
    world: World, channel: Channel | None, out_msat: int, fee_msat: int, at_s: float
) -> str | None:
    """The failure that our node itself gives, in lightningd's order of checks; None if none."""
    if channel is None or not channel.usable:
        return "WIRE_UNKNOWN_NEXT_PEER"
    if not policies.honoured(channel, out_msat, fee_msat, at_s):
        if out_msat < channel.policy.htlc_min_msat:
            return "WIRE_AMOUNT_BELOW_MINIMUM"
        if out_msat > channel.policy.htlc_max_msat:
            return "WIRE_TEMPORARY_CHANNEL_FAILURE"
        return "WIRE_FEE_INSUFFICIENT"
    if not can_send(world, channel, out_msat):
        return "WIRE_TEMPORARY_CHANNEL_FAILURE"
    return None


def forward(
    world: World,
    incoming: Channel,
    out_name: str,
    out_msat: int,
    in_msat: int,
    at_s: float,
    outcome: str,
    hold_s: float,
) -> ForwardRow:
    """See World.forward."""
    if outcome not in ("settled", "failed", "pending"):
        raise ValueError(f"unknown outcome {outcome!r}")
    if out_msat <= 0 or in_msat <= 0:
        raise ValueError("a forward needs positive amounts")
    outgoing = world.find(out_name)
    if outgoing is None and "x" not in out_name:
        raise bad_params(f"Could not find channel {out_name}")
    if outgoing is incoming:
        raise bad_params("a forward needs two different channels")
    out_scid = out_name if outgoing is None else scid_of(outgoing)
    row = ForwardRow(
        0, "not_offered", incoming.channel_id, outgoing.channel_id if outgoing else None,
        scid_of(incoming), -1, out_scid, None, in_msat, out_msat, at_s,
    )  # fmt: skip
    if not can_receive(world, incoming, in_msat) or in_msat < incoming.htlc_min_in_msat:
        return row._replace(failreason="the incoming peer could not send the HTLC")
    preimage = digest(world.seed, "preimage", world.forwards.created_max + 1)
    in_htlc = add_htlc(world, incoming, "in", in_msat, payment_hash(preimage), 80)
    row = row._replace(in_htlc_id=in_htlc.id)
    refusal = _refusal(world, outgoing, out_msat, in_msat - out_msat, at_s)
    if refusal is not None or outgoing is None:
        remove_htlc(world, incoming, in_htlc, fulfilled=False)
        return _local_failure(world, row, in_htlc, refusal or "WIRE_UNKNOWN_NEXT_PEER")
    out_htlc = add_htlc(world, outgoing, "out", out_msat, in_htlc.payment_hash)
    created = world.forwards.append(
        scid_number(row.in_scid), in_htlc.id, scid_number(out_scid), in_msat, out_msat, at_s,
        out_htlc=out_htlc.id,
    )  # fmt: skip
    row = row._replace(created_index=created, status="offered", out_htlc_id=out_htlc.id)
    world.pending[created] = Pending(row, incoming, outgoing, in_htlc, out_htlc, preimage)
    events.forward_event(world, row, in_htlc.payment_hash, creates=True)
    if outcome == "pending":
        world.changed.notify_all()
        return row
    return resolve(world, created, outcome, at_s + hold_s)


def _local_failure(world: World, row: ForwardRow, htlc: Htlc, reason: str) -> ForwardRow:
    code = FAILCODES[reason]
    created = world.forwards.append(
        scid_number(row.in_scid), row.in_htlc_id, scid_number(row.out_scid or "0x0x0"),
        row.in_msat, row.out_msat, row.received_s, status=LOCAL_FAILED, failcode=code,
    )  # fmt: skip
    row = row._replace(
        created_index=created, status="local_failed", failcode=code, failreason=reason
    )
    events.forward_event(world, row, htlc.payment_hash, creates=True)
    world.changed.notify_all()
    return row


def resolve(world: World, created: int, outcome: str, at_s: float) -> ForwardRow:
    """See World.resolve."""
    if created not in world.pending:
        raise ValueError(f"forward {created} is not pending")
    status = STATUSES.index(outcome)
    if status not in (SETTLED, FAILED, LOCAL_FAILED):
        raise ValueError(f"a pending forward cannot become {outcome!r}")
    flight = world.pending[created]
    if flight.outgoing.frozen:
        # Only the chain can end it: they claim it with the preimage, or it times out.
        if status == SETTLED:
            onchain_htlcs.settle(world, flight.outgoing, "out", flight.out_htlc.id)
        return flight.row
    remove_htlc(world, flight.outgoing, flight.out_htlc, status == SETTLED)
    return _finish(world, created, status, at_s)


def ended_on_chain(
    world: World, channel: Channel, htlc: Htlc, fulfilled: bool, at_s: float
) -> None:
    """See World.htlc_ended."""
    for created, flight in list(world.pending.items()):
        if flight.outgoing is channel and flight.out_htlc is htlc:
            _finish(world, created, SETTLED if fulfilled else LOCAL_FAILED, at_s)
    remove_htlc(world, channel, htlc, fulfilled=False)


def _finish(world: World, created: int, status: int, at_s: float) -> ForwardRow:
    """The outgoing side of a forward has ended: its row, its books, and its incoming side.

    Where the incoming channel was closed by force, its HTLC stays for the chain to end.
    """
    flight = world.pending.pop(created)
    settled, incoming = status == SETTLED, flight.incoming
    if not incoming.frozen:
        remove_htlc(world, incoming, flight.in_htlc, settled)
    elif settled:
        onchain_htlcs.settle(world, incoming, "in", flight.in_htlc.id)
    reason = "WIRE_PERMANENT_CHANNEL_FAILURE"
    if not flight.outgoing.frozen:
        reason = "WIRE_TEMPORARY_CHANNEL_FAILURE"
    code = FAILCODES[reason] if status == LOCAL_FAILED else None
    updated = world.forwards.resolve(created, status, at_s, code or 0)
    row = flight.row._replace(status=STATUSES[status], failcode=code)
    if code is None:
        row = row._replace(resolved_s=at_s)
    extra = {"preimage": flight.preimage} if settled and world.era.at_least(26, 4) else {}
    events.forward_event(world, row, flight.in_htlc.payment_hash, updated=updated, extra=extra)
    if settled:
        _book(world, flight, at_s)
    for channel in (incoming, flight.outgoing):
        closing.drained(world, channel, at_s)
    world.changed.notify_all()
    return row


def _book(world: World, flight: Pending, at_s: float) -> None:
    """A move with the same fee on each side that was settled in its channel, not on the chain.

    Each is written when its peer has let the HTLC go, so either may be first.
    """
    row, hash_ = flight.row, flight.in_htlc.payment_hash
    sides = [(flight.outgoing, 0, row.out_msat), (flight.incoming, row.in_msat, 0)]
    if int(hash_[0], 16) % 2:
        sides.reverse()
    for channel, credit, debit in sides:
        if channel.frozen:
            continue
        move = world.books.book_channel(
            channel.channel_id, at_s, "routed", credit_msat=credit, debit_msat=debit,
            fees_msat=row.fee_msat, payment_hash=hash_,
        )  # fmt: skip
        events.channel_move(world, move)
