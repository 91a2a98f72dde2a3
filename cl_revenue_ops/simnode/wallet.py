"""The node's on-chain wallet: outputs, deposits, and paying for transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cl_revenue_ops.simnode import events
from cl_revenue_ops.simnode.errors import SimRpcError
from cl_revenue_ops.simnode.model import Output

if TYPE_CHECKING:
    from cl_revenue_ops.simnode.world import World

CANNOT_AFFORD = 301
DUST_MSAT = 546_000
WITHDRAW_WEIGHT = 561


def deposit(
    world: World,
    amount_msat: int,
    at_s: float,
    height: int,
    *,
    txid: str | None = None,
    index: int = 0,
    origin: str | None = None,
) -> Output:
    """Add a confirmed output and book it; `origin` is the account that it came from."""
    output = _output(world, txid or world.draw("txid"), index, amount_msat)
    output.height = height
    _book(world, output, "deposit", at_s, height, credit=True, origin=origin)
    return output


def _output(world: World, txid: str, index: int, amount_msat: int) -> Output:
    prefix = {"bitcoin": "bc1q", "regtest": "bcrt1q"}.get(world.network, "tb1q")
    output = Output(txid, index, amount_msat, prefix + world.draw("address")[:38])
    world.outputs.append(output)
    return output


def _book(
    world: World, output: Output, tag: str, at_s: float, height: int, *, credit: bool,
    origin: str | None = None, spending: str | None = None,
) -> None:  # fmt: skip
    move = world.books.book_chain(
        "wallet", at_s, tag, f"{output.txid}:{output.index}", output.amount_msat, height,
        credit_msat=output.amount_msat if credit else 0,
        debit_msat=0 if credit else output.amount_msat, origin=origin, spending_txid=spending,
    )  # fmt: skip
    events.chain_move(world, move)


def spend(world: World, inputs: list[Output], txid: str, at_s: float, height: int) -> None:
    """Book that `inputs` were spent by `txid`."""
    for output in inputs:
        output.spent, output.reserved = True, False
        _book(world, output, "withdrawal", at_s, height, credit=False, spending=txid)


def balance_msat(world: World) -> int:
    """Confirmed outputs that are neither spent nor reserved."""
    return sum(
        o.amount_msat
        for o in world.outputs
        if o.height is not None and not o.spent and not o.reserved
    )


def fund_transaction(world: World, txid: str, amount_msat: int, fee_msat: int) -> None:
    """Choose inputs for `amount_msat` plus the fee and add the change; 301 if we cannot.

    The inputs stay reserved and the change unconfirmed until `confirm`.
    """
    chosen: list[Output] = []
    total = 0
    for output in world.outputs:
        if total >= amount_msat + fee_msat:
            break
        if output.height is not None and not output.spent and not output.reserved:
            chosen.append(output)
            total += output.amount_msat
    if total < amount_msat + fee_msat:
        raise SimRpcError(CANNOT_AFFORD, "Could not afford the transaction from the wallet")
    for output in chosen:
        output.reserved = True
    world.funding[txid] = chosen
    change = total - amount_msat - fee_msat
    # Change below the dust limit is left to the miner.
    if change >= DUST_MSAT:
        _output(world, txid, 1, change)


def pay_fee(world: World, txid: str, fee_msat: int, at_s: float, *, index: int = 1) -> bool:
    """Add an own output to a transaction that confirms now, to pay its fee; False without one.

    What is left of it comes back as the transaction's output number `index`.
    """
    need_msat = fee_msat + DUST_MSAT
    for output in world.outputs:
        free = output.height is not None and not output.spent and not output.reserved
        if free and output.amount_msat >= need_msat:
            spend(world, [output], txid, at_s, world.height)
            change_msat = output.amount_msat - fee_msat
            deposit(world, change_msat, at_s, world.height, txid=txid, index=index)
            return True
    return False


def withdraw(world: World, amount_msat: int, at_s: float) -> str:
    """Pay `amount_msat` to an address that is not ours; returns the txid, 301 if we cannot.

    Booked as outside at once with block 0; our own side follows with the block.
    """
    txid = world.draw("txid")
    fund_transaction(world, txid, amount_msat, world.chain_fee_msat(WITHDRAW_WEIGHT))
    move = world.books.book_chain(
        "external", at_s, "deposit", f"{txid}:0", amount_msat, 0, credit_msat=amount_msat,
        origin="wallet",
    )  # fmt: skip
    events.chain_move(world, move)
    world.mempool.append(lambda _, stamp: confirm(world, txid, stamp))
    return txid


def cancel(world: World, txid: str) -> None:
    """The transaction will never confirm: its inputs are free again, its change is gone."""
    for output in world.funding.pop(txid, []):
        output.reserved = False
    world.outputs[:] = [o for o in world.outputs if o.txid != txid or o.height is not None]


def confirm(world: World, txid: str, at_s: float) -> None:
    """The transaction is in a block: its inputs are spent, its change is ours."""
    spend(world, world.funding.pop(txid, []), txid, at_s, world.height)
    for output in world.outputs:
        if output.txid == txid and output.height is None:
            output.height = world.height
            _book(world, output, "deposit", at_s, world.height, credit=True)
