"""Rows and replies of lightningd turned into the house's own types, in old and new shapes.

Every parser takes any JSON value and never raises: what cannot be trusted is None. Absent and
null mean that the node does not say; a field that is there must be right; others are ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from cl_revenue_ops.adapters.fields import (
    WrongField,
    as_bool,
    as_dict,
    as_list,
    as_text,
    field,
    optional,
    said,
)
from cl_revenue_ops.adapters.validate import (
    COUNT_LIMIT,
    ascii_line,
    parse_channel_id,
    parse_count,
    parse_msat,
    parse_msat_bound,
    parse_pubkey,
    parse_scid,
    parse_time,
    parse_word,
)
from cl_revenue_ops.ports import FeeSet, GossipChannel, NodeInfo
from messages.channels import FORGOTTEN, ChannelFact, Policy
from messages.forwards import SETTLED, STATUSES, Forward

SLOTS_LIMIT = 483
"""The most HTLCs that one side of a channel may offer (BOLT 2)."""

_U32_LIMIT = 1 << 32
_SYNC_WARNINGS = ("warning_bitcoind_sync", "warning_lightningd_sync")


class ListedPlugin(NamedTuple):
    """A plugin as lightningd lists it; `name` is that of its file, without folder and ending."""

    name: str
    active: bool


def parse_forward(row: object) -> Forward | None:
    """One row of listforwards, or the body of a forward_event; None when it is unusable.

    Rows without `in_htlc_id` (forwards older than v22.11 over channels closed since) cannot be
    told apart and are unusable. `fee_msat` must be `in_msat - out_msat`, and a settled row must
    name its outgoing channel and amount, because it becomes revenue.
    """
    if type(row) is not dict:
        return None
    try:
        return _forward(row.get)
    except WrongField:
        return None


def _forward(get: Callable[[str], Any]) -> Forward:
    # Written for speed, because backlogs are read by the hundred thousand: a current node sends
    # integers, and those are checked without a call.
    in_scid, in_htlc_id, in_msat = parse_scid(get("in_channel")), get("in_htlc_id"), get("in_msat")
    out_scid, out_msat, fee_msat = get("out_channel"), get("out_msat"), get("fee_msat")
    status, received_at_s = get("status"), parse_time(get("received_time"))
    if type(in_msat) is not int or not 0 <= in_msat < COUNT_LIMIT:
        in_msat = parse_msat(in_msat)
    if in_scid is None or in_msat is None or received_at_s is None or status not in STATUSES:
        raise WrongField
    if type(in_htlc_id) is not int or not 0 <= in_htlc_id < COUNT_LIMIT:
        raise WrongField
    if out_scid is not None:
        out_scid = parse_scid(out_scid)
        if out_scid is None:
            raise WrongField
    if out_msat is not None or fee_msat is not None:
        out_msat, fee_msat = parse_msat(out_msat), parse_msat(fee_msat)
        if out_msat is None or fee_msat is None or out_msat + fee_msat != in_msat:
            raise WrongField
    if status == SETTLED and (out_scid is None or out_msat is None):
        raise WrongField
    return Forward(
        in_scid,
        in_htlc_id,
        out_scid,
        in_msat,
        out_msat,
        fee_msat,
        status,
        received_at_s,
        said(get("resolved_time"), parse_time),
        said(get("failcode"), parse_count),
        said(get("created_index"), parse_count),
        said(get("updated_index"), parse_count),
    )


def parse_channel(row: object) -> ChannelFact | None:
    """One entry of listpeerchannels; None when it is unusable, or too young for a channel_id.

    Before v24.02 the node does not say whether a channel is re-established: then connected
    counts. `slots_out` is the bound of the protocol (483) or our own limit on incoming HTLCs,
    whichever is lower, because the peer's limit on what we may offer is not exposed.
    """
    if not isinstance(row, dict):
        return None
    try:
        return _channel(row)
    except WrongField:
        return None


def _channel(row: dict[str, Any]) -> ChannelFact:
    alias = optional(row, "alias", as_dict) or {}
    updates = optional(row, "updates", as_dict) or {}
    htlcs = optional(row, "htlcs", as_list) or []
    connected = field(row, "peer_connected", as_bool, False)
    slots = min(SLOTS_LIMIT, field(row, "max_accepted_htlcs", parse_count, SLOTS_LIMIT))
    return ChannelFact(
        channel_id=field(row, "channel_id", parse_channel_id),
        peer_id=field(row, "peer_id", parse_pubkey),
        state=field(row, "state", parse_word),
        connected=connected,
        reestablished=field(row, "reestablished", as_bool, connected),
        scid=optional(row, "short_channel_id", parse_scid),
        alias_scid=optional(alias, "local", parse_scid),
        opener=optional(row, "opener", _as_side),
        private=field(row, "private", as_bool, False),
        capacity_msat=field(row, "total_msat", parse_msat, 0),
        local_msat=field(row, "to_us_msat", parse_msat, 0),
        spendable_msat=field(row, "spendable_msat", parse_msat, 0),
        receivable_msat=field(row, "receivable_msat", parse_msat, 0),
        our_reserve_msat=field(row, "our_reserve_msat", parse_msat, 0),
        htlcs_in=_count_htlcs(htlcs, "in"),
        htlcs_out=_count_htlcs(htlcs, "out"),
        slots_in=slots,
        slots_out=slots,
        fee_base_msat=optional(row, "fee_base_msat", parse_msat),
        fee_ppm=optional(row, "fee_proportional_millionths", parse_count),
        htlc_min_msat=field(row, "minimum_htlc_out_msat", parse_msat_bound, 0),
        htlc_max_msat=field(row, "maximum_htlc_out_msat", parse_msat_bound, 0),
        remote=_policy(updates.get("remote")),
        last_stable_connection_s=optional(row, "last_stable_connection", parse_count),
        out_fulfilled=field(row, "out_payments_fulfilled", parse_count, 0),
        lost_state=field(row, "lost_state", as_bool, False),
    )


def parse_forgotten(row: object) -> ChannelFact | None:
    """One entry of listclosedchannels; one without a peer is of a peer that was forgotten too."""
    if not isinstance(row, dict):
        return None
    try:
        alias = optional(row, "alias", as_dict) or {}
        return ChannelFact(
            channel_id=field(row, "channel_id", parse_channel_id),
            peer_id=optional(row, "peer_id", parse_pubkey) or "",
            state=FORGOTTEN,
            connected=False,
            reestablished=False,
            scid=optional(row, "short_channel_id", parse_scid),
            alias_scid=optional(alias, "local", parse_scid),
            opener=optional(row, "opener", _as_side),
            private=field(row, "private", as_bool, False),
            capacity_msat=field(row, "total_msat", parse_msat, 0),
        )
    except WrongField:
        return None


def parse_balance(row: object) -> tuple[str, str, int] | None:
    """(channel_id, state, our balance in msat) of one entry of listpeerchannels."""
    if not isinstance(row, dict):
        return None
    channel_id, state = parse_channel_id(row.get("channel_id")), parse_word(row.get("state"))
    balance_msat = parse_msat(row.get("to_us_msat"))
    if channel_id is None or state is None or balance_msat is None:
        return None
    return channel_id, state, balance_msat


def parse_slots(row: object) -> tuple[str, int] | None:
    """(channel_id, outgoing HTLCs in flight) of one entry of listpeerchannels."""
    if not isinstance(row, dict):
        return None
    try:
        channel_id = field(row, "channel_id", parse_channel_id)
        return channel_id, _count_htlcs(optional(row, "htlcs", as_list) or [], "out")
    except WrongField:
        return None


def parse_info(reply: object) -> NodeInfo | None:
    """The result of getinfo; the presence of a sync warning counts, whatever it says."""
    if not isinstance(reply, dict):
        return None
    warnings = [f"{name}: {reply[name]}" for name in _SYNC_WARNINGS if name in reply]
    try:
        return NodeInfo(
            node_id=field(reply, "id", parse_pubkey),
            network=field(reply, "network", parse_word),
            version=field(reply, "version", parse_word),
            blockheight=field(reply, "blockheight", parse_count),
            sync_warning=ascii_line("; ".join(warnings)) if warnings else None,
            fees_collected_msat=field(reply, "fees_collected_msat", parse_msat),
        )
    except WrongField:
        return None


def parse_feerate_estimate(row: object) -> tuple[int, int] | None:
    """(blocks, feerate) of one entry of the estimates of feerates, in the style asked for."""
    if not isinstance(row, dict):
        return None
    try:
        blocks, feerate = (field(row, name, parse_count) for name in ("blockcount", "feerate"))
    except WrongField:
        return None
    return (blocks, feerate) if blocks and 0 < feerate < _U32_LIMIT else None


def parse_plugin(row: object) -> ListedPlugin | None:
    """One entry of `plugin list`; one without `active` (lightningd always says) is unusable."""
    if not isinstance(row, dict):
        return None
    try:
        path = field(row, "name", as_text)
        return ListedPlugin(file_name(path), field(row, "active", as_bool))
    except WrongField:
        return None


def file_name(path: str) -> str:
    """A plugin's name by its file, without folder and ending."""
    return PurePosixPath(path).name.partition(".")[0]


def parse_gossip_channel(row: object) -> GossipChannel | None:
    """One entry of listchannels."""
    if not isinstance(row, dict):
        return None
    try:
        return GossipChannel(
            source=field(row, "source", parse_pubkey),
            destination=field(row, "destination", parse_pubkey),
            scid=field(row, "short_channel_id", parse_scid),
            capacity_msat=field(row, "amount_msat", parse_msat),
            active=field(row, "active", as_bool),
            base_msat=field(row, "base_fee_millisatoshi", parse_count),
            fee_ppm=field(row, "fee_per_millionth", parse_count),
        )
    except WrongField:
        return None


def parse_fee_set(entry: object) -> FeeSet | None:
    """One entry of the result of setchannel: what the node says that now holds."""
    if not isinstance(entry, dict):
        return None
    try:
        return FeeSet(
            channel_id=field(entry, "channel_id", parse_channel_id),
            base_msat=field(entry, "fee_base_msat", parse_msat),
            fee_ppm=field(entry, "fee_proportional_millionths", parse_count),
        )
    except WrongField:
        return None


def _policy(raw: object) -> Policy | None:
    # The peer's own terms, relayed by the node: nothing that we own is lost with them, so wrong
    # ones do not cost us the whole channel.
    if not isinstance(raw, dict):
        return None
    try:
        return Policy(
            base_msat=field(raw, "fee_base_msat", parse_msat),
            fee_ppm=field(raw, "fee_proportional_millionths", parse_count),
            htlc_min_msat=field(raw, "htlc_minimum_msat", parse_msat_bound),
            htlc_max_msat=field(raw, "htlc_maximum_msat", parse_msat_bound),
        )
    except WrongField:
        return None


def _count_htlcs(htlcs: list[Any], direction: str) -> int:
    return sum(isinstance(h, dict) and h.get("direction") == direction for h in htlcs)


def _as_side(value: object) -> str | None:
    return value if value in ("local", "remote") and isinstance(value, str) else None
