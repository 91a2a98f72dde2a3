"""The Accountant's ledger: what the books say, and when they are brought up to date."""

from __future__ import annotations

from actors.dialogue import Ask, Dialogue, Refused, Steps
from actors.ledger_audit import LedgerAudit
from actors.ledger_opening import CATCH_UP_S, LedgerOpening
from actors.ledger_reading import ESTIMATED, LedgerReading, Ours
from cl_revenue_ops.domain.channels import by_scid
from cl_revenue_ops.domain.ledger import accounts, assertions, costs, estimates, summary
from cl_revenue_ops.ports import AccountTotal, ForwardStore, LedgerStore
from cl_revenue_ops.runtime.actor import Context
from messages.base import Answer, Refusal
from messages.books import (
    Books,
    CostEntry,
    EntryPage,
    LedgerSilence,
    LedgerTick,
    ReadBooks,
    ReadEntries,
    Reconcile,
    ReconcileTick,
    Reconciliation,
)
from messages.channels import ChannelSnapshot
from messages.forwards import CatchUp
from messages.node_books import NodeBalances

DAY_S = 86_400
READ_S = 600.0
SOON_S = 5.0
RETRY_S = 60.0
FIRST_AUDIT_S = 3_600.0
NOT_READ = "what the node moved has not been read yet"
ENDING = ("CLOSINGD_COMPLETE", "AWAITING_UNILATERAL", "FUNDING_SPEND_SEEN", "ONCHAIN")
MOST_ENTRIES = 1_000
MOST_ESTIMATES = 10_000
MOST_COSTS = 100_000
MOST_WINDOWS = 16


class Bookkeeping:
    """Reads what the node moved every ten minutes and soon after a channel changed; compares
    once a day and when it is asked to. Blocks on the store.
    """

    def __init__(
        self, context: Context, store: ForwardStore, ledger: LedgerStore, ours: Ours
    ) -> None:
        self._context = context
        self._store = store
        self._ledger = ledger
        self._channel_of: dict[str, str] = {}
        self._snapshot: ChannelSnapshot | None = None
        self._reading = LedgerReading(context, ledger, ours)
        self._opening = LedgerOpening(
            context, store, ledger, self._reading, self._channels, self._closed
        )
        self._audit = LedgerAudit(
            context, store, ledger, self._reading, self._opening, self._channels
        )
        self._dialogue = Dialogue(context, "books", LedgerSilence())
        self._reconciles: list[Reconcile] = []
        self._windows: dict[tuple[int, int | None], tuple[AccountTotal, ...]] = {}
        self._totals_at = 0
        # Entries are never changed: what they cost is read once.
        self._costs: list[CostEntry] = []
        self._costs_up_to = 0
        self._estimated: frozenset[str] = frozenset()
        self._unresolved: frozenset[str] = frozenset()
        self._trouble: str | None = NOT_READ
        self._caught_up = False
        self._read_at_s: float | None = None
        self._reconciled: Reconciliation | None = None

    def begin(self) -> None:
        """What is stored, and the first pass soon."""
        self._reading.recover()
        self._show()
        self._context.after(SOON_S, LedgerTick())
        self._context.after(FIRST_AUDIT_S, ReconcileTick())

    def _channels(self) -> dict[str, str]:
        return self._channel_of

    def _closed(self) -> frozenset[str]:
        entries = self._snapshot.channels if self._snapshot is not None else ()
        return frozenset(e.channel_id for e in entries if e.closed or e.fact.state in ENDING)

    # -- what the books say ------------------------------------------------------------------------

    def books(self, message: ReadBooks) -> Books:
        """See messages.ReadBooks."""
        from_day, until_day = message.from_day, message.until_day
        forwards = self._store.totals(from_day, until_day)
        totals = self._totals(from_day, until_day)
        days = [d for d in (forwards.first_day, *(self._ledger.days() or ())) if d is not None]
        first_day = min(days, default=None)
        until_s = (
            self._context.clock.now()
            if until_day is None
            else min(self._context.clock.now(), until_day * float(DAY_S))
        )
        from_s = until_s if first_day is None else max(from_day, first_day) * float(DAY_S)
        return Books(
            summary.by_channel(forwards.scids, totals, self._channel_of, self._estimated),
            -summary.total_of(totals, accounts.UNATTRIBUTED),
            summary.total_of(totals, accounts.WALLET_FEES),
            min(from_s, until_s),
            until_s,
            None if first_day is None else first_day * float(DAY_S),
            self._reading.costs_source,
            tuple(sorted(self._unresolved)),
            self._trouble,
            self._read_at_s,
        )

    def _totals(self, from_day: int, until_day: int | None) -> tuple[AccountTotal, ...]:
        """The ledger's sums of a window; they change with a new entry alone."""
        newest = self._ledger.newest()
        if newest != self._totals_at:
            self._windows.clear()
            self._totals_at = newest
        window = (from_day, until_day)
        if window not in self._windows:
            if len(self._windows) >= MOST_WINDOWS:
                self._windows.clear()
            self._windows[window] = self._ledger.totals(from_day, until_day)
        return self._windows[window]

    def chain_costs(self) -> tuple[CostEntry, ...]:
        """See messages.ReadChainCosts."""
        newest = self._ledger.newest()
        if not self._costs_up_to:
            kinds = (accounts.OPENING, accounts.CLOSURE, accounts.SPLICE)
            found = [
                row for kind in kinds for row in self._ledger.of_accounts(f"{kind}:", MOST_COSTS)
            ]
            self._costs = list(costs.of_channels(found, self._ledger.of_transaction))
            self._costs_up_to = newest
        while self._costs_up_to < newest:
            page = self._ledger.page(self._costs_up_to, MOST_ENTRIES, 0.0, None)
            self._costs += costs.of_channels(page.rows, self._ledger.of_transaction)
            self._costs_up_to = page.next_after
        return tuple(self._costs)

    def entries(self, message: ReadEntries) -> EntryPage:
        """See messages.ReadEntries."""
        limit = max(1, min(message.limit, MOST_ENTRIES))
        return self._ledger.page(message.after, limit, message.from_s, message.until_s)

    # -- bringing them up to date ------------------------------------------------------------------

    def channels_read(self, message: ChannelSnapshot) -> None:
        """The node's channels, as the registry tells them."""
        states = _states(message)
        before = None if self._snapshot is None else _states(self._snapshot)
        self._snapshot = message
        self._channel_of = by_scid(message.channels)
        if before is not None and states != before:
            self._context.after(SOON_S, LedgerTick())

    def read_due(self) -> None:
        """Begin a pass, unless one is under way."""
        self._context.after(READ_S, LedgerTick())
        if not self._dialogue.running:
            self._dialogue.begin(self._guarded(self._pass()))

    def compare_due(self) -> None:
        """Begin the daily comparison."""
        if self._dialogue.running:
            self._context.after(RETRY_S, ReconcileTick())
            return
        self._context.after(float(DAY_S), ReconcileTick())
        self._dialogue.begin(self._guarded(self._compare()))

    def compare(self, message: Reconcile) -> None:
        """Compare now, and answer when it is done."""
        self._reconciles.append(message)
        if not self._dialogue.running:
            self._dialogue.begin(self._guarded(self._compare()))

    def overdue(self) -> None:
        """An answer that a pass waits for does not come."""
        self._dialogue.overdue()

    def replied(self, reply: Answer | Refusal) -> bool:
        """Whether a reply belonged to the books."""
        taken = self._dialogue.take(reply)
        if taken and self._reconciles and not self._dialogue.running:
            self._dialogue.begin(self._guarded(self._compare()))
        return taken

    def _guarded(self, steps: Steps) -> Steps:
        """The steps, with whatever the node refuses told in words and tried again."""
        began_s = self._context.clock.now()
        try:
            yield from steps
        except Refused as refused:
            self._trouble = str(refused)
            self._context.after(RETRY_S, LedgerTick())
            waiting, self._reconciles = self._reconciles, []
            for command in waiting:
                reason = f"the books could not be compared: {refused}"
                self._context.tell(command.reply_to, Refusal(command.call_id, reason))
        else:
            self._trouble = None
            self._read_at_s = began_s
        self._show()

    def _pass(self) -> Steps:
        if not self._caught_up:
            # What was earned while nobody looked belongs beside what was spent then.
            yield Ask(self._context.address, CatchUp, {}, CATCH_UP_S)
            self._caught_up = True
        yield from self._opening.split()
        yield from self._reading.steps()
        yield from self._opening.settle()
        self._estimate()

    def _compare(self) -> Steps:
        asked, self._reconciles = self._reconciles, []
        try:
            yield from self._opening.split()
            yield from self._audit.steps(self._compared)
        except Refused:
            self._reconciles = asked + self._reconciles
            raise
        self._estimate()
        for command in asked:
            self._context.tell(command.reply_to, Answer(command.call_id, self._reconciled))

    def _compared(self, found: Reconciliation, node: NodeBalances) -> None:
        self._reconciled = found
        self._unresolved = frozenset(
            row.account for row in node.accounts or () if row.closed and row.resolved is False
        )
        if any(row.remainder_msat for row in found.rows) and found.trouble is None:
            self._context.log.warn(f"books: {assertions.in_words(found.rows)}")

    def _estimate(self) -> None:
        """Costs that no record tells are estimated or imported, until a record does."""
        now_s = self._context.clock.now()
        imported = [e for _, e in self._ledger.of_accounts(accounts.IMPORTED, MOST_ESTIMATES)]
        if imported:
            self._ledger.book(estimates.overtaken(imported, self._totals(0, None), now_s))
        found = self._ledger.of_accounts(accounts.ESTIMATED, MOST_ESTIMATES)
        made = [entry for _, entry in found if entry.kind == estimates.SOURCE]
        if self._reading.costs_source != ESTIMATED:
            self._ledger.book(estimates.undone(made, now_s))
            made = []
        elif self._snapshot is not None:
            booked = {total.account for total in self._totals(0, None)}
            new = estimates.entries(self._snapshot.channels, booked, now_s)
            self._ledger.book(new)
            made += new
        self._estimated = estimates.estimated([*made, *estimates.guessed(imported)])

    def _show(self) -> None:
        """Put the state of the books where the status finds it."""
        context, found = self._context, self._reconciled
        if not context.lease.is_current():
            return
        body = {
            "costs_source": self._reading.costs_source,
            "trouble": self._trouble,
            "malformed": self._reading.malformed,
            "compared_at": None if found is None else found.at_s,
            "comparison": None if found is None else assertions.in_words(found.rows),
        }
        context.board.put(f"{context.address} books", context.clock.now(), body)


def _states(snapshot: ChannelSnapshot) -> dict[str, tuple[str, bool]]:
    return {e.channel_id: (e.fact.state, e.closed) for e in snapshot.channels}
