"""The node port over lightningd's RPC, and the one place where this program changes the node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar

from cl_revenue_ops.adapters.capabilities import Capabilities, Feature, not_offered
from cl_revenue_ops.adapters.parse import (
    parse_channel,
    parse_fee_set,
    parse_feerate_estimate,
    parse_forward,
    parse_gossip_channel,
    parse_info,
    parse_own_move,
    parse_plugin,
    parse_slots,
)
from cl_revenue_ops.adapters.rpc import NodeRpc
from cl_revenue_ops.adapters.tally import Tally
from cl_revenue_ops.adapters.validate import parse_channel_id, parse_count, parse_pubkey, parse_time
from cl_revenue_ops.gate import PAUSES, WriteGate
from cl_revenue_ops.ports import (
    ChannelReading,
    CircuitOpen,
    FeeSet,
    GossipChannel,
    Lease,
    MalformedReply,
    NodeInfo,
    NodeRefused,
    TimedOut,
    Unavailable,
    WriteRefused,
)
from messages.forwards import ForwardIndexes, ForwardPage
from messages.moves import OwnMovePage

_INDEXES = ("created", "updated")
_U32_LIMIT = 1 << 32
_BAD_REQUEST = -32600
_DUAL_OPENING = "DUALOPEND_OPEN_"
# How lightningd tags what an own payment or one to us moved; forwards are "routed".
_OWN = "invoice"
OUT_OF_SYNC = "out of sync"

_SOON_BLOCKS, _LATE_BLOCKS = 6, 24
_PERKB_PER_SAT_VB = 1000.0

# File names of plugins that call setchannel of their own accord, without ending.
_FEE_WRITERS = {"clboss": "CLBoss", "cl-hive": "cl-hive"}

_SLOTS_FILTER = {"channels": [{"channel_id": True, "htlcs": [{"direction": True}]}]}
_GOSSIP_FILTER = {
    "channels": [
        {
            "source": True,
            "destination": True,
            "short_channel_id": True,
            "amount_msat": True,
            "active": True,
            "base_fee_millisatoshi": True,
            "fee_per_millionth": True,
        }
    ]
}

_Row = TypeVar("_Row")


class LightningNode:
    """lightningd as one incarnation may use it; `ports.Node` states deadlines and errors.

    `capabilities` and the tally of rows left out (by method) are shared by the whole process.
    """

    def __init__(
        self,
        rpc: NodeRpc,
        gate: WriteGate,
        lease: Lease,
        capabilities: Capabilities,
        left_out: Tally,
    ) -> None:
        self._rpc = rpc
        self._gate = gate
        self._lease = lease
        self._capabilities = capabilities
        self._left_out = left_out

    def info(self) -> NodeInfo:
        """Who the node is and how it stands; the gate is closed while it is out of sync."""
        info = parse_info(self._ask("getinfo"))
        if info is None:
            raise MalformedReply("getinfo: a field is missing or wrong")
        if info.sync_warning is None:
            self._gate.open(OUT_OF_SYNC)
        else:
            self._gate.close(OUT_OF_SYNC, info.sync_warning)
        return info

    def channels(self, peer_id: str | None = None) -> ChannelReading:
        """Channels in any state; entries that are still being opened are not channels yet.

        Any other entry without a channel_id is malformed.
        """
        reply = self._ask("listpeerchannels", {} if peer_id is None else {"id": peer_id})
        rows = _rows("listpeerchannels", reply, "channels")
        born = [row for row in rows if not _unborn(row)]
        facts = tuple(self._parsed("listpeerchannels", born, parse_channel))
        return ChannelReading(facts, len(born) - len(facts))

    def slots(self) -> Mapping[str, int]:
        """Outgoing HTLCs in flight by channel_id, with the rest of the reply filtered away."""
        reply = self._ask_filtered("listpeerchannels", {}, _SLOTS_FILTER)
        rows = _rows("listpeerchannels", reply, "channels")
        # Entries are not counted as left out here: `channels` reads and counts the same ones.
        return dict(parsed for parsed in map(parse_slots, rows) if parsed is not None)

    def channels_to(self, peer_id: str) -> tuple[GossipChannel, ...]:
        """What gossip shows of the public channels that lead into `peer_id`."""
        if parse_pubkey(peer_id) is None:
            raise ValueError(f"not a node id: {peer_id!r}")
        reply = self._ask_filtered("listchannels", {"destination": peer_id}, _GOSSIP_FILTER)
        rows = _rows("listchannels", reply, "channels")
        return tuple(self._parsed("listchannels", rows, parse_gossip_channel))

    def feerate_sat_per_vb(self) -> float | None:
        """The estimate for the smallest number of blocks from 6 to 24, unsmoothed.

        Fewer blocks cost what the most impatient pay, more say nothing of today's mempool; the
        node's own smoothing would show a spike late.
        """
        reply = self._ask("feerates", {"style": "perkb"})
        table = reply.get("perkb")
        if not isinstance(table, dict):
            raise MalformedReply("feerates: no object 'perkb' in the answer")
        rows = _rows("feerates", table, "estimates") if table.get("estimates") is not None else []
        estimates = self._parsed("feerates", rows, parse_feerate_estimate)
        soon = [row for row in estimates if _SOON_BLOCKS <= row[0] <= _LATE_BLOCKS]
        return min(soon)[1] / _PERKB_PER_SAT_VB if soon else None

    def fee_writers(self) -> tuple[str, ...]:
        """CLBoss and cl-hive, as far as lightningd lists them as active, by their file names."""
        reply = self._ask("plugin", {"subcommand": "list"})
        listed = self._parsed("plugin", _rows("plugin", reply, "plugins"), parse_plugin)
        active = {plugin.name for plugin in listed if plugin.active}
        return tuple(shown for name, shown in _FEE_WRITERS.items() if name in active)

    def forward_indexes(self) -> ForwardIndexes:
        """The newest created and updated index; both None where the node cannot page."""
        features = (Feature.FORWARD_PAGES, Feature.FORWARD_WAIT)
        if not all(self._capabilities.worth_trying(feature) for feature in features):
            return ForwardIndexes(None, None)
        try:
            created, updated = (self._newest_index("forwards", name) for name in _INDEXES)
        except NodeRefused as refusal:
            if not not_offered(refusal.code):
                raise
            self._capabilities.missing(Feature.FORWARD_WAIT)
            return ForwardIndexes(None, None)
        self._capabilities.found(Feature.FORWARD_WAIT)
        return ForwardIndexes(created, updated)

    def forwards(self, index: str, start: int, limit: int) -> ForwardPage:
        """At most `limit` forwards from `start` on by `index` ('created' or 'updated').

        On a node without paging it is the whole list, whatever was asked for.
        """
        if index not in _INDEXES or start < 0 or not 0 < limit < _U32_LIMIT:
            raise ValueError(f"no such page of forwards: {index} {start} {limit}")
        if self._capabilities.worth_trying(Feature.FORWARD_PAGES):
            page = self._forward_page(index, start, limit)
            if page is not None:
                return page
        return self._all_forwards(start)

    def own_moves(self, before: int | None, limit: int) -> OwnMovePage | None:
        """The rows tagged `invoice` of one page of listchannelmoves; None where it is missing."""
        if not self._capabilities.worth_trying(Feature.CHANNEL_MOVES):
            return None
        try:
            if before is None:
                before = 1 + self._newest_index("channelmoves", "created")
            page = self._move_page(max(1, before - limit), before)
        except NodeRefused as refusal:
            if not not_offered(refusal.code):
                raise
            self._capabilities.missing(Feature.CHANNEL_MOVES)
            return None
        self._capabilities.found(Feature.CHANNEL_MOVES)
        return page

    def _move_page(self, start: int, before: int) -> OwnMovePage:
        if before <= start:
            return OwnMovePage((), start, None, None)
        params = {"index": "created", "start": start, "limit": before - start}
        rows = _rows("listchannelmoves", self._ask("listchannelmoves", params), "channelmoves")
        own = [row for row in rows if not isinstance(row, dict) or row.get("primary_tag") == _OWN]
        moves = self._parsed("listchannelmoves", own, parse_own_move)
        stamps = (parse_time(row.get("timestamp")) for row in rows if isinstance(row, dict))
        times = [at_s for at_s in stamps if at_s is not None]
        oldest_s, newest_s = (times[0], max(times)) if times else (None, None)
        return OwnMovePage(tuple(moves), start, oldest_s, newest_s, len(own) - len(moves))

    def set_fee(
        self, channel_id: str, base_msat: int, ppm: int, *, though_paused: bool = False
    ) -> FeeSet:
        """Write the fee of exactly one channel; the gate is read just before the bytes go out.

        From then until the answer the generation is held fixed. After TimedOut or MalformedReply
        the fee may or may not stand: read the channel again.
        """
        if parse_channel_id(channel_id) is None:
            # Anything else that setchannel accepts may mean several channels, or all of them.
            raise ValueError(f"not a channel_id: {channel_id!r}")
        if not (0 <= base_msat < _U32_LIMIT and 0 <= ppm < _U32_LIMIT):
            raise ValueError(f"not a fee: {base_msat} msat and {ppm} ppm")
        wanted = FeeSet(channel_id, base_msat, ppm)
        params = {"id": channel_id, "feebase": base_msat, "feeppm": ppm}
        self._check_gate(though_paused)
        with ExitStack() as held:

            def last_look() -> None:
                # Waiting for the connection may have taken long enough for a pause or a successor.
                held.enter_context(self._lease.effect())
                self._check_gate(though_paused)

            reply = self._ask("setchannel", params, before_send=last_look)
        if [parse_fee_set(entry) for entry in _rows("setchannel", reply, "channels")] != [wanted]:
            raise MalformedReply("setchannel: the node does not confirm the fee that was asked for")
        return wanted

    def _check_gate(self, though_paused: bool) -> None:
        reason = self._gate.closed_because(PAUSES if though_paused else ())
        if reason is not None:
            raise WriteRefused(reason)

    def _newest_index(self, subsystem: str, name: str) -> int:
        params = {"subsystem": subsystem, "indexname": name, "nextvalue": 0}
        newest = parse_count(self._ask("wait", params).get(name))
        if newest is None:
            raise MalformedReply(f"wait: no '{name}' index in the answer")
        return newest

    def _forward_page(self, index: str, start: int, limit: int) -> ForwardPage | None:
        """None when the node turns out to be unable to page."""
        try:
            reply = self._ask("listforwards", {"index": index, "start": start, "limit": limit})
        except NodeRefused as refusal:
            if not not_offered(refusal.code):
                raise
            self._capabilities.missing(Feature.FORWARD_PAGES)
            return None
        rows = _rows("listforwards", reply, "forwards")
        if not _has_indexes(rows):
            self._capabilities.missing(Feature.FORWARD_PAGES)
            return None
        self._capabilities.found(Feature.FORWARD_PAGES)
        next_start = 1 + max((_index(row, f"{index}_index") for row in rows), default=start - 1)
        last = len(rows) < limit
        if next_start <= start and not last:
            raise MalformedReply(f"listforwards: the {index} index does not grow beyond {start}")
        forwards = self._parsed("listforwards", rows, parse_forward)
        return ForwardPage(tuple(forwards), max(start, next_start), last, len(rows) - len(forwards))

    def _all_forwards(self, start: int) -> ForwardPage:
        rows = _rows("listforwards", self._ask("listforwards"), "forwards")
        forwards = self._parsed("listforwards", rows, parse_forward)
        return ForwardPage(tuple(forwards), start, True, len(rows) - len(forwards))

    def _parsed(
        self, method: str, rows: Sequence[object], parser: Callable[[object], _Row | None]
    ) -> list[_Row]:
        parsed = [value for value in map(parser, rows) if value is not None]
        self._left_out.add(method, len(rows) - len(parsed))
        return parsed

    def _ask_filtered(
        self, method: str, params: Mapping[str, object], reply_filter: Mapping[str, object]
    ) -> dict[str, Any]:
        """Ask for a part of the reply; a node that ignores or refuses the filter sends it all."""
        if not self._capabilities.worth_trying(Feature.REPLY_FILTER):
            return self._ask(method, params)
        try:
            reply = self._ask(method, params, reply_filter=reply_filter)
        except NodeRefused as refusal:
            if not (not_offered(refusal.code) or refusal.code == _BAD_REQUEST):
                raise
            reply = self._ask(method, params)
            self._capabilities.missing(Feature.REPLY_FILTER)
        else:
            self._capabilities.found(Feature.REPLY_FILTER)
        return reply

    def _ask(
        self,
        method: str,
        params: Mapping[str, object] | None = None,
        *,
        reply_filter: Mapping[str, object] | None = None,
        before_send: Callable[[], None] | None = None,
    ) -> dict[str, Any]:
        try:
            return self._rpc.call(
                method, params, reply_filter=reply_filter, before_send=before_send
            )
        except (CircuitOpen, TimedOut):
            raise
        except Unavailable:
            # Nobody listens on the socket: what comes back may be another version.
            self._capabilities.forget()
            raise


def _rows(method: str, reply: Mapping[str, object], key: str) -> list[object]:
    rows = reply.get(key)
    if not isinstance(rows, list):
        raise MalformedReply(f"{method}: no list '{key}' in the answer")
    return rows


def _unborn(row: object) -> bool:
    """Whether this entry of listpeerchannels is an opening that has no channel_id yet."""
    if not isinstance(row, dict) or "channel_id" in row:
        return False
    state = row.get("state")
    return isinstance(state, str) and (state == "OPENINGD" or state.startswith(_DUAL_OPENING))


def _index(row: object, field: str) -> int:
    value = parse_count(row.get(field)) if isinstance(row, dict) else None
    return -1 if value is None else value


def _has_indexes(rows: Sequence[object]) -> bool:
    """Whether these rows of listforwards are numbered; rows that are no objects say nothing."""
    readable = [row for row in rows if isinstance(row, dict)]
    return not readable or any("created_index" in row for row in readable)
