"""What was imported: closed channels, changes of fees, peers with an imported policy."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from cl_revenue_ops.storage.repository import Repository
from messages.exchange import ImportedChannel, ImportedFee, ImportedFeePage

_FEES = (
    "SELECT number, earlier_id, scid, peer_id, at_s, old_ppm, new_ppm, by_hand, reason"
    " FROM imported_fee_change WHERE number > ? AND at_s >= ? AND at_s < ?"
    " ORDER BY number LIMIT ?"
)
_NO_END_S = float(1 << 62)


class SqliteImportStore(Repository):
    """Implements ports.ImportStore. Nothing is ever changed once it is there."""

    def save_channels(self, channels: Sequence[ImportedChannel]) -> int:
        """See ports.ImportStore."""
        with self._writing(durable=True) as connection:
            return _added(
                connection,
                "INSERT OR IGNORE INTO imported_channel VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                channels,
            )

    def channels(self) -> tuple[ImportedChannel, ...]:
        """See ports.ImportStore."""
        with self._reading() as connection:
            found = connection.execute("SELECT * FROM imported_channel ORDER BY scid")
            return tuple(map(ImportedChannel._make, found))

    def save_fees(self, fees: Sequence[ImportedFee]) -> int:
        """See ports.ImportStore."""
        with self._writing(durable=True) as connection:
            return _added(
                connection,
                "INSERT OR IGNORE INTO imported_fee_change (earlier_id, scid, peer_id, at_s,"
                " old_ppm, new_ppm, by_hand, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                fees,
            )

    def known_fees(self, fees: Sequence[ImportedFee]) -> int:
        """See ports.ImportStore."""
        with self._reading() as connection:
            return sum(
                connection.execute(
                    "SELECT count(*) FROM imported_fee_change"
                    " WHERE scid = ? AND at_s = ? AND earlier_id = ?",
                    (fee.scid, fee.at_s, fee.earlier_id),
                ).fetchone()[0]
                for fee in fees
            )

    def fees(self, after: int, limit: int, from_s: float, until_s: float | None) -> ImportedFeePage:
        """See messages.exchange.ReadImportedFees."""
        end_s = _NO_END_S if until_s is None else until_s
        with self._reading() as connection:
            found = connection.execute(_FEES, (after, from_s, end_s, limit)).fetchall()
        rows = tuple(
            (number, ImportedFee._make((*fields, bool(by_hand), reason)))
            for number, *fields, by_hand, reason in found
        )
        return ImportedFeePage(rows, rows[-1][0] if rows else after, len(rows) < limit)

    def save_policies(self, peer_ids: Sequence[str], *, done: bool) -> None:
        """See ports.ImportStore."""
        with self._writing(durable=True) as connection:
            connection.executemany(
                "REPLACE INTO imported_policy VALUES (?, ?)", [(p, int(done)) for p in peer_ids]
            )

    def policies(self) -> Mapping[str, bool]:
        """See ports.ImportStore."""
        with self._reading() as connection:
            found = connection.execute("SELECT peer_id, done FROM imported_policy")
            return {peer_id: bool(done) for peer_id, done in found}


def _added(
    connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[object, ...]]
) -> int:
    before = connection.total_changes
    connection.executemany(statement, rows)
    return connection.total_changes - before
