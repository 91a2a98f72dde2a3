"""The node's clocks: virtual (stepped by `advance`) and real."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Unix time in seconds as the node reads it."""

    @property
    def virtual(self) -> bool:
        """True if time moves only by `advance`."""

    def now(self) -> float:
        """The present time, unix seconds."""

    def step(self, seconds: float) -> None:
        """Jump: add `seconds` (may be negative) to all later readings."""


class VirtualClock:
    """A clock that stands still until it is set; `base_s` is the time without injected steps.

    A step moves the node's own readings only: the plugin's virtual clock follows `base_s`.
    """

    virtual = True

    def __init__(self, start_s: float) -> None:
        self.base_s = float(start_s)
        self._offset_s = 0.0

    def now(self) -> float:
        return self.base_s + self._offset_s

    def set(self, at_s: float) -> None:
        """Move the base to `at_s`; earlier than it stands is a ValueError."""
        if at_s < self.base_s:
            raise ValueError(f"the virtual clock cannot go back from {self.base_s} to {at_s}")
        self.base_s = float(at_s)

    def step(self, seconds: float) -> None:
        self._offset_s += seconds


class RealClock:
    """The system's clock plus the sum of all injected steps."""

    virtual = False

    def __init__(self) -> None:
        self._offset_s = 0.0

    def now(self) -> float:
        return time.time() + self._offset_s

    def step(self, seconds: float) -> None:
        self._offset_s += seconds
