"""The protocol of the Reporter: reports, and what it asks of the node beside the books."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from messages.base import Command, Tick


@dataclass(frozen=True)
class MakeReport(Command):
    """To the Reporter: make this report.

    `what` is dashboard, summary, peer, channel, costs, policies, hive, reconcile, history,
    profitability, capacity or cleanup. `name` is the peer_id or channel_id that it is about;
    `text` asks for tables to read instead of JSON.
    """

    what: str
    window_days: int = 30
    name: str | None = None
    text: bool = False


@dataclass(frozen=True)
class DayTick(Tick):
    """Time to look whether a day has ended, a channel's books are final, or an alias is unknown."""


@dataclass(frozen=True)
class GatherDue(Tick):
    """The questions of this gathering are waited for no longer."""

    number: int


class ChainView(NamedTuple):
    """How the chain stands: its height, and what it charges; None where the node has no estimate.

    `opening_sat_per_vb` is the feerate of an opening; the others are satoshi for a whole close.
    """

    at_s: float
    blockheight: int
    opening_sat_per_vb: float | None
    mutual_close_sats: int | None
    unilateral_close_sats: int | None


@dataclass(frozen=True)
class ReadChainView(Command):
    """To the node reader: the height of the chain and its fees (ChainView)."""


class ClosedChannel(NamedTuple):
    """A channel that lightningd has forgotten, as it lists it; None where it does not say."""

    channel_id: str
    opener: str | None
    closer: str | None
    cause: str | None
    capacity_msat: int


@dataclass(frozen=True)
class ReadClosedChannels(Command):
    """To the node reader: the channels that the node has forgotten (a tuple of ClosedChannel)."""


@dataclass(frozen=True)
class ReadAliases(Command):
    """To the node reader: what these nodes call themselves: (peer_id, alias or None) in order."""

    peer_ids: tuple[str, ...]
