"""What every report stands on: channels, flows, policies, prices, and how each is called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from cl_revenue_ops.domain.channels import USABLE_STATES
from cl_revenue_ops.domain.demand.stock_curve import value_at
from cl_revenue_ops.domain.reports.money import DAY_S, sats
from messages.books import Books, ChannelBooks, CostEntry
from messages.channels import ChannelEntry
from messages.flow import ChannelFlow
from messages.node_books import NodeBalances
from messages.policies import PeerPolicy
from messages.rebalance import StockCurves
from messages.reports import ChainView

OPEN, OPENING, CLOSING, CLOSED = "open", "opening", "closing", "closed"
_OPENING_STATES = (
    "OPENINGD",
    "CHANNELD_AWAITING_LOCKIN",
    "DUALOPEND_OPEN_INIT",
    "DUALOPEND_OPEN_COMMIT_READY",
    "DUALOPEND_OPEN_COMMITTED",
    "DUALOPEND_AWAITING_LOCKIN",
)
BLOCK_S = 600.0
# What closing states say of how a channel closes.
_AGREED = ("CLOSINGD_SIGEXCHANGE", "CLOSINGD_COMPLETE")
_BY_FORCE = "AWAITING_UNILATERAL"


class StockPrice(NamedTuple):
    """What one more local sat is worth at a channel's peer now, and the node's price level, ppm."""

    own_ppm: float
    level_ppm: float


def stock_prices(
    curves: StockCurves | None, entries: Iterable[ChannelEntry]
) -> dict[str, StockPrice]:
    """The price of the stock of every open channel that the newest curves tell of."""
    if curves is None:
        return {}
    return {
        entry.channel_id: StockPrice(value_at(curve.knots, curve.local_msat), curves.level_ppm)
        for entry in entries
        if not entry.closed and (curve := curves.curves.get(entry.peer_id)) is not None
    }


class Ground(NamedTuple):
    """The newest that was told, at `now_s`.

    `fresh` says that the channels were read by this process.
    """

    now_s: float
    entries: Mapping[str, ChannelEntry] = {}
    flows: Mapping[str, ChannelFlow] = {}
    policies: tuple[PeerPolicy, ...] = ()
    prices: Mapping[str, StockPrice] = {}
    chain: ChainView | None = None
    aliases: Mapping[str, str] = {}
    fresh: bool = True

    def name(self, channel_id: str) -> str:
        """The scid of a channel; what is no known channel stands for itself."""
        entry = self.entries.get(channel_id)
        return channel_id if entry is None else name_of(entry)

    def peer(self, channel_id: str) -> str | None:
        """The peer of a channel."""
        entry = self.entries.get(channel_id)
        return None if entry is None else entry.peer_id

    def called(self, peer_id: str | None) -> str:
        """The alias of a peer, else the beginning of its id."""
        if peer_id is None:
            return "unknown peer"
        return self.aliases.get(peer_id) or f"{peer_id[:12]}..."

    def policy_of(self, peer_id: str) -> PeerPolicy:
        """What holds for a peer."""
        held = (policy for policy in self.policies if policy.peer_id == peer_id)
        return next(held, PeerPolicy(peer_id))

    def open_entries(self) -> list[ChannelEntry]:
        """The channels that are open, in the order in which they were first seen."""
        return [entry for entry in self.entries.values() if status_of(entry) == OPEN]

    def capacity_msat(self) -> int:
        """The capacity of all open channels."""
        return sum(entry.fact.capacity_msat for entry in self.open_entries())

    def local_msat(self) -> int:
        """Our balance in all open channels."""
        return sum(entry.fact.local_msat for entry in self.open_entries())

    def counts(self) -> dict[str, int]:
        """How many channels are open, opening, closing and closed."""
        found = dict.fromkeys((OPEN, OPENING, CLOSING, CLOSED), 0)
        for entry in self.entries.values():
            found[status_of(entry)] += 1
        return found


@dataclass(frozen=True)
class Missing:
    """What could not be had, and why. No tuple: many an answer is one."""

    reason: str


Balances = NodeBalances | Missing


def name_of(entry: ChannelEntry) -> str:
    """The scid of a channel, else its alias, else its channel_id."""
    return entry.fact.scid or entry.fact.alias_scid or entry.channel_id


def status_of(entry: ChannelEntry) -> str:
    """Open, opening, closing or closed."""
    if entry.closed:
        return CLOSED
    if entry.fact.state in USABLE_STATES:
        return OPEN
    return OPENING if entry.fact.state in _OPENING_STATES else CLOSING


def agreed(state: str) -> bool | None:
    """Whether a closing state says that both sides agreed; None where it says neither."""
    if state in _AGREED:
        return True
    return False if state == _BY_FORCE else None


def books_of(books: Books) -> dict[str, ChannelBooks]:
    """The books by channel."""
    return {row.channel_id: row for row in books.channels}


def opening_times(costs: Iterable[CostEntry]) -> dict[str, float]:
    """When the opening of each channel was booked, where it cost us anything."""
    found: dict[str, float] = {}
    for cost in costs:
        if cost.what == "opening":
            found[cost.channel_id] = min(cost.at_s, found.get(cost.channel_id, cost.at_s))
    return found


def opened_s(entry: ChannelEntry, ground: Ground, booked_s: float | None = None) -> float:
    """When a channel was opened, Unix seconds.

    `booked_s`, the time of its opening's cost, where there is one; else when its block was mined,
    counted back from the newest block at ten minutes each, but not later than when it was first
    seen. Blocks come faster or slower over years: counted from the present, the error is a few
    percent of the age.
    """
    if booked_s is not None:
        return booked_s
    chain, seen_s = ground.chain, entry.first_seen_s
    if chain is None:
        return seen_s
    heights = (int(scid.partition("x")[0]) for scid in entry.scids if scid != entry.fact.alias_scid)
    mined = [height for height in heights if 0 < height <= chain.blockheight]
    if not mined:
        return seen_s
    return min(seen_s, chain.at_s - (chain.blockheight - min(mined)) * BLOCK_S)


def age_days(entry: ChannelEntry, ground: Ground, booked_s: float | None = None) -> float:
    """For how many days a channel has been open."""
    return max(0.0, ground.now_s - opened_s(entry, ground, booked_s)) / DAY_S


def net_worth(ground: Ground, balances: Balances) -> dict[str, object]:
    """On-chain confirmed plus local balances, in sats; None with the reason where not known."""
    if isinstance(balances, Missing):
        return {
            "tlv_sats": None,
            "onchain_sats": None,
            "local_sats": sats(ground.local_msat()),
            "unconfirmed_sats": None,
            "note": f"the balances could not be read from the node: {balances.reason}",
        }
    onchain_msat = balances.onchain_msat + balances.reserved_msat
    local_msat = sum(amount_msat for _, amount_msat in balances.channels)
    return {
        "tlv_sats": sats(onchain_msat + local_msat),
        "onchain_sats": sats(onchain_msat),
        "local_sats": sats(local_msat),
        "unconfirmed_sats": sats(balances.unconfirmed_msat),
        "note": None,
    }
