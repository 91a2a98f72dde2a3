"""Who may carry rebalances out, by the names that revenue-ops-rebalancer takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from cl_revenue_ops.adapters import sling
from cl_revenue_ops.adapters.rpc import NodeRpc
from cl_revenue_ops.adapters.tally import Tally
from cl_revenue_ops.gate import WriteGate
from cl_revenue_ops.ports import Clock, Executor, Lease


class Means(NamedTuple):
    """What an executor may be made of for one incarnation."""

    rpc: NodeRpc
    gate: WriteGate
    lease: Lease
    left_out: Tally


Make = Callable[[Means], Executor]


class Executors:
    """Every executor there is; what they know of the process's life is kept here."""

    def __init__(self, clock: Clock) -> None:
        presence = sling.Presence(clock)

        def make_sling(means: Means) -> Executor:
            return sling.Sling(means.rpc, means.gate, means.lease, presence, means.left_out)

        self._makers: Mapping[str, Make] = {sling.NAME: make_sling}

    def made_of(self, means: Means) -> Mapping[str, Executor]:
        """All of them by name, for one incarnation; making one asks nobody."""
        return {name: make(means) for name, make in self._makers.items()}


def executor_of(plugin_name: str, methods: tuple[str, ...]) -> str | None:
    """The executor that a plugin of the node is, by its file's name or its methods."""
    if plugin_name == sling.NAME or sling.VERSION in methods:
        return sling.NAME
    return None
