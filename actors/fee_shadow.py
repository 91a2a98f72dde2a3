"""How the FeeController compares the fees decided on with those in force, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field

from cl_revenue_ops.domain.channels import by_scid
from cl_revenue_ops.domain.fees import shadow_report
from cl_revenue_ops.domain.fees.facts import DAY_S, FeeParameters
from cl_revenue_ops.domain.fees.shadow_report import Names, Raw
from cl_revenue_ops.domain.fees.shadow_tally import Shadow, Window
from cl_revenue_ops.ports import FeeStore
from cl_revenue_ops.runtime.actor import Context
from messages.base import Answer, Refusal
from messages.channels import ChannelSnapshot
from messages.fees import ContinueShadow, ShadowReport
from messages.forwards import EarningsPage, ReadEarnings

ACCOUNTANT = "accountant"
DECISIONS_A_STEP = 250
BUSY = "another comparison is being made; try again in a moment"


@dataclass
class _Open:
    """A comparison under way: decisions are read after `place`, then earnings after `seq`."""

    asked: ShadowReport
    shadow: Shadow
    place: tuple[float, int]
    seq: int = 0
    step: str | None = None
    earned: dict[str, Raw] = field(default_factory=dict)


class FeeShadow:
    """One comparison at a time, a page of decisions a step; blocks on the store for a page.

    The Accountant adds up what was earned. Where it stays silent, the caller's time runs out.
    """

    def __init__(self, context: Context, store: FeeStore) -> None:
        self._context = context
        self._store = store
        self._steps = 0
        self._names = Names({}, {}, {})
        self._open: _Open | None = None

    def know(self, snapshot: ChannelSnapshot) -> None:
        """These are the channels, closed ones included."""
        entries = snapshot.channels
        self._names = Names(
            {e.channel_id: e.fact.scid or e.channel_id for e in entries},
            {e.channel_id: e.peer_id for e in entries},
            by_scid(entries),
        )

    def begin(self, asked: ShadowReport, fee_interval_s: float) -> None:
        """Start comparing; the answer goes to whoever asked."""
        clock = self._context.clock
        if self._open is not None and self._open.asked.deadline_s >= clock.monotonic():
            self._context.tell(asked.reply_to, Refusal(asked.call_id, BUSY))
            return
        until_s = clock.now()
        since_s = until_s - asked.window_days * DAY_S
        gap_s = max(FeeParameters.longest_gap_s, 2.0 * fee_interval_s)
        window = Window(since_s, until_s, gap_s)
        self._open = _Open(asked, Shadow(window), (since_s - gap_s, 0))
        self._go_on()

    def _go_on(self) -> None:
        self._context.tell(self._context.address, ContinueShadow())

    def step(self) -> None:
        """Take in the next decisions; after the last ask what was earned."""
        work = self._open
        if work is None or work.step is not None:
            return
        page = self._store.decisions_after(work.place, DECISIONS_A_STEP)
        for stored in page:
            work.shadow.take(stored)
        if len(page) < DECISIONS_A_STEP:
            work.shadow.finish()
            self._ask(work)
        else:
            work.place = page[-1].last_at_s, page[-1].decision_id
            self._go_on()

    def _ask(self, work: _Open) -> None:
        context, window = self._context, work.shadow.window
        self._steps += 1
        work.step = f"shadow {context.generation}.{self._steps}"
        before_s = 2.0 * window.since_s - window.until_s
        context.tell(
            ACCOUNTANT,
            ReadEarnings(
                work.step,
                context.address,
                work.asked.deadline_s,
                work.seq,
                before_s,
                window.since_s,
                window.until_s,
            ),
        )

    def take(self, reply: Answer | Refusal) -> bool:
        """Take in a reply of the Accountant; False where it answers something else."""
        work = self._open
        if work is None or work.step is None or work.step != reply.call_id:
            return False
        asked = work.asked
        if isinstance(reply, Refusal):
            self._open = None
            self._context.tell(asked.reply_to, Refusal(asked.call_id, reply.reason))
            return True
        page = reply.result
        assert isinstance(page, EarningsPage)
        for scid, before_msat, within_msat in page.earned:
            had = work.earned.get(scid, Raw(0, 0))
            work.earned[scid] = Raw(had.before_msat + before_msat, had.within_msat + within_msat)
        work.seq = page.next_seq
        if not page.last:
            self._ask(work)
            return True
        self._open = None
        told = shadow_report.report(work.shadow, self._names, work.earned, page.begins_s)
        self._context.tell(asked.reply_to, Answer(asked.call_id, told))
        return True
