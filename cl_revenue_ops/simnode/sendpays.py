"""The node's table of its own outgoing payments, as listsendpays shows it."""

from __future__ import annotations

from typing import Any

from cl_revenue_ops.simnode.era import Era


class Sendpays:
    """Rows as listsendpays shows them; created_index n is at place n - 1."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.updated_max = 0

    def add(self, row: dict[str, Any]) -> dict[str, Any]:
        """File a row and return it with its created_index."""
        row = {"created_index": len(self.rows) + 1, **row}
        self.rows.append(row)
        return row

    def update(self, row: dict[str, Any], **changes: Any) -> None:
        """Change a row in place and give it the next updated_index."""
        self.updated_max += 1
        row.update(changes, updated_index=self.updated_max)


def visible(era: Era, row: dict[str, Any]) -> dict[str, Any]:
    """A row without what its status and the node's release do not show."""
    hidden = set() if row["status"] == "complete" else {"payment_preimage"}
    if not era.at_least(23, 11):
        hidden |= {"created_index", "updated_index"}
    return {name: value for name, value in row.items() if name not in hidden}
