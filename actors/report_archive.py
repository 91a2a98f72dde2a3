"""How the Reporter follows channels that close, and archives those whose costs are final."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from actors.report_gather import Found, Gathering, Question
from cl_revenue_ops.domain.reports import closing
from cl_revenue_ops.domain.reports import ground as grounds
from cl_revenue_ops.domain.reports.closing import Closed, Seen
from cl_revenue_ops.domain.reports.ground import Ground, Missing
from cl_revenue_ops.ports import ClosingRow, PortError, ReportStore
from cl_revenue_ops.runtime.actor import Context
from messages.books import Books, CostEntry, ReadBooks, ReadChainCosts
from messages.channels import ChannelEntry
from messages.reports import ClosedChannel, ReadClosedChannels

ACCOUNTANT, READER = "accountant", "node-reader"
NOTHING = "there is no closed channel that is not archived"


class ReportArchive:
    """What was seen of closings is stored as it is seen: later nobody can say how it was.

    A record is written once and never changed. The registry keeps the channels themselves and the
    ledger their figures, so nothing is taken away.
    """

    def __init__(self, context: Context, store: ReportStore, gathering: Gathering) -> None:
        self._context = context
        self._store = store
        self._gathering = gathering
        self.seen: dict[str, Seen] = {}
        self.listed: dict[str, ClosedChannel] = {}

    def recover(self) -> None:
        """Read what was seen and archived; blocks on the store."""
        self.seen = {
            row.channel_id: Seen(row.seen_s, row.mutual, row.archived_s)
            for row in self._store.closings()
        }

    def count(self) -> int:
        """How many channels are archived."""
        return sum(seen.archived_s is not None for seen in self.seen.values())

    def watch(self, entries: Iterable[ChannelEntry], now_s: float) -> None:
        """Take in the states of all channels; what cannot be stored waits for the next reading."""
        changed: dict[str, Seen] = {}
        for entry in entries:
            if grounds.status_of(entry) == grounds.CLOSING:
                before = self.seen.get(entry.channel_id, Seen())
                seen = closing.noted(before, entry.fact.state, now_s)
                if seen != before:
                    changed[entry.channel_id] = seen
        if not changed:
            return
        try:
            self._store.note_closing(
                [ClosingRow(channel_id, *seen[:2]) for channel_id, seen in changed.items()]
            )
        except PortError as error:
            self._context.log.info(f"closing channels could not be stored: {error}")
            return
        self.seen.update(changed)

    def waiting(self, ground: Ground) -> list[ChannelEntry]:
        """Closed channels without a record."""
        return [
            entry
            for entry in ground.entries.values()
            if entry.closed and self.seen.get(entry.channel_id, Seen()).archived_s is None
        ]

    def hear(self, rows: object) -> None:
        """Take in what the node lists of closed channels, where it could be asked."""
        if isinstance(rows, tuple):
            self.listed = {row.channel_id: row for row in rows}

    def closed(self, ground: Ground, books: Books, costs: Iterable[CostEntry]) -> list[Closed]:
        """Every closed channel with its books."""
        return closing.closed_channels(ground, books, costs, self.seen, self.listed)

    def run(self, ground: Ground, done: Callable[[dict[str, object]], None]) -> None:
        """Archive what is final; `done` gets the answer of revenue-cleanup-closed."""
        waiting = {entry.channel_id for entry in self.waiting(ground)}
        if not waiting:
            done(_answer([], [], [], NOTHING))
            return
        questions = {
            "books": Question(ACCOUNTANT, ReadBooks),
            "costs": Question(ACCOUNTANT, ReadChainCosts),
            "closed": Question(READER, ReadClosedChannels),
        }
        self._gathering.ask(questions, lambda found: done(self._archive(ground, waiting, found)))

    def _archive(self, ground: Ground, waiting: set[str], found: Found) -> dict[str, object]:
        books, costs = found["books"], found["costs"]
        self.hear(found["closed"])
        for part in (books, costs):
            if isinstance(part, Missing):
                return _answer([], [], [f"the books could not be read: {part.reason}"])
        assert isinstance(books, Books) and isinstance(costs, tuple)
        if books.trouble is not None:
            return _answer([], [], [f"the books are behind: {books.trouble}"])
        rows = [row for row in self.closed(ground, books, costs) if row.entry.channel_id in waiting]
        final = [row for row in rows if closing.is_final(row, books)]
        now_s = self._context.clock.now()
        try:
            self._store.archive([self._row(row, now_s) for row in final])
        except PortError as error:
            return _answer([], [], [f"nothing was archived: {error}"])
        for row in final:
            before = self.seen.get(row.entry.channel_id, Seen())
            self.seen[row.entry.channel_id] = before._replace(archived_s=now_s)
        shown = [closing.shown(row._replace(archived=True), ground) for row in final]
        later = [grounds.name_of(row.entry) for row in rows if not closing.is_final(row, books)]
        return _answer(shown, later, [])

    def _row(self, row: Closed, now_s: float) -> ClosingRow:
        seen = self.seen.get(row.entry.channel_id, Seen())
        record = closing.record(row, now_s)
        return ClosingRow(row.entry.channel_id, seen.seen_s, seen.mutual, now_s, record)


def _answer(
    archived: list[dict[str, object]],
    waiting: list[str],
    errors: list[str],
    message: str | None = None,
) -> dict[str, object]:
    if message is None and waiting:
        message = f"{len(waiting)} closed channels wait until their on-chain costs are final"
    answer: dict[str, object] = {
        "archived": len(archived),
        "cleaned": 0,
        "channels": archived,
        "waiting": waiting,
        "errors": errors,
    }
    return answer if message is None else {**answer, "message": message}
