"""Movements and what bookkeeper says of them, turned into the house's own types.

As in the other parsers any JSON value may come in, nothing is raised, and what cannot be trusted
is None. Rows that moved no money are sound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from cl_revenue_ops.adapters.fields import WrongField, as_bool, as_list, as_text, field, optional
from cl_revenue_ops.adapters.validate import (
    COUNT_LIMIT,
    parse_channel_id,
    parse_count,
    parse_hash,
    parse_msat,
    parse_pubkey,
    parse_stamp,
    parse_word,
)
from messages.node_books import EXTERNAL, WALLET, AccountBalance, ChainMove, ChannelMove, OnchainFee

_SPLICE, _OPENER = "splice", "opener"
_OUTPUTS_LIMIT = 1 << 32


class WalletOutput(NamedTuple):
    """One entry of the outputs of listfunds; `status` as the node names it."""

    amount_msat: int
    status: str
    reserved: bool


class IncomeRow(NamedTuple):
    """One entry of bkpr-listincome."""

    account: str
    tag: str
    credit_msat: int
    debit_msat: int
    at_s: int


class FeeRow(NamedTuple):
    """One correction of what an account paid for `txid`: positive is a cost."""

    txid: str
    paid_msat: int
    at_s: int


def parse_account(value: object) -> str | None:
    """An account by its name: the wallet, what is outside, or a channel_id."""
    if type(value) is str and value in (WALLET, EXTERNAL):
        return value
    return parse_channel_id(value)


def parse_outpoint(value: object) -> str | None:
    """An output as "txid:n", in its one canonical spelling."""
    if type(value) is not str:
        return None
    txid, _, number = value.partition(":")
    if parse_hash(txid) is None or not (number.isascii() and number.isdecimal()):
        return None
    sound = len(number) <= len(str(_OUTPUTS_LIMIT)) and int(number) < _OUTPUTS_LIMIT
    return value if sound and number == str(int(number)) else None


def parse_channel_move(row: object) -> ChannelMove | None:
    """One row of listchannelmoves; one of credit and debit is zero, the fee part of a debit."""
    if not isinstance(row, dict):
        return None
    try:
        return _one_sided(
            ChannelMove(
                created_index=field(row, "created_index", parse_count),
                channel_id=field(row, "account_id", parse_channel_id),
                tag=field(row, "primary_tag", parse_word),
                credit_msat=field(row, "credit_msat", parse_msat),
                debit_msat=field(row, "debit_msat", parse_msat),
                fees_msat=field(row, "fees_msat", parse_msat, 0),
                at_s=field(row, "timestamp", parse_stamp),
                payment_hash=optional(row, "payment_hash", parse_hash),
                part_id=_number(row, "part_id"),
                group_id=_number(row, "group_id"),
            )
        )
    except WrongField:
        return None


def parse_chain_move(row: object) -> ChainMove | None:
    """One row of listchainmoves."""
    if not isinstance(row, dict):
        return None
    try:
        tags = optional(row, "extra_tags", as_list) or []
        move = ChainMove(
            created_index=field(row, "created_index", parse_count),
            account=field(row, "account_id", parse_account),
            tag=field(row, "primary_tag", parse_word),
            credit_msat=field(row, "credit_msat", parse_msat),
            debit_msat=field(row, "debit_msat", parse_msat),
            at_s=field(row, "timestamp", parse_stamp),
            outpoint=field(row, "utxo", parse_outpoint),
            spending_txid=optional(row, "spending_txid", parse_hash),
            origin=optional(row, "originating_account", parse_account),
            payment_hash=optional(row, "payment_hash", parse_hash),
            blockheight=field(row, "blockheight", parse_count, 0),
            output_msat=optional(row, "output_msat", parse_msat),
            spliced=_SPLICE in tags,
            opener=_OPENER in tags,
            output_count=field(row, "output_count", parse_count, 0),
        )
    except WrongField:
        return None
    return None if move.credit_msat and move.debit_msat else move


def parse_chain_event(account: str, row: Mapping[str, Any]) -> ChainMove | None:
    """An event of type `chain` of bkpr-listaccountevents, asked for that account."""
    try:
        move = ChainMove(
            created_index=None,
            account=account,
            tag=field(row, "tag", parse_word),
            credit_msat=field(row, "credit_msat", parse_msat),
            debit_msat=field(row, "debit_msat", parse_msat),
            at_s=field(row, "timestamp", parse_stamp),
            outpoint=field(row, "outpoint", parse_outpoint),
            spending_txid=optional(row, "txid", parse_hash),
            origin=optional(row, "origin", parse_account),
            payment_hash=optional(row, "payment_id", parse_hash),
            blockheight=field(row, "blockheight", parse_count, 0),
        )
    except WrongField:
        return None
    return None if move.credit_msat and move.debit_msat else move


def parse_channel_event(account: str, row: Mapping[str, Any]) -> ChannelMove | None:
    """An event of type `channel` of bkpr-listaccountevents, asked for that channel."""
    try:
        return _one_sided(
            ChannelMove(
                created_index=None,
                channel_id=account,
                tag=field(row, "tag", parse_word),
                credit_msat=field(row, "credit_msat", parse_msat),
                debit_msat=field(row, "debit_msat", parse_msat),
                fees_msat=field(row, "fees_msat", parse_msat, 0),
                at_s=field(row, "timestamp", parse_stamp),
                payment_hash=optional(row, "payment_id", parse_hash),
                part_id=_number(row, "part_id"),
            )
        )
    except WrongField:
        return None


def parse_fee_event(row: Mapping[str, Any]) -> FeeRow | None:
    """An event of type `onchain_fee` of bkpr-listaccountevents: there a credit is a cost."""
    try:
        credit, debit = (field(row, f"{side}_msat", parse_msat) for side in ("credit", "debit"))
        txid, at_s = field(row, "txid", parse_hash), field(row, "timestamp", parse_stamp)
    except WrongField:
        return None
    return FeeRow(txid, credit - debit, at_s)


def fee_sums(account: str, rows: Iterable[FeeRow]) -> tuple[OnchainFee, ...]:
    """The sum of the corrections by transaction, in order of time; sums of zero are kept."""
    found: dict[str, OnchainFee] = {}
    for txid, paid_msat, at_s in rows:
        old = found.get(txid, OnchainFee(account, txid, 0, at_s))
        last_s = max(old.at_s, at_s)
        found[txid] = OnchainFee(account, txid, old.paid_msat + paid_msat, last_s)
    return tuple(sorted(found.values(), key=lambda fee: (fee.at_s, fee.txid)))


def parse_account_balance(row: object) -> AccountBalance | None:
    """One entry of bkpr-listbalances; an account that nothing has moved yet holds nothing."""
    if not isinstance(row, dict):
        return None
    try:
        held = [
            field(balance, "balance_msat", parse_msat)
            for balance in field(row, "balances", as_list)
            if isinstance(balance, dict)
        ]
        if len(held) < len(row["balances"]):
            return None
        return AccountBalance(
            account=field(row, "account", parse_account),
            balance_msat=sum(held),
            peer_id=optional(row, "peer_id", parse_pubkey),
            we_opened=optional(row, "we_opened", as_bool),
            closed=optional(row, "account_closed", as_bool),
            resolved=optional(row, "account_resolved", as_bool),
        )
    except WrongField:
        return None


def parse_income(row: object) -> IncomeRow | None:
    """One entry of bkpr-listincome: a debit is a cost, also of on-chain fees."""
    if not isinstance(row, dict):
        return None
    try:
        return IncomeRow(
            account=field(row, "account", parse_account),
            tag=field(row, "tag", parse_word),
            credit_msat=field(row, "credit_msat", parse_msat),
            debit_msat=field(row, "debit_msat", parse_msat),
            at_s=field(row, "timestamp", parse_stamp),
        )
    except WrongField:
        return None


def parse_output(row: object) -> WalletOutput | None:
    """One entry of the outputs of listfunds."""
    if not isinstance(row, dict):
        return None
    try:
        return WalletOutput(
            amount_msat=field(row, "amount_msat", parse_msat),
            status=field(row, "status", as_text),
            reserved=field(row, "reserved", as_bool, False),
        )
    except WrongField:
        return None


def _one_sided(move: ChannelMove) -> ChannelMove | None:
    if move.credit_msat:
        return None if move.debit_msat else move
    return move if move.fees_msat <= move.debit_msat else None


def _number(row: Mapping[str, Any], name: str) -> int | None:
    """A number that others chose: one beyond 63 bits is not told, and costs no row."""
    value = row.get(name)
    if type(value) is int and value >= COUNT_LIMIT:
        return None
    return optional(row, name, parse_count)
