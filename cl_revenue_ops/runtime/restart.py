"""The restart rules as numbers and pure functions: backoff, intensity, giving up."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

LOAD_BEARING, SUSPENDED, OPTIONAL = "load-bearing", "suspended in safe mode", "optional"

BACKOFF_FIRST_S = 1.0
BACKOFF_MOST_S = 60.0
BACKOFF_SPREAD = 0.2
QUIET_S = 30.0
CHILD_CRASHES, CHILD_WINDOW_S = 5, 300.0
HOUSE_CRASHES, HOUSE_WINDOW_S = 15, 600.0
POISON_RUN = 3
HUNG_MOST = 2
BLOCKED_PATIENCE_S = 60.0
SAFE_MODE_RETRY_S = 300.0
SAFE_MODE_LEAVE_S = 600.0
LIVENESS_S = 30.0
STOP_PATIENCE_S = 0.5


def backoff_s(failures: int, u: float) -> float:
    """The delay before the next start after `failures` earlier ones in a row; u from [0, 1).

    min(60 s, 1 s * 2^failures) * (1 + 0.2 u).
    """
    base_s = min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2.0 ** min(failures, 10))
    return base_s * (1.0 + BACKOFF_SPREAD * u)


class Intensity:
    """Crashes in a sliding window: `note` says whether there are too many."""

    def __init__(self, most: int, window_s: float) -> None:
        self._most = most
        self._window_s = window_s
        self._times: deque[float] = deque()

    def note(self, now_s: float) -> bool:
        """Count a crash at `now_s` (monotonic); True once `most` fall within the window."""
        self._times.append(now_s)
        while self._times and self._times[0] <= now_s - self._window_s:
            self._times.popleft()
        return len(self._times) >= self._most

    def clear(self) -> None:
        """Forget what was counted."""
        self._times.clear()


@dataclass
class ChildRecord:
    """What the supervisor knows of one child.

    `state` is one of waiting, booting, ready, blocked, backoff, failed, stopping, stopped.
    """

    address: str
    kind: str
    state: str = "waiting"
    generation: int = 0
    restarts: int = 0
    failures: int = 0
    ready_since_s: float | None = None
    blocked_since_s: float | None = None
    reason: str = ""
    poison: str = ""
    poison_run: int = 0
    intensity: Intensity = field(default_factory=lambda: Intensity(CHILD_CRASHES, CHILD_WINDOW_S))

    def note_ready(self, now_s: float) -> None:
        """It has booted; to have waited for the node or the disk was no failure."""
        if self.blocked_since_s is not None:
            self.failures = 0
        self.state, self.reason = "ready", ""
        self.ready_since_s, self.blocked_since_s = now_s, None

    def note_crash(self, now_s: float, poison: str, error: str) -> str | None:
        """Count a crash; the reason to give the child up, or None to restart it.

        `poison` is the type of the deadly message, "" where there was none.
        """
        if self.ready_since_s is not None and now_s - self.ready_since_s > QUIET_S:
            self.failures = 0
        self.ready_since_s = None
        self.reason = error
        self.poison_run = self.poison_run + 1 if poison and poison == self.poison else 1
        self.poison = poison
        if self.intensity.note(now_s):
            return f"{CHILD_CRASHES} crashes within {CHILD_WINDOW_S:.0f} s, the last: {error}"
        if self.poison_run >= POISON_RUN:
            return f"{poison} killed it {POISON_RUN} times running: {error}"
        return None

    def next_delay_s(self, u: float) -> float:
        """The backoff for this start; the one after waits longer."""
        delay_s = backoff_s(self.failures, u)
        self.failures += 1
        return delay_s

    def forgive(self) -> None:
        """Start from a clean slate, as safe mode's retry does."""
        self.failures = 0
        self.poison_run = 0
        self.poison = ""
        self.intensity.clear()
