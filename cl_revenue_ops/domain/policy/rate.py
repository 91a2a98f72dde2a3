"""How often the policy of one peer may change: a sliding minute for each peer."""

from __future__ import annotations

from collections import deque

MOST_CHANGES = 10
WINDOW_S = 60.0
_SWEEP_ABOVE = 1_000


class RateLimit:
    """Counts changes by peer on a clock that never steps back, so that no set clock locks anybody.

    At most ten within any minute. What is refused does not count.
    """

    def __init__(self) -> None:
        self._seen: dict[str, deque[float]] = {}
        self._sweep_at = _SWEEP_ABOVE

    def wait_s(self, peer_id: str, now_s: float) -> float:
        """In how many seconds the next change is allowed; 0 where it is allowed now."""
        seen = self._seen.get(peer_id)
        if seen is None:
            return 0.0
        while seen and now_s - seen[0] >= WINDOW_S:
            seen.popleft()
        return seen[-MOST_CHANGES] + WINDOW_S - now_s if len(seen) >= MOST_CHANGES else 0.0

    def count(self, peer_id: str, at_s: float) -> None:
        """A change was made; times must not fall within one peer."""
        if len(self._seen) > self._sweep_at:
            self._seen = {p: s for p, s in self._seen.items() if s and at_s - s[-1] < WINDOW_S}
            self._sweep_at = max(_SWEEP_ABOVE, 2 * len(self._seen))
        self._seen.setdefault(peer_id, deque(maxlen=MOST_CHANGES)).append(at_s)
