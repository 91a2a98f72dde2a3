"""An operator leaves: which fees are put back, which are left alone, and how it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cl_revenue_ops.domain.channels import USABLE_STATES
from cl_revenue_ops.domain.fees.decide import FeeDecision
from cl_revenue_ops.domain.fees.facts import ChannelFeeState, Fee
from messages.channels import ChannelFact

PASSIVE = "the peer's policy is passive, and the fee is not one of ours"
NEVER_SEEN = "never seen: no fee was decided for it"
NO_FEE = "the node reports no fee for it"
CLOSED = "it is closed"
UNPAUSED = "not paused any more: fees are managed again"


def reason_to_leave_alone(
    fact: ChannelFact, state: ChannelFeeState | None, passive: bool
) -> str | None:
    """Return why the channel's fee is not touched; None where it is to be put back."""
    if fact.state not in USABLE_STATES:
        return f"the channel is in {fact.state}"
    if state is None or state.found is None:
        return NEVER_SEEN
    if fact.fee_ppm is None or fact.fee_base_msat is None:
        return NO_FEE
    seen = Fee(fact.fee_ppm, fact.fee_base_msat)
    if seen == state.found:
        return "already as found"
    if passive and seen not in (state.target, state.confirmed):
        return PASSIVE
    return None


@dataclass
class Departure:
    """What was done so far, a row a channel; `scids` name them."""

    scids: Mapping[str, str]
    at_s: float
    restored: list[dict[str, object]] = field(default_factory=list)
    failed: list[dict[str, object]] = field(default_factory=list)
    left_alone: list[dict[str, object]] = field(default_factory=list)

    def leave_alone(self, channel_id: str, why: str) -> None:
        """This channel keeps its fee."""
        self.left_alone.append({**self._name(channel_id), "reason": why})

    def fail(self, channel_id: str, why: str) -> None:
        """The fee of this channel could not be put back."""
        self.failed.append({**self._name(channel_id), "reason": why})

    def restore(self, decision: FeeDecision) -> None:
        """The fee found at first contact stands on this channel again."""
        assert decision.seen is not None
        assert decision.target is not None
        self.restored.append(
            {
                **self._name(decision.facts.channel_id),
                "peer_id": decision.facts.peer_id,
                "old_fee_ppm": decision.seen.ppm,
                "old_base_fee_msat": decision.seen.base_msat,
                "new_fee_ppm": decision.target.ppm,
                "new_base_fee_msat": decision.target.base_msat,
            }
        )

    def answer(self) -> dict[str, object]:
        """All of it, for the operator."""
        done = not self.failed
        text = f"paused; {len(self.restored)} fees were put back, {len(self.left_alone)} left alone"
        if not done:
            text = f"{text}, {len(self.failed)} failed: set restore-fees true again does the rest"
        return {
            "status": "success" if done else "incomplete",
            "success": done,
            "key": "restore_fees",
            "paused": True,
            "restored": self.restored,
            "failed": self.failed,
            "left_alone": self.left_alone,
            "message": text,
        }

    def summary(self, *, under_way: bool) -> dict[str, object]:
        """How it went, in numbers."""
        return {
            "at": int(self.at_s),
            "under_way": under_way,
            "restored": len(self.restored),
            "failed": len(self.failed),
            "left_alone": len(self.left_alone),
        }

    def _name(self, channel_id: str) -> dict[str, object]:
        scid = self.scids.get(channel_id, channel_id)
        return {"channel_id": scid, "full_channel_id": channel_id}
