"""For how long a channel has been usable and stocked without a single forward leaving by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from messages.flow import ChannelFlow


class IdleMark(NamedTuple):
    """Where the watching of a channel began: at its last outgoing forward, or at first sight.

    `settled_out` counts the outgoing forwards until then, `observed_s` the seconds until then in
    which it could have carried one.
    """

    settled_out: int
    observed_s: float


def marked(marks: Mapping[str, IdleMark], flows: Iterable[ChannelFlow]) -> dict[str, IdleMark]:
    """The marks after a report; channels that it does not have are let go.

    A channel that never forwarded counts from first sight. One whose figures began anew (its state
    was lost) counts from now on, as does one that had forwarded before it was watched.
    """
    made = {}
    for flow in flows:
        mark = marks.get(flow.channel_id)
        if mark is None:
            start_s = flow.observed_s if flow.settled_out else 0.0
            mark = IdleMark(flow.settled_out, start_s)
        elif flow.settled_out != mark.settled_out or flow.observed_s < mark.observed_s:
            mark = IdleMark(flow.settled_out, flow.observed_s)
        made[flow.channel_id] = mark
    return made


def idle_s(mark: IdleMark | None, flow: ChannelFlow) -> float:
    """Seconds of being usable and stocked since the last forward; 0 where none is known."""
    return 0.0 if mark is None else max(0.0, flow.observed_s - mark.observed_s)
