"""How the FeeController reads the node: all channels at once, or a few again before a write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from actors.fee_neighbours import FeeNeighbours
from cl_revenue_ops.config import Config
from cl_revenue_ops.domain.fees.book import Situation
from cl_revenue_ops.domain.fees.decide import parameters_of
from cl_revenue_ops.domain.fees.facts import Conditions
from cl_revenue_ops.gate import PAUSES, WriteGate
from cl_revenue_ops.ports import Clock, Node
from messages.channels import ChannelFact

FACTS_FRESH_S = 5.0


class Look(NamedTuple):
    """What was read for some channels at once, by channel_id."""

    situation: Situation
    facts: Mapping[str, ChannelFact]


class FeeLook:
    """Reads facts together with what holds for the whole house. Every method blocks on the node
    and raises PortError.
    """

    def __init__(
        self, clock: Clock, node: Node, gate: WriteGate, neighbours: FeeNeighbours
    ) -> None:
        self._clock = clock
        self._node = node
        self._gate = gate
        self._neighbours = neighbours

    def all(self, config: Config, *, suspended: bool) -> Look:
        """Read the node once for all channels."""
        situation = self._situation(config, suspended)
        return Look(situation, {fact.channel_id: fact for fact in self._node.channels().facts})

    def again(
        self, known: Look, channel_ids: Iterable[str], config: Config, *, suspended: bool
    ) -> Look:
        """Read again the peers of a few channels; the node's other channels are not listed."""
        peers = dict.fromkeys(known.facts[channel_id].peer_id for channel_id in channel_ids)
        if not peers:
            return Look(known.situation, {})
        situation = self._situation(config, suspended)
        readings = [self._node.channels(peer_id) for peer_id in peers]
        return Look(situation, {f.channel_id: f for reading in readings for f in reading.facts})

    def is_old(self, look: Look) -> bool:
        """Whether so much time has passed that everything is better read again."""
        return not 0.0 <= self._clock.now() - look.situation.read_at_s <= FACTS_FRESH_S

    def _situation(self, config: Config, suspended: bool) -> Situation:
        info = self._node.info()
        paused = not self._gate.reasons().keys().isdisjoint(PAUSES)
        conditions = Conditions(
            info.sync_warning is None, paused, suspended, self._neighbours.writers
        )
        return Situation(conditions, self._clock.now(), parameters_of(config))
