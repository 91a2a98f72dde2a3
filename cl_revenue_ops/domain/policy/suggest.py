"""Which policies would help: rules over a week of evidence; each says what it rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from messages.policies import PeerPolicy

DAY_S = 86_400.0
WINDOW_DAYS = 7
WINDOW_S = WINDOW_DAYS * DAY_S
DRAINING_RATIO = 0.7
LEAST_DRAIN_PER_DAY = 1.0 / WINDOW_DAYS

KINDS = ("zombie", "bleeder", "source")
SEVERITIES = ("high", "medium", "low")


class ChannelEvidence(NamedTuple):
    """One open channel; amounts in msat, rates in msat a day, times in seconds.

    `known_s` since it was first seen, `observed_s` of them usable and stocked, `idle_s` of these
    since a forward last left by it. Within the window, `earned_msat` are the fees of forwards that
    left by it, `brought_msat` of those that came in by it, both together `forwards_in_window`.
    """

    channel_id: str
    capacity_msat: int
    local_msat: int
    known_s: float
    observed_s: float
    idle_s: float
    settled_out: int
    earned_msat: int
    brought_msat: int
    forwards_in_window: int
    rate_in_msat_per_day: float
    rate_out_msat_per_day: float
    draining: bool


class PeerEvidence(NamedTuple):
    """What is known of a peer: its open channels, and what rebalances into them cost in the window.

    `rebalance_cost_msat` None means that nobody has told, which is not the same as nothing. Where
    not all of the window is known (`costs_whole` False) it is the least that they cost.
    """

    peer_id: str
    channels: tuple[ChannelEvidence, ...]
    rebalance_cost_msat: int | None = None
    costs_whole: bool = True


class Suggestion(NamedTuple):
    """One policy that would help. `fields` are what `revenue-policy set` would be given."""

    peer_id: str
    kind: str
    severity: str
    action: str
    fields: tuple[tuple[str, str], ...]
    reason: str
    evidence: Mapping[str, object]


def suggestions(
    peers: Iterable[PeerEvidence], policies: Mapping[str, PeerPolicy]
) -> list[Suggestion]:
    """At most one for each peer, the gravest first; nothing on less than a week of watching.

    What the policy of a peer forbids already is not suggested again, and members of a fleet are
    left alone: their policies come from the fleet, which would set them again.
    """
    found = []
    for peer in peers:
        policy = policies.get(peer.peer_id, PeerPolicy(peer.peer_id))
        if policy.strategy == "hive" or not peer.channels:
            continue
        made = (rule(peer, policy) for rule in _RULES)
        found += [suggestion for suggestion in made if suggestion is not None][:1]
    found.sort(key=lambda s: (SEVERITIES.index(s.severity), KINDS.index(s.kind), s.peer_id))
    return found


def enough(peer: PeerEvidence) -> bool:
    """Whether every channel of the peer has been known for the whole window."""
    return all(channel.known_s >= WINDOW_S for channel in peer.channels)


def _zombie(peer: PeerEvidence, policy: PeerPolicy) -> Suggestion | None:
    """Nothing left by it though it could, and nothing came in by it that earned elsewhere."""
    idle_s = min(channel.idle_s for channel in peer.channels)
    if policy.rebalance == "disabled" or idle_s < WINDOW_S or not enough(peer):
        return None
    if any(channel.forwards_in_window for channel in peer.channels):
        return None
    evidence = {"usable_days_without_a_forward": round(idle_s / DAY_S, 1), **_figures(peer)}
    return Suggestion(
        peer.peer_id,
        "zombie",
        "high",
        "consider_close",
        (("rebalance", "disabled"),),
        f"in {idle_s / DAY_S:.1f} days of being usable and stocked nothing was forwarded to this"
        f" peer, and nothing came from it; {_sats(peer, 'local_msat')} sats lie idle. Rebalances"
        " would be wasted on it: stop them, leave its fee to be learned, and consider closing",
        evidence,
    )


def _bleeder(peer: PeerEvidence, policy: PeerPolicy) -> Suggestion | None:
    cost_msat = peer.rebalance_cost_msat
    if cost_msat is None or policy.rebalance in ("disabled", "source_only") or not enough(peer):
        return None
    earned_msat = sum(channel.earned_msat for channel in peer.channels)
    if cost_msat <= earned_msat:
        return None
    least = "" if peer.costs_whole else "at least "
    return Suggestion(
        peer.peer_id,
        "bleeder",
        "medium",
        "disable_rebalance",
        (("rebalance", "disabled"),),
        f"in the last {WINDOW_DAYS} whole days (UTC) and today so far its channels earned"
        f" {earned_msat // 1000} sats and rebalancing them cost {least}{cost_msat // 1000}: it lost"
        f" {least}{(cost_msat - earned_msat) // 1000} sats",
        _figures(peer),
    )


def _source(peer: PeerEvidence, policy: PeerPolicy) -> Suggestion | None:
    """A channel that drains by itself must not be drained by us as well; filling it may pay."""
    if policy.rebalance not in ("enabled", "source_only") or not enough(peer):
        return None
    if any(channel.observed_s < WINDOW_S for channel in peer.channels):
        return None
    out = sum(channel.rate_out_msat_per_day for channel in peer.channels)
    into = sum(channel.rate_in_msat_per_day for channel in peer.channels)
    capacity_msat = sum(channel.capacity_msat for channel in peer.channels)
    if not any(channel.draining for channel in peer.channels) or out + into <= 0.0:
        return None
    ratio, share = (out - into) / (out + into), (out - into) / max(1, capacity_msat)
    if ratio < DRAINING_RATIO or share < LEAST_DRAIN_PER_DAY:
        return None
    evidence = {
        "flow_ratio": round(ratio, 2),
        "net_out_sats_per_day": round((out - into) / 1000.0),
        "share_of_capacity_per_day": round(share, 3),
        **_figures(peer),
    }
    return Suggestion(
        peer.peer_id,
        "source",
        "low",
        "protect_source",
        (("rebalance", "sink_only"),),
        f"forwards drain {100 * share:.0f} % of its capacity a day, with little coming back: our"
        " rebalances must not take from it as well, and may fill it (sink_only)",
        evidence,
    )


_RULES: tuple[Callable[[PeerEvidence, PeerPolicy], Suggestion | None], ...] = (
    _zombie,
    _bleeder,
    _source,
)


def _sats(peer: PeerEvidence, name: str) -> int:
    return sum(int(getattr(channel, name)) for channel in peer.channels) // 1000


def _figures(peer: PeerEvidence) -> dict[str, object]:
    """What every suggestion shows beside what it rests on."""
    cost_msat = peer.rebalance_cost_msat
    return {
        "channels": len(peer.channels),
        "known_days": round(min(channel.known_s for channel in peer.channels) / DAY_S, 1),
        "usable_days": round(min(channel.observed_s for channel in peer.channels) / DAY_S, 1),
        "forwards_out_ever": sum(channel.settled_out for channel in peer.channels),
        "earned_in_window_sats": _sats(peer, "earned_msat"),
        "brought_in_window_sats": _sats(peer, "brought_msat"),
        "capacity_sats": _sats(peer, "capacity_msat"),
        "local_sats": _sats(peer, "local_msat"),
        "rebalance_cost_sats": None if cost_msat is None else cost_msat // 1000,
        "rebalance_cost_known": cost_msat is not None and peer.costs_whole,
    }


def shown(suggestion: Suggestion, policy: PeerPolicy) -> dict[str, object]:
    """The suggestion as clients read it, with the command that would apply it."""
    wanted = policy._replace(**dict(suggestion.fields))  # type: ignore[arg-type]  # checked by rule
    words = [f"{name}={value}" for name, value in suggestion.fields]
    return {
        "peer_id": suggestion.peer_id,
        "peer_id_short": suggestion.peer_id[:16],
        "kind": suggestion.kind,
        "severity": suggestion.severity,
        "action": suggestion.action,
        "current_strategy": policy.strategy,
        "current_rebalance_mode": policy.rebalance,
        "suggested_strategy": wanted.strategy,
        "suggested_rebalance_mode": wanted.rebalance,
        "reason": suggestion.reason,
        "evidence": dict(suggestion.evidence),
        "command": " ".join(["revenue-policy set", suggestion.peer_id, *words]),
    }
