"""The one gate before every write to the node: who closed it, and why."""

from __future__ import annotations

import threading
from collections.abc import Container

PAUSES = ("paused", "configuration")
"""The sources that stand for a pause: an operator's, and that of a faulty configuration."""

STOPPING = "stopping"
"""The source that closes it when the house begins to stop."""


class WriteGate:
    """Closed while any reason stands; read immediately before each call that changes the node.

    Reasons are kept by source ('paused', 'safe mode', 'dry run', ...), so that opening one
    source leaves the others in force. All methods are safe from any thread and never block.
    A house starts with its gate closed until its settings are known.

    An order that closes it is obeyed before whoever owns the setting hears of it. Orders carry
    tickets, which only grow: an older order that is carried out late cannot open what a newer
    one has closed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest_ticket = 0
        self._reasons: dict[str, str] = {"starting": "the settings are not loaded yet"}
        self._tickets: dict[str, int] = {}

    def ticket(self) -> int:
        """A number for the next order, larger than all before."""
        with self._lock:
            self._newest_ticket += 1
            return self._newest_ticket

    def close(self, source: str, why: str, ticket: int = 0) -> None:
        """Refuse writes for this reason from now on."""
        with self._lock:
            self._reasons[source] = why
            self._tickets[source] = max(ticket, self._tickets.get(source, 0))

    def open(self, source: str, ticket: int | None = None) -> None:
        """Take back this source's reason, unless a newer order than `ticket` gave it."""
        with self._lock:
            if ticket is None or self._tickets.get(source, 0) <= ticket:
                self._reasons.pop(source, None)
                self._tickets.pop(source, None)

    def closed_because(self, apart_from: Container[str] = ()) -> str | None:
        """None when writes may go out, else every standing reason in one line.

        Only what puts fees back for an operator who leaves asks `apart_from` PAUSES.
        """
        with self._lock:
            standing = [pair for pair in sorted(self._reasons.items()) if pair[0] not in apart_from]
        return "; ".join(f"{source}: {why}" for source, why in standing) or None

    def reasons(self) -> dict[str, str]:
        """A copy of the standing reasons by source."""
        with self._lock:
            return dict(self._reasons)
