"""What each transaction was for: miners' fees, money from and to outside, what a penalty won."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from cl_revenue_ops.domain import jsontext
from cl_revenue_ops.domain.ledger import accounts
from cl_revenue_ops.domain.ledger.chain import (
    CLOSED,
    FULFILLED,
    JOURNAL,
    OPENED,
    PROPOSED,
    chain_key,
    chain_rows,
    htlc_end,
)
from messages.books import Entry
from messages.node_books import EXTERNAL, WALLET, ChainMove, OnchainFee

ALLOTMENT = "allotment"

_DEPOSIT, _PENALTY = "deposit", "penalty"


def allot(rows: Iterable[ChainMove], fees: Iterable[OnchainFee] | None) -> dict[str, int]:
    """What of a transaction belongs to which account, as (account, msat) to be debited.

    A pure function of all rows of one txid and of all fees that bookkeeper has for it; `fees`
    None where there is no bookkeeper: then they are inferred as inputs less outputs. The sum is
    what the rows left in assets:transit, but for what is not clear yet: outputs of a closing
    transaction that are still to come, HTLCs that wait for their forward (see `forward_htlc`,
    which takes exactly their part), money that left and that no fee explains. That stays in
    transit, to be seen.

    In order: miners' fees, each to what the transaction was for that account; outputs to outside
    as far as the money went there; where nothing of ours was spent, or we got more than we spent,
    it came from outside; what a closing with a penalty brought above what the channel held.
    """
    moves = [row for _, row in sorted({chain_key(row): row for row in rows}.items())]
    moves = [row for row in moves if row.tag != JOURNAL]
    ours = [row for row in moves if row.account != EXTERNAL]
    if not ours:
        return {}
    shares: dict[str, int] = defaultdict(int)
    closed = _closed(moves)
    rest_msat = sum(row.debit_msat - row.credit_msat for row in ours)
    for account, paid_msat in _paid(moves, fees):
        shares[_cost(account, moves)] += paid_msat
        rest_msat -= paid_msat
    if not any(row.spending_txid for row in ours):
        shares[accounts.ONCHAIN] += rest_msat
        return _nonzero(shares)
    if closed is not None:
        rest_msat -= _waiting_for_forwards(moves)
    sent_msat = sum(
        row.credit_msat for row in moves if row.account == EXTERNAL and row.tag == _DEPOSIT
    )
    sent_msat = min(max(rest_msat, 0), sent_msat)
    shares[accounts.ONCHAIN] += sent_msat
    rest_msat -= sent_msat
    if rest_msat < 0 and closed is None:
        shares[accounts.ONCHAIN] += rest_msat
    elif rest_msat < 0 and any(row.tag == _PENALTY for row in ours):
        shares[accounts.of(accounts.PENALTY, str(closed))] += rest_msat
    return _nonzero(shares)


def allotment(
    txid: str, entries: Sequence[Entry], fees: Iterable[OnchainFee] | None
) -> Entry | None:
    """What is to be booked of a transaction's allotment now, None where all of it is.

    `entries` are all that is booked of `txid`, `fees` bookkeeper's for it (others are passed
    over). The entry has the difference to earlier ones; the second and later correct the first
    for everybody to see. It is dated by the latest of what it was made of.
    """
    rows = chain_rows(entries)
    known = None if fees is None else sorted(fee for fee in fees if fee.txid == txid)
    change: dict[str, int] = defaultdict(int, allot(rows, known))
    earlier = [entry for entry in entries if entry.kind == ALLOTMENT]
    for entry in earlier:
        for account, amount_msat in entry.postings:
            if account != accounts.TRANSIT:
                change[account] -= amount_msat
    postings = sorted(_nonzero(change).items())
    if not postings:
        return None
    transit_msat = -sum(amount_msat for _, amount_msat in postings)
    if transit_msat:
        postings.append((accounts.TRANSIT, transit_msat))
    paid = {fee.account: fee.paid_msat for fee in known or ()}
    return Entry(
        f"allot:{txid}:{len(earlier) + 1}",
        max([row.at_s for row in rows] + [fee.at_s for fee in known or ()]),
        ALLOTMENT,
        "inferred" if fees is None else "bookkeeper",
        jsontext.dumps({"rows": len(rows), "fees": paid}),
        tuple(postings),
        txid=txid,
    )


def _nonzero(shares: dict[str, int]) -> dict[str, int]:
    return {account: amount_msat for account, amount_msat in shares.items() if amount_msat}


def _closed(moves: Sequence[ChainMove]) -> str | None:
    """The channel that this transaction ended; a splice ends none."""
    for row in moves:
        spliced = row.spliced or _made_of(row.account, moves)
        if row.tag == CLOSED and row.account != EXTERNAL and not spliced:
            return row.account
    return None


def _made_of(account: str, moves: Sequence[ChainMove]) -> bool:
    """Whether the transaction makes a funding output of this channel."""
    return any(row.account == account and row.tag in (OPENED, PROPOSED) for row in moves)


def _cost(account: str, moves: Sequence[ChainMove]) -> str:
    """The account of a miners' fee: what the transaction is for whom paid it."""
    if account in (WALLET, EXTERNAL):
        return accounts.WALLET_FEES
    mine = [row for row in moves if row.account == account]
    made = _made_of(account, mine)
    if made and not any(row.spending_txid for row in mine):
        return accounts.of(accounts.OPENING, account)
    if made or any(row.spliced for row in mine):
        return accounts.of(accounts.SPLICE, account)
    return accounts.of(accounts.CLOSURE, account)


def _waiting_for_forwards(moves: Sequence[ChainMove]) -> int:
    """What HTLCs of a closing transaction leave in transit for `forward_htlc` to take."""
    ends = (htlc_end(row) for row in moves)
    return sum(
        end.amount_msat if end.side == "out" else -end.amount_msat
        for end in ends
        if end is not None
    )


# -- fees --------------------------------------------------------------------------------------


def _paid(moves: Sequence[ChainMove], fees: Iterable[OnchainFee] | None) -> list[tuple[str, int]]:
    if fees is not None:
        return [(fee.account, fee.paid_msat) for fee in fees]
    closed = _closed(moves)
    return _shared_out(moves) if closed is None else _closing_fee(closed, moves)


def _shared_out(moves: Sequence[ChainMove]) -> list[tuple[str, int]]:
    """Inputs less outputs, in equal parts to the channels that take part, else to the wallet."""
    spent_msat = sum(row.debit_msat for row in moves if row.spending_txid)
    made_msat = sum(row.credit_msat for row in moves if not row.spending_txid)
    names = sorted({row.account for row in moves} - {EXTERNAL})
    payers = [name for name in names if name != WALLET] or names
    if not spent_msat or not made_msat or spent_msat < made_msat:
        return []
    part_msat, odd = divmod(spent_msat - made_msat, len(payers))
    return [(name, part_msat + (place < odd)) for place, name in enumerate(payers)]


def _closing_fee(closed: str, moves: Sequence[ChainMove]) -> list[tuple[str, int]]:
    """What the channel held less what came out of it, once every output is known.

    What the peer had of the channel is no part of it, whoever has it now; an HTLC that they took
    was ours, one that we took was theirs.
    """
    rows = [row for row in moves if row.account == closed and row.tag == CLOSED]
    outputs = {row.outpoint for row in moves if not row.spending_txid}
    wanted = max(row.output_count for row in rows)
    if not wanted or len(outputs) < wanted:
        return []
    held_msat = sum(row.debit_msat for row in rows)
    out_msat = sum(
        row.credit_msat
        for row in moves
        if (row.account == EXTERNAL) == (row.tag == FULFILLED) or row.account == WALLET
    )
    return [(closed, held_msat - out_msat)] if out_msat <= held_msat else []
