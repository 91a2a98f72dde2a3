"""What the node books on chain for a channel: its opening, its end, and what comes out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cl_revenue_ops.simnode import events
from cl_revenue_ops.simnode.model import Channel

if TYPE_CHECKING:
    from cl_revenue_ops.simnode.world import World


def opened(world: World, channel: Channel, at_s: float, *, spliced: bool = False) -> None:
    """Book that the funding output holds the channel, in the block that the channel knows.

    The funder is credited with what it put in; a push is a movement of its own. After a splice
    the whole balance is credited anew and nothing is pushed.
    """
    channel.open_booked = True
    local = channel.opener == "local"
    tags = ("opener",) if local else ()
    move = world.books.book_chain(
        channel.channel_id, at_s, "channel_open", f"{channel.funding_txid}:{channel.outnum}",
        channel.total_msat, channel.opening_height,
        credit_msat=channel.to_us_msat if spliced else channel.local_funds_msat,
        peer_id=channel.peer_id, extra_tags=tags,
    )  # fmt: skip
    events.chain_move(world, move)
    if channel.pushed_msat and not spliced:
        pushed = world.books.book_channel(
            channel.channel_id, at_s, "pushed",
            credit_msat=0 if local else channel.pushed_msat,
            debit_msat=channel.pushed_msat if local else 0,
        )  # fmt: skip
        events.channel_move(world, pushed)


def closed(
    world: World,
    channel: Channel,
    txid: str,
    count: int,
    at_s: float,
    *,
    height: int | None = None,
    tags: tuple[str, ...] = (),
) -> None:
    """Book that the funding output was spent by `txid`: the channel's whole balance leaves."""
    move = world.books.book_chain(
        channel.channel_id, at_s, "channel_close", f"{channel.funding_txid}:{channel.outnum}",
        channel.total_msat, world.height if height is None else height,
        debit_msat=channel.to_us_msat, extra_tags=tags, spending_txid=txid, output_count=count,
    )  # fmt: skip
    events.chain_move(world, move)


def outside(
    world: World,
    channel: Channel,
    tag: str,
    utxo: str,
    amount_msat: int,
    at_s: float,
    *,
    height: int | None = None,
    payment_hash: str | None = None,
) -> None:
    """Book an output of the channel's end that goes to somebody else."""
    move = world.books.book_chain(
        "external", at_s, tag, utxo, amount_msat, world.height if height is None else height,
        credit_msat=amount_msat, origin=channel.channel_id, payment_hash=payment_hash,
    )  # fmt: skip
    events.chain_move(world, move)


def output(
    world: World,
    channel: Channel,
    tag: str,
    utxo: str,
    amount_msat: int,
    at_s: float,
    *,
    height: int | None = None,
    spending: str | None = None,
    payment_hash: str | None = None,
) -> None:
    """Book an output of the channel's end that is ours: put down, or with `spending` taken away."""
    move = world.books.book_chain(
        channel.channel_id, at_s, tag, utxo, amount_msat,
        world.height if height is None else height,
        credit_msat=0 if spending else amount_msat, debit_msat=amount_msat if spending else 0,
        spending_txid=spending, payment_hash=payment_hash,
    )  # fmt: skip
    events.chain_move(world, move)


def theirs_spent(
    world: World, channel: Channel, tag: str, utxo: str, amount_msat: int, txid: str, at_s: float
) -> None:
    """Book that somebody else spent an output that was theirs: no amount moves."""
    move = world.books.book_chain(
        "external", at_s, tag, utxo, amount_msat, world.height,
        origin=channel.channel_id, spending_txid=txid,
    )  # fmt: skip
    events.chain_move(world, move)


def penalty_adjusted(world: World, channel: Channel, amount_msat: int, at_s: float) -> None:
    """Book that a penalty of that size came to a balance that had ended: in, and out again."""
    for credit_msat, debit_msat in ((amount_msat, 0), (0, amount_msat)):
        move = world.books.book_channel(
            channel.channel_id, at_s, "penalty_adj", credit_msat=credit_msat,
            debit_msat=debit_msat,
        )  # fmt: skip
        events.channel_move(world, move)
