"""What listed forwards moved in a closed channel by their rows, and never moved by the node's."""

from __future__ import annotations

from collections.abc import Iterable

from cl_revenue_ops.domain import jsontext
from cl_revenue_ops.domain.ledger import accounts
from cl_revenue_ops.domain.ledger.chain import HTLC
from cl_revenue_ops.domain.ledger.opening import BY_MOVES
from messages.books import Entry

UNMOVED = "unmoved"


def entry(
    channel_id: str, forwards_msat: int, routed_msat: int, booked: Iterable[Entry], at_s: float
) -> Entry | None:
    """The correction for a channel that is closed and whose every output is settled.

    An HTLC too small for an output of its own ends with the miners, one that the chain gave back
    before its preimage came is lost, and a penalty takes all of a channel whatever was on its way.
    Each may belong to a forward that the node lists as settled. `forwards_msat` is what listed
    forwards brought less what they took, `routed_msat` the same by the node's movements; `booked`
    are the entries of the channel: some of them make up for a part already. What is left is a cost
    of the closure, or takes off one that was counted twice. None where nothing is left.
    """
    asset = accounts.of(accounts.CHANNEL, channel_id)
    made_up, earlier = 0, 0
    for one in booked:
        if one.kind in (HTLC, UNMOVED) or one.key == BY_MOVES:
            made_up += sum(msat for account, msat in one.postings if account == asset)
            earlier += one.kind == UNMOVED
    rest_msat = forwards_msat + made_up - routed_msat
    if not rest_msat:
        return None
    evidence = jsontext.dumps({"forwards_msat": forwards_msat, "routed_msat": routed_msat})
    return Entry(
        f"unmoved:{channel_id}:{earlier + 1}",
        int(at_s),
        UNMOVED,
        "listchannelmoves",
        evidence,
        ((asset, -rest_msat), (accounts.of(accounts.DUST, channel_id), rest_msat)),
    )
