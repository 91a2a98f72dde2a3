"""What is kept of one destination beside its posterior, and how its traffic becomes evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, NamedTuple

from cl_revenue_ops.domain.demand.curve import log_fee
from cl_revenue_ops.domain.demand.posterior import Offered, Seen

SIZE_WEIGHT: Final = 3.0
MEMORY_DAYS: Final = 20.0
POLICIES_KEPT: Final = 8
STALE_S: Final = 12 * 3600.0
LAG_S: Final = 1_800.0
CLUSTER_S: Final = 600.0
BESIDE_S: Final = 3_600.0
WINDOW_S: Final = 6 * 3600.0
MOST_SIZES: Final = 4.0
DAY_S: Final = 86_400.0
FORGOTTEN_MSAT: Final = 1_000.0
MOST_ENTRIES: Final = 64
# Of ln amounts; public figures and the market's range lie about it.
AMOUNT_SD: Final = 1.2
_STANDARD: Final = NormalDist()


class Asked(NamedTuple):
    """A policy of ours since `since_s` (Unix seconds)."""

    since_s: float
    ppm: int
    base_msat: int


class Arrival(NamedTuple):
    """A forward that reached us for this destination; `entered` is the peer it came from.

    `settled` False: we refused it for lack of balance. `weight` is what it counts as evidence.
    One that was not `watched` came in a time of which nobody knows what was on offer.
    """

    at_s: float
    entered: str
    out_msat: int
    fee_msat: int
    settled: bool
    weight: float = 1.0
    watched: bool = True


class Window(NamedTuple):
    """Volume (msat) since `since_s` beside what was expected, for the dispersion."""

    since_s: float
    volume_msat: float
    mean_msat: float


NO_WINDOW: Final = Window(0.0, 0.0, 0.0)
_NOWHERE: Final[Mapping[str, float]] = {}


class PeerDemand(NamedTuple):
    """What is kept of a destination. Sizes and entries fade; `seen` counts forwards for ever.

    `entered` is the settled volume (msat) by the peer it entered from, as of `sized_s`.
    `refused_at_s` is the last refusal.
    """

    size_sum_msat: float = 0.0
    size_count: float = 0.0
    entered: Mapping[str, float] = _NOWHERE
    sized_s: float = 0.0
    policies: tuple[Asked, ...] = ()
    seen: float = 0.0
    refused_at_s: float = 0.0
    window: Window = NO_WINDOW


def size_msat(peer: PeerDemand, usual_msat: float) -> float:
    """Return the mean amount of its forwards, leaning on the node's until it has its own."""
    return (peer.size_sum_msat + SIZE_WEIGHT * usual_msat) / (peer.size_count + SIZE_WEIGHT)


def fitting(room_msat: float, size_msat: float, capacity_msat: float) -> float:
    """Return the part of the usual volume whose amounts fit into `room_msat`, 0 to 1.

    Amounts are log-normal with mean `size_msat` and sd AMOUNT_SD in the log, of which the part
    Phi((ln(room / mean) - sd^2 / 2) / sd) of the volume lies below a room. What half of the
    channel has room for is all that is ever asked of it.
    """
    most_msat = 0.5 * capacity_msat
    if room_msat >= most_msat:
        return 1.0
    if room_msat <= 0.0:
        return 0.0
    return round(_volume_below(room_msat / size_msat) / _volume_below(most_msat / size_msat), 4)


def _volume_below(sizes: float) -> float:
    return max(1e-9, _STANDARD.cdf((math.log(sizes) - 0.5 * AMOUNT_SD**2) / AMOUNT_SD))


def effective_log_fee(ppm: int, base_msat: int, amount_msat: float) -> float:
    """Return ln of what a forward of this amount pays under a policy, in ppm."""
    return log_fee(ppm + base_msat * 1e6 / max(amount_msat, 1.0))


def asks(peer: PeerDemand, ppm: int, base_msat: int, now_s: float) -> PeerDemand:
    """Return the peer with the policy that is in force now; the same one again changes nothing."""
    if peer.policies and peer.policies[-1][1:] == (ppm, base_msat):
        return peer
    kept = (*peer.policies, Asked(now_s, ppm, base_msat))[-POLICIES_KEPT:]
    return peer._replace(policies=kept)


def paid_log_fee(peer: PeerDemand, arrival: Arrival) -> float:
    """Return the fee (ln ppm) that an arrival answered to.

    Of the policies in force in the STALE_S before it, the one that asks most for its amount
    without asking more than was paid: what its sender knows is not always what we ask now. Where
    all ask more, the one that asks least.
    """
    recent = _in_force(peer.policies, arrival.at_s)
    asked = [entry.base_msat + arrival.out_msat * entry.ppm // 1_000_000 for entry in recent]
    affordable = [fee for fee in asked if fee <= arrival.fee_msat]
    fee = max(affordable) if affordable else min(asked, default=arrival.fee_msat)
    return log_fee(fee * 1e6 / max(arrival.out_msat, 1))


def _in_force(policies: Sequence[Asked], at_s: float) -> list[Asked]:
    """The policies that some sender can have known at a moment."""
    known = []
    for number, entry in enumerate(policies):
        ends_s = policies[number + 1].since_s if number + 1 < len(policies) else math.inf
        if entry.since_s <= at_s and ends_s >= at_s - STALE_S:
            known.append(entry)
    return known or list(policies[:1])


class Stretch(NamedTuple):
    """A stretch of time that was watched, and how much of it the channels could carry.

    `season` is by how much more than usual is to be expected in it.
    """

    from_s: float
    until_s: float
    carried_s: float
    season: float = 1.0


def on_offer(
    peer: PeerDemand, place: int, stretch: Stretch, carried_s: float, amount_msat: float
) -> list[Offered]:
    """Return which fees were on offer for how long in `carried_s` of a stretch.

    A new policy takes LAG_S to be known: until then the former one is what was on offer.
    """
    from_s, until_s = stretch.from_s, stretch.until_s
    if carried_s <= 0.0 or until_s <= from_s or not peer.policies:
        return []
    part = stretch.season * carried_s / (until_s - from_s) / DAY_S
    found = []
    end_s = until_s
    for number in range(len(peer.policies) - 1, -1, -1):
        entry = peer.policies[number]
        known_s = entry.since_s + LAG_S if number > 0 else from_s
        span_s = end_s - max(known_s, from_s)
        if span_s > 0.0:
            at = effective_log_fee(entry.ppm, entry.base_msat, amount_msat)
            found.append(Offered(place, at, span_s * part))
            end_s = max(known_s, from_s)
        if end_s <= from_s:
            break
    return found


def take_sizes(peer: PeerDemand, arrivals: Sequence[Arrival], now_s: float) -> PeerDemand:
    """Return the peer with amounts and entries of what settled; older ones fade as new come."""
    settled = [arrival for arrival in arrivals if arrival.settled]
    if not settled:
        return peer
    days = max(0.0, now_s - peer.sized_s) / DAY_S if peer.sized_s else 0.0
    keep = math.exp(-days / MEMORY_DAYS)
    entered = {
        name: msat * keep for name, msat in peer.entered.items() if msat * keep > FORGOTTEN_MSAT
    }
    for arrival in settled:
        worth = arrival.out_msat * arrival.weight
        entered[arrival.entered] = entered.get(arrival.entered, 0.0) + worth
    if len(entered) > MOST_ENTRIES:
        largest = sorted(entered, key=lambda name: (-entered[name], name))[:MOST_ENTRIES]
        entered = {name: entered[name] for name in largest}
    return peer._replace(
        entered=entered,
        size_sum_msat=keep * peer.size_sum_msat + sum(a.out_msat for a in settled),
        size_count=keep * peer.size_count + len(settled),
        sized_s=now_s,
    )


@dataclass(frozen=True)
class Evidence:
    """What a stretch says: volume at the fees it answered to, and the fees that were on offer."""

    seen: list[Seen]
    offered: list[Offered]
    count: float
    volume_msat: float


def evidence(
    peer: PeerDemand, place: int, arrivals: Sequence[Arrival], stretch: Stretch, size: float
) -> tuple[Evidence, PeerDemand]:
    """Return the evidence of a stretch, and the peer that remembers the last refusal.

    Forwards count by their volume, up to MOST_SIZES times the usual `size` (msat): the many small
    ones carry next to none, and the base fee of their alternatives says more about them than
    any price in ppm. A refusal for lack of balance is a forward that came and would have paid;
    several in a row within CLUSTER_S are one payer's retries. Time in which the channels could not
    carry adds no exposure, except BESIDE_S beside each refusal seen in it: a stretch can be long
    and unwatched for the most part.
    """
    seen: dict[float, float] = {}
    last_s, beside_s = peer.refused_at_s, 0.0
    count = volume = 0.0
    for arrival in arrivals:
        if not arrival.watched or (arrival.settled and stretch.carried_s <= 0.0):
            # Counts and exposure cover the same time: what slips through a channel that could not
            # carry a usual forward says nothing of how many come.
            continue
        if not arrival.settled:
            fresh = arrival.at_s - last_s > CLUSTER_S
            last_s = arrival.at_s
            if not fresh:
                continue
            beside_s += BESIDE_S
        worth = arrival.weight * min(arrival.out_msat, MOST_SIZES * size)
        at = paid_log_fee(peer, arrival)
        seen[at] = seen.get(at, 0.0) + worth
        count, volume = count + arrival.weight, volume + worth
    length_s = stretch.until_s - stretch.from_s
    carried_s = min(stretch.carried_s + beside_s, length_s)
    offered = on_offer(peer, place, stretch, carried_s, size)
    came = [Seen(place, at, msat) for at, msat in seen.items()]
    known = peer if last_s == peer.refused_at_s else peer._replace(refused_at_s=last_s)
    return Evidence(came, offered, count, volume), known


def windowed(
    peer: PeerDemand, found: Evidence, mean_msat: float, now_s: float
) -> tuple[PeerDemand, Window | None]:
    """Return the peer with the evidence counted, and a window of it where one came to its end."""
    since_s = peer.window.since_s or now_s
    window = Window(
        since_s, peer.window.volume_msat + found.volume_msat, peer.window.mean_msat + mean_msat
    )
    ended = window if now_s - since_s >= WINDOW_S else None
    kept = Window(now_s, 0.0, 0.0) if ended else window
    return peer._replace(seen=peer.seen + found.count, window=kept), ended
