"""What the node had earned and deleted before it was first seen, as one visible entry."""

from __future__ import annotations

from collections.abc import Mapping

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
) -> Entry | None:
    """What forwards moved in each channel by the node's movements, and by no forward it lists.

    All three are msat by channel up to `split_s`: what listed forwards brought less what they
    took, the same by the movements, and what was booked for HTLCs that ended on the chain (listed
    forwards without a movement). What is missing moved before the list begins; over all channels
    its sum is what those forwards earned. Where the movements begin later than the list (a node
    that is older than them begins with an opening figure of each channel), it is negative: that
    was no loss, it is in those opening figures. None where nothing is missing.
    """
    missing = {
        channel_id: routed.get(channel_id, 0)
        - forwards.get(channel_id, 0)
        - on_chain.get(channel_id, 0)
        for channel_id in sorted({*forwards, *routed})
    }
    postings = tuple(
        (accounts.of(accounts.CHANNEL, channel_id), msat)
        for channel_id, msat in missing.items()
        if msat
    )
    if not postings:
        return None
    earned_msat = sum(missing.values())
    other = accounts.UNATTRIBUTED if earned_msat > 0 else accounts.OPENING_BALANCE
    evidence = jsontext.dumps({"until_s": split_s, "forwards": dict(forwards)})
    return Entry(
        BY_MOVES,
        int(split_s),
        "opening",
        "listchannelmoves",
        evidence,
        (*postings, *(((other, -earned_msat),) if earned_msat else ())),
    )


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
