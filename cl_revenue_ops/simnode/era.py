"""Which Core Lightning release the node plays, as a comparable version."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

NEWEST = "v26.06.6"


@dataclass(frozen=True)
class Era:
    """A release; `at_least(23, 11)` asks whether a feature of that release exists."""

    version: str = NEWEST

    @cached_property
    def number(self) -> tuple[int, ...]:
        """The release as integers, for example (26, 6, 6)."""
        match = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", self.version)
        if match is None:
            raise ValueError(f"not a release: {self.version!r}")
        return tuple(int(part) for part in match.groups() if part is not None)

    def at_least(self, year: int, month: int) -> bool:
        """True if this release is v`year`.`month` or later."""
        return self.number[:2] >= (year, month)
