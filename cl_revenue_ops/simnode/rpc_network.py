"""RPC: listpeers, listnodes, listchannels."""

from __future__ import annotations

from typing import Any

from cl_revenue_ops.simnode import rpc
from cl_revenue_ops.simnode.errors import bad_params
from cl_revenue_ops.simnode.gossip import Edge
from cl_revenue_ops.simnode.model import Channel
from cl_revenue_ops.simnode.rpc import Args, Context, Method, Param
from cl_revenue_ops.simnode.world import World


def listpeers(context: Context, args: Args) -> dict[str, Any]:
    """Peers that are connected or have a channel."""
    world = context.world
    with world.lock:
        counts: dict[str, int] = {}
        for channel in world.channels.values():
            counts[channel.peer_id] = counts.get(channel.peer_id, 0) + 1
        peers = [
            {
                "id": peer.id,
                "connected": peer.connected,
                "num_channels": counts.get(peer.id, 0),
                "features": "08a0880a8a59a1",
                **({"netaddr": ["127.0.0.1:9735"]} if peer.connected else {}),
            }
            for peer in world.peers.values()
            if (peer.connected or peer.id in counts) and args.get("id", peer.id) == peer.id
        ]
    return {"peers": peers}


def listnodes(context: Context, args: Args) -> dict[str, Any]:
    """Announced nodes, ourselves among them."""
    world = context.world
    with world.lock:
        ours = {
            "nodeid": world.id, "alias": world.alias, "color": world.id[2:8],
            "last_timestamp": int(world.clock.now()), "features": "", "addresses": [],
        }  # fmt: skip
        known = {**world.gossip.nodes, world.id: ours}
    if "id" in args:
        return {"nodes": [known[args["id"]]] if args["id"] in known else []}
    return {"nodes": list(known.values())}


def listchannels(context: Context, args: Args) -> dict[str, Any]:
    """Announced channel directions; private channels are not among them."""
    if len(args) > 1:
        raise bad_params("Can only specify one of short_channel_id, source and destination")
    world = context.world
    with world.lock:
        edges = world.gossip.edges(**args)
        edges += [edge for edge in _own(world) if _fits(edge, args)]
    return {"channels": [edge.entry() for edge in edges]}


def _own(world: World) -> list[Edge]:
    return [
        edge
        for channel in world.channels.values()
        if channel.usable and not channel.private and channel.scid is not None
        for edge in _both(world, channel, channel.scid)
    ]


def _both(world: World, channel: Channel, name: str) -> list[Edge]:
    there = world.peers[channel.peer_id].connected
    since = int(channel.policies[-1][0])
    ours = Edge(
        name, world.id, channel.peer_id, channel.total_msat, channel.policy, since, active=there
    )
    if channel.remote_policy is None:
        return [ours]
    theirs = Edge(
        name, channel.peer_id, world.id, channel.total_msat, channel.remote_policy,
        int(channel.opened_s), active=there,
    )  # fmt: skip
    return [ours, theirs]


def _fits(edge: Edge, args: Args) -> bool:
    return all(getattr(edge, name) == value for name, value in args.items())


METHODS = {
    "listpeers": Method(listpeers, (Param("id", rpc.node), Param("level", rpc.text))),
    "listnodes": Method(listnodes, (Param("id", rpc.node),)),
    "listchannels": Method(
        listchannels,
        (
            Param("short_channel_id", rpc.scid),
            Param("source", rpc.node),
            Param("destination", rpc.node),
        ),
    ),
}
