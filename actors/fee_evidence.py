"""How the FeeController reads what was forwarded since its last cycle, page by page."""

from __future__ import annotations

from cl_revenue_ops.runtime.actor import Context
from messages.base import Answer
from messages.fees import EvidenceSilence
from messages.forwards import ForwardLogPage, LoggedForward, ReadForwardLog

ACCOUNTANT = "accountant"
PAGE_ROWS = 2_000
PATIENCE_S = 45.0
OLDEST_DAYS = 20.0
DAY_S = 86_400.0


class FeeEvidence:
    """Asks the Accountant for log rows after a cursor; one reading at a time.

    `rows` and `cursor` are complete when `take` returns True. A page that stays out for PATIENCE_S
    sends EvidenceSilence to the controller, which goes on without.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._calls = 0
        self.step: str | None = None
        self.rows: list[LoggedForward] = []
        self.cursor = 0
        self._stored = 0

    def begin(self, cursor: int) -> None:
        """Start reading after `cursor`, which is the one on the disk."""
        self.rows, self.cursor, self._stored = [], cursor, cursor
        self._ask()

    def _ask(self) -> None:
        context = self._context
        self._calls += 1
        self.step = f"fees {context.generation}.{self._calls}"
        context.after(PATIENCE_S, EvidenceSilence(self.step))
        oldest_s = context.clock.now() - OLDEST_DAYS * DAY_S
        deadline_s = context.clock.monotonic() + PATIENCE_S
        context.tell(
            ACCOUNTANT,
            ReadForwardLog(
                self.step,
                context.address,
                deadline_s,
                self.cursor,
                PAGE_ROWS,
                oldest_s,
                self._stored,
            ),
        )

    def expects(self, step: str) -> bool:
        """Whether this is the answer that is waited for."""
        return self.step is not None and self.step == step

    def take(self, answer: Answer) -> bool:
        """Take in a page that was waited for; True when it was the last."""
        page = answer.result
        assert isinstance(page, ForwardLogPage)
        self.rows.extend(page.rows)
        self.cursor = page.next_seq
        if page.last:
            self.stop()
            return True
        self._ask()
        return False

    def stop(self) -> None:
        """Wait for nothing any more."""
        self.step = None
        self._context.cancel(EvidenceSilence.__name__)
