"""Movements inside channels as journal entries, and to whom the fee of a payment is charged."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from cl_revenue_ops.domain import jsontext
from cl_revenue_ops.domain.ledger import accounts, evidence
from messages.books import Entry
from messages.node_books import ChannelMove

PAYMENT = "payment"
CORRECTION = "correction"
"""Moves the fee of a payment from the account where it was booked first."""

INVOICE = "invoice"
_ROUTED = "routed"

# The kind of entry that each tag becomes, and the account on its other side.
_OTHER_SIDE = {
    "pushed": ("pushed", accounts.PUSHED),
    "lease_fee": ("lease", accounts.LEASE),
    "penalty_adj": ("penalty", accounts.PENALTY),
}
_UNKNOWN = ("adjustment", accounts.ADJUSTMENT)
_JOURNAL = "journal_entry"


def payments_in(moves: Iterable[ChannelMove]) -> tuple[str, ...]:
    """The payment hashes whose earlier entries `channel_entries` has to know, each once."""
    found = {move.payment_hash: None for move in moves if move.tag == INVOICE and move.payment_hash}
    return tuple(found)


def move_of(entry: Entry) -> ChannelMove:
    """The movement that an entry of `channel_entries` was made of (a correction has none)."""
    return evidence.channel_move(entry.evidence)


def content_keys(moves: Iterable[ChannelMove]) -> Iterator[str]:
    """A key for each movement by its content, with an ordinal among equal ones.

    The same keys come out of the same list whether or not its rows have indexes, as long as it
    has all rows of an account in the node's order.
    """
    seen: Counter[str] = Counter()
    for move in moves:
        content = ":".join(
            "" if part is None else str(part)
            for part in (
                *("channelmove", move.channel_id, move.tag, move.credit_msat, move.debit_msat),
                *(move.fees_msat, move.at_s, move.payment_hash),
            )
        )
        seen[content] += 1
        yield f"{content}:{seen[content]}"


def channel_entries(
    moves: Sequence[ChannelMove],
    earlier: Mapping[str, Sequence[Entry]],
    source: str,
    ours: Container[str] = frozenset(),
) -> tuple[Entry, ...]:
    """Movements as entries, and the corrections of earlier ones that they bring about.

    `earlier` has by payment hash all that is booked of it, oldest first. Rows without an index
    are told apart by their content: then `moves` has to be the whole list of each account in it.
    Rebalances whose hash is in `ours` are our own jobs'. The totals do not depend on the order of
    rows or calls. ValueError for a forward: its own row is its entry.
    """
    new: dict[str, ChannelMove] = {}
    by_payment: dict[str, dict[str, ChannelMove]] = defaultdict(dict)
    for content_key, move in zip(content_keys(moves), moves, strict=True):
        if move.tag == _ROUTED:
            raise ValueError("a forward is no movement of the ledger")
        indexed = move.created_index is not None
        key = f"channelmove:{move.created_index}" if indexed else content_key
        new.setdefault(key, move)
        if move.tag == INVOICE and move.payment_hash is not None:
            by_payment[move.payment_hash].setdefault(key, move)
    filled: dict[str, str] = {}
    corrections: list[Entry] = []
    for payment_hash, fresh in by_payment.items():
        booked = earlier.get(payment_hash, ())
        parts = {entry.key: move_of(entry) for entry in booked if entry.kind == PAYMENT}
        pairs = _filled({**parts, **fresh})
        filled.update(pairs)
        news_s = max(move.at_s for move in fresh.values())
        for key, move in parts.items():
            account = _fee_account(move, pairs.get(key), ours)
            correction = _correction(key, move, account, booked, news_s, source)
            if correction is not None:
                corrections.append(correction)
    made = (_entry(key, move, filled.get(key), source, ours) for key, move in new.items())
    return (*made, *corrections)


def charged_anew(
    earlier: Mapping[str, Sequence[Entry]], source: str, ours: Container[str]
) -> tuple[Entry, ...]:
    """Corrections of what is booked of payments that only now are known to be ours.

    `earlier` is as for `channel_entries`, which finds the same accounts for what comes later. A
    correction has the time of what it corrects: the sums of every day are those that they had
    been if it had been known at once.
    """
    corrections: list[Entry] = []
    for booked in earlier.values():
        parts = {entry.key: move_of(entry) for entry in booked if entry.kind == PAYMENT}
        filled = _filled(parts)
        for key, move in parts.items():
            account = _fee_account(move, filled.get(key), ours)
            correction = _correction(key, move, account, booked, None, source)
            if correction is not None:
                corrections.append(correction)
    return tuple(corrections)


def _filled(parts: Mapping[str, ChannelMove]) -> dict[str, str]:
    """The channel that each part of a payment to ourselves filled, by the key of what left.

    The node gives no part number with what arrives, so parts are told apart by their amounts
    after fees; equal ones are matched in their order, each at most once.
    """
    order = sorted(parts, key=lambda key: (parts[key].created_index or 0, parts[key].at_s, key))
    left: dict[int, list[str]] = defaultdict(list)
    came: dict[int, list[str]] = defaultdict(list)
    for key in order:
        move = parts[key]
        if move.debit_msat:
            left[move.debit_msat - move.fees_msat].append(key)
        else:
            came[move.credit_msat].append(key)
    return {
        out: parts[into].channel_id
        for amount_msat, outs in left.items()
        for out, into in zip(outs, came.get(amount_msat, ()), strict=False)
    }


def _fee_account(move: ChannelMove, filled: str | None, ours: Container[str]) -> str:
    if filled is None:
        return accounts.of(accounts.PAYMENT_FEES, move.channel_id)
    if move.payment_hash in ours:
        return accounts.of(accounts.REBALANCE, filled)
    return accounts.of(accounts.OTHER_REBALANCE, filled)


def _entry(
    key: str, move: ChannelMove, filled: str | None, source: str, ours: Container[str]
) -> Entry:
    asset = accounts.of(accounts.CHANNEL, move.channel_id)
    amount_msat = move.credit_msat - move.debit_msat
    postings = [(asset, amount_msat)]
    if move.tag == INVOICE:
        kind = PAYMENT
        fees_msat = move.fees_msat if move.debit_msat else 0
        postings.append((accounts.PAYMENTS, -amount_msat - fees_msat))
        postings.append((_fee_account(move, filled, ours), fees_msat))
    elif move.tag == _JOURNAL:
        kind = "opening"
        postings.append((accounts.OPENING_BALANCE, -amount_msat))
    else:
        kind, other = _OTHER_SIDE.get(move.tag, _UNKNOWN)
        postings.append((accounts.of(other, move.channel_id), -amount_msat))
    return Entry(
        key,
        move.at_s,
        kind,
        source,
        evidence.of_channel_move(move),
        tuple(posting for posting in postings if posting[1]),
        payment_hash=move.payment_hash if kind == PAYMENT else None,
    )


def _correction(
    key: str,
    move: ChannelMove,
    account: str,
    booked: Sequence[Entry],
    at_s: int | None,
    source: str,
) -> Entry | None:
    """What moves a fee that was booked to where it belongs by now; None where it is there.

    Without a time of its own it has that of what it corrects.
    """
    if not move.debit_msat or not move.fees_msat:
        return None
    earlier = [entry for entry in booked if entry.key.startswith(f"{key}:fee:")]
    last = earlier[-1] if earlier else next(entry for entry in booked if entry.key == key)
    stands = next(
        name
        for name, amount_msat in last.postings
        if amount_msat == move.fees_msat and name.startswith("expenses:")
    )
    if stands == account:
        return None
    return Entry(
        f"{key}:fee:{len(earlier) + 1}",
        last.at_s if at_s is None else at_s,
        CORRECTION,
        source,
        jsontext.dumps({"corrects": key, "fee_belongs_to": account}),
        ((stands, -move.fees_msat), (account, move.fees_msat)),
        payment_hash=move.payment_hash,
    )
