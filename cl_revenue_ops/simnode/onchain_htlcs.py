"""How HTLCs end on the chain after a forced close, and how outputs of a close reach the wallet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cl_revenue_ops.simnode import channel_books, closing, wallet
from cl_revenue_ops.simnode.model import Channel, Commitment, Htlc

if TYPE_CHECKING:
    from cl_revenue_ops.simnode.world import World

SWEEP_WEIGHT = 483
HTLC_TX_WEIGHT = 1_080
HTLC_DELAY_BLOCKS = 144


def commitment_of(channel: Channel) -> Commitment:
    """The commitment transaction in the chain; ValueError if there is none."""
    if channel.commitment is None:
        raise ValueError(f"{channel.channel_id} was not closed by force")
    return channel.commitment


def begin(world: World, channel: Channel, at_s: float) -> None:
    """Plan the end of every pending HTLC; those without an output are lost at once."""
    commitment = commitment_of(channel)
    for htlc in [*channel.pending_in.values(), *channel.pending_out.values()]:
        if (htlc.direction, htlc.id) not in commitment.outputs:
            world.htlc_ended(channel, htlc, False, at_s)
        else:
            _plan_expiry(world, channel, htlc)
    for key in [key for key in commitment.outputs if key in channel.preimages]:
        settle(world, channel, *key)


def _plan_expiry(world: World, channel: Channel, htlc: Htlc) -> None:
    act = _time_out if htlc.direction == "out" else _lose

    def due(stamp: float) -> None:
        act(world, channel, htlc, stamp)

    world.at_height(max(htlc.expiry, world.height + 1), due)


def settle(world: World, channel: Channel, direction: str, number: int) -> None:
    """The preimage of an HTLC is known: whom it pays claims its output in the next block."""
    channel.preimages.add((direction, number))
    if channel.commitment is None:
        return  # the commitment transaction is not in a block yet
    pending = channel.pending_out if direction == "out" else channel.pending_in
    htlc = pending.get(number)
    if htlc is None or (direction, number) not in channel.commitment.outputs:
        return
    claim = _claimed_by_them if direction == "out" else _claim
    world.mempool.append(lambda _, stamp: claim(world, channel, htlc, stamp))


def _is_open(channel: Channel, htlc: Htlc) -> bool:
    pending = channel.pending_out if htlc.direction == "out" else channel.pending_in
    return pending.get(htlc.id) is htlc


def _place(channel: Channel, htlc: Htlc) -> tuple[str, int, int]:
    commitment = commitment_of(channel)
    place, amount_msat = commitment.outputs[htlc.direction, htlc.id]
    return f"{commitment.txid}:{place}", place, amount_msat


def _claimed_by_them(world: World, channel: Channel, htlc: Htlc, at_s: float) -> None:
    """They take what we offered with the preimage, which we so learn."""
    if not _is_open(channel, htlc):
        return
    utxo, _, amount_msat = _place(channel, htlc)
    height = commitment_of(channel).height
    channel_books.outside(
        world, channel, "htlc_fulfill", utxo, amount_msat, at_s, height=height,
        payment_hash=htlc.payment_hash,
    )  # fmt: skip
    spender = world.draw("txid")
    channel_books.theirs_spent(world, channel, "htlc_fulfill", utxo, amount_msat, spender, at_s)
    world.htlc_ended(channel, htlc, True, at_s)
    settled(world, channel)


def _claim(world: World, channel: Channel, htlc: Htlc, at_s: float) -> None:
    """We take what they offered: from their commitment directly, from ours by a transaction."""
    if not _is_open(channel, htlc):
        return
    commitment = commitment_of(channel)
    utxo, place, amount_msat = _place(channel, htlc)
    if not commitment.ours:
        world.htlc_ended(channel, htlc, True, at_s)
        sweep(
            world, channel, "htlc_fulfill", (commitment.txid, place), amount_msat,
            commitment.height, at_s, payment_hash=htlc.payment_hash,
        )  # fmt: skip
        return
    txid = world.draw("txid")
    if not wallet.pay_fee(world, txid, world.chain_fee_msat(HTLC_TX_WEIGHT), at_s):
        world.at_height(world.height + 1, lambda later: _claim(world, channel, htlc, later))
        return
    channel_books.output(
        world, channel, "htlc_fulfill", utxo, amount_msat, at_s, height=commitment.height,
        payment_hash=htlc.payment_hash,
    )  # fmt: skip
    channel_books.output(world, channel, "htlc_fulfill", utxo, amount_msat, at_s, spending=txid)
    world.htlc_ended(channel, htlc, True, at_s)
    _second_stage(world, channel, txid, amount_msat)


def _time_out(world: World, channel: Channel, htlc: Htlc, at_s: float) -> None:
    """We take back what we offered and nobody claimed; tried anew while the wallet is empty."""
    if not _is_open(channel, htlc):
        return
    commitment = commitment_of(channel)
    utxo, place, amount_msat = _place(channel, htlc)
    if not commitment.ours:
        world.htlc_ended(channel, htlc, False, at_s)
        sweep(
            world, channel, "htlc_timeout", (commitment.txid, place), amount_msat,
            commitment.height, at_s,
        )  # fmt: skip
        return
    txid = world.draw("txid")
    if not wallet.pay_fee(world, txid, world.chain_fee_msat(HTLC_TX_WEIGHT), at_s):
        world.at_height(world.height + 1, lambda later: _time_out(world, channel, htlc, later))
        return
    channel_books.output(
        world, channel, "htlc_timeout", utxo, amount_msat, at_s, height=commitment.height
    )
    channel_books.output(world, channel, "htlc_timeout", utxo, amount_msat, at_s, spending=txid)
    world.htlc_ended(channel, htlc, False, at_s)
    _second_stage(world, channel, txid, amount_msat)


def _lose(world: World, channel: Channel, htlc: Htlc, at_s: float) -> None:
    """They may take back what they offered, for we never learned its preimage."""
    if not _is_open(channel, htlc) or (htlc.direction, htlc.id) in channel.preimages:
        return
    utxo, _, amount_msat = _place(channel, htlc)
    height = commitment_of(channel).height
    channel_books.outside(world, channel, "htlc_timeout", utxo, amount_msat, at_s, height=height)
    world.htlc_ended(channel, htlc, False, at_s)
    settled(world, channel)


def _second_stage(world: World, channel: Channel, txid: str, amount_msat: int) -> None:
    """The output of an HTLC transaction of ours is free after the delay."""
    height = world.height

    def due(stamp: float) -> None:
        sweep(world, channel, "htlc_tx", (txid, 0), amount_msat, height, stamp)

    world.at_height(height + HTLC_DELAY_BLOCKS, due)


def sweep(
    world: World,
    channel: Channel,
    tag: str,
    source: tuple[str, int],
    amount_msat: int,
    height: int,
    at_s: float,
    *,
    payment_hash: str | None = None,
) -> None:
    """Bring an output from the block `height` into the wallet, less the fee for that.

    Booked as put down (`tag`) and taken away (`to_wallet`) in the channel, after the wallet's own.
    """
    txid, utxo = world.draw("txid"), f"{source[0]}:{source[1]}"
    fee_msat = min(world.chain_fee_msat(SWEEP_WEIGHT), amount_msat - wallet.DUST_MSAT)
    fee_msat = fee_msat // 1000 * 1000
    wallet.deposit(world, amount_msat - fee_msat, at_s, world.height, txid=txid)
    channel_books.output(
        world, channel, tag, utxo, amount_msat, at_s, height=height, payment_hash=payment_hash
    )
    channel_books.output(world, channel, "to_wallet", utxo, amount_msat, at_s, spending=txid)
    settled(world, channel)


def settled(world: World, channel: Channel) -> None:
    """One output less is open; the last one begins the time until the channel is forgotten."""
    commitment_of(channel).open_outputs -= 1
    forget_if_done(world, channel)


def forget_if_done(world: World, channel: Channel) -> None:
    """Plan the forgetting if nothing of the commitment transaction is open."""
    if commitment_of(channel).open_outputs == 0:
        world.at_height(
            world.height + closing.FORGET_BLOCKS,
            lambda later: closing.forget(world, channel, later),
        )
