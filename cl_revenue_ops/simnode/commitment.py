"""Closes by force: the commitment transaction of either side, its outputs, and a cheater's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cl_revenue_ops.simnode import channel_books, closing, onchain_htlcs, wallet
from cl_revenue_ops.simnode.model import ANCHORS_MSAT, Channel, Commitment

if TYPE_CHECKING:
    from cl_revenue_ops.simnode.world import World

OUR_DELAY_BLOCKS = 144
ANCHOR_SPEND_WEIGHT = 720
ANCHOR_MSAT = ANCHORS_MSAT // 2
Place = tuple[int, str, tuple[str, int] | None]


def force_close(world: World, channel: Channel, by: str, at_s: float) -> None:
    """See World.force_close."""
    cause = closing.begin(world, channel, by, at_s)
    channel.frozen = True
    if by == "local":
        world.set_state(channel, "AWAITING_UNILATERAL", cause, "Forcibly closed", at_s)
    txid = world.draw("txid")
    world.mempool.append(lambda _, stamp: _confirmed(world, channel, txid, by == "local", stamp))


def _outputs(channel: Channel) -> list[Place]:
    """What the commitment transaction pays out: (msat, what, HTLC), in the order of amounts.

    HTLCs too small for an output are left to the miner. The opener pays fee and anchors; a side
    has an anchor if it has an output, and both have one while HTLCs are pending.
    """
    htlcs: list[Place] = []
    for pending in (channel.pending_in, channel.pending_out):
        for htlc in pending.values():
            amount_msat = closing.output_msat(htlc.amount_msat)
            if amount_msat:
                htlcs.append((amount_msat, "htlc", (htlc.direction, htlc.id)))
    cost_msat = channel.commitment_cost_msat(len(htlcs)) + ANCHORS_MSAT
    shares = closing.shares(channel, cost_msat)
    mains = [
        (amount_msat, what, None)
        for amount_msat, what in zip(shares, ("to_us", "to_them"), strict=True)
        if amount_msat
    ]
    anchors = 2 if htlcs else len(mains)
    paid: list[Place] = [*htlcs, *mains]
    if sum(place[0] for place in paid) + anchors * ANCHOR_MSAT <= channel.total_msat:
        # An opener who owns next to nothing cannot pay for anchors.
        paid += [(ANCHOR_MSAT, "anchor", None)] * anchors
    return sorted(paid, key=lambda place: place[0])


def _confirmed(world: World, channel: Channel, txid: str, ours: bool, at_s: float) -> None:
    """The commitment transaction is in a block: book all that is certain, plan the rest."""
    outputs = _outputs(channel)
    keys = {key: (place, msat) for place, (msat, _, key) in enumerate(outputs) if key is not None}
    channel.commitment = Commitment(txid, world.height, ours, keys, len(keys))
    if ours and any(direction == "out" for direction, _ in keys):
        # An HTLC of ours with a deadline is worth paying for speed.
        fee_msat = world.chain_fee_msat(ANCHOR_SPEND_WEIGHT)
        wallet.pay_fee(world, world.draw("txid"), fee_msat, at_s, index=0)
    closing.seen_on_chain(world, channel, txid, len(outputs), at_s)
    for place, (amount_msat, what, _) in enumerate(outputs):
        utxo = f"{txid}:{place}"
        if what in ("anchor", "to_them"):
            channel_books.outside(world, channel, what, utxo, amount_msat, at_s)
        elif what == "to_us":
            _our_output(world, channel, place, amount_msat, at_s)
    onchain_htlcs.begin(world, channel, at_s)
    onchain_htlcs.forget_if_done(world, channel)


def _our_output(world: World, channel: Channel, place: int, amount_msat: int, at_s: float) -> None:
    """On their commitment our balance is the wallet's at once, on ours only after the delay."""
    commitment = onchain_htlcs.commitment_of(channel)
    if not commitment.ours:
        wallet.deposit(
            world, amount_msat, at_s, world.height, txid=commitment.txid, index=place,
            origin=channel.channel_id,
        )  # fmt: skip
        return
    commitment.open_outputs += 1

    def due(stamp: float) -> None:
        onchain_htlcs.sweep(
            world, channel, "delayed_to_us", (commitment.txid, place), amount_msat,
            commitment.height, stamp,
        )  # fmt: skip

    world.at_height(world.height + OUR_DELAY_BLOCKS, due)


def cheat(world: World, channel: Channel, ours_msat: int, at_s: float) -> None:
    """See World.cheat."""
    if not 0 <= ours_msat <= channel.total_msat:
        raise ValueError("an old balance lies within the channel")
    closing.begin(world, channel, "remote", at_s)
    channel.frozen = True
    txid = world.draw("txid")
    world.mempool.append(lambda _, stamp: _cheated(world, channel, txid, ours_msat, stamp))


def _cheated(world: World, channel: Channel, txid: str, old_ours_msat: int, at_s: float) -> None:
    """An outdated commitment without HTLCs confirms; a block later their output is ours as well."""
    cost_msat = channel.commitment_cost_msat(0) + ANCHORS_MSAT
    ours_msat, theirs_msat = old_ours_msat, channel.total_msat - old_ours_msat
    if channel.opener == "local":
        ours_msat -= cost_msat
    else:
        theirs_msat -= cost_msat
    mains = [
        (amount_msat, what)
        for amount_msat, what in (
            (closing.output_msat(ours_msat), "to_us"), (closing.output_msat(theirs_msat), "stolen"),
        )
        if amount_msat
    ]  # fmt: skip
    if sum(main[0] for main in mains) + len(mains) * ANCHOR_MSAT <= channel.total_msat:
        mains += [(ANCHOR_MSAT, "anchor")] * len(mains)
    outputs = sorted(mains)
    channel.commitment = Commitment(txid, world.height, False, {})
    closing.seen_on_chain(world, channel, txid, len(outputs), at_s)
    for place, (amount_msat, what) in enumerate(outputs):
        if what == "anchor":
            utxo = f"{txid}:{place}"
            channel_books.outside(world, channel, "anchor", utxo, amount_msat, at_s)
        elif what == "to_us":
            _our_output(world, channel, place, amount_msat, at_s)
        else:
            _punish(world, channel, place, amount_msat)
    onchain_htlcs.begin(world, channel, at_s)
    onchain_htlcs.forget_if_done(world, channel)


def _punish(world: World, channel: Channel, place: int, amount_msat: int) -> None:
    commitment = onchain_htlcs.commitment_of(channel)
    commitment.open_outputs += 1

    def taken(stamp: float) -> None:
        onchain_htlcs.sweep(
            world, channel, "penalty", (commitment.txid, place), amount_msat, commitment.height,
            stamp,
        )  # fmt: skip
        channel_books.penalty_adjusted(world, channel, amount_msat, stamp)

    world.at_height(world.height + 1, taken)
