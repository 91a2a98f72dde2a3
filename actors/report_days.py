"""How the Reporter takes the snapshot of each day at its end, and makes up those it missed."""

from __future__ import annotations

from typing import Any

from actors.report_gather import BALANCES, Found, Gathering, Question
from cl_revenue_ops.domain.reports import money, snapshots
from cl_revenue_ops.domain.reports.ground import Ground
from cl_revenue_ops.domain.reports.money import DAY_S
from cl_revenue_ops.domain.reports.snapshots import MOST_DAYS
from cl_revenue_ops.ports import DayRow, PortError, ReportStore
from cl_revenue_ops.runtime.actor import Context
from messages.books import Books, ReadBooks
from messages.node_books import NodeBalances
from messages.reports import DayTick

ACCOUNTANT = "accountant"

ACCOUNTANT, BOOKS_READER = "accountant", "books-reader"
RETRY_S = 60.0
STEP_S = 0.05
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError)


class ReportDays:
    """One row a day, by its number: whatever is done twice writes the same row again.

    Balances are read within minutes of the day's end or never: they cannot be known later. Flows
    come from the totals, so they can be read at any time, and are read once more when late
    forwards are in. Once a day all rows are held against the totals, and read anew where they
    differ.
    """

    def __init__(self, context: Context, store: ReportStore, gathering: Gathering) -> None:
        self._context = context
        self._store = store
        self._gathering = gathering
        self._read_s: dict[int, float] = {}
        self._known: set[int] = set()
        self._since_s: float | None = None
        self._day: int | None = None
        self._anew: int | None = None
        self._checked: int | None = None
        self._busy = False
        self.trouble: str | None = None

    def recover(self) -> None:
        """Read which days there are; blocks on the store."""
        for day, read_s, known in self._store.days():
            self._read_s[day] = read_s
            if known:
                self._known.add(day)

    def count(self) -> int:
        """How many days have a snapshot."""
        return len(self._read_s)

    # -- looking ------------------------------------------------------------------------------

    def look(self, ground: Ground) -> float:
        """Do what is due; after how many seconds to look again at the latest."""
        now_s, today = ground.now_s, money.day_of(ground.now_s)
        if self._day is not None and today == self._day + 1:
            # Seen by this process: whatever an earlier clock took for this day's end, this is it.
            self._anew = self._day
        self._day = today
        to_midnight_s = (today + 1) * DAY_S - now_s + 1.0
        if self._busy:
            return min(to_midnight_s, RETRY_S)
        ended = today - 1
        wanted = self._anew == ended or ended not in self._known
        if wanted and snapshots.at_its_end(ended, now_s):
            self._take(ground, ended)
            return min(to_midnight_s, RETRY_S)
        due = snapshots.due_days(now_s, self._read_s, self._since_s)
        if due:
            self._make_up(ground, due[0])
        elif self._checked != today and now_s >= today * DAY_S + snapshots.SETTLED_S:
            self._check(today)
        elif self._since_s is None:
            self._learn(today)
        return to_midnight_s

    def _ask(self, from_day: int, until_day: int, balances: bool, done: Any) -> None:
        self._busy = True
        questions = {
            "books": Question(
                ACCOUNTANT, lambda i, to, by: ReadBooks(i, to, by, from_day, until_day)
            )
        }
        if balances:
            questions["balances"] = BALANCES

        def ended(found: Found) -> None:
            self._busy = False
            books = found["books"]
            if isinstance(books, Books):
                self._since_s = books.known_since_s
                self.trouble = None
                done(books, found.get("balances"))
            else:
                self.trouble = f"no snapshot: {getattr(books, 'reason', books)}"

        self._gathering.ask(questions, ended)

    def _learn(self, today: int) -> None:
        """Since when there are records: then it is known which days are missing."""
        self._ask(today - 1, today, False, lambda books, balances: self._again(books))

    def _take(self, ground: Ground, day: int) -> None:
        """The day has just ended: its flows so far, and its balances."""

        def done(books: Books, balances: object) -> None:
            held = None
            if isinstance(balances, NodeBalances) and snapshots.at_its_end(day, balances.at_s):
                held = snapshots.balances_of(ground, balances)
            if self._save(day, books, held, anew=self._anew == day) and held is not None:
                self._known.add(day)
                self._anew = None

        self._ask(day, day + 1, True, done)

    def _make_up(self, ground: Ground, day: int) -> None:
        def done(books: Books, _: object) -> None:
            if self._save(day, books, None, anew=False) and books.trouble is None:
                self._again(books)

        self._ask(day, day + 1, False, done)

    def _save(self, day: int, books: Books, held: str | None, *, anew: bool) -> bool:
        """Store the row of a day; what was read from books that lag is due to be read again."""
        behind = books.trouble is not None
        now_s = self._context.clock.now()
        read_s = min(now_s, (day + 1) * DAY_S) if behind else now_s
        row = DayRow(day, read_s, snapshots.flows_of(books, behind), held)
        try:
            self._store.save_day(row, anew=anew)
        except PortError as error:
            self.trouble = f"the snapshot of {money.date_of(day)} could not be stored: {error}"
            return False
        self._read_s[day] = read_s
        return True

    def _again(self, books: Books) -> None:
        """Go on with the next day soon."""
        if books.known_since_s is not None:
            self._context.after(STEP_S, DayTick())

    def _check(self, today: int) -> None:
        """Hold all rows against the totals of their days."""
        self._checked = today
        if not self._read_s:
            return
        first = max(min(self._read_s), today - MOST_DAYS)
        rows = [row for row in self._rows(MOST_DAYS) if first <= row.day < today]

        def done(books: Books, _: object) -> None:
            if books.trouble is None and not snapshots.agree((r.flows for r in rows), books):
                for row in rows:
                    self._read_s[row.day] = 0.0
                self._again(books)

        self._ask(first, today, False, done)

    # -- showing ------------------------------------------------------------------------------

    def _rows(self, limit: int) -> tuple[DayRow, ...]:
        return self._store.newest_days(limit)

    def newest(self, limit: int, now_s: float) -> list[dict[str, Any]]:
        """The newest snapshots as they are shown, oldest first; blocks on the store."""
        today = money.day_of(now_s)
        found = []
        for row in self._rows(limit):
            shown = self._shown(row)
            if row.day < today and shown is not None:
                found.append(shown)
        return found

    def before(self, day: int) -> dict[str, Any] | None:
        """The newest snapshot with balances before that day; blocks on the store."""
        row = self._store.day_before(day)
        return None if row is None else self._shown(row)

    def _shown(self, row: DayRow) -> dict[str, Any] | None:
        try:
            return snapshots.shown(row.day, row.flows, row.balances)
        except UNREADABLE as error:
            what = f"the snapshot of {money.date_of(row.day)}"
            self._context.log.warn(f"{what} is unreadable and left out: {error!r}")
            self._read_s[row.day] = 0.0
            return None
