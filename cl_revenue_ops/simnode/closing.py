"""How channels end: shutdown, mutual and forced closes, and the day they are forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cl_revenue_ops.simnode import events, wallet
from cl_revenue_ops.simnode.errors import FAILED, SimRpcError, bad_params
from cl_revenue_ops.simnode.model import CLOSING, Channel

if TYPE_CHECKING:
    from cl_revenue_ops.simnode.world import World

MUTUAL_WEIGHT = 673
FORGET_BLOCKS = 100
OUR_DELAY_BLOCKS = 144


def _begin(world: World, channel: Channel, by: str) -> str:
    """Check that a close may begin, give up splices, return lightningd's cause for it."""
    if by not in ("local", "remote"):
        raise ValueError(f"unknown closer {by!r}")
    if channel.state in CLOSING:
        raise bad_params(f"Channel is in state {channel.state}")
    channel.closer = by
    channel.close_cause = "user" if by == "local" else "remote"
    for splice in channel.inflight:
        wallet.cancel(world, splice.funding_txid)
    channel.inflight.clear()
    return channel.close_cause


def close(world: World, channel: Channel, by: str, at_s: float) -> None:
    """See World.close."""
    if not world.peers[channel.peer_id].connected:
        raise SimRpcError(FAILED, "Peer not connected")
    cause = _begin(world, channel, by)
    world.set_state(channel, "CHANNELD_SHUTTING_DOWN", cause, "Shutdown begun", at_s)
    drained(world, channel, at_s)


def drained(world: World, channel: Channel, at_s: float) -> None:
    """Go on with a shutdown once the channel holds no HTLC; else do nothing."""
    if channel.state != "CHANNELD_SHUTTING_DOWN" or channel.pending_in or channel.pending_out:
        return
    cause = channel.close_cause
    world.set_state(channel, "CLOSINGD_SIGEXCHANGE", cause, "Start closingd", at_s)
    world.set_state(channel, "CLOSINGD_COMPLETE", cause, "Closing complete", at_s)
    txid = world.draw("txid")
    fee_msat = world.chain_fee_msat(MUTUAL_WEIGHT) if channel.opener == "local" else 0

    def confirmed(scid: str, stamp: float) -> None:
        del scid
        _seen_on_chain(world, channel, txid, stamp)
        ours = _output_msat(channel.to_us_msat - fee_msat)
        if ours:
            wallet.deposit(world, ours, stamp, world.height, txid=txid, origin=channel.channel_id)
        world.at_height(world.height + FORGET_BLOCKS, lambda later: forget(world, channel, later))

    world.mempool.append(confirmed)


def force_close(world: World, channel: Channel, by: str, at_s: float) -> None:
    """See World.force_close."""
    cause = _begin(world, channel, by)
    for created, flight in list(world.pending.items()):
        if channel in (flight.incoming, flight.outgoing):
            world.resolve(created, "failed", at_s=at_s)
    if by == "local":
        world.set_state(channel, "AWAITING_UNILATERAL", cause, "Forcibly closed", at_s)
    txid = world.draw("txid")
    fee_msat = channel.commitment_fee_msat(0) if channel.opener == "local" else 0

    def confirmed(scid: str, stamp: float) -> None:
        del scid
        _seen_on_chain(world, channel, txid, stamp)
        ours = _output_msat(channel.to_us_msat - fee_msat)
        delay = OUR_DELAY_BLOCKS if by == "local" and ours else 0
        if delay:
            _book_delayed(world, channel, txid, ours, stamp, "delayed_to_us")
            world.at_height(world.height + delay, lambda later: sweep(ours, later))
        elif ours:
            wallet.deposit(world, ours, stamp, world.height, txid=txid, origin=channel.channel_id)
        world.at_height(
            world.height + delay + FORGET_BLOCKS, lambda later: forget(world, channel, later)
        )

    def sweep(ours: int, stamp: float) -> None:
        spending = world.draw("txid")
        _book_delayed(world, channel, txid, ours, stamp, "to_wallet", spending)
        wallet.deposit(world, ours, stamp, world.height, txid=spending, origin=channel.channel_id)

    world.mempool.append(confirmed)


def _output_msat(ours_msat: int) -> int:
    """What reaches the chain: whole satoshi, and nothing below the dust limit."""
    return ours_msat // 1000 * 1000 if ours_msat >= wallet.DUST_MSAT else 0


def _seen_on_chain(world: World, channel: Channel, txid: str, at_s: float) -> None:
    channel.close_height = world.height
    world.set_state(channel, "FUNDING_SPEND_SEEN", "onchain", "Onchain funding spend", at_s)
    world.set_state(channel, "ONCHAIN", "onchain", "Onchain init reply", at_s)
    book_close(world, channel, txid, channel.to_us_msat, at_s, ())


def book_close(
    world: World, channel: Channel, txid: str, ours_msat: int, at_s: float, tags: tuple[str, ...]
) -> None:
    """Book that the funding output was spent by `txid` while `ours_msat` of it was ours."""
    move = world.books.book_chain(
        channel.channel_id, at_s, "channel_close", f"{channel.funding_txid}:{channel.outnum}",
        channel.total_msat, world.height, debit_msat=ours_msat, extra_tags=tags,
        peer_id=channel.peer_id, spending_txid=txid, output_count=2,
    )  # fmt: skip
    events.chain_move(world, move)


def _book_delayed(
    world: World,
    channel: Channel,
    txid: str,
    ours_msat: int,
    at_s: float,
    tag: str,
    spending: str | None = None,
) -> None:
    out = tag == "to_wallet"
    move = world.books.book_chain(
        channel.channel_id, at_s, tag, f"{txid}:0", ours_msat, world.height,
        credit_msat=0 if out else ours_msat, debit_msat=ours_msat if out else 0,
        peer_id=channel.peer_id, spending_txid=spending,
    )  # fmt: skip
    events.chain_move(world, move)


def forget(world: World, channel: Channel, at_s: float) -> None:
    """lightningd drops the channel: from now on only listclosedchannels knows it."""
    del world.channels[channel.channel_id]
    world.closed.append(_closed_entry(world, channel, at_s))
    world.set_state(channel, "CLOSED", "unknown", "Channel forgotten", at_s)


def _closed_entry(world: World, channel: Channel, at_s: float) -> dict[str, Any]:
    entry: dict[str, Any] = {"peer_id": channel.peer_id, "channel_id": channel.channel_id}
    if channel.scid is not None:
        entry["short_channel_id"] = channel.scid
    entry |= {
        "alias": {"local": channel.alias_local, "remote": channel.alias_remote},
        "opener": channel.opener,
        "closer": channel.closer,
        "private": channel.private,
        "total_local_commitments": channel.commitments,
        "total_remote_commitments": channel.commitments,
        "total_htlcs_sent": channel.traffic_out.offered,
        "funding_txid": channel.funding_txid,
        "funding_outnum": channel.outnum,
        "leased": False,
        "total_msat": channel.total_msat,
        "final_to_us_msat": channel.to_us_msat,
        "min_to_us_msat": channel.min_to_us_msat,
        "max_to_us_msat": channel.max_to_us_msat,
        "close_cause": channel.close_cause,
    }
    if world.era.at_least(25, 12):
        entry["funding_withheld"] = False
    if channel.pushed_msat:
        entry["funding_pushed_msat"] = channel.pushed_msat
    stable_s = world.peers[channel.peer_id].stable_at(at_s)
    if stable_s is not None and world.era.at_least(24, 2):
        entry["last_stable_connection"] = int(stable_s)
    return entry
