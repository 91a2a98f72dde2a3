"""RPC: listpeerchannels, setchannel, listclosedchannels, listhtlcs."""

from __future__ import annotations

from typing import Any

from cl_revenue_ops.simnode import rpc
from cl_revenue_ops.simnode.errors import FAILED, SimRpcError, bad_params
from cl_revenue_ops.simnode.model import (
    CLOSING,
    NO_LIMIT_MSAT,
    SETTABLE,
    Channel,
    Inflight,
    Policy,
)
from cl_revenue_ops.simnode.rpc import Args, Context, Method, Param
from cl_revenue_ops.simnode.world import World


def listpeerchannels(context: Context, args: Args) -> dict[str, Any]:
    """Channels of all peers, or of the one that the single filter names."""
    if len(args) > 1:
        raise bad_params("Can only specify one of id, short_channel_id and channel_id")
    world = context.world
    with world.lock:
        chosen = list(world.channels.values())
        if "id" in args:
            chosen = [channel for channel in chosen if channel.peer_id == args["id"]]
        elif args:
            found = world.find(next(iter(args.values())))
            chosen = [found] if found is not None else []
        return {"channels": [show_channel(world, channel) for channel in chosen]}


def show_channel(world: World, channel: Channel) -> dict[str, Any]:
    """One listpeerchannels entry in the played release's form."""
    era, peer = world.era, world.peers[channel.peer_id]
    shown: dict[str, Any] = {"peer_id": channel.peer_id, "peer_connected": peer.connected}
    if peer.connected and era.at_least(24, 2):
        shown["reestablished"] = peer.reestablished
    shown |= {"state": channel.state, "opener": channel.opener, "private": channel.private}
    if channel.state in CLOSING and channel.closer is not None:
        shown["closer"] = channel.closer
    if channel.scid is not None:
        shown["short_channel_id"] = channel.scid
        shown["direction"] = 0 if world.id < channel.peer_id else 1
    shown |= {
        "alias": {"local": channel.alias_local, "remote": channel.alias_remote},
        "channel_id": channel.channel_id,
        "funding_txid": channel.funding_txid,
        "funding_outnum": channel.outnum,
        "channel_type": _channel_type(world),
        "features": ["option_static_remotekey", "option_anchors_zero_fee_htlc_tx"],
        "status": [f"{channel.state}:Channel is in this state."],
        "state_changes": [dict(change) for change in channel.state_changes],
        "htlcs": _htlcs(channel),
        "inflight": [_inflight(world, splice) for splice in channel.inflight],
    }
    if peer.connected:
        working = channel.state in SETTABLE or channel.state == "CHANNELD_SHUTTING_DOWN"
        shown["owner"] = "channeld" if working else "onchaind"
    shown |= _balances(channel) | _limits(world, channel) | _policies(world, channel)
    shown |= _counters(channel)
    stable_s = peer.stable_at(world.clock.now())
    if stable_s is not None and era.at_least(24, 2):
        shown["last_stable_connection"] = int(stable_s)
    return shown


def _channel_type(world: World) -> dict[str, Any]:
    anchors = "anchors/even" if world.era.at_least(24, 8) else "anchors_zero_fee_htlc_tx/even"
    return {"bits": [12, 22], "names": ["static_remotekey/even", anchors]}


def _balances(channel: Channel) -> dict[str, Any]:
    funding = {
        "local_funds_msat": channel.local_funds_msat,
        "remote_funds_msat": channel.remote_funds_msat,
    }
    if channel.pushed_msat:
        funding["pushed_msat"] = channel.pushed_msat
    return {
        "total_msat": channel.total_msat,
        "to_us_msat": channel.to_us_msat,
        "min_to_us_msat": channel.min_to_us_msat,
        "max_to_us_msat": channel.max_to_us_msat,
        "spendable_msat": channel.spendable_msat,
        "receivable_msat": channel.receivable_msat,
        "our_reserve_msat": channel.our_reserve_msat,
        "their_reserve_msat": channel.their_reserve_msat,
        "funding": funding,
    }


def _limits(world: World, channel: Channel) -> dict[str, Any]:
    limits: dict[str, Any] = {
        "dust_limit_msat": 546_000,
        "minimum_htlc_in_msat": channel.htlc_min_in_msat,
        "minimum_htlc_out_msat": channel.policy.htlc_min_msat,
        "maximum_htlc_out_msat": channel.policy.htlc_max_msat,
        "their_to_self_delay": 144,
        "our_to_self_delay": 144,
        "max_accepted_htlcs": channel.max_accepted_htlcs,
        "last_tx_fee_msat": channel.commitment_fee_msat(0),
        "feerate": {"perkw": channel.feerate_perkw, "perkb": 4 * channel.feerate_perkw},
    }
    if world.era.at_least(25, 2):
        limits["their_max_htlc_value_in_flight_msat"] = NO_LIMIT_MSAT
        limits["our_max_htlc_value_in_flight_msat"] = NO_LIMIT_MSAT
    if not world.era.at_least(26, 6):
        limits["max_total_htlc_in_msat"] = NO_LIMIT_MSAT
    return limits


def _policies(world: World, channel: Channel) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "fee_base_msat": channel.policy.base_msat,
        "fee_proportional_millionths": channel.policy.ppm,
    }
    if channel.ignore_fee_limits:
        shown["ignore_fee_limits"] = True
    if world.era.at_least(24, 2):
        shown["lost_state"] = False
        shown["updates"] = {"local": _update(channel.policy)}
        if channel.remote_policy is not None:
            shown["updates"]["remote"] = _update(channel.remote_policy)
    return shown


def _update(policy: Policy) -> dict[str, int]:
    return {
        "htlc_minimum_msat": policy.htlc_min_msat,
        "htlc_maximum_msat": policy.htlc_max_msat,
        "cltv_expiry_delta": policy.cltv_delta,
        "fee_base_msat": policy.base_msat,
        "fee_proportional_millionths": policy.ppm,
    }


def _counters(channel: Channel) -> dict[str, int]:
    shown = {}
    for way, traffic in (("in", channel.traffic_in), ("out", channel.traffic_out)):
        shown[f"{way}_payments_offered"] = traffic.offered
        shown[f"{way}_offered_msat"] = traffic.offered_msat
        shown[f"{way}_payments_fulfilled"] = traffic.fulfilled
        shown[f"{way}_fulfilled_msat"] = traffic.fulfilled_msat
    return shown


def _htlcs(channel: Channel) -> list[dict[str, Any]]:
    states = {"in": "RCVD_ADD_ACK_REVOCATION", "out": "SENT_ADD_ACK_REVOCATION"}
    return [
        {
            "direction": htlc.direction,
            "id": htlc.id,
            "amount_msat": htlc.amount_msat,
            "expiry": htlc.expiry,
            "payment_hash": htlc.payment_hash,
            "state": states[htlc.direction],
        }
        for htlc in (*channel.pending_in.values(), *channel.pending_out.values())
    ]


def _inflight(world: World, splice: Inflight) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "funding_txid": splice.funding_txid,
        "funding_outnum": splice.outnum,
        "feerate": f"{splice.feerate_perkw}perkw",
        "total_funding_msat": splice.total_msat,
        "our_funding_msat": max(splice.splice_sat, 0) * 1000,
    }
    if world.era.at_least(23, 8):
        shown["splice_amount"] = splice.splice_sat
    return shown


def setchannel(context: Context, args: Args) -> dict[str, Any]:
    """Change the policy of a channel, of all channels of a peer, or of all."""
    world = context.world
    with world.lock:
        chosen = _settable(world, args["id"])
        return {
            "channels": [
                world.set_channel(
                    channel.channel_id,
                    base_msat=args.get("feebase"),
                    ppm=args.get("feeppm"),
                    htlc_min_msat=args.get("htlcmin"),
                    htlc_max_msat=args.get("htlcmax"),
                    enforcedelay_s=args.get("enforcedelay", 600),
                    ignore_fee_limits=args.get("ignorefeelimits"),
                )
                for channel in chosen
            ]
        }


def _settable(world: World, name: str) -> list[Channel]:
    if name == "all":
        return [c for c in world.channels.values() if c.state in SETTABLE]
    if name in world.peers:
        own = [c for c in world.channels.values() if c.peer_id == name and c.state in SETTABLE]
        if not own:
            raise SimRpcError(FAILED, "Could not find any active channel of peer")
        return own
    found = world.find(name)
    if found is None:
        raise bad_params(f"id: Could not find channel {name}")
    return [found]


def listclosedchannels(context: Context, args: Args) -> dict[str, Any]:
    """Channels that lightningd has forgotten."""
    with context.world.lock:
        entries = [dict(entry) for entry in context.world.closed]
    if "id" in args:
        entries = [entry for entry in entries if entry["peer_id"] == args["id"]]
    return {"closedchannels": entries}


def listhtlcs(context: Context, args: Args) -> dict[str, Any]:
    """HTLCs of living channels, past ones included."""
    world = context.world
    if ("start" in args or "limit" in args) and "index" not in args:
        raise bad_params("start and limit need index")
    with world.lock:
        chosen = list(world.channels.values())
        if "id" in args:
            found = world.find(args["id"])
            if found is None:
                raise bad_params(f"id: Unknown channel {args['id']}")
            chosen = [found]
        scids = {c.channel_id: c.scid or c.alias_local for c in chosen}
        entries = world.htlcs.page(
            scids, args.get("start", 0), args.get("limit"), args.get("index") == "updated"
        )
    if not world.era.at_least(25, 5):
        hidden = ("created_index", "updated_index")
        entries = [{k: v for k, v in entry.items() if k not in hidden} for entry in entries]
    return {"htlcs": entries}


METHODS = {
    "listpeerchannels": Method(
        listpeerchannels,
        (
            Param("id", rpc.node),
            Param("short_channel_id", rpc.scid, since=(25, 5)),
            Param("channel_id", rpc.hash256, since=(26, 4)),
        ),
        since=(23, 2),
    ),
    "setchannel": Method(
        setchannel,
        (
            Param("id", rpc.text, required=True),
            Param("feebase", rpc.msat_u32),
            Param("feeppm", rpc.u32),
            Param("htlcmin", rpc.msat),
            Param("htlcmax", rpc.msat),
            Param("enforcedelay", rpc.u32),
            Param("ignorefeelimits", rpc.boolean, since=(23, 8)),
        ),
    ),
    "listclosedchannels": Method(listclosedchannels, (Param("id", rpc.node),), since=(23, 5)),
    "listhtlcs": Method(
        listhtlcs,
        (
            Param("id", rpc.text),
            Param("index", rpc.one_of("created", "updated"), since=(25, 5)),
            Param("start", rpc.u64, since=(25, 5)),
            Param("limit", rpc.u32, since=(25, 5)),
        ),
        since=(22, 11),
    ),
}
