"""The port of reports over lightningd's RPC: the chain, forgotten channels, names of nodes."""

from __future__ import annotations

from typing import Any

from cl_revenue_ops.adapters.parse import parse_info
from cl_revenue_ops.adapters.rpc import NodeRpc
from cl_revenue_ops.adapters.tally import Tally
from cl_revenue_ops.adapters.validate import (
    ascii_line,
    parse_channel_id,
    parse_count,
    parse_msat,
    parse_pubkey,
)
from cl_revenue_ops.ports import MalformedReply
from messages.reports import ChainView, ClosedChannel

_PERKB_PER_SAT_VB = 1000.0
_SIDES = ("local", "remote")
_CAUSES = ("unknown", "local", "user", "remote", "protocol", "onchain")
_MOST_ALIAS_CHARS = 32


class LightningReports:
    """Implements ports.ReportNode. Rows that cannot be read are left out and counted."""

    def __init__(self, rpc: NodeRpc, left_out: Tally) -> None:
        self._rpc = rpc
        self._left_out = left_out

    def chain_view(self, at_s: float) -> ChainView:
        """See ports.ReportNode; asks getinfo and feerates."""
        info = parse_info(self._rpc.call("getinfo"))
        if info is None:
            raise MalformedReply("getinfo: a field is missing or wrong")
        reply = self._rpc.call("feerates", {"style": "perkb"})
        opening = _counted(reply.get("perkb"), "opening")
        costs = reply.get("onchain_fee_estimates")
        return ChainView(
            at_s,
            info.blockheight,
            None if opening is None else opening / _PERKB_PER_SAT_VB,
            _counted(costs, "mutual_close_satoshis"),
            _counted(costs, "unilateral_close_satoshis"),
        )

    def closed_channels(self) -> tuple[ClosedChannel, ...]:
        """See ports.ReportNode; asks listclosedchannels."""
        rows = self._rpc.call("listclosedchannels").get("closedchannels")
        if not isinstance(rows, list):
            raise MalformedReply("listclosedchannels: no list 'closedchannels' in the answer")
        found = [row for row in map(parse_closed_channel, rows) if row is not None]
        self._left_out.add("listclosedchannels", len(rows) - len(found))
        return tuple(found)

    def alias(self, peer_id: str) -> str | None:
        """See ports.ReportNode; asks listnodes of this one node."""
        if parse_pubkey(peer_id) is None:
            raise ValueError(f"not a node id: {peer_id!r}")
        rows = self._rpc.call("listnodes", {"id": peer_id}).get("nodes")
        if not isinstance(rows, list):
            raise MalformedReply("listnodes: no list 'nodes' in the answer")
        named = rows[0].get("alias") if rows and isinstance(rows[0], dict) else None
        return plain_alias(named) if isinstance(named, str) else None


def parse_closed_channel(row: object) -> ClosedChannel | None:
    """One entry of listclosedchannels; None where it has no channel_id."""
    if not isinstance(row, dict):
        return None
    channel_id = parse_channel_id(row.get("channel_id"))
    if channel_id is None:
        return None
    return ClosedChannel(
        channel_id,
        _one_of(row.get("opener"), _SIDES),
        _one_of(row.get("closer"), _SIDES),
        _one_of(row.get("close_cause"), _CAUSES),
        parse_msat(row.get("total_msat")) or 0,
    )


def plain_alias(alias: str) -> str | None:
    """An alias as one short line of ASCII: anybody can announce anything under it."""
    letters = "".join(c if c.isascii() and c.isprintable() else "?" for c in alias)
    line = ascii_line(" ".join(letters.split()), _MOST_ALIAS_CHARS)
    return line if line.strip("? ") else None


def _one_of(value: object, words: tuple[str, ...]) -> str | None:
    return value if isinstance(value, str) and value in words else None


def _counted(table: Any, name: str) -> int | None:
    """A number above zero of a table that may not be there."""
    value = parse_count(table.get(name)) if isinstance(table, dict) else None
    return value or None
