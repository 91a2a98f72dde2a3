"""The FeeController's eye on the node's other plugins: which of them set fees too."""

from __future__ import annotations

from cl_revenue_ops.ports import Node, PortError


class FeeNeighbours:
    """`writers` are the names of those that were active at the last look; `trouble` is why they
    are not known. While they are not, a fee that is not ours counts as an operator's.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self.writers: tuple[str, ...] = ()
        self.trouble: str | None = None

    def look(self) -> None:
        """Ask the node for its plugins; blocks on the node."""
        self.writers, self.trouble = (), None
        try:
            self.writers = self._node.fee_writers()
        except PortError as error:
            self.trouble = f"the node's plugins could not be listed: {error}"
