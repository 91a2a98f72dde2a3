"""How channels end: shutdown, the mutual close, and the day they are forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cl_revenue_ops.simnode import channel_books, wallet
from cl_revenue_ops.simnode.errors import FAILED, SimRpcError, bad_params
from cl_revenue_ops.simnode.model import CLOSING, Channel

if TYPE_CHECKING:
    from cl_revenue_ops.simnode.world import World

MUTUAL_WEIGHT = 673
FORGET_BLOCKS = 100


def begin(world: World, channel: Channel, by: str, at_s: float) -> str:
    """Check that a close may begin, return lightningd's cause for it.

    A splice that is in a block already is completed, another given up.
    """
    if by not in ("local", "remote"):
        raise ValueError(f"unknown closer {by!r}")
    if channel.state in CLOSING or channel.frozen:
        raise bad_params(f"Channel is in state {channel.state}")
    for splice in list(channel.inflight):
        if splice.lock is not None:
            splice.lock(at_s)
        else:
            wallet.cancel(world, splice.funding_txid)
    channel.inflight.clear()
    channel.closer = by
    channel.close_cause = "user" if by == "local" else "remote"
    return channel.close_cause


def close(world: World, channel: Channel, by: str, at_s: float) -> None:
    """See World.close."""
    if not world.peers[channel.peer_id].connected:
        raise SimRpcError(FAILED, "Peer not connected")
    cause = begin(world, channel, by, at_s)
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
    fee_msat = world.chain_fee_msat(MUTUAL_WEIGHT)

    def confirmed(scid: str, stamp: float) -> None:
        del scid
        _book_mutual(world, channel, txid, fee_msat, stamp)
        world.at_height(world.height + FORGET_BLOCKS, lambda later: forget(world, channel, later))

    world.mempool.append(confirmed)


def _book_mutual(world: World, channel: Channel, txid: str, fee_msat: int, at_s: float) -> None:
    """Our output is seen first, as any deposit of the wallet is; then the end, then theirs."""
    ours_msat, theirs_msat = shares(channel, fee_msat)
    count = (ours_msat > 0) + (theirs_msat > 0)
    if ours_msat:
        wallet.deposit(world, ours_msat, at_s, world.height, txid=txid)
    seen_on_chain(world, channel, txid, count, at_s)
    if theirs_msat:
        place = count - 1
        channel_books.outside(world, channel, "to_them", f"{txid}:{place}", theirs_msat, at_s)


def shares(channel: Channel, cost_msat: int) -> tuple[int, int]:
    """What reaches the chain of both balances without HTLCs, after the opener has paid the cost.

    Whole satoshi, and nothing below the dust limit: what is lost so is the miner's.
    """
    ours_msat = channel.to_us_msat - channel.pending_out_msat
    theirs_msat = channel.to_them_msat - channel.pending_in_msat
    if channel.opener == "local":
        ours_msat -= cost_msat
    else:
        theirs_msat -= cost_msat
    return output_msat(ours_msat), output_msat(theirs_msat)


def output_msat(amount_msat: int) -> int:
    """An amount as an output can carry it; 0 if it is too small for one."""
    return amount_msat // 1000 * 1000 if amount_msat >= wallet.DUST_MSAT else 0


def seen_on_chain(world: World, channel: Channel, txid: str, count: int, at_s: float) -> None:
    """The funding output was spent by a transaction of `count` outputs: states and books."""
    world.set_state(channel, "FUNDING_SPEND_SEEN", "onchain", "Onchain funding spend", at_s)
    world.set_state(channel, "ONCHAIN", "onchain", "Onchain init reply", at_s)
    if not channel.open_booked:
        channel_books.opened(world, channel, at_s)
    channel_books.closed(world, channel, txid, count, at_s)


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
