"""The node port over lightningd's RPC, and the one place where this program changes the node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from cl_revenue_ops.adapters.asking import Asker, rows_of
from cl_revenue_ops.adapters.capabilities import Capabilities, Feature, not_offered
from cl_revenue_ops.adapters.parse import (
    parse_balance,
    parse_channel,
    parse_fee_set,
    parse_feerate_estimate,
    parse_forgotten,
    parse_forward,
    parse_gossip_channel,
    parse_info,
    parse_plugin,
    parse_slots,
)
from cl_revenue_ops.adapters.rpc import NodeRpc
from cl_revenue_ops.adapters.tally import Tally
from cl_revenue_ops.adapters.validate import parse_channel_id, parse_count, parse_pubkey
from cl_revenue_ops.gate import PAUSES, WriteGate
from cl_revenue_ops.ports import (
    ChannelReading,
    FeeSet,
    GossipChannel,
    Lease,
    MalformedReply,
    NodeInfo,
    NodeRefused,
    WriteRefused,
)
from messages.channels import ChannelFact
from messages.forwards import ForwardIndexes, ForwardPage

_INDEXES = ("created", "updated")
_U32_LIMIT = 1 << 32
_DUAL_OPENING = "DUALOPEND_OPEN_"
OUT_OF_SYNC = "out of sync"

_SOON_BLOCKS, _LATE_BLOCKS = 6, 24
_PERKB_PER_SAT_VB = 1000.0

# File names of plugins that call setchannel of their own accord, without ending.
_FEE_WRITERS = {"clboss": "CLBoss", "cl-hive": "cl-hive"}

_SLOTS_FILTER = {"channels": [{"channel_id": True, "htlcs": [{"direction": True}]}]}
_BALANCES_FILTER = {"channels": [{"channel_id": True, "state": True, "to_us_msat": True}]}
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
        self._asker = Asker(rpc, capabilities, left_out)
        self._gate = gate
        self._lease = lease
        self._capabilities = capabilities

    def info(self) -> NodeInfo:
        """Who the node is and how it stands; the gate is closed while it is out of sync."""
        info = parse_info(self._asker.ask("getinfo"))
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
        reply = self._asker.ask("listpeerchannels", {} if peer_id is None else {"id": peer_id})
        rows = rows_of("listpeerchannels", reply, "channels")
        born = [row for row in rows if not _unborn(row)]
        facts = tuple(self._asker.parsed("listpeerchannels", born, parse_channel))
        return ChannelReading(facts, len(born) - len(facts))

    def balances(self) -> tuple[tuple[str, str, int], ...]:
        """What `to_us_msat` says, with the rest of the reply filtered away."""
        reply = self._asker.ask_filtered("listpeerchannels", {}, _BALANCES_FILTER)
        rows = rows_of("listpeerchannels", reply, "channels")
        # Entries are not counted as left out here: `channels` reads and counts the same ones.
        return tuple(parsed for parsed in map(parse_balance, rows) if parsed is not None)

    def forgotten_channels(self) -> tuple[ChannelFact, ...]:
        """What listclosedchannels has; every release has it that the house runs on."""
        rows = rows_of(
            "listclosedchannels", self._asker.ask("listclosedchannels"), "closedchannels"
        )
        return tuple(self._asker.parsed("listclosedchannels", rows, parse_forgotten))

    def slots(self) -> Mapping[str, int]:
        """Outgoing HTLCs in flight by channel_id, with the rest of the reply filtered away."""
        reply = self._asker.ask_filtered("listpeerchannels", {}, _SLOTS_FILTER)
        rows = rows_of("listpeerchannels", reply, "channels")
        # Entries are not counted as left out here: `channels` reads and counts the same ones.
        return dict(parsed for parsed in map(parse_slots, rows) if parsed is not None)

    def channels_to(self, peer_id: str) -> tuple[GossipChannel, ...]:
        """What gossip shows of the public channels that lead into `peer_id`."""
        if parse_pubkey(peer_id) is None:
            raise ValueError(f"not a node id: {peer_id!r}")
        reply = self._asker.ask_filtered("listchannels", {"destination": peer_id}, _GOSSIP_FILTER)
        rows = rows_of("listchannels", reply, "channels")
        return tuple(self._asker.parsed("listchannels", rows, parse_gossip_channel))

    def feerate_sat_per_vb(self) -> float | None:
        """The estimate for the smallest number of blocks from 6 to 24, unsmoothed.

        Fewer blocks cost what the most impatient pay, more say nothing of today's mempool; the
        node's own smoothing would show a spike late.
        """
        reply = self._asker.ask("feerates", {"style": "perkb"})
        table = reply.get("perkb")
        if not isinstance(table, dict):
            raise MalformedReply("feerates: no object 'perkb' in the answer")
        rows = rows_of("feerates", table, "estimates") if table.get("estimates") is not None else []
        estimates = self._asker.parsed("feerates", rows, parse_feerate_estimate)
        soon = [row for row in estimates if _SOON_BLOCKS <= row[0] <= _LATE_BLOCKS]
        return min(soon)[1] / _PERKB_PER_SAT_VB if soon else None

    def fee_writers(self) -> tuple[str, ...]:
        """CLBoss and cl-hive, as far as lightningd lists them as active, by their file names."""
        reply = self._asker.ask("plugin", {"subcommand": "list"})
        listed = self._asker.parsed("plugin", rows_of("plugin", reply, "plugins"), parse_plugin)
        active = {plugin.name for plugin in listed if plugin.active}
        return tuple(shown for name, shown in _FEE_WRITERS.items() if name in active)

    def forward_indexes(self) -> ForwardIndexes:
        """The newest created and updated index; both None where the node cannot page."""
        features = (Feature.FORWARD_PAGES, Feature.FORWARD_WAIT)
        if not all(self._capabilities.worth_trying(feature) for feature in features):
            return ForwardIndexes(None, None)
        try:
            created, updated = (self._asker.newest_index("forwards", name) for name in _INDEXES)
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

            reply = self._asker.ask("setchannel", params, before_send=last_look)
        if [parse_fee_set(entry) for entry in rows_of("setchannel", reply, "channels")] != [wanted]:
            raise MalformedReply("setchannel: the node does not confirm the fee that was asked for")
        return wanted

    def _check_gate(self, though_paused: bool) -> None:
        reason = self._gate.closed_because(PAUSES if though_paused else ())
        if reason is not None:
            raise WriteRefused(reason)

    def _forward_page(self, index: str, start: int, limit: int) -> ForwardPage | None:
        """None when the node turns out to be unable to page."""
        try:
            reply = self._asker.ask(
                "listforwards", {"index": index, "start": start, "limit": limit}
            )
        except NodeRefused as refusal:
            if not not_offered(refusal.code):
                raise
            self._capabilities.missing(Feature.FORWARD_PAGES)
            return None
        rows = rows_of("listforwards", reply, "forwards")
        if not _has_indexes(rows):
            self._capabilities.missing(Feature.FORWARD_PAGES)
            return None
        self._capabilities.found(Feature.FORWARD_PAGES)
        next_start = 1 + max((_index(row, f"{index}_index") for row in rows), default=start - 1)
        last = len(rows) < limit
        if next_start <= start and not last:
            raise MalformedReply(f"listforwards: the {index} index does not grow beyond {start}")
        forwards = self._asker.parsed("listforwards", rows, parse_forward)
        return ForwardPage(tuple(forwards), max(start, next_start), last, len(rows) - len(forwards))

    def _all_forwards(self, start: int) -> ForwardPage:
        rows = rows_of("listforwards", self._asker.ask("listforwards"), "forwards")
        forwards = self._asker.parsed("listforwards", rows, parse_forward)
        return ForwardPage(tuple(forwards), start, True, len(rows) - len(forwards))


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
