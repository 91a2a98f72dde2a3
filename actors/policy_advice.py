"""How the PolicyEngine gathers a week of evidence and turns it into suggestions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from cl_revenue_ops.domain.policy import costs, idle, suggest
from cl_revenue_ops.domain.policy.costs import Costs
from cl_revenue_ops.domain.policy.idle import IdleMark
from cl_revenue_ops.domain.policy.suggest import ChannelEvidence, PeerEvidence
from cl_revenue_ops.ports import PolicyStore, PortError
from cl_revenue_ops.runtime.actor import Context
from messages.base import Answer, Refusal
from messages.books import Books, ChannelBooks, ReadBooks
from messages.channels import ChannelEntry, ChannelSnapshot
from messages.flow import ChannelFlow, FlowReport
from messages.policies import PeerPolicy, SuggestPolicies

ACCOUNTANT = "accountant"
BUSY = "suggestions are being made already; try again in a moment"
NO_EVIDENCE = "the channels have not been analysed yet; try again in a few minutes"
DAY_S = 86_400


class _Open(NamedTuple):
    """A call under way: the Accountant's books from that day (since 1970 in UTC) are asked for."""

    asked: SuggestPolicies
    at_s: float
    from_day: int
    step: str


class PolicyAdvice:
    """One call at a time. Without an answer the caller's time runs out. What the books know is what
    suggestions rest on: they are not waited for to be read on.

    How long channels have been idle is kept beside it with every report on flow; a mark that could
    not be stored is stored with the next report.
    """

    def __init__(self, context: Context, store: PolicyStore) -> None:
        self._context = context
        self._store = store
        self._entries: tuple[ChannelEntry, ...] = ()
        self._flows: dict[str, ChannelFlow] = {}
        self._marks: dict[str, IdleMark] = {}
        self._stored: dict[str, IdleMark] = {}
        self._steps = 0
        self._open: _Open | None = None

    def recover(self) -> None:
        """Read the marks; blocks on the store. A torn one is left out and told."""
        for channel_id, (count, seconds) in self._store.load_idle().items():
            if isinstance(count, int) and isinstance(seconds, (int, float)):
                self._marks[channel_id] = IdleMark(count, float(seconds))
            else:
                self._context.log.warn(
                    f"the stored idle time of channel {channel_id} is unreadable and begins anew"
                )
        self._stored = dict(self._marks)

    def know(self, snapshot: ChannelSnapshot) -> None:
        """These are the channels, closed ones included."""
        self._entries = snapshot.channels

    def hear(self, report: FlowReport) -> None:
        """Take in the newest figures; blocks on the store where a mark has moved."""
        self._flows = {flow.channel_id: flow for flow in report.channels}
        self._marks = idle.marked(self._marks, report.channels)
        if self._marks == self._stored:
            return
        try:
            self._store.save_idle(self._marks)
        except PortError as error:
            self._context.log.info(f"how long channels are idle could not be stored: {error}")
        else:
            self._stored = dict(self._marks)

    # -- one call -----------------------------------------------------------------------------

    def begin(self, asked: SuggestPolicies) -> None:
        """Gather what was earned in the window; the answer goes to whoever asked."""
        clock, tell = self._context.clock, self._context.tell
        if self._open is not None and self._open.asked.deadline_s >= clock.monotonic():
            tell(asked.reply_to, Refusal(asked.call_id, BUSY))
        elif not self._entries or not self._flows:
            tell(asked.reply_to, Refusal(asked.call_id, NO_EVIDENCE))
        else:
            self._ask(asked, clock.now())

    def _ask(self, asked: SuggestPolicies, now_s: float) -> None:
        """Ask for the last whole days of the window and today so far."""
        context = self._context
        self._steps += 1
        step = f"advice {context.generation}.{self._steps}"
        from_day = int(now_s) // DAY_S - suggest.WINDOW_DAYS
        self._open = _Open(asked, now_s, from_day, step)
        context.tell(ACCOUNTANT, ReadBooks(step, context.address, asked.deadline_s, from_day))

    def take(self, reply: Answer | Refusal, policies: Mapping[str, PeerPolicy]) -> bool:
        """Take in the Accountant's reply; False where it answers something else."""
        work = self._open
        if work is None or work.step != reply.call_id:
            return False
        self._open = None
        asked = work.asked
        if isinstance(reply, Refusal):
            self._context.tell(asked.reply_to, Refusal(asked.call_id, reply.reason))
        else:
            assert isinstance(reply.result, Books)
            told = self._told(work, reply.result, policies)
            self._context.tell(asked.reply_to, Answer(asked.call_id, told))
        return True

    def _told(
        self, work: _Open, books: Books, policies: Mapping[str, PeerPolicy]
    ) -> dict[str, object]:
        spent = costs.of_books(books, work.from_day)
        peers = self._evidence(work.at_s, books, spent)
        rows = [
            suggest.shown(found, policies.get(found.peer_id, PeerPolicy(found.peer_id)))
            for found in suggest.suggestions(peers, policies)
        ]
        return {
            "status": "success",
            "suggestions": rows,
            "count": len(rows),
            "generated_at": int(work.at_s),
            "evidence": {
                "window_days": suggest.WINDOW_DAYS,
                "window_from": work.from_day * DAY_S,
                "peers": len(peers),
                "peers_watched_long_enough": sum(map(suggest.enough, peers)),
                "forwards_in_window": sum(row.settled_in for row in books.channels),
                **costs.figures(spent, work.at_s),
            },
            "message": "nothing was changed; each command applies one suggestion",
        }

    def _evidence(self, at_s: float, books: Books, spent: Costs) -> list[PeerEvidence]:
        """What is known of each peer that has an open channel whose flow was analysed."""
        by_channel = {row.channel_id: row for row in books.channels}
        by_peer: dict[str, list[ChannelEvidence]] = defaultdict(list)
        for entry in self._entries:
            flow = self._flows.get(entry.channel_id)
            if not entry.closed and flow is not None:
                booked = by_channel.get(entry.channel_id, ChannelBooks(entry.channel_id))
                by_peer[entry.peer_id].append(self._of_channel(entry, flow, at_s, booked))
        return [
            PeerEvidence(
                peer_id,
                tuple(by_peer[peer_id]),
                None
                if spent.since_s is None
                else sum(spent.by_channel.get(row.channel_id, 0) for row in by_peer[peer_id]),
                costs_whole=spent.lacks is None,
            )
            for peer_id in sorted(by_peer)
        ]

    def _of_channel(
        self, entry: ChannelEntry, flow: ChannelFlow, at_s: float, booked: ChannelBooks
    ) -> ChannelEvidence:
        """Fees that an import found count as well: so do the costs that it found."""
        return ChannelEvidence(
            channel_id=entry.channel_id,
            capacity_msat=entry.fact.capacity_msat,
            local_msat=entry.fact.local_msat,
            known_s=at_s - entry.first_seen_s,
            observed_s=flow.observed_s,
            idle_s=idle.idle_s(self._marks.get(entry.channel_id), flow),
            settled_out=flow.settled_out,
            earned_msat=booked.out_fees_msat + booked.imported_fees_msat,
            brought_msat=booked.in_fees_msat,
            forwards_in_window=booked.settled_in + booked.settled_out,
            rate_in_msat_per_day=flow.rate_in_msat_per_day,
            rate_out_msat_per_day=flow.rate_out_msat_per_day,
            draining=flow.klass == "source",
        )
