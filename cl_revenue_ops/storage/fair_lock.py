"""The one lock of all writers of this process: first come, first served."""

from __future__ import annotations

import threading
from collections import deque


class _Ticket:
    __slots__ = ("called", "thread")

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.called = threading.Event()


class FairLock:
    """A mutual exclusion that hands over in the order of arrival.

    SQLite lets writers retry at random, so a busy writer can starve another; here nobody
    overtakes. Not reentrant: taking it twice in one thread is a programmer's error and raises
    RuntimeError instead of waiting for ever.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._owner: int | None = None
        self._waiting: deque[_Ticket] = deque()

    def acquire(self, timeout_s: float) -> bool:
        """Wait for one's turn; False when it did not come within `timeout_s`."""
        with self._mutex:
            me = threading.get_ident()
            if self._owner == me:
                raise RuntimeError("this thread writes to the database already")
            if self._owner is None:
                self._owner = me
                return True
            ticket = _Ticket()
            self._waiting.append(ticket)
        if ticket.called.wait(timeout_s):
            return True
        with self._mutex:
            if ticket.called.is_set():
                return True  # the turn came while the wait ended
            self._waiting.remove(ticket)
            return False

    def waiting(self) -> int:
        """How many threads wait for their turn."""
        with self._mutex:
            return len(self._waiting)

    def release(self) -> None:
        """Hand over to the longest waiting thread; only the owner may."""
        with self._mutex:
            if self._owner != threading.get_ident():
                raise RuntimeError("only the owner may release")
            if not self._waiting:
                self._owner = None
                return
            ticket = self._waiting.popleft()
            self._owner = ticket.thread
            ticket.called.set()
