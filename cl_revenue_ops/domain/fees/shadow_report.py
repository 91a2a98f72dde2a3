"""The answer of revenue-report shadow: the fees decided on beside those in force."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final, NamedTuple

from cl_revenue_ops.domain.demand.belief import Interval
from cl_revenue_ops.domain.fees.facts import DAY_S
from cl_revenue_ops.domain.fees.shadow_tally import (
    NOTHING,
    Shadow,
    Tally,
    Window,
    independent,
    together,
)


class Raw(NamedTuple):
    """What a channel's forwards really earned (msat), in the window and in as long before it."""

    before_msat: int
    within_msat: int


class Names(NamedTuple):
    """Current scid and peer_id by channel_id, and channel_id by any scid there ever was."""

    scids: Mapping[str, str]
    peers: Mapping[str, str]
    channels: Mapping[str, str]


NOTES: Final = (
    "By the posterior: what was believed of demand at each decision says what the fee decided on"
    " would have earned more than the fee in force, over the value of the stock sold. It is an"
    " estimate by the same model that chose the fees, not a measurement.",
    "Its 80 % intervals take the errors of one peer's channels as fully correlated over time (low"
    " ends and high ends add up) and those of different peers as independent (squares add up). A"
    " peer's demand is split evenly among its channels that were decided on.",
    "Equal decisions running are kept as one, with the posterior of the last of them.",
    "A fee that was held back would stand until what is wanted differs from it by a change worth"
    " gossip. Each decision starts from the fee really in force, so a young channel never gets"
    " further than one step; updates of a day and the least gain are not counted against it.",
    "Time in which a channel was not free to be priced (not_free) counts for nothing.",
    "Raw: fees of settled forwards that left through the channel, in the window and in as long"
    " before it. Before and after differ for many reasons: this proves nothing about cause.",
)


def report(
    shadow: Shadow, names: Names, earned: Mapping[str, Raw], log_begins_s: float | None
) -> dict[str, object]:
    """The answer of revenue-report shadow, after `finish`; `earned` by outgoing scid."""
    window = shadow.window
    raw = _by_channel(earned, names)
    parts = _peers(shadow.tallies, names)
    rows = [
        _row(channel_id, shadow.tallies.get(channel_id), raw.get(channel_id), window, names, parts)
        for channel_id in sorted({*shadow.tallies, *raw})
        if channel_id
    ]
    held = sum(tally.held_days for tally in shadow.tallies.values())
    before_s = 2.0 * window.since_s - window.until_s
    return {
        "type": "shadow",
        "generated_at": int(window.until_s),
        "window": {"from": int(window.since_s), "to": int(window.until_s)},
        "nothing_held_back": held <= 0.0,
        "message": _message(shadow, held),
        "held_back_by": {why: round(days, 3) for why, days in sorted(shadow.held_by.items())},
        "total": _total(shadow.tallies, raw, window, parts),
        "raw_before_is_whole": log_begins_s is not None and log_begins_s <= before_s,
        "channels": rows,
        "notes": list(NOTES),
    }


def _message(shadow: Shadow, held_days: float) -> str:
    if not shadow.tallies:
        return "no fee was decided in the window"
    if held_days <= 0.0:
        return "nothing was held back: every fee decided on was set"
    return f"fees were decided on and not set for {held_days:.1f} channel days"


def _by_channel(earned: Mapping[str, Raw], names: Names) -> dict[str, Raw]:
    """Earnings by channel_id; those of scids that no channel is known by are under ''."""
    found: dict[str, Raw] = {}
    for scid, raw in sorted(earned.items()):
        channel_id = names.channels.get(scid, "")
        had = found.get(channel_id, Raw(0, 0))
        found[channel_id] = Raw(
            had.before_msat + raw.before_msat, had.within_msat + raw.within_msat
        )
    return found


def _peers(tallies: Mapping[str, Tally], names: Names) -> dict[str, list[str]]:
    """The channels that were decided on, by their peer."""
    parts: dict[str, list[str]] = defaultdict(list)
    for channel_id in sorted(tallies):
        parts[names.peers.get(channel_id, channel_id)].append(channel_id)
    return parts


def _part(found: Interval, among: int) -> Interval:
    return Interval(*(value / among for value in found))


def _row(
    channel_id: str,
    tally: Tally | None,
    raw: Raw | None,
    window: Window,
    names: Names,
    parts: Mapping[str, list[str]],
) -> dict[str, object]:
    peer_id = names.peers.get(channel_id)
    told: dict[str, object] = {
        "channel_id": names.scids.get(channel_id, channel_id),
        "full_channel_id": channel_id,
        "peer_id": peer_id,
    }
    if tally is not None:
        among = len(parts[channel_id if peer_id is None else peer_id])
        told.update(_fees(tally), by_the_posterior=_gain(_part(tally.difference, among)))
    return {**told, "raw": _raw(raw or Raw(0, 0), window)}


def _fees(tally: Tally) -> dict[str, object]:
    """Days of a channel, and its two fees averaged over them."""
    return {
        "days": {
            "decided": round(tally.days, 3),
            "held_back": round(tally.held_days, 3),
            "not_free": round(tally.not_free_days, 3),
            "without_posterior": round(tally.blind_days, 3),
        },
        "fee_in_force_ppm": round(tally.in_force / tally.days, 1),
        "fee_decided_ppm": round(tally.would / tally.days, 1),
    }


def _gain(found: Interval) -> dict[str, object]:
    low, mid, high = (round(value) for value in found)
    return {"difference_msat": mid, "low_msat": low, "high_msat": high}


def _raw(raw: Raw, window: Window) -> dict[str, object]:
    days = (window.until_s - window.since_s) / DAY_S
    return {
        "before_msat_per_day": round(raw.before_msat / days),
        "within_msat_per_day": round(raw.within_msat / days),
    }


def _total(
    tallies: Mapping[str, Tally],
    raw: Mapping[str, Raw],
    window: Window,
    parts: Mapping[str, list[str]],
) -> dict[str, object]:
    whole = Tally()
    for tally in tallies.values():
        whole = whole.plus(tally)
    each = []
    for channels in parts.values():
        of_peer = NOTHING
        for channel_id in channels:
            part = _part(tallies[channel_id].difference, len(channels))
            of_peer = together(of_peer, part)
        each.append(of_peer)
    told: dict[str, object] = {"channels": len(tallies)}
    if whole.days > 0.0:
        told.update(_fees(whole), by_the_posterior=_gain(independent(each)))
    earned = Raw(
        sum(one.before_msat for one in raw.values()), sum(one.within_msat for one in raw.values())
    )
    return {**told, "raw": _raw(earned, window)}
