"""lightningd's datastore: a tree of keys, each with either a value or children."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cl_revenue_ops.simnode.errors import SimRpcError, bad_params

Key = tuple[str, ...]
MODES = ("must-create", "must-replace", "create-or-replace", "must-append", "create-or-append")


@dataclass
class Entry:
    """A stored value with its generation, which counts up at each change."""

    data: bytes
    generation: int = 0


class Datastore:
    """Keys are tuples of strings; errors carry lightningd's 1200 to 1206."""

    def __init__(self) -> None:
        self._entries: dict[Key, Entry] = {}

    def put(self, key: Key, data: bytes, mode: str, generation: int | None) -> dict[str, Any]:
        """Store under `key` in one of MODES; returns the entry as reported."""
        if mode not in MODES:
            raise bad_params("mode must be one of " + ", ".join(MODES))
        if generation is not None and not mode.startswith("must-"):
            raise bad_params("generation only valid with must-create, must-replace, must-append")
        if any(key[:n] in self._entries for n in range(1, len(key))):
            raise SimRpcError(1206, "Parent key already exists and holds a value")
        if any(known[: len(key)] == key and known != key for known in self._entries):
            raise SimRpcError(1205, "Key has children")
        old = self._entries.get(key)
        if old is not None and mode == "must-create":
            raise SimRpcError(1202, "Key already exists")
        if old is None and mode in ("must-replace", "must-append"):
            raise SimRpcError(1203, "Key does not exist")
        if old is not None and generation is not None and generation != old.generation:
            raise SimRpcError(1204, "generation is different")
        if old is None:
            self._entries[key] = Entry(data)
        else:
            appended = old.data + data if mode.endswith("append") else data
            self._entries[key] = Entry(appended, old.generation + 1)
        return self._shown(key)

    def delete(self, key: Key, generation: int | None) -> dict[str, Any]:
        """Remove the value of `key` and return it."""
        old = self._entries.get(key)
        if old is None:
            raise SimRpcError(1200, "Key does not exist")
        if generation is not None and generation != old.generation:
            raise SimRpcError(1201, "generation is different")
        shown = self._shown(key)
        del self._entries[key]
        return shown

    def list(self, key: Key) -> list[dict[str, Any]]:
        """The entry of `key`, or its immediate children; a parent shows its key only."""
        if key in self._entries:
            return [self._shown(key)]
        children = {known[: len(key) + 1] for known in self._entries if known[: len(key)] == key}
        return [
            self._shown(child) if child in self._entries else {"key": list(child)}
            for child in sorted(children)
        ]

    def _shown(self, key: Key) -> dict[str, Any]:
        entry = self._entries[key]
        shown = {"key": list(key), "generation": entry.generation, "hex": entry.data.hex()}
        try:
            return shown | {"string": entry.data.decode("utf-8")}
        except UnicodeDecodeError:
            return shown
