"""The Accountant's ledger: what may be asked of the books, and when they are brought up to date."""

from __future__ import annotations

from actors.base import HouseActor, handles
from actors.dialogue import Dialogue, Refused, Steps
from actors.ledger_audit import LedgerAudit
from actors.ledger_opening import LedgerOpening
from actors.ledger_reading import ESTIMATED, LedgerReading
from cl_revenue_ops.domain.channels import by_scid
from cl_revenue_ops.domain.ledger import accounts, assertions, costs, estimates, summary
from cl_revenue_ops.ports import ForwardStore, LedgerStore
from cl_revenue_ops.runtime.actor import Context
from messages.base import Answer, Refusal
from messages.books import (
    BookEntries,
    Books,
    GoOnBooking,
    LedgerSilence,
    LedgerTick,
    NodeBalances,
    ReadBooks,
    ReadChainCosts,
    ReadEntries,
    Reconcile,
    ReconcileTick,
    Reconciliation,
)
from messages.channels import ChannelSnapshot

DAY_S = 86_400
READ_S = 600.0
SOON_S = 5.0
RETRY_S = 60.0
FIRST_AUDIT_S = 3_600.0
ENDING = ("CLOSINGD_COMPLETE", "AWAITING_UNILATERAL", "FUNDING_SPEND_SEEN", "ONCHAIN")
MOST_ENTRIES = 1_000
NOT_READ = "what the node moved has not been read yet"
MOST_ESTIMATES = 10_000
MOST_COSTS = 100_000


class Bookkeeping(HouseActor):
    """Reads what the node moved every ten minutes and soon after a channel changed; compares
    once a day and when it is asked to.
    """

    def __init__(self, context: Context, *, store: ForwardStore, ledger: LedgerStore) -> None:
        super().__init__(context)
        self._store = store
        self._ledger = ledger
        self._channel_of: dict[str, str] = {}
        self._snapshot: ChannelSnapshot | None = None
        self._reading = LedgerReading(context, ledger)
        self._opening = LedgerOpening(
            context, store, ledger, self._reading, self._channels, self._closed
        )
        self._audit = LedgerAudit(
            context, store, ledger, self._reading, self._opening, self._channels
        )
        self._dialogue = Dialogue(context, "books", LedgerSilence())
        self._reconciles: list[Reconcile] = []
        self._estimated: frozenset[str] = frozenset()
        self._unresolved: frozenset[str] = frozenset()
        self._books_trouble: str | None = NOT_READ
        self._reconciled: Reconciliation | None = None

    def open_books(self) -> None:
        """What is stored, and the first pass soon; blocks on the store."""
        self._reading.recover()
        self.context.after(SOON_S, LedgerTick())
        self.context.after(FIRST_AUDIT_S, ReconcileTick())

    def _channels(self) -> dict[str, str]:
        return self._channel_of

    def _closed(self) -> frozenset[str]:
        entries = self._snapshot.channels if self._snapshot is not None else ()
        return frozenset(e.channel_id for e in entries if e.closed or e.fact.state in ENDING)

    # -- what the books say ------------------------------------------------------------------------

    @handles(ReadBooks)
    def _read_books(self, message: ReadBooks) -> None:
        from_day, until_day = message.from_day, message.until_day
        forwards = self._store.totals(from_day, until_day)
        totals = self._ledger.totals(from_day, until_day)
        days = [d for d in (forwards.first_day, *(self._ledger.days() or ())) if d is not None]
        first_day = min(days, default=None)
        until_s = self.now() if until_day is None else min(self.now(), until_day * float(DAY_S))
        from_s = until_s if first_day is None else max(from_day, first_day) * float(DAY_S)
        books = Books(
            summary.by_channel(forwards.scids, totals, self._channel_of, self._estimated),
            -summary.total_of(totals, accounts.UNATTRIBUTED),
            summary.total_of(totals, accounts.WALLET_FEES),
            min(from_s, until_s),
            until_s,
            None if first_day is None else first_day * float(DAY_S),
            self._reading.costs_source,
            tuple(sorted(self._unresolved)),
            self._books_trouble,
        )
        self.answer(message, books)

    @handles(ReadChainCosts)
    def _read_costs(self, message: ReadChainCosts) -> None:
        kinds = (accounts.OPENING, accounts.CLOSURE, accounts.SPLICE)
        found = [row for kind in kinds for row in self._ledger.of_accounts(f"{kind}:", MOST_COSTS)]
        self.answer(message, costs.of_channels(found))

    @handles(ReadEntries)
    def _read_entries(self, message: ReadEntries) -> None:
        limit = max(1, min(message.limit, MOST_ENTRIES))
        page = self._ledger.page(message.after, limit, message.from_s, message.until_s)
        self.answer(message, page)

    @handles(BookEntries)
    def _book_entries(self, message: BookEntries) -> None:
        try:
            new = self._ledger.book(message.entries)
        except ValueError as error:
            self.refuse(message, str(error), invalid=True)
        else:
            self.answer(message, new)

    # -- bringing them up to date ------------------------------------------------------------------

    @handles(ChannelSnapshot)
    def _channels_read(self, message: ChannelSnapshot) -> None:
        states = _states(message)
        before = None if self._snapshot is None else _states(self._snapshot)
        self._snapshot = message
        self._channel_of = by_scid(message.channels)
        if before is not None and states != before:
            self.context.after(SOON_S, LedgerTick())

    @handles(LedgerTick)
    def _read_due(self, message: LedgerTick) -> None:
        self.context.after(READ_S, LedgerTick())
        if not self._dialogue.running:
            self._dialogue.begin(self._guarded(self._pass()))

    @handles(ReconcileTick)
    def _reconcile_due(self, message: ReconcileTick) -> None:
        if self._dialogue.running:
            self.context.after(RETRY_S, ReconcileTick())
            return
        self.context.after(float(DAY_S), ReconcileTick())
        self._dialogue.begin(self._guarded(self._compare()))

    @handles(Reconcile)
    def _reconcile(self, message: Reconcile) -> None:
        self._reconciles.append(message)
        if not self._dialogue.running:
            self._dialogue.begin(self._guarded(self._compare()))

    @handles(GoOnBooking)
    def _go_on(self, message: GoOnBooking) -> None:
        self.answer(message, None)

    @handles(LedgerSilence)
    def _silent(self, message: LedgerSilence) -> None:
        self._dialogue.overdue()

    def replied(self, reply: Answer | Refusal) -> bool:
        """Whether a reply belonged to the books."""
        taken = self._dialogue.take(reply)
        if taken and self._reconciles and not self._dialogue.running:
            self._dialogue.begin(self._guarded(self._compare()))
        return taken

    def _guarded(self, steps: Steps) -> Steps:
        """The steps, with whatever the node refuses told in words and tried again."""
        try:
            yield from steps
        except Refused as refused:
            self._books_trouble = str(refused)
            self.context.after(RETRY_S, LedgerTick())
            waiting, self._reconciles = self._reconciles, []
            for command in waiting:
                self.refuse(command, f"the books could not be compared: {refused}")
        else:
            self._books_trouble = None
        self.show_books()

    def _pass(self) -> Steps:
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
            self.answer(command, self._reconciled)

    def _compared(self, found: Reconciliation, node: NodeBalances) -> None:
        self._reconciled = found
        self._unresolved = frozenset(
            row.account for row in node.accounts or () if row.closed and row.resolved is False
        )
        if any(row.remainder_msat for row in found.rows) and found.trouble is None:
            self.context.log.warn(f"books: {assertions.in_words(found.rows)}")

    def _estimate(self) -> None:
        """Costs that no record tells are estimated, until a record does."""
        found = self._ledger.of_accounts(accounts.ESTIMATED, MOST_ESTIMATES)
        made = [entry for _, entry in found if entry.kind == estimates.SOURCE]
        if self._reading.costs_source != ESTIMATED:
            self._ledger.book(estimates.undone(made, self.now()))
            self._estimated = frozenset()
        elif self._snapshot is not None:
            booked = {total.account for total in self._ledger.totals(0, None)}
            new = estimates.entries(self._snapshot.channels, booked, self.now())
            self._ledger.book(new)
            self._estimated = estimates.estimated([*made, *new])

    def show_books(self) -> None:
        """Put the state of the books where the status finds it."""
        found = self._reconciled
        self.context.board.put(
            f"{self.context.address} books",
            self.now(),
            {
                "costs_source": self._reading.costs_source,
                "trouble": self._books_trouble,
                "malformed": self._reading.malformed,
                "compared_at": None if found is None else found.at_s,
                "comparison": None if found is None else assertions.in_words(found.rows),
            },
        )


def _states(snapshot: ChannelSnapshot) -> dict[str, tuple[str, bool]]:
    return {e.channel_id: (e.fact.state, e.closed) for e in snapshot.channels}
