"""The bookkeeper's income statement: which movements are income or cost, and in which window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cl_revenue_ops.simnode.bkpr_ledger import EXTERNAL, FeeRow, Ledger
from cl_revenue_ops.simnode.moves import ChainMove, ChannelMove

Row = dict[str, Any]


def statement(
    ledger: Ledger, after_s: int, until_s: int, *, consolidate: bool, window_fees: bool
) -> list[Row]:
    """The income events with after_s < timestamp <= until_s, without their currency.

    `consolidate` sums the fees of a transaction and account into one event; where `window_fees`
    is False the window does not hold for fees, as before v25.12.
    """

    def within(timestamp: int) -> bool:
        return after_s < timestamp <= until_s

    chain = sorted(
        (move for move in ledger.chain if within(move.timestamp)), key=lambda m: m.timestamp
    )
    channel = sorted(
        (move for move in ledger.channel if within(move.timestamp)), key=lambda m: m.timestamp
    )
    fees = [row for row in ledger.all_fees() if not window_fees or within(row.timestamp)]
    if consolidate:
        fees = [row for row in ledger.fee_sums(fees) if row.credit_msat]
    return _merged(ledger, chain, channel, fees)


def _merged(
    ledger: Ledger, chain: list[ChainMove], channel: list[ChannelMove], fees: list[FeeRow]
) -> list[Row]:
    """One after the other, the earliest head first: chain before channel before fees."""
    rows: list[Row] = []
    heads: list[Sequence[ChainMove | ChannelMove | FeeRow]] = [chain, channel, fees]
    places = [0, 0, 0]
    while True:
        waiting = [
            (heads[kind][places[kind]].timestamp, kind)
            for kind in range(3)
            if places[kind] < len(heads[kind])
        ]
        if not waiting:
            return rows
        kind = min(waiting)[1]
        entry = heads[kind][places[kind]]
        places[kind] += 1
        if isinstance(entry, ChainMove):
            rows += _of_chain(ledger, entry)
        elif isinstance(entry, ChannelMove):
            rows += _of_channel(ledger, entry)
        else:
            rows.append(_of_fee(entry))


def _row(account: str | None, tag: str, credit_msat: int, debit_msat: int, time: int) -> Row:
    return {
        "account": account, "tag": tag, "credit_msat": credit_msat, "debit_msat": debit_msat,
        "timestamp": time,
    }  # fmt: skip


def _of_fee(row: FeeRow) -> Row:
    """A fee row with its sides changed: here a debit is cost."""
    shown = _row(row.account, "onchain_fee", row.debit_msat, row.credit_msat, row.timestamp)
    return shown | {"txid": row.txid}


def _of_chain(ledger: Ledger, move: ChainMove) -> list[Row]:
    outside = move.account_id == EXTERNAL
    account = move.originating_account if outside else move.account_id
    sides = (move.debit_msat, move.credit_msat) if outside else (move.credit_msat, move.debit_msat)
    tag = move.primary_tag
    if tag == "anchor":
        if not ledger.accounts[move.account_id].we_opened:
            return []
        account, sides = move.account_id, (move.debit_msat, move.credit_msat)
    elif tag == "deposit":
        if outside and not ledger.height(move):
            return []
        if not outside and any(m.spending_txid == move.txid for m in ledger.touching(move.txid)):
            return []  # our own money came back
        tag = "withdrawal" if outside else tag
    elif tag != "htlc_fulfill":
        return []
    row = _row(account, tag, *sides, move.timestamp) | {"outpoint": move.utxo}
    if move.spending_txid is not None:
        row["txid"] = move.spending_txid
    return [row if move.payment_hash is None else row | {"payment_id": move.payment_hash}]


def _of_channel(ledger: Ledger, move: ChannelMove) -> list[Row]:
    credit, debit, tag = move.credit_msat, move.debit_msat, move.primary_tag
    rebalance = ledger.is_rebalance(move)
    rows: list[Row] = []
    if tag == "routed":
        # Volume is no income; the fee counts where the money left.
        if debit:
            rows.append(_row(move.account_id, tag, move.fees_msat, 0, move.timestamp))
    elif tag == "penalty_adj":
        if credit:
            rows.append(_row(move.account_id, tag, credit, debit, move.timestamp))
    elif tag != "invoice":
        if credit or debit:
            rows.append(_row(move.account_id, tag, credit, debit, move.timestamp))
    else:
        if not rebalance and (credit or debit):
            paid = debit - move.fees_msat if debit else 0
            rows.append(_row(move.account_id, tag, credit, paid, move.timestamp))
        if debit and move.fees_msat:
            name = "rebalance_fee" if rebalance else "invoice_fee"
            rows.append(_row(move.account_id, name, 0, move.fees_msat, move.timestamp))
    if move.payment_hash is not None:
        return [row | {"payment_id": move.payment_hash} for row in rows]
    return rows
