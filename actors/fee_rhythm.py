"""When the FeeController's cycles begin, in this life and over a restart."""

from __future__ import annotations

from cl_revenue_ops.domain.fees.book import FeeBook
from cl_revenue_ops.ports import Clock

FIRST_S = 90.0


class FeeRhythm:
    """`begun_s` is when the newest cycle of this life began (Unix seconds, None before the first).

    A cycle is stored with its first decisions: killed before them it begins anew with the next
    life, at once and on the same draws. Killed later, what was cut off is decided one interval
    later: nothing is decided twice in a cycle, so no step of a fee is taken twice.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.begun_s: float | None = None

    def begin(self) -> None:
        """A cycle begins now."""
        self.begun_s = self._clock.now()

    def decided(self, book: FeeBook) -> None:
        """Some of its channels are being decided."""
        book.last_cycle_s = self.begun_s

    def rest_s(self, book: FeeBook, interval_s: float) -> float:
        """How long until the next cycle; one interval at most, wherever the clock has gone."""
        last_s = book.last_cycle_s if self.begun_s is None else self.begun_s
        if last_s is None:
            return FIRST_S
        return min(max(0.0, last_s + interval_s - self._clock.now()), interval_s)
