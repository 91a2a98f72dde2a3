"""What the tests of reports share: channels, books and balances in a few words."""

from __future__ import annotations

from typing import Any

from cl_revenue_ops.domain.reports.ground import Ground
from cl_revenue_ops.domain.reports.profitability import Spans
from messages.books import Books, ChannelBooks, CostEntry
from messages.channels import ChannelEntry, ChannelFact
from messages.flow import ChannelFlow
from messages.node_books import NodeBalances
from messages.reports import ChainView

DAY_S = 86_400.0
TODAY = 20_000
NOW_S = TODAY * DAY_S + 43_200.0
HEIGHT = 900_000


def channel_id(number: int) -> str:
    return f"{number:064x}"


def peer_id(number: int) -> str:
    return f"02{number:064x}"


def entry(
    number: int, *, closed: bool = False, age_days: float = 400.0, **fact: Any
) -> ChannelEntry:
    """A channel of a million sats, half of it ours, opened so many days ago."""
    height = HEIGHT - round(age_days * 144)
    found = ChannelFact(
        **{
            "channel_id": channel_id(number),
            "peer_id": peer_id(number),
            "state": "CHANNELD_NORMAL",
            "connected": True,
            "reestablished": True,
            "scid": f"{height}x{number}x0",
            "alias_scid": f"{16_000_000 + number}x1x1",
            "capacity_msat": 1_000_000_000,
            "local_msat": 500_000_000,
            "fee_ppm": 100 + number,
            **fact,
        }
    )
    scids = tuple(scid for scid in (found.alias_scid, found.scid) if scid)
    return ChannelEntry(found.channel_id, found.peer_id, scids, NOW_S - 30 * DAY_S, closed, found)


def ground(*entries: ChannelEntry, **parts: Any) -> Ground:
    """These channels at NOW_S, with the height of the chain."""
    known = {each.channel_id: each for each in entries}
    chain = ChainView(NOW_S, HEIGHT, 5.0, 700, 1_200)
    return Ground(NOW_S, **{"entries": known, "chain": chain, **parts})


def books(*rows: ChannelBooks, days: float = 30.0, **parts: Any) -> Books:
    """Books of these channels that cover so many days up to now."""
    return Books(
        **{
            "channels": rows,
            "unattributed_msat": 0,
            "wallet_fees_msat": 0,
            "from_s": NOW_S - days * DAY_S,
            "until_s": NOW_S,
            "known_since_s": NOW_S - 1_000 * DAY_S,
            "costs_source": "bookkeeper",
            "provisional": (),
            "trouble": None,
            **parts,
        }
    )


def row(number: int, **amounts: Any) -> ChannelBooks:
    """The books of a channel."""
    return ChannelBooks(channel_id(number), **amounts)


def spans(life: Books, week: Books | None = None, month: Books | None = None) -> Spans:
    """The same books for each window unless told otherwise."""
    return Spans(life, life if week is None else week, life if month is None else month)


def balances(*channels: tuple[int, int], **parts: Any) -> NodeBalances:
    """What the node says: balances of channels, ten thousand sats confirmed, some reserved."""
    return NodeBalances(
        **{
            "at_s": NOW_S,
            "accounts": None,
            "channels": tuple((channel_id(number), msat) for number, msat in channels),
            "fees_collected_msat": 0,
            "onchain_msat": 10_000_000,
            "reserved_msat": 2_000_000,
            "unconfirmed_msat": 7_000_000,
            **parts,
        }
    )


def flow(number: int, **parts: Any) -> ChannelFlow:
    """The flow of a channel that was watched for a hundred days."""
    return ChannelFlow(
        **{
            "channel_id": channel_id(number),
            "klass": "balanced",
            "confidence": 1.0,
            "flow_ratio": 0.0,
            "rate_in_msat_per_day": 0.0,
            "rate_out_msat_per_day": 0.0,
            "velocity_per_day": 0.0,
            "uncertainty": 0.1,
            "settled_out": 10,
            "observed_s": 100 * DAY_S,
            "mean_out_msat": 0.0,
            **parts,
        }
    )


def cost(number: int, what: str, **parts: Any) -> CostEntry:
    """An on-chain cost of a channel, a hundred days ago."""
    at_s = int(NOW_S - 100 * DAY_S)
    return CostEntry(
        **{
            "channel_id": channel_id(number),
            "what": what,
            "at_s": at_s,
            "msat": 1_000_000,
            "txid": "aa" * 32,
            "source": "bookkeeper",
            **parts,
        }
    )
