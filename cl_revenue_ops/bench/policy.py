"""What a policy on the bench sees of the node, and what it may do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class ChannelView:
    """One open channel at this moment; `index` is its place in the market for the whole run.

    `local_msat` includes the reserve that we must keep. `remote_*` is what the peer charges
    towards us. `opened_at_s` is Unix seconds.
    """

    index: int
    channel_id: str
    peer_id: str
    capacity_msat: int
    local_msat: int
    our_reserve_msat: int
    base_msat: int
    ppm: int
    remote_base_msat: int
    remote_ppm: int
    opened_at_s: float


class QuoteView(NamedTuple):
    """What one rival channel asks into a peer, as gossip shows it; our own are not among them."""

    source_id: str
    capacity_msat: int
    base_msat: int
    ppm: int


class Settled(NamedTuple):
    """A forward that went through at `at_s`; channels by index."""

    at_s: float
    in_index: int
    out_index: int
    out_msat: int
    fee_msat: int


class Refused(NamedTuple):
    """A forward that we refused for lack of balance, slot or connection on `out_index`."""

    at_s: float
    in_index: int
    out_index: int
    out_msat: int


class Moved(NamedTuple):
    """What came of one payment to ourselves: what arrived and what it cost, or why nothing did.

    `why` is empty where it arrived, else one of NO_SUCH_MOVE, SOURCE_LACKS, DEST_FULL, BUSY (no
    more in this step), NO_CHEAP_ROUTE (nothing was sent), or the failure on the way. `seconds` is
    how long the try took.
    """

    moved_msat: int
    cost_msat: int
    why: str
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """True where it arrived."""
        return self.moved_msat > 0


NO_SUCH_MOVE, SOURCE_LACKS, DEST_FULL, BUSY = "no such move", "source lacks", "dest full", "busy"
NO_CHEAP_ROUTE = "NoCheapRoute"


class NodeView(Protocol):
    """The node as a policy sees it; `now_s` is Unix seconds of virtual time."""

    @property
    def now_s(self) -> float: ...
    def channels(self) -> Sequence[ChannelView]:
        """Return the open channels in order of index."""

    def channel(self, index: int) -> ChannelView:
        """Return one open channel; KeyError where it is closed or not yet open."""

    def quotes(self, peer_id: str) -> Sequence[QuoteView]:
        """Return what rivals ask into a peer now."""

    def sat_per_vb(self) -> float:
        """Return the on-chain fee rate for the next blocks."""

    def set_fee(self, index: int, ppm: int, base_msat: int = 0) -> None:
        """Change our fee on a channel; one that changes nothing makes no gossip."""

    def rebalance(
        self, source_index: int, dest_index: int, amount_msat: int, max_fee_ppm: int
    ) -> Moved:
        """Pay ourselves once: `amount_msat` arrives at the destination, the cost leaves as well.

        The price is the network's, at most `max_fee_ppm`. A pair takes only as many payments in a
        step as the minutes allow. KeyError for a channel that is not open, ValueError for an
        amount or a price below 0 (or no amount).
        """


class FeePolicy(Protocol):
    """A fee rule, or a rebalancer beside one, or both.

    `begin` once at the start, `tick` every `interval_s`, the rest as it happens: `settled` and
    `refused` are told in order of time, shortly after they happened.
    """

    name: str
    interval_s: float

    def begin(self, node: NodeView) -> None: ...
    def tick(self, node: NodeView) -> None: ...
    def settled(self, forward: Settled, node: NodeView) -> None: ...
    def refused(self, forward: Refused, node: NodeView) -> None: ...
