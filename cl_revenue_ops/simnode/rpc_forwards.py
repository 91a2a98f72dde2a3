"""RPC: listforwards, delforward, wait, and the autoclean commands."""

from __future__ import annotations

from typing import Any

from cl_revenue_ops.simnode import rpc
from cl_revenue_ops.simnode.errors import FORWARD_NOT_FOUND, NodeDown, SimRpcError, bad_params
from cl_revenue_ops.simnode.forward_log import STATUSES
from cl_revenue_ops.simnode.identity import scid_number
from cl_revenue_ops.simnode.rpc import Args, Context, Method, Param, RawJson
from cl_revenue_ops.simnode.world import World

_INDEX = rpc.one_of("created", "updated")
_SINCE = {
    "invoices": (23, 8), "forwards": (23, 11), "sendpays": (23, 11), "htlcs": (25, 5),
    "chainmoves": (25, 9), "channelmoves": (25, 9),
}  # fmt: skip
_POLL_S = 1.0


def listforwards(context: Context, args: Args) -> RawJson:
    """A page of forwards, or all of a channel's, as JSON text."""
    by_channel = "in_channel" in args or "out_channel" in args
    if "start" in args and ("index" not in args or by_channel):
        raise bad_params("Can only specify {start} with {index} and without a channel")
    if "limit" in args and "index" not in args:
        raise bad_params("Can only specify {limit} with {index}")
    log, era = context.world.forwards, context.world.era
    status = STATUSES.index(args["status"]) if "status" in args else None
    with context.world.lock:
        if by_channel:
            # Like lightningd, a channel filter ignores index and limit, and the order is not
            # that of creation.
            ends = (args.get(name) for name in ("in_channel", "out_channel"))
            incoming, outgoing = (None if end is None else scid_number(end) for end in ends)
            rows = log.by_channel(incoming, outgoing, status)
        else:
            rows = log.page(args.get("index"), args.get("start", 0), args.get("limit"), status)
        body = ",".join(log.fragments(rows, era.at_least(23, 11)))
    return RawJson(f'{{"forwards":[{body}]}}')


def delforward(context: Context, args: Args) -> dict[str, Any]:
    """Delete one forward by its natural key; 1401 if there is none of that status."""
    world = context.world
    if args["status"] == "offered":
        raise bad_params("status: cannot delete an offered forward")
    with world.lock:
        log = world.forwards
        created = log.find(scid_number(args["in_channel"]), args.get("in_htlc_id", 0))
        if created is None or STATUSES[log.status[created - 1]] != args["status"]:
            raise SimRpcError(FORWARD_NOT_FOUND, "Could not find that forward")
        log.delete(created)
        world.changed.notify_all()
    return {}


def wait(context: Context, args: Args) -> dict[str, Any]:
    """Wait until an index reaches `nextvalue`; 0 reports the present one at once."""
    world, subsystem, index = context.world, args["subsystem"], args["indexname"]
    if not world.era.at_least(*_SINCE[subsystem]):
        raise bad_params(f"subsystem: unknown subsystem {subsystem}")
    with world.changed:
        waited = False
        while (reached := _index_value(world, subsystem, index)) < args["nextvalue"]:
            waited = True
            if not context.running():
                raise NodeDown("the node stopped while a wait was pending")
            world.changed.wait(_POLL_S)
        details = _details(world, subsystem, index) if waited else {}
        return {"subsystem": subsystem, index: reached, **details}


def _index_value(world: World, subsystem: str, index: str) -> int:
    tables = {
        "forwards": (
            world.forwards.created_max,
            world.forwards.updated_max,
            world.forwards.deleted_count,
        ),
        "sendpays": (len(world.sendpays.rows), world.sendpays.updated_max, 0),
        "htlcs": (world.htlcs.created_max, world.htlcs.updated_max, 0),
        "chainmoves": (len(world.books.chain_moves), 0, 0),
        "channelmoves": (len(world.books.channel_moves), 0, 0),
        "invoices": (0, 0, 0),
    }
    return tables[subsystem][("created", "updated", "deleted").index(index)]


def _details(world: World, subsystem: str, index: str) -> dict[str, Any]:
    """The part of the newest row that lightningd adds when it had to wait for it."""
    log = world.forwards
    if subsystem != "forwards" or index == "deleted" or not log.created_max:
        return {}
    last = log.created_max if index == "created" else log.last_updated()
    if last is None:
        return {}
    name = "forwards" if world.era.at_least(25, 5) else "details"
    return {name: log.summary(last)}


def autoclean_status(context: Context, args: Args) -> dict[str, Any]:
    """What autoclean deletes and how much it has deleted."""
    return {"autoclean": context.autoclean.status(args.get("subsystem"))}


def autoclean_once(context: Context, args: Args) -> dict[str, Any]:
    """Delete now what is older than `age` seconds."""
    return {"autoclean": context.autoclean.once(args["subsystem"], args["age"])}


METHODS = {
    "listforwards": Method(
        listforwards,
        (
            Param("status", rpc.one_of(*STATUSES)),
            Param("in_channel", rpc.scid),
            Param("out_channel", rpc.scid),
            Param("index", _INDEX, since=(23, 11)),
            Param("start", rpc.u64, since=(23, 11)),
            Param("limit", rpc.u32, since=(23, 11)),
        ),
    ),
    "delforward": Method(
        delforward,
        (
            Param("in_channel", rpc.scid, required=True),
            Param("in_htlc_id", rpc.u64, required=True),
            Param("status", rpc.one_of(*STATUSES), required=True),
        ),
        since=(22, 11),
    ),
    "wait": Method(
        wait,
        (
            Param("subsystem", rpc.one_of(*_SINCE), required=True),
            Param("indexname", rpc.one_of("created", "updated", "deleted"), required=True),
            Param("nextvalue", rpc.u64, required=True),
        ),
        since=(23, 8),
    ),
    "autoclean-status": Method(autoclean_status, (Param("subsystem", rpc.text),)),
    "autoclean-once": Method(
        autoclean_once,
        (Param("subsystem", rpc.text, required=True), Param("age", rpc.u64, required=True)),
    ),
}
