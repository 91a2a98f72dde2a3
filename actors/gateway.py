"""The Gateway: closes each client's call exactly once, with its answer or at its deadline."""

from __future__ import annotations

from actors.base import HouseActor, handles
from cl_revenue_ops.ports import Calls
from cl_revenue_ops.runtime.actor import Context
from messages.base import Answer, Refusal
from messages.calls import CallDue, CallOpened


class Gateway(HouseActor):
    """Blocks on nothing. The open calls live in the process, so they survive its restart."""

    def __init__(self, context: Context, *, calls: Calls) -> None:
        super().__init__(context)
        self._calls = calls

    def recover(self) -> None:
        # The deadlines of an earlier incarnation died with it.
        for call_id, deadline_s in self._calls.deadlines().items():
            self._watch(call_id, deadline_s)

    def _watch(self, call_id: str, deadline_s: float) -> None:
        delay_s = max(0.0, deadline_s - self.context.clock.monotonic())
        self.context.after(delay_s, CallDue(call_id), key=f"call {call_id}")

    @handles(CallOpened)
    def _opened(self, message: CallOpened) -> None:
        if message.call_id in self._calls.deadlines():
            self._watch(message.call_id, message.deadline_s)

    @handles(Answer)
    def _answered(self, message: Answer) -> None:
        self.context.cancel(f"call {message.call_id}")
        if not self._calls.answer(message.call_id, message.result):
            self.discard(message, "late")

    @handles(Refusal)
    def _refused(self, message: Refusal) -> None:
        self.context.cancel(f"call {message.call_id}")
        if not self._calls.refuse(message.call_id, message.reason, message.invalid):
            self.discard(message, "late")

    @handles(CallDue)
    def _due(self, message: CallDue) -> None:
        self._calls.refuse(
            message.call_id,
            "no answer in time; whether it was carried out is shown by revenue-status",
            False,
        )
