"""A lease that nobody takes away, and one that was taken away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cl_revenue_ops.ports import StaleGeneration


class FreeLease:
    """Implements ports.Lease; `stale` says that a successor has taken over."""

    def __init__(self) -> None:
        self.stale = False

    @contextmanager
    def call(self, what: str, deadline_s: float) -> Iterator[None]:
        """Bracket nothing."""
        yield

    @contextmanager
    def effect(self) -> Iterator[None]:
        """Hold nothing."""
        if self.stale:
            raise StaleGeneration(f"{self} was replaced")
        yield
