"""One analysis under way: forwards sorted by channel, stretch of time and where they came from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from cl_revenue_ops.domain import flow_window, reputation, watch
from cl_revenue_ops.domain.flow import FlowObservation, FlowState
from cl_revenue_ops.domain.flow_window import Settled
from cl_revenue_ops.domain.reputation import Fading, Reputation
from cl_revenue_ops.domain.watch import Stretch, Watch
from messages.channels import ChannelEntry
from messages.forwards import SETTLED, ForwardLogPage, LoggedForward


def strangers(
    rows: Iterable[LoggedForward], scids: Mapping[str, str], read_at_s: float
) -> tuple[LoggedForward, ...]:
    """Settled forwards over a channel that a reading at `read_at_s` could not know yet.

    Both ends of a settled forward were channels of ours. An older one that is unknown belongs to a
    channel that closed before first contact.
    """
    return tuple(
        row
        for row in rows
        if row.status == SETTLED
        and row.at_s > read_at_s
        and (row.in_scid not in scids or (row.out_scid or "") not in scids)
    )


class Analysis:
    """What an analysis has read, and which channels it has stepped.

    `step` names what it waits for now; `held` is a page of the log that waits for a newer reading
    of the channels, and `looked_again` says that one was asked for; `reputation` is that before
    the analysis with what it has read so far.
    """

    def __init__(
        self,
        now_s: float,
        stretches: tuple[Stretch, ...],
        rest: Watch,
        cursor: int,
        before: Reputation,
        fading: Fading,
    ) -> None:
        self.now_s = now_s
        self.rest = rest
        self.cursor = cursor
        self.step = ""
        self.left: list[str] = []
        self.held: ForwardLogPage | None = None
        self.looked_again = False
        self.stepped: dict[str, FlowState] = {}
        self.reputation = reputation.faded(before, now_s, fading)
        self._fading = fading
        self._stretches = stretches
        self._late: dict[str, list[Settled]] = defaultdict(list)
        self._settled: dict[tuple[str, int], list[Settled]] = defaultdict(list)

    def take(
        self,
        rows: Sequence[LoggedForward],
        scids: Mapping[str, str],
        entries: Mapping[str, ChannelEntry],
        states: Mapping[str, FlowState],
    ) -> None:
        """Sort the settled forwards of a page by channel and stretch; all count for reputation."""
        seen = reputation.outcomes(rows, scids, entries)
        self.reputation = reputation.counted(self.reputation, seen, self.now_s, self._fading)
        for row in rows:
            if row.status != SETTLED:
                continue
            incoming, outgoing = scids.get(row.in_scid), scids.get(row.out_scid or "")
            if incoming is not None:
                self._add(incoming, Settled(row.at_s, False, row.in_msat), states)
            if outgoing is not None and row.out_msat is not None:
                self._add(outgoing, Settled(row.at_s, True, row.out_msat), states)

    def _add(self, channel_id: str, settled: Settled, states: Mapping[str, FlowState]) -> None:
        state = states.get(channel_id)
        if state is None or settled.at_s <= state.updated_s:
            # From before the first step, or found late: known to the window, not to the rate.
            self._late[channel_id].append(settled)
        else:
            number = watch.stretch_of(self._stretches, settled.at_s)
            self._settled[channel_id, number].append(settled)

    def observations(self, channel_id: str, state: FlowState) -> Iterable[FlowObservation]:
        """What is new of one channel, oldest first."""
        late = self._late.get(channel_id)
        if late:
            yield FlowObservation(state.updated_s, 0.0, 0.0, flow_window.collect(late))
        for number, stretch in enumerate(self._stretches):
            exposure = stretch.exposure.get(channel_id, watch.Exposure())
            settled = self._settled.get((channel_id, number), [])
            yield FlowObservation(
                stretch.end_s, exposure.in_s, exposure.out_s, flow_window.collect(settled)
            )
