"""Which channel an operator means."""

from __future__ import annotations

from cl_revenue_ops.commands.binding import BadInput
from cl_revenue_ops.commands.desk import FrontDesk
from messages.channels import ChannelEntry


def the_channel(desk: FrontDesk, name: str) -> ChannelEntry:
    """The open channel that the operator means; BadInput where there is none, or several."""
    entry = desk.channel(name)
    if entry is None and len(name) == 66:
        of_peer = desk.channels_of(name)
        if len(of_peer) > 1:
            scids = ", ".join(str(e.fact.scid) for e in of_peer)
            raise BadInput(f"that peer has {len(of_peer)} channels; name one of {scids}")
        entry = of_peer[0] if of_peer else None
    if entry is None:
        raise BadInput(f"this node has no channel {name}; listpeerchannels shows its channels")
    if entry.closed:
        raise BadInput(f"channel {name} is closed")
    return entry
