"""How the Accountant holds the books against the node: the node is looked at before and after."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from actors.dialogue import Ask, Steps
from actors.ledger_opening import CATCH_UP_S, ENTRIES, ChannelOf, LedgerOpening
from actors.ledger_reading import LedgerReading, ask
from cl_revenue_ops.domain.ledger import accounts, assertions, opening, residue, summary
from cl_revenue_ops.domain.ledger.assertions import OurBooks
from cl_revenue_ops.ports import ForwardStore, LedgerStore
from cl_revenue_ops.runtime.actor import Context
from messages.books import Entry, GoOnBooking, Reconciliation
from messages.forwards import (
    SETTLED,
    CatchUp,
    ForwardIndexes,
    ForwardPage,
    ReadForwardIndexes,
    ReadForwards,
    ScidTotals,
)
from messages.node_books import (
    IncomeSum,
    NodeBalances,
    ReadIncome,
    ReadMoveIndexes,
    ReadNodeBalances,
)

NODE_READER = "node-reader"
TRIES = 4
# bookkeeper lists the income of a window whole, a row for each forward.
MOST_LISTED = 100_000
FOREVER_S = 1e12
# bookkeeper's times are unsigned numbers of 32 bits.
END_OF_TIME_S = 2**32 - 1
MOST_BOOKED = 100_000
MOST_READ_AGAIN = 20_000
UNQUIET = "forwards were under way while the figures were read: remainders may pass"


class Edge(NamedTuple):
    """Where a window of income ends: by time, by the log of forwards, by the ledger's entries."""

    at_s: int
    log_seq: int
    entry: int


class LedgerAudit:
    """Compares at a moment when the node did nothing between two looks at its lists.

    Bookkeeper's income is compared over the whole life of a node with a short history, else since
    the last comparison of this process.
    """

    def __init__(
        self,
        context: Context,
        forwards: ForwardStore,
        ledger: LedgerStore,
        reading: LedgerReading,
        settling: LedgerOpening,
        channel_of: ChannelOf,
    ) -> None:
        self._context = context
        self._forwards = forwards
        self._ledger = ledger
        self._reading = reading
        self._settling = settling
        self._channel_of = channel_of
        self._edge: Edge | None = None

    def steps(self, done: Callable[[Reconciliation, NodeBalances], None]) -> Steps:
        """Bring everything up to date, read the other sources, compare, tell `done`."""
        for _ in range(TRIES):
            yield Ask(self._context.address, CatchUp, {}, CATCH_UP_S)
            yield from self._reading.steps()
            yield from self._settling.settle()
            before = yield from self._look()
            node: NodeBalances = yield ask(ReadNodeBalances)
            now = Edge(int(node.at_s), self._forwards.load().log_seq, self._ledger.newest())
            whole_life = now.log_seq <= MOST_LISTED
            since_s = 0 if whole_life else (self._edge or now).at_s
            income = yield ask(ReadIncome, from_s=since_s, until_s=END_OF_TIME_S)
            quiet = (yield from self._look()) == before
            if quiet:
                break
        ours = self.our_books()
        if quiet:
            entry = opening.by_counter(node.at_s, node.fees_collected_msat, ours.earned_msat)
            if self._ledger.book([entry, *self._unmoved(node, ours)]):
                ours = self.our_books()
        rows = assertions.of_balances(node, ours)
        rows.append(assertions.of_fees(node, ours))
        rows += yield from self._listed(before[0])
        rows += yield from self._income(income, ours, now, whole_life)
        rows.append(assertions.of_transit(self._ledger.open_transactions(), ours.totals))
        self._edge = now if quiet else self._edge
        done(Reconciliation(node.at_s, tuple(rows), None if quiet else UNQUIET), node)

    def _unmoved(self, node: NodeBalances, ours: OurBooks) -> list[Entry]:
        """Of channels that ended, what their forwards say and no movement does."""
        ended = {a.account: a.balance_msat for a in node.accounts or () if a.closed and a.resolved}
        routed = {r.channel_id: r.credit_msat - r.debit_msat for r in self._reading.routed}
        found: list[Entry] = []
        for channel in ours.channels:
            name = channel.channel_id
            if name not in ended or ours.balance_msat(name) == ended[name]:
                continue
            booked = self._ledger.of_accounts(accounts.of(accounts.CHANNEL, name), MOST_BOOKED)
            entry = residue.entry(
                name,
                channel.in_msat - channel.out_msat,
                routed.get(name, 0),
                [one for _, one in booked],
                node.at_s,
            )
            found += [entry] if entry is not None else []
        return found

    def _look(self) -> Steps:
        forwards = yield Ask(NODE_READER, ReadForwardIndexes)
        moves = yield ask(ReadMoveIndexes)
        return forwards, moves

    def _listed(self, indexes: ForwardIndexes) -> Steps:
        """The end of the node's list read once more, where it can be read from its end."""
        if indexes.created is None:
            return []
        ours_msat = theirs_msat = count = 0
        start, last = max(1, indexes.created - MOST_READ_AGAIN + 1), False
        while not last and start <= indexes.created:
            page: ForwardPage = yield Ask(
                NODE_READER,
                ReadForwards,
                {"index": "created", "start": start, "limit": ENTRIES},
            )
            settled = [row for row in page.rows if row.status == SETTLED]
            count += len(settled)
            theirs_msat += sum(row.fee_msat or 0 for row in settled)
            ours_msat += self._forwards.fees_of(settled)
            start, last = page.next_start, page.last
        return [assertions.of_list(ours_msat, theirs_msat, count)]

    def our_books(self) -> OurBooks:
        """Our side, over all of life; blocks on the store."""
        totals = self._ledger.totals(0, None)
        forwards = self._forwards.totals(0, None)
        channels = summary.by_channel(forwards.scids, totals, self._channel_of())
        return OurBooks({total.account: total.amount_msat for total in totals}, channels)

    def _income(
        self, income: tuple[IncomeSum, ...] | None, ours: OurBooks, now: Edge, whole_life: bool
    ) -> Steps:
        if income is None or not (whole_life or self._edge):
            return []
        if not whole_life:
            assert self._edge is not None
            ours = yield from self._since(self._edge, now)
        return assertions.of_income(income, ours, whole_life=whole_life)

    def _since(self, edge: Edge, now: Edge) -> Steps:
        """Our side between two edges."""
        earned: dict[str, int] = defaultdict(int)
        seq, last = edge.log_seq, False
        while not last and seq < now.log_seq:
            page = self._forwards.earnings(seq, 0.0, 0.0, FOREVER_S)
            for row in page.earned:
                earned[row.out_scid] += row.before_msat + row.after_msat
            seq, last = page.next_seq, page.last
            yield Ask(self._context.address, GoOnBooking)
        totals: dict[str, int] = defaultdict(int)
        number, last = edge.entry, False
        while not last and number < now.entry:
            entries = self._ledger.page(number, ENTRIES, 0.0, None)
            for _, entry in entries.rows:
                for account, msat in entry.postings:
                    totals[account] += msat
            number, last = entries.next_after, entries.last
            yield Ask(self._context.address, GoOnBooking)
        forwards = [
            ScidTotals(scid, 0, 0, 0, 0, 0, fees_msat, 0, 0, 0, 0)
            for scid, fees_msat in earned.items()
        ]
        return OurBooks(totals, summary.by_channel(forwards, totals.items(), self._channel_of()))
