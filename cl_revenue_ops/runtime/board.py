"""The notice board: what each actor last published about itself, for reads on any thread."""

from __future__ import annotations

from typing import Any, NamedTuple


class Notice(NamedTuple):
    """A published state, immutable by agreement, and when it was put up (Unix seconds)."""

    at_s: float
    body: Any


class Board:
    """One notice per name; putting up a new one replaces the old. Never blocks."""

    def __init__(self) -> None:
        self._notices: dict[str, Notice] = {}

    def put(self, name: str, at_s: float, body: Any) -> None:
        """Publish; the caller must not change `body` afterwards."""
        self._notices[name] = Notice(at_s, body)

    def read(self, name: str) -> Notice | None:
        """The newest notice of that name, None when there was none yet."""
        return self._notices.get(name)
