"""The one gate before every write to the node: who closed it, and why."""

from __future__ import annotations

import threading


class WriteGate:
    """Closed while any reason stands; read immediately before each call that changes the node.

    Reasons are kept by source ('paused', 'safe mode', 'dry run', ...), so that opening one
    source leaves the others in force. All methods are safe from any thread and never block.
    A house starts with its gate closed until its settings are known.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reasons: dict[str, str] = {"starting": "the settings are not loaded yet"}

    def close(self, source: str, why: str) -> None:
        """Refuse writes for this reason from now on."""
        with self._lock:
            self._reasons[source] = why

    def open(self, source: str) -> None:
        """Take back this source's reason; does nothing where there is none."""
        with self._lock:
            self._reasons.pop(source, None)

    def closed_because(self) -> str | None:
        """None when writes may go out, else every standing reason in one line."""
        with self._lock:
            if not self._reasons:
                return None
            return "; ".join(f"{source}: {why}" for source, why in sorted(self._reasons.items()))

    def reasons(self) -> dict[str, str]:
        """A copy of the standing reasons by source."""
        with self._lock:
            return dict(self._reasons)
