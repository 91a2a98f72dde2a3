"""The runtime of production: pykka's actors on daemon threads, and one thread for the timers."""

from __future__ import annotations

import sys
import threading
import traceback
from typing import Any

from cl_revenue_ops.runtime.actor import Context
from cl_revenue_ops.runtime.mailbox import Mailbox, ThreadMailbox
from cl_revenue_ops.runtime.nursery import Factory, Nursery


class ThreadedRuntime(Nursery):
    """Actors run on threads of their own; `start` runs the timers, `wait_finished` the end."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self._timer_changed = threading.Event()
        self._end = threading.Event()
        self.timers.changed = self._timer_changed.set

    def start(self) -> None:
        """Begin to fire timers."""
        threading.Thread(target=self._run_timers, name="timers", daemon=True).start()

    def wait_finished(self, patience_s: float) -> bool:
        """Wait until the supervisor has stopped everyone; False when it took too long."""
        return self._end.wait(patience_s)

    def finish(self) -> None:
        super().finish()
        self._end.set()
        self._timer_changed.set()

    def stack_of(self, address: str) -> str:
        context = self._living.get(address)
        thread = context.thread if context is not None else None
        frame = sys._current_frames().get(thread.ident or 0) if thread is not None else None
        if frame is None:
            return ""
        return " <- ".join(
            f"{entry.name}:{entry.lineno}" for entry in reversed(traceback.extract_stack(frame))
        )

    def _make_mailbox(self, limit: int) -> Mailbox:
        return ThreadMailbox(limit)

    def _launch(self, factory: Factory, context: Context) -> None:
        factory(context).enlist()

    def _is_alive(self, context: Context) -> bool:
        thread = context.thread
        return not context.stopped.is_set() and thread is not None and thread.is_alive()

    def _run_timers(self) -> None:
        while True:
            # Cleared before looking: what changes after the look wakes the wait.
            self._timer_changed.clear()
            if self.finished:
                return
            due = self.timers.pop_due(self.clock.monotonic())
            if due is not None:
                self._fire(due)
                continue
            next_s = self.timers.next_due_s()
            if next_s is None:
                self._timer_changed.wait()
            else:
                self._timer_changed.wait(max(0.0, next_s - self.clock.monotonic()))
