"""How the PolicyEngine learns what rebalances cost: the node's movements, read back by pages."""

from __future__ import annotations

from cl_revenue_ops.domain.policy import costs
from cl_revenue_ops.domain.policy.costs import Costs
from cl_revenue_ops.runtime.actor import Context
from messages.base import Answer, Refusal
from messages.moves import OwnMove, OwnMovePage, ReadOwnMoves
from messages.policies import CostsDue

READER = "node-reader"
PAGE_ROWS = 1_000
MOST_PAGES = 200
# What is left of the caller's time to answer without the rest of the costs.
SPARE_S = 15.0

SLOW = "the node did not list its movements in time"


class CostReading:
    """One window, read from the newest movement back until before its beginning, once.

    Begins with its construction; CostsDue comes when it is not worth waiting any longer. Pages
    that were read count whatever becomes of the next: they are the newest part of the window.
    """

    def __init__(
        self, context: Context, name: str, since_s: float, until_s: float, deadline_s: float
    ) -> None:
        self._context = context
        self._name = name
        self._since_s = since_s
        self._until_s = until_s
        self._due_s = deadline_s - SPARE_S
        self._pages = 0
        self._before: int | None = None
        self._moves: list[OwnMove] = []
        self._unreadable = 0
        self._known_s: float | None = None
        self._lacks: str | None = None
        self.done = False
        context.after(max(0.0, self._due_s - context.clock.monotonic()), CostsDue())
        self._ask()

    @property
    def _step(self) -> str:
        return f"{self._name} costs {self._pages}"

    def _ask(self) -> None:
        self._context.tell(
            READER,
            ReadOwnMoves(self._step, self._context.address, self._due_s, self._before, PAGE_ROWS),
        )

    def take(self, reply: Answer | Refusal) -> bool:
        """Take in a page and ask for the next; False where the reply belongs to something else."""
        if self.done or reply.call_id != self._step:
            return False
        if isinstance(reply, Refusal):
            self._end(f"the node did not list its movements: {reply.reason}")
        elif reply.result is None:
            self._end(costs.NOT_OFFERED)
        else:
            assert isinstance(reply.result, OwnMovePage)
            self._add(reply.result)
        return True

    def _add(self, page: OwnMovePage) -> None:
        self._pages += 1
        self._before = page.start
        self._moves += costs.within(page.rows, self._since_s, self._until_s)
        self._unreadable += page.malformed
        if page.oldest_s is not None:
            self._known_s = max(self._since_s, page.oldest_s)
        # Not the oldest of a page decides: one row may bear the time of a clock that was wrong.
        passed = page.newest_s is not None and page.newest_s < self._since_s
        if passed or page.start <= 1:
            self._known_s = self._since_s
            self._end(None)
        elif self._pages >= MOST_PAGES:
            self._end(f"the newest {MOST_PAGES * PAGE_ROWS} movements go back no further")
        else:
            self._ask()

    def overdue(self) -> bool:
        """Whether the time is over; then what was read is all that will be known."""
        if not self.done and self._context.clock.monotonic() >= self._due_s:
            self._end(SLOW)
        return self.done

    def _end(self, lacks: str | None) -> None:
        self.done = True
        self._lacks = lacks
        self._context.cancel(CostsDue.__name__)

    def costs(self) -> Costs:
        """What is known of the window now."""
        made = costs.rebalances(self._moves)
        return Costs(made, self._known_s, self._lacks, self._unreadable)
