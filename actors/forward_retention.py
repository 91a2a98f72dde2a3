"""How the Accountant lets go of old log rows: nothing unread, nothing the node could bring back."""

from __future__ import annotations

from cl_revenue_ops.ports import ForwardStore
from cl_revenue_ops.runtime.actor import Context
from messages.forwards import ForgetTick

FOLLOWERS = ("flow-analyzer", "fee-controller")
"""Those who follow the log with a cursor of their own."""

DAY_S = 86_400.0
BEGIN_S = 300.0
STEP_S = 1.0
WAIT_S = 600.0


class ForwardRetention:
    """Once a day a sweep through the log, a bounded number of rows a step; blocks on the store.

    A row goes when it is old enough, every follower has stored a cursor behind it, and a catch-up
    that began after it was logged is complete. The last is what makes a dropped row known again
    by its number alone (see ForwardStore.let_go). Until all of this was heard after a start,
    nothing goes.
    """

    def __init__(self, context: Context, store: ForwardStore) -> None:
        self._context = context
        self._store = store
        self._days = (0, 0)
        self._read: dict[str, int] = {}
        self._before_catch_up = 0
        self._sure_seq = 0
        self._start_over()

    def _start_over(self) -> None:
        self._begin_seq = 0
        self._next_seq = 0
        self._end_seq: int | None = None
        self._young_seq: int | None = None

    def begin(self) -> None:
        """Arm for the first sweep."""
        self._context.after(BEGIN_S, ForgetTick())

    def keep_days(self, failed: int, settled: int) -> None:
        """How many days failed and settled forwards are kept, 0 for ever."""
        if (failed, settled) != self._days:
            self._days = (failed, settled)
            self._start_over()
            self.begin()

    def read_up_to(self, reader: str, stored_seq: int) -> None:
        """This reader will not ask again for rows up to here."""
        self._read[reader] = stored_seq

    def catch_up_begins(self, log_seq: int) -> None:
        """The node's list is read from now on; the log ends here."""
        self._before_catch_up = log_seq

    def caught_up(self) -> None:
        """The node's list was read to its end."""
        self._sure_seq = self._before_catch_up

    def step(self) -> None:
        """Look at the next rows of a sweep, or begin one."""
        if not any(self._days):
            return
        if self._end_seq is None:
            heard = all(name in self._read for name in FOLLOWERS)
            end_seq = min(self._sure_seq, *self._read.values()) if heard else 0
            if end_seq <= self._begin_seq:
                self._context.after(WAIT_S, ForgetTick())
                return
            self._next_seq, self._end_seq, self._young_seq = self._begin_seq, end_seq, None
        failed_before_s, settled_before_s = map(self._before_s, self._days)
        done = self._store.let_go(self._next_seq, self._end_seq, failed_before_s, settled_before_s)
        self._next_seq = done.next_seq
        if self._young_seq is None:
            self._young_seq = done.young_seq
        if done.next_seq < self._end_seq:
            self._context.after(STEP_S, ForgetTick())
            return
        # Before this row nothing is left that will be old enough one day.
        self._begin_seq = self._end_seq if self._young_seq is None else self._young_seq - 1
        self._end_seq = None
        self._context.after(DAY_S, ForgetTick())

    def _before_s(self, days: int) -> float:
        return self._context.clock.now() - days * DAY_S if days else 0.0
