"""Overrides of the settings, their version, and the root of all randomness."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from cl_revenue_ops.storage.repository import Repository


class SqliteSettingsStore(Repository):
    """Implements ports.SettingsStore. What it stores survives a loss of power."""

    def load(self) -> tuple[int, tuple[tuple[str, str, str], ...]]:
        """See ports.SettingsStore; the overrides come in the order in which they were saved.

        A version that is gone or torn counts as none.
        """
        with self._reading() as connection:
            row = connection.execute("SELECT version FROM settings_state").fetchone()
            version = row[0] if row is not None and isinstance(row[0], int) else 0
            rows = connection.execute(
                "SELECT key, value, replaced FROM settings_override ORDER BY position"
            ).fetchall()
        return version, tuple(rows)

    def save(self, version: int, overrides: Sequence[tuple[str, str, str]]) -> None:
        """See ports.SettingsStore; ValueError where a key comes twice."""
        try:
            with self._writing(durable=True) as connection:
                _ensure_state(connection)
                connection.execute("UPDATE settings_state SET version = ?", (version,))
                connection.execute("DELETE FROM settings_override")
                connection.executemany(
                    "INSERT INTO settings_override (key, value, replaced) VALUES (?, ?, ?)",
                    overrides,
                )
        except sqlite3.IntegrityError as error:
            raise ValueError(f"overrides that cannot be stored: {error}") from error

    def root_seed(self, fresh: int) -> int:
        """See ports.SettingsStore; a seed may have any number of bits."""
        with self._writing(durable=True) as connection:
            _ensure_state(connection)
            (stored,) = connection.execute("SELECT root_seed FROM settings_state").fetchone()
            if isinstance(stored, str) and stored.isascii() and stored.isdigit():
                return int(stored)
            # There is none yet, or a torn one: nothing that was drawn depends on it any more.
            connection.execute("UPDATE settings_state SET root_seed = ?", (str(fresh),))
        return fresh


def _ensure_state(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT OR IGNORE INTO settings_state (only, version) VALUES (1, 0)")
