"""What the house needs from the world, as Protocols, and the errors that the world may answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from messages.channels import ChannelEntry, ChannelFact
from messages.forwards import EarningsPage, Forward, ForwardIndexes, ForwardLogPage, ForwardPage

# -- errors -----------------------------------------------------------------------------------


class PortError(Exception):
    """The world did not do what was asked; the message is one line for an operator."""


class Unavailable(PortError):
    """The node or the disk cannot be used now; trying again later makes sense."""


class CircuitOpen(Unavailable):
    """The breaker of this method group is open: nothing was sent."""


class TimedOut(Unavailable):
    """No answer within the deadline; whether the call had its effect is unknown."""


class NodeRefused(PortError):
    """The node answered with a JSON-RPC error; `code` is lightningd's."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class MalformedReply(PortError):
    """The node answered something that its contract does not allow."""


class WriteRefused(PortError):
    """The write gate is closed: nothing was sent; the message says why."""


class StaleGeneration(Exception):
    """The caller has been replaced by a successor; it may not act any more.

    No PortError: who handles a fault of the world must not take this for one and go on.
    """


class StoreDamaged(PortError):
    """The database is corrupt, foreign, newer than this program, or held by another process."""


# -- what an incarnation of an actor is given --------------------------------------------------


class Lease(Protocol):
    """The right of one incarnation to act, until its successor takes over."""

    def call(self, what: str, deadline_s: float) -> AbstractContextManager[None]:
        """Bracket one blocking port call, so that the watchdog knows how long it may take.

        Raises StaleGeneration on entry when the caller has been replaced.
        """
        ...

    def effect(self) -> AbstractContextManager[None]:
        """Hold the generation fixed over one commit or one write to the node.

        Raises StaleGeneration when the caller has been replaced. Short: a takeover waits for it.
        """
        ...


class Clock(Protocol):
    """Time in seconds, real or virtual."""

    def now(self) -> float:
        """Unix time: for facts and records. May step when the system's clock is set."""
        ...

    def monotonic(self) -> float:
        """Never steps back: for deadlines, timers and windows. Its zero means nothing."""
        ...


class Log(Protocol):
    """One line to the node's log. Never use it for what belongs into a record."""

    def info(self, text: str) -> None: ...

    def warn(self, text: str) -> None: ...


class Calls(Protocol):
    """The open `revenue-*` calls of clients; each is closed exactly once."""

    def answer(self, call_id: str, result: object) -> bool:
        """Close with a result; False when the call is closed already. Never blocks."""
        ...

    def refuse(self, call_id: str, reason: str, invalid: bool) -> bool:
        """Close with an error; `invalid` makes it JSON-RPC -32602. Never blocks."""
        ...

    def deadlines(self) -> Mapping[str, float]:
        """The open calls and when each is due (monotonic seconds)."""
        ...


# -- the node ----------------------------------------------------------------------------------


class NodeInfo(NamedTuple):
    """Who the node is and how it stands; `sync_warning` is None when it is in sync."""

    node_id: str
    network: str
    version: str
    blockheight: int
    sync_warning: str | None
    fees_collected_msat: int


class GossipChannel(NamedTuple):
    """One public channel direction as gossip shows it."""

    source: str
    destination: str
    scid: str
    capacity_msat: int
    active: bool
    base_msat: int
    fee_ppm: int


class ChannelReading(NamedTuple):
    """What listpeerchannels said; `malformed` entries could not be understood and are missing."""

    facts: tuple[ChannelFact, ...]
    malformed: int


class FeeSet(NamedTuple):
    """What the node says that it set."""

    channel_id: str
    base_msat: int
    fee_ppm: int


class Node(Protocol):
    """lightningd, as one incarnation may use it.

    Every method blocks, at most for the RPC timeout, and raises Unavailable, TimedOut,
    CircuitOpen, NodeRefused or MalformedReply. Amounts are msat.
    """

    def info(self) -> NodeInfo:
        """Who the node is; tells the write gate whether it is in sync with the chain."""
        ...

    def channels(self, peer_id: str | None = None) -> ChannelReading:
        """Every channel that the node knows, or has with this peer, in any state."""
        ...

    def slots(self) -> Mapping[str, int]:
        """Outgoing HTLCs in flight by channel_id; asks the node for no more than that."""
        ...

    def forward_indexes(self) -> ForwardIndexes: ...

    def forwards(self, index: str, start: int, limit: int) -> ForwardPage:
        """One page of listforwards; on a node without paging the whole list, `last` set."""
        ...

    def channels_to(self, peer_id: str) -> tuple[GossipChannel, ...]:
        """What gossip shows of the public channels that lead into `peer_id`."""
        ...

    def feerate_sat_per_vb(self) -> float | None:
        """What the chain charges for confirmation within about an hour, in sat/vB, above zero.

        None where the node has no such estimate (usual on regtest): no evidence of anything.
        """
        ...

    def fee_writers(self) -> tuple[str, ...]:
        """Other plugins that are active on the node and known to set fees, by their usual names."""
        ...

    def set_fee(self, channel_id: str, base_msat: int, ppm: int) -> FeeSet:
        """Write base fee and ppm through the gate; raises WriteRefused when it is closed."""
        ...


# -- the stores: one owner each ----------------------------------------------------------------
# Every method blocks on the disk for milliseconds, is one transaction at most, and raises
# Unavailable (disk full, I/O error, locked) or StoreDamaged. `open` may also find the node
# unavailable, because the file is stamped with the node's identity.


class Store(Protocol):
    """What every repository has. Before `open`, every other method raises Unavailable."""

    def open(self, node_id: str, network: str) -> None:
        """Open or create the database for this node; idempotent, cheap when open already.

        Raises Unavailable or StoreDamaged.
        """
        ...


class SettingsStore(Store, Protocol):
    """Overrides with what they replaced, the version counter, and the root of all randomness."""

    def load(self) -> tuple[int, tuple[tuple[str, str, str], ...]]:
        """(version, rows of (key, value text, replaced configured text))."""
        ...

    def save(self, version: int, overrides: Sequence[tuple[str, str, str]]) -> None:
        """Replace all overrides and the version."""
        ...

    def root_seed(self, fresh: int) -> int:
        """The stored root seed; stores and returns `fresh` where there is none yet."""
        ...


class ChannelStore(Store, Protocol):
    """Channels since first contact and every scid that each of them had."""

    def load(self) -> tuple[ChannelEntry, ...]: ...

    def save(self, entries: Sequence[ChannelEntry]) -> None:
        """Insert or update these channels and their scids; others stay as they are."""
        ...


class IngestState(NamedTuple):
    """Where the Accountant stands: cursors into the node's indexes, and totals."""

    next_created: int
    next_updated: int
    settled: int
    volume_msat: int
    fees_msat: int
    failed: int
    offered: int
    log_seq: int
    caught_up_once: bool


class ForwardStore(Store, Protocol):
    """The forward log and its cursors."""

    def load(self) -> IngestState: ...

    def ingest(
        self,
        rows: Sequence[Forward],
        *,
        authoritative: bool,
        next_created: int | None = None,
        next_updated: int | None = None,
        caught_up: bool | None = None,
    ) -> IngestState:
        """Take rows in, exactly once each, and move the cursors, in one transaction.

        A row is known by (in_scid, in_htlc_id). An offered row waits in its own table until it
        is resolved; a resolved row is appended to the log with the next seq and counted in the
        totals. Resolved never goes back to offered. Where a stored resolved row differs,
        `authoritative` rows (from listforwards) correct it and the totals; hints do not.
        """
        ...

    def read_log(self, after_seq: int, limit: int, not_before_s: float) -> ForwardLogPage: ...

    def open_forwards(self, limit: int) -> tuple[Forward, ...]:
        """Forwards still offered, oldest first."""
        ...

    def earnings(self, after_seq: int, from_s: float, mid_s: float, end_s: float) -> EarningsPage:
        """Sums over a bounded number of log rows after a cursor; see messages.ReadEarnings."""
        ...


class FlowStore(Store, Protocol):
    """The analyzer's cursor, its header, and one packed state per channel."""

    def load(self) -> tuple[int, str | None, Mapping[str, str]]:
        """(cursor seq, header text, channel_id -> packed state)."""
        ...

    def save(self, cursor_seq: int, header: str, states: Mapping[str, str]) -> None:
        """Store cursor, header and these states together; others stay as they are."""
        ...


FEE_SET = "set"
"""The outcome of a decision whose fee stands on the node; with any other it does not."""


class DecisionRow(NamedTuple):
    """A fee decision for the record; `body` is its JSON, from which it can be recomputed."""

    channel_id: str
    at_s: float
    action: str
    code: str
    old_ppm: int | None
    new_ppm: int | None
    by_hand: bool
    body: str


class StoredDecision(NamedTuple):
    """A decision as recorded; `outcome` is None while unknown, repeats counts equal ones."""

    decision_id: int
    row: DecisionRow
    last_at_s: float
    repeats: int
    outcome: str | None


class FeeStore(Store, Protocol):
    """Targets and state of each channel, and every decision with its outcome."""

    def load(self) -> tuple[str | None, Mapping[str, str]]:
        """(header text, channel_id -> packed state)."""
        ...

    def record(
        self,
        header: str,
        states: Mapping[str, str],
        decisions: Sequence[DecisionRow],
        *,
        keep_since_s: float = 0.0,
    ) -> tuple[int, ...]:
        """Store states and decisions together; returns the decisions' ids in order.

        A decision equal to the channel's newest one in action, code and ppm extends that one
        (newest body, time of the last, count) instead of making a row. Decisions, whatever
        they did, whose last repetition was before `keep_since_s` are let go, a bounded number in
        one call, oldest first.
        """
        ...

    def load_demand(self) -> Mapping[str, str]:
        """peer_id -> what was learned of its demand, packed."""
        ...

    def save_demand(self, header: str, demand: Mapping[str, str]) -> None:
        """Store the header and what is known of every peer, together; other peers are let go."""
        ...

    def set_outcome(self, decision_id: int, outcome: str, state: Mapping[str, str]) -> None:
        """What became of a decision, with the channel states that follow from it."""
        ...

    def recent_changes(self, limit: int) -> tuple[StoredDecision, ...]:
        """The newest fees that were really set, newest first."""
        ...

    def last_decisions(self, channel_id: str | None, limit: int) -> tuple[StoredDecision, ...]:
        """Decisions of one channel, newest first; with None the newest of each channel."""
        ...

    def decisions_after(self, place: tuple[float, int], limit: int) -> tuple[StoredDecision, ...]:
        """All decisions by (time of the last repetition, id) that come after a place in this
        order, in which those of one channel stand as they were made.
        """
        ...


class CareStore(Store, Protocol):
    """Care of the file itself."""

    def backup(self) -> str:
        """Copy the database online to its backup file, in small steps; returns the path."""
        ...

    def last_backup_s(self) -> float | None:
        """When the newest backup was made, None when there is none."""
        ...

    def check(self) -> str | None:
        """None when the file is sound, else what is wrong with it."""
        ...

    def facts(self) -> Mapping[str, object]:
        """Path, schema, size in bytes and a note on where the file came from."""
        ...
