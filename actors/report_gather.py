"""How the Reporter asks others: several questions at once, answered together or given up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from cl_revenue_ops.domain.reports.ground import Missing
from cl_revenue_ops.runtime.actor import Context
from messages.base import Answer, Command, Refusal
from messages.node_books import ReadNodeBalances
from messages.reports import GatherDue

PATIENCE_S = 45.0
LATE = "no answer in time"

Found = Mapping[str, object]
"""What each question came to: the answer, or Missing with the reason."""


class Question(NamedTuple):
    """Whom to ask: `build(call_id, reply_to, deadline_s)` makes the command."""

    address: str
    build: Callable[[str, str, float], Command]


BALANCES = Question(
    "books-reader", lambda i, to, by: ReadNodeBalances(i, to, by, with_accounts=False)
)


@dataclass
class _Open:
    done: Callable[[Found], None]
    waiting: dict[str, str]
    found: dict[str, object] = field(default_factory=dict)


class Gathering:
    """Any number of gatherings at a time; each ends with all answers or after PATIENCE_S."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._open: dict[int, _Open] = {}
        self._of_call: dict[str, int] = {}
        self._number = 0

    def ask(self, questions: Mapping[str, Question], done: Callable[[Found], None]) -> None:
        """Ask all of them, and call `done` once every answer is there; at once without any."""
        if not questions:
            done({})
            return
        context = self._context
        self._number += 1
        number = self._number
        calls = {f"report {context.generation}.{number} {name}": name for name in questions}
        self._open[number] = _Open(done, calls)
        deadline_s = context.clock.monotonic() + PATIENCE_S
        context.after(PATIENCE_S, GatherDue(number), key=f"gather {number}")
        self._of_call.update(dict.fromkeys(calls, number))
        for call_id, name in calls.items():
            question = questions[name]
            context.tell(question.address, question.build(call_id, context.address, deadline_s))

    def take(self, reply: Answer | Refusal) -> bool:
        """Take in a reply; False where nobody waits for it any more."""
        number = self._of_call.pop(reply.call_id, None)
        if number is None:
            return False
        work = self._open[number]
        name = work.waiting.pop(reply.call_id)
        work.found[name] = Missing(reply.reason) if isinstance(reply, Refusal) else reply.result
        if not work.waiting:
            self._close(number, work)
        return True

    def due(self, number: int) -> None:
        """Wait no longer: what is not there is missing."""
        work = self._open.get(number)
        if work is None:
            return
        for call_id, name in work.waiting.items():
            self._of_call.pop(call_id, None)
            work.found[name] = Missing(LATE)
        self._close(number, work)

    def _close(self, number: int, work: _Open) -> None:
        del self._open[number]
        self._context.cancel(f"gather {number}")
        work.done(work.found)
