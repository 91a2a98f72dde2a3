"""Who the node is: asked once, known to every store of the process from then on."""

from __future__ import annotations

from typing import NamedTuple

from cl_revenue_ops.ports import Node, Unavailable


class Who(NamedTuple):
    """The node's public key and network."""

    node_id: str
    network: str


class KnownIdentity:
    """Shared by the process: filled by the first who learns it, read by all."""

    def __init__(self) -> None:
        self.who: Who | None = None


class Identity:
    """One actor's way to the node's identity; with a node it may ask, without it only reads."""

    def __init__(self, known: KnownIdentity, node: Node | None = None) -> None:
        self._known = known
        self._node = node

    def learn(self) -> Who:
        """The identity; asks the node where nobody has yet. Raises Unavailable."""
        known = self._known
        if known.who is None:
            if self._node is None:
                raise Unavailable("the node has not said who it is yet")
            info = self._node.info()
            known.who = Who(info.node_id, info.network)
        return known.who
