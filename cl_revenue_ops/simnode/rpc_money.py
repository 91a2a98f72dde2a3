"""RPC: getinfo, listfunds, feerates, listsendpays, listchannelmoves, listchainmoves."""

from __future__ import annotations

from typing import Any

from cl_revenue_ops.simnode import rpc
from cl_revenue_ops.simnode.errors import bad_params
from cl_revenue_ops.simnode.model import USABLE
from cl_revenue_ops.simnode.rpc import Args, Context, Method, Param
from cl_revenue_ops.simnode.sendpays import visible
from cl_revenue_ops.simnode.world import World

_PENDING = ("OPENINGD", "CHANNELD_AWAITING_LOCKIN", "DUALOPEND_AWAITING_LOCKIN")
_PAGING = (
    Param("index", rpc.one_of("created"), since=(25, 9)),
    Param("start", rpc.u64),
    Param("limit", rpc.u32),
)
_OPENING, _MUTUAL, _ANCHOR, _PLAIN, _TIMEOUT, _SUCCESS = 702, 673, 1112, 598, 666, 706


def getinfo(context: Context, args: Args) -> dict[str, Any]:
    """Who we are and how the node stands."""
    del args
    world = context.world
    with world.lock:
        states = [channel.state for channel in world.channels.values()]
        pending = sum(state in _PENDING for state in states)
        active = sum(state in USABLE for state in states)
        owners = {channel.peer_id for channel in world.channels.values()}
        shown: dict[str, Any] = {
            "id": world.id,
            "alias": world.alias,
            "color": world.id[2:8],
            "num_peers": len(owners | {p.id for p in world.peers.values() if p.connected}),
            "num_pending_channels": pending,
            "num_active_channels": active,
            "num_inactive_channels": len(states) - pending - active,
            "address": [],
            "binding": [{"type": "ipv4", "address": "127.0.0.1", "port": 9735}],
            "version": world.era.version,
            "blockheight": world.height,
            "network": world.network,
            "fees_collected_msat": world.forwards.fees_collected_msat,
            "lightning-dir": str(context.network_dir),
            "our_features": {"init": "08a0", "node": "88a0", "channel": "", "invoice": "02000000"},
        }
        if not world.synced:
            shown["warning_lightningd_sync"] = "Still loading latest blocks from bitcoind."
        return shown


def listfunds(context: Context, args: Args) -> dict[str, Any]:
    """Wallet outputs and the balances of channels."""
    world = context.world
    with world.lock:
        outputs = [
            {
                "txid": output.txid,
                "output": output.index,
                "amount_msat": output.amount_msat,
                "scriptpubkey": "0014" + output.txid[:40],
                "address": output.address,
                "status": _status(output.spent, output.height),
                "reserved": output.reserved,
                **({} if output.height is None else {"blockheight": output.height}),
            }
            for output in world.outputs
            if args.get("spent", False) or not output.spent
        ]
        channels = [
            {
                "peer_id": channel.peer_id,
                "connected": world.peers[channel.peer_id].connected,
                "state": channel.state,
                "channel_id": channel.channel_id,
                **({} if channel.scid is None else {"short_channel_id": channel.scid}),
                "our_amount_msat": channel.to_us_msat,
                "amount_msat": channel.total_msat,
                "funding_txid": channel.funding_txid,
                "funding_output": channel.outnum,
            }
            for channel in world.channels.values()
        ]
    return {"outputs": outputs, "channels": channels}


def _status(spent: bool, height: int | None) -> str:
    if spent:
        return "spent"
    return "unconfirmed" if height is None else "confirmed"


def feerates(context: Context, args: Args) -> dict[str, Any]:
    """Fee rates in the wanted style and what actions cost in satoshi."""
    world = context.world
    with world.lock:
        scale = 4 if args["style"] == "perkb" else 1
        table = dict(world.feerates_perkw)
        floor = world.floor_perkw * scale
    if not table:
        bounds = {"min_acceptable": floor, "max_acceptable": 2**32 - 1, "floor": floor}
        warning = "Some fee estimates unavailable: bitcoind startup?"
        return {args["style"]: bounds | {"estimates": []}, "warning_missing_feerates": warning}
    shown = _rates(world, {blocks: perkw * scale for blocks, perkw in table.items()}, floor)
    costs = {
        "opening_channel_satoshis": table[12] * _OPENING // 1000,
        "mutual_close_satoshis": table[100] * _MUTUAL // 1000,
        "unilateral_close_satoshis": table[6] * _ANCHOR // 1000,
        "unilateral_close_nonanchor_satoshis": table[6] * _PLAIN // 1000,
        "htlc_timeout_satoshis": table[6] * _TIMEOUT // 1000,
        "htlc_success_satoshis": table[6] * _SUCCESS // 1000,
    }
    if not world.era.at_least(23, 8):
        del costs["unilateral_close_nonanchor_satoshis"]
    return {args["style"]: shown, "onchain_fee_estimates": costs}


def _rates(world: World, table: dict[int, int], floor: int) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "opening": table[12],
        "mutual_close": table[100],
        "unilateral_close": table[6],
        "penalty": table[12],
        "min_acceptable": max(floor, table[100] // 2),
        "max_acceptable": table[2] * 10,
        "floor": floor,
        "estimates": [
            {"blockcount": blocks, "feerate": rate, "smoothed_feerate": rate}
            for blocks, rate in sorted(table.items())
        ],
    }
    if world.era.at_least(23, 8):
        shown["unilateral_anchor_close"] = table[100]
    if world.era.at_least(26, 4):
        shown["splice"] = table[12]
    return shown


def listsendpays(context: Context, args: Args) -> dict[str, Any]:
    """The node's own outgoing payments."""
    if ("start" in args or "limit" in args) and "index" not in args:
        raise bad_params("start and limit need index")
    if "bolt11" in args:
        raise bad_params("bolt11: this node pays no invoices")
    world = context.world
    with world.lock:
        rows = list(world.sendpays.rows)
        if args.get("index") == "updated":
            rows = sorted(
                (row for row in rows if "updated_index" in row),
                key=lambda row: int(row["updated_index"]),
            )
        key = f"{args.get('index', 'created')}_index"
        rows = [row for row in rows if row[key] >= args.get("start", 0)]
        for name in ("payment_hash", "status"):
            if name in args:
                rows = [row for row in rows if row[name] == args[name]]
        return {"payments": [visible(world.era, row) for row in rows[: args.get("limit")]]}


def _moves(rows: list[Any], args: Args) -> list[dict[str, Any]]:
    if ("start" in args or "limit" in args) and "index" not in args:
        raise bad_params("start and limit need index")
    first = max(args.get("start", 1), 1) - 1
    limit = args.get("limit")
    page = rows[first:] if limit is None else rows[first : first + limit]
    return [row.entry() for row in page]


def listchannelmoves(context: Context, args: Args) -> dict[str, Any]:
    """Movements in channels, append-only."""
    with context.world.lock:
        return {"channelmoves": _moves(context.world.books.channel_moves, args)}


def listchainmoves(context: Context, args: Args) -> dict[str, Any]:
    """Movements on chain, append-only."""
    with context.world.lock:
        return {"chainmoves": _moves(context.world.books.chain_moves, args)}


METHODS = {
    "getinfo": Method(getinfo),
    "listfunds": Method(listfunds, (Param("spent", rpc.boolean),)),
    "feerates": Method(feerates, (Param("style", rpc.one_of("perkb", "perkw"), required=True),)),
    "listsendpays": Method(
        listsendpays,
        (
            Param("bolt11", rpc.text),
            Param("payment_hash", rpc.hash256),
            Param("status", rpc.one_of("pending", "complete", "failed")),
            Param("index", rpc.one_of("created", "updated"), since=(23, 11)),
            Param("start", rpc.u64, since=(23, 11)),
            Param("limit", rpc.u32, since=(23, 11)),
        ),
    ),
    "listchannelmoves": Method(listchannelmoves, _PAGING, since=(25, 9)),
    "listchainmoves": Method(listchainmoves, _PAGING, since=(25, 9)),
}
