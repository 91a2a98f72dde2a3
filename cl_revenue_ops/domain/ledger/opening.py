"""What the node had earned and deleted before it was first seen, as one visible entry."""

from __future__ import annotations

from collections.abc import Container, Mapping

from cl_revenue_ops.domain import jsontext
from cl_revenue_ops.domain.ledger import accounts
from messages.books import Entry

BY_MOVES = "opening:moves"
BY_COUNTER = "opening:fees-collected"


def by_moves(
    split_s: float,
    forwards: Mapping[str, int],
    routed: Mapping[str, int],
    on_chain: Mapping[str, int],
    ended: Container[str],
    deleted_fees_msat: int,
) -> Entry | None:
    """What forwards moved in each channel by the node's movements, and by no forward it lists.

    The first three are msat by channel up to `split_s`: what listed forwards brought less what
    they took, the same by the movements, and what was booked for HTLCs that ended on the chain
    (listed forwards without a movement). What is missing was moved by forwards that the node has
    deleted: `deleted_fees_msat` is what they earned, by its counter of fees. What is missing
    beyond that was in the opening figures with which the movements of an older node begin; what
    the counter tells beyond the movements is from before they begin.

    Where no forward was deleted, what is missing in a channel that `ended` is what `residue` is
    about, and left to it. None where nothing is missing.
    """
    missing = {
        channel_id: routed.get(channel_id, 0)
        - forwards.get(channel_id, 0)
        - on_chain.get(channel_id, 0)
        for channel_id in sorted({*forwards, *routed})
        if deleted_fees_msat or channel_id not in ended
    }
    rest_msat = sum(missing.values()) - deleted_fees_msat
    other = accounts.OPENING_BALANCE if rest_msat > 0 else accounts.COUNTED
    moved = ((accounts.of(accounts.CHANNEL, name), msat) for name, msat in missing.items())
    postings = (*moved, (accounts.UNATTRIBUTED, -deleted_fees_msat), (other, -rest_msat))
    kept = tuple(posting for posting in postings if posting[1])
    if not kept:
        return None
    evidence = jsontext.dumps({"until_s": split_s, "deleted_fees_msat": deleted_fees_msat})
    return Entry(BY_MOVES, int(split_s), "opening", "listchannelmoves", evidence, kept)


def by_counter(at_s: float, fees_collected_msat: int, booked_msat: int) -> Entry:
    """What the node counts as collected at the first comparison, and no record shows.

    Of it neither channels nor days are known, nor where the money went. Where nothing is missing
    the entry has no postings: it is the mark that what goes missing later is no opening any more.
    """
    missing_msat = max(0, fees_collected_msat - booked_msat)
    postings: tuple[tuple[str, int], ...] = ()
    if missing_msat:
        postings = (
            (accounts.COUNTED, missing_msat),
            (accounts.UNATTRIBUTED, -missing_msat),
        )
    evidence = jsontext.dumps({"fees_collected_msat": fees_collected_msat, "booked": booked_msat})
    return Entry(BY_COUNTER, int(at_s), "opening", "getinfo", evidence, postings)
