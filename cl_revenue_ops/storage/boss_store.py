"""Which tags at CLBoss were put there from here, and what an operator ordered of it."""

from __future__ import annotations

from collections.abc import Mapping

from cl_revenue_ops.ports import BossMemory, Claims, IgnoreOrder
from cl_revenue_ops.storage.repository import Repository


class SqliteBossStore(Repository):
    """Implements ports.BossStore. What it stores survives a loss of power."""

    def load(self) -> BossMemory:
        """See ports.BossStore."""
        claims: dict[str, dict[str, float | None]] = {}
        with self._reading() as connection:
            for peer_id, tag, told_s in connection.execute(
                "SELECT peer_id, tag, told_s FROM boss_claim ORDER BY peer_id, tag"
            ):
                claims.setdefault(peer_id, {})[tag] = told_s
            orders = {
                peer_id: IgnoreOrder(peer_id, reason, since_s, frozenset(tags.split(",")))
                for peer_id, reason, since_s, tags in connection.execute(
                    "SELECT peer_id, reason, since_s, tags FROM boss_order ORDER BY peer_id"
                )
            }
        return BossMemory(claims, orders)

    def save(self, claims: Mapping[str, Claims], orders: Mapping[str, IgnoreOrder | None]) -> None:
        """See ports.BossStore."""
        rows = [(p, tag, told_s) for p, held in claims.items() for tag, told_s in held.items()]
        given = [order for order in orders.values() if order is not None]
        with self._writing(durable=True) as connection:
            connection.executemany(
                "DELETE FROM boss_claim WHERE peer_id = ?", [(peer_id,) for peer_id in claims]
            )
            connection.executemany(
                "INSERT INTO boss_claim (peer_id, tag, told_s) VALUES (?, ?, ?)", rows
            )
            connection.executemany(
                "DELETE FROM boss_order WHERE peer_id = ?", [(peer_id,) for peer_id in orders]
            )
            connection.executemany(
                "INSERT INTO boss_order (peer_id, reason, since_s, tags) VALUES (?, ?, ?, ?)",
                [(o.peer_id, o.reason, o.since_s, ",".join(sorted(o.tags))) for o in given],
            )
