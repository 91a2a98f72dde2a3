"""What the node tells about money that moved: forward_event and coin_movement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cl_revenue_ops.simnode.forward_log import FAILURES
from cl_revenue_ops.simnode.model import ForwardRow
from cl_revenue_ops.simnode.moves import ChainMove, ChannelMove

if TYPE_CHECKING:
    from cl_revenue_ops.simnode.world import World


def channel_move(world: World, move: ChannelMove) -> None:
    """Notify `coin_movement` for a channel move."""
    if not world.heard("coin_movement"):
        return
    event = _movement_head(world, "channel_mvt", move.entry(), [move.primary_tag])
    world.emit("coin_movement", event)


def _movement_head(
    world: World, kind: str, entry: dict[str, Any], tags: list[str]
) -> dict[str, Any]:
    coin = {"bitcoin": "bc", "regtest": "bcrt"}.get(world.network, "tb")
    head = {"version": 2, "coin_type": coin, "node_id": world.id, "type": kind}
    if world.era.at_least(25, 9):
        return head | {"extra_tags": []} | entry
    hidden = ("created_index", "primary_tag", "extra_tags")
    return head | {k: v for k, v in entry.items() if k not in hidden} | {"tags": tags}


def chain_move(world: World, move: ChainMove) -> None:
    """Notify `coin_movement` for a chain move."""
    if world.heard("coin_movement"):
        entry = move.entry()
        tags = [entry["primary_tag"], *entry["extra_tags"]]
        if not world.era.at_least(25, 9):
            txid, _, place = entry.pop("utxo").rpartition(":")
            entry |= {"utxo_txid": txid, "vout": int(place)}
            if "spending_txid" in entry:
                entry["txid"] = entry.pop("spending_txid")
        world.emit("coin_movement", _movement_head(world, "chain_mvt", entry, tags))


def forward_event(
    world: World,
    row: ForwardRow,
    hash_: str,
    *,
    creates: bool = False,
    updated: int = 0,
    extra: dict[str, Any] | None = None,
) -> None:
    """Notify `forward_event`; `creates` tells the event that makes the row."""
    if not world.heard("forward_event"):
        return
    event: dict[str, Any] = {}
    if world.era.at_least(23, 11):
        event = {"created_index": row.created_index} if creates else {"updated_index": updated}
    event |= {"payment_hash": hash_, "in_channel": row.in_scid, "in_htlc_id": row.in_htlc_id}
    if row.out_scid is not None:
        event["out_channel"] = row.out_scid
    event["in_msat"] = row.in_msat
    if row.out_htlc_id is not None:
        event |= {"out_msat": row.out_msat, "fee_msat": row.fee_msat}
    event["status"] = row.status
    if row.failcode is not None:
        event |= {"failcode": row.failcode, "failreason": FAILURES[row.failcode]}
    event |= {"style": "tlv", "received_time": row.received_s}
    if row.resolved_s is not None:
        event["resolved_time"] = row.resolved_s
    world.emit("forward_event", event | (extra or {}))
