"""The flow analyzer's cursor into the forward log, its header, and the state of each channel."""

from __future__ import annotations

from collections.abc import Mapping

from cl_revenue_ops.storage.repository import Repository


class SqliteFlowStore(Repository):
    """Implements ports.FlowStore."""

    def load(self) -> tuple[int, str | None, Mapping[str, str]]:
        """See ports.FlowStore; (0, None, nothing) where nothing was saved yet."""
        with self._reading() as connection:
            row = connection.execute("SELECT cursor_seq, header FROM flow_header").fetchone()
            states = dict(
                connection.execute("SELECT channel_id, body FROM flow_state ORDER BY channel_id")
            )
        cursor_seq, header = row or (0, None)
        return cursor_seq, header, states

    def save(self, cursor_seq: int, header: str, states: Mapping[str, str]) -> None:
        """See ports.FlowStore."""
        with self._writing() as connection:
            connection.execute(
                "REPLACE INTO flow_header (only, cursor_seq, header) VALUES (1, ?, ?)",
                (cursor_seq, header),
            )
            connection.executemany(
                "REPLACE INTO flow_state (channel_id, body) VALUES (?, ?)", states.items()
            )
