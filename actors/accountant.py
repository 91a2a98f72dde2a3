"""The Accountant: owns the log of forwards, the ledger and the budget, and checks the node."""

from __future__ import annotations

from actors.base import HouseActor, handles
from actors.bookkeeping import Bookkeeping
from actors.budgeting import Budgeting
from actors.forward_retention import ForwardRetention
from cl_revenue_ops.config import Config
from cl_revenue_ops.identity import Identity
from cl_revenue_ops.ports import BudgetStore, ForwardStore, IngestState, LedgerStore
from cl_revenue_ops.runtime.actor import Context
from messages.base import Answer, Command, Refusal
from messages.books import (
    BookEntries,
    GoOnBooking,
    LedgerSilence,
    LedgerTick,
    ReadBooks,
    ReadChainCosts,
    ReadEntries,
    Reconcile,
    ReconcileTick,
)
from messages.budget import (
    CommitSpend,
    ReadBudget,
    ReconcileReservations,
    ReleaseBudget,
    ReserveBudget,
)
from messages.channels import ChannelSnapshot
from messages.forwards import (
    CatchUp,
    CatchUpTick,
    CatchUpWanted,
    ForgetTick,
    ForwardIndexes,
    ForwardPage,
    ForwardSeen,
    ReadEarnings,
    ReadForwardFailures,
    ReadForwardIndexes,
    ReadForwardLog,
    ReadForwards,
    ReadForwardTotals,
)

READER = "node-reader"
PAGE_ROWS = 1_000
DOUBTS = 2
CATCH_UP_S = 1_200.0
RETRY_S = 30.0
SILENCE_S = 120.0


class Accountant(HouseActor):
    """Never blocks on the node: a reader fetches pages, this actor takes them in.

    Catch-up reads the rows created since the last time, then the rows that changed since; both
    cursors are stored with the rows they cover, so it resumes anywhere. A node that cannot page
    gives its whole list each time, which costs time and changes nothing.
    """

    def __init__(
        self,
        context: Context,
        *,
        store: ForwardStore,
        ledger: LedgerStore,
        budget: BudgetStore,
        identity: Identity,
    ) -> None:
        super().__init__(context)
        self._store = store
        self._ledger = ledger
        self._reserves = budget
        self._budget = Budgeting(context, budget, ledger, self._revenue)
        self._books = Bookkeeping(context, store, ledger, budget.ours)
        self._identity = identity
        self._state: IngestState
        self._retention = ForwardRetention(context, store)
        self._open_call: str | None = None
        self._calls = 0
        self._index = "created"
        self._start = 1
        self._doubts = 0
        self._paged = True
        self._again = False
        self._awaited: list[CatchUp] = []
        self._promised: list[CatchUp] = []
        self._malformed = 0
        self._hints = 0
        self._trouble: str | None = None
        self._caught_up_at_s: float | None = None

    def recover(self) -> None:
        who = self._identity.learn()
        self._store.open(who.node_id, who.network)
        self._ledger.open(who.node_id, who.network)
        self._reserves.open(who.node_id, who.network)
        self._state = self._store.load()
        self.context.tell(self.context.address, CatchUpWanted("start"))
        self._retention.begin()
        self._books.begin()
        self._budget.begin()
        self._show()

    def configured(self, old: Config, new: Config) -> None:
        self._retention.keep_days(
            new.failed_forward_retention_days, new.settled_forward_retention_days
        )
        self._budget.configured(new)

    # -- hints and consumers ------------------------------------------------------------------

    @handles(ForwardSeen)
    def _seen(self, message: ForwardSeen) -> None:
        self._state = self._store.ingest([message.forward], authoritative=False)
        self._hints += 1
        self._show()

    @handles(ReadForwardLog)
    def _read_log(self, message: ReadForwardLog) -> None:
        if message.stored_seq is not None:
            self._retention.read_up_to(message.reply_to, message.stored_seq)
        page = self._store.read_log(message.after_seq, message.limit, message.not_before_s)
        self.answer(message, page)

    @handles(ReadEarnings)
    def _read_earnings(self, message: ReadEarnings) -> None:
        page = self._store.earnings(message.after_seq, message.from_s, message.mid_s, message.end_s)
        self.answer(message, page)

    @handles(ReadForwardTotals)
    def _read_totals(self, message: ReadForwardTotals) -> None:
        self.answer(message, self._store.totals(message.from_day, message.until_day))

    @handles(ReadForwardFailures)
    def _read_failures(self, message: ReadForwardFailures) -> None:
        try:
            found = self._store.failures(message.from_hour, message.until_hour)
        except ValueError as error:
            self.refuse(message, str(error), invalid=True)
        else:
            self.answer(message, found)

    @handles(ForgetTick)
    def _forget(self, message: ForgetTick) -> None:
        self._retention.step()

    # -- the ledger ---------------------------------------------------------------------------

    @handles(ReadBooks)
    def _read_books(self, message: ReadBooks) -> None:
        self.answer(message, self._books.books(message))

    @handles(ReadChainCosts)
    def _read_chain_costs(self, message: ReadChainCosts) -> None:
        self.answer(message, self._books.chain_costs())

    @handles(ReadEntries)
    def _read_entries(self, message: ReadEntries) -> None:
        self.answer(message, self._books.entries(message))

    @handles(BookEntries)
    def _book_entries(self, message: BookEntries) -> None:
        try:
            new = self._ledger.book(message.entries)
        except ValueError as error:
            self.refuse(message, str(error), invalid=True)
        else:
            self.answer(message, new)

    @handles(ChannelSnapshot)
    def _channels_read(self, message: ChannelSnapshot) -> None:
        self._books.channels_read(message)

    @handles(LedgerTick)
    def _read_moves(self, message: LedgerTick) -> None:
        self._books.read_due()
        self._budget.show()

    @handles(ReconcileTick)
    def _compare_daily(self, message: ReconcileTick) -> None:
        self._books.compare_due()

    @handles(Reconcile)
    def _compare_now(self, message: Reconcile) -> None:
        self._books.compare(message)

    @handles(GoOnBooking)
    def _go_on(self, message: GoOnBooking) -> None:
        self.answer(message, None)

    @handles(LedgerSilence)
    def _silent(self, message: LedgerSilence) -> None:
        self._books.overdue()

    # -- the budget ---------------------------------------------------------------------------

    @handles(ReserveBudget)
    def _reserve(self, message: ReserveBudget) -> None:
        self._budget.reserve(message)

    @handles(CommitSpend)
    def _commit(self, message: CommitSpend) -> None:
        self._budget.commit(message)

    @handles(ReleaseBudget)
    def _release(self, message: ReleaseBudget) -> None:
        self._budget.release(message)

    @handles(ReconcileReservations)
    def _reconcile_reservations(self, message: ReconcileReservations) -> None:
        self._budget.reconcile(message)

    @handles(ReadBudget)
    def _read_budget(self, message: ReadBudget) -> None:
        self._budget.read(message)

    def _revenue(self, from_day: int, until_day: int) -> int | None:
        if self._caught_up_at_s is None:
            return None
        rows = self._store.totals(from_day, until_day).scids
        return sum(row.out_fees_msat for row in rows)

    # -- catching up with the node ------------------------------------------------------------

    @handles(CatchUpWanted)
    def _wanted(self, message: CatchUpWanted) -> None:
        self._begin()

    @handles(CatchUp)
    def _catch_up(self, message: CatchUp) -> None:
        self._awaited.append(message)
        self._begin()

    @handles(CatchUpTick)
    def _tick(self, message: CatchUpTick) -> None:
        if self._open_call is not None:
            # The reader fell silent: its answer, if it still comes, belongs to no open call.
            self._fail("the node reader does not answer")
        self._begin()

    def _begin(self) -> None:
        if self._open_call is not None:
            self._again = True
            return
        self._again = False
        # Who asks while a reading is under way is promised the next one.
        self._promised, self._awaited = self._promised + self._awaited, []
        self._retention.catch_up_begins(self._state.log_seq)
        self._ask(ReadForwardIndexes, SILENCE_S)

    def _ask(self, kind: type[Command], patience_s: float, **fields: object) -> None:
        self._calls += 1
        context = self.context
        call_id = f"catch-up {context.generation}.{self._calls}"
        self._open_call = call_id
        deadline_s = context.clock.monotonic() + patience_s
        context.tell(READER, kind(call_id, context.address, deadline_s, **fields))
        context.after(patience_s, CatchUpTick())

    @handles(Answer)
    def _answered(self, message: Answer) -> None:
        if self._books.replied(message):
            return
        if message.call_id != self._open_call:
            self.discard(message, "late")
        elif isinstance(message.result, ForwardIndexes):
            self._start_reading(message.result)
        elif isinstance(message.result, ForwardPage):
            self._take_page(message.result)

    @handles(Refusal)
    def _refused(self, message: Refusal) -> None:
        if not self._books.replied(message) and message.call_id == self._open_call:
            self._fail(message.reason)

    def _fail(self, reason: str) -> None:
        self._open_call = None
        self._trouble = reason
        for command in self._promised:
            self.refuse(command, reason)
        self._promised = []
        self.context.after(RETRY_S, CatchUpTick())
        self._show()

    def _start_reading(self, indexes: ForwardIndexes) -> None:
        state = self._state
        self._paged = indexes.created is not None
        if indexes.created is None or indexes.updated is None:
            self._state = self._store.ingest((), authoritative=True, next_created=1)
        elif indexes.created < state.next_created - 1:
            self.context.log.warn("the node's forwards begin anew; reading its list from the start")
            self._state = self._store.ingest(
                (), authoritative=True, next_created=1, next_updated=indexes.updated + 1
            )
        elif state.next_updated == 0:
            # Rows that change while the list is first read are found by their update index.
            self._state = self._store.ingest(
                (), authoritative=True, next_updated=indexes.updated + 1
            )
        self._index = "created"
        if self._paged and _nothing_new(self._state, indexes):
            self._finish()
            self._show()
        else:
            self._ask_page(max(1, self._state.next_created))

    def _ask_page(self, start: int) -> None:
        self._start = start
        self._ask(ReadForwards, SILENCE_S, index=self._index, start=start, limit=PAGE_ROWS)

    def _take_page(self, page: ForwardPage) -> None:
        if page.malformed and self._paged and self._doubts < DOUBTS:
            # The cursor will not come back here: let it be no passing fault of the node.
            self._doubts += 1
            self._ask_page(self._start)
            return
        self._doubts = 0
        created = self._index == "created"
        if not page.last:
            # The reader fetches the next page while this one is stored.
            self._ask_page(page.next_start)
        self._malformed += page.malformed
        self._state = self._store.ingest(
            page.rows,
            authoritative=True,
            next_created=page.next_start if created and self._paged else None,
            next_updated=None if created else page.next_start,
        )
        if page.last and created and self._paged:
            self._index = "updated"
            self._ask_page(max(1, self._state.next_updated))
        elif page.last:
            self._finish()
        self._show()

    def _finish(self) -> None:
        self._open_call = None
        self._trouble = None
        self._caught_up_at_s = self.now()
        self._budget.show()
        self._retention.caught_up()
        if not self._state.caught_up_once:
            self._state = self._store.ingest((), authoritative=True, caught_up=True)
            self.context.log.info(f"caught up with {self._state.log_seq} forwards of the node")
        for command in self._promised:
            self.answer(command, None)
        self._promised = []
        self.context.after(CATCH_UP_S, CatchUpTick())
        if self._again:
            self._begin()

    # -- reporting ----------------------------------------------------------------------------

    def _show(self) -> None:
        state = self._state
        self.post_notice(
            {
                "settled": state.settled,
                "volume_msat": state.volume_msat,
                "fees_msat": state.fees_msat,
                "failed": state.failed,
                "offered": state.offered,
                "log_seq": state.log_seq,
                "caught_up": self._caught_up_at_s is not None,
                "caught_up_at": self._caught_up_at_s,
                "read_up_to": max(0, state.next_created - 1),
                "hints": self._hints,
                "malformed": self._malformed,
                "trouble": self._trouble,
            }
        )


def _nothing_new(state: IngestState, indexes: ForwardIndexes) -> bool:
    """Whether both cursors stand behind the node's newest index already."""
    return (indexes.created or 0) < state.next_created and (
        indexes.updated or 0
    ) < state.next_updated
