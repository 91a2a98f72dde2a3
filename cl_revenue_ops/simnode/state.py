"""The simulated node's state: what it holds, how things are found, whom it tells."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from cl_revenue_ops.simnode.clock import Clock
from cl_revenue_ops.simnode.datastore import Datastore
from cl_revenue_ops.simnode.era import NEWEST, Era
from cl_revenue_ops.simnode.errors import bad_params
from cl_revenue_ops.simnode.forward_log import ForwardLog
from cl_revenue_ops.simnode.gossip import Gossip
from cl_revenue_ops.simnode.htlc_log import HtlcLog
from cl_revenue_ops.simnode.identity import digest, iso_time, node_id
from cl_revenue_ops.simnode.model import PROTOCOL_HTLCS, Channel, Output, Peer, Pending, Policy
from cl_revenue_ops.simnode.moves import Books
from cl_revenue_ops.simnode.sendpays import Sendpays

if TYPE_CHECKING:
    from cl_revenue_ops.simnode.payments import OwnFlight


class Listener(Protocol):
    """Whoever is told of notifications: the plugins of the node."""

    def heard(self, topic: str) -> bool:
        """True if somebody subscribed to `topic`, so that its payload is worth building."""

    def hear(self, topic: str, payload: Mapping[str, Any]) -> None:
        """Deliver a notification; called under the world's lock, must not block."""


class WorldState:
    """Channels, peers, forwards, money and chain of one node, without the verbs."""

    def __init__(
        self,
        clock: Clock,
        *,
        seed: int = 0,
        network: str = "regtest",
        version: str = NEWEST,
        height: int = 800_000,
        alias: str = "SIMULATED-NODE",
    ) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.clock = clock
        self.seed = seed
        self.network = network
        self.era = Era(version)
        self.default_policy = Policy()
        self.max_accepted_htlcs = PROTOCOL_HTLCS
        self.alias = alias
        self.id = node_id(seed, "self")
        self.height = height
        self.peers: dict[str, Peer] = {}
        self.channels: dict[str, Channel] = {}
        self.closed: list[dict[str, Any]] = []
        self.outputs: list[Output] = []
        self.funding: dict[str, list[Output]] = {}
        self.forwards = ForwardLog()
        self.htlcs = HtlcLog()
        self.books = Books()
        self.sendpays = Sendpays()
        self.gossip = Gossip()
        self.datastore = Datastore()
        self.pending: dict[int, Pending] = {}
        self.own_flights: dict[int, OwnFlight] = {}
        self.feerates_perkw: dict[int, int] = {2: 3750, 6: 2500, 12: 1250, 100: 500}
        self.floor_perkw = 253
        self.synced = True
        self.listeners: list[Listener] = []
        self.mempool: list[Callable[[str, float], None]] = []
        self.update_times: dict[str, list[float]] = {}
        self.due: list[tuple[int, int, Callable[[float], None]]] = []
        self._numbers: dict[str, int] = {}
        self._names: dict[str, str] = {}

    # -- identity and lookups ------------------------------------------------------------------

    def now(self, at_s: float | None = None) -> float:
        """`at_s`, or the clock's time if it is None."""
        return self.clock.now() if at_s is None else at_s

    def draw(self, kind: str) -> str:
        """A fresh 64-hex name of that kind (txid, channel, preimage ...), the same every run."""
        self._numbers[kind] = self._numbers.get(kind, 0) + 1
        return digest(self.seed, kind, self._numbers[kind])

    def number(self, kind: str) -> int:
        """A fresh positive number of that kind, counting up."""
        self._numbers[kind] = self._numbers.get(kind, 0) + 1
        return self._numbers[kind]

    def add_peer(
        self,
        name: str,
        *,
        connected: bool = True,
        at_s: float | None = None,
    ) -> str:
        """Make a node known and return its id (66 hex), drawn from the seed and `name`."""
        with self.lock:
            identity = node_id(self.seed, f"peer/{name}")
            if identity not in self.peers:
                since_s = self.now(at_s)
                self.peers[identity] = Peer(identity, name, connected, True, since_s)
                self.gossip.announce(identity, name, int(since_s))
            return identity

    def register(self, channel_id: str, *names: str) -> None:
        """Let `names` (scids, aliases) resolve to the channel from now on, also when outdated."""
        for name in (channel_id, *names):
            self._names[name] = channel_id

    def find(self, name: str) -> Channel | None:
        """The living channel of a channel_id, current or old scid, or local alias."""
        return self.channels.get(self._names.get(name, ""))

    def channel(self, channel_id: str) -> Channel:
        """The living channel; -32602 if unknown. Accepts every name that `find` accepts."""
        found = self.find(channel_id)
        if found is None:
            raise bad_params(f"Could not find channel {channel_id}")
        return found

    def peer(self, peer_id: str) -> Peer:
        """A known peer; -32602 if unknown."""
        if peer_id not in self.peers:
            raise bad_params(f"Unknown peer {peer_id}")
        return self.peers[peer_id]

    # -- notifications -------------------------------------------------------------------------

    def heard(self, topic: str) -> bool:
        """True if a listener wants `topic`."""
        return any(listener.heard(topic) for listener in self.listeners)

    def emit(self, topic: str, payload: Mapping[str, Any]) -> None:
        """Tell every listener; never blocks."""
        for listener in self.listeners:
            listener.hear(topic, payload)

    def set_state(
        self, channel: Channel, state: str, cause: str, message: str, at_s: float
    ) -> None:
        """Change a channel's state, record it and notify `channel_state_changed`."""
        old, channel.state = channel.state, state
        stamp = iso_time(at_s)
        if old and state != "CLOSED":
            channel.state_changes.append(
                {
                    "timestamp": stamp, "old_state": old, "new_state": state,
                    "cause": cause, "message": message,
                }
            )  # fmt: skip
        if state == "CLOSED" and not self.era.at_least(25, 12):
            return
        event: dict[str, Any] = {"peer_id": channel.peer_id, "channel_id": channel.channel_id}
        if channel.scid is not None:
            event["short_channel_id"] = channel.scid
        event["timestamp"] = stamp
        if old:
            event["old_state"] = old
        elif not self.era.at_least(26, 6):
            event["old_state"] = "unknown"
        event |= {"new_state": state, "cause": cause, "message": message}
        self.emit("channel_state_changed", event)

    def at_height(self, height: int, action: Callable[[float], None]) -> None:
        """Run `action(at_s)` when the block of that height is mined."""
        heapq.heappush(self.due, (height, self.number("due"), action))
