"""What is left alone after failures: pairs for a while, destinations once it is futile."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

FUTILE: Final = 10
"""So many jobs into one channel that moved nothing, one after the other, open its breaker."""
COOL_S: Final = 86_400.0
MOST_COOL_S: Final = 14 * 86_400.0
REST_S: Final = 1_800.0
MOST_REST_S: Final = 12 * 3_600.0
DEAR_S: Final = 3_600.0
"""Prices of routes stay for about so long: asked again sooner they say nothing new."""


class Run(NamedTuple):
    """Failures since the last success, and when the last one was."""

    failures: int
    last_s: float


NONE: Final = Run(0, 0.0)


class Dear(NamedTuple):
    """When no route was found at or below a price."""

    at_s: float
    max_ppm: int


@dataclass
class Breakers:
    """Runs of failures by destination channel, and by "source>destination"; `dear` is where no
    route of a pair was cheap enough.
    """

    runs: dict[str, Run] = field(default_factory=dict)
    dear: dict[str, Dear] = field(default_factory=dict)

    def too_dear(self, source: str, channel_id: str, max_ppm: int, now_s: float) -> bool:
        """No route was cheap enough; False where that was known already, of this hour's prices."""
        if self._dear_for_s(source, channel_id, max_ppm, now_s) is not None:
            return False
        self.dear[f"{source}>{channel_id}"] = Dear(now_s, max_ppm)
        return True

    def _dear_for_s(self, source: str, channel_id: str, max_ppm: int, now_s: float) -> float | None:
        """Since when no route is known at this price, None where it may have one."""
        found = self.dear.get(f"{source}>{channel_id}")
        if found is None or max_ppm > found.max_ppm or not 0.0 <= now_s - found.at_s < DEAR_S:
            return None
        return now_s - found.at_s

    def failed(self, source: str, channel_id: str, now_s: float) -> None:
        """A job moved nothing."""
        for key in (channel_id, f"{source}>{channel_id}"):
            self.runs[key] = Run(self.runs.get(key, NONE).failures + 1, now_s)

    def moved(self, source: str, channel_id: str) -> None:
        """A job moved something: both start anew."""
        self.runs.pop(f"{source}>{channel_id}", None)
        self.runs.pop(channel_id, None)

    def open_until_s(self, channel_id: str) -> float | None:
        """Until when nothing is tried into a channel; None where its breaker is not open.

        After each cool-down one job is tried; where it moves nothing, the next one is twice as
        long.
        """
        run = self.runs.get(channel_id, NONE)
        if run.failures < FUTILE:
            return None
        times = min(run.failures - FUTILE, 10)
        return run.last_s + min(MOST_COOL_S, COOL_S * 2.0**times)

    def refusal(
        self, source: str, channel_id: str, now_s: float, max_ppm: int | None = None
    ) -> str | None:
        """Why a pair is left alone now, None where it is not; of its price where one is given."""
        until_s = self.open_until_s(channel_id)
        run = self.runs.get(channel_id, NONE)
        if until_s is not None and run.last_s <= now_s < until_s:
            hours = math.ceil((until_s - now_s) / 3600.0)
            return f"futile: {run.failures} jobs moved nothing; next try in {hours} h"
        run = self.runs.get(f"{source}>{channel_id}", NONE)
        if run.failures:
            rest_s = min(MOST_REST_S, REST_S * 2.0 ** min(run.failures - 1, 10))
            if 0.0 <= now_s - run.last_s < rest_s:
                minutes = math.ceil((rest_s - (now_s - run.last_s)) / 60.0)
                return f"rests after {run.failures} failures in a row, {minutes} min more"
        if max_ppm is None:
            return None
        since_s = self._dear_for_s(source, channel_id, max_ppm, now_s)
        if since_s is None:
            return None
        minutes = math.ceil((DEAR_S - since_s) / 60.0)
        return f"no route was to be had for {max_ppm} ppm lately; asked again in {minutes} min"

    def forget(self, channel_ids: frozenset[str]) -> None:
        """Let go of channels that are not among these."""
        for table in (self.runs, self.dear):
            for key in [k for k in table if not set(k.split(">")) <= channel_ids]:
                del table[key]

    def to_row(self) -> dict[str, Any]:
        """Return all as plain JSON values."""
        runs = {key: list(run) for key, run in self.runs.items()}
        return {"runs": runs, "dear": {key: list(one) for key, one in self.dear.items()}}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Breakers:
        """Return what `to_row` gave; ValueError, TypeError or AttributeError for anything else."""
        runs = {}
        for key, (failures, last_s) in row["runs"].items():
            if not math.isfinite(float(last_s)) or int(failures) < 0:
                raise ValueError("no run of failures")
            runs[str(key)] = Run(int(failures), float(last_s))
        dear = {str(k): Dear(float(at_s), int(ppm)) for k, (at_s, ppm) in row["dear"].items()}
        if not all(math.isfinite(one.at_s) for one in dear.values()):
            raise ValueError("no time")
        return cls(runs, dear)
