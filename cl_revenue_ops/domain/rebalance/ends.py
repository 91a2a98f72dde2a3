"""Which channels may be filled and which may be drained now, and in words why others may not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cl_revenue_ops.domain.channels import usable
from cl_revenue_ops.domain.policy.terms import may_drain, may_fill
from cl_revenue_ops.domain.rebalance.facts import Situation
from messages.channels import ChannelFact
from messages.rebalance import StockCurve

SETTLED_S: Final = 3_600.0
"""A peer that came back less long ago may go again at once."""

MOVED_BACK_S: Final = 3 * 86_400.0
"""What was moved one way is not moved back within so long."""

KEEP_SHARE: Final = 0.05
SLOTS_SHARE: Final = 0.5
LEAST_MSAT: Final = 20_000_000
FILLS_BY_ITSELF: Final = 0.75
"""A channel of the class sink, with at least this confidence, is not filled."""


@dataclass(frozen=True)
class End:
    """A channel as one end of a move: its peer's curve, and the most that may go there."""

    fact: ChannelFact
    curve: StockCurve
    most_msat: int


@dataclass
class Moves:
    """When each channel was last filled and last drained by us (Unix seconds)."""

    filled_s: dict[str, float] = field(default_factory=dict)
    drained_s: dict[str, float] = field(default_factory=dict)

    def note(self, source: str, channel_id: str, now_s: float) -> None:
        """A move was made."""
        self.drained_s[source] = self.filled_s[channel_id] = now_s

    def forget(self, channel_ids: frozenset[str]) -> None:
        """Let go of channels that are not among these."""
        for table in (self.filled_s, self.drained_s):
            for key in [key for key in table if key not in channel_ids]:
                del table[key]


def lasting_refusals(situation: Situation, facts: Iterable[ChannelFact]) -> dict[str, str]:
    """Return why a channel can be no end of any move at all, by channel_id."""
    found: dict[str, str] = {}
    curves = situation.curves.curves if situation.curves is not None else {}
    for fact in facts:
        if not usable(fact):
            found[fact.channel_id] = "it cannot carry payments now"
        elif fact.scid is None:
            found[fact.channel_id] = "it has no short channel id yet"
        elif fact.channel_id in situation.busy:
            found[fact.channel_id] = "a job uses it already"
        elif fact.peer_id not in curves:
            found[fact.channel_id] = "its stock has no value yet: no fee cycle has priced it"
    return found


def _unsettled(situation: Situation, fact: ChannelFact) -> bool:
    """True where the peer came back so lately that it may go again."""
    since_s = fact.last_stable_connection_s
    return since_s is not None and 0 < situation.now_s - since_s < SETTLED_S


def destination(situation: Situation, fact: ChannelFact, moves: Moves) -> End | str:
    """Return a channel as a destination, or in words why it is none."""
    policy = situation.policies.get(fact.peer_id)
    if not may_fill(policy, situation.now_s):
        return f"policy: rebalance is {_mode(policy)}"
    if _unsettled(situation, fact):
        return "its peer comes and goes"
    if fact.htlcs_in >= SLOTS_SHARE * fact.slots_in:
        return "its slots for incoming HTLCs are taken"
    drained_s = moves.drained_s.get(fact.channel_id)
    if drained_s is not None and 0.0 <= situation.now_s - drained_s < MOVED_BACK_S:
        return "it was drained by a rebalance lately"
    flow = situation.flows.get(fact.channel_id)
    if flow is not None and flow.klass == "sink" and flow.confidence >= FILLS_BY_ITSELF:
        return "it fills by itself"
    most_msat = fact.receivable_msat - fact.our_reserve_msat
    if most_msat < LEAST_MSAT:
        return "it has no room"
    return End(fact, _curve(situation, fact), most_msat)


def source(situation: Situation, fact: ChannelFact, moves: Moves) -> End | str:
    """Return a channel as a source, or in words why it is none."""
    policy = situation.policies.get(fact.peer_id)
    if not may_drain(policy, situation.now_s):
        return f"policy: rebalance is {_mode(policy)}"
    if _unsettled(situation, fact):
        return "its peer comes and goes"
    if fact.htlcs_out >= SLOTS_SHARE * fact.slots_out:
        return "its slots for outgoing HTLCs are taken"
    filled_s = moves.filled_s.get(fact.channel_id)
    if filled_s is not None and 0.0 <= situation.now_s - filled_s < MOVED_BACK_S:
        return "it was filled by a rebalance lately"
    most_msat = fact.spendable_msat - round(KEEP_SHARE * fact.capacity_msat)
    if most_msat < LEAST_MSAT:
        return "it has nothing to spare"
    return End(fact, _curve(situation, fact), most_msat)


def keep_msat(fact: ChannelFact) -> int:
    """Return the local balance that a source keeps in any case."""
    return fact.our_reserve_msat + round(KEEP_SHARE * fact.capacity_msat)


def _curve(situation: Situation, fact: ChannelFact) -> StockCurve:
    assert situation.curves is not None
    return situation.curves.curves[fact.peer_id]


def _mode(policy: object) -> str:
    return getattr(policy, "rebalance", "enabled")


def stocks(situation: Situation) -> Mapping[str, int]:
    """Return each peer's local balance above our reserves now, msat."""
    found: dict[str, int] = {}
    for fact in situation.facts:
        if usable(fact):
            above = max(0, fact.local_msat - fact.our_reserve_msat)
            found[fact.peer_id] = found.get(fact.peer_id, 0) + above
    return found
