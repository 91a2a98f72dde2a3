"""Who may carry rebalances out, by the names that revenue-ops-rebalancer takes."""

from __future__ import annotations

import time
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
    """Every executor there is; what they know of the process's life is kept here.

    `pause` blocks for some seconds of real time; with a clock that is not real it need not.
    """

    def __init__(self, clock: Clock, pause: Callable[[float], None] = time.sleep) -> None:
        presence = sling.Presence(clock)

        def make_sling(means: Means) -> Executor:
            rpc, gate, lease, left_out = means
            return sling.Sling(rpc, gate, lease, presence, left_out, pause)

        self._makers: Mapping[str, Make] = {sling.NAME: make_sling}

    def made_of(self, means: Means) -> Mapping[str, Executor]:
        """All of them by name, for one incarnation; making one asks nobody."""
        return {name: make(means) for name, make in self._makers.items()}


def executor_of(plugin_name: str, methods: tuple[str, ...]) -> str | None:
    """The executor that a plugin of the node is, by its file's name or its methods."""
    if plugin_name == sling.NAME or sling.VERSION in methods:
        return sling.NAME
    return None
