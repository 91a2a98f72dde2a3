"""Who a channel is over time: merging what the node reports now into what was known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from messages.channels import ChannelEntry, ChannelFact

USABLE_STATES = ("CHANNELD_NORMAL", "CHANNELD_AWAITING_SPLICE")


def usable(fact: ChannelFact) -> bool:
    """Whether HTLCs can flow through it now, balance aside."""
    return fact.state in USABLE_STATES and fact.connected and fact.reestablished


def merge(
    known: Mapping[str, ChannelEntry],
    facts: Iterable[ChannelFact],
    now_s: float,
    *,
    complete: bool = True,
) -> tuple[dict[str, ChannelEntry], list[ChannelEntry]]:
    """All channels after a reading, and those whose entry is worth storing again.

    A channel is known by its channel_id for ever; a scid that it shows for the first time is
    added at the end of its history, the local alias before the real scid. A channel that the
    node no longer lists is closed, unless the reading was not `complete`.
    """
    merged: dict[str, ChannelEntry] = {}
    changed: list[ChannelEntry] = []
    for fact in facts:
        old = known.get(fact.channel_id)
        scids = _scids_after(old.scids if old else (), fact)
        first_seen_s = old.first_seen_s if old else now_s
        entry = ChannelEntry(fact.channel_id, fact.peer_id, scids, first_seen_s, False, fact)
        merged[fact.channel_id] = entry
        if old is None or old.closed or old.scids != scids or old.fact.state != fact.state:
            changed.append(entry)
    for channel_id, old in known.items():
        if channel_id not in merged:
            merged[channel_id] = old._replace(closed=old.closed or complete)
            if complete and not old.closed:
                changed.append(merged[channel_id])
    return merged, changed


def remember(
    known: Mapping[str, ChannelEntry], forgotten: Iterable[ChannelFact], now_s: float
) -> dict[str, ChannelEntry]:
    """The channels among these that ended before they were ever seen, as closed entries."""
    return {
        fact.channel_id: ChannelEntry(
            fact.channel_id, fact.peer_id, _scids_after((), fact), now_s, True, fact
        )
        for fact in forgotten
        if fact.channel_id not in known
    }


def add_scids(entry: ChannelEntry, scids: Iterable[str]) -> ChannelEntry:
    """The entry with scids that it had before the others, as far as they are not there."""
    new = tuple(scid for scid in scids if scid not in entry.scids)
    return entry._replace(scids=(*new, *entry.scids)) if new else entry


def _scids_after(scids: tuple[str, ...], fact: ChannelFact) -> tuple[str, ...]:
    for scid in (fact.alias_scid, fact.scid):
        if scid is not None and scid not in scids:
            scids = (*scids, scid)
    if fact.scid is not None and scids and scids[-1] != fact.scid:
        # The newest real scid stands last, whatever order the node told them in.
        scids = (*(s for s in scids if s != fact.scid), fact.scid)
    return scids


def by_scid(entries: Iterable[ChannelEntry]) -> dict[str, str]:
    """scid (any that a channel ever had) -> channel_id; a reused scid belongs to the newest."""
    index: dict[str, str] = {}
    for entry in sorted(entries, key=lambda e: e.first_seen_s):
        for scid in entry.scids:
            index[scid] = entry.channel_id
    return index
