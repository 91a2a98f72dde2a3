"""The commands around rebalances: to search, to move by hand, to explain, to clear reservations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cl_revenue_ops.commands import values
from cl_revenue_ops.commands.binding import BadInput, Param
from cl_revenue_ops.commands.channels import the_channel
from cl_revenue_ops.commands.desk import FrontDesk, HandOn
from messages.rebalance import (
    ClearReservations,
    ExplainRebalances,
    RebalanceByHand,
    RebalanceNow,
)

REBALANCER = "rebalancer"
MOST_SATS = 2_100_000_000_000_000
HAND = ("to_channel", "amount_sats")

PARAMS = (
    Param("from_channel", values.channel_name("from_channel")),
    Param("to_channel", values.channel_name("to_channel")),
    Param("amount_sats", values.whole("amount_sats", 1, MOST_SATS)),
    Param("max_fee_sats", values.whole_or_none("max_fee_sats", 0, MOST_SATS)),
    Param("force", values.flag("force"), default=False),
)
CHANNEL = Param("channel_id", values.channel_name("channel_id"))


def run(desk: FrontDesk, args: Mapping[str, Any]) -> HandOn:
    """A cycle now; with one channel the best move into it; with two and an amount that move."""
    source, destination, amount_sats = (args[name] for name in ("from_channel", *HAND))
    if destination is None and amount_sats is None:
        if args["max_fee_sats"] is not None or args["force"]:
            raise BadInput("max_fee_sats and force are for a move from one channel to another")
        channel_id = None if source is None else the_channel(desk, source).channel_id
        return HandOn(REBALANCER, lambda i, to, by: RebalanceNow(i, to, by, channel_id))
    for name in ("from_channel", *HAND):
        if args[name] is None:
            raise BadInput(
                f"{name} is missing; usage: revenue-rebalance, revenue-rebalance <channel>, or"
                " revenue-rebalance <from> <to> <amount_sats> [max_fee_sats] [force]"
            )
    from_id = the_channel(desk, source).channel_id
    to_id = the_channel(desk, destination).channel_id
    if from_id == to_id:
        raise BadInput("from_channel and to_channel are the same channel")
    max_fee_msat = None if args["max_fee_sats"] is None else args["max_fee_sats"] * 1_000
    return HandOn(
        REBALANCER,
        lambda i, to, by: RebalanceByHand(
            i, to, by, from_id, to_id, amount_sats * 1_000, max_fee_msat, args["force"]
        ),
    )


def explain(desk: FrontDesk, args: Mapping[str, Any]) -> HandOn:
    """Every pair with its arithmetic and verdict; of one channel the pairs into it."""
    name = args["channel_id"]
    channel_id = None if name is None else the_channel(desk, name).channel_id
    return HandOn(REBALANCER, lambda i, to, by: ExplainRebalances(i, to, by, channel_id))


def clear(desk: FrontDesk, args: Mapping[str, Any]) -> HandOn:
    """Release the reservations of jobs that are proven ended, and name the rest."""
    return HandOn(REBALANCER, ClearReservations)
