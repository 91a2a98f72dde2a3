"""How the FeeController follows the policies of peers: which hold, and who is repriced at once."""

from __future__ import annotations

from collections.abc import Iterable

from actors.base import HouseActor
from actors.fee_decider import FeeDecider
from actors.fee_pricing import FeePricing
from cl_revenue_ops.domain.fees.facts import ChannelFeeState
from cl_revenue_ops.domain.policy.terms import Terms, terms_of
from cl_revenue_ops.ports import PortError
from messages.channels import ChannelEntry, ChannelSnapshot
from messages.fees import PolicyEnds, RepricePeers
from messages.policies import PeerPolicy, PolicyChanged, PolicySnapshot

CHANNELS_A_STEP = 20
AGAIN_S = 60.0
_UNRULED = ChannelFeeState()


class FeePolicies:
    """Keeps the policies in the decider's book, and the peers whose channels wait to be decided.

    A peer waits until its channels were decided, over failed readings and suspension; after a
    restart every peer whose policy asks something of fees waits. An end is kept to its second,
    whoever else keeps it.
    """

    def __init__(self, house: HouseActor, decider: FeeDecider, pricing: FeePricing) -> None:
        self._house = house
        self._decider = decider
        self._pricing = pricing
        self._waiting: dict[str, None] = {}
        self._version: int | None = None
        self._looked_s = 0.0
        # When policies end, by the newest snapshot and since; a late one wakes for nothing.
        self._ends: list[float] = []
        self._peers: frozenset[str] | None = None
        self._looked_back = False

    # -- hearing ------------------------------------------------------------------------------

    def know(self, snapshot: ChannelSnapshot) -> None:
        """These are the channels."""
        if snapshot.fresh:
            self._peers = frozenset(e.peer_id for e in snapshot.channels if not e.closed)
        self._look_back(snapshot.channels)

    def hear(self, told: PolicySnapshot) -> None:
        """These policies hold; peers of which something else was known wait."""
        known, policies = self._policies, {policy.peer_id: policy for policy in told.policies}
        # A policy that has not changed is the very object that was told before.
        moved = [
            peer_id
            for peer_id, policy in policies.items()
            if known.get(peer_id) is not policy and _asks(known.get(peer_id)) != _asks(policy)
        ]
        moved += (
            peer_id
            for peer_id, policy in known.items()
            if peer_id not in policies and _asks(policy) is not None
        )
        if self._version is None:
            self._looked_s = self._house.now()
        self._decider.book.policies, self._version = policies, told.version
        self._ends = [p.expires_at_s for p in told.policies if p.expires_at_s is not None]
        self._wait_for(moved)

    def _look_back(self, channels: Iterable[ChannelEntry]) -> None:
        """Once in a life: peers whose policy had a say at the last decision wait.

        It may be gone, and whoever dropped it killed before anybody was told.
        """
        if self._looked_back:
            return
        self._looked_back, states = True, self._decider.book.states
        self._wait_for(
            entry.peer_id
            for entry in channels
            if not entry.closed and states.get(entry.channel_id, _UNRULED).ruled
        )

    def note(self, change: PolicyChanged) -> None:
        """One policy has changed; a snapshot that was heard may hold it already, or a newer one."""
        if self._version is None or change.version > self._version:
            if change.after is None:
                self._policies.pop(change.peer_id, None)
            else:
                self._policies[change.peer_id] = change.after
                if change.after.expires_at_s is not None:
                    self._ends.append(change.after.expires_at_s)
        differs = _asks(change.before) != _asks(change.after)
        self._wait_for([change.peer_id] if differs else [])

    def hive_fee(self, ppm: int) -> None:
        """This is what a hive policy asks from now on."""
        if self._decider.book.hive_fee_ppm != ppm:
            self._decider.book.hive_fee_ppm = ppm
            self._wait_for(p.peer_id for p in self._policies.values() if p.strategy == "hive")

    def look_for_ends(self) -> None:
        """Peers whose policy has ended since the last look wait."""
        before_s, now_s = self._looked_s, self._house.now()
        ended = [
            policy.peer_id
            for policy in self._policies.values()
            if policy.expires_at_s is not None and before_s < policy.expires_at_s <= now_s
        ]
        self._looked_s = now_s
        self._wait_for(ended)

    @property
    def _policies(self) -> dict[str, PeerPolicy]:
        return self._decider.book.policies

    def _wait_for(self, peer_ids: Iterable[str]) -> None:
        self._waiting.update(dict.fromkeys(peer_ids))
        self.go_on()
        now_s = self._house.now()
        next_s = min((end_s for end_s in self._ends if end_s > now_s), default=None)
        if next_s is None:
            self._house.context.cancel(PolicyEnds.__name__)
        else:
            self._house.context.after(next_s - now_s, PolicyEnds())

    # -- deciding -----------------------------------------------------------------------------

    def go_on(self) -> None:
        """Let the controller take the next step, where somebody waits."""
        if self._waiting:
            context = self._house.context
            context.tell(context.address, RepricePeers())

    def step(self) -> tuple[tuple[str, ...], bool]:
        """Decide the channels of the next peers; returns these channels and whether a fee was set.

        Raises PortError: then the peers wait for a later try.
        """
        if self._peers is not None:
            self._waiting = {p: None for p in self._waiting if p in self._peers}
        if not self._waiting or self._version is None:
            return (), False
        try:
            return self._decide()
        except PortError:
            self._house.context.after(AGAIN_S, RepricePeers())
            raise

    def _decide(self) -> tuple[tuple[str, ...], bool]:
        book, look = self._decider.book, self._decider.look()
        if not book.desk.markets:
            # Nothing was priced in this life: the first price would stand in for what is known.
            facts, seed = list(look.facts.values()), self._house.root_seed
            self._pricing.price_as_known(book, facts, seed, look.situation)
        channels: dict[str, list[str]] = {}
        for channel_id, fact in sorted(look.facts.items()):
            channels.setdefault(fact.peer_id, []).append(channel_id)
        peers, batch = list[str](), list[str]()
        for peer_id in self._waiting:
            if len(batch) >= CHANNELS_A_STEP:
                break
            peers.append(peer_id)
            batch += channels.get(peer_id, [])
        was_set = self._decider.decide(look, batch)
        for peer_id in peers:
            self._waiting.pop(peer_id, None)
        self.go_on()
        return tuple(batch), was_set


def _asks(policy: PeerPolicy | None) -> Terms | None:
    """What a policy asks of fees, whenever it was set and until when."""
    if policy is None:
        return None
    return terms_of(policy._replace(updated_at_s=0.0, expires_at_s=None), 0.0, 0)
