"""Movements of outputs as journal entries, and the HTLCs that end in a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from cl_revenue_ops.domain import jsontext
from cl_revenue_ops.domain.ledger import accounts, evidence
from messages.books import Entry
from messages.forwards import SETTLED, LoggedForward
from messages.node_books import EXTERNAL, WALLET, ChainMove

CHAIN = "chain"
OUTSIDE = "outside"
"""A row about an output that is not ours: evidence without postings."""

HTLC = "htlc"
"""Ties an HTLC that ended on the chain to the forward or the payment that it belonged to."""

JOURNAL = "journal_entry"
OPENED, PROPOSED, CLOSED = "channel_open", "channel_proposed", "channel_close"
FULFILLED = "htlc_fulfill"


class HtlcEnd(NamedTuple):
    """A fulfilled HTLC on the chain: whose channel, and which side of a forward it was there.

    "in": we claimed what the peer had offered. "out": the peer took what we had offered.
    `amount_msat` are whole satoshis.
    """

    channel_id: str
    side: str
    amount_msat: int


def chain_entries(rows: Iterable[ChainMove], source: str) -> tuple[Entry, ...]:
    """One entry for each row, the same row once.

    A row of the wallet or of a channel moves money between it and assets:transit, a node's own
    opening figure (journal_entry) between it and equity:opening. A row of "external" is evidence
    and moves nothing: what left our accounts for outside is in the allotment of its transaction.
    """
    found = {chain_key(row): row for row in reversed(list(rows))}
    return tuple(_entry(key, row, source) for key, row in reversed(found.items()))


def chain_key(row: ChainMove) -> str:
    """The key by content. Nodes repeat rows, begin their lists anew, and learn of blocks later.

    A channel in use before its funding is in a block is proposed first and opened later; that is
    one output and one fact.
    """
    tag = OPENED if row.tag == PROPOSED else row.tag
    return f"chainmove:{row.outpoint}:{tag}:{row.account}:{row.spending_txid or ''}"


def chain_rows(entries: Iterable[Entry]) -> tuple[ChainMove, ...]:
    """The rows that entries of `chain_entries` were made of; other entries have none."""
    return tuple(
        evidence.chain_move(entry.evidence) for entry in entries if entry.kind in (CHAIN, OUTSIDE)
    )


def funding_of(entries: Iterable[Entry]) -> dict[tuple[int, int], str]:
    """The channel of each funding output by its block and place: what its scid is made of.

    Where two channels were funded in one block by outputs of the same place, neither is told.
    """
    found: dict[tuple[int, int], set[str]] = {}
    for row in chain_rows(entries):
        if row.tag == OPENED and row.account not in (WALLET, EXTERNAL) and row.blockheight:
            place = (row.blockheight, int(row.outpoint.partition(":")[2]))
            found.setdefault(place, set()).add(row.account)
    return {place: names.pop() for place, names in found.items() if len(names) == 1}


def channel_of_scid(scid: str, funding: Mapping[tuple[int, int], str]) -> str | None:
    """The channel that had this scid; None where its funding output is not known."""
    block, _, place = scid.split("x")
    return funding.get((int(block), int(place)))


def asset_of(account: str) -> str:
    """The ledger's account for one of the node's accounts that is ours."""
    return accounts.WALLET if account == WALLET else accounts.of(accounts.CHANNEL, account)


def _entry(key: str, row: ChainMove, source: str) -> Entry:
    amount_msat = row.credit_msat - row.debit_msat
    postings: tuple[tuple[str, int], ...] = ()
    if row.account != EXTERNAL and amount_msat:
        other = accounts.OPENING_BALANCE if row.tag == JOURNAL else accounts.TRANSIT
        postings = ((asset_of(row.account), amount_msat), (other, -amount_msat))
    kind = OUTSIDE if row.account == EXTERNAL else CHAIN
    text = evidence.of_chain_move(row)
    return Entry(key, row.at_s, kind, source, text, postings, txid=row.txid)


def htlc_end(row: ChainMove) -> HtlcEnd | None:
    """The fulfilled HTLC that this row is about, None for any other row."""
    if row.tag != FULFILLED or row.spending_txid is not None or not row.credit_msat:
        return None
    if row.account != EXTERNAL:
        return None if row.account == WALLET else HtlcEnd(row.account, "in", row.credit_msat)
    if row.origin is None or row.origin in (WALLET, EXTERNAL):
        return None
    return HtlcEnd(row.origin, "out", row.credit_msat)


def htlcs_in(entries: Iterable[Entry]) -> tuple[ChainMove, ...]:
    """The rows of fulfilled HTLCs, of a transaction's entries, that no entry of kind HTLC has."""
    booked = list(entries)
    known = {entry.key for entry in booked if entry.kind == HTLC}
    return tuple(
        row
        for row in chain_rows(booked)
        if htlc_end(row) is not None and htlc_key(row) not in known
    )


def htlc_key(row: ChainMove) -> str:
    """The key of the one entry that says what the HTLC of this output was."""
    return f"htlc:{row.outpoint}"


def forward_htlc(
    row: ChainMove,
    candidates: Iterable[LoggedForward],
    channel_of: Mapping[str, str],
    booked: Iterable[Entry],
) -> Entry | None:
    """What makes up for a forward that ended on the chain, None where no candidate is its forward.

    The forward's row moves its exact amount on that side of the channel. The node has no such
    movement there: it has the output, in whole satoshis. The entry takes the forward's amount
    back from the channel and gives the output to the transit; what was cut off stays as a cost
    of the closure when we claimed (it is lost), and is taken off that cost when they did (it left
    with the forward already and is in the miners' fee a second time).

    A candidate is settled, of that channel on that side, of that amount cut to satoshis, and not
    tied to another HTLC by an entry in `booked` (all of the row's transaction, which is the
    channel's one closing transaction). The latest is taken: forwards that ended off the chain did
    so before. `evidence` records the match: the output, the side and the forward's `seq`.
    """
    end = htlc_end(row)
    if end is None:
        return None
    fitting = [
        forward
        for forward in _untied(candidates, end.channel_id, end.side, channel_of, booked)
        if _amount_at(forward, end.side) // 1000 * 1000 == end.amount_msat
    ]
    if not fitting:
        return None
    forward, sign = fitting[0], 1 if end.side == "in" else -1
    exact_msat = _amount_at(forward, end.side)
    return _tied(
        row,
        "listforwards",
        _match(row.outpoint, end.side, forward),
        (
            (accounts.of(accounts.CHANNEL, end.channel_id), -sign * exact_msat),
            (accounts.TRANSIT, sign * end.amount_msat),
            (accounts.of(accounts.DUST, end.channel_id), sign * (exact_msat - end.amount_msat)),
            *_set_apart(forward, end),
        ),
    )


def _set_apart(forward: LoggedForward, end: HtlcEnd) -> tuple[tuple[str, int], ...]:
    """The fee of a forward that left on the chain, moved from one kind of income to the other."""
    if end.side == "in" or not forward.fee_msat:
        return ()
    return (
        (accounts.of(accounts.ROUTING, end.channel_id), forward.fee_msat),
        (accounts.of(accounts.CHAIN_ROUTING, end.channel_id), -forward.fee_msat),
    )


def ties_forward(entry: Entry) -> bool:
    """Whether this is an entry of `forward_htlc`."""
    return entry.kind == HTLC and jsontext.loads(entry.evidence).get("forward") is not None


def payment_htlc(row: ChainMove) -> Entry | None:
    """For an HTLC of which it is clear that no forward has it: it was a payment of our own."""
    end = htlc_end(row)
    if end is None:
        return None
    sign = 1 if end.side == "in" else -1
    text = jsontext.dumps({"output": row.outpoint, "side": end.side, "forward": None})
    postings = (
        (accounts.PAYMENTS, -sign * end.amount_msat),
        (accounts.TRANSIT, sign * end.amount_msat),
    )
    return _tied(row, "inferred", text, postings)


def _untied(
    candidates: Iterable[LoggedForward],
    channel_id: str,
    side: str,
    channel_of: Mapping[str, str],
    booked: Iterable[Entry],
) -> list[LoggedForward]:
    """Settled forwards on that side of the channel that no HTLC has, the latest first."""
    tied = [jsontext.loads(entry.evidence) for entry in booked if entry.kind == HTLC]
    taken = {facts["forward"] for facts in tied if facts["side"] == side}
    fitting = []
    for forward in candidates:
        scid = forward.in_scid if side == "in" else forward.out_scid
        here = scid is not None and channel_of.get(scid, scid) == channel_id
        if here and forward.status == SETTLED and forward.seq not in taken:
            fitting.append(forward)
    return sorted(fitting, key=lambda forward: (forward.at_s, forward.seq), reverse=True)


def _amount_at(forward: LoggedForward, side: str) -> int:
    """What the forward moved on that side, 0 where the node never said."""
    return (forward.in_msat if side == "in" else forward.out_msat) or 0


def _match(output: str | None, side: str, forward: LoggedForward) -> str:
    return jsontext.dumps(
        {
            "output": output,
            "side": side,
            "forward": forward.seq,
            "in": forward.in_scid,
            "out": forward.out_scid,
            "msat": _amount_at(forward, side),
        }
    )


def _tied(row: ChainMove, source: str, text: str, postings: tuple[tuple[str, int], ...]) -> Entry:
    kept = tuple(posting for posting in postings if posting[1])
    return Entry(htlc_key(row), row.at_s, HTLC, source, text, kept, txid=row.txid)
