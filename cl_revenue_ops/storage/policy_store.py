"""The policy of each peer, the record of their changes, and how long channels have been idle."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from cl_revenue_ops.ports import PolicyRow, StoredPolicies
from cl_revenue_ops.storage.repository import Repository


class SqlitePolicyStore(Repository):
    """Implements ports.PolicyStore. Nothing here waits for the disk."""

    def load(self) -> StoredPolicies:
        """See ports.PolicyStore."""
        with self._reading() as connection:
            policies = dict(connection.execute("SELECT peer_id, body FROM policy ORDER BY peer_id"))
            changes = tuple(
                map(
                    PolicyRow._make,
                    connection.execute(
                        "SELECT seq, stamp_s, at_s, peer_id, what, body FROM policy_change"
                        " ORDER BY seq"
                    ),
                )
            )
        return StoredPolicies(policies, changes, changes[-1].seq if changes else 0)

    def record(self, changes: Sequence[PolicyRow], keep: int) -> None:
        """See ports.PolicyStore; ValueError where a number was used before."""
        try:
            with self._writing() as connection:
                for row in changes:
                    _hold(connection, row)
                connection.executemany(
                    "INSERT INTO policy_change (seq, stamp_s, at_s, peer_id, what, body)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    changes,
                )
                connection.execute(
                    "DELETE FROM policy_change"
                    " WHERE seq <= (SELECT max(seq) FROM policy_change) - ?",
                    (keep,),
                )
        except sqlite3.IntegrityError as error:
            raise ValueError(f"changes of policies that cannot be stored: {error}") from error

    def load_idle(self) -> Mapping[str, tuple[int, float]]:
        """See ports.PolicyStore."""
        with self._reading() as connection:
            found = connection.execute(
                "SELECT channel_id, settled_out, observed_s FROM policy_idle ORDER BY channel_id"
            )
            return {channel_id: (count, seconds) for channel_id, count, seconds in found}

    def save_idle(self, marks: Mapping[str, tuple[int, float]]) -> None:
        """See ports.PolicyStore."""
        with self._writing() as connection:
            connection.execute("DELETE FROM policy_idle")
            connection.executemany(
                "INSERT INTO policy_idle (channel_id, settled_out, observed_s) VALUES (?, ?, ?)",
                [(channel_id, *mark) for channel_id, mark in marks.items()],
            )


def _hold(connection: sqlite3.Connection, row: PolicyRow) -> None:
    if row.body is None:
        connection.execute("DELETE FROM policy WHERE peer_id = ?", (row.peer_id,))
    else:
        connection.execute(
            "REPLACE INTO policy (peer_id, body) VALUES (?, ?)", (row.peer_id, row.body)
        )
