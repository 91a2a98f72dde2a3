"""How channels begin: opening, lock-in, splices, and the connection to their peers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cl_revenue_ops.simnode import channel_books, wallet
from cl_revenue_ops.simnode.errors import FAILED, SimRpcError, bad_params
from cl_revenue_ops.simnode.identity import iso_time
from cl_revenue_ops.simnode.model import NO_LIMIT_MSAT, Channel, Inflight, Peer, Policy

if TYPE_CHECKING:
    from cl_revenue_ops.simnode.world import World

OPENING_WEIGHT = 702
SPLICE_WEIGHT = 1100
LOCKIN_BLOCKS = 3


def open_channel(
    world: World,
    peer_id: str,
    total_msat: int,
    local_msat: int | None,
    *,
    opener: str,
    private: bool,
    policy: Policy,
    remote_policy: Policy | None,
    established: bool,
    at_s: float,
) -> str:
    """See World.open_channel."""
    peer = world.peer(peer_id)
    mine_msat = (total_msat if opener == "local" else 0) if local_msat is None else local_msat
    if not 0 <= mine_msat <= total_msat or opener not in ("local", "remote"):
        raise bad_params("local balance and opener do not fit the capacity")
    channel = _new_channel(world, peer_id, total_msat, mine_msat, opener, at_s)
    channel.private = private
    ceiling = total_msat - channel.our_reserve_msat
    channel.policy = replace(policy, htlc_max_msat=min(policy.htlc_max_msat, ceiling))
    channel.policies.append((at_s, channel.policy))
    if remote_policy is not None and remote_policy.htlc_max_msat == NO_LIMIT_MSAT:
        remote_policy = replace(remote_policy, htlc_max_msat=ceiling)
    channel.remote_policy = remote_policy
    if established:
        _establish(world, channel, at_s)
    else:
        if not peer.connected:
            raise SimRpcError(FAILED, "Peer not connected")
        _broadcast_funding(world, channel, at_s)
    return channel.channel_id


def _new_channel(
    world: World, peer_id: str, total_msat: int, mine_msat: int, opener: str, at_s: float
) -> Channel:
    reserve = max(total_msat // 100, wallet.DUST_MSAT) // 1000 * 1000
    pushed = total_msat - mine_msat if opener == "local" else mine_msat
    local_funds = total_msat if opener == "local" else 0
    return Channel(
        channel_id=world.draw("channel"),
        peer_id=peer_id,
        opener=opener,
        total_msat=total_msat,
        to_us_msat=mine_msat,
        our_reserve_msat=reserve,
        their_reserve_msat=reserve,
        policy=Policy(),
        remote_policy=None,
        funding_txid=world.draw("txid"),
        outnum=0,
        alias_local=_alias(world),
        alias_remote=_alias(world),
        opened_s=at_s,
        state="",
        local_funds_msat=local_funds,
        remote_funds_msat=total_msat - local_funds,
        pushed_msat=pushed,
        max_accepted_htlcs=world.max_accepted_htlcs,
        min_to_us_msat=mine_msat,
        max_to_us_msat=mine_msat,
    )


def _alias(world: World) -> str:
    # A fictitious block far above any real one, so that no alias can meet a real scid.
    return f"{world.number('alias') + 16_000_000}x{world.seed % 9973}x1"


def _file(world: World, channel: Channel) -> None:
    world.channels[channel.channel_id] = channel
    world.register(channel.channel_id, channel.alias_local)


def _establish(world: World, channel: Channel, at_s: float) -> None:
    """A channel from before the run: its opening is in the books, nobody is notified."""
    height = max(1, world.height - world.number("established") % 50_000)
    _file(world, channel)
    if channel.opener == "local":
        fee_msat = world.chain_fee_msat(OPENING_WEIGHT)
        spent = wallet.deposit(world, channel.total_msat + fee_msat, at_s, height)
        wallet.spend(world, [spent], channel.funding_txid, at_s, height)
    channel.opening_height = height
    channel_books.opened(world, channel, at_s)
    _give_scid(world, channel, f"{height}x{world.number('established-index')}x{channel.outnum}")
    opened = {"old_state": "CHANNELD_AWAITING_LOCKIN", "new_state": "CHANNELD_NORMAL"}
    channel.state = "CHANNELD_NORMAL"
    channel.state_changes.append(
        {"timestamp": iso_time(at_s), **opened, "cause": channel.opener, "message": "Lockin"}
    )


def _broadcast_funding(world: World, channel: Channel, at_s: float) -> None:
    if channel.opener == "local":
        fee_msat = world.chain_fee_msat(OPENING_WEIGHT)
        wallet.fund_transaction(world, channel.funding_txid, channel.total_msat, fee_msat)
    _file(world, channel)
    cause = "user" if channel.opener == "local" else "remote"
    world.set_state(channel, "CHANNELD_AWAITING_LOCKIN", cause, "new channel opened", at_s)

    def confirmed(scid: str, stamp: float) -> None:
        channel.opening_height = world.height
        wallet.confirm(world, channel.funding_txid, stamp)
        world.at_height(world.height + LOCKIN_BLOCKS - 1, lambda later: lock(scid, later))

    def lock(scid: str, stamp: float) -> None:
        if channel.state == "CHANNELD_AWAITING_LOCKIN":
            _give_scid(world, channel, scid)
            world.set_state(channel, "CHANNELD_NORMAL", cause, "Lockin complete", stamp)
            channel_books.opened(world, channel, stamp)

    world.mempool.append(confirmed)


def _give_scid(world: World, channel: Channel, scid: str) -> None:
    channel.scid = scid
    channel.scids.append(scid)
    world.register(channel.channel_id, scid)


def splice(world: World, channel: Channel, delta_sat: int, by: str, at_s: float) -> str:
    """See World.splice."""
    delta_msat = delta_sat * 1000
    ours_msat = delta_msat if by == "local" else 0
    if by not in ("local", "remote"):
        raise ValueError(f"unknown side {by!r}")
    if channel.state != "CHANNELD_NORMAL" or channel.frozen:
        raise SimRpcError(FAILED, f"Channel is in state {channel.state}")
    room_msat = channel.spendable_msat if by == "local" else channel.receivable_msat
    if delta_msat == 0 or room_msat + delta_msat < 0:
        raise SimRpcError(FAILED, "Splice would overdraw the channel")
    txid = world.draw("txid")
    fee_msat = world.chain_fee_msat(SPLICE_WEIGHT)
    if delta_msat < 0 and -delta_msat < fee_msat + wallet.DUST_MSAT:
        raise SimRpcError(FAILED, "Splice does not pay for its transaction")
    if ours_msat > 0:
        wallet.fund_transaction(world, txid, ours_msat, fee_msat)
    channel.inflight.append(
        Inflight(
            txid, 0, channel.total_msat + delta_msat, ours_msat // 1000, world.feerates_perkw[6]
        )
    )
    world.set_state(channel, "CHANNELD_AWAITING_SPLICE", "user", "Splice started", at_s)

    def confirmed(scid: str, stamp: float) -> None:
        if not channel.inflight:
            return  # the channel was closed first
        height = world.height
        wallet.confirm(world, txid, stamp)
        if ours_msat < 0:
            wallet.deposit(world, -ours_msat - fee_msat, stamp, height, txid=txid, index=1)

        def lock(later: float) -> None:
            if channel.state == "CHANNELD_AWAITING_SPLICE":
                _lock_splice(world, channel, delta_msat, ours_msat, scid, height, later)

        channel.inflight[0].lock = lock
        world.at_height(height + LOCKIN_BLOCKS - 1, lock)

    world.mempool.append(confirmed)
    return txid


def _lock_splice(
    world: World,
    channel: Channel,
    delta_msat: int,
    ours_msat: int,
    scid: str,
    height: int,
    at_s: float,
) -> None:
    """The new funding takes over; `height` is its block, in which both rows are booked."""
    txid = channel.inflight[0].funding_txid
    channel_books.closed(world, channel, txid, 2, at_s, height=height, tags=("splice",))
    channel.inflight.clear()
    channel.total_msat += delta_msat
    channel.to_us_msat += ours_msat
    channel.min_to_us_msat = max(0, channel.min_to_us_msat + ours_msat)
    channel.max_to_us_msat += ours_msat
    channel.funding_txid, channel.outnum = txid, 0
    channel.opening_height = height
    channel_books.opened(world, channel, at_s, spliced=True)
    ceiling = channel.total_msat - channel.our_reserve_msat
    if channel.policy.htlc_max_msat > ceiling:
        channel.policy = replace(channel.policy, htlc_max_msat=ceiling)
        channel.policies.append((at_s, channel.policy))
    _give_scid(world, channel, scid)
    world.set_state(channel, "CHANNELD_NORMAL", "user", "Splice complete", at_s)


def connect(world: World, peer: Peer, at_s: float) -> None:
    """See World.connect."""
    if peer.connected:
        return
    peer.connected, peer.reestablished, peer.connected_s = True, True, at_s
    address = {"type": "ipv4", "address": "127.0.0.1", "port": 9735}
    world.emit("connect", {"id": peer.id, "direction": "out", "address": address})


def disconnect(world: World, peer: Peer, at_s: float) -> None:
    """See World.disconnect."""
    if not peer.connected:
        return
    peer.stable_s = peer.stable_at(at_s)
    peer.connected = False
    world.emit("disconnect", {"id": peer.id})
