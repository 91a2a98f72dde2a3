"""Fee targets and state of each channel, and every fee decision with its outcome."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from cl_revenue_ops.ports import FEE_SET, DecisionRow, StoredDecision
from cl_revenue_ops.storage.repository import Repository

FORGOTTEN_AT_ONCE = 200

_COLUMNS = (
    "id, channel_id, at_s, action, code, old_ppm, new_ppm, by_hand, body,"
    " last_at_s, repeats, outcome"
)

# The newest decision of each channel, by stepping through the index from channel to channel:
# grouping would read the decisions of years.
_NEWEST_OF_EACH = f"""
    WITH RECURSIVE each (channel_id) AS (
        SELECT min(channel_id) FROM fee_decision
        UNION ALL
        SELECT (SELECT min(d.channel_id) FROM fee_decision d WHERE d.channel_id > each.channel_id)
        FROM each WHERE each.channel_id IS NOT NULL)
    SELECT {_COLUMNS} FROM fee_decision
    WHERE id IN (
        SELECT (SELECT max(d.id) FROM fee_decision d WHERE d.channel_id = each.channel_id)
        FROM each WHERE each.channel_id IS NOT NULL)
    ORDER BY last_at_s DESC, id DESC LIMIT ?"""


class SqliteFeeStore(Repository):
    """Implements ports.FeeStore.

    A decision that moves a fee is durable before the node hears of it: the controller knows its
    own fee on the node by the stored target, also after a loss of power.
    """

    def load(self) -> tuple[str | None, Mapping[str, str]]:
        """See ports.FeeStore; (None, nothing) where nothing was saved yet."""
        with self._reading() as connection:
            row = connection.execute("SELECT header FROM fee_header").fetchone()
            states = dict(
                connection.execute("SELECT channel_id, body FROM fee_state ORDER BY channel_id")
            )
        return (None if row is None else row[0]), states

    def record(
        self,
        header: str,
        states: Mapping[str, str],
        decisions: Sequence[DecisionRow],
        *,
        keep_since_s: float = 0.0,
    ) -> tuple[int, ...]:
        """See ports.FeeStore; at most FORGOTTEN_AT_ONCE decisions are let go in one call.

        A decision whose fee was set is finished: an equal one after it begins a new row, so no
        change of a fee is lost from the record. One that is extended has no outcome again until
        the repetition has its own.
        """
        durable = any(row.by_hand or row.action == "set" for row in decisions)
        with self._writing(durable) as connection:
            _save_header(connection, header)
            _save_states(connection, states)
            _forget(connection, keep_since_s)
            return tuple(_record_one(connection, row) for row in decisions)

    def load_demand(self) -> Mapping[str, str]:
        """See ports.FeeStore."""
        with self._reading() as connection:
            rows = connection.execute("SELECT peer_id, body FROM fee_demand ORDER BY peer_id")
            return dict(rows.fetchall())

    def save_demand(self, header: str, demand: Mapping[str, str]) -> None:
        """See ports.FeeStore."""
        with self._writing() as connection:
            _save_header(connection, header)
            known = {row[0] for row in connection.execute("SELECT peer_id FROM fee_demand")}
            connection.executemany(
                "DELETE FROM fee_demand WHERE peer_id = ?",
                [(peer_id,) for peer_id in sorted(known - demand.keys())],
            )
            connection.executemany(
                "REPLACE INTO fee_demand (peer_id, body) VALUES (?, ?)", demand.items()
            )

    def set_outcome(self, decision_id: int, outcome: str, state: Mapping[str, str]) -> None:
        """See ports.FeeStore; ValueError for a decision that is not there."""
        with self._writing() as connection:
            changed = connection.execute(
                "UPDATE fee_decision SET outcome = ? WHERE id = ?", (outcome, decision_id)
            ).rowcount
            if not changed:
                raise ValueError(f"there is no decision {decision_id}")
            _save_states(connection, state)

    def recent_changes(self, limit: int) -> tuple[StoredDecision, ...]:
        """See ports.FeeStore; those whose outcome is `set`."""
        return self._decisions(
            f"SELECT {_COLUMNS} FROM fee_decision WHERE outcome = 'set'"
            " ORDER BY last_at_s DESC, id DESC LIMIT ?",
            (limit,),
        )

    def last_decisions(self, channel_id: str | None, limit: int) -> tuple[StoredDecision, ...]:
        """See ports.FeeStore."""
        if channel_id is None:
            return self._decisions(_NEWEST_OF_EACH, (limit,))
        return self._decisions(
            f"SELECT {_COLUMNS} FROM fee_decision WHERE channel_id = ? ORDER BY id DESC LIMIT ?",
            (channel_id, limit),
        )

    def decisions_after(self, place: tuple[float, int], limit: int) -> tuple[StoredDecision, ...]:
        """See ports.FeeStore; read along the index by time, so a page costs its rows alone."""
        return self._decisions(
            f"SELECT {_COLUMNS} FROM fee_decision WHERE last_at_s >= ?1"
            " AND (last_at_s > ?1 OR id > ?2) ORDER BY last_at_s, id LIMIT ?3",
            (*place, limit),
        )

    def _decisions(self, query: str, values: tuple[object, ...]) -> tuple[StoredDecision, ...]:
        with self._reading() as connection:
            return tuple(map(_stored, connection.execute(query, values)))


def _save_header(connection: sqlite3.Connection, header: str) -> None:
    connection.execute("REPLACE INTO fee_header (only, header) VALUES (1, ?)", (header,))


def _save_states(connection: sqlite3.Connection, states: Mapping[str, str]) -> None:
    connection.executemany(
        "REPLACE INTO fee_state (channel_id, body) VALUES (?, ?)", states.items()
    )


def _forget(connection: sqlite3.Connection, before_s: float) -> None:
    """Let go of the oldest decisions; more than a record of decisions adds, so none pile up."""
    connection.execute(
        "DELETE FROM fee_decision WHERE id IN (SELECT id FROM fee_decision"
        " WHERE last_at_s < ? ORDER BY last_at_s LIMIT ?)",
        (before_s, FORGOTTEN_AT_ONCE),
    )


def _record_one(connection: sqlite3.Connection, row: DecisionRow) -> int:
    newest = connection.execute(
        "SELECT id, action, code, old_ppm, new_ppm, by_hand, outcome FROM fee_decision"
        " WHERE channel_id = ? ORDER BY id DESC LIMIT 1",
        (row.channel_id,),
    ).fetchone()
    same = (row.action, row.code, row.old_ppm, row.new_ppm, row.by_hand)
    if newest is not None and newest[1:6] == same and newest[6] != FEE_SET:
        connection.execute(
            "UPDATE fee_decision SET last_at_s = ?, repeats = repeats + 1, outcome = NULL, body = ?"
            " WHERE id = ?",
            (row.at_s, row.body, newest[0]),
        )
        return int(newest[0])
    added = connection.execute(
        "INSERT INTO fee_decision (channel_id, at_s, action, code, old_ppm, new_ppm, by_hand,"
        " body, last_at_s, repeats) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?2, 1)",
        row,
    ).lastrowid
    assert added is not None, "an INSERT has a row id"
    return added


def _stored(row: tuple[object, ...]) -> StoredDecision:
    number, channel_id, at_s, action, code, old_ppm, new_ppm, by_hand, body, *rest = row
    decision = DecisionRow._make(
        (channel_id, at_s, action, code, old_ppm, new_ppm, bool(by_hand), body)
    )
    return StoredDecision._make((number, decision, *rest))
